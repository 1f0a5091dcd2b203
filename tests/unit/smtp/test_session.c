/*
 * test_session.c - the session's contract with its owner.  Whole conversations are in
 * tests/dialogue, every verb with every class of reply in test_session_table.c.
 */
#include "tests/unit/smtp/owner.h"

static void test_one_flight_is_one_write(void **state)
{
    static struct owner o;
    struct iovec iov[64];

    (void)state;
    begin(&o);
    ready(&o, CHUNKING);
    assert_int_equal(smtp_session_room(&o.session), 1);
    submit(&o, 0);
    assert_int_equal(smtp_session_room(&o.session), 0);
    assert_int_equal(smtp_session_output(&o.session, iov, 64, o.now_us), 2);
    assert_ptr_equal(iov[1].iov_base, raw.iov_base); /* content is never copied */
    assert_int_equal(iov[1].iov_len, raw.iov_len);
    assert_memory_equal(iov[0].iov_base, ENVELOPE "BDAT 17 LAST\r\n", iov[0].iov_len);
    /* Until it is written there is nothing more. */
    assert_int_equal(smtp_session_output(&o.session, iov, 64, o.now_us), 0);
    smtp_session_sent(&o.session, 5, o.now_us);
    assert_int_equal(smtp_session_output(&o.session, iov, 64, o.now_us), 0);
    smtp_session_sent(&o.session, sizeof(ENVELOPE "BDAT 17 LAST\r\n") - 1 + 17 - 5, o.now_us);
    say(&o, "250 ok\r\n250 ok\r\n250 ok\r\n");
    assert_int_equal(o.done, 1);
    assert_int_equal(o.txn[0].bytes, 17);
    assert_true(o.txn[0].sent_bdat);
    assert_true(smtp_session_idle(&o.session));
    finish(&o);
}

/* Content in more pieces than one flight takes, and larger than one flight. */
static void test_content_in_pieces(void **state)
{
    enum { PIECES = 100, PIECE = 5000 };
    static struct owner o;
    static struct iovec many[PIECES + 2];
    static char piece[PIECE];
    struct iovec iov[10];
    size_t bytes = 0, flights = 0, count;

    (void)state;
    memset(piece, 'x', sizeof(piece));
    for (size_t i = 0; i < PIECES; i++) {
        many[i] = (struct iovec){piece, PIECE};
    }
    many[PIECES] = (struct iovec){piece, 0}; /* an empty piece is no piece */
    many[PIECES + 1] = (struct iovec){"\r\n.\r\n", 5};
    begin(&o);
    o.config.pipeline = SMTP_PIPELINE_COMMANDS;
    ready(&o, PIPELINING);
    submit(&o, 0);
    o.txn[0].content = (struct smtp_content){many, PIECES + 2, PIECES * PIECE + 5, NULL, 0, 0};
    hear(&o);
    smtp_session_feed(&o.session, SLICE("250 ok\r\n250 ok\r\n354 go\r\n"), o.now_us);
    while ((count = smtp_session_output(&o.session, iov, 10, o.now_us)) > 0) {
        size_t flight = 0;
        for (size_t i = 0; i < count; i++) {
            assert_true(iov[i].iov_len > 0);
            flight += iov[i].iov_len;
        }
        assert_true(flight <= SMTP_FLIGHT_MAX);
        bytes += flight;
        flights++;
        assert_true(smtp_session_deadline_us(&o.session) - o.now_us >= o.config.block_us);
        smtp_session_sent(&o.session, flight, o.now_us);
    }
    assert_int_equal(bytes, PIECES * PIECE + 5);
    assert_true(flights >= 10);
    say(&o, "250 ok\r\n");
    assert_int_equal(o.rcpt[0].outcome, SMTP_ACCEPTED);
    finish(&o);
}

/* The reply may be seen before the write is reported: content stays lent until then. */
static void test_content_is_not_given_back_under_a_write(void **state)
{
    static struct owner o;
    struct iovec iov[64];

    (void)state;
    begin(&o);
    ready(&o, CHUNKING);
    submit(&o, 0);
    smtp_session_output(&o.session, iov, 64, o.now_us);
    smtp_session_feed(&o.session, SLICE("250 ok\r\n250 ok\r\n250 ok\r\n"), o.now_us);
    events(&o);
    assert_int_equal(o.done, 0);
    smtp_session_sent(&o.session, iov[0].iov_len + iov[1].iov_len, o.now_us);
    events(&o);
    assert_int_equal(o.done, 1);
    finish(&o);
}

/* After the end the owner gets everything at once, and is told what is still lent. */
static void test_lent_after_the_end(void **state)
{
    static struct owner o;
    struct smtp_event e;
    struct iovec iov[64];

    (void)state;
    begin(&o);
    ready(&o, CHUNKING);
    submit(&o, 0);
    smtp_session_output(&o.session, iov, 64, o.now_us);
    smtp_session_expire(&o.session, smtp_session_deadline_us(&o.session));
    assert_true(smtp_session_event(&o.session, &e));
    assert_int_equal(e.type, SMTP_EVENT_TXN_DONE);
    assert_true(e.lent);
    assert_int_equal(o.rcpt[0].outcome, SMTP_AMBIGUOUS);
    assert_true(smtp_session_event(&o.session, &e));
    assert_int_equal(e.type, SMTP_EVENT_END);
    assert_false(smtp_session_event(&o.session, &e));
    assert_int_equal(smtp_session_output(&o.session, iov, 64, o.now_us), 0);
    smtp_session_sent(&o.session, iov[0].iov_len + iov[1].iov_len, o.now_us);
    finish(&o);
}

static void test_timings(void **state)
{
    static struct owner o;

    (void)state;
    begin(&o);
    ready(&o, PIPELINING);
    submit(&o, 0);
    hear(&o);
    o.now_us += 250;
    say(&o, "250 ok\r\n");
    o.now_us += 50;
    say(&o, "250 ok\r\n354 go\r\n");
    o.now_us += 4000;
    say(&o, "250 2.0.0 queued as 1\r\n");
    assert_int_equal(o.txn[0].t_mail_us, 250);
    assert_int_equal(o.txn[0].t_dot_us, 4000);
    assert_int_equal(o.txn[0].bytes, dotted.iov_len);
    assert_true(slice_eq(smtp_rcpt_text(&o.txn[0], &o.rcpt[0]), SLICE("queued as 1")));
    finish(&o);
}

/* Equal texts of many recipients are kept once. */
static void test_texts_are_shared(void **state)
{
    enum { COUNT = 90 };
    static struct owner o;
    static struct smtp_rcpt rcpts[COUNT];
    struct buf replies = BUF_EMPTY;

    (void)state;
    begin(&o);
    ready(&o, PIPELINING);
    for (size_t i = 0; i < COUNT; i++) {
        rcpts[i] = (struct smtp_rcpt){.address = SLICE("b@y.example")};
    }
    o.txn[0].rcpts = rcpts;
    o.txn[0].rcpt_count = COUNT;
    o.txn[0].content = (struct smtp_content){&dotted, 1, 20, NULL, 0, 0};
    smtp_session_submit(&o.session, &o.txn[0], o.now_us);
    hear(&o);
    BUF_LIT(&replies, "250 ok\r\n");
    for (size_t i = 0; i < COUNT; i++) {
        buf_puts(&replies, i % 2 == 0 ? SLICE("550 5.1.1 no such user\r\n") : SLICE("250 ok\r\n"));
    }
    BUF_LIT(&replies, "354 go\r\n250 2.0.0 queued\r\n");
    buf_terminate(&replies);
    say(&o, replies.ptr);
    assert_int_equal(o.done, 1);
    assert_true(o.txn[0].text.len < 32);
    for (size_t i = 0; i < COUNT; i++) {
        struct slice text = i % 2 == 0 ? SLICE("no such user") : SLICE("queued");
        assert_true(slice_eq(smtp_rcpt_text(&o.txn[0], &rcpts[i]), text));
    }
    buf_fini(&replies);
    finish(&o);
}

/* A thousand different answers of the longest kind do not grow without end. */
static void test_texts_are_bounded(void **state)
{
    enum { COUNT = SMTP_RCPT_MAX };
    static struct owner o;
    static struct smtp_rcpt rcpts[COUNT];
    static char line[700];

    (void)state;
    begin(&o);
    ready(&o, PIPELINING);
    for (size_t i = 0; i < COUNT; i++) {
        rcpts[i] = (struct smtp_rcpt){.address = SLICE("b@y.example")};
    }
    o.txn[0].rcpts = rcpts;
    o.txn[0].rcpt_count = COUNT;
    o.txn[0].content = (struct smtp_content){&dotted, 1, 20, NULL, 0, 0};
    smtp_session_submit(&o.session, &o.txn[0], o.now_us);
    smtp_session_feed(&o.session, SLICE_NONE, o.now_us);
    for (size_t i = 0; i <= COUNT; i++) {
        struct iovec iov[64];
        size_t bytes = 0, count = smtp_session_output(&o.session, iov, 64, o.now_us);
        for (size_t v = 0; v < count; v++) {
            bytes += iov[v].iov_len;
        }
        smtp_session_sent(&o.session, bytes, o.now_us);
        memset(line, 'x', sizeof(line));
        int len = snprintf(line, 32, i == 0 ? "250 ok" : "550 5.1.1 user %zu unknown", i);
        line[len] = ' ';
        memcpy(line + sizeof(line) - 2, "\r\n", 2);
        smtp_session_feed(&o.session, slice_of(line, sizeof(line)), o.now_us);
    }
    assert_int_equal(smtp_session_end(&o.session)->reason, SMTP_END_NONE);
    assert_string_equal(say(&o, "554 no\r\n"), "");
    assert_int_equal(o.done, 1);
    assert_true(o.txn[0].text.len <= 65536);
    assert_int_equal(smtp_rcpt_text(&o.txn[0], &rcpts[0]).len, SMTP_TEXT_MAX);
    finish(&o);
}

/* A transaction and its recipients can be used again after a reset. */
static void test_reuse_of_memory(void **state)
{
    static struct owner o;

    (void)state;
    begin(&o);
    ready(&o, CHUNKING);
    for (int i = 0; i < 5; i++) {
        o.done = 0;
        submit(&o, 0);
        assert_string_equal(hear(&o), ENVELOPE "BDAT 17 LAST\r\nSubject: x\r\n\r\nx\r\n");
        say(&o, "250 ok\r\n250 ok\r\n250 ok\r\n");
        assert_int_equal(o.done, 1);
        assert_true(smtp_session_idle(&o.session));
        smtp_session_trim(&o.session);
    }
    finish(&o);
}

static void test_what_is_known(void **state)
{
    static struct owner o;

    (void)state;
    begin(&o);
    ready(&o, "250-mx.y.example\r\n250-SIZE 1000\r\n250 LIMITS RCPTMAX=7\r\n");
    assert_int_equal(smtp_session_ehlo(&o.session)->size_max, 1000);
    assert_int_equal(smtp_session_rcpt_max(&o.session), 7);
    assert_false(smtp_session_is_tls(&o.session));
    assert_int_equal(smtp_session_stage(&o.session), SMTP_STAGE_MAIL);
    assert_int_equal(smtp_session_deadline_us(&o.session), INT64_MAX);
    smtp_session_eof(&o.session, 0, o.now_us);
    /* Whatever comes after the end changes nothing. */
    say(&o, "250 ok\r\n");
    smtp_session_eof(&o.session, ERR_IO, o.now_us);
    smtp_session_quit(&o.session, o.now_us);
    smtp_session_tls_up(&o.session, o.now_us);
    assert_int_equal(smtp_session_end(&o.session)->reason, SMTP_END_IDLE);
    assert_int_equal(smtp_session_stage(&o.session), smtp_session_end(&o.session)->stage);
    finish(&o);
}

static void test_is_small(void **state)
{
    (void)state;
    assert_true(sizeof(struct smtp_session) < 1536);
    assert_true(sizeof(struct smtp_rcpt) <= 64);
}

/* What was submitted and not begun can be had back: nothing of it was or will be said. */
static void test_withdraw(void **state)
{
    struct owner o;

    (void)state;
    begin(&o);
    o.config.pipeline = SMTP_PIPELINE_MESSAGES;
    ready(&o, PIPELINING);
    assert_null(smtp_session_withdraw(&o.session));
    submit(&o, 0);
    assert_ptr_equal(smtp_session_withdraw(&o.session), &o.txn[0]);
    assert_null(smtp_session_withdraw(&o.session));
    assert_string_equal(hear(&o), "");
    assert_true(smtp_session_idle(&o.session));
    assert_int_equal(smtp_session_room(&o.session), 2);

    submit(&o, 0);
    assert_string_equal(hear(&o), ENVELOPE "DATA\r\n");
    submit(&o, 1);
    assert_int_equal(smtp_session_room(&o.session), 0);
    assert_ptr_equal(smtp_session_withdraw(&o.session), &o.txn[1]);
    assert_null(smtp_session_withdraw(&o.session)); /* that one has begun */
    assert_string_equal(say(&o, "250 ok\r\n250 ok\r\n354 go\r\n"), CONTENT);
    submit(&o, 1);
    assert_string_equal(hear(&o), ENVELOPE "DATA\r\n");
    assert_null(smtp_session_withdraw(&o.session));
    assert_string_equal(say(&o, "250 taken\r\n250 ok\r\n250 ok\r\n354 go\r\n"), CONTENT);
    say(&o, "250 taken\r\n");
    assert_int_equal(o.done, 3);
    assert_int_equal(o.rcpt[0].outcome, SMTP_ACCEPTED);
    assert_int_equal(o.rcpt[1].outcome, SMTP_ACCEPTED);
    finish(&o);
}

/* What may go ahead is told between transactions. */
static void test_go_ahead(void **state)
{
    static struct owner o;

    (void)state;
    begin(&o);
    smtp_session_init(&o.session, &o.config, o.now_us);
    smtp_session_go_ahead(&o.session, true); /* too early: no harm */
    say(&o, "220 mx\r\n");
    say(&o, CHUNKING);
    assert_int_equal(smtp_session_room(&o.session), 1);
    smtp_session_go_ahead(&o.session, true);
    assert_int_equal(smtp_session_room(&o.session), 2);
    submit(&o, 0);
    submit(&o, 1);
    assert_string_equal(hear(&o),
                        ENVELOPE "BDAT 17 LAST\r\nSubject: x\r\n\r\nx\r\n"
                                 "RSET\r\n" ENVELOPE "BDAT 17 LAST\r\nSubject: x\r\n\r\nx\r\n");
    smtp_session_go_ahead(&o.session, false);
    say(&o, "250 1\r\n250 1\r\n250 1\r\n");
    assert_int_equal(smtp_session_room(&o.session), 0); /* one is still inside */
    say(&o, "250 r\r\n250 2\r\n250 2\r\n250 2\r\n");
    assert_int_equal(o.done, 3);
    assert_true(o.txn[1].went_ahead);
    assert_int_equal(smtp_session_room(&o.session), 1);
    finish(&o);
}

/* It found out itself that this server minds: nobody talks it into it again. */
static void test_go_ahead_after_a_refusal(void **state)
{
    static struct owner o;

    (void)state;
    begin(&o);
    ready(&o, PIPELINING);
    smtp_session_go_ahead(&o.session, true);
    submit(&o, 0);
    submit(&o, 1);
    hear(&o);
    say(&o, "250 1\r\n250 1\r\n354 1\r\n");
    say(&o, "250 1\r\n503 2\r\n503 2\r\n503 2\r\n");
    assert_int_equal(smtp_session_learned(&o.session), SMTP_LEARNED_AHEAD_REFUSED);
    smtp_session_go_ahead(&o.session, true);
    say(&o, "250 2\r\n250 2\r\n354 2\r\n");
    say(&o, "250 2\r\n");
    assert_int_equal(o.done, 3);
    assert_int_equal(o.rcpt[1].outcome, SMTP_ACCEPTED);
    smtp_session_go_ahead(&o.session, true);
    assert_int_equal(smtp_session_room(&o.session), 1);
    finish(&o);
}

/* A mode that was named is not changed by what was learned. */
static void test_go_ahead_is_for_auto(void **state)
{
    static const struct {
        enum smtp_pipeline mode;
        unsigned room;
    } cases[] = {{SMTP_PIPELINE_OFF, 1},
                 {SMTP_PIPELINE_COMMANDS, 1},
                 {SMTP_PIPELINE_MESSAGES, 2},
                 {SMTP_PIPELINE_CHUNKING, 2},
                 {SMTP_PIPELINE_AUTO, 2}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        static struct owner o;
        begin(&o);
        o.config.pipeline = cases[i].mode;
        ready(&o, CHUNKING);
        smtp_session_go_ahead(&o.session, true);
        assert_int_equal(smtp_session_room(&o.session), cases[i].room);
        finish(&o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_flight_is_one_write),
        cmocka_unit_test(test_content_in_pieces),
        cmocka_unit_test(test_content_is_not_given_back_under_a_write),
        cmocka_unit_test(test_lent_after_the_end),
        cmocka_unit_test(test_timings),
        cmocka_unit_test(test_texts_are_shared),
        cmocka_unit_test(test_texts_are_bounded),
        cmocka_unit_test(test_reuse_of_memory),
        cmocka_unit_test(test_what_is_known),
        cmocka_unit_test(test_is_small),
        cmocka_unit_test(test_withdraw),
        cmocka_unit_test(test_go_ahead),
        cmocka_unit_test(test_go_ahead_after_a_refusal),
        cmocka_unit_test(test_go_ahead_is_for_auto),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
