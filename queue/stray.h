/*
 * stray.h - jobs that Redis says are ours, and that nobody here knows.
 *
 * A Redis that lost its last moments (its machine died with appendfsync everysec, a replica was
 * promoted that was a little behind) has forgotten outcomes that it had acknowledged: their jobs
 * are owned by our life again, and no worker would ever touch them.  After each break of the
 * connection they are looked for, and go back to their lists: sent twice rather than never.
 *
 * A job is a stray when it is owned, and was held by no worker whenever they were asked: three
 * times, some time apart.  One that is on its way between Redis and a worker, or between two
 * workers, is not so three times.
 *
 * The walks are the node's, on its connection; the workers' queues answer from their threads
 * at their ticks which of the ids they hold.
 */
#ifndef VOLLEY_QUEUE_STRAY_H
#define VOLLEY_QUEUE_STRAY_H

#include "engine/base/wheel.h"
#include "engine/io/io.h"
#include "queue/keys.h"
#include "queue/redis.h"

#include <pthread.h>
#include <stdatomic.h>

enum { STRAY_LIFE_MAX = 96, STRAY_IDS_MAX = 200 * 1000 };

struct stray_id;

enum stray_phase { STRAY_IDLE, STRAY_BEFORE, STRAY_WALKING, STRAY_ASKING };

struct strays {
    struct io *io; /* the node's, as all but what is behind `lock` */
    struct redis *redis;
    const struct keys *keys;
    char life[STRAY_LIFE_MAX];
    enum stray_phase phase;
    unsigned look; /* 0: at Redis; 1 to STRAY_LOOKS: at the workers; then they go back */
    struct timer timer;
    _Atomic unsigned queues;   /* that have to answer */
    _Atomic uint64_t question; /* number of the one that is open; 0: none */
    uint64_t questions;
    pthread_mutex_t lock;
    struct stray_id *ids; /* sorted by id when asked about */
    size_t count;
    size_t cap;
    unsigned answers;
};

void strays_init(struct strays *s, struct io *io, struct redis *redis, const struct keys *keys);
void strays_fini(struct strays *s);

/* The connection is up again, with the same life.  Starts to look, a second from now. */
void strays_start(struct strays *s, struct slice life);
void strays_stop(struct strays *s); /* the connection broke, or ends; idempotent */

/* ---- from any thread ---- */

void strays_join(struct strays *s);  /* a queue that will answer, */
void strays_leave(struct strays *s); /* and that holds nothing any more */

/* Whether there is a question after number `answered`.  strays_answer() notes its number, and
 * asks `holds` of each id. */
bool strays_asked(const struct strays *s, uint64_t answered);
void strays_answer(struct strays *s, uint64_t *answered, bool (*holds)(void *ctx, struct slice id),
                   void *ctx);

#endif
