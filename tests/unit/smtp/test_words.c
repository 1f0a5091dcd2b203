/*
 * test_words.c - tables of words: how lines are read, how words are found, what they may change.
 */
#include "engine/smtp/words.h"

#include "tests/unit/smtp/owner.h"

static struct smtp_words *table(const char *text)
{
    struct smtp_words *w = smtp_words_new();
    struct buf why = BUF_EMPTY;
    unsigned line;
    int err = smtp_words_add(w, slice_cstr(text), &line, &why);

    if (err != 0) {
        print_error("line %u: " SLICE_FMT "\n", line, SLICE_ARG(buf_slice(&why)));
    }
    assert_int_equal(err, 0);
    buf_fini(&why);
    return w;
}

static struct smtp_verdict read_as(const char *lines, enum smtp_stage stage, uint16_t code,
                                   const char *text)
{
    struct smtp_words *w = table(lines);
    struct smtp_fact fact = {.cause = SMTP_CAUSE_REPLY,
                             .stage = stage,
                             .code = code,
                             .enhanced = {(uint8_t)(code / 100), 0, 0}};
    struct smtp_verdict v = smtp_words_verdict(w, &fact, slice_cstr(text));

    smtp_words_free(w);
    return v;
}

static bool hits(const char *pattern, const char *text)
{
    char line[200];

    snprintf(line, sizeof(line), "any any \"%s\" content", pattern);
    return read_as(line, SMTP_STAGE_RCPT, 450, text).failure == SMTP_FAILURE_CONTENT;
}

static void test_patterns(void **state)
{
    (void)state;
    assert_true(hits("grey", "You are GREYlisted"));
    assert_true(hits("GREY", "you are greylisted"));
    assert_false(hits("grey", "gre y"));
    assert_false(hits("grey", ""));
    assert_true(hits("too*many", "too very many"));
    assert_true(hits("too*many", "toomany"));
    assert_false(hits("too*many", "many too"));
    assert_true(hits("*many*", "so many"));
    assert_true(hits("a*b*c", "a c b a c"));
    assert_false(hits("a*b*c", "a c b"));
    assert_true(hits("aab", "aaab"));
    /* A time needs a unit, or colons. */
    assert_true(hits("in {time}", "again in 5 minutes"));
    assert_true(hits("in {time}", "in vain, in 5m"));
    assert_false(hits("in {time}", "in 5"));
    assert_false(hits("in {time}", "in 5 mailboxes"));
    assert_false(hits("in {time}", "in 12345678 seconds"));
    assert_true(hits("in {time} or", "in 00:05:00 or so"));
    assert_true(hits("{time}*grey", "5 min of greylisting"));
    /* What stands in addresses is not looked at. */
    assert_false(hits("grey", "<grey@x.example> unknown"));
    assert_false(hits("grey", "x@grey.example"));
    assert_true(hits("grey", "<a@b> grey"));
}

static int64_t wait_s(const char *text)
{
    return read_as("4xx any \"in {time}\" retry=said", SMTP_STAGE_RCPT, 450, text).retry_us /
           1000000;
}

static void test_times(void **state)
{
    (void)state;
    assert_int_equal(wait_s("in 300 seconds"), 310);
    assert_int_equal(wait_s("in 300s."), 310);
    assert_int_equal(wait_s("in 5 Minutes"), 310);
    assert_int_equal(wait_s("in 5-minutes"), 310);
    assert_int_equal(wait_s("in 2 hrs"), 7210);
    assert_int_equal(wait_s("in 1 day"), 86400); /* never more than that */
    assert_int_equal(wait_s("in 999999 days"), 86400);
    assert_int_equal(wait_s("in 00:04:58"), 308);
    assert_int_equal(wait_s("in 04:58"), 308);
    assert_int_equal(wait_s("in 0 seconds"), 10);
    assert_int_equal(wait_s("in a while"), 0);
}

static void test_codes_and_stages(void **state)
{
    static const char lines[] = "421,45x rcpt,dot \"x\" policy";

    (void)state;
    assert_int_equal(read_as(lines, SMTP_STAGE_RCPT, 452, "x").failure, SMTP_FAILURE_POLICY);
    assert_int_equal(read_as(lines, SMTP_STAGE_DOT, 421, "x").failure, SMTP_FAILURE_POLICY);
    assert_int_equal(read_as(lines, SMTP_STAGE_MAIL, 452, "x").failure, SMTP_FAILURE_OTHER);
    assert_int_equal(read_as(lines, SMTP_STAGE_RCPT, 442, "x").failure, SMTP_FAILURE_OTHER);
    assert_int_equal(read_as(lines, SMTP_STAGE_RCPT, 552, "x").failure, SMTP_FAILURE_FULL);
}

static void test_the_first_line_that_answers(void **state)
{
    struct smtp_verdict v = read_as("4xx any \"x\" policy host=stay\n"
                                    "4xx any \"x\" content bounce retry=1m host=next site=slow\n",
                                    SMTP_STAGE_RCPT, 450, "x");

    (void)state;
    assert_int_equal(v.failure, SMTP_FAILURE_POLICY);
    assert_int_equal(v.host, SMTP_HOST_OK);
    assert_int_equal(v.outcome, SMTP_REJECTED);
    assert_int_equal(v.site, SMTP_SITE_SLOW);
    assert_int_equal(v.retry_us, 0); /* nothing is tried again */
}

/* Words do not make a delivery undone, nor a lost one found. */
static void test_what_words_cannot_do(void **state)
{
    struct smtp_words *w = table("any any \"x\" policy bounce host=next site=hold");
    static const struct smtp_fact facts[] = {
        {.cause = SMTP_CAUSE_REPLY, .stage = SMTP_STAGE_DOT, .code = 250, .enhanced = {2, 0, 0}},
        {.cause = SMTP_CAUSE_REPLY, .stage = SMTP_STAGE_DOT, .code = 354, .enhanced = {5, 5, 0}},
        {.cause = SMTP_CAUSE_CLOSED, .stage = SMTP_STAGE_DOT, .position = SMTP_POS_WRITTEN},
        {.cause = SMTP_CAUSE_TIMEOUT, .stage = SMTP_STAGE_RCPT, .position = SMTP_POS_MAIL},
        {.cause = SMTP_CAUSE_LOCAL, .stage = SMTP_STAGE_MAIL, .code = 552, .enhanced = {5, 3, 4}},
        {.cause = SMTP_CAUSE_REPLY,
         .stage = SMTP_STAGE_MAIL,
         .code = 421,
         .enhanced = {4, 0, 0},
         .position = SMTP_POS_BEHIND},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        struct smtp_verdict a = smtp_verdict_of(&facts[i]);
        struct smtp_verdict b = smtp_words_verdict(w, &facts[i], SLICE("x"));
        assert_int_equal(a.outcome, b.outcome);
        assert_int_equal(a.failure, b.failure);
        assert_int_equal(a.conn, b.conn);
        assert_int_equal(a.host, b.host);
        assert_int_equal(a.site, b.site);
        assert_int_equal(a.later, b.later);
        assert_int_equal(b.retry_us, 0);
    }
    /* At the door nobody's letter is refused. */
    struct smtp_fact door = {
        .cause = SMTP_CAUSE_REPLY, .stage = SMTP_STAGE_BANNER, .code = 554, .enhanced = {5, 0, 0}};
    struct smtp_verdict v = smtp_words_verdict(w, &door, SLICE("x"));
    assert_int_equal(v.outcome, SMTP_NOT_TRIED);
    assert_int_equal(v.host, SMTP_HOST_DOWN);
    assert_int_equal(v.failure, SMTP_FAILURE_POLICY);
    smtp_words_free(w);
}

static void test_errors(void **state)
{
    static const struct {
        const char *lines, *why;
    } cases[] = {
        {"4xx any \"x\" policy\n\n  # a comment\n200 any \"x\" policy",
         "\"200\" is no code of a refusal; write 421, 45x, 5xx or any"},
        {"4x1 any \"x\" policy", "\"4x1\" is no code of a refusal; write 421, 45x, 5xx or any"},
        {"xxx any \"x\" policy", "\"xxx\" is no code of a refusal; write 421, 45x, 5xx or any"},
        {"4xx helo \"x\" policy",
         "\"helo\" is no stage; write banner, ehlo, mail, rcpt, data, dot or any"},
        {"4xx any x policy",
         "\"x policy\" is not in quotes; the words come third, as in \"greylist\""},
        {"4xx any \"x policy", "\"x policy\" has no closing quote"},
        {"4xx any \"*\" policy", "\"*\" would fit everything; write words that stand in the reply"},
        {"4xx any \"\" policy", "\"\" would fit everything; write words that stand in the reply"},
        {"4xx any \"x\"", "\"x\" has no meaning behind it"},
        {"4xx any \"x\" # policy", "\"x\" has no meaning behind it"},
        {"4xx any \"x\" retry=said", "\"x\" has no {time} for retry=said"},
        {"4xx any \"x\" retry=2d",
         "\"retry=2d\" is no time to wait; write retry=5m, at most retry=1d, or retry=said"},
        {"4xx any \"a*b*c*d*e*f*g*h*i\" policy", "\"a*b*c*d*e*f*g*h*i\" has too many parts"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct smtp_words *w = smtp_words_new();
        struct buf why = BUF_EMPTY;
        unsigned line;
        assert_int_equal(smtp_words_add(w, slice_cstr(cases[i].lines), &line, &why), ERR_INVALID);
        buf_terminate(&why);
        assert_string_equal(why.ptr, cases[i].why);
        assert_int_equal(line, i == 0 ? 4 : 1);
        smtp_words_free(w);
        buf_fini(&why);
    }
}

static void test_bounds(void **state)
{
    struct smtp_words *w = smtp_words_new();
    struct buf text = BUF_EMPTY, why = BUF_EMPTY;
    unsigned line;

    (void)state;
    for (int i = 0; i <= SMTP_WORDS_RULES_MAX; i++) {
        buf_puts(&text, SLICE("any any \"x\" policy\n"));
    }
    assert_int_equal(smtp_words_add(w, buf_slice(&text), &line, &why), ERR_INVALID);
    assert_int_equal(line, SMTP_WORDS_RULES_MAX + 1);
    assert_int_equal(smtp_words_count(w), SMTP_WORDS_RULES_MAX);
    buf_reset(&text);
    for (int i = 0; i < SMTP_WORDS_LINE_MAX; i++) {
        buf_putc(&text, 'x');
    }
    buf_puts(&text, SLICE("x"));
    assert_int_equal(smtp_words_add(w, buf_slice(&text), &line, &why), ERR_INVALID);
    buf_fini(&text);
    buf_fini(&why);
    smtp_words_free(w);
    smtp_words_free(NULL);
}

/* "Too many recipients" in words alone: the rest goes in a transaction of its own. */
static void test_later(void **state)
{
    static struct owner o;
    static struct smtp_rcpt rcpts[2];
    struct smtp_words *w = table("any rcpt \"too many recipients\" rate later");

    (void)state;
    begin(&o);
    o.config.words = w;
    ready(&o, PIPELINING);
    rcpts[0] = rcpts[1] = (struct smtp_rcpt){.address = SLICE("b@y.example")};
    o.txn[0].mail_from = SLICE("a@x.example");
    o.txn[0].rcpts = rcpts;
    o.txn[0].rcpt_count = 2;
    o.txn[0].content = (struct smtp_content){&dotted, 1, 20, NULL, 0, 0};
    smtp_session_submit(&o.session, &o.txn[0], o.now_us);
    hear(&o);
    say(&o, "250 ok\r\n250 ok\r\n550 5.7.1 Too many recipients today\r\n354 go\r\n");
    assert_string_equal(say(&o, "250 ok\r\n"), ENVELOPE "DATA\r\n");
    say(&o, "250 ok\r\n250 ok\r\n354 go\r\n");
    say(&o, "250 ok\r\n");
    assert_int_equal(o.done, 1);
    assert_int_equal(rcpts[0].outcome, SMTP_ACCEPTED);
    assert_int_equal(rcpts[1].outcome, SMTP_ACCEPTED);
    assert_int_equal(smtp_session_learned(&o.session), SMTP_LEARNED_RCPT_LIMIT);
    finish(&o);
    smtp_words_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_codes_and_stages),
        cmocka_unit_test(test_the_first_line_that_answers),
        cmocka_unit_test(test_what_words_cannot_do),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
