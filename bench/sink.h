/*
 * sink.h - a destination for mail: threads, listeners and connections around server.h.
 *
 * sink_start() binds the addresses and starts the threads; sink_stop() ends them.  Everything
 * that sessions share (rules, records, counters of all threads) hangs on the struct sink.
 */
#ifndef VOLLEY_BENCH_SINK_H
#define VOLLEY_BENCH_SINK_H

#include "bench/fault.h"
#include "bench/record.h"
#include "bench/server.h"
#include "engine/io/io.h"

enum { SINK_THREADS_MAX = 64, SINK_LISTEN_MAX = 64 };

/* What goes wrong when a client has said STARTTLS and got 220. */
enum sink_tls_break {
    SINK_TLS_WORKS,
    SINK_TLS_RESET,   /* RST in place of the ServerHello */
    SINK_TLS_CLOSE,   /* FIN */
    SINK_TLS_GARBAGE, /* bytes that are no TLS */
    SINK_TLS_STALL    /* nothing at all */
};

struct sink_options {
    const char *const *listen; /* see address.h; "127.0.0.1:0" takes a free port */
    size_t listen_count;
    unsigned threads;
    enum io_backend io;
    struct server_options server;
    struct slice tls_chain_pem, tls_key_pem; /* needed when server.starttls is set */
    enum sink_tls_break tls_break;
    struct fault_rules *faults; /* borrowed */
    struct record *record;      /* borrowed */
    bool magic;
    uint64_t seed;
    uint64_t connections_max; /* at once; 0: no limit */
    uint64_t receive_buffer;  /* bytes, SO_RCVBUF; 0: the kernel's choice */
    int64_t latency_us;
    int64_t idle_us; /* a client may be silent for so long */
    uint64_t expect; /* after so many messages on_expected is called, by any thread; 0: never */
    void (*on_expected)(void *ctx);
    void *ctx;
};

struct sink;

/* NULL with a message in *error.  The options are copied, what they point to is borrowed. */
struct sink *sink_start(const struct sink_options *options, struct buf *error);

/* Where it listens now: count of addresses, and one of them as address_put() writes it. */
size_t sink_listen_count(const struct sink *sink);
void sink_put_address(const struct sink *sink, size_t i, struct buf *out);

enum io_backend sink_io(const struct sink *sink);

/* The counters of all threads together; from any thread. */
void sink_sum(const struct sink *sink, struct sink_stats *total);

/* Takes no more connections, gives those there are grace_us to end, and joins the threads. */
void sink_stop(struct sink *sink, int64_t grace_us);
void sink_free(struct sink *sink); /* after sink_stop() */

#endif
