/*
 * test_server.c - the receiving session: what it answers to what, however the bytes come.
 *
 * A dialogue is the client's bytes and the codes of all answers.  Each is run with the input
 * in one piece, byte by byte, and cut in two at every place: the answers must be the same.
 */
#include "tests/unit/bench/host.h"
#include "engine/base/rng.h"

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
        host_run(&h, rows[i].name, slice_cstr(rows[i].in), rows[i].codes);
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
    host_run(&h, "nothing offered",
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
    host_start(&h);
    host_feed(&h, SLICE(EHLO));
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
    host_start(&h);
    /* What follows belongs to the handshake, whatever it looks like (RFC 3207 4.2). */
    assert_int_equal(server_feed(&h.server, in, 0), sizeof(EHLO "STARTTLS\r\n") - 1);
    assert_true(server_tls_follows(&h.server));
    take(&h);
    assert_string_equal((buf_terminate(&h.marks), h.marks.ptr), "t");
    server_tls_started(&h.server);
    host_feed(&h, SLICE(MAIL EHLO "STARTTLS\r\n" MESSAGE));
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
    host_run(&h, "recipients, size",
             SLICE(EHLO MAIL RCPT RCPT RCPT "DATA\r\n12345678901234567\r\n.\r\n" MESSAGE
                                            "MAIL FROM:<a@b> SIZE=21\r\n" MESSAGE MAIL),
             "220 250 250 250 250 452 354 552 250 250 354 250 552 250 250 354 250 421");
    assert_int_equal(h.server.state, SERVER_OVER);
    host_fini(&h);

    /* Lines: one that is too long is dropped to its end, whatever is in it. */
    host_init(&h, &all_on);
    host_start(&h);
    BUF_LIT(&in, "NOOP ");
    for (size_t i = 0; i < SERVER_LINE_MAX; i++) {
        buf_putc(&in, 'x');
    }
    BUF_LIT(&in, "\r\nNOOP\r\n");
    host_feed(&h, buf_slice(&in));
    for (size_t i = 0; i < in.len; i++) {
        host_feed(&h, slice_of(in.ptr + i, 1));
    }
    check_codes(&h, "long line", "220 500 250 500 250", 0);
    assert_int_equal(h.stats.n[STAT_ERR_LINE], 2);
    host_fini(&h);

    /* Nonsense without end. */
    host_init(&h, &all_on);
    host_start(&h);
    for (int i = 0; i < 1000; i++) {
        host_feed(&h, SLICE("nonsense\r\n"));
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
    host_start(&h);
    host_feed(&h, SLICE(EHLO MESSAGE MESSAGE MESSAGE));
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
        host_start(&h);
        if (!slice_starts(in, SLICE("EHLO"))) {
            host_feed(&h, SLICE(EHLO));
        }
        if (slice_starts(in, SLICE("hello")) || slice_starts(in, SLICE("BDAT"))) {
            host_feed(&h, SLICE(MAIL));
            host_feed(&h, SLICE(RCPT));
        }
        if (slice_starts(in, SLICE("hello"))) {
            host_feed(&h, SLICE("DATA\r\n"));
        }
        host_feed(&h, in);
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
    host_start(&h);
    host_feed(&h, SLICE(EHLO));
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
    host_start(&h);
    host_feed(&h, SLICE(EHLO MAIL RCPT "DATA\r\n"));
    host_feed(&h, SLICE("hello\r\n.\r\n" MAIL RCPT "DATA\r\n"));
    check_codes(&h, "ahead", "220 250 250 250 354 250 503 503 503", 0);
    host_feed(&h, SLICE(MAIL RCPT "DATA\r\n"));
    host_feed(&h, SLICE("hello\r\n.\r\n"));
    check_codes(&h, "in time", "220 250 250 250 354 250 503 503 503 250 250 354 250", 0);
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
        host_start(&h);
        for (int i = 0; i < 200; i++) {
            size_t pick = rng_below(&rng, sizeof(words) / sizeof(words[0]));
            struct slice word = pick == 13 ? slice_of("\0", 1) : slice_cstr(words[pick]);
            host_feed(&h, word);
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
        cmocka_unit_test(test_noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
