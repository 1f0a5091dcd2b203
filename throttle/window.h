/*
 * window.h - the hours in which mail may leave: "Mon-Fri 08:00-18:00 Europe/Berlin".
 *
 * Days, hours, and the time zone they are meant in, with spaces or commas between:
 *
 *     Mon-Fri 08:00-12:00 13:00-18:00 Sat 09:00-12:00 Europe/Berlin
 *
 * Hours hold for the days in front of them, for every day when none are; those that end before
 * they begin (22:00-06:00) end on the next day.  Without zone it is UTC.  An hour that the
 * clocks leave out in spring is not there, one that comes twice in autumn is open twice.
 * Exact to the minute.  Pure.
 */
#ifndef VOLLEY_THROTTLE_WINDOW_H
#define VOLLEY_THROTTLE_WINDOW_H

#include "engine/base/buf.h"
#include "throttle/zone.h"

enum { WINDOW_MINUTES = 7 * 24 * 60, WINDOW_WORDS = (WINDOW_MINUTES + 63) / 64 };

struct window {
    uint64_t open[WINDOW_WORDS]; /* a bit a minute, from Monday 00:00 */
    struct slice zone;           /* its name, in the text; empty: UTC */
};

/* 0, or ERR_INVALID with a sentence about it appended to *why.  Says nothing about whether the
 * zone exists. */
int window_parse(struct window *w, struct slice text, struct buf *why);

/* When it is open next: t_s itself when it is open then.  `z` NULL: UTC.  INT64_MAX: it does not
 * open within a year (its hour is one that is always left out). */
int64_t window_next(const struct window *w, const struct zone *z, int64_t t_s);

#endif
