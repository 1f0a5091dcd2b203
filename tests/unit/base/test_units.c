/*
 * test_units.c - durations, sizes and rates are read as written and written as read.
 */
#include "engine/base/err.h"
#include "engine/base/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static void test_durations(void **state)
{
    static const struct {
        const char *text;
        int err;
        int64_t us;
    } rows[] = {
        {"0", 0, 0},
        {"250ms", 0, 250000},
        {"90s", 0, 90000000},
        {"1h30m", 0, INT64_C(5400000000)},
        {" 5d ", 0, INT64_C(432000000000)},
        {"2w", 0, INT64_C(1209600000000)},
        {"90", ERR_INVALID, 0},
        {"", ERR_INVALID, 0},
        {"s", ERR_INVALID, 0},
        {"5 m", ERR_INVALID, 0},
        {"-5m", ERR_INVALID, 0},
        {"5x", ERR_INVALID, 0},
        {"99999999999999999999s", ERR_RANGE, 0},
        {"4000d", ERR_RANGE, 0},
        {"3650d1d", ERR_RANGE, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t us = 0;
        int err = units_duration(slice_cstr(rows[i].text), &us);
        if (err != rows[i].err || us != rows[i].us) {
            fail_msg("%s: err %d, %ld us", rows[i].text, err, (long)us);
        }
    }
}

static void test_durations_round_trip(void **state)
{
    static const int64_t values[] = {1, 999, 1000, 61000000, 86400000000, 90061001001};

    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct buf b = BUF_EMPTY;
        int64_t us = -1;
        units_put_duration(&b, values[i]);
        assert_int_equal(units_duration(buf_slice(&b), &us), 0);
        assert_int_equal(us, values[i]);
        buf_fini(&b);
    }
}

static void test_bytes(void **state)
{
    uint64_t bytes = 0;

    (void)state;
    assert_int_equal(units_bytes(SLICE("512"), &bytes), 0);
    assert_int_equal(bytes, 512);
    assert_int_equal(units_bytes(SLICE("64KB"), &bytes), 0);
    assert_int_equal(bytes, 65536);
    assert_int_equal(units_bytes(SLICE("1 gb"), &bytes), 0);
    assert_int_equal(bytes, 1 << 30);
    assert_int_equal(units_bytes(SLICE("3M"), &bytes), 0);
    assert_int_equal(bytes, 3 << 20);
    assert_int_equal(units_bytes(SLICE("3MiB"), &bytes), ERR_INVALID);
    assert_int_equal(units_bytes(SLICE("x"), &bytes), ERR_INVALID);
    assert_int_equal(units_bytes(SLICE("18446744073709551615K"), &bytes), ERR_RANGE);
}

static void test_rates(void **state)
{
    struct rate rate;
    struct buf b = BUF_EMPTY;

    (void)state;
    assert_int_equal(units_rate(SLICE("20/m burst 5"), &rate), 0);
    assert_int_equal(rate.count, 20);
    assert_int_equal(rate.period_us, 60000000);
    assert_int_equal(rate.burst, 5);
    units_put_rate(&b, &rate);
    assert_true(slice_eq(buf_slice(&b), SLICE("20/m burst 5")));
    buf_fini(&b);
    assert_int_equal(units_rate(SLICE("100/s"), &rate), 0);
    assert_int_equal(rate.burst, 1);
    assert_int_equal(units_rate(SLICE("unlimited"), &rate), 0);
    assert_int_equal(rate.count, 0);
    assert_int_equal(units_rate(SLICE("0/s"), &rate), ERR_RANGE);
    assert_int_equal(units_rate(SLICE("100"), &rate), ERR_INVALID);
    assert_int_equal(units_rate(SLICE("100/"), &rate), ERR_INVALID);
    assert_int_equal(units_rate(SLICE("100/s bust 5"), &rate), ERR_INVALID);
    assert_int_equal(units_rate(SLICE("100/s burst 0"), &rate), ERR_RANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_durations_round_trip),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_rates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
