/*
 * test_suppress_match.c - which entries of an address concern a job.
 */
#include "queue/suppress_match.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

enum { NOW_S = 1000 };

static bool matches(const char *text, bool bulk, const char *campaign)
{
    struct suppress_hit hit;

    return suppress_match(slice_cstr(text), bulk, slice_cstr(campaign), NOW_S, &hit);
}

static void test_scopes(void **state)
{
    (void)state;
    assert_true(matches("all\tasked\t1\t0", false, ""));
    assert_true(matches("bulk\t\t1\t0", true, ""));
    assert_false(matches("bulk\t\t1\t0", false, "bulk"));
    assert_true(matches("campaign:may\t\t1\t0", false, "may"));
    assert_false(matches("campaign:may\t\t1\t0", true, "ma"));
    assert_false(matches("campaign:may\t\t1\t0", true, "may2"));
    assert_false(matches("campaign:\t\t1\t0", true, ""));
    assert_false(matches("some\t\t1\t0", true, "some"));
}

static void test_expiry(void **state)
{
    (void)state;
    assert_true(matches("all\t\t1\t1001", false, ""));
    assert_false(matches("all\t\t1\t1000", false, ""));
    assert_false(matches("all\t\t1\t999", false, ""));
}

static void test_what_hit(void **state)
{
    struct suppress_hit hit;
    struct slice text = SLICE("all\told\t1\t5\nbulk\tasked to\t1\t0\nall\tlater\t1\t0");

    (void)state;
    assert_true(suppress_match(text, true, SLICE_NONE, NOW_S, &hit));
    assert_true(slice_eq(hit.scope, SLICE("bulk")) && slice_eq(hit.reason, SLICE("asked to")));
    assert_true(suppress_match(text, false, SLICE_NONE, NOW_S, &hit));
    assert_true(slice_eq(hit.reason, SLICE("later")));
}

static void test_what_is_no_entry_says_nothing(void **state)
{
    static const char *const broken[] = {
        "",
        "\n",
        "all",
        "all\t",
        "all\tx",
        "all\tx\t1",
        "all\tx\t1\t",
        "all\tx\t1\t-1",
        "\t\t\t",
        "all\tx\t1\t0x",
        "\t\t\t\n\t\t\t0",
        "all\tx\t1\t99999999999999999999999",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        assert_false(matches(broken[i], true, "c"));
    }
    assert_true(matches("all\nrubbish\n\nall\tx\t1\t0", false, ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scopes),
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_what_hit),
        cmocka_unit_test(test_what_is_no_entry_says_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
