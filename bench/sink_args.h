/*
 * sink_args.h - the command line of volley-sink.
 */
#ifndef VOLLEY_BENCH_SINK_ARGS_H
#define VOLLEY_BENCH_SINK_ARGS_H

#include "bench/record.h"
#include "bench/sink.h"
#include "engine/base/args.h"

/* As parsed; a duration, size or count of 0 is "not given" where that makes sense. */
struct sink_args {
    struct args_list listen;
    uint64_t threads;
    int io; /* enum io_backend */
    const char *hostname;
    bool no_pipelining, no_chunking, no_starttls, no_8bitmime, no_smtputf8, no_size, no_dsn;
    bool no_enhanced, refuse_ahead;
    struct args_list keyword;
    uint64_t size_limit, recipients_limit;
    const char *messages_per_connection;
    uint64_t max_connections, receive_buffer;
    int64_t latency_us, idle_us;
    int tls; /* 0 self-signed, 1 off */
    const char *tls_cert, *tls_key;
    int tls_break;
    struct args_list fault, faults;
    uint64_t seed;
    bool no_magic;
    const char *store, *events, *count_ids;
    uint64_t keep_last;
    bool digest;
    uint64_t expect;
    int64_t timeout_us;
    bool json, man;
};

extern const struct args_command sink_command;

void sink_args_init(struct sink_args *args); /* the defaults */
void sink_args_fini(struct sink_args *args);

/* Everything that the options of a sink point to. */
struct sink_setup {
    struct sink_options options;
    struct fault_rules faults;
    struct record *record;
    struct buf chain_pem, key_pem;
    const char **keywords;
};

/* Turns what was typed into what the sink takes.  -1 to go on, or an exit code after a message
 * on standard error.  sink_setup_fini() is due in either case. */
int sink_setup_init(struct sink_setup *setup, const struct sink_args *args);
void sink_setup_fini(struct sink_setup *setup);

#endif
