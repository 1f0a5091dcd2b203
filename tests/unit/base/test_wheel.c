/*
 * test_wheel.c - the timer wheel against a list that is simply searched.
 */
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/base/rng.h"
#include "engine/base/wheel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

enum { TIMERS = 400 };
#define DAY_US INT64_C(86400000000)

/* ---- the model: every timer says when it has to fire ---- */

struct model_timer {
    struct timer t;
    bool armed;
    int64_t due_us;
    int fired;
};

struct model {
    struct wheel w;
    struct rng rng;
    struct model_timer timers[TIMERS];
    int64_t now_us;
    size_t armed;
    bool meddle; /* callbacks arm and disarm others */
};

static struct model *model; /* callbacks get nothing else */

/* The tick at which a timer is due: the first one not before its time. */
static int64_t due_tick(int64_t due_us)
{
    return due_us / WHEEL_TICK_US + (due_us % WHEEL_TICK_US > 0 ? 1 : 0);
}

static void arm(struct model *m, struct model_timer *x, int64_t due_us)
{
    m->armed += x->armed ? 0 : 1;
    x->armed = true;
    x->due_us = due_us;
    wheel_arm(&m->w, &x->t, due_us);
}

static void disarm(struct model *m, struct model_timer *x)
{
    m->armed -= x->armed ? 1 : 0;
    x->armed = false;
    wheel_disarm(&m->w, &x->t);
}

/* Mostly near, at times past, now and then days or years away. */
static int64_t random_due(struct model *m)
{
    switch (rng_below(&m->rng, 10)) {
    case 0:
        return m->now_us - (int64_t)rng_below(&m->rng, 5000);
    case 1:
        return m->now_us + (int64_t)rng_below(&m->rng, 40 * (uint64_t)DAY_US);
    case 2:
        return m->now_us + (int64_t)rng_below(&m->rng, 3 * (uint64_t)DAY_US);
    case 3:
        return m->now_us + (int64_t)rng_below(&m->rng, 3600 * UINT64_C(1000000));
    case 4:
        return rng_below(&m->rng, 20) == 0 ? INT64_MAX : m->now_us;
    default:
        return m->now_us + (int64_t)rng_below(&m->rng, 300 * 1000);
    }
}

static struct model_timer *random_timer(struct model *m)
{
    return &m->timers[rng_below(&m->rng, TIMERS)];
}

static void fire(struct timer *t, int64_t now_us)
{
    struct model_timer *x = CONTAINER_OF(t, struct model_timer, t);
    struct model *m = model;

    assert_true(x->armed);
    assert_false(timer_armed(t));
    assert_int_equal(now_us, m->now_us);
    assert_true(x->due_us <= now_us); /* never early */
    x->armed = false;
    m->armed--;
    x->fired++;
    if (m->meddle) {
        switch (rng_below(&m->rng, 4)) {
        case 0:
            arm(m, x, random_due(m)); /* itself */
            break;
        case 1:
            arm(m, random_timer(m), random_due(m));
            break;
        case 2:
            disarm(m, random_timer(m));
            break;
        default:
            break;
        }
    }
}

static void model_start(struct model *m, uint64_t seed, int64_t now_us)
{
    memset(m, 0, sizeof(*m));
    rng_seed(&m->rng, seed);
    m->now_us = now_us;
    wheel_init(&m->w, now_us);
    for (size_t i = 0; i < TIMERS; i++) {
        timer_init(&m->timers[i].t, fire);
        assert_false(timer_armed(&m->timers[i].t));
    }
    model = m;
}

/* The earliest due tick of what is armed; INT64_MAX when nothing is. */
static int64_t model_first_tick(const struct model *m)
{
    int64_t first = INT64_MAX;

    for (size_t i = 0; i < TIMERS; i++) {
        const struct model_timer *x = &m->timers[i];
        if (x->armed && x->due_us < INT64_MAX && due_tick(x->due_us) < first) {
            first = due_tick(x->due_us);
        }
    }
    return first;
}

static void check_next(const struct model *m)
{
    int64_t next_us = wheel_next_us(&m->w), first = model_first_tick(m);

    if (m->armed == 0) {
        assert_int_equal(next_us, INT64_MAX);
    } else if (first < INT64_MAX && next_us > m->now_us) {
        assert_true(next_us <= first * WHEEL_TICK_US);
    }
}

static void run(struct model *m)
{
    int fired = 0, before = 0;

    /* What is overdue before the run must have fired after it, unless a callback moved it. */
    for (size_t i = 0; i < TIMERS; i++) {
        before += m->timers[i].fired;
    }
    size_t count = wheel_run(&m->w, m->now_us);
    for (size_t i = 0; i < TIMERS; i++) {
        const struct model_timer *x = &m->timers[i];
        fired += x->fired;
        assert_int_equal(x->armed, timer_armed(&x->t));
        if (!m->meddle && x->armed) {
            assert_true(due_tick(x->due_us) > m->now_us / WHEEL_TICK_US); /* none late */
        }
    }
    assert_int_equal(count, fired - before);
    assert_int_equal(m->w.count, m->armed);
}

static void random_walk(uint64_t seed, int64_t start_us, bool meddle, int steps)
{
    struct model *m = mem_alloc(sizeof(*m));

    model_start(m, seed, start_us);
    m->meddle = meddle;
    for (int i = 0; i < steps; i++) {
        switch (rng_below(&m->rng, 6)) {
        case 0:
        case 1:
        case 2:
            arm(m, random_timer(m), random_due(m));
            break;
        case 3:
            disarm(m, random_timer(m));
            break;
        case 4:
            m->now_us += (int64_t)rng_below(&m->rng, 3000);
            run(m);
            break;
        default:
            m->now_us += (int64_t)rng_below(
                &m->rng, rng_below(&m->rng, 50) == 0 ? 15 * (uint64_t)DAY_US : 100000);
            run(m);
            break;
        }
        check_next(m);
    }
    mem_free(m);
}

static void test_random(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        random_walk(seed, (int64_t)seed * 1234567891, false, 3000);
        random_walk(seed, (int64_t)seed * 1234567891, true, 3000);
    }
    /* Around the turn of the highest level, where the slots start over. */
    int64_t turn_us = (INT64_C(1) << (WHEEL_LEVELS * WHEEL_SLOT_BITS)) * WHEEL_TICK_US;
    random_walk(77, turn_us - 50000, false, 3000);
    random_walk(78, 5 * turn_us - 1, true, 3000);
    random_walk(79, 0, false, 3000);
}

/* Run only when wheel_next_us() says so: each timer fires within a tick of its time, and the
 * wheel does not ask to be run much more often than there are timers. */
static void test_next_is_enough(void **state)
{
    struct model *m = mem_alloc(sizeof(*m));
    int64_t due_us[TIMERS];
    size_t runs = 0;

    (void)state;
    model_start(m, 5, 7 * DAY_US + 123);
    for (size_t i = 0; i < TIMERS; i++) {
        due_us[i] =
            m->now_us + (int64_t)rng_below(&m->rng, i % 2 ? 20 * (uint64_t)DAY_US : 1000000);
        arm(m, &m->timers[i], due_us[i]);
    }
    while (m->armed > 0) {
        int64_t next_us = wheel_next_us(&m->w);
        assert_true(next_us < INT64_MAX);
        m->now_us = next_us > m->now_us ? next_us : m->now_us;
        int fired_before[TIMERS];
        for (size_t i = 0; i < TIMERS; i++) {
            fired_before[i] = m->timers[i].fired;
        }
        wheel_run(&m->w, m->now_us);
        for (size_t i = 0; i < TIMERS; i++) {
            if (m->timers[i].fired > fired_before[i]) {
                assert_true(m->now_us - due_us[i] <= WHEEL_TICK_US);
            }
        }
        runs++;
    }
    assert_true(runs <= (WHEEL_LEVELS + 1) * TIMERS);
    assert_int_equal(wheel_next_us(&m->w), INT64_MAX);
    mem_free(m);
}

/* ---- order ---- */

static int64_t order[64];
static size_t order_count;

static void note(struct timer *t, int64_t now_us)
{
    (void)now_us;
    order[order_count++] = t->due_us;
}

static void test_order(void **state)
{
    static const int64_t due_ms[] = {900, 5, 64, 63, 65, 4096, 1, 4095, 300000, 20000};
    struct timer timers[10];
    struct wheel w;

    (void)state;
    wheel_init(&w, 0);
    order_count = 0;
    for (size_t i = 0; i < 10; i++) {
        timer_init(&timers[i], note);
        wheel_arm(&w, &timers[i], due_ms[i] * 1000);
    }
    assert_int_equal(wheel_run(&w, 400 * 1000 * 1000), 10); /* all in one late run */
    for (size_t i = 1; i < 10; i++) {
        assert_true(order[i - 1] < order[i]);
    }
}

/* ---- callbacks that arm and disarm ---- */

struct pair {
    struct timer t;
    struct timer *other;
    struct wheel *w;
    int fired;
    int64_t again_us; /* arms itself there; 0: does not */
};

static void pair_fire(struct timer *t, int64_t now_us)
{
    struct pair *p = CONTAINER_OF(t, struct pair, t);

    (void)now_us;
    p->fired++;
    if (p->other != NULL) {
        wheel_disarm(p->w, p->other);
    }
    if (p->again_us != 0) {
        wheel_arm(p->w, t, p->again_us);
    }
}

static void pair_init(struct pair *p, struct wheel *w)
{
    memset(p, 0, sizeof(*p));
    p->w = w;
    timer_init(&p->t, pair_fire);
}

static void test_callbacks(void **state)
{
    struct pair a, b;
    struct wheel w;

    (void)state;
    wheel_init(&w, 1000000);
    /* Two that are due together: the first disarms the second. */
    pair_init(&a, &w);
    pair_init(&b, &w);
    a.other = &b.t;
    wheel_arm(&w, &a.t, 1002000);
    wheel_arm(&w, &b.t, 1002000);
    assert_int_equal(wheel_run(&w, 1002000), 1);
    assert_int_equal(a.fired + b.fired, 1);
    assert_int_equal(w.count, 0);
    assert_int_equal(wheel_next_us(&w), INT64_MAX);

    /* One that arms itself in the past fires once a run, not for ever. */
    pair_init(&a, &w);
    a.again_us = 5;
    wheel_arm(&w, &a.t, 0);
    assert_true(wheel_next_us(&w) <= 1002000);
    for (int i = 1; i <= 5; i++) {
        assert_int_equal(wheel_run(&w, 1002000), 1); /* the clock need not move */
        assert_int_equal(a.fired, i);
    }
    wheel_disarm(&w, &a.t);
    wheel_disarm(&w, &a.t);
    assert_int_equal(wheel_run(&w, 1005000), 0);

    /* Moved, it fires at the new time only. */
    pair_init(&a, &w);
    wheel_arm(&w, &a.t, 1010000);
    wheel_arm(&w, &a.t, 1500000);
    assert_int_equal(wheel_run(&w, 1400000), 0);
    assert_int_equal(wheel_run(&w, 1499999), 0);
    assert_int_equal(wheel_run(&w, 1500000), 1);
}

/* ---- cost ---- */

static int64_t cost_of_moves_us(size_t timers, size_t moves)
{
    struct timer *t = mem_array(timers, sizeof(*t));
    struct wheel w;
    struct rng rng;

    rng_seed(&rng, 3);
    wheel_init(&w, 0);
    for (size_t i = 0; i < timers; i++) {
        timer_init(&t[i], note);
        wheel_arm(&w, &t[i], (int64_t)(1000000 + rng_below(&rng, 300000000)));
    }
    int64_t start_us = clock_mono_us();
    for (size_t i = 0; i < moves; i++) {
        wheel_arm(&w, &t[i % timers], (int64_t)(1000000 + i * 7919 % 300000000));
    }
    int64_t took_us = clock_mono_us() - start_us;
    mem_free(t);
    return took_us;
}

/* 100,000 timers cost the same per move as 100, but for cache misses.  The bound is wide: a
 * machine under load must not fail it, an O(n) walk would miss it a thousandfold. */
static void test_cost_is_flat(void **state)
{
    int64_t few_us = INT64_MAX, many_us = INT64_MAX;

    (void)state;
    for (int i = 0; i < 3; i++) {
        int64_t us = cost_of_moves_us(100, 500000);
        few_us = us < few_us ? us : few_us;
        us = cost_of_moves_us(100000, 500000);
        many_us = us < many_us ? us : many_us;
    }
    print_message("ns a move: %.1f with 100 timers, %.1f with 100,000\n", (double)few_us / 500,
                  (double)many_us / 500);
    assert_true(many_us < 40 * few_us + 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),       cmocka_unit_test(test_next_is_enough),
        cmocka_unit_test(test_order),        cmocka_unit_test(test_callbacks),
        cmocka_unit_test(test_cost_is_flat),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
