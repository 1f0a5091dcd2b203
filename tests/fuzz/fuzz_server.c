/* modules: bench tls io base */
/*
 * fuzz_server.c - any bytes from a client, any text as a rule.
 *
 * The first line of the input is a rule for faults (or not one), the rest is what the client
 * sends, in pieces whose sizes come from the bytes themselves.  Never a crash or a leak; what
 * is held in memory stays within what was sent; and scanning in pieces finds the same end.
 */
#include "bench/fault.h"
#include "bench/server.h"

#include <stdlib.h>

struct world {
    struct fault_rules rules;
    struct rng rng;
    uint32_t counts[64];
};

static bool decide(void *ctx, struct server *s, enum server_verb verb, struct slice to,
                   int64_t now_us, struct server_verdict *verdict)
{
    struct world *w = ctx;

    (void)now_us;
    return fault_decide(&w->rules, &w->rng, w->counts, s, verb, to, verdict);
}

static void accepted(void *ctx, struct server *s, const struct server_message *m, int64_t now_us)
{
    struct slice to;
    uint64_t count = 0;
    size_t at = 0;

    (void)ctx;
    (void)now_us;
    while (server_rcpt_next(s, &at, &to)) {
        count++;
    }
    if (count != m->recipients || count == 0 || m->content.len > m->bytes) {
        abort();
    }
}

static void talk(struct world *w, const struct server_options *options, struct slice in)
{
    const struct server_hooks hooks = {
        .verbs = w->rules.verbs, .decide = decide, .accepted = accepted};
    struct sink_stats stats = {{0}};
    struct server s;
    size_t sent = in.len;

    server_init(&s, options, &hooks, w, &stats, 1);
    server_start(&s, 0);
    while (in.len > 0) {
        size_t len = 1 + (unsigned char)in.ptr[0] % 80;
        size_t used = server_feed(&s, slice_of(in.ptr, len < in.len ? len : in.len), 0);
        if (server_tls_follows(&s)) {
            server_tls_started(&s);
        }
        if (s.content.len + s.line.len + s.envelope.len > 4 * sent + 4096) {
            abort();
        }
        server_taken(&s);
        server_sent(&s);
        in = slice_from(in, used > 0 ? used : 1);
    }
    server_lost(&s);
    server_fini(&s);
    if (stats.held != 0) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct server_options options = {.hostname = SLICE("sink.test"),
                                     .pipelining = true,
                                     .chunking = true,
                                     .starttls = true,
                                     .eightbitmime = true,
                                     .smtputf8 = true,
                                     .size = true,
                                     .dsn = true,
                                     .enhanced = true,
                                     .recipients_max = 5,
                                     .size_max = 2000,
                                     .keep = SERVER_KEEP_ALL};
    struct world w = {.rng = {{0}}};
    struct buf error = BUF_EMPTY;
    struct slice in = slice_of((const char *)data, size), rule = SLICE_NONE;

    rng_seed(&w.rng, 1);
    fault_rules_init(&w.rules);
    slice_next(&in, '\n', &rule);
    if (rule.len > 0 && fault_rules_add(&w.rules, rule, &error) != 0) {
        if (error.len == 0) {
            abort();
        }
        fault_rules_fini(&w.rules);
    }
    options.keep = (enum server_keep)(size % 3);
    options.refuse_ahead = size % 2 == 0;
    talk(&w, &options, in);
    fault_rules_fini(&w.rules);
    buf_fini(&error);
    return 0;
}
