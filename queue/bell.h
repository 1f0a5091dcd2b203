/*
 * bell.h - the doorbells of a partition, on a connection of their own that blocks.
 */
#ifndef VOLLEY_QUEUE_BELL_H
#define VOLLEY_QUEUE_BELL_H

#include "queue/keys.h"
#include "queue/redis.h"

struct bell;

struct bell_ops {
    void (*on_ring)(void *ctx, struct slice list); /* became non-empty; valid in the call */
    void (*on_closed)(void *ctx);
};

struct bell *bell_new(struct io *io, const struct redis_url *url, const struct keys *keys,
                      const struct bell_ops *ops, void *ctx);
void bell_close(struct bell *b); /* on_closed follows */

#endif
