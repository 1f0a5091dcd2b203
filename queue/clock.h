/*
 * clock.h - Redis' clock as this process knows it.
 *
 * Jobs are stamped by Redis' clock, and every engine counts by it: the clock of the machine that
 * an engine runs on decides nothing.  Redis tells its time a few times a second; in between the
 * monotonic clock goes on from there.
 *
 * Redis' clock can be wrong as well.  When it jumps ahead, jobs would be past their time all at
 * once and be given up: so for what ends jobs the old time goes on for ten minutes, and the jump
 * is believed when it is still there then.  A jump back is taken at once, as it ends nothing.
 *
 * Pure; times in microseconds.
 */
#ifndef VOLLEY_QUEUE_CLOCK_H
#define VOLLEY_QUEUE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

enum { CLOCK_JUMP_US = 10 * 1000 * 1000, CLOCK_DOUBT_US = 600 * 1000 * 1000 };

struct queue_clock {
    int64_t offset_us;        /* Redis' time less the monotonic one */
    int64_t expiry_offset_us; /* the same, for what ends jobs */
    int64_t believe_us;       /* monotonic: when a jump ahead is believed; 0: there was none */
    bool known;
};

/* Redis said redis_us at (monotonic) now_us.  True when it has jumped ahead just now. */
bool queue_clock_hear(struct queue_clock *c, int64_t redis_us, int64_t now_us);

#endif
