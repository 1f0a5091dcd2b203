/*
 * test_finder.c - plans by domain over a real resolver, against the lying server.
 */
#include "tests/unit/dns/liar.h"
#include "tests/unit/dns/rig.h"

#include "engine/dns/finder.h"

static struct liar liar;

struct found {
    struct mx_lookup lookup;
    struct mx_plan *plan;
    unsigned calls;
    struct found *then_cancel;
    const char *then_find;
    struct mx_finder *finder;
};

static void on_plan(struct mx_lookup *l, const struct mx_plan *plan)
{
    struct found *f = CONTAINER_OF(l, struct found, lookup);

    f->calls++;
    mx_plan_unref(f->plan);
    f->plan = mx_plan_ref(plan);
    if (f->then_cancel != NULL) {
        mx_find_cancel(&f->then_cancel->lookup);
    }
    if (f->then_find != NULL) {
        const char *domain = f->then_find;

        f->then_find = NULL;
        mx_find(f->finder, &f->lookup, slice_cstr(domain), on_plan);
    }
}

static void await(struct rig *r, const struct found *f, unsigned calls)
{
    int64_t end = clock_mono_us() + RIG_PATIENCE_US;

    while (f->calls < calls) {
        assert_true(clock_mono_us() < end);
        io_tick(r->io, 10000);
    }
}

static struct rig rig;
static struct mx_finder *finder;

static int setup(void **state)
{
    (void)state;
    liar_start(&liar);
    assert_true(rig_open(
        &rig, IO_EPOLL,
        &(struct dns_resolver_options){.servers = liar.servers, .timeout_ms = 300, .tries = 1}));
    finder = mx_finder_new(rig.resolver, &(struct mx_finder_options){.plans_max = 10});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    mx_finder_free(finder);
    rig_close(&rig);
    liar_stop(&liar);
    return 0;
}

static void test_find(void **state)
{
    static const struct {
        const char *domain;
        enum mx_verdict verdict;
        const char *site;
    } rows[] = {
        {"MX.example", MX_OK, "ok.mx1.example,ok.mx2.example"},
        {"ok.example", MX_OK, "ok.example"},
        {"nx.example", MX_NO_DOMAIN, "nx.example"},
        {"fail.example", MX_TEMPORARY, "fail.example"},
        {"[192.0.2.9]", MX_OK, "192.0.2.9"},
        {"not a domain", MX_BAD_NAME, "invalid"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct found f = {0};

        mx_find(finder, &f.lookup, slice_cstr(rows[i].domain), on_plan);
        assert_int_equal(f.calls, 0);
        await(&rig, &f, 1);
        assert_int_equal(f.plan->verdict, rows[i].verdict);
        assert_slice(f.plan->site, rows[i].site);
        mx_plan_unref(f.plan);
    }
}

static void test_found_once(void **state)
{
    unsigned before = atomic_load(&liar.asked);
    struct found a = {0}, b = {0}, c = {0};
    struct mx_plan *cached;

    (void)state;
    assert_null(mx_finder_cached(finder, SLICE("mx.once.example")));
    mx_find(finder, &a.lookup, SLICE("mx.once.example"), on_plan);
    mx_find(finder, &b.lookup, SLICE("MX.Once.Example."), on_plan);
    await(&rig, &a, 1);
    await(&rig, &b, 1);
    assert_ptr_equal(a.plan, b.plan);
    assert_int_equal(atomic_load(&liar.asked) - before, 5); /* MX, 2 A, 2 AAAA */
    mx_find(finder, &c.lookup, SLICE("mx.once.example"), on_plan);
    assert_int_equal(c.calls, 0);
    await(&rig, &c, 1);
    assert_ptr_equal(c.plan, a.plan);
    cached = mx_finder_cached(finder, SLICE("MX.once.example"));
    assert_ptr_equal(cached, a.plan);
    mx_plan_unref(cached);
    /* Forgotten: made anew, here from answers that are still good. */
    mx_finder_forget(finder, SLICE("mx.once.example"));
    assert_null(mx_finder_cached(finder, SLICE("mx.once.example")));
    mx_find(finder, &c.lookup, SLICE("mx.once.example"), on_plan);
    await(&rig, &c, 2);
    assert_ptr_not_equal(c.plan, a.plan);
    assert_int_equal(atomic_load(&liar.asked) - before, 5);
    mx_plan_unref(a.plan);
    mx_plan_unref(b.plan);
    mx_plan_unref(c.plan);
}

static void test_cancel(void **state)
{
    struct found a = {0}, b = {0}, c = {0};

    (void)state;
    mx_find_cancel(&a.lookup);
    mx_find(finder, &a.lookup, SLICE("mx.slow.example"), on_plan);
    mx_find(finder, &b.lookup, SLICE("mx.slow.example"), on_plan);
    mx_find(finder, &c.lookup, SLICE("mx.slow.example"), on_plan);
    b.then_cancel = &c; /* from inside a callback, one that would be called next */
    mx_find_cancel(&a.lookup);
    await(&rig, &b, 1);
    for (int i = 0; i < 3; i++) {
        io_tick(rig.io, 1000);
    }
    assert_int_equal(a.calls, 0);
    assert_int_equal(c.calls, 0);
    mx_plan_unref(b.plan);
}

/* Looking up again from the callback, with the same token. */
static void test_find_from_callback(void **state)
{
    struct found a = {.then_find = "ok.again.example", .finder = finder};

    (void)state;
    mx_find(finder, &a.lookup, SLICE("[192.0.2.1]"), on_plan);
    await(&rig, &a, 2);
    assert_slice(a.plan->site, "ok.again.example");
    mx_plan_unref(a.plan);
}

static void test_bounded(void **state)
{
    char domain[64];

    (void)state;
    for (unsigned i = 0; i < 30; i++) {
        struct found f = {0};

        snprintf(domain, sizeof(domain), "ok.n%u.example", i);
        mx_find(finder, &f.lookup, slice_cstr(domain), on_plan);
        await(&rig, &f, 1);
        mx_plan_unref(f.plan);
        assert_true(mx_finder_count(finder) <= 10);
    }
    assert_null(mx_finder_cached(finder, SLICE("ok.n0.example")));
}

static void test_free_in_mid_air(void **state)
{
    struct mx_finder *other = mx_finder_new(rig.resolver, &(struct mx_finder_options){0});
    struct found a = {0}, b = {0}, c = {0};

    (void)state;
    mx_find(other, &a.lookup, SLICE("mx.silent.example"), on_plan);
    mx_find(other, &b.lookup, SLICE("silent.example"), on_plan);
    mx_find(other, &c.lookup, SLICE("[192.0.2.1]"), on_plan);
    mx_finder_free(other);
    for (int i = 0; i < 3; i++) {
        io_tick(rig.io, 1000);
    }
    assert_int_equal(a.calls + b.calls + c.calls, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),    cmocka_unit_test(test_found_once),
        cmocka_unit_test(test_cancel),  cmocka_unit_test(test_find_from_callback),
        cmocka_unit_test(test_bounded), cmocka_unit_test(test_free_in_mid_air),
    };

    return cmocka_run_group_tests_name("dns/finder", tests, setup, teardown);
}
