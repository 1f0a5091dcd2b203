/*
 * clock.h - reading the clocks, and writing times down.
 *
 * Only the shell reads a clock (engine/io once a tick, commands, logging).  The pure parts
 * get `now_us` as an argument.  Durations and deadlines run on the monotonic clock; what
 * people and Redis see is wall time.  Both are microseconds in int64_t.
 */
#ifndef VOLLEY_BASE_CLOCK_H
#define VOLLEY_BASE_CLOCK_H

#include "engine/base/slice.h"

enum { CLOCK_RFC3339_LEN = 24 }; /* 2026-01-31T23:59:59.123Z */

int64_t clock_mono_us(void);
int64_t clock_wall_us(void);

/* Writes UTC with milliseconds and a NUL (CLOCK_RFC3339_LEN + 1 bytes). */
void clock_format(char out[CLOCK_RFC3339_LEN + 1], int64_t wall_us);

/* Writes an RFC 5322 date-time in UTC, "Sat, 31 Jan 2026 23:59:59 +0000", and a NUL.
 * Returns the length without the NUL. */
size_t clock_format_rfc5322(char out[40], int64_t wall_us);

/* Reads unix seconds ("1767225600", with fraction or without) or an RFC 3339 date-time with
 * offset ("2026-01-31T23:59:59+01:00", "…Z").  0, ERR_INVALID or ERR_RANGE (year 1970..9999). */
int clock_parse(struct slice text, int64_t *wall_us);

#endif
