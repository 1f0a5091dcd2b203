/*
 * test_session.c - every verb with every class of reply, and the session's contract with
 * its owner.  Whole conversations are in tests/dialogue.
 */
#include "engine/base/err.h"
#include "engine/smtp/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

/* ---- an owner ---- */

struct owner {
    struct smtp_config config;
    struct smtp_session session;
    struct smtp_txn txn[4];
    struct smtp_rcpt rcpt[4];
    unsigned done; /* bit n: transaction n came back */
    bool starttls, ready, ended;
    int64_t now_us;
    char heard[8192];
};

static const struct iovec dotted = {"Subject: x\r\n\r\nx\r\n.\r\n", 20};
static const struct iovec raw = {"Subject: x\r\n\r\nx\r\n", 17};

static void events(struct owner *o)
{
    struct smtp_event e;

    while (smtp_session_event(&o->session, &e)) {
        assert_false(o->ended);
        o->starttls = o->starttls || e.type == SMTP_EVENT_STARTTLS;
        o->ready = o->ready || e.type == SMTP_EVENT_READY;
        o->ended = e.type == SMTP_EVENT_END;
        if (e.type == SMTP_EVENT_TXN_DONE) {
            o->done |= 1u << (e.txn - o->txn);
            assert_false(e.lent && smtp_session_end(&o->session)->reason == SMTP_END_NONE);
        }
    }
}

/* What the client says now. */
static const char *hear(struct owner *o)
{
    struct iovec iov[SMTP_IOV_MIN];
    size_t len = 0, count;

    events(o);
    while ((count = smtp_session_output(&o->session, iov, SMTP_IOV_MIN, o->now_us)) > 0) {
        size_t bytes = 0;
        for (size_t i = 0; i < count; i++) {
            assert_true(len + iov[i].iov_len < sizeof(o->heard));
            memcpy(o->heard + len, iov[i].iov_base, iov[i].iov_len);
            len += iov[i].iov_len;
            bytes += iov[i].iov_len;
        }
        smtp_session_sent(&o->session, bytes, o->now_us);
        events(o);
    }
    o->heard[len] = '\0';
    return o->heard;
}

static const char *say(struct owner *o, const char *bytes)
{
    smtp_session_feed(&o->session, slice_cstr(bytes), o->now_us);
    return hear(o);
}

static void submit(struct owner *o, int n)
{
    struct smtp_txn *t = &o->txn[n];

    o->rcpt[n] = (struct smtp_rcpt){.address = SLICE("b@y.example")};
    smtp_txn_reset(t);
    t->mail_from = SLICE("a@x.example");
    t->rcpts = &o->rcpt[n];
    t->rcpt_count = 1;
    t->content = (struct smtp_content){&dotted, 1, 20, &raw, 1, 17};
    smtp_session_submit(&o->session, t, o->now_us);
}

static void begin(struct owner *o)
{
    memset(o, 0, sizeof(*o));
    smtp_config_init(&o->config, SLICE("mta.example.com"));
    o->now_us = 1000000;
    for (int i = 0; i < 4; i++) {
        smtp_txn_init(&o->txn[i]);
    }
}

static void finish(struct owner *o)
{
    smtp_session_fini(&o->session);
    for (int i = 0; i < 4; i++) {
        smtp_txn_fini(&o->txn[i]);
    }
}

static void start(struct owner *o)
{
    smtp_session_init(&o->session, &o->config, o->now_us);
    assert_string_equal(hear(o), "");
}

/* READY with these extensions. */
static void ready(struct owner *o, const char *ehlo)
{
    start(o);
    say(o, "220 mx.y.example\r\n");
    say(o, ehlo);
    assert_true(o->ready);
}

/* ---- every verb, every class ---- */

#define PIPELINING "250-mx.y.example\r\n250 PIPELINING\r\n"
#define CHUNKING   "250-mx.y.example\r\n250-CHUNKING\r\n250 PIPELINING\r\n"
#define ENVELOPE   "MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\n"
#define CONTENT    "Subject: x\r\n\r\nx\r\n.\r\n"

/* Brings a session to where `verb` is the oldest command without a reply. */
static void reach(struct owner *o, enum smtp_verb verb)
{
    switch (verb) {
    case SMTP_VERB_GREETING:
        start(o);
        return;
    case SMTP_VERB_EHLO:
        start(o);
        say(o, "220 mx.y.example\r\n");
        return;
    case SMTP_VERB_HELO:
        reach(o, SMTP_VERB_EHLO);
        say(o, "500 what?\r\n");
        return;
    case SMTP_VERB_STARTTLS:
        reach(o, SMTP_VERB_EHLO);
        say(o, "250-mx.y.example\r\n250 STARTTLS\r\n");
        return;
    case SMTP_VERB_AUTH:
        o->config.auth_user = SLICE("u");
        o->config.auth_password = SLICE("p");
        o->config.auth_in_clear = true;
        reach(o, SMTP_VERB_EHLO);
        say(o, "250-mx.y.example\r\n250 AUTH PLAIN\r\n");
        return;
    case SMTP_VERB_MAIL:
        ready(o, PIPELINING);
        submit(o, 0);
        hear(o);
        return;
    case SMTP_VERB_RCPT:
        reach(o, SMTP_VERB_MAIL);
        say(o, "250 ok\r\n");
        return;
    case SMTP_VERB_DATA:
        reach(o, SMTP_VERB_RCPT);
        say(o, "250 ok\r\n");
        return;
    case SMTP_VERB_DOT:
        reach(o, SMTP_VERB_DATA);
        say(o, "354 go\r\n");
        return;
    case SMTP_VERB_EMPTY:
        reach(o, SMTP_VERB_RCPT);
        say(o, "550 5.1.1 no\r\n354 go\r\n");
        return;
    case SMTP_VERB_BDAT:
        ready(o, CHUNKING);
        submit(o, 0);
        hear(o);
        say(o, "250 ok\r\n250 ok\r\n");
        return;
    case SMTP_VERB_RSET:
        reach(o, SMTP_VERB_RCPT);
        say(o, "550 5.1.1 no\r\n554 no\r\n");
        assert_int_equal(o->done, 1);
        submit(o, 1);
        hear(o);
        return;
    case SMTP_VERB_QUIT:
        o->config.quit_wait = true;
        ready(o, PIPELINING);
        smtp_session_quit(&o->session, o->now_us);
        hear(o);
        return;
    case SMTP_VERB_COUNT:
        fail();
    }
}

static void test_every_cell(void **state)
{
    static const struct {
        int verb;
        const char *reply;
        int outcome; /* of the transaction that is inside; UNDECIDED: none came back */
        int end;     /* SMTP_END_NONE: the session goes on */
        const char *next;
    } cells[] = {
        {SMTP_VERB_GREETING, "220 x", SMTP_UNDECIDED, SMTP_END_NONE, "EHLO mta.example.com\r\n"},
        {SMTP_VERB_GREETING, "354 x", SMTP_UNDECIDED, SMTP_END_GARBAGE, ""},
        {SMTP_VERB_GREETING, "450 x", SMTP_UNDECIDED, SMTP_END_REFUSED, "QUIT\r\n"},
        {SMTP_VERB_GREETING, "421 x", SMTP_UNDECIDED, SMTP_END_REFUSED, ""},
        {SMTP_VERB_GREETING, "554 x", SMTP_UNDECIDED, SMTP_END_REFUSED, "QUIT\r\n"},

        {SMTP_VERB_EHLO, "250 x", SMTP_UNDECIDED, SMTP_END_NONE, ""},
        {SMTP_VERB_EHLO, "354 x", SMTP_UNDECIDED, SMTP_END_GARBAGE, ""},
        {SMTP_VERB_EHLO, "450 x", SMTP_UNDECIDED, SMTP_END_NONE, "HELO mta.example.com\r\n"},
        {SMTP_VERB_EHLO, "421 x", SMTP_UNDECIDED, SMTP_END_REFUSED, ""},
        {SMTP_VERB_EHLO, "502 x", SMTP_UNDECIDED, SMTP_END_NONE, "HELO mta.example.com\r\n"},

        {SMTP_VERB_HELO, "250 x", SMTP_UNDECIDED, SMTP_END_NONE, ""},
        {SMTP_VERB_HELO, "354 x", SMTP_UNDECIDED, SMTP_END_GARBAGE, ""},
        {SMTP_VERB_HELO, "450 x", SMTP_UNDECIDED, SMTP_END_REFUSED, "QUIT\r\n"},
        {SMTP_VERB_HELO, "421 x", SMTP_UNDECIDED, SMTP_END_REFUSED, ""},
        {SMTP_VERB_HELO, "550 x", SMTP_UNDECIDED, SMTP_END_REFUSED, "QUIT\r\n"},

        {SMTP_VERB_STARTTLS, "220 x", SMTP_UNDECIDED, SMTP_END_NONE, ""},
        {SMTP_VERB_STARTTLS, "354 x", SMTP_UNDECIDED, SMTP_END_GARBAGE, ""},
        {SMTP_VERB_STARTTLS, "454 x", SMTP_UNDECIDED, SMTP_END_NONE, ""},
        {SMTP_VERB_STARTTLS, "421 x", SMTP_UNDECIDED, SMTP_END_REFUSED, ""},
        {SMTP_VERB_STARTTLS, "502 x", SMTP_UNDECIDED, SMTP_END_NONE, ""},

        {SMTP_VERB_AUTH, "235 x", SMTP_UNDECIDED, SMTP_END_NONE, ""},
        {SMTP_VERB_AUTH, "334 x", SMTP_UNDECIDED, SMTP_END_NONE, "AHUAcA==\r\n"},
        {SMTP_VERB_AUTH, "454 x", SMTP_UNDECIDED, SMTP_END_AUTH, "QUIT\r\n"},
        {SMTP_VERB_AUTH, "421 x", SMTP_UNDECIDED, SMTP_END_REFUSED, ""},
        {SMTP_VERB_AUTH, "535 x", SMTP_UNDECIDED, SMTP_END_AUTH, "QUIT\r\n"},

        {SMTP_VERB_MAIL, "250 x", SMTP_UNDECIDED, SMTP_END_NONE, ""},
        {SMTP_VERB_MAIL, "354 x", SMTP_NOT_TRIED, SMTP_END_GARBAGE, ""},
        {SMTP_VERB_MAIL, "450 x\r\n503 x\r\n503 x", SMTP_DEFERRED, SMTP_END_NONE, ""},
        {SMTP_VERB_MAIL, "421 x", SMTP_DEFERRED, SMTP_END_CLOSED, ""},
        {SMTP_VERB_MAIL, "550 x\r\n503 x\r\n503 x", SMTP_REJECTED, SMTP_END_NONE, ""},

        {SMTP_VERB_RCPT, "250 x", SMTP_UNDECIDED, SMTP_END_NONE, ""},
        {SMTP_VERB_RCPT, "354 x", SMTP_DEFERRED, SMTP_END_GARBAGE, ""},
        {SMTP_VERB_RCPT, "450 x\r\n503 x", SMTP_DEFERRED, SMTP_END_NONE, ""},
        {SMTP_VERB_RCPT, "421 x", SMTP_DEFERRED, SMTP_END_CLOSED, ""},
        {SMTP_VERB_RCPT, "550 x\r\n503 x", SMTP_REJECTED, SMTP_END_NONE, ""},

        {SMTP_VERB_DATA, "250 x", SMTP_DEFERRED, SMTP_END_GARBAGE, ""},
        {SMTP_VERB_DATA, "354 x", SMTP_UNDECIDED, SMTP_END_NONE, CONTENT},
        {SMTP_VERB_DATA, "451 x", SMTP_DEFERRED, SMTP_END_NONE, ""},
        {SMTP_VERB_DATA, "421 x", SMTP_DEFERRED, SMTP_END_CLOSED, ""},
        {SMTP_VERB_DATA, "554 x", SMTP_REJECTED, SMTP_END_NONE, ""},

        {SMTP_VERB_DOT, "250 x", SMTP_ACCEPTED, SMTP_END_NONE, ""},
        {SMTP_VERB_DOT, "354 x", SMTP_DEFERRED, SMTP_END_GARBAGE, ""},
        {SMTP_VERB_DOT, "451 x", SMTP_DEFERRED, SMTP_END_NONE, ""},
        {SMTP_VERB_DOT, "421 x", SMTP_DEFERRED, SMTP_END_CLOSED, ""},
        {SMTP_VERB_DOT, "554 x", SMTP_REJECTED, SMTP_END_NONE, ""},

        {SMTP_VERB_EMPTY, "250 x", SMTP_REJECTED, SMTP_END_NONE, ""},
        {SMTP_VERB_EMPTY, "354 x", SMTP_REJECTED, SMTP_END_GARBAGE, ""},
        {SMTP_VERB_EMPTY, "451 x", SMTP_REJECTED, SMTP_END_NONE, ""},
        {SMTP_VERB_EMPTY, "421 x", SMTP_REJECTED, SMTP_END_CLOSED, ""},
        {SMTP_VERB_EMPTY, "554 x", SMTP_REJECTED, SMTP_END_NONE, ""},

        {SMTP_VERB_BDAT, "250 x", SMTP_ACCEPTED, SMTP_END_NONE, ""},
        {SMTP_VERB_BDAT, "354 x", SMTP_AMBIGUOUS, SMTP_END_GARBAGE, ""},
        {SMTP_VERB_BDAT, "451 x", SMTP_DEFERRED, SMTP_END_NONE, ""},
        {SMTP_VERB_BDAT, "421 x", SMTP_DEFERRED, SMTP_END_CLOSED, ""},
        {SMTP_VERB_BDAT, "554 x", SMTP_REJECTED, SMTP_END_NONE, ""},

        {SMTP_VERB_RSET, "250 x", SMTP_UNDECIDED, SMTP_END_NONE, ""},
        {SMTP_VERB_RSET, "354 x", SMTP_NOT_TRIED, SMTP_END_REFUSED, ""},
        {SMTP_VERB_RSET, "451 x", SMTP_NOT_TRIED, SMTP_END_REFUSED, ""},
        {SMTP_VERB_RSET, "421 x", SMTP_NOT_TRIED, SMTP_END_CLOSED, ""},
        {SMTP_VERB_RSET, "502 x", SMTP_NOT_TRIED, SMTP_END_REFUSED, ""},

        {SMTP_VERB_QUIT, "221 x", SMTP_UNDECIDED, SMTP_END_QUIT, ""},
        {SMTP_VERB_QUIT, "354 x", SMTP_UNDECIDED, SMTP_END_QUIT, ""},
        {SMTP_VERB_QUIT, "451 x", SMTP_UNDECIDED, SMTP_END_QUIT, ""},
        {SMTP_VERB_QUIT, "421 x", SMTP_UNDECIDED, SMTP_END_QUIT, ""},
        {SMTP_VERB_QUIT, "502 x", SMTP_UNDECIDED, SMTP_END_QUIT, ""},
    };
    bool seen[SMTP_VERB_COUNT][5] = {0};
    static struct owner o;

    (void)state;
    for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++) {
        int class = strncmp(cells[i].reply, "421", 3) == 0 ? 4 : cells[i].reply[0] - '2';
        char reply[64];
        begin(&o);
        reach(&o, (enum smtp_verb)cells[i].verb);
        snprintf(reply, sizeof(reply), "%s\r\n", cells[i].reply);
        const char *next = say(&o, reply);
        int n = cells[i].verb == SMTP_VERB_RSET ? 1 : 0;
        int outcome = (o.done & (1u << n)) != 0 ? o.rcpt[n].outcome : SMTP_UNDECIDED;
        int end = smtp_session_end(&o.session)->reason;
        if (outcome != cells[i].outcome || end != cells[i].end ||
            strcmp(next, cells[i].next) != 0 || o.ended != (end != SMTP_END_NONE)) {
            fail_msg("%s %s: %s, end %s, says '%s'", smtp_verb((enum smtp_verb)cells[i].verb)->name,
                     cells[i].reply, smtp_outcome_name((enum smtp_outcome)outcome),
                     smtp_end_name((enum smtp_end_reason)end), next);
        }
        seen[cells[i].verb][class] = true;
        finish(&o);
    }
    for (int v = 0; v < SMTP_VERB_COUNT; v++) {
        for (int class = 0; class < 5; class ++) {
            if (!seen[v][class]) {
                fail_msg("no cell for %s and class %d", smtp_verb((enum smtp_verb)v)->name, class);
            }
        }
    }
}

/* The same places, when the peer hangs up, goes silent or sends garbage. */
static void test_every_verb_broken(void **state)
{
    static const struct {
        int verb;
        int outcome;
        int closed, silent, garbage; /* ends */
    } rows[] = {
        {SMTP_VERB_GREETING, SMTP_UNDECIDED, SMTP_END_CLOSED, SMTP_END_TIMEOUT, SMTP_END_GARBAGE},
        {SMTP_VERB_EHLO, SMTP_UNDECIDED, SMTP_END_CLOSED, SMTP_END_TIMEOUT, SMTP_END_GARBAGE},
        {SMTP_VERB_HELO, SMTP_UNDECIDED, SMTP_END_CLOSED, SMTP_END_TIMEOUT, SMTP_END_GARBAGE},
        {SMTP_VERB_STARTTLS, SMTP_UNDECIDED, SMTP_END_CLOSED, SMTP_END_TIMEOUT, SMTP_END_GARBAGE},
        {SMTP_VERB_AUTH, SMTP_UNDECIDED, SMTP_END_CLOSED, SMTP_END_TIMEOUT, SMTP_END_GARBAGE},
        {SMTP_VERB_MAIL, SMTP_NOT_TRIED, SMTP_END_CLOSED, SMTP_END_TIMEOUT, SMTP_END_GARBAGE},
        {SMTP_VERB_RCPT, SMTP_DEFERRED, SMTP_END_CLOSED, SMTP_END_TIMEOUT, SMTP_END_GARBAGE},
        {SMTP_VERB_DATA, SMTP_DEFERRED, SMTP_END_CLOSED, SMTP_END_TIMEOUT, SMTP_END_GARBAGE},
        {SMTP_VERB_DOT, SMTP_AMBIGUOUS, SMTP_END_CLOSED, SMTP_END_TIMEOUT, SMTP_END_GARBAGE},
        {SMTP_VERB_EMPTY, SMTP_REJECTED, SMTP_END_CLOSED, SMTP_END_TIMEOUT, SMTP_END_GARBAGE},
        {SMTP_VERB_BDAT, SMTP_AMBIGUOUS, SMTP_END_CLOSED, SMTP_END_TIMEOUT, SMTP_END_GARBAGE},
        {SMTP_VERB_RSET, SMTP_NOT_TRIED, SMTP_END_CLOSED, SMTP_END_TIMEOUT, SMTP_END_GARBAGE},
        {SMTP_VERB_QUIT, SMTP_UNDECIDED, SMTP_END_QUIT, SMTP_END_QUIT, SMTP_END_QUIT},
    };
    static struct owner o;

    (void)state;
    assert_int_equal(sizeof(rows) / sizeof(rows[0]), SMTP_VERB_COUNT);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (int how = 0; how < 3; how++) {
            begin(&o);
            reach(&o, (enum smtp_verb)rows[i].verb);
            int64_t due_us = smtp_session_deadline_us(&o.session);
            assert_int_equal(due_us - o.now_us,
                             smtp_verb((enum smtp_verb)rows[i].verb)->timeout_us);
            if (how == 0) {
                smtp_session_eof(&o.session, 0, o.now_us);
            } else if (how == 1) {
                smtp_session_expire(&o.session, due_us - 1);
                assert_int_equal(smtp_session_end(&o.session)->reason, SMTP_END_NONE);
                smtp_session_expire(&o.session, due_us);
            } else {
                say(&o, "what is this?\r\n");
            }
            assert_string_equal(hear(&o), "");
            int n = rows[i].verb == SMTP_VERB_RSET ? 1 : 0;
            int outcome = (o.done & (1u << n)) != 0 ? o.rcpt[n].outcome : SMTP_UNDECIDED;
            int end = smtp_session_end(&o.session)->reason;
            int expected = how == 0 ? rows[i].closed : how == 1 ? rows[i].silent : rows[i].garbage;
            if (!o.ended || outcome != rows[i].outcome || end != expected) {
                fail_msg("%s broken %d: %s, end %s", smtp_verb((enum smtp_verb)rows[i].verb)->name,
                         how, smtp_outcome_name((enum smtp_outcome)outcome),
                         smtp_end_name((enum smtp_end_reason)end));
            }
            assert_int_equal(smtp_session_deadline_us(&o.session), INT64_MAX);
            finish(&o);
        }
    }
}

/* ---- the contract with the owner ---- */

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

static void test_is_small(void **state)
{
    (void)state;
    assert_true(sizeof(struct smtp_session) < 1536);
    assert_true(sizeof(struct smtp_rcpt) <= 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_cell),
        cmocka_unit_test(test_every_verb_broken),
        cmocka_unit_test(test_one_flight_is_one_write),
        cmocka_unit_test(test_content_in_pieces),
        cmocka_unit_test(test_content_is_not_given_back_under_a_write),
        cmocka_unit_test(test_lent_after_the_end),
        cmocka_unit_test(test_timings),
        cmocka_unit_test(test_texts_are_shared),
        cmocka_unit_test(test_texts_are_bounded),
        cmocka_unit_test(test_reuse_of_memory),
        cmocka_unit_test(test_is_small),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
