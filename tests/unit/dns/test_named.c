/*
 * test_named.c - resolver and finder against real servers: knot, and unbound over it.
 */
#include "tests/unit/dns/daemons.h"

#include "engine/dns/finder.h"

static struct daemons daemons;
static bool have_knot, have_unbound;

static int setup(void **state)
{
    (void)state;
    have_knot = daemons_start_knot(&daemons);
    have_unbound = have_knot && daemons_start_unbound(&daemons);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (have_knot) {
        daemons_stop(&daemons);
    }
    return 0;
}

struct looked_up {
    struct mx_lookup lookup;
    struct mx_plan *plan;
};

static void on_plan(struct mx_lookup *l, const struct mx_plan *plan)
{
    CONTAINER_OF(l, struct looked_up, lookup)->plan = mx_plan_ref(plan);
}

static struct mx_plan *look_up(struct rig *r, struct mx_finder *f, const char *domain)
{
    int64_t end = clock_mono_us() + RIG_PATIENCE_US;
    struct looked_up l = {0};

    mx_find(f, &l.lookup, slice_cstr(domain), on_plan);
    while (l.plan == NULL) {
        assert_true(clock_mono_us() < end);
        io_tick(r->io, 10000);
    }
    return l.plan;
}

struct row {
    const char *domain;
    enum mx_verdict verdict;
    const char *site;
    size_t addresses;
    bool secure; /* when unbound validates */
};

static void check_rows(const char *servers, const struct row *rows, size_t count, bool validating)
{
    struct mx_finder *f;
    struct rig r;

    assert_true(rig_open(
        &r, IO_EPOLL,
        &(struct dns_resolver_options){.servers = servers, .timeout_ms = 3000, .tries = 2}));
    f = mx_finder_new(r.resolver, &(struct mx_finder_options){0});
    for (size_t i = 0; i < count; i++) {
        struct mx_plan *p = look_up(&r, f, rows[i].domain);

        if (p->verdict != rows[i].verdict || !slice_eq(p->site, slice_cstr(rows[i].site)) ||
            p->address_count != rows[i].addresses || p->secure != (rows[i].secure && validating)) {
            fail_msg("%s: %s, site " SLICE_FMT ", %zu addresses, secure %d, " SLICE_FMT,
                     rows[i].domain, mx_verdict_name(p->verdict), SLICE_ARG(p->site),
                     p->address_count, p->secure, SLICE_ARG(p->text));
        }
        mx_plan_unref(p);
    }
    mx_finder_free(f);
    rig_close(&r);
}

static const struct row common[] = {
    {"test.example", MX_OK, "mx1.test.example,mx2.test.example", 3, true},
    {"TEST.example.", MX_OK, "mx1.test.example,mx2.test.example", 3, true},
    {"null.test.example", MX_NULL, "null.test.example", 0, true},
    {"implicit.test.example", MX_OK, "implicit.test.example", 1, true},
    {"nowhere.test.example", MX_NO_HOST, "nohost.test.example", 0, true},
    {"no.test.example", MX_NO_DOMAIN, "no.test.example", 0, true},
    {"alias.test.example", MX_OK, "mx1.test.example", 2, true},
    {"mxalias.test.example", MX_OK, "second.test.example", 1, true},
    {"deaf.test.example", MX_OK, "mx1.test.example,nohost.test.example", 2, true},
    {"chain5.test.example", MX_OK, "mx1.test.example", 2, true},
    {"txtonly.test.example", MX_NO_HOST, "txtonly.test.example", 0, true},
    {"b\xc3\xbc"
     "cher.test.example",
     MX_OK, "mx2.test.example", 1, true},
    {"plain.example", MX_OK, "mx1.plain.example,mx2.plain.example", 3, false},
};

static void test_plans_from_knot(void **state)
{
    static const struct row own[] = {
        {"loop1.test.example", MX_TEMPORARY, "loop1.test.example", 0, false},
        {"chain15.test.example", MX_OK, "mx1.test.example", 2, false}, /* 16 with `target` */
        {"chain17.test.example", MX_TEMPORARY, "chain17.test.example", 0, false},
        {"not.served", MX_TEMPORARY, "not.served", 0, false},
    };

    (void)state;
    if (have_knot) {
        check_rows(daemons.knot_servers, common, sizeof(common) / sizeof(common[0]), false);
        check_rows(daemons.knot_servers, own, sizeof(own) / sizeof(own[0]), false);
    }
}

static void test_plans_from_unbound(void **state)
{
    static const struct row own[] = {
        {"broken.example", MX_TEMPORARY, "broken.example", 0, false},
        {"loop1.test.example", MX_TEMPORARY, "loop1.test.example", 0, false},
    };

    (void)state;
    if (have_unbound) {
        check_rows(daemons.unbound_servers, common, sizeof(common) / sizeof(common[0]), true);
        check_rows(daemons.unbound_servers, own, sizeof(own) / sizeof(own[0]), true);
    }
}

static void test_records(void **state)
{
    struct asked a = {0};
    struct rig r;

    (void)state;
    if (!have_knot) {
        return;
    }
    assert_true(
        rig_open(&r, IO_EPOLL, &(struct dns_resolver_options){.servers = daemons.knot_servers}));
    rig_ask(&r, &a, "txtonly.test.example", DNS_TXT);
    assert_int_equal(a.answer->count, 1);
    assert_slice(a.answer->record[0].data, "v=STSv1; id=1");
    rig_ask(&r, &a, "_25._tcp.mx1.test.example", DNS_TLSA);
    assert_int_equal(a.answer->count, 1);
    assert_memory_equal(a.answer->record[0].tlsa, "\3\1\1", 3);
    assert_int_equal(a.answer->record[0].data.len, 32);
    rig_ask(&r, &a, "big.test.example", DNS_TXT); /* over TCP */
    assert_int_equal(a.answer->count, 40);
    rig_ask(&r, &a, "no.test.example", DNS_A);
    assert_int_equal(a.answer->status, DNS_NXDOMAIN);
    assert_int_equal(a.answer->ttl_s, 120); /* the SOA's last field */
    dns_answer_unref(a.answer);
    rig_close(&r);
}

/* What does not validate is a failure, and the reason is told. */
static void test_bogus(void **state)
{
    struct asked a = {0};
    struct rig r;

    (void)state;
    if (!have_unbound) {
        return;
    }
    assert_true(
        rig_open(&r, IO_EPOLL, &(struct dns_resolver_options){.servers = daemons.unbound_servers}));
    rig_ask(&r, &a, "broken.example", DNS_MX);
    assert_int_equal(a.answer->status, DNS_TEMPFAIL);
    assert_slice(a.answer->reason, "SERVFAIL");
    dns_answer_unref(a.answer);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plans_from_knot),
        cmocka_unit_test(test_plans_from_unbound),
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_bogus),
    };

    return cmocka_run_group_tests_name("dns/named", tests, setup, teardown);
}
