/*
 * sink_main.c - volley-sink: a test destination for mail.
 *
 * The main thread starts the sink and then waits for signals: INT and TERM end it, USR1 prints
 * the statistics, USR2 is what the sink sends itself when --expect is met.
 */
#include "bench/sink_args.h"
#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "engine/base/log.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* Clients get this long to say QUIT after the last message that was expected. */
enum { GRACE_US = 500000 };

static void on_expected(void *ctx)
{
    (void)ctx;
    kill(getpid(), SIGUSR2);
}

static int64_t microseconds(struct timeval t)
{
    return (int64_t)t.tv_sec * 1000000 + t.tv_usec;
}

static void summarize(const struct sink *sink, struct record *record, struct sink_stats *total,
                      struct sink_summary *sum)
{
    struct ids *ids = record_ids(record);
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    sink_sum(sink, total);
    *sum = (struct sink_summary){.stats = total,
                                 .ids_counted = ids != NULL,
                                 .ids_distinct = ids != NULL ? ids_distinct(ids) : 0,
                                 .ids_duplicates = ids != NULL ? ids_duplicates(ids) : 0,
                                 .cpu_user_us = microseconds(usage.ru_utime),
                                 .cpu_sys_us = microseconds(usage.ru_stime),
                                 .io = sink_io(sink) == IO_URING ? "uring" : "epoll"};
}

static void put_sample_text(void *ctx, struct slice value)
{
    buf_printf(ctx, "  seen again: " SLICE_FMT "\n", SLICE_ARG(value));
}

static void put_sample_json(void *ctx, struct slice value)
{
    json_str(ctx, value);
}

static void put_text(struct buf *out, const struct sink_summary *sum, struct record *record,
                     bool last)
{
    sink_stats_put_text(out, sum);
    if (sum->ids_duplicates > 0) {
        ids_each_sample(record_ids(record), put_sample_text, out);
    }
    if (last) {
        record_put_last_text(record, out);
    }
}

static void put_json(struct buf *out, const struct sink_summary *sum, struct record *record,
                     const struct sink_args *args, bool last)
{
    json_object_open(out);
    sink_stats_put_json(out, sum);
    if (sum->ids_duplicates > 0) {
        json_key(out, "seen_again");
        json_array_open(out);
        ids_each_sample(record_ids(record), put_sample_json, out);
        json_array_close(out);
    }
    if (last && args->keep_last > 0) {
        json_key(out, "last");
        record_put_last_json(record, out);
    }
    json_object_close(out);
    buf_putc(out, '\n');
}

static void print_stats(const struct sink *sink, const struct sink_setup *setup,
                        const struct sink_args *args, bool last)
{
    struct sink_stats total;
    struct sink_summary sum;
    struct buf out = BUF_EMPTY;

    summarize(sink, setup->record, &total, &sum);
    if (args->json) {
        put_json(&out, &sum, setup->record, args, last);
    } else {
        put_text(&out, &sum, setup->record, last);
    }
    fwrite(out.ptr, 1, out.len, stdout);
    fflush(stdout);
    buf_fini(&out);
}

static void print_listening(const struct sink *sink)
{
    for (size_t i = 0; i < sink_listen_count(sink); i++) {
        struct buf line = BUF_EMPTY;
        BUF_LIT(&line, "listening ");
        sink_put_address(sink, i, &line);
        printf(SLICE_FMT "\n", SLICE_ARG(buf_slice(&line)));
        buf_fini(&line);
    }
    fflush(stdout);
}

/* Blocked in all threads; the main thread takes them one by one. */
static void block_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGUSR1);
    sigaddset(set, SIGUSR2);
    sigprocmask(SIG_BLOCK, set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* The next signal, or 0 when until_us has passed. */
static int next_signal(const sigset_t *set, int64_t until_us)
{
    for (;;) {
        int64_t left_us = until_us - clock_mono_us();
        struct timespec wait = {left_us / 1000000, left_us % 1000000 * 1000};
        if (until_us != INT64_MAX && left_us <= 0) {
            return 0;
        }
        int number =
            until_us == INT64_MAX ? sigwaitinfo(set, NULL) : sigtimedwait(set, NULL, &wait);
        if (number > 0) {
            return number;
        }
        if (errno != EINTR && errno != EAGAIN) {
            return SIGTERM;
        }
    }
}

/* True when all that was expected came. */
static bool serve(struct sink *sink, const struct sink_setup *setup, const struct sink_args *args,
                  const sigset_t *signals)
{
    int64_t until_us = args->timeout_us > 0 ? clock_mono_us() + args->timeout_us : INT64_MAX;

    for (;;) {
        switch (next_signal(signals, until_us)) {
        case SIGUSR1:
            print_stats(sink, setup, args, false);
            break;
        case SIGUSR2:
            sink_stop(sink, GRACE_US);
            return true;
        default:
            sink_stop(sink, 0);
            return args->expect == 0;
        }
    }
}

static int print_man(void)
{
    struct buf out = BUF_EMPTY;

    args_put_man(&out, &sink_command, "");
    bool written = fwrite(out.ptr, 1, out.len, stdout) == out.len && fflush(stdout) == 0;
    buf_fini(&out);
    return written ? ARGS_EXIT_OK : ARGS_EXIT_FAILED;
}

/* A descriptor for each connection: as many as we may have. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int run(const struct sink_args *args)
{
    struct sink_setup setup;
    struct buf error = BUF_EMPTY;
    sigset_t signals;
    int code = sink_setup_init(&setup, args);

    raise_descriptor_limit();
    block_signals(&signals);
    if (code < 0) {
        setup.options.on_expected = on_expected;
        struct sink *sink = sink_start(&setup.options, &error);
        if (sink == NULL) {
            fprintf(stderr, "volley-sink: " SLICE_FMT "\n", SLICE_ARG(buf_slice(&error)));
            code = ARGS_EXIT_FAILED;
        } else {
            print_listening(sink);
            code = serve(sink, &setup, args, &signals) ? ARGS_EXIT_OK : ARGS_EXIT_FAILED;
            print_stats(sink, &setup, args, true);
            sink_free(sink);
        }
    }
    buf_fini(&error);
    sink_setup_fini(&setup);
    return code;
}

int main(int argc, char **argv)
{
    struct sink_args args;

    sink_args_init(&args);
    int code = args_main(&sink_command, argc, argv, &args, NULL);
    if (code < 0) {
        code = args.man ? print_man() : run(&args);
    }
    sink_args_fini(&args);
    return code;
}
