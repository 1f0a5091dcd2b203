/*
 * clock.c - Redis' clock as this process knows it.
 */
#include "queue/clock.h"

bool queue_clock_hear(struct queue_clock *c, int64_t redis_us, int64_t now_us)
{
    int64_t offset_us = redis_us - now_us;
    bool jumped = false;

    c->offset_us = offset_us;
    if (!c->known || offset_us - c->expiry_offset_us < CLOCK_JUMP_US) {
        c->known = true;
        c->expiry_offset_us = offset_us;
        c->believe_us = 0;
    } else if (c->believe_us == 0) {
        c->believe_us = now_us + CLOCK_DOUBT_US;
        jumped = true;
    } else if (now_us >= c->believe_us) {
        c->expiry_offset_us = offset_us;
        c->believe_us = 0;
    }
    return jumped;
}
