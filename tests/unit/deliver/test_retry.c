/*
 * test_retry.c - waits, jitter, limits and back-off; shares of the classes.
 */
#include "engine/deliver/lane.h"
#include "engine/deliver/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

static const int64_t minute_us = INT64_C(60) * 1000000;

static void test_waits_follow_the_list(void **state)
{
    const int64_t waits[] = {5 * minute_us, 30 * minute_us};
    struct retry_plan plan = {.waits_us = waits, .wait_count = 2};
    struct rng rng;

    (void)state;
    rng_seed(&rng, 1);
    for (uint32_t attempt = 1; attempt <= 5; attempt++) {
        int64_t base = attempt == 1 ? waits[0] : waits[1];
        for (int i = 0; i < 1000; i++) {
            int64_t due = 0;
            assert_int_equal(retry_after(&plan, attempt, 0, &rng, 1000, &due), RETRY_LATER);
            assert_true(due - 1000 >= base - base / 10 && due - 1000 <= base + base / 10);
        }
    }
}

static void test_jitter_uses_its_whole_range(void **state)
{
    const int64_t waits[] = {100 * minute_us};
    struct retry_plan plan = {.waits_us = waits, .wait_count = 1};
    int64_t low = INT64_MAX, high = 0;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 7);
    for (int i = 0; i < 2000; i++) {
        int64_t due;
        retry_after(&plan, 1, 0, &rng, 0, &due);
        low = due < low ? due : low;
        high = due > high ? due : high;
    }
    assert_true(low < 91 * minute_us && high > 109 * minute_us);
}

static void test_limits(void **state)
{
    const int64_t waits[] = {5 * minute_us};
    struct retry_plan plan = {.waits_us = waits, .wait_count = 1, .max_attempts = 3};
    struct rng rng;
    int64_t due = 0;

    (void)state;
    rng_seed(&rng, 1);
    assert_int_equal(retry_after(&plan, 2, 0, &rng, 0, &due), RETRY_LATER);
    assert_int_equal(retry_after(&plan, 3, 0, &rng, 0, &due), RETRY_EXHAUSTED);
    plan.max_attempts = 0;
    plan.expires_wall_us = minute_us;
    assert_int_equal(retry_after(&plan, 9, 0, &rng, 0, &due), RETRY_LATER);
    assert_int_equal(due, minute_us);
    plan.expires_wall_us = 0;
    assert_int_equal(retry_after(&plan, 1, 60 * minute_us, &rng, 0, &due), RETRY_LATER);
    assert_int_equal(due, 60 * minute_us);
}

static void test_site_backoff(void **state)
{
    (void)state;
    assert_int_equal(retry_site_backoff_us(1), INT64_C(30000000));
    assert_int_equal(retry_site_backoff_us(2), INT64_C(60000000));
    assert_int_equal(retry_site_backoff_us(5), INT64_C(480000000));
    assert_int_equal(retry_site_backoff_us(6), INT64_C(900000000));
    assert_int_equal(retry_site_backoff_us(4000000000U), INT64_C(900000000));
}

static void shares(const bool work[LANE_CLASSES], int got[LANE_CLASSES], int places)
{
    struct lane_turn turn = {0};

    memset(got, 0, sizeof(int) * LANE_CLASSES);
    for (int i = 0; i < places; i++) {
        int class = lane_pick(&turn, work);
        assert_true(class >= 0 && work[class]);
        got[class]++;
    }
}

static void test_class_shares(void **state)
{
    int got[LANE_CLASSES];

    (void)state;
    shares((const bool[]){true, true, true}, got, 500);
    assert_int_equal(got[LANE_HIGH], 450);
    assert_int_equal(got[LANE_NORMAL], 40);
    assert_int_equal(got[LANE_BULK], 10);
    shares((const bool[]){false, true, true}, got, 500);
    assert_int_equal(got[LANE_NORMAL], 400);
    assert_int_equal(got[LANE_BULK], 100);
    shares((const bool[]){true, false, true}, got, 500);
    assert_int_equal(got[LANE_HIGH], 450);
    assert_int_equal(got[LANE_BULK], 50);
    shares((const bool[]){false, false, true}, got, 10);
    assert_int_equal(got[LANE_BULK], 10);
    assert_int_equal(lane_pick(&(struct lane_turn){0}, (const bool[]){false, false, false}), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits_follow_the_list),
        cmocka_unit_test(test_jitter_uses_its_whole_range),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_site_backoff),
        cmocka_unit_test(test_class_shares),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
