/*
 * test_learned.c - a trial is earned, passed or refused; what is kept runs out.
 */
#include "engine/deliver/learned.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static const int64_t now = INT64_C(1000000000000000);

static void clean(struct learned *l, int count, bool ahead)
{
    for (int i = 0; i < count; i++) {
        learned_transaction(l, LEARNED_ACCEPTED, ahead, now);
    }
}

static void test_a_trial_is_earned(void **state)
{
    struct learned l = {0};

    (void)state;
    clean(&l, LEARNED_CLEAN - 1, false);
    learned_transaction(&l, LEARNED_REFUSED, false, now); /* a refusal in step does not count */
    assert_false(learned_asks(&l));
    assert_false(learned_may_go_ahead(&l, now));
    clean(&l, 1, false);
    assert_false(learned_may_go_ahead(&l, now)); /* what others know was not asked yet */
    assert_true(learned_asks(&l));
    assert_false(learned_asks(&l)); /* once */
    assert_false(learned_may_go_ahead(&l, now));
    learned_told(&l, 0);
    assert_true(learned_may_go_ahead(&l, now));
}

static void test_other_nodes_were_refused(void **state)
{
    struct learned l = {0};

    (void)state;
    clean(&l, LEARNED_CLEAN, false);
    assert_true(learned_asks(&l));
    learned_told(&l, now + 5);
    assert_false(learned_may_go_ahead(&l, now));
    assert_true(learned_may_go_ahead(&l, now + 5));
}

static void test_nobody_answered(void **state)
{
    struct learned l = {0};

    (void)state;
    clean(&l, LEARNED_CLEAN, false);
    assert_true(learned_asks(&l));
    learned_told(&l, -1);
    assert_false(learned_may_go_ahead(&l, now));
    assert_false(learned_asks(&l)); /* not at every letter */
    clean(&l, LEARNED_CLEAN, false);
    assert_true(learned_asks(&l));
}

static void trial(struct learned *l)
{
    clean(l, LEARNED_CLEAN, false);
    assert_true(learned_asks(l));
    learned_told(l, 0);
}

static void test_refused_for_seven_days(void **state)
{
    struct learned l = {0};

    (void)state;
    trial(&l);
    assert_true(learned_refused(&l, now));
    assert_false(learned_refused(&l, now + 1000000)); /* another connection: no news */
    assert_false(learned_may_go_ahead(&l, now));
    clean(&l, LEARNED_CLEAN, false);
    assert_false(learned_asks(&l));
    assert_false(learned_may_go_ahead(&l, now + LEARNED_REFUSED_US - 1));
    assert_true(learned_may_go_ahead(&l, now + LEARNED_REFUSED_US));
    assert_true(learned_refused(&l, now + LEARNED_REFUSED_US)); /* still so */
}

static void test_an_answer_that_comes_late_changes_nothing(void **state)
{
    struct learned l = {0};

    (void)state;
    clean(&l, LEARNED_CLEAN, false);
    assert_true(learned_asks(&l));
    assert_true(learned_refused(&l, now));
    learned_told(&l, 0);
    clean(&l, LEARNED_CLEAN, false);
    assert_false(learned_may_go_ahead(&l, now));
}

static void test_a_break_during_the_trial(void **state)
{
    struct learned l = {0};

    (void)state;
    trial(&l);
    learned_transaction(&l, LEARNED_BROKE, true, now);
    clean(&l, LEARNED_CLEAN, false);
    assert_false(learned_may_go_ahead(&l, now));
    assert_true(learned_may_go_ahead(&l, now + LEARNED_BROKEN_US));
}

static void test_a_break_after_the_trial(void **state)
{
    struct learned l = {0};

    (void)state;
    trial(&l);
    clean(&l, LEARNED_CLEAN, true);
    learned_transaction(&l, LEARNED_BROKE, true, now);
    assert_true(learned_may_go_ahead(&l, now)); /* it has shown that it takes them */
}

static void test_a_break_without_anything_ahead(void **state)
{
    struct learned l = {0};

    (void)state;
    clean(&l, LEARNED_CLEAN - 1, false);
    learned_transaction(&l, LEARNED_BROKE, false, now);
    clean(&l, 1, false);
    assert_false(learned_asks(&l));
}

static void test_recipients(void **state)
{
    struct learned l = {0};

    (void)state;
    assert_int_equal(learned_rcpt_max(&l, 50, now), 50);
    learned_rcpt_limit(&l, 0, now);
    assert_int_equal(learned_rcpt_max(&l, 50, now), 50);
    learned_rcpt_limit(&l, 10, now);
    assert_int_equal(learned_rcpt_max(&l, 50, now), 10);
    assert_int_equal(learned_rcpt_max(&l, 5, now), 5); /* never more than is configured */
    assert_int_equal(learned_rcpt_max(&l, 50, now + LEARNED_RCPT_US), 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_trial_is_earned),
        cmocka_unit_test(test_other_nodes_were_refused),
        cmocka_unit_test(test_nobody_answered),
        cmocka_unit_test(test_refused_for_seven_days),
        cmocka_unit_test(test_an_answer_that_comes_late_changes_nothing),
        cmocka_unit_test(test_a_break_during_the_trial),
        cmocka_unit_test(test_a_break_after_the_trial),
        cmocka_unit_test(test_a_break_without_anything_ahead),
        cmocka_unit_test(test_recipients),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
