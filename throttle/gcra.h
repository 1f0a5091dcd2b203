/*
 * gcra.h - exact pacing: so many events in a period, evenly.
 *
 * The generic cell rate algorithm keeps one number: the earliest time of the next event.
 * Times are integer microseconds plus an exact fraction, so a rate such as 7000/h, whose
 * interval is no whole number of microseconds, does not drift however long it runs.
 *
 * Held, whatever the calls (n is 1 for messages; see gcra_take for others):
 *   - in any window of one second at most count/period * 1 s + burst events;
 *   - after the start, idling, a stall or a change of the rate no more than `burst` events back
 *     to back.  A new bucket is empty of burst: a restart does not earn one.
 *   - while work is always there, within 1 % of the rate over 60 s (or one event), although no
 *     timer fires on the microsecond.
 *
 * The first and the last pull against each other: what a late timer lost must be made up for, but
 * never so much that a second holds too many.  So lateness counts only for work that waited, only
 * when the thread was not away for longer than GCRA_STALL_US, and up to a slack.  The slack is
 * what fits into a second that holds one event more than count/period (20/s: an interval), and
 * GCRA_SLACK_US at least; where that does not fit (rates above 200/s, and some that leave next to
 * nothing of a second over) the rate is run at most 0.5 % below what is written.
 */
#ifndef VOLLEY_THROTTLE_GCRA_H
#define VOLLEY_THROTTLE_GCRA_H

#include "engine/base/units.h"

#include <stdbool.h>

enum { GCRA_SLACK_US = 5000, GCRA_STALL_US = 50000 };

struct gcra {
    /* One event takes step_num / step_den microseconds; step_den 0: unlimited. */
    uint64_t step_num;
    uint64_t step_den;
    int64_t ready_us;    /* earliest time of the next event: this many microseconds ... */
    uint64_t ready_frac; /* ... and this many step_den-ths of one */
    uint32_t slack_us;   /* lateness that counts, at most */
    uint32_t spare;      /* events beyond the first that may go back to back: burst - 1 */
    bool waiting;        /* work was told to wait for ready_us */
};

/* An empty bucket: one event may go now, a burst has to be earned. */
void gcra_init(struct gcra *g, const struct rate *rate, int64_t now_us);

/* Changes the rate.  What was waited counts in proportion: half of the old interval is half of
 * the new one; spare events stay spare up to the new burst.  The same rate changes nothing. */
void gcra_change(struct gcra *g, const struct rate *rate, int64_t now_us);

static inline bool gcra_unlimited(const struct gcra *g)
{
    return g->step_den == 0;
}

/* When the next event may go; INT64_MIN when unlimited.  Not later than now: it may go now. */
static inline int64_t gcra_ready_at(const struct gcra *g)
{
    return gcra_unlimited(g) ? INT64_MIN : g->ready_us + (g->ready_frac > 0);
}

/* Notes that work waits for gcra_ready_at(): lateness then counts, see above. */
static inline void gcra_wait(struct gcra *g)
{
    g->waiting = true;
}

/* Counts n events that go now, in one piece; asserts that gcra_ready_at() <= now_us.  With
 * n > 1 (bytes of a letter, recipients of a transaction) the piece goes when its first event may
 * and the next piece waits for all of it: a window of a second then holds at most n - 1 more. */
void gcra_take(struct gcra *g, int64_t now_us, uint64_t n);

#endif
