/*
 * test_fault.c - rules for faults: how they read, when they apply; magic recipients.
 */
#include "bench/fault.h"
#include "bench/magic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static const struct server_options options = {
    .hostname = {"sink.test", 9}, .pipelining = true, .enhanced = true};

/* ---- reading ---- */

static void test_bad_rules_say_what_is_wrong(void **state)
{
    static const struct {
        const char *rule, *says;
    } rows[] = {
        {"", "WHEN [CONDITION]... : ACTION"},
        {"close", "WHEN [CONDITION]... : ACTION"},
        {": close", "unknown stage ''"},
        {"rcpr: close", "did you mean 'rcpt'?"},
        {"rcpt,: close", "unknown stage ''"},
        {"rcpt:", "no action"},
        {"rcpt: ;;", "no action"},
        {"rcpt: colse", "did you mean 'close'?"},
        {"rcpt: close now", "'now' is one word too many"},
        {"rcpt nht=3: close", "did you mean 'nth'?"},
        {"rcpt nth=0: close", "nth= needs a number"},
        {"rcpt nth=x: close", "nth= needs a number"},
        {"rcpt p=2: close", "p= needs a share"},
        {"rcpt p=x%: close", "p= needs a share"},
        {"rcpt p=: close", "p= needs a share"},
        {"rcpt to=: close", "pattern is empty"},
        {"rcpt at=5: close", "at= belongs to body"},
        {"body at=x: close", "at= needs a size"},
        {"body at=0: close", "at= needs a size"},
        {"any tls=maybe: close", "tls= needs yes or no"},
        {"any per=rcpt: close", "unknown condition 'per'"},
        {"rcpt: reply", "an answer is a code and a text"},
        {"rcpt: reply 99 x", "an answer is a code and a text"},
        {"rcpt: reply 650 x", "an answer is a code and a text"},
        {"rcpt: reply 5501 x", "an answer is a code and a text"},
        {"rcpt: reply 550 a\\rb", "use raw"},
        {"rcpt: reply 550 a\\q", "'\\q' is unknown"},
        {"rcpt: raw \\x4", "is unknown"},
        {"rcpt: delay", "a duration"},
        {"rcpt: delay 5", "a duration"},
        {"rcpt: slow-read 5", "a rate such as"},
        {"rcpt: slow-read /s", "a rate such as"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fault_rules rules;
        struct buf error = BUF_EMPTY;
        fault_rules_init(&rules);
        assert_int_not_equal(fault_rules_add(&rules, slice_cstr(rows[i].rule), &error), 0);
        buf_terminate(&error);
        if (strstr(error.ptr, rows[i].says) == NULL) {
            fail_msg("'%s' says: %s", rows[i].rule, error.ptr);
        }
        buf_fini(&error);
        fault_rules_fini(&rules);
    }
}

static void add(struct fault_rules *rules, const char *text)
{
    struct buf error = BUF_EMPTY;

    if (fault_rules_add(rules, slice_cstr(text), &error) != 0) {
        fail_msg("'%s': " SLICE_FMT, text, SLICE_ARG(buf_slice(&error)));
    }
    buf_fini(&error);
}

static void test_verdicts_of_rules(void **state)
{
    static const struct {
        const char *rule;
        struct server_verdict v;
    } rows[] = {
        {"rcpt: reply 451 4.7.1 Later", {.reply = SLICE("451 4.7.1 Later")}},
        {"rcpt: reply 451", {.reply = SLICE("451 ")}},
        {"rcpt: reply 451 a\\; b\\nc; close",
         {.reply = SLICE("451 a; b\nc"), .then = SERVER_THEN_CLOSE}},
        {"rcpt: close", {.mute = true, .then = SERVER_THEN_CLOSE}},
        {"rcpt: answer; reset", {.then = SERVER_THEN_RESET}},
        {"rcpt: stall", {.mute = true, .then = SERVER_THEN_STALL}},
        {"rcpt: stall 2s", {.delay_us = 2000000, .pause_us = 2000000}},
        {"rcpt: delay 50ms; dribble 2ms", {.delay_us = 50000, .dribble = true, .dribble_us = 2000}},
        {"rcpt: dribble", {.dribble = true, .dribble_us = 1000}},
        {"rcpt: glue", {.hold_us = 50000}},
        {"rcpt: ahead 421 4.3.2 Bye", {.ahead = SLICE("421 4.3.2 Bye")}},
        {"rcpt: raw a\\r\\n\\x00\\\\", {.raw = {"a\r\n\0\\", 5}, .mute = true}},
        {"rcpt: raw x; reply 250 ok", {.raw = SLICE("x"), .reply = SLICE("250 ok")}},
        {"rcpt: slow-read 10KB/s", {.read_rate = 10240}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fault_rules rules;
        fault_rules_init(&rules);
        add(&rules, rows[i].rule);
        const struct server_verdict *v = &rules.rule[0]->verdict, *w = &rows[i].v;
        if (!slice_eq(v->reply, w->reply) || !slice_eq(v->ahead, w->ahead) ||
            !slice_eq(v->raw, w->raw) || v->mute != w->mute || v->then != w->then ||
            v->delay_us != w->delay_us || v->hold_us != w->hold_us || v->pause_us != w->pause_us ||
            v->dribble != w->dribble || v->dribble_us != w->dribble_us ||
            v->read_rate != w->read_rate) {
            fail_msg("%s", rows[i].rule);
        }
        fault_rules_fini(&rules);
    }
}

static void test_files(void **state)
{
    struct fault_rules rules;
    struct buf error = BUF_EMPTY;

    (void)state;
    fault_rules_init(&rules);
    assert_int_equal(
        fault_rules_add_text(&rules, "f", SLICE("# one\n\nrcpt: close\r\n  dot: reset"), &error),
        0);
    assert_int_equal(rules.count, 2);
    assert_int_equal(rules.verbs, 1u << SERVER_RCPT | 1u << SERVER_DOT);
    assert_int_not_equal(
        fault_rules_add_text(&rules, "f.rules", SLICE("rcpt: close\n\ndto: close\n"), &error), 0);
    assert_true(slice_starts(buf_slice(&error), SLICE("f.rules:3: unknown stage 'dto'")));
    buf_fini(&error);
    fault_rules_fini(&rules);
}

/* ---- applying ---- */

struct setting {
    struct fault_rules rules;
    struct server server;
    struct sink_stats stats;
    struct rng rng;
    uint32_t counts[8];
};

static void setting_init(struct setting *t, uint64_t connection)
{
    memset(t, 0, sizeof(*t));
    fault_rules_init(&t->rules);
    rng_seed(&t->rng, 1);
    server_init(&t->server, &options, NULL, NULL, &t->stats, connection);
    server_start(&t->server, 0);
    server_feed(&t->server,
                SLICE("EHLO x\r\nMAIL FROM:<ann@from.test>\r\nRCPT TO:<one@to.test>\r\n"
                      "RCPT TO:<two@other.test>\r\n"),
                0);
}

static void setting_fini(struct setting *t)
{
    server_fini(&t->server);
    fault_rules_fini(&t->rules);
}

static bool applies(struct setting *t, enum server_verb verb, const char *to)
{
    struct server_verdict v;

    return fault_decide(&t->rules, &t->rng, t->counts, &t->server, verb, slice_cstr(to), &v);
}

static void test_conditions(void **state)
{
    static const struct {
        const char *rule;
        enum server_verb verb;
        const char *to;
        bool applies;
    } rows[] = {
        {"rcpt: close", SERVER_RCPT, "x@y", true},
        {"rcpt: close", SERVER_DATA, "", false},
        {"mail,rcpt: close", SERVER_MAIL, "", true},
        {"any: close", SERVER_QUIT, "", true},
        {"any: close", SERVER_BODY, "", false},
        {"rcpt to=Y.Test: close", SERVER_RCPT, "x@y.TEST", true},
        {"rcpt to=y.test: close", SERVER_RCPT, "x@sub.y.test", false},
        {"rcpt to=*.test: close", SERVER_RCPT, "x@y.test", true},
        {"rcpt to=x@*: close", SERVER_RCPT, "x@y.test", true},
        {"rcpt to=?@y*t: close", SERVER_RCPT, "x@y.test", true},
        {"rcpt to=?@y*t: close", SERVER_RCPT, "xx@y.test", false},
        {"rcpt to=*a*b*c@d: close", SERVER_RCPT, "aabbcabc@d", true},
        /* Later stages: any recipient of the transaction. */
        {"dot to=other.test: close", SERVER_DOT, "", true},
        {"dot to=third.test: close", SERVER_DOT, "", false},
        {"dot from=ann@*: close", SERVER_DOT, "", true},
        {"dot from=bob@*: close", SERVER_DOT, "", false},
        {"mail connection=7: close", SERVER_MAIL, "", true},
        {"mail connection=8: close", SERVER_MAIL, "", false},
        {"mail message=1: close", SERVER_MAIL, "", true},
        {"mail message=2: close", SERVER_MAIL, "", false},
        {"mail tls=yes: close", SERVER_MAIL, "", false},
        {"mail tls=no: close", SERVER_MAIL, "", true},
        {"mail p=0: close", SERVER_MAIL, "", false},
        {"mail p=100%: close", SERVER_MAIL, "", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct setting t;
        setting_init(&t, 7);
        add(&t.rules, rows[i].rule);
        if (applies(&t, rows[i].verb, rows[i].to) != rows[i].applies) {
            fail_msg("%s, %s %s", rows[i].rule, server_verb_name(rows[i].verb), rows[i].to);
        }
        setting_fini(&t);
    }
}

static void test_counts(void **state)
{
    static const struct {
        const char *rule, *when; /* '1' where it applies */
    } rows[] = {
        {"mail nth=3: close", "0010000"},           {"mail first=2: close", "1100000"},
        {"mail after=4: close", "0000111"},         {"mail every=3: close", "0010010"},
        {"mail after=1 first=3: close", "0110000"}, {"mail nth=2 per=connection: close", "0100000"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct setting t;
        char got[8] = "";
        setting_init(&t, 1);
        add(&t.rules, rows[i].rule);
        for (size_t k = 0; k < 7; k++) {
            got[k] = applies(&t, SERVER_MAIL, "") ? '1' : '0';
        }
        assert_string_equal(got, rows[i].when);
        /* Another connection starts anew only where that was said. */
        memset(t.counts, 0, sizeof(t.counts));
        bool anew = strstr(rows[i].rule, "per=connection") != NULL;
        applies(&t, SERVER_MAIL, "");
        if (anew) {
            assert_true(applies(&t, SERVER_MAIL, ""));
        }
        setting_fini(&t);
    }
}

static void test_chance(void **state)
{
    struct setting t;
    int hits = 0;

    (void)state;
    setting_init(&t, 1);
    add(&t.rules, "mail p=5%: close");
    for (int i = 0; i < 20000; i++) {
        hits += applies(&t, SERVER_MAIL, "");
    }
    assert_in_range(hits, 880, 1120); /* 1000 expected, four deviations */
    setting_fini(&t);
}

static void test_the_first_rule_wins(void **state)
{
    struct setting t;
    struct server_verdict v;

    (void)state;
    setting_init(&t, 1);
    add(&t.rules, "rcpt to=a@b: reply 450 first");
    add(&t.rules, "rcpt: reply 451 second");
    fault_decide(&t.rules, &t.rng, t.counts, &t.server, SERVER_RCPT, SLICE("a@b"), &v);
    assert_true(slice_eq(v.reply, SLICE("450 first")));
    fault_decide(&t.rules, &t.rng, t.counts, &t.server, SERVER_RCPT, SLICE("c@b"), &v);
    assert_true(slice_eq(v.reply, SLICE("451 second")));
    /* Rules that lose count all the same. */
    add(&t.rules, "mail nth=1: reply 450 first");
    add(&t.rules, "mail nth=2: reply 451 second");
    fault_decide(&t.rules, &t.rng, t.counts, &t.server, SERVER_MAIL, SLICE_NONE, &v);
    assert_true(slice_eq(v.reply, SLICE("450 first")));
    fault_decide(&t.rules, &t.rng, t.counts, &t.server, SERVER_MAIL, SLICE_NONE, &v);
    assert_true(slice_eq(v.reply, SLICE("451 second")));
    setting_fini(&t);
}

/* ---- magic recipients ---- */

static void test_magic(void **state)
{
    static const struct {
        const char *to, *reply; /* NULL: not magic */
        enum server_then then;
        int64_t delay_us;
    } rows[] = {
        {"ann@x", NULL, 0, 0},
        {"full@x", "452 4.2.2", 0, 0},
        {"FULL-1@x", "452 4.2.2", 0, 0},
        {"full+a@x", "452 4.2.2", 0, 0},
        {"fuller@x", NULL, 0, 0},
        {"full.moon@x", NULL, 0, 0},
        {"tempfail@x", "451 4.3.0", 0, 0},
        {"permfail@x", "550 5.1.1", 0, 0},
        {"450-a@x", "450 4.0.0", 0, 0},
        {"550-5.7.1-a@x", "550 5.7.1 ", 0, 0},
        {"550-4.7.1-a@x", "550 5.0.0", 0, 0},
        {"550-5.7-a@x", "550 5.0.0", 0, 0},
        {"421-a@x", "421 4.0.0", SERVER_THEN_CLOSE, 0},
        {"250-a@x", NULL, 0, 0},
        {"45-a@x", NULL, 0, 0},
        {"4444-a@x", NULL, 0, 0},
        {"slow@x", "", 0, 5000000},
        {"slow-200ms@x", "", 0, 200000},
        {"close@x", "", SERVER_THEN_CLOSE, 0},
        {"reset@x", "", SERVER_THEN_RESET, 0},
        {"stall@x", "", SERVER_THEN_STALL, 0},
        {"4@x", NULL, 0, 0},
        {"@x", NULL, 0, 0},
    };
    struct ids *greylist = ids_new();
    struct magic magic;
    struct setting t;

    (void)state;
    magic_init(&magic, greylist);
    setting_init(&t, 1);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct server_verdict v = {0};
        bool got = magic_decide(&magic, &t.server, SERVER_RCPT, slice_cstr(rows[i].to), &v);
        if (got != (rows[i].reply != NULL) ||
            (got && (!slice_starts(v.reply, slice_cstr(rows[i].reply)) || v.then != rows[i].then ||
                     v.delay_us != rows[i].delay_us))) {
            fail_msg("%s: " SLICE_FMT, rows[i].to, SLICE_ARG(v.reply));
        }
    }
    setting_fini(&t);
    magic_fini(&magic);
    ids_free(greylist);
}

static void test_greylist_and_dot(void **state)
{
    struct ids *greylist = ids_new();
    struct server_verdict v = {0};
    struct magic magic;
    struct setting t;

    (void)state;
    magic_init(&magic, greylist);
    setting_init(&t, 1);
    assert_true(magic_decide(&magic, &t.server, SERVER_RCPT, SLICE("greylist@x"), &v));
    assert_true(slice_starts(v.reply, SLICE("451 4.7.1")));
    assert_false(magic_decide(&magic, &t.server, SERVER_RCPT, SLICE("greylist@x"), &v));
    assert_true(magic_decide(&magic, &t.server, SERVER_RCPT, SLICE("greylist@y"), &v));

    assert_false(magic_decide(&magic, &t.server, SERVER_DOT, SLICE_NONE, &v));
    server_feed(&t.server, SLICE("RCPT TO:<dot-554-5.7.1-spam@x>\r\n"), 0);
    assert_true(magic_decide(&magic, &t.server, SERVER_DOT, SLICE_NONE, &v));
    assert_true(slice_starts(v.reply, SLICE("554 5.7.1")));
    setting_fini(&t);
    magic_fini(&magic);
    ids_free(greylist);
}

/* ---- identifiers ---- */

static void put_sample(void *ctx, struct slice value)
{
    buf_puts(ctx, value);
    buf_putc(ctx, ' ');
}

static void test_ids(void **state)
{
    struct ids *ids = ids_new();
    struct buf samples = BUF_EMPTY;
    char text[32];

    (void)state;
    for (int i = 0; i < 100000; i++) {
        int len = snprintf(text, sizeof(text), "user%d@example.org", i);
        assert_int_equal(ids_add(ids, slice_of(text, (size_t)len)), 1);
    }
    assert_int_equal(ids_add(ids, SLICE("user7@example.org")), 2);
    assert_int_equal(ids_add(ids, SLICE("user99999@example.org")), 2);
    assert_int_equal(ids_add(ids, SLICE("user7@example.org")), 3);
    assert_int_equal(ids_add(ids, SLICE("")), 1);
    assert_int_equal(ids_distinct(ids), 100001);
    assert_int_equal(ids_duplicates(ids), 3);
    ids_each_sample(ids, put_sample, &samples);
    assert_true(slice_eq(buf_slice(&samples), SLICE("user7@example.org user99999@example.org ")));
    for (int i = 0; i < 300; i++) {
        ids_add(ids, SLICE("often"));
    }
    assert_int_equal(ids_add(ids, SLICE("often")), 255);
    buf_fini(&samples);
    ids_free(ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_rules_say_what_is_wrong),
        cmocka_unit_test(test_verdicts_of_rules),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_chance),
        cmocka_unit_test(test_the_first_rule_wins),
        cmocka_unit_test(test_magic),
        cmocka_unit_test(test_greylist_and_dot),
        cmocka_unit_test(test_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
