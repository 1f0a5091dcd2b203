/*
 * test_session_table.c - every verb with every class of reply, and with none.
 */
#include "tests/unit/smtp/owner.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_cell),
        cmocka_unit_test(test_every_verb_broken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
