/*
 * units.h - durations, sizes and rates as people write them.
 *
 * One reading for configuration, job fields and command lines.  A number without a unit is
 * refused where a unit is needed: "90" could be seconds or minutes, and guessing wrong is
 * worse than asking.
 */
#ifndef VOLLEY_BASE_UNITS_H
#define VOLLEY_BASE_UNITS_H

#include "engine/base/buf.h"
#include "engine/base/slice.h"

/* `count` events in each `period_us`; at most `burst` of them back to back. */
struct rate {
    uint64_t count; /* 0: unlimited */
    int64_t period_us;
    uint64_t burst; /* 1 unless said */
};

/* "250ms", "90s", "15m", "4h", "5d", "2w", and sums of them as in "1h30m"; "0" alone is fine.
 * 0, ERR_INVALID or ERR_RANGE (over 3650 days). */
int units_duration(struct slice text, int64_t *us);

/* "512", "64KB", "1GB": powers of 1024, B may be left out (K, M, G, T).  0 or an error. */
int units_bytes(struct slice text, uint64_t *bytes);

/* "100/s", "5000/h", "20/m burst 5", "2000/d", "unlimited".  0 or an error. */
int units_rate(struct slice text, struct rate *out);

/* The shortest exact form that the functions above read back. */
void units_put_duration(struct buf *b, int64_t us);
void units_put_bytes(struct buf *b, uint64_t bytes);
void units_put_rate(struct buf *b, const struct rate *rate);

#endif
