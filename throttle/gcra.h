/*
 * gcra.h - exact pacing: so many events in a period, evenly.
 *
 * The generic cell rate algorithm keeps one number: the earliest time of the next event.
 * Times are integer microseconds plus an exact fraction, so a rate such as 7000/h, whose
 * interval is no whole number of microseconds, does not drift however long it runs.
 *
 * Held, whatever the calls (n is 1 for messages; see gcra_take for others):
 *   - in any window of one second at most count/period * 1 s + burst events;
 *   - no more than `burst` events back to back: at the start, after idling, after the clock
 *     jumped or the thread was stalled, after the rate changed.  A new bucket is empty of
 *     burst: a restart does not earn one.
 *   - while work is always there, within 1 % of the rate over 60 s, although no timer fires on
 *     the microsecond.
 *
 * The last two pull against each other.  An event that waited for its time and comes GCRA_SLACK_US
 * late at most does not push the later ones back; one that comes later, or that did not wait,
 * starts from its own time.  To keep the bound on a second in spite of that, rates above about
 * 200/s are run up to GCRA_SLACK_US per second (0.5 %) below what is written.
 */
#ifndef VOLLEY_THROTTLE_GCRA_H
#define VOLLEY_THROTTLE_GCRA_H

#include "engine/base/units.h"

#include <stdbool.h>

enum { GCRA_SLACK_US = 5000 };

struct gcra {
    /* One event takes step_num / step_den microseconds; step_den 0: unlimited. */
    uint64_t step_num;
    uint64_t step_den;
    int64_t ready_us;    /* earliest time of the next event: this many microseconds ... */
    uint64_t ready_frac; /* ... and this many step_den-ths of one */
    uint32_t spare;      /* events beyond the first that may go back to back: burst - 1 */
    bool waiting;        /* somebody asked and was told to wait */
};

/* An empty bucket: one event may go now, a burst has to be earned. */
void gcra_init(struct gcra *g, const struct rate *rate, int64_t now_us);

/* Changes the rate.  What was waited counts in proportion: half of the old interval is half of
 * the new one; spare events stay spare up to the new burst. */
void gcra_change(struct gcra *g, const struct rate *rate, int64_t now_us);

bool gcra_unlimited(const struct gcra *g);

/* When the next event may go; not later than now_us means now. */
int64_t gcra_ready_at(const struct gcra *g, int64_t now_us);

/* Notes that work waits for gcra_ready_at(): lateness is then made up for, see above. */
void gcra_wait(struct gcra *g);

/* Counts n events that go now, in one piece; asserts that gcra_ready_at() <= now_us.  With
 * n > 1 (bytes of a letter, recipients of a transaction) the piece goes when its first event may
 * and the next piece waits for all of it: a window of a second then holds at most n - 1 more. */
void gcra_take(struct gcra *g, int64_t now_us, uint64_t n);

#endif
