/*
 * test_clock.c - Redis' clock, and what its jumps do.
 */
#include "queue/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static const int64_t second_us = 1000000;
static const int64_t start_us = INT64_C(1700000000) * 1000000;

/* Four times a second for so many seconds; how often a jump was told. */
static int run(struct queue_clock *c, int64_t *now_us, int64_t seconds, int64_t ahead_us)
{
    int jumps = 0;

    for (int64_t i = 0; i < 4 * seconds; i++) {
        *now_us += second_us / 4;
        jumps += queue_clock_hear(c, start_us + *now_us + ahead_us, *now_us);
    }
    return jumps;
}

static void test_follows(void **state)
{
    struct queue_clock c = {0};
    int64_t now_us = 0;

    (void)state;
    assert_int_equal(run(&c, &now_us, 10, 0), 0);
    assert_true(c.known);
    assert_int_equal(c.offset_us, start_us);
    /* Answers that took long, and a clock that is corrected little by little. */
    for (int64_t ahead_us = 0; ahead_us < 3600 * second_us; ahead_us += second_us) {
        assert_int_equal(run(&c, &now_us, 1, ahead_us), 0);
        assert_int_equal(c.expiry_offset_us, start_us + ahead_us);
    }
}

static void test_a_jump_ahead_ends_nothing_for_ten_minutes(void **state)
{
    struct queue_clock c = {0};
    int64_t now_us = 0;

    (void)state;
    run(&c, &now_us, 10, 0);
    assert_int_equal(run(&c, &now_us, 599, 3600 * second_us), 1);
    assert_int_equal(c.offset_us, start_us + 3600 * second_us);
    assert_int_equal(c.expiry_offset_us, start_us);
    /* Back again in time: it was an error, and nothing came of it. */
    assert_int_equal(run(&c, &now_us, 1, 0), 0);
    assert_int_equal(c.offset_us, start_us);
    assert_int_equal(c.expiry_offset_us, start_us);
    /* The next one counts anew. */
    assert_int_equal(run(&c, &now_us, 599, 7200 * second_us), 1);
    assert_int_equal(c.expiry_offset_us, start_us);
    assert_int_equal(run(&c, &now_us, 2, 7200 * second_us), 0);
    assert_int_equal(c.expiry_offset_us, start_us + 7200 * second_us);
}

static void test_a_jump_back_is_taken_at_once(void **state)
{
    struct queue_clock c = {0};
    int64_t now_us = 0;

    (void)state;
    run(&c, &now_us, 10, 0);
    assert_int_equal(run(&c, &now_us, 1, -7200 * second_us), 0);
    assert_int_equal(c.offset_us, start_us - 7200 * second_us);
    assert_int_equal(c.expiry_offset_us, start_us - 7200 * second_us);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_follows),
        cmocka_unit_test(test_a_jump_ahead_ends_nothing_for_ten_minutes),
        cmocka_unit_test(test_a_jump_back_is_taken_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
