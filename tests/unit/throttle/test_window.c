/*
 * test_window.c - hours in which mail may leave, and the time zones they are meant in.
 *
 * Instants are written as UTC; what the clocks of a place showed then is public knowledge, and
 * that of Debian's tzdata.  Files are made here as well, with the rule at their end alone.
 */
#include "engine/base/err.h"
#include "throttle/window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

/* ---- instants ---- */

/* Unix seconds of a UTC date, by counting (Howard Hinnant's civil calendar identity). */
static int64_t utc(int year, int month, int day, int hour, int minute)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = y / 400, of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t days = era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;

    return days * 86400 + hour * 3600 + minute * 60;
}

/* ---- files ---- */

static struct zone zone_load(const char *name)
{
    static char bytes[ZONE_BYTES_MAX];
    char path[128];
    struct zone z = {0};

    snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", name);
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        print_message("%s is not there: install tzdata\n", path);
        fail();
    }
    size_t len = fread(bytes, 1, sizeof(bytes), f);
    fclose(f);
    assert_int_equal(zone_parse(&z, slice_of(bytes, len)), 0);
    return z;
}

static void put_be(struct buf *b, uint64_t value, unsigned len)
{
    while (len-- > 0) {
        buf_putc(b, (char)(value >> (8 * len)));
    }
}

static void put_head(struct buf *b, char version, unsigned times, unsigned types)
{
    BUF_LIT(b, "TZif");
    buf_putc(b, version);
    for (int i = 0; i < 15; i++) {
        buf_putc(b, '\0');
    }
    put_be(b, 0, 4);
    put_be(b, 0, 4);
    put_be(b, 0, 4);
    put_be(b, times, 4);
    put_be(b, types, 4);
    put_be(b, 4, 4);
}

static void put_type(struct buf *b, int32_t offset_s)
{
    put_be(b, (uint32_t)offset_s, 4);
    put_be(b, 0, 2);
}

/* A file without changes: a first offset and a rule. */
static void put_ruled(struct buf *b, int32_t offset_s, const char *rule)
{
    for (int part = 0; part < 2; part++) {
        put_head(b, '2', 0, 1);
        put_type(b, offset_s);
        buf_put(b, "LMT", 4);
    }
    buf_printf(b, "\n%s\n", rule);
}

static int32_t offset_at(const struct zone *z, int64_t t_s)
{
    int64_t until_s;
    int32_t offset_s = zone_offset(z, t_s, &until_s);

    assert_true(until_s > t_s);
    return offset_s;
}

/* ---- zones ---- */

static void test_offsets_of_places(void **state)
{
    static const struct {
        const char *name;
        int year, month, day, hour, minute;
        int32_t offset_s;
    } rows[] = {
        {"Europe/Berlin", 2026, 3, 29, 0, 59, 3600},
        {"Europe/Berlin", 2026, 3, 29, 1, 0, 7200},
        {"Europe/Berlin", 2026, 10, 25, 0, 59, 7200},
        {"Europe/Berlin", 2026, 10, 25, 1, 0, 3600},
        {"Europe/Berlin", 1970, 7, 1, 0, 0, 3600},
        {"Europe/Berlin", 2080, 7, 1, 0, 0, 7200}, /* by the rule */
        {"Europe/Berlin", 2080, 12, 1, 0, 0, 3600},
        {"America/New_York", 2026, 3, 8, 6, 59, -18000},
        {"America/New_York", 2026, 3, 8, 7, 0, -14400},
        {"America/New_York", 2090, 11, 5, 5, 59, -14400},
        {"America/New_York", 2090, 11, 5, 6, 0, -18000},
        {"Australia/Lord_Howe", 2026, 1, 1, 0, 0, 39600}, /* summer is half an hour */
        {"Australia/Lord_Howe", 2026, 7, 1, 0, 0, 37800},
        {"Europe/Dublin", 2026, 7, 1, 0, 0, 3600}, /* winter is the exception there */
        {"Europe/Dublin", 2070, 1, 15, 0, 0, 0},
        {"Asia/Kathmandu", 2026, 1, 1, 0, 0, 20700},
        {"Asia/Tokyo", 2099, 1, 1, 0, 0, 32400},
        {"Pacific/Apia", 2011, 12, 30, 9, 59, -36000}, /* a day left out */
        {"Pacific/Apia", 2011, 12, 30, 10, 0, 50400},
        {"UTC", 2026, 1, 1, 0, 0, 0},
        {"Etc/GMT-3", 2026, 1, 1, 0, 0, 10800},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct zone z = zone_load(rows[i].name);
        int64_t t_s = utc(rows[i].year, rows[i].month, rows[i].day, rows[i].hour, rows[i].minute);
        if (offset_at(&z, t_s) != rows[i].offset_s) {
            fail_msg("row %zu, %s: %d", i, rows[i].name, offset_at(&z, t_s));
        }
        zone_fini(&z);
    }
}

static void test_rules_alone(void **state)
{
    static const struct {
        const char *rule;
        int64_t t_s; /* within 2026 unless said */
        int32_t offset_s;
    } rows[] = {
        {"CET-1CEST,M3.5.0,M10.5.0/3", 1774745999, 3600}, /* 2026-03-29 00:59:59 */
        {"CET-1CEST,M3.5.0,M10.5.0/3", 1774746000, 7200},
        {"<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", 1767225600, 39600},
        {"IST-1GMT0,M10.5.0,M3.5.0/1", 1767225600, 0},
        {"IST-1GMT0,M10.5.0,M3.5.0/1", 1782864000, 3600},
        {"EST5EDT,0/0,J365/25", 1767225600, -14400}, /* summer all the year */
        {"EST5EDT,0/0,J365/25", 1798779600, -14400}, /* and where two of them meet */
        {"AAA3BBB,J60,J300", 1772337599, -10800},    /* J60 is the 1st of March, 02:00 */
        {"AAA3BBB,J60,J300", 1772341200, -7200},
        {"AAA3BBB,J60,J300", 1835499599, -10800}, /* in a leap year too: 2028 */
        {"AAA3BBB,59,300", 1835413199, -10800},   /* 59 is the 29th of February there */
        {"AAA3BBB,59,300", 1835413200, -7200},
        {"<-03>3", 1767225600, -10800},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf file = BUF_EMPTY;
        struct zone z;
        put_ruled(&file, 0, rows[i].rule);
        assert_int_equal(zone_parse(&z, buf_slice(&file)), 0);
        if (offset_at(&z, rows[i].t_s) != rows[i].offset_s) {
            fail_msg("row %zu, %s: %d", i, rows[i].rule, offset_at(&z, rows[i].t_s));
        }
        zone_fini(&z);
        buf_fini(&file);
    }
}

static void test_rules_that_are_none(void **state)
{
    static const char *const rules[] = {
        "CE-1",
        "CET",
        "CET-1CEST",
        "CET-1CEST,M3.5.0",
        "CET-1CEST,M13.5.0,M10.5.0",
        "CET-1CE,M3.5.0,M10.5.0",
        "CET-1CEST,M3.6.0,M10.5.0",
        "CET-1CEST,M3.5.7,M10.5.0",
        "CET-1CEST,J0,J5",
        "CET-1CEST,366,5",
        "CET-1x",
        "<CET-1",
        "CET-99999",
        "CET-1CEST,M3.5.0,M10.5.0/3x",
        "CET-200",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        struct buf file = BUF_EMPTY;
        struct zone z;
        put_ruled(&file, 0, rules[i]);
        if (zone_parse(&z, buf_slice(&file)) != ERR_INVALID) {
            fail_msg("%s was taken", rules[i]);
        }
        buf_fini(&file);
    }
}

static void test_files_that_are_none(void **state)
{
    struct buf file = BUF_EMPTY, odd = BUF_EMPTY;
    struct zone z;

    (void)state;
    put_ruled(&file, 3600, "CET-1");
    for (size_t len = 0; len < file.len; len++) {
        char *exact = test_malloc(len + 1);
        memcpy(exact, file.ptr, len);
        assert_int_equal(zone_parse(&z, slice_of(exact, len)), ERR_INVALID);
        test_free(exact);
    }
    /* Every byte of the heads, changed: taken or not, but never read beyond the end. */
    for (size_t i = 0; i < file.len; i++) {
        for (unsigned value = 0; value < 256; value += 51) {
            buf_reset(&odd);
            buf_puts(&odd, buf_slice(&file));
            odd.ptr[i] = (char)value;
            if (zone_parse(&z, buf_slice(&odd)) == 0) {
                zone_fini(&z);
            }
        }
    }
    buf_fini(&file);
    buf_fini(&odd);
}

static void test_zone_names(void **state)
{
    (void)state;
    assert_true(zone_name_valid(SLICE("Europe/Berlin")));
    assert_true(zone_name_valid(SLICE("America/Argentina/ComodRivadavia")));
    assert_true(zone_name_valid(SLICE("Etc/GMT+5")));
    assert_false(zone_name_valid(SLICE("")));
    assert_false(zone_name_valid(SLICE("/etc/passwd")));
    assert_false(zone_name_valid(SLICE("../x")));
    assert_false(zone_name_valid(SLICE("a/../x")));
    assert_false(zone_name_valid(SLICE("a\0b")));
    assert_false(zone_name_valid(SLICE("5")));
}

/* ---- windows ---- */

static int64_t next_in(const char *text, const struct zone *z, int64_t t_s)
{
    struct buf why = BUF_EMPTY;
    struct window w;

    if (window_parse(&w, slice_cstr(text), &why) != 0) {
        buf_terminate(&why);
        fail_msg("%s: %s", text, why.ptr);
    }
    buf_fini(&why);
    return window_next(&w, z, t_s);
}

static void test_office_hours(void **state)
{
    struct zone berlin = zone_load("Europe/Berlin");
    const char *text = "Mon-Fri 08:00-18:00 Europe/Berlin";

    (void)state;
    /* Winter: UTC+1.  2026-01-05 is a Monday. */
    assert_int_equal(next_in(text, &berlin, utc(2026, 1, 5, 6, 59)), utc(2026, 1, 5, 7, 0));
    assert_int_equal(next_in(text, &berlin, utc(2026, 1, 5, 7, 0)), utc(2026, 1, 5, 7, 0));
    assert_int_equal(next_in(text, &berlin, utc(2026, 1, 5, 16, 59) + 59),
                     utc(2026, 1, 5, 16, 59) + 59);
    assert_int_equal(next_in(text, &berlin, utc(2026, 1, 5, 17, 0)), utc(2026, 1, 6, 7, 0));
    assert_int_equal(next_in(text, &berlin, utc(2026, 1, 9, 17, 0)), utc(2026, 1, 12, 7, 0));
    /* Summer: UTC+2.  Over the weekend on which the clocks change, either way. */
    assert_int_equal(next_in(text, &berlin, utc(2026, 7, 3, 16, 0)), utc(2026, 7, 6, 6, 0));
    assert_int_equal(next_in(text, &berlin, utc(2026, 3, 27, 17, 0)), utc(2026, 3, 30, 6, 0));
    assert_int_equal(next_in(text, &berlin, utc(2026, 10, 23, 16, 0)), utc(2026, 10, 26, 7, 0));
    zone_fini(&berlin);
}

static void test_the_hour_that_is_left_out(void **state)
{
    struct zone berlin = zone_load("Europe/Berlin");

    (void)state;
    /* 2026-03-29 02:00 to 03:00 does not exist: the next day it does. */
    assert_int_equal(next_in("02:10-02:50 Europe/Berlin", &berlin, utc(2026, 3, 29, 0, 0)),
                     utc(2026, 3, 30, 0, 10));
    /* A window around it is open at once behind the gap. */
    assert_int_equal(next_in("Sun 02:30-04:00 Europe/Berlin", &berlin, utc(2026, 3, 29, 0, 0)),
                     utc(2026, 3, 29, 1, 0));
    assert_int_equal(next_in("Sun 02:10-02:50 Europe/Berlin", &berlin, utc(2026, 3, 28, 0, 0)),
                     utc(2026, 4, 5, 0, 10));
    zone_fini(&berlin);
}

static void test_the_hour_that_comes_twice(void **state)
{
    struct zone berlin = zone_load("Europe/Berlin");
    const char *text = "02:10-02:50 Europe/Berlin";

    (void)state;
    assert_int_equal(next_in(text, &berlin, utc(2026, 10, 25, 0, 0)), utc(2026, 10, 25, 0, 10));
    assert_int_equal(next_in(text, &berlin, utc(2026, 10, 25, 0, 50)), utc(2026, 10, 25, 1, 10));
    assert_int_equal(next_in(text, &berlin, utc(2026, 10, 25, 1, 50)), utc(2026, 10, 26, 1, 10));
    zone_fini(&berlin);
}

static void test_other_forms(void **state)
{
    (void)state;
    int64_t monday_s = utc(2026, 1, 5, 0, 0), hour_s = 3600, day_s = 86400;

    assert_int_equal(next_in("00:00-24:00", NULL, monday_s + 5), monday_s + 5);
    assert_int_equal(next_in("10:00-12:00", NULL, monday_s + 12 * hour_s),
                     monday_s + day_s + 10 * hour_s);
    assert_int_equal(next_in("Mon,Wed 10:00-12:00,14:00-15:00, Sat 9:00-10:00", NULL, monday_s),
                     monday_s + 10 * hour_s);
    assert_int_equal(
        next_in("Mon,Wed 10:00-12:00,14:00-15:00, Sat 9:00-10:00", NULL, monday_s + 12 * hour_s),
        monday_s + 14 * hour_s);
    assert_int_equal(next_in("Mon,Wed 10:00-12:00,14:00-15:00, Sat 9:00-10:00", NULL,
                             monday_s + 2 * day_s + 15 * hour_s),
                     monday_s + 5 * day_s + 9 * hour_s);
    /* Over midnight, and over the end of the week. */
    assert_int_equal(next_in("Sun 22:00-06:00", NULL, monday_s), monday_s);
    assert_int_equal(next_in("Sun 22:00-06:00", NULL, monday_s + 6 * hour_s),
                     monday_s + 6 * day_s + 22 * hour_s);
    assert_int_equal(next_in("sat-mon 00:00-24:00 UTC", NULL, monday_s + day_s),
                     monday_s + 5 * day_s);
    assert_int_equal(next_in("Tue 23:59-24:00", NULL, monday_s), monday_s + 2 * day_s - 60);
}

static void test_windows_that_are_none(void **state)
{
    static const char *const texts[] = {
        "",
        " , ",
        "Mon",
        "Mon-Fri",
        "Europe/Berlin",
        "Mon-Fri Europe/Berlin",
        "8-18",
        "08:00-25:00",
        "08:60-09:00",
        "24:00-25:00",
        "08:00",
        "08:00-",
        "-08:00",
        "Mon-Fry 08:00-18:00",
        "08:00-18:00 Europe/Berlin UTC",
        "08:00-18:00 ../../etc/passwd",
        "08:00-18:00 Mon",
        "008:00-9:00",
        "08:00-18:00 Europe/Berlin 09:00-10:00",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct buf why = BUF_EMPTY;
        struct window w;
        if (window_parse(&w, slice_cstr(texts[i]), &why) != ERR_INVALID || why.len == 0) {
            fail_msg("'%s' was taken", texts[i]);
        }
        buf_fini(&why);
    }
}

/* Against the slow way, minute by minute, over two years with their changes. */
static void test_against_every_minute(void **state)
{
    static const char *const texts[] = {"Mon-Fri 08:00-18:00", "Sun 01:30-03:30", "23:00-01:00",
                                        "Sat 00:00-24:00 Sun 02:00-02:01"};
    struct zone z = zone_load("Europe/Berlin");
    struct buf why = BUF_EMPTY;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct window w;
        int64_t next_s = INT64_MAX;
        assert_int_equal(window_parse(&w, slice_cstr(texts[i]), &why), 0);
        for (int64_t t_s = utc(2028, 1, 1, 0, 0); t_s >= utc(2026, 1, 1, 0, 0); t_s -= 60) {
            int64_t minute = ((t_s + offset_at(&z, t_s)) / 60 + 3 * 1440) % WINDOW_MINUTES;
            if ((w.open[minute / 64] >> (minute % 64) & 1) != 0) {
                next_s = t_s;
            }
            if (next_s != INT64_MAX && t_s % 420 == 0) {
                assert_int_equal(window_next(&w, &z, t_s), next_s);
            }
        }
    }
    buf_fini(&why);
    zone_fini(&z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offsets_of_places),
        cmocka_unit_test(test_rules_alone),
        cmocka_unit_test(test_rules_that_are_none),
        cmocka_unit_test(test_files_that_are_none),
        cmocka_unit_test(test_zone_names),
        cmocka_unit_test(test_office_hours),
        cmocka_unit_test(test_the_hour_that_is_left_out),
        cmocka_unit_test(test_the_hour_that_comes_twice),
        cmocka_unit_test(test_other_forms),
        cmocka_unit_test(test_windows_that_are_none),
        cmocka_unit_test(test_against_every_minute),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
