/*
 * wheel.h - a hierarchical timer wheel.
 *
 * Arming, moving and disarming cost a few nanoseconds whatever the number of timers; kernel
 * timers cost microseconds and grow with their number.  A timer is embedded in its owner.
 * wheel_run() first moves every expired timer to a list and then calls them one by one, so
 * a callback may arm or disarm any timer, its own included.  A timer never fires early; it
 * fires at most one tick (WHEEL_TICK_US) late, plus however late wheel_run() is called.
 */
#ifndef VOLLEY_BASE_WHEEL_H
#define VOLLEY_BASE_WHEEL_H

#include "engine/base/list.h"

#include <stdint.h>

enum { WHEEL_TICK_US = 1000, WHEEL_LEVELS = 5, WHEEL_SLOT_BITS = 6 };
enum { WHEEL_SLOTS = 1 << WHEEL_SLOT_BITS };

struct timer {
    struct list link; /* in a slot, or in the list of expired timers */
    int64_t due_us;
    void (*fire)(struct timer *t, int64_t now_us);
};

struct wheel {
    struct list slot[WHEEL_LEVELS][WHEEL_SLOTS];
    uint64_t occupied[WHEEL_LEVELS]; /* a bit a slot: holds timers */
    struct list due;                 /* fire at the next run */
    struct list far;                 /* beyond the horizon of all levels */
    int64_t tick;                    /* all ticks up to this one were run */
    size_t count;
};

void wheel_init(struct wheel *w, int64_t now_us);

/* A timer starts disarmed.  `fire` gets the time that wheel_run() was given. */
void timer_init(struct timer *t, void (*fire)(struct timer *t, int64_t now_us));
bool timer_armed(const struct timer *t);

/* Arms the timer for due_us, or moves it there.  A time in the past fires at the next run. */
void wheel_arm(struct wheel *w, struct timer *t, int64_t due_us);
void wheel_disarm(struct wheel *w, struct timer *t); /* harmless when disarmed */

/* Fires what is due at now_us (which must not run backwards).  Returns how many fired. */
size_t wheel_run(struct wheel *w, int64_t now_us);

/* When to call wheel_run() next: INT64_MAX when no timer is armed; never later than the
 * first timer's due time plus a tick. */
int64_t wheel_next_us(const struct wheel *w);

#endif
