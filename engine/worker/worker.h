/*
 * worker.h - one thread: its loop, and delivery on it.
 *
 * Worker 0 also runs the node: lease, take-over, promotion, doorbells.  It starts first and
 * ends last, since the others' claims hang on the node's life.
 */
#ifndef VOLLEY_WORKER_WORKER_H
#define VOLLEY_WORKER_WORKER_H

#include "engine/base/mailbox.h"
#include "engine/deliver/deliver.h"

#include <pthread.h>

struct engine;

struct worker {
    struct engine *engine;
    unsigned index;
    pthread_t thread;
    struct io *io;
    struct deliver *deliver;
    struct mailbox jobs;              /* struct job parcels from other workers */
    struct mailbox bells;             /* struct bell: lists that became non-empty */
    _Atomic(struct conf *) next_conf; /* to go over to; a reference */
    _Atomic bool stop;                /* drain and end */
    _Atomic bool cut;                 /* end at once */
    bool stopping;
    bool closed; /* delivery is over */
};

/* The thread's function; `arg` is the struct worker. */
void *worker_main(void *arg);

/* From any thread. */
void worker_configure(struct worker *w, const struct conf *conf);
void worker_stop(struct worker *w);
void worker_bell(struct worker *w, struct slice list);

#endif
