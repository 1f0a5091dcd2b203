/*
 * quick.h - one whole run: private Redis, sink, engine, and the floor to compare with.
 */
#ifndef VOLLEY_BENCH_QUICK_H
#define VOLLEY_BENCH_QUICK_H

#include "bench/floor.h"
#include "engine/base/args.h"

struct quick_options {
    const char *programs; /* the directory of volley and volley-sink */
    uint64_t jobs;
    uint64_t domains;
    uint64_t size;
    uint64_t connections; /* for each domain */
    uint64_t workers;     /* 0: auto */
    const char *job_class;
    const char *pipeline;    /* of limits.default, or NULL */
    const char *appendfsync; /* of Redis */
    struct args_list conf;   /* further lines of configuration */
    int io;
    bool tls;
    bool pin; /* engine and floor on core 0, Redis and sink on core 1 */
    bool no_floor;
    bool keep; /* the directory with logs */
    int64_t timeout_us;
};

struct quick_cpu {
    int64_t user_us, sys_us;
};

struct quick_result {
    struct floor_result floor; /* messages 0: not measured */
    uint64_t messages, distinct, duplicates, chunked;
    int64_t span_us; /* at the sink, first to last message */
    int64_t preload_us;
    int64_t stop_us; /* how long the engine took to end */
    struct quick_cpu engine, redis, sink;
    uint64_t redis_peak;  /* bytes */
    char sink_line[4096]; /* the sink's statistics, JSON */
};

/* False with a message in *error. */
bool quick_run(const struct quick_options *options, struct quick_result *result, struct buf *error);

#endif
