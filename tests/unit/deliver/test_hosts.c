/*
 * test_hosts.c - preference, spreading, health and its survival of a renewal.
 */
#include "engine/deliver/hosts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static const struct hosts_want any = {AF_UNSPEC, AF_UNSPEC};

static void add(struct hosts *set, const char *name, const char *ip, uint32_t preference)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(25)};

    assert_int_equal(inet_pton(AF_INET, ip, &in.sin_addr), 1);
    hosts_add(set, slice_cstr(name), (const struct sockaddr *)&in, sizeof(in), preference);
}

static void test_best_preference_then_backup(void **state)
{
    struct hosts set;
    int64_t up;

    (void)state;
    hosts_init(&set);
    add(&set, "mx2", "192.0.2.2", 20);
    add(&set, "mx1", "192.0.2.1", 10);
    add(&set, "mx1", "192.0.2.1", 10); /* twice is once */
    assert_int_equal(set.count, 2);
    struct host *h = hosts_pick(&set, &any, 0, &up);
    assert_string_equal(h->name, "mx1");
    assert_string_equal(h->ip, "192.0.2.1");
    assert_int_equal(host_failed(h, 0), 30000000);
    assert_string_equal(hosts_pick(&set, &any, 1, &up)->name, "mx2");
    assert_false(hosts_all_down(&set, NULL, 1, &up));
    host_failed(hosts_pick(&set, &any, 1, &up), 1);
    assert_null(hosts_pick(&set, &any, 2, &up));
    assert_int_equal(up, 30000000);
    assert_true(hosts_all_down(&set, NULL, 2, &up));
    assert_string_equal(hosts_pick(&set, &any, 30000000, &up)->name, "mx1");
    hosts_fini(&set);
}

static void test_equal_hosts_share(void **state)
{
    struct hosts set;
    int64_t up;

    (void)state;
    hosts_init(&set);
    add(&set, "a", "192.0.2.1", 10);
    add(&set, "b", "192.0.2.2", 10);
    add(&set, "c", "192.0.2.3", 10);
    for (int i = 0; i < 30; i++) {
        slots_take(&hosts_pick(&set, &any, 0, &up)->connections);
    }
    for (size_t i = 0; i < set.count; i++) {
        assert_int_equal(set.host[i].connections.used, 10);
    }
    hosts_limit(&set, 10);
    assert_null(hosts_pick(&set, &any, 0, &up));
    assert_int_equal(up, INT64_MAX);
    hosts_fini(&set);
}

static void test_failures_together_count_once(void **state)
{
    struct hosts set;

    (void)state;
    hosts_init(&set);
    add(&set, "a", "192.0.2.1", 10);
    host_failed(&set.host[0], 0);
    host_failed(&set.host[0], 1000);
    assert_int_equal(set.host[0].failures, 1);
    assert_int_equal(host_failed(&set.host[0], 30000000), 60000000);
    host_works(&set.host[0]);
    assert_int_equal(host_failed(&set.host[0], 30000001), 30000000);
    hosts_fini(&set);
}

static void test_health_survives_renewal(void **state)
{
    struct hosts set, fresh;
    int64_t up;

    (void)state;
    hosts_init(&set);
    hosts_init(&fresh);
    add(&set, "a", "192.0.2.1", 10);
    add(&set, "b", "192.0.2.2", 10);
    host_failed(&set.host[0], 0);
    set.host[1].connections.used = 4;
    add(&fresh, "b", "192.0.2.2", 5);
    add(&fresh, "a", "192.0.2.1", 10);
    add(&fresh, "a", "192.0.2.9", 10);
    hosts_renew(&set, &fresh);
    assert_int_equal(fresh.count, 0);
    assert_int_equal(set.count, 3);
    assert_int_equal(set.host[0].connections.used, 4);
    assert_int_equal(set.host[0].preference, 5);
    assert_int_equal(set.host[1].failures, 1);
    assert_int_equal(set.host[2].failures, 0);
    assert_string_equal(hosts_pick(&set, &any, 1, &up)->name, "b");
    hosts_fini(&set);
}

/* Open connections of a host that left the set count again when it comes back. */
static void test_connections_survive_absence(void **state)
{
    struct hosts set, fresh;
    int64_t up;

    (void)state;
    hosts_init(&set);
    hosts_init(&fresh);
    add(&set, "a", "192.0.2.1", 10);
    add(&set, "b", "192.0.2.2", 10);
    slots_take(&set.host[1].connections);
    add(&fresh, "a", "192.0.2.1", 10);
    hosts_renew(&set, &fresh);
    assert_int_equal(set.count, 2);
    for (int i = 0; i < 4; i++) {
        assert_string_equal(hosts_pick(&set, &any, 0, &up)->name, "a");
    }
    host_failed(hosts_pick(&set, &any, 0, &up), 0);
    assert_true(hosts_all_down(&set, NULL, 1, &up)); /* the one that left is no way out */
    assert_null(hosts_pick(&set, &any, 1, &up));
    add(&fresh, "a", "192.0.2.1", 10);
    add(&fresh, "b", "192.0.2.2", 10);
    hosts_renew(&set, &fresh);
    assert_int_equal(set.count, 2);
    struct host *b = hosts_pick(&set, &any, 1, &up);
    assert_string_equal(b->name, "b");
    assert_int_equal(b->connections.used, 1);
    slots_release(&b->connections);
    add(&fresh, "a", "192.0.2.1", 10);
    hosts_renew(&set, &fresh);
    assert_int_equal(set.count, 1); /* without connections it is forgotten */
    hosts_fini(&set);
}

static void add6(struct hosts *set, const char *name, const char *ip, uint32_t preference)
{
    struct sockaddr_in6 in = {.sin6_family = AF_INET6, .sin6_port = htons(25)};

    assert_int_equal(inet_pton(AF_INET6, ip, &in.sin6_addr), 1);
    hosts_add(set, slice_cstr(name), (const struct sockaddr *)&in, sizeof(in), preference);
}

static void test_families(void **state)
{
    static const struct hosts_want v4 = {AF_INET, AF_UNSPEC}, v6 = {AF_INET6, AF_UNSPEC},
                                   first6 = {AF_UNSPEC, AF_INET6};
    struct hosts set;
    int64_t up;

    (void)state;
    hosts_init(&set);
    add6(&set, "mx1", "2001:db8::1", 10);
    add(&set, "mx2", "192.0.2.2", 20);
    /* A source with IPv4 alone rather takes the backup than somebody else's address. */
    assert_string_equal(hosts_pick(&set, &any, 0, &up)->name, "mx1");
    assert_string_equal(hosts_pick(&set, &v4, 0, &up)->name, "mx2");
    add(&set, "mx1", "192.0.2.1", 10);
    for (int i = 0; i < 6; i++) {
        assert_string_equal(hosts_pick(&set, &v4, 0, &up)->ip, "192.0.2.1");
        assert_string_equal(hosts_pick(&set, &v6, 0, &up)->ip, "2001:db8::1");
        assert_string_equal(hosts_pick(&set, &first6, 0, &up)->ip, "2001:db8::1");
    }
    /* With all of its family resting, a path waits. */
    host_failed(hosts_pick(&set, &v6, 0, &up), 0);
    assert_true(hosts_all_down(&set, &v6, 1, &up));
    assert_null(hosts_pick(&set, &v6, 1, &up));
    assert_int_equal(up, 30000000);
    assert_false(hosts_all_down(&set, &v4, 1, &up));
    assert_string_equal(hosts_pick(&set, &first6, 1, &up)->ip, "192.0.2.1");
    hosts_fini(&set);

    hosts_init(&set); /* what there is, when there is nothing else */
    add(&set, "mx", "192.0.2.1", 10);
    assert_string_equal(hosts_pick(&set, &v6, 0, &up)->ip, "192.0.2.1");
    hosts_fini(&set);
}

static void test_rivals(void **state)
{
    static const struct hosts_want v6 = {AF_INET6, AF_UNSPEC};
    struct hosts set;
    int64_t up;

    (void)state;
    hosts_init(&set);
    add6(&set, "mx1", "2001:db8::1", 10);
    add(&set, "mx3", "192.0.2.3", 20);
    struct host *first = hosts_pick(&set, &any, 0, &up);
    assert_null(hosts_rival(&set, &any, first, 0)); /* a backup is none */
    add(&set, "mx2", "192.0.2.2", 10);
    add(&set, "mx1", "192.0.2.1", 10);
    first = &set.host[0];
    assert_string_equal(hosts_rival(&set, &any, first, 0)->ip, "192.0.2.1");
    assert_null(hosts_rival(&set, &v6, first, 0));
    host_failed(&set.host[3], 0);
    assert_string_equal(hosts_rival(&set, &any, first, 1)->ip, "192.0.2.2");
    slots_take(&set.host[2].connections);
    hosts_limit(&set, 1);
    assert_null(hosts_rival(&set, &any, first, 1));
    hosts_fini(&set);

    hosts_init(&set); /* the one that lost comes second, for a while */
    add6(&set, "mx1", "2001:db8::1", 10);
    add(&set, "mx1", "192.0.2.1", 10);
    set.host[0].slow_until_us = 1000;
    for (int i = 0; i < 4; i++) {
        assert_string_equal(hosts_pick(&set, &any, 0, &up)->ip, "192.0.2.1");
    }
    assert_null(hosts_rival(&set, &any, &set.host[1], 0));
    assert_non_null(hosts_rival(&set, &any, &set.host[1], 1000));
    hosts_fini(&set);
}

static struct host *other(struct hosts *set, const struct host *first, int64_t now_us)
{
    return hosts_other(set, &any, slice_cstr(first->name), (const struct sockaddr *)&first->address,
                       first->address_len, now_us);
}

static void test_another_host(void **state)
{
    struct hosts set;

    (void)state;
    hosts_init(&set);
    add(&set, "mx1", "192.0.2.1", 10);
    assert_null(other(&set, &set.host[0], 0));
    add(&set, "mx1", "192.0.2.2", 10);
    assert_string_equal(other(&set, &set.host[0], 0)->ip, "192.0.2.2");
    add(&set, "mx3", "192.0.2.3", 30);
    add(&set, "mx2", "192.0.2.4", 20);
    /* Another name before another address of the same, even where that is preferred. */
    assert_string_equal(other(&set, &set.host[0], 0)->name, "mx2");
    host_failed(&set.host[3], 0);
    assert_string_equal(other(&set, &set.host[0], 1)->name, "mx3");
    host_failed(&set.host[2], 0);
    assert_string_equal(other(&set, &set.host[0], 1)->ip, "192.0.2.2");
    host_failed(&set.host[1], 0);
    assert_null(other(&set, &set.host[0], 1));
    hosts_fini(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_best_preference_then_backup),
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_rivals),
        cmocka_unit_test(test_equal_hosts_share),
        cmocka_unit_test(test_failures_together_count_once),
        cmocka_unit_test(test_health_survives_renewal),
        cmocka_unit_test(test_connections_survive_absence),
        cmocka_unit_test(test_another_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
