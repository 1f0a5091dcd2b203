/*
 * deliver.h - from claimed jobs to outcomes: what one worker does.
 *
 * Brings the parts together: claims jobs with credit (intake.c), finds where they go
 * (destination.c), fetches and compiles their letters (letters.c), keeps them in the lanes of
 * their path (site.c), sends them when limits, hosts (hosts.c) and this machine (local.c) allow
 * (pump.c, conn_open.c, conn.c, transaction.c), and gives each exactly one outcome (outcome.c).
 *
 * One a thread.  Everything happens inside callbacks of the thread's io, and in
 * deliver_tick(), which the worker calls once after each io_tick(): there connections are
 * fed, and whatever was written during the tick leaves together.
 */
#ifndef VOLLEY_DELIVER_DELIVER_H
#define VOLLEY_DELIVER_DELIVER_H

#include "conf/conf.h"
#include "engine/base/mailbox.h"
#include "engine/dns/resolver.h"
#include "engine/io/io.h"
#include "engine/tls/tls.h"
#include "queue/node.h"

struct deliver;

/* Counted since the start; read from any thread. */
struct deliver_stats {
    _Atomic uint64_t claimed, delivered, deferred, bounced, expired, suppressed, cancelled,
        ambiguous;
    _Atomic uint64_t parked, returned, set_aside;
    _Atomic uint64_t connections, connects, bytes;
    _Atomic uint64_t jobs; /* in memory now */
};

struct deliver_options {
    struct io *io;
    const struct conf *conf; /* a reference is taken */
    const struct redis_url *url;
    struct node *node; /* borrowed */
    struct slice node_id;
    unsigned worker, workers;
    struct tls_trust *trust; /* NULL: nothing verifies */
    int events_fd;           /* append-only file of events, or -1; borrowed */
    const char *journal;     /* its directory; NULL: none is written */
    /* Hands a job to the home worker of its site.  NULL when workers is 1. */
    void (*hand_over)(void *ctx, unsigned worker, struct mailbox_node *parcel);
    void (*on_closed)(void *ctx); /* after deliver_close(): the memory is gone */
    void *ctx;
};

/* NULL with a sentence in *why. */
struct deliver *deliver_new(const struct deliver_options *options, struct buf *why);

/* Jobs that other workers handed over, linked by `next`. */
void deliver_take(struct deliver *d, struct mailbox_node *parcels);

/* After each io_tick().  Returns for how long the next tick may wait, in microseconds
 * (negative: no limit). */
int64_t deliver_tick(struct deliver *d);

/* A list became non-empty; an empty name: look. */
void deliver_bell(struct deliver *d, struct slice list);

/* Goes over to another configuration: limits, timeouts, routes, sources, retry, TLS.  What
 * was fixed at the start stays (io, workers, queue, DNS servers, sink or no sink). */
void deliver_configure(struct deliver *d, const struct conf *conf);

/* Ends: nothing new is claimed or started, what waits is returned to the queue, what is on
 * the wire may finish until `drain_us` have passed (then it is cut, and its end is
 * ambiguous).  on_closed follows. */
void deliver_close(struct deliver *d, int64_t drain_us);

/* While it drains: cuts what is still on the wire now. */
void deliver_cut(struct deliver *d);

const struct deliver_stats *deliver_stats(const struct deliver *d);

#endif
