/*
 * test_clock.c - times as people write them.
 */
#include "engine/base/clock.h"
#include "engine/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define S INT64_C(1000000)

static void test_known_dates(void **state)
{
    static const struct {
        int64_t us;
        const char *rfc3339, *rfc5322;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000Z", "Thu, 1 Jan 1970 00:00:00 +0000"},
        {951782400 * S, "2000-02-29T00:00:00.000Z", "Tue, 29 Feb 2000 00:00:00 +0000"},
        {951868800 * S, "2000-03-01T00:00:00.000Z", "Wed, 1 Mar 2000 00:00:00 +0000"},
        {1000000000 * S, "2001-09-09T01:46:40.000Z", "Sun, 9 Sep 2001 01:46:40 +0000"},
        {1234567890 * S + 123999, "2009-02-13T23:31:30.123Z", "Fri, 13 Feb 2009 23:31:30 +0000"},
        {1709164800 * S, "2024-02-29T00:00:00.000Z", "Thu, 29 Feb 2024 00:00:00 +0000"},
        {1769903999 * S, "2026-01-31T23:59:59.000Z", "Sat, 31 Jan 2026 23:59:59 +0000"},
        {2147483648 * S, "2038-01-19T03:14:08.000Z", "Tue, 19 Jan 2038 03:14:08 +0000"},
        {4107542400 * S, "2100-03-01T00:00:00.000Z", "Mon, 1 Mar 2100 00:00:00 +0000"},
        {253402300799 * S + 999999, "9999-12-31T23:59:59.999Z", "Fri, 31 Dec 9999 23:59:59 +0000"},
        {-1, "1969-12-31T23:59:59.999Z", "Wed, 31 Dec 1969 23:59:59 +0000"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[40];
        int64_t us;
        clock_format(text, rows[i].us);
        assert_string_equal(text, rows[i].rfc3339);
        if (rows[i].us >= 0) {
            assert_int_equal(clock_parse(slice_cstr(text), &us), 0);
            assert_true(us == rows[i].us / 1000 * 1000);
        }
        assert_int_equal(clock_format_rfc5322(text, rows[i].us), strlen(rows[i].rfc5322));
        assert_string_equal(text, rows[i].rfc5322);
    }
}

/* Day by day over the four centuries after which the calendar repeats, against libc. */
static void test_every_day(void **state)
{
    (void)state;
    for (int64_t day = 0; day < 146097 + 400; day++) {
        char ours[CLOCK_RFC3339_LEN + 1], theirs[40];
        time_t s = day * 86400 + 86399;
        struct tm tm;
        int64_t us;
        clock_format(ours, (int64_t)s * S);
        gmtime_r(&s, &tm);
        strftime(theirs, sizeof(theirs), "%Y-%m-%dT%H:%M:%S.000Z", &tm);
        assert_string_equal(ours, theirs);
        assert_int_equal(clock_parse(slice_cstr(ours), &us), 0);
        assert_true(us == (int64_t)s * S);
    }
}

static void test_parse(void **state)
{
    static const struct {
        const char *text;
        int err;
        int64_t us;
    } rows[] = {
        {"0", 0, 0},
        {"1767225600", 0, 1767225600 * S},
        {"1767225600.5", 0, 1767225600 * S + 500000},
        {"1767225600.1234567", 0, 1767225600 * S + 123456},
        {"253402300799", 0, 253402300799 * S},
        {"253402300800", ERR_RANGE, 0},
        {"99999999999999999999", ERR_RANGE, 0},
        {"", ERR_INVALID, 0},
        {" 1", ERR_INVALID, 0},
        {"1.", ERR_INVALID, 0},
        {".5", ERR_INVALID, 0},
        {"1.5x", ERR_INVALID, 0},
        {"tomorrow", ERR_INVALID, 0},
        {"-5", ERR_INVALID, 0},
        {"2026-01-31T23:59:59Z", 0, 1769903999 * S},
        {"2026-01-31 23:59:59Z", 0, 1769903999 * S},
        {"2026-02-01T00:59:59+01:00", 0, 1769903999 * S},
        {"2026-01-31T18:29:59-05:30", 0, 1769903999 * S},
        {"2026-01-31T23:59:59.25Z", 0, 1769903999 * S + 250000},
        {"2016-12-31T23:59:60Z", 0, 1483228800 * S}, /* a leap second is the next one */
        {"2024-02-29T00:00:00Z", 0, 1709164800 * S},
        {"2023-02-29T00:00:00Z", ERR_RANGE, 0},
        {"2100-02-29T00:00:00Z", ERR_RANGE, 0},
        {"2000-02-30T00:00:00Z", ERR_RANGE, 0},
        {"2026-13-01T00:00:00Z", ERR_RANGE, 0},
        {"2026-00-01T00:00:00Z", ERR_RANGE, 0},
        {"2026-01-00T00:00:00Z", ERR_RANGE, 0},
        {"2026-04-31T00:00:00Z", ERR_RANGE, 0},
        {"2026-01-01T24:00:00Z", ERR_RANGE, 0},
        {"2026-01-01T00:60:00Z", ERR_RANGE, 0},
        {"2026-01-01T00:00:61Z", ERR_RANGE, 0},
        {"2026-01-01T00:00:00+24:00", ERR_RANGE, 0},
        {"2026-01-01T00:00:00+00:60", ERR_RANGE, 0},
        {"1969-12-31T23:59:59Z", ERR_RANGE, 0},
        {"1970-01-01T00:00:00+01:00", ERR_RANGE, 0}, /* before 1970 all the same */
        {"1970-01-01T01:00:00+01:00", 0, 0},
        {"9999-12-31T23:59:59-01:00", ERR_RANGE, 0},
        {"9999-12-31T23:59:60Z", ERR_RANGE, 0},
        {"2026-01-31T23:59:59", ERR_INVALID, 0}, /* whose time? */
        {"2026-01-31", ERR_INVALID, 0},
        {"2026-01-31T23:59Z", ERR_INVALID, 0},
        {"2026-01-31T23:59:59Zx", ERR_INVALID, 0},
        {"2026-01-31T23:59:59.Z", ERR_INVALID, 0},
        {"2026-01-31T23:59:59+1:00", ERR_INVALID, 0},
        {"2026-01-31T23:59:59+0100", ERR_INVALID, 0},
        {"2026-1-31T23:59:59Z", ERR_INVALID, 0},
        {"26-01-31T23:59:59Z", ERR_INVALID, 0},
        {"2026/01/31T23:59:59Z", ERR_INVALID, 0},
        {"+026-01-31T23:59:59Z", ERR_INVALID, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t us = -7;
        int err = clock_parse(slice_cstr(rows[i].text), &us);
        if (err != rows[i].err || (err == 0 && us != rows[i].us)) {
            fail_msg("%s: err %d, %lld us", rows[i].text, err, (long long)us);
        }
    }
}

static void test_clocks_run(void **state)
{
    int64_t mono = clock_mono_us(), wall = clock_wall_us();

    (void)state;
    assert_true(clock_mono_us() >= mono);
    assert_true(wall > 1700000000 * S && wall < 253402300800 * S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_dates),
        cmocka_unit_test(test_every_day),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_clocks_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
