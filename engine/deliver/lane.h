/*
 * lane.h - which class goes next where classes compete.  Pure.
 *
 * `high` goes first but takes at most 90 % of the places, the rest is shared 8 : 2 by
 * `normal` and `bulk`; what a class does not use flows down.  The order is a fixed pattern
 * (no randomness, no clock), so the shares are exact over any 50 places in a row in which
 * all three have work.
 */
#ifndef VOLLEY_DELIVER_LANE_H
#define VOLLEY_DELIVER_LANE_H

#include <stdbool.h>
#include <stdint.h>

enum lane_class { LANE_HIGH, LANE_NORMAL, LANE_BULK, LANE_CLASSES };

struct lane_turn {
    uint32_t place;  /* places given while others than high waited */
    uint32_t shared; /* places given to normal or bulk while both waited */
};

/* Picks one of the classes with work[class] true; -1 when none has. */
int lane_pick(struct lane_turn *turn, const bool work[LANE_CLASSES]);

#endif
