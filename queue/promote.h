/*
 * promote.h - moving due jobs back to their lists.
 *
 * Every node looks at least four times a second and again at the moment the next job is due;
 * two that promote at once do no harm.  At most 200 jobs a call; while there is more, the
 * next call follows at once.
 */
#ifndef VOLLEY_QUEUE_PROMOTE_H
#define VOLLEY_QUEUE_PROMOTE_H

#include "engine/base/wheel.h"
#include "queue/keys.h"
#include "queue/redis.h"

struct promote {
    struct io *io;
    struct redis *redis;
    const struct keys *keys;
    struct timer timer;
    void (*heard)(void *ctx, int64_t redis_us); /* Redis' time */
    void *ctx;
    bool running; /* from promote_start() to promote_stop() */
    bool asking;  /* a call is under way */
    bool full;    /* more than one call's worth was due */
    int64_t next_in_us;
    uint64_t promoted;
};

void promote_init(struct promote *p, struct io *io, struct redis *redis, const struct keys *keys,
                  void (*heard)(void *ctx, int64_t redis_us), void *ctx);
void promote_start(struct promote *p); /* the connection is up, the library loaded */
void promote_stop(struct promote *p);  /* idempotent */

#endif
