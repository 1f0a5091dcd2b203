/*
 * test_limiter.c - one decision over several limits, and the reason it gives.
 */
#include "throttle/limiter.h"
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#define SECOND INT64_C(1000000)

static void test_slots(void **state)
{
    struct slots s;

    (void)state;
    slots_init(&s, 2);
    assert_true(slots_free(&s, 1));
    slots_take(&s);
    assert_false(slots_free(&s, 1)); /* the last one is kept free of bulk */
    assert_true(slots_free(&s, 0));
    slots_take(&s);
    assert_false(slots_free(&s, 0));
    slots_change(&s, 1); /* fewer than used: nothing new until two came back */
    slots_release(&s);
    assert_false(slots_free(&s, 0));
    slots_release(&s);
    assert_true(slots_free(&s, 1)); /* one only: there is nothing to keep */
    slots_change(&s, 0);
    for (int i = 0; i < 1000; i++) {
        assert_true(slots_free(&s, 1));
        slots_take(&s);
    }
}

static const struct limits site_limits = {
    .connections = 2,
    .connections_per_host = 1,
    .rate = {10, SECOND, 1},
    .connection_rate = {1, SECOND, 1},
    .bytes_rate = {100000, SECOND, 1},
    .origin = {[LIMIT_CONNECTIONS] = "site.connections",
               [LIMIT_CONNECTIONS_PER_HOST] = "site.per_host",
               [LIMIT_RATE] = "site.rate",
               [LIMIT_CONNECTION_RATE] = "site.connection_rate",
               [LIMIT_BYTES_RATE] = "site.bytes_rate"},
};

static const struct limits total_limits = {
    .connections = 3,
    .rate = {15, SECOND, 1},
    .origin = {[LIMIT_CONNECTIONS] = "total.connections", [LIMIT_RATE] = "total.rate"},
};

static void test_send_names_the_limit_that_holds_longest(void **state)
{
    struct limiter_scope site, total;
    struct limiter_scope *row[] = {&site, &total};
    struct limiter_verdict v;

    (void)state;
    limiter_scope_init(&site, &site_limits, 0);
    limiter_scope_init(&total, &total_limits, 0);
    v = limiter_send(row, 2, 1, 1000, 0);
    assert_true(v.go);

    v = limiter_send(row, 2, 1, 1000, 1);
    assert_false(v.go);
    assert_int_equal(v.until_us, SECOND / 10); /* the total would allow it after 1/15 s */
    assert_int_equal(v.key, LIMIT_RATE);
    assert_ptr_equal(v.scope, &site);
    assert_string_equal(v.origin, "site.rate");

    /* A large letter: now the bytes hold longer than the rate. */
    v = limiter_send(row, 2, 1, 50000, SECOND / 10);
    assert_true(v.go);
    v = limiter_send_ask(row, 2, SECOND / 10 + 1);
    assert_false(v.go);
    assert_int_equal(v.key, LIMIT_BYTES_RATE);
    assert_string_equal(v.origin, "site.bytes_rate");
    assert_in_range(v.until_us, SECOND / 10 + 499000, SECOND / 10 + 510000);

    /* The total, when another source used it up. */
    struct limiter_scope other;
    struct limiter_scope *other_row[] = {&other, &total};
    limiter_scope_init(&other, &site_limits, SECOND);
    assert_true(limiter_send(other_row, 2, 1, 0, SECOND).go);
    v = limiter_send(row, 2, 1, 0, SECOND);
    assert_false(v.go);
    assert_ptr_equal(v.scope, &total);
    assert_string_equal(v.origin, "total.rate");
}

static void test_asking_takes_nothing(void **state)
{
    struct limiter_scope site;
    struct limiter_scope *row[] = {&site};

    (void)state;
    limiter_scope_init(&site, &site_limits, 0);
    struct limiter_scope before = site;
    for (int i = 0; i < 10; i++) {
        assert_true(limiter_send_ask(row, 1, 5).go);
        assert_true(limiter_connect_ask(row, 1, NULL, 0, 5).go);
    }
    assert_memory_equal(&before, &site, sizeof(site));
}

static void test_refused_takes_from_no_scope(void **state)
{
    struct limiter_scope site, total;
    struct limiter_scope *row[] = {&total, &site};

    (void)state;
    limiter_scope_init(&site, &site_limits, 0);
    limiter_scope_init(&total, &total_limits, 0);
    assert_true(limiter_send(row, 2, 1, 0, 0).go);
    int64_t total_ready_us = gcra_ready_at(&total.rate);
    for (int64_t t = 0; t < SECOND / 10; t += 1000) {
        assert_false(limiter_send(row, 2, 1, 0, t).go);
        assert_int_equal(gcra_ready_at(&total.rate), total_ready_us);
    }
}

static void test_connect(void **state)
{
    struct limiter_scope site, total;
    struct limiter_scope *row[] = {&site, &total};
    struct slots host;
    struct limiter_verdict v;

    (void)state;
    limiter_scope_init(&site, &site_limits, 0);
    limiter_scope_init(&total, &total_limits, 0);
    slots_init(&host, site_limits.connections_per_host);

    assert_true(limiter_connect(row, 2, &host, 0, 0).go);
    v = limiter_connect(row, 2, NULL, 0, 0);
    assert_false(v.go);
    assert_string_equal(v.origin, "site.connection_rate");
    assert_int_equal(v.until_us, SECOND);

    /* The host is full: no time ends that. */
    v = limiter_connect(row, 2, &host, 0, 2 * SECOND);
    assert_false(v.go);
    assert_int_equal(v.key, LIMIT_CONNECTIONS_PER_HOST);
    assert_string_equal(v.origin, "site.per_host");
    assert_true(v.until_us == LIMITER_NO_TIME);

    /* Bulk leaves the last connection alone, others take it. */
    v = limiter_connect(row, 2, NULL, 1, 2 * SECOND);
    assert_false(v.go);
    assert_string_equal(v.origin, "site.connections");
    assert_true(limiter_connect(row, 2, NULL, 0, 2 * SECOND).go);
    v = limiter_connect(row, 2, NULL, 0, 9 * SECOND);
    assert_false(v.go);
    assert_int_equal(v.key, LIMIT_CONNECTIONS);

    limiter_disconnect(row, 2, &host);
    limiter_disconnect(row, 2, NULL);
    assert_int_equal(site.connections.used + total.connections.used + host.used, 0);
}

static void test_change_keeps_slots_and_does_not_burst(void **state)
{
    struct limiter_scope site;
    struct limiter_scope *row[] = {&site};
    struct limits tighter = site_limits;
    uint64_t sent = 0;

    (void)state;
    tighter.connections = 1;
    tighter.rate = (struct rate){20, SECOND, 1};
    limiter_scope_init(&site, &site_limits, 0);
    assert_true(limiter_connect(row, 1, NULL, 0, 0).go);
    for (int64_t now_us = 0; now_us < SECOND; now_us += 100) {
        limiter_scope_change(&site, now_us / 1000 % 2 == 0 ? &tighter : &site_limits, now_us);
        sent += limiter_send(row, 1, 1, 0, now_us).go;
    }
    assert_in_range(sent, 10, 21);
    limiter_scope_change(&site, &tighter, SECOND);
    assert_int_equal(site.connections.used, 1);
    assert_false(limiter_connect(row, 1, NULL, 0, SECOND * 5).go);
}

/* Two sources of 50/s each and 100/s together, timers late: neither loses to the other. */
static void test_shared_total_is_used_up(void **state)
{
    struct limits source_limits = {.rate = {50, SECOND, 1}}, both = {.rate = {100, SECOND, 1}};
    struct limiter_scope a, b, total;
    struct limiter_scope *rows[2][2] = {{&a, &total}, {&b, &total}};
    int64_t due_us[2] = {0, 0};
    uint64_t sent = 0;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 11);
    limiter_scope_init(&a, &source_limits, 0);
    limiter_scope_init(&b, &source_limits, 0);
    limiter_scope_init(&total, &both, 0);
    for (;;) {
        int next = due_us[1] < due_us[0];
        int64_t now_us = due_us[next];
        if (now_us >= 60 * SECOND) {
            break;
        }
        struct limiter_verdict v = limiter_send(rows[next], 2, 1, 0, now_us);
        sent += v.go;
        due_us[next] = v.go ? now_us : v.until_us + (int64_t)rng_below(&rng, 1500);
    }
    assert_in_range(sent, 5940, 6001);
}

/* 100,000 lanes, each in a row of four scopes, touched in random order. */
static void test_cost_of_a_decision(void **state)
{
    enum { LANES = 100000, DECISIONS = 2000000 };
    struct limits lane_limits = {.connections = 10, .rate = {100, SECOND, 1}};
    struct limits wide = {.rate = {100000000, SECOND, 1}};
    struct limiter_scope *lanes = mem_array(LANES, sizeof(*lanes));
    struct limiter_scope shared[3];
    struct rng rng;
    uint64_t gone = 0;

    (void)state;
    rng_seed(&rng, 1);
    for (size_t i = 0; i < LANES; i++) {
        limiter_scope_init(&lanes[i], &lane_limits, 0);
    }
    for (size_t i = 0; i < 3; i++) {
        limiter_scope_init(&shared[i], &wide, 0);
    }
    int64_t start_us = clock_mono_us();
    for (int64_t i = 0; i < DECISIONS; i++) {
        struct limiter_scope *row[] = {&lanes[rng_below(&rng, LANES)], &shared[0], &shared[1],
                                       &shared[2]};
        gone += limiter_send(row, 4, 1, 10000, i).go;
    }
    double cost_ns = (double)(clock_mono_us() - start_us) * 1e3 / DECISIONS;
    print_message("%.0f ns a decision, %lu of %d went, %zu bytes a scope\n", cost_ns, gone,
                  DECISIONS, sizeof(struct limiter_scope));
    assert_true(gone > LANES);
    /* Ten times the aim: this runs beside other work and under sanitizers. */
    assert_true(cost_ns < 10000);
    mem_free(lanes);
}

static void test_merge(void **state)
{
    struct limits base = site_limits;
    struct limits over = {.connections = 7, .rate = {0, 0, 1}, .origin = {[LIMIT_RATE] = "x"}};

    (void)state;
    limits_merge(&base, &over);
    assert_int_equal(base.connections, 2); /* over does not state it */
    assert_int_equal(base.rate.count, 0);  /* stated: unlimited */
    assert_string_equal(base.origin[LIMIT_RATE], "x");
    assert_string_equal(base.origin[LIMIT_CONNECTIONS], "site.connections");
    assert_string_equal(limits_key_name(LIMIT_CONNECTIONS_PER_HOST), "connections_per_host");
    assert_string_equal(limits_key_name(LIMIT_PIPELINE), "pipeline");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_send_names_the_limit_that_holds_longest),
        cmocka_unit_test(test_asking_takes_nothing),
        cmocka_unit_test(test_refused_takes_from_no_scope),
        cmocka_unit_test(test_connect),
        cmocka_unit_test(test_change_keeps_slots_and_does_not_burst),
        cmocka_unit_test(test_shared_total_is_used_up),
        cmocka_unit_test(test_cost_of_a_decision),
        cmocka_unit_test(test_merge),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
