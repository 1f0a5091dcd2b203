/*
 * bench_quick.c - `volley-bench quick`: the command line around quick.h.
 */
#include "bench/bench_cmds.h"
#include "bench/quick.h"
#include "engine/base/json.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct quick_args {
    struct quick_options o;
    bool json;
};

#define AT(field) .target = offsetof(struct quick_args, field)

static const struct args_option options[] = {
    {.name = "jobs",
     .letter = 'n',
     .kind = ARGS_COUNT,
     .value = "N",
     AT(o.jobs),
     .min = 1,
     .max = 100000000,
     .help = "Jobs, one recipient each (100000)."},
    {.name = "domains",
     .kind = ARGS_COUNT,
     .value = "N",
     AT(o.domains),
     .min = 1,
     .max = 10000000,
     .help = "Over so many domains (1000)."},
    {.name = "size",
     .kind = ARGS_BYTES,
     .value = "SIZE",
     AT(o.size),
     .min = 200,
     .max = 20 << 20,
     .help = "Of the letter (10KB)."},
    {.name = "connections",
     .kind = ARGS_COUNT,
     .value = "N",
     AT(o.connections),
     .min = 1,
     .max = 10000,
     .help = "limits.default.connections: for each domain (1)."},
    {.name = "workers",
     .kind = ARGS_COUNT,
     .value = "N",
     AT(o.workers),
     .min = 1,
     .max = 64,
     .help = "Of the engine (auto)."},
    {.name = "class", .kind = ARGS_TEXT, .value = "CLASS", AT(o.job_class), .help = "(normal)"},
    {.name = "pipeline",
     .kind = ARGS_TEXT,
     .value = "MODE",
     AT(o.pipeline),
     .help = "limits.default.pipeline: off, commands, messages, chunking (auto)."},
    {.name = "appendfsync",
     .kind = ARGS_TEXT,
     .value = "HOW",
     AT(o.appendfsync),
     .help = "Of Redis: everysec, always, no (everysec)."},
    {.name = "conf",
     .kind = ARGS_LIST,
     .value = "YAML",
     AT(o.conf),
     .help = "A further line for the engine's configuration, such as 'shutdown_timeout: 5s'."},
    {.name = "io",
     .kind = ARGS_CHOICE,
     .value = "auto|uring|epoll",
     AT(o.io),
     .help = "Of engine, sink and floor (auto)."},
    {.name = "tls", AT(o.tls), .help = "With STARTTLS; then there is no floor."},
    {.name = "pin", AT(o.pin), .help = "Engine and floor on core 0, Redis and sink on core 1."},
    {.name = "no-floor", AT(o.no_floor), .help = "Does not measure the floor."},
    {.name = "keep", AT(o.keep), .help = "Keeps the directory with configuration and logs."},
    {.name = "programs",
     .kind = ARGS_TEXT,
     .value = "DIR",
     AT(o.programs),
     .help = "Where volley and volley-sink are (beside this program)."},
    {.name = "timeout",
     .kind = ARGS_DURATION,
     .value = "TIME",
     AT(o.timeout_us),
     .min = 1000000,
     .max = INT64_C(86400000000),
     .help = "For the delivery of all jobs (5m)."},
    {.name = "json", AT(json), .help = "Prints one JSON object."},
    {0},
};

static const char *const description[] = {
    "Starts a private Redis (AOF on), preloads jobs that name one stored letter, starts the sink "
    "and the engine, and waits until all messages arrived. Prints messages a second between "
    "the first and the last one at the sink, CPU time by process, and the ratio to the floor: "
    "the same bytes over the same number of connections (1000 at most), sent by a loop that "
    "does nothing else.",
    NULL,
};

static const struct args_pair exit_codes[] = {
    {"0", "all messages arrived, each once"},
    {"1", "a message is missing or came twice, or a program failed"},
    {"2", "bad usage"},
    {0},
};

const struct args_command bench_quick_command = {
    .name = "volley-bench quick",
    .summary = "one run of the engine, with the floor to compare",
    .synopsis = "[OPTION]...",
    .description = description,
    .options = options,
    .exit_codes = exit_codes,
    .see_also = "volley-sink(1), volley-run(1)",
};

static double rate(uint64_t messages, int64_t span_us)
{
    return span_us > 0 ? (double)messages * 1e6 / (double)span_us : 0;
}

static double each_us(int64_t us, uint64_t messages)
{
    return messages > 0 ? (double)us / (double)messages : 0;
}

static void print_cpu(const char *name, int64_t user_us, int64_t sys_us, uint64_t messages)
{
    printf("%-10s %8.2f us CPU a message (%.2f user, %.2f kernel)\n", name,
           each_us(user_us + sys_us, messages), each_us(user_us, messages),
           each_us(sys_us, messages));
}

static void print_text(const struct quick_result *r)
{
    const struct floor_result *f = &r->floor;
    double engine = rate(r->messages, r->span_us), least = rate(f->messages, f->span_us);

    printf("%llu messages (%llu by BDAT) to %llu recipients in %.3f s, %llu duplicates\n",
           (unsigned long long)r->messages, (unsigned long long)r->chunked,
           (unsigned long long)r->distinct, (double)r->span_us / 1e6,
           (unsigned long long)r->duplicates);
    printf("engine     %8.0f messages/s\n", engine);
    if (f->messages > 0) {
        printf("floor      %8.0f messages/s\n", least);
        printf("ratio      %8.3f of the floor\n", least > 0 ? engine / least : 0);
    }
    print_cpu("engine", r->engine.user_us, r->engine.sys_us, r->messages);
    print_cpu("Redis", r->redis.user_us, r->redis.sys_us, r->messages);
    print_cpu("sink", r->sink.user_us, r->sink.sys_us, r->messages);
    if (f->messages > 0) {
        print_cpu("floor", f->cpu_user_us, f->cpu_sys_us, f->messages);
    }
    printf("preload    %8.0f jobs/s; Redis at most %llu MB; the engine ended in %lld ms\n",
           rate(r->messages, r->preload_us), (unsigned long long)(r->redis_peak >> 20),
           (long long)(r->stop_us / 1000));
}

static void put_cpu(struct buf *out, const char *key, int64_t user_us, int64_t sys_us)
{
    json_key(out, key);
    json_object_open(out);
    json_put_i64(out, "user_us", user_us);
    json_put_i64(out, "sys_us", sys_us);
    json_object_close(out);
}

static void print_json(const struct quick_result *r)
{
    const struct floor_result *f = &r->floor;
    struct buf out = BUF_EMPTY;
    double least = rate(f->messages, f->span_us);

    json_object_open(&out);
    json_put_u64(&out, "messages", r->messages);
    json_put_u64(&out, "distinct", r->distinct);
    json_put_u64(&out, "duplicates", r->duplicates);
    json_put_u64(&out, "chunked", r->chunked);
    json_put_i64(&out, "span_us", r->span_us);
    json_put_u64(&out, "messages_per_s", (uint64_t)rate(r->messages, r->span_us));
    if (f->messages > 0) {
        json_put_u64(&out, "floor_per_s", (uint64_t)least);
        json_put_u64(&out, "ratio_permille",
                     (uint64_t)(least > 0 ? rate(r->messages, r->span_us) * 1000 / least : 0));
        put_cpu(&out, "floor_cpu", f->cpu_user_us, f->cpu_sys_us);
    }
    put_cpu(&out, "engine_cpu", r->engine.user_us, r->engine.sys_us);
    put_cpu(&out, "redis_cpu", r->redis.user_us, r->redis.sys_us);
    put_cpu(&out, "sink_cpu", r->sink.user_us, r->sink.sys_us);
    json_put_i64(&out, "preload_us", r->preload_us);
    json_put_u64(&out, "redis_peak_bytes", r->redis_peak);
    json_put_i64(&out, "stop_us", r->stop_us);
    json_object_close(&out);
    printf(SLICE_FMT "\n", SLICE_ARG(buf_slice(&out)));
    buf_fini(&out);
}

/* The directory of the program that is running. */
static const char *own_directory(char *path, size_t cap)
{
    ssize_t len = readlink("/proc/self/exe", path, cap - 1);
    char *slash;

    path[len > 0 ? len : 0] = '\0';
    slash = strrchr(path, '/');
    if (slash == NULL) {
        return ".";
    }
    *slash = '\0';
    return path;
}

int bench_quick_run(int argc, char **argv)
{
    struct quick_args args = {.o = {.jobs = 100000,
                                    .domains = 1000,
                                    .size = 10 * 1024,
                                    .connections = 1,
                                    .job_class = "normal",
                                    .appendfsync = "everysec",
                                    .timeout_us = INT64_C(300000000)}};
    struct quick_result result;
    struct buf error = BUF_EMPTY;
    char path[400];
    int code = args_main(&bench_quick_command, argc, argv, &args, NULL);

    if (code < 0) {
        if (args.o.programs == NULL) {
            args.o.programs = own_directory(path, sizeof(path));
        }
        bool good = quick_run(&args.o, &result, &error);
        if (!good) {
            fprintf(stderr, "volley-bench quick: " SLICE_FMT "\n", SLICE_ARG(buf_slice(&error)));
        }
        if (good || result.messages > 0) {
            (args.json ? print_json : print_text)(&result);
        }
        good = good && result.distinct == args.o.jobs && result.duplicates == 0;
        code = good ? ARGS_EXIT_OK : ARGS_EXIT_FAILED;
    }
    args_list_fini(&args.o.conf);
    buf_fini(&error);
    return code;
}
