/*
 * test_server.c - the receiving session: what it answers to what, however the bytes come.
 *
 * A dialogue is the client's bytes and the codes of all answers.  Each is run with the input
 * in one piece, byte by byte, and cut in two at every place: the answers must be the same.
 */
#include "bench/server.h"
#include "engine/base/rng.h"

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

static bool decide(void *ctx, struct server *s, enum server_verb verb, struct slice to,
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

static void accepted(void *ctx, struct server *s, const struct server_message *m, int64_t now_us)
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

static void host_init(struct host *h, const struct server_options *options)
{
    memset(h, 0, sizeof(*h));
    h->options = *options;
    h->hooks = (struct server_hooks){.decide = decide, .accepted = accepted};
    h->decide_at = SERVER_VERBS;
}

static void take(struct host *h)
{
    static const char names[] = "dhBbptcrs";

    for (size_t i = 0; i < h->server.marks; i++) {
        buf_putc(&h->marks, names[h->server.mark[i].kind]);
    }
    buf_puts(&h->out, buf_slice(&h->server.out));
    server_taken(&h->server);
}

static void start(struct host *h)
{
    server_init(&h->server, &h->options, &h->hooks, h, &h->stats, 7);
    server_start(&h->server, 0);
    take(h);
    server_sent(&h->server);
}

static void feed(struct host *h, struct slice in)
{
    assert_int_equal(server_feed(&h->server, in, 0), in.len);
    take(h);
    server_sent(&h->server);
}

static void host_fini(struct host *h)
{
    server_lost(&h->server);
    server_fini(&h->server);
    assert_int_equal(h->stats.held, 0);
    buf_fini(&h->out);
    buf_fini(&h->marks);
    buf_fini(&h->messages);
}

static void begin_again(struct host *h)
{
    server_fini(&h->server);
    buf_reset(&h->out);
    buf_reset(&h->marks);
    buf_reset(&h->messages);
    memset(&h->stats, 0, sizeof(h->stats));
    start(h);
}

/* "220 250 354": the code of each answer's last line. */
static void put_codes(struct buf *codes, struct slice out)
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

static void check_codes(struct host *h, const char *name, const char *want, size_t cut)
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
static void run(struct host *h, const char *name, struct slice in, const char *codes)
{
    start(h);
    for (size_t i = 0; i < in.len; i++) {
        feed(h, slice_of(in.ptr + i, 1));
    }
    check_codes(h, name, codes, 0);
    for (size_t cut = 1; cut <= in.len; cut++) {
        begin_again(h);
        feed(h, slice_of(in.ptr, cut));
        feed(h, slice_from(in, cut));
        check_codes(h, name, codes, cut);
    }
}

#define EHLO     "EHLO me.test\r\n"
#define MAIL     "MAIL FROM:<a@a.test>\r\n"
#define RCPT     "RCPT TO:<b@b.test>\r\n"
#define MESSAGE  MAIL RCPT "DATA\r\nhello\r\n.\r\n"
#define ACCEPTED "a@a.test>b@b.test,:hello\r\n|"

static void test_dialogues(void **state)
{
    static const struct {
        const char *name, *in, *codes, *messages;
    } rows[] = {
        {"one message", EHLO MESSAGE "QUIT\r\n", "220 250 250 250 354 250 221", ACCEPTED},
        {"HELO", "HELO me\r\n" MESSAGE, "220 250 250 250 354 250", ACCEPTED},
        {"two messages, the second behind the first", EHLO MESSAGE MESSAGE,
         "220 250 250 250 354 250 250 250 354 250", ACCEPTED ACCEPTED},
        {"case and spaces", "ehlo x\r\nmail from: <>\r\nRcPt To:  <p@q>\r\ndata\r\n.\r\n",
         "220 250 250 250 354 250", ">p@q,:|"},
        {"stuffed dots", EHLO MAIL RCPT "DATA\r\n..\r\n..a\r\nb..\r\n...\r\n.\r\n",
         "220 250 250 250 354 250", "a@a.test>b@b.test,:.\r\n.a\r\nb..\r\n..\r\n|"},
        {"not the end of data", EHLO MAIL RCPT "DATA\r\na\n.\nb\n.\r\nc\r\n.\nd\r\n.\r\n",
         "220 250 250 250 354 250", NULL},
        {"BDAT in one chunk", EHLO MAIL RCPT "BDAT 7 LAST\r\n.\r\nab\r\nRSET\r\n",
         "220 250 250 250 250 250", "a@a.test>b@b.test,:.\r\nab\r\n|"},
        {"BDAT in chunks",
         EHLO MAIL RCPT "BDAT 3\r\nabcBDAT 0\r\nBDAT 2\r\nde"
                        "BDAT 0 LAST\r\n",
         "220 250 250 250 250 250 250 250", "a@a.test>b@b.test,:abcde|"},
        {"BDAT without recipients is swallowed", EHLO MAIL "BDAT 6 LAST\r\nMAIL\r\nNOOP\r\n",
         "220 250 250 554 250", ""},
        {"DATA behind BDAT", EHLO MAIL RCPT "BDAT 1\r\nxDATA\r\n", "220 250 250 250 250 503", ""},
        {"RCPT behind BDAT", EHLO MAIL RCPT "BDAT 1\r\nx" RCPT, "220 250 250 250 250 503", ""},
        {"a bad BDAT", EHLO MAIL RCPT "BDAT x LAST\r\nBDAT 5 FIRST\r\nBDAT\r\n",
         "220 250 250 250 501 501 501", ""},
        {"all in the wrong order", MAIL EHLO RCPT "DATA\r\nBDAT 2\r\nxx" MAIL MAIL,
         "220 503 250 503 503 503 250 503", ""},
        {"DATA without recipients", EHLO MAIL "DATA\r\n", "220 250 250 503", ""},
        {"RSET ends a transaction", EHLO MAIL RCPT "RSET\r\nDATA\r\n" MESSAGE,
         "220 250 250 250 250 503 250 250 354 250", ACCEPTED},
        {"EHLO ends a transaction", EHLO MAIL RCPT EHLO "DATA\r\n", "220 250 250 250 250 503", ""},
        {"unknown and empty", EHLO "\r\nXYZZY\r\nMAI\r\nMAILFROM:<a@b>\r\nSTARTLE\r\n",
         "220 250 500 500 500 500 500", ""},
        {"NOOP, VRFY, STARTTLS not offered", EHLO "NOOP x\r\nVRFY a\r\nSTARTTLS\r\n",
         "220 250 250 252 502", ""},
        {"bare LF ends a command", "EHLO x\nMAIL FROM:<a@a>\nRCPT TO:<b@b>\n", "220 250 250 250",
         ""},
        {"addresses",
         EHLO "MAIL FROM:a@b\r\nMAIL FROM:<a@b\r\nMAIL FROM:<a@b>x\r\nMAIL <a@b>\r\n"
              "MAIL FROM:<a@>\r\nMAIL FROM:<@b>\r\nMAIL FROM:<\x01@b>\r\nMAIL FROM:<\xc3\xa4@b>\r\n"
              "MAIL FROM:<\"a>b\\\"\"@c>\r\nRCPT TO:<>\r\nRCPT TO:<x>\r\nRCPT TO:<Postmaster>\r\n",
         "220 250 501 501 501 501 553 553 501 553 250 553 553 250", ""},
        {"parameters",
         EHLO "MAIL FROM:<a@b> SIZE=x\r\nMAIL FROM:<a@b> BODY=9BIT\r\nMAIL FROM:<a@b> FOO=1\r\n"
              "MAIL FROM:<\xc3\xa4@b> SMTPUTF8 BODY=8BITMIME SIZE=5 RET=HDRS ENVID=1\r\n"
              "RCPT TO:<\xc3\xa4@b> NOTIFY=NEVER ORCPT=rfc822;x\r\nRCPT TO:<a@b> SIZE=1\r\n",
         "220 250 501 501 555 250 250 555", ""},
        {"size announced", EHLO "MAIL FROM:<a@b> SIZE=999999999999\r\nRCPT TO:<a@b>\r\nDATA\r\n",
         "220 250 552 503 503", ""},
    };
    struct host h;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *messages = rows[i].messages;
        host_init(&h, &all_on);
        run(&h, rows[i].name, slice_cstr(rows[i].in), rows[i].codes);
        if (messages != NULL && !slice_eq(buf_slice(&h.messages), slice_cstr(messages))) {
            fail_msg("%s: messages " SLICE_FMT, rows[i].name, SLICE_ARG(buf_slice(&h.messages)));
        }
        host_fini(&h);
    }
}

static void test_extensions_off(void **state)
{
    const struct server_options off = {.hostname = SLICE("sink.test")};
    struct host h;

    (void)state;
    host_init(&h, &off);
    run(&h, "nothing offered",
        SLICE(EHLO "MAIL FROM:<a@b> SIZE=5\r\nMAIL FROM:<a@b> BODY=8BITMIME\r\n" MAIL
                   "RCPT TO:<a@b> NOTIFY=NEVER\r\n" RCPT "BDAT 1 LAST\r\n"),
        "220 250 555 555 250 555 250 502");
    /* And no enhanced codes. */
    assert_non_null(memmem(h.out.ptr, h.out.len, "\r\n250 sink.test\r\n", 17));
    assert_non_null(memmem(h.out.ptr, h.out.len, "\r\n250 Sender ok\r\n", 17));
    host_fini(&h);
}

static void test_ehlo_lines(void **state)
{
    static const char *const more[] = {"LIMITS RCPTMAX=3", NULL};
    struct server_options options = all_on;
    struct host h;

    (void)state;
    options.starttls = true;
    options.size_max = 1000;
    options.keywords = more;
    host_init(&h, &options);
    start(&h);
    feed(&h, SLICE(EHLO));
    assert_true(
        slice_eq(buf_slice(&h.out), SLICE("220 sink.test ESMTP volley-sink\r\n"
                                          "250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n"
                                          "250-SMTPUTF8\r\n250-CHUNKING\r\n250-STARTTLS\r\n"
                                          "250-ENHANCEDSTATUSCODES\r\n250-DSN\r\n250-SIZE 1000\r\n"
                                          "250 LIMITS RCPTMAX=3\r\n")));
    host_fini(&h);
}

static void test_starttls(void **state)
{
    struct server_options options = all_on;
    struct host h;
    struct slice in = SLICE(EHLO "STARTTLS\r\nMAIL FROM:<smuggled@x>\r\n");

    (void)state;
    options.starttls = true;
    host_init(&h, &options);
    start(&h);
    /* What follows belongs to the handshake, whatever it looks like (RFC 3207 4.2). */
    assert_int_equal(server_feed(&h.server, in, 0), sizeof(EHLO "STARTTLS\r\n") - 1);
    assert_true(server_tls_follows(&h.server));
    take(&h);
    assert_string_equal((buf_terminate(&h.marks), h.marks.ptr), "t");
    server_tls_started(&h.server);
    feed(&h, SLICE(MAIL EHLO "STARTTLS\r\n" MESSAGE));
    check_codes(&h, "after TLS", "220 250 220 503 250 502 250 250 354 250", 0);
    host_fini(&h);
}

static void test_limits(void **state)
{
    struct server_options options = all_on;
    struct buf in = BUF_EMPTY, codes = BUF_EMPTY;
    struct host h;

    (void)state;
    options.recipients_max = 2;
    options.size_max = 20;
    options.messages_max = 2;
    host_init(&h, &options);
    run(&h, "recipients, size",
        SLICE(EHLO MAIL RCPT RCPT RCPT "DATA\r\n12345678901234567\r\n.\r\n" MESSAGE
                                       "MAIL FROM:<a@b> SIZE=21\r\n" MESSAGE MAIL),
        "220 250 250 250 250 452 354 552 250 250 354 250 552 250 250 354 250 421");
    assert_int_equal(h.server.state, SERVER_OVER);
    host_fini(&h);

    /* Lines: one that is too long is dropped to its end, whatever is in it. */
    host_init(&h, &all_on);
    start(&h);
    BUF_LIT(&in, "NOOP ");
    for (size_t i = 0; i < SERVER_LINE_MAX; i++) {
        buf_putc(&in, 'x');
    }
    BUF_LIT(&in, "\r\nNOOP\r\n");
    feed(&h, buf_slice(&in));
    for (size_t i = 0; i < in.len; i++) {
        feed(&h, slice_of(in.ptr + i, 1));
    }
    check_codes(&h, "long line", "220 500 250 500 250", 0);
    assert_int_equal(h.stats.n[STAT_ERR_LINE], 2);
    host_fini(&h);

    /* Nonsense without end. */
    host_init(&h, &all_on);
    start(&h);
    for (int i = 0; i < 1000; i++) {
        feed(&h, SLICE("nonsense\r\n"));
    }
    put_codes(&codes, buf_slice(&h.out));
    assert_int_equal(codes.len, 4 * (1 + SERVER_ERRORS_MAX + 1) - 1);
    assert_true(slice_iends(buf_slice(&codes), SLICE("500 421")));
    host_fini(&h);
    buf_fini(&in);
    buf_fini(&codes);
}

static void test_close_without_a_word(void **state)
{
    struct server_options options = all_on;
    struct host h;

    (void)state;
    options.messages_max = 2;
    options.messages_close = true;
    host_init(&h, &options);
    start(&h);
    feed(&h, SLICE(EHLO MESSAGE MESSAGE MESSAGE));
    check_codes(&h, "close", "220 250 250 250 354 250 250 250 354 250", 0);
    assert_int_equal(h.stats.n[STAT_MESSAGES], 2);
    assert_string_equal((buf_terminate(&h.marks), h.marks.ptr), "c");
    host_fini(&h);
}

/* What a client must not send ahead of an answer, and what it may. */
static void test_pipelining_is_watched(void **state)
{
    static const struct {
        const char *name, *in;
        bool offered;
        uint64_t errors;
    } rows[] = {
        {"in step", EHLO, true, 0},
        {"behind EHLO", EHLO MAIL, true, 1},
        {"behind DATA", MAIL RCPT "DATA\r\nhello\r\n.\r\n", true, 1},
        {"one flight", MAIL RCPT "DATA\r\n", true, 0},
        {"behind a message", "hello\r\n.\r\n" MAIL RCPT "DATA\r\n", true, 0},
        {"BDAT",
         MAIL RCPT "BDAT 1 LAST\r\nx" MAIL RCPT "BDAT 1 LAST\r\nx"
                   "QUIT\r\n",
         true, 0},
        {"NOOP in the middle", "NOOP\r\nNOOP\r\n", true, 1},
        {"RSET in the middle", "RSET\r\nRSET\r\n", true, 0},
        {"not offered", MAIL RCPT, false, 1},
        {"not offered, BDAT", "BDAT 1 LAST\r\nx", false, 0},
        {"not offered, behind a message", "hello\r\n.\r\n" MAIL, false, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct server_options options = all_on;
        struct slice in = slice_cstr(rows[i].in);
        struct host h;
        options.pipelining = rows[i].offered;
        host_init(&h, &options);
        start(&h);
        if (!slice_starts(in, SLICE("EHLO"))) {
            feed(&h, SLICE(EHLO));
        }
        if (slice_starts(in, SLICE("hello")) || slice_starts(in, SLICE("BDAT"))) {
            feed(&h, SLICE(MAIL));
            feed(&h, SLICE(RCPT));
        }
        if (slice_starts(in, SLICE("hello"))) {
            feed(&h, SLICE("DATA\r\n"));
        }
        feed(&h, in);
        if (h.stats.n[STAT_ERR_PIPELINING] != rows[i].errors) {
            fail_msg("%s: %u errors", rows[i].name, (unsigned)h.stats.n[STAT_ERR_PIPELINING]);
        }
        host_fini(&h);
    }
}

static void test_unsent_answers_count(void **state)
{
    struct host h;

    (void)state;
    host_init(&h, &all_on);
    start(&h);
    feed(&h, SLICE(EHLO));
    server_feed(&h.server, SLICE(MAIL RCPT "DATA\r\n"), 0);
    /* The 354 is still in our hands: nobody can have read it. */
    server_feed(&h.server, SLICE("hello\r\n"), 0);
    assert_int_equal(h.stats.n[STAT_ERR_PIPELINING], 1);
    host_fini(&h);
}

static void test_refuse_ahead(void **state)
{
    struct server_options options = all_on;
    struct host h;

    (void)state;
    options.refuse_ahead = true;
    host_init(&h, &options);
    start(&h);
    feed(&h, SLICE(EHLO MAIL RCPT "DATA\r\n"));
    feed(&h, SLICE("hello\r\n.\r\n" MAIL RCPT "DATA\r\n"));
    check_codes(&h, "ahead", "220 250 250 250 354 250 503 503 503", 0);
    feed(&h, SLICE(MAIL RCPT "DATA\r\n"));
    feed(&h, SLICE("hello\r\n.\r\n"));
    check_codes(&h, "in time", "220 250 250 250 354 250 503 503 503 250 250 354 250", 0);
    host_fini(&h);
}

/* ---- verdicts ---- */

static void test_verdicts(void **state)
{
    static const struct {
        const char *name;
        enum server_verb at;
        struct server_verdict v;
        const char *in, *codes, *marks;
        uint64_t messages;
    } rows[] = {
        {"banner",
         SERVER_CONNECT,
         {.reply = SLICE("554 5.3.2 Not here")},
         EHLO MAIL "QUIT\r\n",
         "554 503 503 221",
         "c",
         0},
        {"EHLO, then HELO",
         SERVER_EHLO,
         {.reply = SLICE("502 5.5.1 What?")},
         EHLO "HELO x\r\n" MESSAGE,
         "220 502 250 250 250 354 250",
         "",
         1},
        {"an EHLO of one's own",
         SERVER_EHLO,
         {.reply = SLICE("250 a\nSIZE 1\n250-DSN")},
         EHLO MAIL,
         "220 250 250",
         "",
         0},
        {"MAIL refused, RCPT and DATA in flight",
         SERVER_MAIL,
         {.reply = SLICE("451 4.3.0 No")},
         EHLO MAIL RCPT "DATA\r\n",
         "220 250 451 503 503",
         "",
         0},
        {"one RCPT refused",
         SERVER_RCPT,
         {.reply = SLICE("550 5.1.1 No")},
         EHLO MAIL "RCPT TO:<odd@b>\r\n" RCPT "DATA\r\nx\r\n.\r\n",
         "220 250 250 550 250 354 250",
         "",
         1},
        {"all RCPT refused",
         SERVER_RCPT,
         {.reply = SLICE("550 5.1.1 No")},
         EHLO MAIL "RCPT TO:<odd@b>\r\nDATA\r\nBDAT 3 LAST\r\nxyzRSET\r\n",
         "220 250 250 550 554 554 250",
         "",
         0},
        {"RCPT answered 251",
         SERVER_RCPT,
         {.reply = SLICE("251 2.1.5 Elsewhere")},
         EHLO MAIL "RCPT TO:<odd@b>\r\nDATA\r\nx\r\n.\r\n",
         "220 250 250 251 354 250",
         "",
         1},
        {"DATA refused",
         SERVER_DATA,
         {.reply = SLICE("451 4.3.0 No")},
         EHLO MAIL RCPT "DATA\r\n",
         "220 250 250 250 451",
         "",
         0},
        {"the message refused",
         SERVER_DOT,
         {.reply = SLICE("554 5.7.1 Spam")},
         EHLO MESSAGE MAIL,
         "220 250 250 250 354 554 250",
         "",
         0},
        {"a chunk refused: RSET first",
         SERVER_BDAT,
         {.reply = SLICE("451 4.3.0 No")},
         EHLO MAIL RCPT "BDAT 1\r\nxBDAT 1 LAST\r\ny" MAIL "RSET\r\n" MAIL,
         "220 250 250 250 451 503 503 250 250",
         "",
         0},
        {"the last chunk refused",
         SERVER_BDAT,
         {.reply = SLICE("451 4.3.0 No")},
         EHLO MAIL RCPT "BDAT 1 LAST\r\nx" MAIL RCPT "BDAT 1 LAST\r\ny"
                        "RSET\r\n",
         "220 250 250 250 451 503 503 503 250",
         "",
         0},
        {"accepted, then closed",
         SERVER_DOT,
         {.then = SERVER_THEN_CLOSE},
         EHLO MESSAGE MESSAGE,
         "220 250 250 250 354 250",
         "c",
         1},
        {"closed without an answer",
         SERVER_DOT,
         {.mute = true, .then = SERVER_THEN_CLOSE},
         EHLO MESSAGE MESSAGE,
         "220 250 250 250 354",
         "c",
         0},
        {"reset",
         SERVER_MAIL,
         {.mute = true, .then = SERVER_THEN_RESET},
         EHLO MESSAGE,
         "220 250",
         "r",
         0},
        {"stall",
         SERVER_RCPT,
         {.mute = true, .then = SERVER_THEN_STALL},
         EHLO MAIL "RCPT TO:<odd@b>\r\n" RCPT,
         "220 250 250",
         "s",
         0},
        {"421 and close",
         SERVER_MAIL,
         {.reply = SLICE("421 4.7.0 Enough"), .then = SERVER_THEN_CLOSE},
         EHLO MESSAGE,
         "220 250 421",
         "c",
         0},
        {"an answer nobody asked for",
         SERVER_NOOP,
         {.ahead = SLICE("421 4.3.2 Soon")},
         "NOOP\r\nNOOP\r\n",
         "220 421 250 421 250",
         "",
         0},
        {"delay and dribble",
         SERVER_NOOP,
         {.delay_us = 5, .dribble = true},
         "NOOP\r\n",
         "220 250",
         "dBb",
         0},
        {"hold", SERVER_NOOP, {.hold_us = 5}, "NOOP\r\n", "220 250", "h", 0},
        {"pause", SERVER_NOOP, {.pause_us = 5}, "NOOP\r\n", "220 250", "p", 0},
        {"early answer",
         SERVER_BODY,
         {.reply = SLICE("552 5.3.4 Stop"), .body_at = 3},
         EHLO MESSAGE MAIL,
         "220 250 250 250 354 552 250",
         "",
         0},
        {"early answer in a chunk",
         SERVER_BODY,
         {.reply = SLICE("552 5.3.4 Stop"), .body_at = 3},
         EHLO MAIL RCPT "BDAT 5 LAST\r\nhello" MAIL,
         "220 250 250 250 552 250",
         "",
         0},
        {"closed within a body",
         SERVER_BODY,
         {.mute = true, .then = SERVER_THEN_CLOSE, .body_at = 3},
         EHLO MESSAGE MAIL,
         "220 250 250 250 354",
         "c",
         0},
        {"a body too short for it",
         SERVER_BODY,
         {.mute = true, .then = SERVER_THEN_CLOSE, .body_at = 300},
         EHLO MESSAGE MAIL,
         "220 250 250 250 354 250 250",
         "",
         1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct host h;
        host_init(&h, &all_on);
        h.hooks.verbs = 1u << rows[i].at;
        h.decide_at = rows[i].at;
        h.verdict = rows[i].v;
        run(&h, rows[i].name, slice_cstr(rows[i].in), rows[i].codes);
        buf_terminate(&h.marks);
        assert_string_equal(h.marks.ptr, rows[i].marks);
        assert_int_equal(h.stats.n[STAT_MESSAGES], rows[i].messages);
        /* What the server itself brought about is no error of the client. */
        if (rows[i].at != SERVER_CONNECT) {
            if (h.stats.n[STAT_ERR_SEQUENCE] != 0) {
                fail_msg("%s: counted as an error of the client", rows[i].name);
            }
        }
        host_fini(&h);
    }
}

static void test_raw_bytes_in_place(void **state)
{
    struct host h;

    (void)state;
    host_init(&h, &all_on);
    h.hooks.verbs = 1u << SERVER_NOOP;
    h.decide_at = SERVER_NOOP;
    h.verdict = (struct server_verdict){.raw = SLICE("junk\n"), .mute = true};
    start(&h);
    feed(&h, SLICE("NOOP\r\n"));
    assert_true(slice_iends(buf_slice(&h.out), SLICE("volley-sink\r\njunk\n")));
    host_fini(&h);
}

/* ---- what is counted ---- */

static void test_findings(void **state)
{
    static const struct {
        const char *mail, *body;
        enum sink_stat stat;
        uint64_t count;
    } rows[] = {
        {MAIL, "a\nb", STAT_BODY_BARE_LF, 1},
        {MAIL, "a\rb", STAT_BODY_BARE_CR, 1},
        {MAIL, "a\n.\r\nb", STAT_BODY_SMUGGLE, 1},
        {MAIL, "\xc3\xa4", STAT_BODY_8BIT, 1},
        {"MAIL FROM:<a@b> BODY=8BITMIME\r\n", "\xc3\xa4", STAT_BODY_8BIT, 0},
        {MAIL, "fine", STAT_BODY_SMUGGLE, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct host h;
        host_init(&h, &all_on);
        start(&h);
        feed(&h, SLICE(EHLO));
        feed(&h, slice_cstr(rows[i].mail));
        feed(&h, SLICE(RCPT "DATA\r\n"));
        feed(&h, slice_cstr(rows[i].body));
        feed(&h, SLICE("\r\n.\r\n"));
        assert_int_equal(h.stats.n[STAT_MESSAGES], 1);
        assert_int_equal(h.stats.n[rows[i].stat], rows[i].count);
        host_fini(&h);
    }
}

static void test_interruptions(void **state)
{
    static const struct {
        const char *in;
        uint64_t lost, lost_body;
    } rows[] = {
        {EHLO, 0, 0},
        {EHLO MESSAGE, 0, 0},
        {EHLO MAIL, 1, 0},
        {EHLO "MAI", 1, 0},
        {EHLO MAIL RCPT "DATA\r\nhello\r\n.", 0, 1},
        {EHLO MAIL RCPT "BDAT 9\r\nhello", 0, 1},
        {EHLO MESSAGE "QUIT\r\n", 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct host h;
        host_init(&h, &all_on);
        start(&h);
        feed(&h, slice_cstr(rows[i].in));
        server_lost(&h.server);
        assert_int_equal(h.stats.n[STAT_ERR_LOST], rows[i].lost);
        assert_int_equal(h.stats.n[STAT_ERR_LOST_BODY], rows[i].lost_body);
        host_fini(&h);
    }
}

static void test_header_only(void **state)
{
    struct server_options options = all_on;
    struct host h;

    (void)state;
    options.keep = SERVER_KEEP_HEADER;
    host_init(&h, &options);
    run(&h, "header",
        SLICE(EHLO MAIL RCPT "DATA\r\nA: 1\r\n..B: 2\r\n\r\nbody\r\n.\r\n" MAIL RCPT
                             "BDAT 9\r\nA: 1\r\n\r\nbBDAT 3 LAST\r\nody"),
        "220 250 250 250 354 250 250 250 250 250");
    assert_true(slice_eq(buf_slice(&h.messages), SLICE("a@a.test>b@b.test,:A: 1\r\n.B: 2\r\n|"
                                                       "a@a.test>b@b.test,:A: 1\r\n|")));
    host_fini(&h);
}

/* Hostile bytes: never a crash, bounded memory, every answer well formed. */
static void test_noise(void **state)
{
    static const char *const words[] = {"EHLO x\r\n",
                                        MAIL,
                                        RCPT,
                                        "DATA\r\n",
                                        "BDAT 5\r\n",
                                        "BDAT 7 LAST\r\n",
                                        "BDAT 99999999999999999999\r\n",
                                        "BDAT 18446744073709551615 LAST\r\n",
                                        ".\r\n",
                                        "\r\n",
                                        "RSET\r\n",
                                        "x",
                                        "\n",
                                        "\0",
                                        "\r",
                                        "<",
                                        ">",
                                        "\xff"};
    struct rng rng;

    (void)state;
    rng_seed(&rng, 7);
    for (int round = 0; round < 300; round++) {
        struct host h;
        struct buf codes = BUF_EMPTY;
        host_init(&h, &all_on);
        start(&h);
        for (int i = 0; i < 200; i++) {
            size_t pick = rng_below(&rng, sizeof(words) / sizeof(words[0]));
            struct slice word = pick == 13 ? slice_of("\0", 1) : slice_cstr(words[pick]);
            feed(&h, word);
        }
        put_codes(&codes, buf_slice(&h.out));
        buf_fini(&codes);
        host_fini(&h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dialogues),
        cmocka_unit_test(test_extensions_off),
        cmocka_unit_test(test_ehlo_lines),
        cmocka_unit_test(test_starttls),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_close_without_a_word),
        cmocka_unit_test(test_pipelining_is_watched),
        cmocka_unit_test(test_unsent_answers_count),
        cmocka_unit_test(test_refuse_ahead),
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_raw_bytes_in_place),
        cmocka_unit_test(test_findings),
        cmocka_unit_test(test_interruptions),
        cmocka_unit_test(test_header_only),
        cmocka_unit_test(test_noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
