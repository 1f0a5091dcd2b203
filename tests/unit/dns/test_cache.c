/*
 * test_cache.c - times, bounds and staleness, on a clock of our own.
 */
#include "tests/unit/dns/packets.h"

#include "engine/dns/cache.h"

#include <stdio.h>

static const int64_t SECOND = 1000000;

static struct dns_answer *answer_of(enum dns_status status, uint32_t ttl_s)
{
    struct dns_answer *a = dns_answer_new(status, DNS_MX, SLICE("a.example"), SLICE("x"));

    a->ttl_s = ttl_s;
    return a;
}

/* Asks and answers at once; returns what the waiters would be told (the status). */
static enum dns_status put(struct dns_cache *c, const char *name, enum dns_status status,
                           uint32_t ttl_s, int64_t now_us, bool *stale)
{
    struct dns_answer *answer = answer_of(status, ttl_s), *told;
    enum dns_status result;
    bool ask;
    struct dns_cache_entry *e = dns_cache_open(c, slice_cstr(name), DNS_MX, &ask);

    assert_true(ask);
    told = dns_cache_close(c, e, answer, now_us);
    result = told->status;
    if (stale != NULL) {
        *stale = told->stale;
    }
    dns_answer_unref(told);
    dns_answer_unref(answer);
    return result;
}

/* How many seconds the answer is still good at now_us; -1: gone. */
static int left(struct dns_cache *c, const char *name, int64_t now_us)
{
    uint32_t left_s;
    struct dns_answer *a = dns_cache_get(c, slice_cstr(name), DNS_MX, now_us, &left_s);

    if (a == NULL) {
        return -1;
    }
    dns_answer_unref(a);
    return (int)left_s;
}

static void test_lifetimes(void **state)
{
    static const struct {
        enum dns_status status;
        uint32_t ttl_s;
        int lives_s;
    } rows[] = {
        {DNS_FOUND, 300, 300},      {DNS_FOUND, 0, 60},        {DNS_FOUND, 59, 60},
        {DNS_FOUND, 100000, 86400}, {DNS_FOUND, 86400, 86400}, {DNS_NXDOMAIN, 300, 300},
        {DNS_NXDOMAIN, 7200, 900},  {DNS_NODATA, 0, 60},       {DNS_NODATA, 901, 900},
        {DNS_TEMPFAIL, 0, 30},      {DNS_TEMPFAIL, 500, 30},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dns_cache c;
        int64_t end = rows[i].lives_s * SECOND;

        dns_cache_init(&c, &(struct dns_cache_options){0});
        put(&c, "a.example", rows[i].status, rows[i].ttl_s, 0, NULL);
        assert_int_equal(left(&c, "A.Example.", 0), rows[i].lives_s);
        assert_int_equal(left(&c, "a.example", end - 1), 0);
        assert_int_equal(left(&c, "a.example", end), -1);
        dns_cache_fini(&c);
    }
}

static void test_options(void **state)
{
    struct dns_cache c;

    (void)state;
    dns_cache_init(&c, &(struct dns_cache_options){.ttl_min_s = 1, .tempfail_s = 2});
    put(&c, "a", DNS_FOUND, 3, 0, NULL);
    put(&c, "b", DNS_TEMPFAIL, 0, 0, NULL);
    assert_int_equal(left(&c, "a", 0), 3);
    assert_int_equal(left(&c, "b", 0), 2);
    dns_cache_fini(&c);
}

static void test_types_are_apart(void **state)
{
    struct dns_cache c;
    uint32_t left_s;

    (void)state;
    dns_cache_init(&c, &(struct dns_cache_options){0});
    put(&c, "a", DNS_FOUND, 300, 0, NULL);
    assert_null(dns_cache_get(&c, SLICE("a"), DNS_A, 0, &left_s));
    assert_int_equal(left(&c, "b", 0), -1);
    dns_cache_fini(&c);
}

/* The second who asks waits for the first's answer. */
static void test_asked_once(void **state)
{
    struct dns_answer *answer = answer_of(DNS_FOUND, 300), *told;
    struct dns_cache_entry *first, *second;
    struct dns_cache c;
    bool ask;

    (void)state;
    dns_cache_init(&c, &(struct dns_cache_options){0});
    first = dns_cache_open(&c, SLICE("a"), DNS_MX, &ask);
    assert_true(ask);
    second = dns_cache_open(&c, SLICE("A."), DNS_MX, &ask);
    assert_false(ask);
    assert_ptr_equal(first, second);
    assert_int_equal(left(&c, "a", 0), -1);
    told = dns_cache_close(&c, first, answer, 0);
    assert_ptr_equal(told, answer);
    dns_answer_unref(told);
    dns_answer_unref(answer);
    assert_int_equal(left(&c, "a", 0), 300);
    dns_cache_fini(&c);
}

static void test_stale(void **state)
{
    struct dns_cache c;
    bool stale;

    (void)state;
    dns_cache_init(&c, &(struct dns_cache_options){.stale_max_s = 1000});
    put(&c, "a", DNS_FOUND, 100, 0, NULL);
    /* Refreshing fails: the old answer serves on, in short terms, marked. */
    assert_int_equal(put(&c, "a", DNS_TEMPFAIL, 0, 200 * SECOND, &stale), DNS_FOUND);
    assert_true(stale);
    assert_int_equal(left(&c, "a", 200 * SECOND), 30);
    assert_int_equal(left(&c, "a", 230 * SECOND), -1);
    /* Again, up to stale_max_s behind its end, counted from when it was fresh. */
    assert_int_equal(put(&c, "a", DNS_TEMPFAIL, 0, 1099 * SECOND, &stale), DNS_FOUND);
    assert_true(stale);
    assert_int_equal(put(&c, "a", DNS_TEMPFAIL, 0, 1200 * SECOND, &stale), DNS_TEMPFAIL);
    assert_false(stale);
    /* A good answer ends it. */
    assert_int_equal(put(&c, "a", DNS_NXDOMAIN, 100, 1300 * SECOND, &stale), DNS_NXDOMAIN);
    assert_false(stale);
    assert_int_equal(put(&c, "a", DNS_TEMPFAIL, 0, 1500 * SECOND, &stale), DNS_NXDOMAIN);
    assert_true(stale);
    assert_int_equal(put(&c, "a", DNS_FOUND, 100, 1600 * SECOND, &stale), DNS_FOUND);
    assert_false(stale);
    assert_int_equal(c.stales, 3);
    dns_cache_fini(&c);
}

static void test_bounded(void **state)
{
    enum { MAX = 100 };
    struct dns_cache c;
    char name[16];

    (void)state;
    dns_cache_init(&c, &(struct dns_cache_options){.entries_max = MAX});
    for (int i = 0; i < 10 * MAX; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        put(&c, name, DNS_FOUND, 300, 0, NULL);
        assert_int_equal(left(&c, "n0", 0), 300); /* in use: stays */
        assert_true(c.map.count <= MAX);
    }
    assert_int_equal(left(&c, "n1", 0), -1);
    assert_int_equal(left(&c, name, 0), 300);
    assert_int_equal(c.evictions, 9 * MAX);
    dns_cache_fini(&c);
}

static void test_pending_is_never_evicted(void **state)
{
    struct dns_answer *answer = answer_of(DNS_FOUND, 300);
    struct dns_cache_entry *e;
    struct dns_cache c;
    bool ask;

    (void)state;
    dns_cache_init(&c, &(struct dns_cache_options){.entries_max = 1});
    e = dns_cache_open(&c, SLICE("wait"), DNS_MX, &ask);
    put(&c, "a", DNS_FOUND, 300, 0, NULL);
    put(&c, "b", DNS_FOUND, 300, 0, NULL);
    dns_answer_unref(dns_cache_close(&c, e, answer, 0));
    assert_int_equal(left(&c, "wait", 0), 300);
    dns_answer_unref(answer);
    dns_cache_fini(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lifetimes),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_types_are_apart),
        cmocka_unit_test(test_asked_once),
        cmocka_unit_test(test_stale),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_pending_is_never_evicted),
    };

    return cmocka_run_group_tests_name("dns/cache", tests, NULL, NULL);
}
