/*
 * sink_impl.h - shared by the files of sink.h, nobody else's.
 */
#ifndef VOLLEY_BENCH_SINK_IMPL_H
#define VOLLEY_BENCH_SINK_IMPL_H

#include "bench/address.h"
#include "bench/magic.h"
#include "bench/outlet.h"
#include "bench/sink.h"
#include "engine/tls/tls.h"

#include <pthread.h>

struct sink_listener {
    struct io_listener io;
    struct sink_thread *thread;
};

struct sink_thread {
    struct sink *sink;
    unsigned index;
    pthread_t id;
    struct io *io;
    struct tls_context *tls; /* NULL: no TLS */
    struct sink_listener listener[SINK_LISTEN_MAX];
    int fd[SINK_LISTEN_MAX]; /* -1 once taken over or closed */
    size_t listening;        /* listeners that are not closed yet */
    struct list conns;
    struct list dirty; /* connections with output to look at before the tick ends */
    struct rng rng;
    struct magic magic;
    struct buf lines;         /* of events */
    struct buf plain, cipher; /* scratch of the connection at hand */
    bool closing;
    int64_t close_us; /* when the grace is over */
    struct sink_stats stats;
};

struct sink {
    struct sink_options options;
    struct server_hooks hooks;
    struct ids *greylist;
    struct sink_thread *thread;
    unsigned threads;  /* started */
    unsigned ready;    /* under `lock` */
    struct buf failed; /* under `lock`: why a thread could not start */
    enum io_backend io;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct address bound[SINK_LISTEN_MAX];
    uint64_t connections; /* atomic: ever accepted */
    uint64_t open;        /* atomic */
    uint64_t messages;    /* atomic: counted towards options.expect */
    int64_t grace_us;     /* set before `stop` */
    bool stop;            /* atomic */
};

/* Why reading is paused; bits. */
enum { PAUSE_FULL = 1, PAUSE_TIMED = 2, PAUSE_STALLED = 4 };

struct sink_conn {
    struct io_stream stream;
    struct sink_thread *thread;
    struct server server;
    struct tls_stream *tls;
    bool tls_open;
    bool tls_broken; /* by option: what the client sends now is not looked at */
    bool closed;     /* io_close() was called */
    bool stalled;
    uint8_t paused;
    struct list link;
    struct list dirty;
    struct buf wire; /* being written */
    struct iovec wire_iov;
    struct outlet outlet;
    struct timer release; /* the delay line's next piece */
    struct timer resume;  /* the end of PAUSE_TIMED */
    int64_t resume_us;
    struct timer idle;
    int64_t heard_us;
    uint32_t *counts; /* of rules that count for each connection */
};

static inline const struct sink_options *sink_conn_options(const struct sink_conn *c)
{
    return &c->thread->sink->options;
}

static inline void sink_conn_arm(struct sink_conn *c, struct timer *timer, int64_t due_us)
{
    wheel_arm(io_wheel(c->thread->io), timer, due_us);
}

/* ---- sink_conn.c ---- */

/* Takes over an accepted socket. */
void sink_conn_open(struct sink_thread *t, int fd);

/* Ends all connections: those that are idle get a 421 first. */
void sink_conn_close_all(struct sink_thread *t);

/* As in struct server_hooks; the context is the connection. */
bool sink_conn_decide(void *ctx, struct server *s, enum server_verb verb, struct slice to,
                      int64_t now_us, struct server_verdict *verdict);
void sink_conn_accepted(void *ctx, struct server *s, const struct server_message *m,
                        int64_t now_us);

/* ---- sink_output.c ---- */

/* There may be something to say: looked at before the tick ends. */
void sink_conn_dirty(struct sink_conn *c);
void sink_conn_flush(struct sink_thread *t); /* looks */
void sink_conn_flush_one(struct sink_conn *c);

/* Puts what the session said into the delay line. */
void sink_conn_take(struct sink_conn *c);

/* When something said now may leave. */
int64_t sink_conn_due_us(const struct sink_conn *c);

void sink_conn_pause(struct sink_conn *c, uint8_t why, bool on);
void sink_conn_pause_for(struct sink_conn *c, int64_t us);

void sink_conn_close(struct sink_conn *c);

/* Puts an end behind all that is still to be said. */
void sink_conn_end_later(struct sink_conn *c, enum outlet_kind kind);

#endif
