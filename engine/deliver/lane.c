/*
 * lane.c - which class goes next where classes compete.
 */
#include "engine/deliver/lane.h"

enum {
    HIGH_CYCLE = 10, /* one place in ten is kept from `high` when others wait */
    SHARED_CYCLE = 5 /* one of those in five is `bulk`'s when `normal` waits too: 8 : 2 */
};

static int pick_shared(struct lane_turn *turn, const bool work[LANE_CLASSES])
{
    if (work[LANE_NORMAL] && work[LANE_BULK]) {
        turn->shared++;
        return turn->shared % SHARED_CYCLE == 0 ? LANE_BULK : LANE_NORMAL;
    }
    if (work[LANE_NORMAL]) {
        return LANE_NORMAL;
    }
    return work[LANE_BULK] ? LANE_BULK : -1;
}

int lane_pick(struct lane_turn *turn, const bool work[LANE_CLASSES])
{
    if (!work[LANE_HIGH]) {
        return pick_shared(turn, work);
    }
    if (!work[LANE_NORMAL] && !work[LANE_BULK]) {
        return LANE_HIGH;
    }
    turn->place++;
    return turn->place % HIGH_CYCLE == 0 ? pick_shared(turn, work) : LANE_HIGH;
}
