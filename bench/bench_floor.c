/*
 * bench_floor.c - `volley-bench floor`: the command line around floor.h.
 */
#include "bench/bench_cmds.h"
#include "bench/floor.h"
#include "engine/base/json.h"

#include <stdio.h>
#include <sys/resource.h>

struct floor_args {
    const char *to;
    uint64_t messages, size, connections, depth, domains;
    int mode, io;
    bool json;
};

#define AT(field) .target = offsetof(struct floor_args, field)

static const struct args_option options[] = {
    {.name = "to",
     .kind = ARGS_TEXT,
     .value = "ADDRESS",
     .required = true,
     AT(to),
     .help = "The server: 127.0.0.1:2525, [::1]:2525 or unix:PATH."},
    {.name = "messages",
     .letter = 'n',
     .kind = ARGS_COUNT,
     .value = "N",
     AT(messages),
     .min = 1,
     .max = UINT64_C(10000000000),
     .help = "How many to send in all (300000)."},
    {.name = "size",
     .kind = ARGS_BYTES,
     .value = "SIZE",
     AT(size),
     .min = 200,
     .max = 1 << 30,
     .help = "Of each, header and all (10KB)."},
    {.name = "connections",
     .kind = ARGS_COUNT,
     .value = "N",
     AT(connections),
     .min = 1,
     .max = FLOOR_CONNECTIONS_MAX,
     .help = "Over so many connections (100)."},
    {.name = "mode",
     .kind = ARGS_CHOICE,
     .value = "data|messages|chunking",
     AT(mode),
     .help = "data: MAIL RCPT DATA, then the text; messages (the default): the next envelope "
             "behind the text; chunking: MAIL RCPT BDAT."},
    {.name = "depth",
     .kind = ARGS_COUNT,
     .value = "N",
     AT(depth),
     .min = 1,
     .max = FLOOR_DEPTH_MAX,
     .help = "For chunking: transactions in flight on a connection (4)."},
    {.name = "domains",
     .kind = ARGS_COUNT,
     .value = "N",
     AT(domains),
     .min = 1,
     .max = 1000000,
     .help = "Recipients are spread over so many domains (1000)."},
    {.name = "io",
     .kind = ARGS_CHOICE,
     .value = "auto|uring|epoll",
     AT(io),
     .help = "How to do I/O (auto)."},
    {.name = "json", AT(json), .help = "Prints one JSON object."},
    {0},
};

static const char *const description[] = {
    "Sends prepared messages as fast as one thread can write them, and does nothing else: no "
    "queue, no sessions, no limits. What an engine needs beyond this is its own doing. Pin it "
    "and the server to cores of their own (taskset) for figures that mean something.",
    NULL,
};

static const struct args_pair exit_codes[] = {
    {"0", "all messages were accepted"},
    {"1", "a message was refused or a connection lost"},
    {"2", "bad usage"},
    {0},
};

static const struct args_pair examples[] = {
    {"volley-bench floor --to 127.0.0.1:2525 -n 1000000 --mode chunking --depth 4",
     "A million messages of 10 KB, four in flight on each connection:"},
    {0},
};

const struct args_command bench_floor_command = {
    .name = "volley-bench floor",
    .summary = "what sending must cost at least",
    .synopsis = "--to ADDRESS [OPTION]...",
    .description = description,
    .options = options,
    .exit_codes = exit_codes,
    .examples = examples,
    .see_also = "volley-sink(1)",
};

/* A descriptor for each connection: as many as we may have. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static double per_message(int64_t us, const struct floor_result *r)
{
    return r->messages > 0 ? (double)us / (double)r->messages : 0;
}

static uint64_t per_second(const struct floor_result *r)
{
    return r->span_us > 0 ? (uint64_t)((double)r->messages * 1e6 / (double)r->span_us) : 0;
}

static void print_text(const struct floor_result *r)
{
    printf("%llu messages in %.3f s: %llu messages/s, client CPU %.2f us a message "
           "(%.2f user, %.2f kernel), %.2f system calls a message, %s\n",
           (unsigned long long)r->messages, (double)r->span_us / 1e6,
           (unsigned long long)per_second(r), per_message(r->cpu_user_us + r->cpu_sys_us, r),
           per_message(r->cpu_user_us, r), per_message(r->cpu_sys_us, r),
           per_message((int64_t)r->enters, r), r->io == IO_URING ? "io_uring" : "epoll");
}

static void print_json(const struct floor_result *r)
{
    struct buf out = BUF_EMPTY;

    json_object_open(&out);
    json_put_u64(&out, "messages", r->messages);
    json_put_u64(&out, "bytes", r->bytes);
    json_put_i64(&out, "span_us", r->span_us);
    json_put_u64(&out, "messages_per_s", per_second(r));
    json_put_i64(&out, "cpu_user_us", r->cpu_user_us);
    json_put_i64(&out, "cpu_sys_us", r->cpu_sys_us);
    json_put_i64(&out, "cpu_ns_per_message",
                 (int64_t)(per_message(r->cpu_user_us + r->cpu_sys_us, r) * 1000));
    json_put_u64(&out, "enters", r->enters);
    json_put_cstr(&out, "io", r->io == IO_URING ? "uring" : "epoll");
    json_object_close(&out);
    printf(SLICE_FMT "\n", SLICE_ARG(buf_slice(&out)));
    buf_fini(&out);
}

int bench_floor_run(int argc, char **argv)
{
    struct floor_args args = {.messages = 300000,
                              .size = 10 * 1024,
                              .connections = 100,
                              .depth = 4,
                              .domains = 1000,
                              .mode = FLOOR_MESSAGES};
    struct floor_options o;
    struct floor_result result;
    struct buf error = BUF_EMPTY;
    int code = args_main(&bench_floor_command, argc, argv, &args, NULL);

    if (code >= 0) {
        return code;
    }
    raise_descriptor_limit();
    o = (struct floor_options){.io = (enum io_backend)args.io,
                               .mode = (enum floor_mode)args.mode,
                               .messages = args.messages,
                               .size = args.size,
                               .connections = (unsigned)args.connections,
                               .depth = (unsigned)args.depth,
                               .domains = args.domains};
    if (address_parse(slice_cstr(args.to), &o.to, &error) != 0) {
        code =
            args_usage_error(&bench_floor_command, "--to " SLICE_FMT, SLICE_ARG(buf_slice(&error)));
    } else if (floor_run(&o, &result, &error) != 0) {
        fprintf(stderr, "volley-bench floor: " SLICE_FMT "\n", SLICE_ARG(buf_slice(&error)));
        code = ARGS_EXIT_FAILED;
    } else if (args.json) {
        print_json(&result);
        code = ARGS_EXIT_OK;
    } else {
        print_text(&result);
        code = ARGS_EXIT_OK;
    }
    buf_fini(&error);
    return code;
}
