/*
 * quick.c - one whole run: private Redis, sink, engine, and the floor to compare with.
 *
 *     sink -> floor -> (sink ends)
 *     Redis -> engine (loads the library) -> (engine ends) -> jobs -> sink -> engine
 *     -> the sink ends by itself when all messages came -> engine ends -> Redis ends
 *
 * Everything lives in a directory of its own that is removed at the end.
 */
#include "bench/quick.h"
#include "bench/preload.h"
#include "bench/spawn.h"
#include "engine/base/clock.h"
#include "engine/base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { START_US = 20 * 1000 * 1000, STEP_US = 5000, ENGINE_CPU = 0, OTHERS_CPU = 1 };

struct quick {
    const struct quick_options *o;
    struct quick_result *r;
    struct buf *error;
    char dir[64];
    char redis_socket[96], log[96], conf[96];
    char volley[512], sink_program[512];
    char address[64]; /* of the sink */
    struct spawn redis, sink, engine;
};

static bool fail(struct quick *q, const char *what)
{
    if (q->error->len == 0) {
        buf_printf(q->error, "%s; see %s", what, q->log);
    }
    return false;
}

static int cpu_of(const struct quick *q, int cpu)
{
    return q->o->pin ? cpu : -1;
}

/* ---- the programs ---- */

static bool start_redis(struct quick *q)
{
    const char *argv[] = {"redis-server",
                          "--port",
                          "0",
                          "--unixsocket",
                          q->redis_socket,
                          "--save",
                          "",
                          "--appendonly",
                          "yes",
                          "--appendfsync",
                          q->o->appendfsync,
                          "--dir",
                          q->dir,
                          "--logfile",
                          q->log,
                          "--proc-title-template",
                          "volley-bench redis",
                          NULL};
    int64_t until_us = clock_mono_us() + START_US;

    if (!spawn_start(&q->redis, argv, q->log, cpu_of(q, OTHERS_CPU), q->error)) {
        return false;
    }
    while (clock_mono_us() < until_us && spawn_running(&q->redis)) {
        struct buf answer = BUF_EMPTY;
        bool up = preload_command(q->redis_socket, "PING", &answer);
        buf_fini(&answer);
        if (up) {
            return true;
        }
        usleep(STEP_US);
    }
    return fail(q, "redis-server did not start");
}

static bool start_sink(struct quick *q)
{
    char expect[32];
    const char *argv[16] = {q->sink_program, "--listen",    "127.0.0.1:0", "--json",
                            "--no-magic",    "--count-ids", "rcpt",        "--expect",
                            expect,          "--io",        "auto"};
    size_t argc = 11;
    struct buf line = BUF_EMPTY;

    static const char *const ios[] = {"auto", "uring", "epoll"};
    argv[10] = ios[q->o->io];
    snprintf(expect, sizeof(expect), "%llu", (unsigned long long)q->o->jobs);
    if (!q->o->tls) {
        argv[argc++] = "--no-starttls";
    }
    bool up = spawn_start(&q->sink, argv, q->log, cpu_of(q, OTHERS_CPU), q->error) &&
              spawn_line(&q->sink, &line, START_US) &&
              slice_starts(buf_slice(&line), SLICE("listening "));
    if (up) {
        snprintf(q->address, sizeof(q->address), SLICE_FMT,
                 SLICE_ARG(slice_from(buf_slice(&line), 10)));
    }
    buf_fini(&line);
    return up ? true : fail(q, "volley-sink did not start");
}

static bool write_conf(struct quick *q)
{
    static const char *const ios[] = {"auto", "uring", "epoll"};
    FILE *f = fopen(q->conf, "we");

    if (f == NULL) {
        return fail(q, "cannot write the configuration");
    }
    fprintf(f,
            "hostname: bench.example\n"
            "queue: {redis: \"unix:%s\", state_directory: \"%s/state\"}\n"
            "io: %s\n"
            "sink: \"%s\"\n"
            "tls: {level: %s}\n"
            "limits:\n"
            "  default:\n"
            "    connections: %llu\n"
            "    rate: unlimited\n"
            "    messages_per_connection: unlimited\n",
            q->redis_socket, q->dir, ios[q->o->io], q->address, q->o->tls ? "encrypt" : "none",
            (unsigned long long)q->o->connections);
    if (q->o->pipeline != NULL) {
        fprintf(f, "    pipeline: %s\n", q->o->pipeline);
    }
    if (q->o->workers > 0) {
        fprintf(f, "workers: %llu\n", (unsigned long long)q->o->workers);
    }
    for (size_t i = 0; i < q->o->conf.count; i++) {
        fprintf(f, "%s\n", q->o->conf.items[i]);
    }
    return fclose(f) == 0 ? true : fail(q, "cannot write the configuration");
}

static bool start_engine(struct quick *q)
{
    const char *argv[] = {q->volley, "run", "-c", q->conf, NULL};

    return spawn_start(&q->engine, argv, q->log, cpu_of(q, ENGINE_CPU), q->error);
}

/* The engine loads the library before anything else; afterwards jobs can be submitted. */
static bool load_library(struct quick *q)
{
    int64_t until_us = clock_mono_us() + START_US;
    bool loaded = false;

    if (!start_engine(q)) {
        return false;
    }
    while (!loaded && clock_mono_us() < until_us && spawn_running(&q->engine)) {
        struct buf answer = BUF_EMPTY;
        loaded = preload_command(q->redis_socket, "FUNCTION LIST", &answer) &&
                 memmem(answer.ptr, answer.len, "volley_submit_batch", 19) != NULL;
        buf_fini(&answer);
        usleep(STEP_US);
    }
    spawn_stop(&q->engine);
    return loaded ? true : fail(q, "the engine did not load its library into Redis");
}

/* ---- the floor ---- */

/* Runs on this thread: it goes to the engine's core and back. */
static bool measure_floor(struct quick *q)
{
    struct floor_options o = {.io = (enum io_backend)q->o->io,
                              .mode = FLOOR_MESSAGES,
                              .messages = q->o->jobs,
                              .size = q->o->size,
                              .depth = 1,
                              .domains = q->o->domains < 1000000 ? q->o->domains : 1000000};
    uint64_t connections = q->o->connections * q->o->domains;
    cpu_set_t before, cpus;

    if (q->o->no_floor || q->o->tls) {
        return true;
    }
    o.connections = (unsigned)(connections < 1000 ? connections : 1000);
    if (!start_sink(q) || address_parse(slice_cstr(q->address), &o.to, q->error) != 0) {
        return false;
    }
    sched_getaffinity(0, sizeof(before), &before);
    if (q->o->pin) {
        CPU_ZERO(&cpus);
        CPU_SET(ENGINE_CPU, &cpus);
        sched_setaffinity(0, sizeof(cpus), &cpus);
    }
    int err = floor_run(&o, &q->r->floor, q->error);
    sched_setaffinity(0, sizeof(before), &before);
    spawn_wait(&q->sink, START_US);
    spawn_stop(&q->sink);
    return err == 0;
}

/* ---- the run ---- */

static bool preload(struct quick *q)
{
    struct buf letter = BUF_EMPTY;
    struct preload_options o = {.socket = q->redis_socket,
                                .jobs = q->o->jobs,
                                .domains = q->o->domains,
                                .job_class = q->o->job_class};
    int64_t began_us = clock_mono_us();

    floor_put_message(&letter, q->o->size);
    o.letter = buf_slice(&letter);
    bool good = preload_run(&o, q->error);
    q->r->preload_us = clock_mono_us() - began_us;
    buf_fini(&letter);
    return good;
}

/* The number behind "key": in a line of JSON that is ours. */
static uint64_t json_number(const char *line, const char *key)
{
    char quoted[64];

    snprintf(quoted, sizeof(quoted), "\"%s\":", key);
    const char *at = strstr(line, quoted);
    return at != NULL ? strtoull(at + strlen(quoted), NULL, 10) : 0;
}

static void read_sink(struct quick *q)
{
    struct quick_result *r = q->r;
    struct buf line = BUF_EMPTY;

    while (spawn_line(&q->sink, &line, 1000000)) {
        if (slice_starts(buf_slice(&line), SLICE("{"))) {
            snprintf(r->sink_line, sizeof(r->sink_line), SLICE_FMT, SLICE_ARG(buf_slice(&line)));
        }
    }
    buf_fini(&line);
    r->messages = json_number(r->sink_line, "messages");
    r->distinct = json_number(r->sink_line, "distinct");
    r->duplicates = json_number(r->sink_line, "duplicates");
    r->chunked = json_number(r->sink_line, "chunked");
    r->span_us = (int64_t)json_number(r->sink_line, "span_us");
    r->sink.user_us = (int64_t)json_number(r->sink_line, "cpu_user_us");
    r->sink.sys_us = (int64_t)json_number(r->sink_line, "cpu_sys_us");
}

static void note_redis_peak(struct quick *q)
{
    struct buf answer = BUF_EMPTY;

    if (preload_command(q->redis_socket, "INFO memory", &answer)) {
        buf_terminate(&answer);
        const char *at = strstr(answer.ptr, "used_memory_peak:");
        q->r->redis_peak = at != NULL ? strtoull(at + 17, NULL, 10) : 0;
    }
    buf_fini(&answer);
}

/* Waits until the sink has all, and takes the CPU times of the others at that moment. */
static bool deliver(struct quick *q)
{
    struct quick_cpu before = {0, 0};
    int64_t began_us = clock_mono_us();
    bool done = false;

    spawn_cpu(&q->redis, &before.user_us, &before.sys_us);
    if (!start_engine(q)) {
        return false;
    }
    while (!done && clock_mono_us() - began_us < q->o->timeout_us) {
        if (!spawn_running(&q->engine) || !spawn_running(&q->redis)) {
            return fail(q, "the engine or Redis ended in the middle of the run");
        }
        spawn_cpu(&q->engine, &q->r->engine.user_us, &q->r->engine.sys_us);
        spawn_cpu(&q->redis, &q->r->redis.user_us, &q->r->redis.sys_us);
        usleep(STEP_US);
        done = !spawn_running(&q->sink);
    }
    q->r->redis.user_us -= before.user_us;
    q->r->redis.sys_us -= before.sys_us;
    int64_t took_us = clock_mono_us() - began_us;
    spawn_stop(&q->engine);
    q->r->stop_us = clock_mono_us() - began_us - took_us;
    spawn_end(&q->sink);
    read_sink(q);
    return done ? true : fail(q, "not all messages arrived in time");
}

static bool run(struct quick *q)
{
    bool good = measure_floor(q) && start_redis(q) && start_sink(q) && write_conf(q) &&
                load_library(q) && preload(q) && deliver(q);

    if (good) {
        note_redis_peak(q);
    }
    return good;
}

/* ---- the directory ---- */

static void remove_directory(const char *dir)
{
    const char *argv[] = {"rm", "-rf", "--", dir, NULL};
    struct buf error = BUF_EMPTY;
    struct spawn rm;

    if (spawn_start(&rm, argv, "/dev/null", -1, &error)) {
        spawn_wait(&rm, START_US);
    }
    spawn_stop(&rm);
    buf_fini(&error);
}

static bool prepare(struct quick *q)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(q->dir, sizeof(q->dir), "%s/volley-bench-XXXXXX",
             tmp != NULL && strlen(tmp) < 32 ? tmp : "/tmp");
    if (mkdtemp(q->dir) == NULL) {
        buf_printf(q->error, "cannot make %s: %s", q->dir, strerror(errno));
        return false;
    }
    snprintf(q->redis_socket, sizeof(q->redis_socket), "%s/redis.sock", q->dir);
    snprintf(q->log, sizeof(q->log), "%s/log", q->dir);
    snprintf(q->conf, sizeof(q->conf), "%s/volley.yaml", q->dir);
    snprintf(q->volley, sizeof(q->volley), "%s/volley", q->o->programs);
    snprintf(q->sink_program, sizeof(q->sink_program), "%s/volley-sink", q->o->programs);
    return true;
}

bool quick_run(const struct quick_options *options, struct quick_result *result, struct buf *error)
{
    struct quick q = {.o = options,
                      .r = result,
                      .error = error,
                      .redis = SPAWN_NONE,
                      .sink = SPAWN_NONE,
                      .engine = SPAWN_NONE};

    memset(result, 0, sizeof(*result));
    if (!prepare(&q)) {
        return false;
    }
    bool good = run(&q);
    spawn_stop(&q.engine);
    spawn_stop(&q.sink);
    spawn_stop(&q.redis);
    if (good && !options->keep) {
        remove_directory(q.dir);
    } else {
        fprintf(stderr, "kept: %s\n", q.dir);
    }
    return good;
}
