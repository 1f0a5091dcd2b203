/*
 * test_verdict.c - the receiving session: what hooks may change, and what is counted and kept.
 */
#include "tests/unit/bench/host.h"

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
        host_run(&h, rows[i].name, slice_cstr(rows[i].in), rows[i].codes);
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
    host_start(&h);
    host_feed(&h, SLICE("NOOP\r\n"));
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
        host_start(&h);
        host_feed(&h, SLICE(EHLO));
        host_feed(&h, slice_cstr(rows[i].mail));
        host_feed(&h, SLICE(RCPT "DATA\r\n"));
        host_feed(&h, slice_cstr(rows[i].body));
        host_feed(&h, SLICE("\r\n.\r\n"));
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
        host_start(&h);
        host_feed(&h, slice_cstr(rows[i].in));
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
    host_run(&h, "header",
             SLICE(EHLO MAIL RCPT "DATA\r\nA: 1\r\n..B: 2\r\n\r\nbody\r\n.\r\n" MAIL RCPT
                                  "BDAT 9\r\nA: 1\r\n\r\nbBDAT 3 LAST\r\nody"),
             "220 250 250 250 354 250 250 250 250 250");
    assert_true(slice_eq(buf_slice(&h.messages), SLICE("a@a.test>b@b.test,:A: 1\r\n.B: 2\r\n|"
                                                       "a@a.test>b@b.test,:A: 1\r\n|")));
    host_fini(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),    cmocka_unit_test(test_raw_bytes_in_place),
        cmocka_unit_test(test_findings),    cmocka_unit_test(test_interruptions),
        cmocka_unit_test(test_header_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
