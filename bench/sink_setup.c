/*
 * sink_setup.c - the command line of volley-sink: from what was typed to what the sink takes.
 */
#include "bench/sink_args.h"
#include "engine/base/mem.h"
#include "engine/tls/mkcert.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { FILE_MAX = 16 * 1024 * 1024 };

/* The words of --tls-break, in their order. */
enum { BREAK_NO, BREAK_REFUSE, BREAK_RESET, BREAK_CLOSE, BREAK_GARBAGE, BREAK_STALL };

static bool read_file(const char *path, struct buf *out, struct buf *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : 1;

    while (got > 0 && out->len < FILE_MAX) {
        buf_reserve(out, 65536);
        got = read(fd, out->ptr + out->len, 65536);
        out->len += got > 0 ? (size_t)got : 0;
    }
    if (got < 0) {
        buf_printf(error, "cannot read %s: %s", path, strerror(errno));
    } else if (got > 0) {
        buf_printf(error, "%s is larger than %d MB", path, FILE_MAX >> 20);
    }
    if (fd >= 0) {
        close(fd);
    }
    return got == 0;
}

/* ---- rules ---- */

static bool read_faults(struct sink_setup *setup, const struct sink_args *args, struct buf *error)
{
    for (size_t i = 0; i < args->fault.count; i++) {
        struct buf why = BUF_EMPTY;
        int err = fault_rules_add(&setup->faults, slice_cstr(args->fault.items[i]), &why);
        if (err != 0) {
            buf_printf(error, "--fault '%s': " SLICE_FMT, args->fault.items[i],
                       SLICE_ARG(buf_slice(&why)));
        }
        buf_fini(&why);
        if (err != 0) {
            return false;
        }
    }
    for (size_t i = 0; i < args->faults.count; i++) {
        struct buf text = BUF_EMPTY;
        bool good = read_file(args->faults.items[i], &text, error) &&
                    fault_rules_add_text(&setup->faults, args->faults.items[i], buf_slice(&text),
                                         error) == 0;
        buf_fini(&text);
        if (!good) {
            return false;
        }
    }
    return true;
}

/* ---- TLS ---- */

static bool setup_tls(struct sink_setup *setup, const struct sink_args *args, struct buf *error)
{
    static const enum sink_tls_break breaks[] = {
        [BREAK_NO] = SINK_TLS_WORKS,        [BREAK_REFUSE] = SINK_TLS_WORKS,
        [BREAK_RESET] = SINK_TLS_RESET,     [BREAK_CLOSE] = SINK_TLS_CLOSE,
        [BREAK_GARBAGE] = SINK_TLS_GARBAGE, [BREAK_STALL] = SINK_TLS_STALL};
    struct tls_certificate_options own = {.host = slice_cstr(args->hostname)};

    if (args->no_starttls || args->tls == 1) {
        return true;
    }
    if ((args->tls_cert != NULL) != (args->tls_key != NULL)) {
        buf_printf(error, "--tls-cert and --tls-key belong together");
        return false;
    }
    if (args->tls_cert != NULL) {
        if (!read_file(args->tls_cert, &setup->chain_pem, error) ||
            !read_file(args->tls_key, &setup->key_pem, error)) {
            return false;
        }
    } else if (tls_certificate_make(&own, &setup->chain_pem, &setup->key_pem) != 0) {
        buf_printf(error, "cannot make a certificate for %s", args->hostname);
        return false;
    }
    setup->options.server.starttls = true;
    setup->options.server.refuse_starttls = args->tls_break == BREAK_REFUSE;
    setup->options.tls_break = breaks[args->tls_break];
    setup->options.tls_chain_pem = buf_slice(&setup->chain_pem);
    setup->options.tls_key_pem = buf_slice(&setup->key_pem);
    return true;
}

/* ---- the rest ---- */

/* "20", "20:421" or "20:close". */
static bool read_messages(struct server_options *o, const char *text, struct buf *error)
{
    struct slice rest = slice_cstr(text), count;

    if (text == NULL) {
        return true;
    }
    slice_next(&rest, ':', &count);
    o->messages_close = slice_eq(rest, SLICE("close"));
    if (slice_u64(count, &o->messages_max) != 0 || o->messages_max == 0 ||
        (rest.ptr != NULL && !o->messages_close && !slice_eq(rest, SLICE("421")))) {
        buf_printf(error, "--messages-per-connection %s is not understood; write 20 or 20:close",
                   text);
        return false;
    }
    return true;
}

static const char **keywords(const struct args_list *list)
{
    const char **words = mem_array(list->count + 1, sizeof(words[0]));

    for (size_t i = 0; i < list->count; i++) {
        words[i] = list->items[i];
    }
    return words;
}

static void setup_server(struct sink_setup *setup, const struct sink_args *args)
{
    setup->keywords = keywords(&args->keyword);
    setup->options.server = (struct server_options){
        .hostname = slice_cstr(args->hostname),
        .pipelining = !args->no_pipelining,
        .chunking = !args->no_chunking,
        .eightbitmime = !args->no_8bitmime,
        .smtputf8 = !args->no_smtputf8,
        .size = !args->no_size,
        .dsn = !args->no_dsn,
        .enhanced = !args->no_enhanced,
        .refuse_ahead = args->refuse_ahead,
        .size_max = args->size_limit,
        .recipients_max = args->recipients_limit,
        .keywords = setup->keywords,
    };
}

static bool setup_record(struct sink_setup *setup, const struct sink_args *args, struct buf *error)
{
    struct record_options o = {.store = args->store,
                               .events = args->events,
                               .count_ids = args->count_ids,
                               .keep_last = args->keep_last,
                               .digest = args->digest};

    setup->record = record_new(&o, error);
    if (setup->record == NULL) {
        return false;
    }
    setup->options.server.keep = record_needs(setup->record);
    setup->options.record = setup->record;
    return true;
}

static void setup_sink(struct sink_setup *setup, const struct sink_args *args)
{
    static const char *const usual[] = {"127.0.0.1:2525"};
    struct sink_options *o = &setup->options;

    o->listen = args->listen.count > 0 ? args->listen.items : usual;
    o->listen_count = args->listen.count > 0 ? args->listen.count : 1;
    o->threads = (unsigned)args->threads;
    o->io = (enum io_backend)args->io;
    o->faults = &setup->faults;
    o->magic = !args->no_magic;
    o->seed = args->seed;
    o->connections_max = args->max_connections;
    o->receive_buffer = args->receive_buffer;
    o->latency_us = args->latency_us;
    o->idle_us = args->idle_us;
    o->expect = args->expect;
}

int sink_setup_init(struct sink_setup *setup, const struct sink_args *args)
{
    struct buf error = BUF_EMPTY;
    int code = -1;

    *setup = (struct sink_setup){.record = NULL};
    setup_sink(setup, args);
    setup_server(setup, args);
    if (!read_messages(&setup->options.server, args->messages_per_connection, &error) ||
        !read_faults(setup, args, &error) || !setup_tls(setup, args, &error)) {
        code = args_usage_error(&sink_command, SLICE_FMT, SLICE_ARG(buf_slice(&error)));
    } else if (!setup_record(setup, args, &error)) {
        fprintf(stderr, "volley-sink: " SLICE_FMT "\n", SLICE_ARG(buf_slice(&error)));
        code = ARGS_EXIT_FAILED;
    }
    buf_fini(&error);
    return code;
}

void sink_setup_fini(struct sink_setup *setup)
{
    fault_rules_fini(&setup->faults);
    record_free(setup->record);
    buf_fini(&setup->chain_pem);
    buf_fini(&setup->key_pem);
    mem_free(setup->keywords);
}
