/*
 * retention.h - keeps the stream of events within its size.
 *
 * Once a second Redis is asked to drop the oldest entries beyond the size (retention.lua).  Below
 * it nothing is ever dropped, so no group of consumers loses what it has not read yet while there
 * is room; what it does lose is counted, marked in the stream and logged.
 *
 * One for each partition, run by the node on its own connection.
 */
#ifndef VOLLEY_QUEUE_RETENTION_H
#define VOLLEY_QUEUE_RETENTION_H

#include "engine/base/wheel.h"
#include "queue/keys.h"
#include "queue/redis.h"

struct retention {
    struct io *io;
    struct redis *redis;
    const struct keys *keys;
    const char *node; /* its id, for events */
    uint64_t max_bytes;
    struct timer timer;
    int64_t said_us;       /* when a loss was logged last; 0: never */
    uint64_t lost, unsaid; /* events dropped unread; of them, those not logged yet */
    bool running;
    bool asking;
};

/* `max_bytes` 0: 1 GB.  The pointers are borrowed. */
void retention_init(struct retention *r, struct io *io, struct redis *redis,
                    const struct keys *keys, const char *node, uint64_t max_bytes);
void retention_start(struct retention *r); /* the connection is up, the library loaded */
void retention_stop(struct retention *r);  /* idempotent */

#endif
