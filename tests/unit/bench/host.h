/*
 * host.h - a receiving session in a test: bytes in, answers kept.
 */
#ifndef VOLLEY_TEST_BENCH_HOST_H
#define VOLLEY_TEST_BENCH_HOST_H

#include "bench/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

/* A session, and what became of it. */
struct host {
    struct server server;
    struct server_options options;
    struct server_hooks hooks;
    struct sink_stats stats;
    struct buf out, marks;
    /* Of the hooks. */
    enum server_verb decide_at;
    struct server_verdict verdict;
    struct buf messages; /* "from>to,to:content|" */
};

static const struct server_options all_on = {.hostname = {"sink.test", 9},
                                             .pipelining = true,
                                             .chunking = true,
                                             .eightbitmime = true,
                                             .smtputf8 = true,
                                             .size = true,
                                             .dsn = true,
                                             .enhanced = true,
                                             .keep = SERVER_KEEP_ALL};

static inline bool decide(void *ctx, struct server *s, enum server_verb verb, struct slice to,
                          int64_t now_us, struct server_verdict *verdict)
{
    struct host *h = ctx;

    (void)s;
    (void)now_us;
    if (verb != h->decide_at || (verb == SERVER_RCPT && !slice_starts(to, SLICE("odd")))) {
        return false;
    }
    *verdict = h->verdict;
    return true;
}

static inline void accepted(void *ctx, struct server *s, const struct server_message *m,
                            int64_t now_us)
{
    struct host *h = ctx;
    struct slice to;
    size_t at = 0;

    (void)now_us;
    buf_puts(&h->messages, m->from);
    buf_putc(&h->messages, '>');
    while (server_rcpt_next(s, &at, &to)) {
        buf_puts(&h->messages, to);
        buf_putc(&h->messages, ',');
    }
    buf_putc(&h->messages, ':');
    buf_puts(&h->messages, m->content);
    buf_putc(&h->messages, '|');
}

static inline void host_init(struct host *h, const struct server_options *options)
{
    memset(h, 0, sizeof(*h));
    h->options = *options;
    h->hooks = (struct server_hooks){.decide = decide, .accepted = accepted};
    h->decide_at = SERVER_VERBS;
}

static inline void take(struct host *h)
{
    static const char names[] = "dhBbptcrs";

    for (size_t i = 0; i < h->server.marks; i++) {
        buf_putc(&h->marks, names[h->server.mark[i].kind]);
    }
    buf_puts(&h->out, buf_slice(&h->server.out));
    server_taken(&h->server);
}

static inline void host_start(struct host *h)
{
    server_init(&h->server, &h->options, &h->hooks, h, &h->stats, 7);
    server_start(&h->server, 0);
    take(h);
    server_sent(&h->server);
}

static inline void host_feed(struct host *h, struct slice in)
{
    assert_int_equal(server_feed(&h->server, in, 0), in.len);
    take(h);
    server_sent(&h->server);
}

static inline void host_fini(struct host *h)
{
    server_lost(&h->server);
    server_fini(&h->server);
    assert_int_equal(h->stats.held, 0);
    buf_fini(&h->out);
    buf_fini(&h->marks);
    buf_fini(&h->messages);
}

static inline void begin_again(struct host *h)
{
    server_fini(&h->server);
    buf_reset(&h->out);
    buf_reset(&h->marks);
    buf_reset(&h->messages);
    memset(&h->stats, 0, sizeof(h->stats));
    host_start(h);
}

/* "220 250 354": the code of each answer's last line. */
static inline void put_codes(struct buf *codes, struct slice out)
{
    struct slice line;

    while (slice_next(&out, '\n', &line)) {
        if (line.len == 0) {
            continue;
        }
        assert_true(line.len >= 5 && line.ptr[line.len - 1] == '\r');
        if (line.ptr[3] == ' ') {
            buf_put(codes, line.ptr, 4);
        }
    }
    codes->len -= codes->len > 0;
}

static inline void check_codes(struct host *h, const char *name, const char *want, size_t cut)
{
    struct buf codes = BUF_EMPTY;

    put_codes(&codes, buf_slice(&h->out));
    if (!slice_eq(buf_slice(&codes), slice_cstr(want))) {
        fail_msg("%s, cut at %zu: answers " SLICE_FMT ", expected %s", name, cut,
                 SLICE_ARG(buf_slice(&codes)), want);
    }
    buf_fini(&codes);
}

/* Runs the input in every partition named above.  The session stands as it was left by the
 * last of them, which is the whole input in one piece. */
static inline void host_run(struct host *h, const char *name, struct slice in, const char *codes)
{
    host_start(h);
    for (size_t i = 0; i < in.len; i++) {
        host_feed(h, slice_of(in.ptr + i, 1));
    }
    check_codes(h, name, codes, 0);
    for (size_t cut = 1; cut <= in.len; cut++) {
        begin_again(h);
        host_feed(h, slice_of(in.ptr, cut));
        host_feed(h, slice_from(in, cut));
        check_codes(h, name, codes, cut);
    }
}

#define EHLO     "EHLO me.test\r\n"
#define MAIL     "MAIL FROM:<a@a.test>\r\n"
#define RCPT     "RCPT TO:<b@b.test>\r\n"
#define MESSAGE  MAIL RCPT "DATA\r\nhello\r\n.\r\n"
#define ACCEPTED "a@a.test>b@b.test,:hello\r\n|"

#endif
