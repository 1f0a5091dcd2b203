/*
 * engine.h - the process: workers, node, state, signals.
 */
#ifndef VOLLEY_WORKER_ENGINE_H
#define VOLLEY_WORKER_ENGINE_H

#include "conf/conf.h"
#include "engine/deliver/recover.h"
#include "engine/tls/tls.h"
#include "engine/worker/state.h"
#include "engine/worker/worker.h"
#include "queue/embedded.h"
#include "queue/node.h"

enum { ENGINE_WORKERS_MAX = 256 };

struct engine {
    const struct conf *conf; /* of the start: io, workers, queue */
    struct conf *reloaded;   /* the newest one; NULL: none */
    struct state state;
    struct embedded *embedded; /* NULL: Redis is somebody else's */
    struct redis_url url;
    struct tls_trust *trust;
    struct node *node; /* made and ended by worker 0 */
    struct worker *workers;
    unsigned worker_count;
    int events_fd;
    char *journal;          /* the directory of the workers' journals */
    struct recover recover; /* what becomes of letters that a crash left without a reply */
    struct replay *replay;
    pthread_t main_thread;
    pthread_mutex_t lock; /* for what follows */
    pthread_cond_t changed;
    unsigned ready;   /* workers that have started or failed to */
    unsigned started; /* threads to be joined */
    bool go;          /* all have started (or failed to): loops run */
    bool failed;      /* a worker could not start, or the node cannot work */
    int exit_code;
    unsigned running; /* workers whose delivery is not over */
};

/* Runs the engine until it is told to stop (SIGTERM, SIGINT: drains; a second one ends at
 * once).  Returns the exit code: 0, 1, 2 (configuration), 75 (Redis cannot be used). */
int engine_run(const struct conf *conf);

/* By workers. */
void engine_fail(struct engine *e, int exit_code, const char *why);
void engine_worker_closed(struct engine *e);
void engine_hand_over(void *worker, unsigned to, struct mailbox_node *parcel);

#endif
