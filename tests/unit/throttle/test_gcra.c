/*
 * test_gcra.c - pacing is exact over long times, and no window of a second holds too many.
 *
 * A virtual clock drives a sender in the ways an engine really behaves: timers that fire late,
 * ticks of a millisecond, stalls, idle times.  What went is counted by a naive sliding window.
 */
#include "throttle/gcra.h"
#include "engine/base/mem.h"
#include "engine/base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>

#define SECOND INT64_C(1000000)
#define HOUR   (3600 * SECOND)

/* ---- a naive sliding window: every departure of the last second ---- */

struct window {
    int64_t *at;
    size_t cap, head, count, peak;
};

static void window_init(struct window *w, size_t cap)
{
    *w = (struct window){.at = mem_array(cap, sizeof(int64_t)), .cap = cap};
}

static void window_add(struct window *w, int64_t now_us)
{
    while (w->count > 0 && w->at[w->head] <= now_us - SECOND) {
        w->head = (w->head + 1) % w->cap;
        w->count--;
    }
    assert_true(w->count < w->cap);
    w->at[(w->head + w->count) % w->cap] = now_us;
    w->count++;
    w->peak = w->count > w->peak ? w->count : w->peak;
}

static size_t window_allowed(const struct rate *rate)
{
    return (size_t)(rate->count * (uint64_t)SECOND / (uint64_t)rate->period_us + rate->burst);
}

/* ---- how a sender comes back after it was told to wait ---- */

enum pattern { ON_TIME, TICKS, LATE, VERY_LATE, SLOW_TICKS, STALLS, IDLES, PATTERNS };

static const char *const pattern_name[] = {"on time",          "1 ms ticks", "late up to 3 ms",
                                           "late up to 45 ms", "8 ms ticks", "stalls",
                                           "idle times"};

static int64_t come_back(enum pattern pattern, struct rng *rng, int64_t due_us)
{
    switch (pattern) {
    case ON_TIME:
        return due_us;
    case TICKS:
        return (due_us + 999) / 1000 * 1000;
    case LATE:
        return due_us + (int64_t)rng_below(rng, 3000);
    case VERY_LATE:
        return due_us + (int64_t)rng_below(rng, 45000);
    case SLOW_TICKS:
        return (due_us + 7999) / 8000 * 8000;
    case STALLS:
        return due_us +
               (int64_t)(rng_below(rng, 500) == 0 ? rng_below(rng, 3000000) : rng_below(rng, 1000));
    case IDLES:
    case PATTERNS:
        break;
    }
    return due_us + (int64_t)rng_below(rng, 200);
}

struct run {
    uint64_t sent;
    size_t peak;
};

static struct run run_sender(const struct rate *rate, enum pattern pattern, int64_t start_us,
                             int64_t length_us, uint64_t seed)
{
    struct gcra g;
    struct window w;
    struct rng rng;
    struct run run = {0, 0};
    int64_t now_us = start_us;

    rng_seed(&rng, seed);
    window_init(&w, window_allowed(rate) + 64);
    gcra_init(&g, rate, now_us);
    while (now_us < start_us + length_us) {
        if (gcra_ready_at(&g) > now_us) {
            gcra_wait(&g);
            now_us = come_back(pattern, &rng, gcra_ready_at(&g));
            continue;
        }
        gcra_take(&g, now_us, 1);
        window_add(&w, now_us);
        run.sent++;
        if (pattern == IDLES && rng_below(&rng, 50) == 0) {
            now_us += (int64_t)rng_below(&rng, 5 * SECOND); /* nothing to send, nobody asks */
        }
    }
    run.peak = w.peak;
    mem_free(w.at);
    return run;
}

static void put_rate(char *out, size_t cap, const struct rate *rate)
{
    struct buf b = BUF_EMPTY;

    units_put_rate(&b, rate);
    snprintf(out, cap, SLICE_FMT, SLICE_ARG(buf_slice(&b)));
    buf_fini(&b);
}

/* ---- the rates people write, over long times ---- */

static void test_exact_over_long_times(void **state)
{
    static const struct {
        struct rate rate;
        int64_t length_us;
    } rows[] = {
        {{20, 60 * SECOND, 1}, 48 * HOUR},
        {{20, SECOND, 1}, 24 * HOUR},
        {{500, SECOND, 1}, 2 * HOUR},
        {{5000, SECOND, 1}, HOUR / 4},
        {{7000, HOUR, 1}, 100 * HOUR},
        {{20, 60 * SECOND, 5}, 24 * HOUR},
        {{500, SECOND, 50}, HOUR},
        {{1, HOUR, 1}, 1000 * HOUR},
        {{1999, 1000 * SECOND, 1}, 24 * HOUR},
        {{1, 24 * HOUR, 1}, 24000 * HOUR},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (enum pattern p = ON_TIME; p <= LATE; p++) {
            const struct rate *rate = &rows[i].rate;
            struct run run = run_sender(rate, p, 123456789, rows[i].length_us, 7 + i);
            double due = (double)rate->count * (double)rows[i].length_us / (double)rate->period_us;
            double used = (double)run.sent / due;
            char text[64];
            put_rate(text, sizeof(text), rate);
            print_message("%-16s %-16s sent %9lu of %11.1f = %.4f, peak second %zu of %zu\n", text,
                          pattern_name[p], run.sent, due, used, run.peak, window_allowed(rate));
            assert_true(run.peak <= window_allowed(rate));
            assert_true((double)run.sent <= due + (double)rate->burst);
            assert_true(used >= 0.99 || (double)run.sent + 1 >= due);
        }
    }
}

/* An interval that is no whole number of microseconds must not drift: after a hundred days of
 * 7000/h the last event is where it belongs. */
static void test_no_drift(void **state)
{
    const struct rate rate = {7000, HOUR, 1};
    const uint64_t events = UINT64_C(7000) * 24 * 100;
    struct gcra g;
    int64_t now_us = 0;

    (void)state;
    gcra_init(&g, &rate, 0);
    for (uint64_t i = 0; i < events; i++) {
        now_us = gcra_ready_at(&g);
        gcra_wait(&g);
        gcra_take(&g, now_us, 1);
    }
    assert_true(gcra_ready_at(&g) == INT64_C(100) * 24 * HOUR);
}

/* At low rates there is room for much lateness without a second holding too many. */
static void test_slow_rates_forgive_more(void **state)
{
    static const struct rate rates[] = {{20, SECOND, 1}, {1, SECOND, 1}, {20, 60 * SECOND, 1}};

    (void)state;
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        struct run run = run_sender(&rates[i], VERY_LATE, 0, HOUR, 17);
        double due = (double)rates[i].count * (double)HOUR / (double)rates[i].period_us;
        assert_true((double)run.sent >= due * 0.999 - 1);
        assert_true(run.peak <= window_allowed(&rates[i]));
    }
}

/* Every minute, not only on average. */
static void test_each_minute_within_one_percent(void **state)
{
    static const struct rate rates[] = {{20, 60 * SECOND, 1}, {20, SECOND, 1}, {500, SECOND, 1},
                                        {5000, SECOND, 1},    {7000, HOUR, 1}, {100, SECOND, 10}};

    (void)state;
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        struct gcra g;
        struct rng rng;
        int64_t now_us = 0;
        rng_seed(&rng, 99);
        gcra_init(&g, &rates[i], 0);
        for (int minute = 0; minute < 20; minute++) {
            double due = (double)rates[i].count * 60e6 / (double)rates[i].period_us, sent = 0;
            while (now_us < (minute + 1) * 60 * SECOND) {
                if (gcra_ready_at(&g) > now_us) {
                    gcra_wait(&g);
                    now_us = come_back(LATE, &rng, gcra_ready_at(&g));
                } else {
                    gcra_take(&g, now_us, 1);
                    sent++;
                }
            }
            assert_true(sent >= due * 0.99 - 1);
            assert_true(sent <= due * 1.01 + (double)rates[i].burst);
        }
    }
}

/* Random rates, random behaviour: no second holds more than it may. */
static void test_any_second_bounded(void **state)
{
    struct rng rng;

    (void)state;
    rng_seed(&rng, 20260821);
    for (int i = 0; i < 600; i++) {
        static const int64_t periods[] = {SECOND, 60 * SECOND, HOUR, 24 * HOUR, 7 * SECOND};
        struct rate rate = {.period_us = periods[rng_below(&rng, 5)]};
        uint64_t in_second = 1 + rng_below(&rng, rng_below(&rng, 3) == 0 ? 8000 : 40);
        rate.count = in_second * (uint64_t)(rate.period_us / SECOND) / (1 + rng_below(&rng, 40)) +
                     rng_below(&rng, 7) + 1;
        rate.burst = rng_below(&rng, 3) == 0 ? 1 + rng_below(&rng, 100) : 1;
        enum pattern p = (enum pattern)rng_below(&rng, PATTERNS);
        struct run run =
            run_sender(&rate, p, (int64_t)rng_below(&rng, 1u << 30), 20 * SECOND, rng_next(&rng));
        if (run.peak > window_allowed(&rate)) {
            char text[64];
            put_rate(text, sizeof(text), &rate);
            fail_msg("run %d: %s %s: %zu in a second, %zu allowed", i, text, pattern_name[p],
                     run.peak, window_allowed(&rate));
        }
    }
}

/* ---- no burst ---- */

static uint64_t back_to_back(struct gcra *g, int64_t now_us)
{
    uint64_t n = 0;

    while (gcra_ready_at(g) <= now_us) {
        gcra_take(g, now_us, 1);
        n++;
    }
    return n;
}

static void test_no_burst_at_start_and_after_idle(void **state)
{
    static const uint64_t bursts[] = {1, 5, 100};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        const struct rate rate = {5000, SECOND, bursts[i]};
        struct gcra g;
        gcra_init(&g, &rate, 1000);
        assert_int_equal(back_to_back(&g, 1000), 1);
        assert_int_equal(back_to_back(&g, HOUR), bursts[i]);
        assert_int_equal(back_to_back(&g, HOUR + 10 * SECOND), bursts[i]);
    }
}

/* Work waited when the thread was stopped for two seconds: what was missed is not made up for. */
static void test_no_burst_after_stall(void **state)
{
    const struct rate rate = {5000, SECOND, 1};
    struct gcra g;

    (void)state;
    gcra_init(&g, &rate, 0);
    gcra_take(&g, 0, 1);
    gcra_wait(&g);
    assert_int_equal(back_to_back(&g, 2 * SECOND), 1);
    /* A late tick is: five milliseconds' worth at most. */
    gcra_wait(&g);
    uint64_t late = back_to_back(&g, 2 * SECOND + 20000);
    assert_in_range(late, 20, 26);
}

/* Lateness counts for work that waited; nobody waited here. */
static void test_late_without_waiting(void **state)
{
    const struct rate rate = {5000, SECOND, 1};
    struct gcra g;

    (void)state;
    gcra_init(&g, &rate, 0);
    gcra_take(&g, 0, 1);
    assert_int_equal(back_to_back(&g, 3000), 1);
    gcra_wait(&g); /* waits, goes in time, and then there is nothing more to send */
    gcra_take(&g, gcra_ready_at(&g), 1);
    assert_int_equal(back_to_back(&g, gcra_ready_at(&g) + 3000), 1);
}

static void test_clock_that_stands_still(void **state)
{
    const struct rate rate = {500, SECOND, 1};
    struct gcra g;

    (void)state;
    gcra_init(&g, &rate, SECOND);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(back_to_back(&g, SECOND), i == 0);
        gcra_wait(&g);
    }
}

static void test_change_of_rate(void **state)
{
    const struct rate slow = {1, 60 * SECOND, 1}, fast = {100, SECOND, 1},
                      bursty = {100, SECOND, 50}, none = {0, 0, 1};
    struct gcra g;

    (void)state;
    gcra_init(&g, &slow, 0);
    gcra_take(&g, 0, 1);
    /* Half of the old wait is over, half of the new one is left. */
    gcra_change(&g, &fast, 30 * SECOND);
    assert_in_range(gcra_ready_at(&g) - 30 * SECOND, 5000, 5002);
    gcra_change(&g, &slow, 30 * SECOND);
    assert_in_range(gcra_ready_at(&g) - 30 * SECOND, 30 * SECOND, 30 * SECOND + 20000);
    /* The same rate changes nothing, however often a reload says it. */
    int64_t ready_us = gcra_ready_at(&g);
    for (int i = 0; i < 10; i++) {
        gcra_change(&g, &slow, 31 * SECOND);
    }
    assert_int_equal(gcra_ready_at(&g), ready_us);
    /* A burst is earned, not given. */
    gcra_change(&g, &bursty, 100 * SECOND);
    assert_int_equal(back_to_back(&g, 100 * SECOND), 1);
    assert_int_equal(back_to_back(&g, 101 * SECOND), 50);
    /* What was earned stays, up to the new burst. */
    gcra_change(&g, &(struct rate){100, SECOND, 10}, 110 * SECOND);
    assert_int_equal(back_to_back(&g, 110 * SECOND), 10);
    gcra_change(&g, &none, 110 * SECOND);
    assert_true(gcra_unlimited(&g));
    gcra_take(&g, 110 * SECOND, 1000000);
    gcra_change(&g, &fast, 111 * SECOND);
    assert_int_equal(back_to_back(&g, 111 * SECOND), 1);
}

/* Reloads in the middle of everything: at each moment the larger of the two rates bounds the
 * second around it. */
static void test_changes_keep_the_bound(void **state)
{
    struct rng rng;

    (void)state;
    rng_seed(&rng, 5);
    for (int i = 0; i < 200; i++) {
        struct rate rates[2] = {{1 + rng_below(&rng, 3000), SECOND, 1},
                                {1 + rng_below(&rng, 3000), SECOND, 1}};
        size_t a = window_allowed(&rates[0]), b = window_allowed(&rates[1]);
        struct gcra g;
        struct window w;
        int64_t now_us = 0;
        window_init(&w, a + b + 8);
        gcra_init(&g, &rates[0], 0);
        while (now_us < 10 * SECOND) {
            if (rng_below(&rng, 100) == 0) {
                gcra_change(&g, &rates[rng_below(&rng, 2)], now_us);
            }
            if (gcra_ready_at(&g) <= now_us) {
                gcra_take(&g, now_us, 1);
                window_add(&w, now_us);
            } else {
                gcra_wait(&g);
                now_us = come_back(LATE, &rng, gcra_ready_at(&g));
            }
        }
        assert_true(w.peak <= (a > b ? a : b));
        mem_free(w.at);
    }
}

/* Pieces larger than one: letters counted in bytes. */
static void test_pieces(void **state)
{
    const struct rate rate = {1000000, SECOND, 1};
    struct gcra g;
    struct rng rng;
    int64_t now_us = 0;
    uint64_t bytes = 0;

    (void)state;
    rng_seed(&rng, 3);
    gcra_init(&g, &rate, 0);
    while (now_us < 600 * SECOND) {
        if (gcra_ready_at(&g) <= now_us) {
            uint64_t n = 1 + rng_below(&rng, 200000);
            gcra_take(&g, now_us, n);
            bytes += n;
        } else {
            gcra_wait(&g);
            now_us = come_back(LATE, &rng, gcra_ready_at(&g));
        }
    }
    assert_in_range(bytes, UINT64_C(594000000), UINT64_C(600200000));
    /* Nothing overflows on absurd sizes. */
    gcra_init(&g, &(struct rate){1, INT64_C(7) * 24 * HOUR, 1}, 0);
    gcra_take(&g, 0, UINT64_MAX);
    assert_true(gcra_ready_at(&g) > INT64_MAX / 5);
    gcra_change(&g, &rate, 5);
    assert_true(gcra_ready_at(&g) > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_over_long_times),
        cmocka_unit_test(test_no_drift),
        cmocka_unit_test(test_slow_rates_forgive_more),
        cmocka_unit_test(test_each_minute_within_one_percent),
        cmocka_unit_test(test_any_second_bounded),
        cmocka_unit_test(test_no_burst_at_start_and_after_idle),
        cmocka_unit_test(test_no_burst_after_stall),
        cmocka_unit_test(test_late_without_waiting),
        cmocka_unit_test(test_clock_that_stands_still),
        cmocka_unit_test(test_change_of_rate),
        cmocka_unit_test(test_changes_keep_the_bound),
        cmocka_unit_test(test_pieces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
