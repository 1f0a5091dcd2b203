/*
 * test_verdict.c - what each kind of failure means, and that everything means something.
 */
#include "engine/smtp/verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static const char *const conns[] = {"keep", "leave", "drop"};
static const char *const hosts[] = {"ok", "next", "down"};
static const char *const sites[] = {"ok", "slow", "hold"};

/* "deferred policy keep next ok", with "later" behind it where that is so. */
static void print(char *out, size_t cap, const struct smtp_verdict *v)
{
    const char *failure = smtp_failure_name(v->failure);

    snprintf(out, cap, "%s %s %s %s %s%s", smtp_outcome_name(v->outcome),
             failure[0] != '\0' ? failure : "-", conns[v->conn], hosts[v->host], sites[v->site],
             v->later ? " later" : "");
}

enum {
    MAIL = SMTP_STAGE_MAIL,
    RCPT = SMTP_STAGE_RCPT,
    DATA = SMTP_STAGE_DATA,
    BODY = SMTP_STAGE_BODY,
    DOT = SMTP_STAGE_DOT,
    BANNER = SMTP_STAGE_BANNER,
    EHLO = SMTP_STAGE_EHLO,
    TLS = SMTP_STAGE_TLS,
    AUTH = SMTP_STAGE_AUTH,
    WARM = SMTP_POS_WARM,
    TAKEN = SMTP_POS_TAKEN,
    CLEAR = SMTP_POS_CLEAR,
    BEHIND = SMTP_POS_BEHIND
};

static void test_replies(void **state)
{
    static const struct {
        int stage;
        const char *reply; /* code and enhanced code */
        unsigned position;
        const char *verdict;
    } rows[] = {
        /* before any transaction */
        {BANNER, "421", 0, "not-tried rate drop down slow"},
        {BANNER, "450", 0, "not-tried other leave down ok"},
        {BANNER, "554", 0, "not-tried reputation leave down slow"},
        {BANNER, "554 5.7.1", 0, "not-tried reputation leave down slow"},
        {BANNER, "521", 0, "not-tried bad-domain leave down ok"},
        {EHLO, "421 4.7.0", 0, "not-tried rate drop down slow"},
        {EHLO, "550 5.7.1", 0, "not-tried reputation leave down slow"},
        {EHLO, "501 5.5.4", 0, "not-tried config leave down ok"},
        {TLS, "454 4.7.0", 0, "not-tried tls leave down ok"},
        {TLS, "421", 0, "not-tried tls drop down ok"},
        {AUTH, "535 5.7.8", 0, "not-tried auth leave down hold"},
        {AUTH, "454 4.7.0", 0, "not-tried auth leave down ok"},
        {AUTH, "421", 0, "not-tried auth drop down ok"},

        /* 421 */
        {MAIL, "421", 0, "deferred other drop next ok"},
        {MAIL, "421", WARM, "not-tried other drop ok ok"},
        {MAIL, "421 4.4.2", WARM, "not-tried network drop ok ok"},
        {MAIL, "421 4.3.2", WARM, "not-tried other drop ok ok"},
        {MAIL, "421 4.7.0", WARM, "deferred rate drop next slow"},
        {MAIL, "421 4.7.28", 0, "deferred rate drop next slow"},
        {RCPT, "421 4.7.1", 0, "deferred rate drop next slow"},
        {DOT, "421", WARM, "deferred other drop next ok"},
        {DOT, "421 4.7.0", BEHIND, "not-tried rate drop ok slow"},

        /* the sender */
        {MAIL, "250", 0, "accepted - keep ok ok"},
        {MAIL, "450 4.1.8", 0, "deferred config keep next ok"},
        {MAIL, "550 5.1.8", 0, "rejected config keep ok ok"},
        {MAIL, "550 5.1.1", 0, "rejected config keep ok ok"},
        {MAIL, "553 5.1.7", 0, "rejected config keep ok ok"},
        {MAIL, "550 5.7.1", 0, "rejected policy keep ok ok"},
        {MAIL, "451 4.7.500", 0, "deferred rate keep next slow"},
        {MAIL, "550 5.7.606", 0, "rejected reputation keep ok slow"},
        {MAIL, "550 5.7.27", 0, "rejected config keep ok ok"},
        {MAIL, "552 5.3.4", 0, "rejected content keep ok ok"},
        {MAIL, "452 4.3.1", 0, "deferred other keep next ok"},
        {MAIL, "530 5.7.0", CLEAR, "deferred tls leave next hold"},
        {MAIL, "530 5.7.0", 0, "deferred auth leave next hold"},
        {MAIL, "535 5.7.8", 0, "deferred auth leave next hold"},

        /* the recipient */
        {RCPT, "550 5.1.1", 0, "rejected bad-mailbox keep ok ok"},
        {RCPT, "450 4.1.1", 0, "deferred bad-mailbox keep next ok"},
        {RCPT, "550 5.1.2", 0, "rejected bad-domain keep ok ok"},
        {RCPT, "550 5.1.6", 0, "rejected bad-mailbox keep ok ok"},
        {RCPT, "556 5.1.10", 0, "rejected bad-domain keep ok ok"},
        {RCPT, "550 5.2.1", 0, "rejected bad-mailbox keep ok ok"},
        {RCPT, "450 4.2.1", 0, "deferred rate keep next ok"},
        {RCPT, "450 4.2.0", 0, "deferred policy keep next ok"},
        {RCPT, "552 5.2.2", 0, "rejected full keep ok ok"},
        {RCPT, "452 4.2.2", 0, "deferred full keep next ok"},
        {RCPT, "452 4.2.2", TAKEN, "deferred full keep next ok"},
        {RCPT, "550", 0, "rejected other keep ok ok"}, /* no word of a mailbox */
        {RCPT, "551", 0, "rejected bad-mailbox keep ok ok"},
        {RCPT, "553", 0, "rejected other keep ok ok"},
        {RCPT, "556", 0, "rejected bad-domain keep ok ok"},
        {RCPT, "550 5.4.1", 0, "rejected other keep ok ok"},
        {RCPT, "550 5.4.4", 0, "rejected bad-domain keep ok ok"},
        {RCPT, "451 4.4.3", 0, "deferred network keep next ok"},
        {RCPT, "554 5.4.6", 0, "rejected config keep ok ok"},
        {RCPT, "450 4.7.1", 0, "deferred policy keep next ok"}, /* greylisting */
        {RCPT, "554 5.7.1", 0, "rejected policy keep ok ok"},
        {RCPT, "550 5.7.26", 0, "rejected auth keep ok ok"},
        {RCPT, "550 5.7.25", 0, "rejected config keep ok ok"},
        {RCPT, "451 4.7.0", 0, "deferred rate keep next slow"},

        /* too many recipients */
        {RCPT, "452", 0, "deferred other keep next ok"},
        {RCPT, "452", TAKEN, "deferred other keep next ok later"},
        {RCPT, "452 4.5.3", 0, "deferred rate keep next ok"},
        {RCPT, "452 4.5.3", TAKEN, "deferred rate keep next ok later"},
        {RCPT, "451 4.5.3", TAKEN, "deferred rate keep next ok later"},
        {RCPT, "552", 0, "deferred full keep ok ok"},
        {RCPT, "552", TAKEN, "deferred full keep ok ok later"},
        {RCPT, "552 5.5.3", TAKEN, "deferred rate keep ok ok later"},
        {RCPT, "552 5.2.2", TAKEN, "rejected full keep ok ok"},
        {RCPT, "450 4.2.1", TAKEN, "deferred rate keep next ok"},

        /* a confused server */
        {MAIL, "500", 0, "deferred other leave next ok"},
        {RCPT, "502 5.5.1", 0, "deferred other leave next ok"},
        {DATA, "503 5.5.1", 0, "deferred other leave next ok"},
        {RCPT, "501 5.1.3", 0, "rejected bad-mailbox keep ok ok"},
        {RCPT, "501", 0, "rejected other leave ok ok"},
        {RCPT, "504 5.5.2", 0, "rejected other leave ok ok"},
        {MAIL, "555 5.5.4", 0, "rejected other leave ok ok"},
        {DOT, "500", 0, "deferred other drop next ok"},
        {DOT, "503 5.5.1", 0, "deferred other drop next ok"},
        {DOT, "354", 0, "deferred other drop next ok"},

        /* the content */
        {DATA, "451 4.3.0", 0, "deferred other keep ok ok"},
        {DATA, "554 5.7.1", 0, "rejected policy keep ok ok"},
        {BODY, "552 5.3.4", 0, "rejected content drop ok ok"},
        {BODY, "451", 0, "deferred other drop next ok"},
        {BODY, "250", 0, "deferred - drop next ok"},
        {DOT, "250 2.0.0", 0, "accepted - keep ok ok"},
        {DOT, "200", 0, "accepted - keep ok ok"},
        {DOT, "451 4.7.1", 0, "deferred policy keep ok ok"},
        {DOT, "550 5.7.1", 0, "rejected policy keep ok ok"},
        {DOT, "550 5.6.0", 0, "rejected content keep ok ok"},
        {DOT, "554", 0, "rejected content keep ok ok"},
        {DOT, "550", 0, "rejected content keep ok ok"},
        {DOT, "552", 0, "rejected content keep ok ok"},
        {DOT, "550 5.7.20", 0, "rejected auth keep ok ok"},
        {DOT, "421 4.7.28", 0, "deferred rate drop next slow"},
        {DOT, "550 5.1.1", 0, "rejected bad-mailbox keep ok ok"},
        {DOT, "452 4.2.2", 0, "deferred full keep ok ok"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct smtp_fact fact = {.cause = SMTP_CAUSE_REPLY,
                                 .stage = (enum smtp_stage)rows[i].stage,
                                 .position = rows[i].position};
        unsigned code = 0, class = 0, subject = 0, detail = 0;
        char got[96];
        sscanf(rows[i].reply, "%u %u.%u.%u", &code, &class, &subject, &detail);
        fact.code = (uint16_t)code;
        fact.enhanced =
            (struct smtp_enhanced){(uint8_t) class, (uint16_t)subject, (uint16_t)detail};
        struct smtp_verdict v = smtp_verdict_of(&fact);
        print(got, sizeof(got), &v);
        if (strcmp(got, rows[i].verdict) != 0) {
            fail_msg("%s %s at 0x%x: %s, not %s", smtp_stage_name((enum smtp_stage)rows[i].stage),
                     rows[i].reply, rows[i].position, got, rows[i].verdict);
        }
    }
}

static void test_other_causes(void **state)
{
    enum { ASKED = SMTP_POS_MAIL, WRITTEN = SMTP_POS_WRITTEN };
    static const struct {
        enum smtp_cause cause;
        unsigned position;
        const char *verdict;
    } rows[] = {
        {SMTP_CAUSE_CLOSED, 0, "not-tried network drop down ok"},
        {SMTP_CAUSE_CLOSED, WARM, "not-tried network drop ok ok"},
        {SMTP_CAUSE_CLOSED, ASKED, "deferred network drop next ok"},
        {SMTP_CAUSE_CLOSED, WARM | ASKED, "deferred network drop next ok"},
        {SMTP_CAUSE_CLOSED, ASKED | WRITTEN, "ambiguous network drop next ok"},
        {SMTP_CAUSE_CLOSED, WRITTEN, "ambiguous network drop next ok"},
        {SMTP_CAUSE_TIMEOUT, 0, "not-tried network drop down ok"},
        {SMTP_CAUSE_TIMEOUT, WARM, "not-tried network drop down ok"},
        {SMTP_CAUSE_TIMEOUT, ASKED, "deferred network drop next ok"},
        {SMTP_CAUSE_TIMEOUT, ASKED | WRITTEN, "ambiguous network drop next ok"},
        {SMTP_CAUSE_GARBAGE, 0, "not-tried other drop down ok"},
        {SMTP_CAUSE_GARBAGE, ASKED, "deferred other drop next ok"},
        {SMTP_CAUSE_GARBAGE, ASKED | WRITTEN, "ambiguous other drop next ok"},
        {SMTP_CAUSE_TLS, 0, "not-tried tls drop down ok"},
        {SMTP_CAUSE_AUTH, 0, "not-tried auth drop down hold"},
        {SMTP_CAUSE_LOOP, 0, "not-tried config drop down ok"},
        {SMTP_CAUSE_LOCAL, 0, "not-tried - keep ok ok"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct smtp_fact fact = {
            .cause = rows[i].cause, .stage = SMTP_STAGE_MAIL, .position = rows[i].position};
        struct smtp_verdict v = smtp_verdict_of(&fact);
        char got[96];
        print(got, sizeof(got), &v);
        if (strcmp(got, rows[i].verdict) != 0) {
            fail_msg("cause %d at 0x%x: %s, not %s", rows[i].cause, rows[i].position, got,
                     rows[i].verdict);
        }
    }
}

static void check_sane(const struct smtp_fact *f)
{
    struct smtp_verdict v = smtp_verdict_of(f);
    bool reply = f->cause == SMTP_CAUSE_REPLY;
    bool two = f->code >= 200 && f->code <= 299;
    bool in_transaction = f->stage >= SMTP_STAGE_MAIL;

    assert_int_not_equal(v.outcome, SMTP_UNDECIDED);
    /* Only a 2xx accepts, and only a 5xx rejects. */
    assert_true(v.outcome != SMTP_ACCEPTED || (reply && two));
    assert_true(v.outcome != SMTP_REJECTED || (f->code >= 500 && f->code <= 599));
    assert_true(v.outcome != SMTP_REJECTED || in_transaction || !reply);
    /* A reply is an answer; ambiguity is its absence. */
    assert_true(v.outcome != SMTP_AMBIGUOUS || !reply);
    /* 421 and a broken connection are not written to any more. */
    assert_true(!(reply && f->code == 421) || v.conn == SMTP_CONN_DROP);
    /* Only recipients go "later", and they are not decided by it. */
    assert_true(!v.later || (f->stage == SMTP_STAGE_RCPT && v.outcome == SMTP_DEFERRED &&
                             v.conn == SMTP_CONN_KEEP));
    /* Nobody is taken off a list for what policy, reputation or a full disk said. */
    assert_true(v.failure != SMTP_FAILURE_BAD_MAILBOX || f->enhanced.subject == 1 ||
                f->enhanced.subject == 2 || f->code == 551);
}

/* Every cause, stage, code and position, with a good many enhanced codes. */
static void test_total(void **state)
{
    static const uint16_t details[] = {0, 1, 2, 3, 4, 6, 7, 8, 10, 20, 26, 30, 500, 606, 999};

    (void)state;
    for (unsigned cause = 0; cause < SMTP_CAUSE_COUNT; cause++) {
        for (unsigned stage = 0; stage < SMTP_STAGE_COUNT; stage++) {
            for (unsigned code = 200; code <= 599; code++) {
                for (unsigned position = 0; position < 64; position += 7) {
                    for (size_t d = 0; d < sizeof(details) / sizeof(details[0]); d++) {
                        struct smtp_fact f = {.cause = (enum smtp_cause)cause,
                                              .stage = (enum smtp_stage)stage,
                                              .code = (uint16_t)code,
                                              .position = position};
                        f.enhanced.class = (uint8_t)(code / 100);
                        f.enhanced.subject = (uint16_t)((code + d) % 8);
                        f.enhanced.detail = details[d];
                        check_sane(&f);
                    }
                }
            }
        }
    }
}

static void test_names(void **state)
{
    (void)state;
    for (unsigned f = 1; f < SMTP_FAILURE_COUNT; f++) {
        assert_true(smtp_failure_name((enum smtp_failure)f)[0] != '\0');
    }
    for (unsigned s = 0; s < SMTP_STAGE_COUNT; s++) {
        assert_true(smtp_stage_name((enum smtp_stage)s)[0] != '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies),
        cmocka_unit_test(test_other_causes),
        cmocka_unit_test(test_total),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
