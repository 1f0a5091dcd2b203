/*
 * test_resolver.c - the resolver against a server that lies, over both backends.
 */
#include "tests/unit/dns/liar.h"
#include "tests/unit/dns/rig.h"

static struct liar liar;
static enum io_backend backend;

static int setup(void **state)
{
    (void)state;
    liar_start(&liar);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    liar_stop(&liar);
    return 0;
}

static bool open_usual(struct rig *r)
{
    return rig_open(
        r, backend,
        &(struct dns_resolver_options){.servers = liar.servers, .timeout_ms = 300, .tries = 2});
}

static void test_answers(void **state)
{
    static const struct {
        const char *name;
        enum dns_type type;
        enum dns_status status;
        const char *reason; /* of a failure, a part of it */
    } rows[] = {
        {"ok.example", DNS_A, DNS_FOUND, NULL},
        {"ok.example", DNS_AAAA, DNS_NODATA, NULL},
        {"alias.host.example", DNS_A, DNS_FOUND, NULL},
        {"mx.example", DNS_MX, DNS_FOUND, NULL},
        {"nx.example", DNS_MX, DNS_NXDOMAIN, NULL},
        {"slow.example", DNS_A, DNS_FOUND, NULL},
        {"wrongid.example", DNS_A, DNS_FOUND, NULL},
        {"otherq.example", DNS_A, DNS_FOUND, NULL},
        {"first.example", DNS_A, DNS_FOUND, NULL},
        {"big.example", DNS_A, DNS_FOUND, NULL},
        {"fail.example", DNS_MX, DNS_TEMPFAIL, "SERVFAIL"},
        /* Older c-ares passes over what it cannot read, newer gives up and says so. */
        {"short.example", DNS_A, DNS_TEMPFAIL, ""},
        {"garbage.example", DNS_A, DNS_TEMPFAIL, ""},
        {"silent.example", DNS_A, DNS_TEMPFAIL, "in time"},
    };
    struct rig r;

    (void)state;
    if (!open_usual(&r)) {
        return;
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct asked a = {0};

        rig_ask(&r, &a, rows[i].name, rows[i].type);
        if (a.answer->status != rows[i].status ||
            (rows[i].reason != NULL && memmem(a.answer->reason.ptr, a.answer->reason.len,
                                              rows[i].reason, strlen(rows[i].reason)) == NULL)) {
            fail_msg("%s: status %d, '" SLICE_FMT "'", rows[i].name, (int)a.answer->status,
                     SLICE_ARG(a.answer->reason));
        }
        if (rows[i].status == DNS_FOUND && rows[i].type == DNS_A) {
            assert_true(a.answer->ad); /* the server is on loopback */
        }
        dns_answer_unref(a.answer);
    }
    assert_int_equal(atomic_load(&liar.over_tcp) > 0, 1);
    rig_close(&r);
}

/* The first server is dead, the next one knows; where all say SERVFAIL, so do we. */
static void test_next_server(void **state)
{
    struct asked a = {0};
    char servers[64];
    struct rig r;

    (void)state;
    snprintf(servers, sizeof(servers), "127.0.0.1:1, %s", liar.servers);
    if (!rig_open(
            &r, backend,
            &(struct dns_resolver_options){.servers = servers, .timeout_ms = 300, .tries = 2})) {
        return;
    }
    rig_ask(&r, &a, "ok.example", DNS_A);
    assert_int_equal(a.answer->status, DNS_FOUND);
    rig_ask(&r, &a, "fail.example", DNS_A);
    assert_int_equal(a.answer->status, DNS_TEMPFAIL);
    dns_answer_unref(a.answer);
    rig_close(&r);
}

static void test_no_server(void **state)
{
    struct asked a = {0};
    struct rig r;

    (void)state;
    if (!rig_open(&r, backend,
                  &(struct dns_resolver_options){
                      .servers = "127.0.0.1:1", .timeout_ms = 300, .tries = 1})) {
        return;
    }
    rig_ask(&r, &a, "ok.example", DNS_A);
    assert_int_equal(a.answer->status, DNS_TEMPFAIL);
    assert_true(a.answer->reason.len > 0);
    dns_answer_unref(a.answer);
    rig_close(&r);
}

static void test_resolv_conf(void **state)
{
    struct rig r;

    (void)state;
    if (rig_open(&r, backend, &(struct dns_resolver_options){.servers = NULL})) {
        rig_close(&r);
    }
}

static void test_cache_and_joining(void **state)
{
    enum { MANY = 20 };
    struct asked a[MANY] = {0};
    struct dns_stats stats;
    struct dns_answer *cached;
    unsigned before = atomic_load(&liar.asked);
    struct rig r;

    (void)state;
    if (!open_usual(&r)) {
        return;
    }
    assert_null(dns_cached(r.resolver, SLICE("slow.join.example"), DNS_A));
    for (size_t i = 0; i < MANY; i++) {
        dns_ask(r.resolver, &a[i].query, SLICE("slow.join.example"), DNS_A, asked_answered);
    }
    for (size_t i = 0; i < MANY; i++) {
        rig_await(&r, &a[i], 1);
        assert_ptr_equal(a[i].answer, a[0].answer);
        assert_int_equal(a[i].ttl_s, 300);
    }
    rig_ask(&r, &a[0], "SLOW.join.example", DNS_A);
    assert_ptr_equal(a[0].answer, a[1].answer);
    assert_in_range(a[0].ttl_s, 290, 300);
    assert_int_equal(atomic_load(&liar.asked) - before, 1);
    cached = dns_cached(r.resolver, SLICE("slow.join.example."), DNS_A);
    assert_ptr_equal(cached, a[0].answer);
    dns_answer_unref(cached);
    dns_resolver_stats(r.resolver, &stats);
    assert_int_equal(stats.asked, MANY + 1);
    assert_int_equal(stats.sent, 1);
    assert_int_equal(stats.joined, MANY - 1);
    assert_int_equal(stats.hits, 2);
    assert_int_equal(stats.inflight, 0);
    for (size_t i = 0; i < MANY; i++) {
        dns_answer_unref(a[i].answer);
    }
    rig_close(&r);
}

static void test_stale(void **state)
{
    struct asked a = {0};
    struct rig r;
    int64_t until;

    (void)state;
    if (!rig_open(&r, backend,
                  &(struct dns_resolver_options){.servers = liar.servers,
                                                 .timeout_ms = 300,
                                                 .tries = 1,
                                                 .cache = {.ttl_min_s = 1, .ttl_max_s = 1}})) {
        return;
    }
    atomic_store(&liar.failing, false);
    rig_ask(&r, &a, "flip.example", DNS_A);
    assert_int_equal(a.answer->status, DNS_FOUND);
    assert_false(a.answer->stale);
    atomic_store(&liar.failing, true);
    until = clock_mono_us() + 1100000;
    while (clock_mono_us() < until) {
        io_tick(r.io, 20000);
    }
    rig_ask(&r, &a, "flip.example", DNS_A);
    assert_int_equal(a.answer->status, DNS_FOUND);
    assert_true(a.answer->stale);
    dns_answer_unref(a.answer);
    rig_close(&r);
}

static void test_cancel(void **state)
{
    struct asked a = {0}, b = {0}, c = {0};
    struct rig r;

    (void)state;
    if (!open_usual(&r)) {
        return;
    }
    dns_cancel(&a.query); /* never asked */
    dns_ask(r.resolver, &a.query, SLICE("slow.cancel.example"), DNS_A, asked_answered);
    dns_ask(r.resolver, &b.query, SLICE("slow.cancel.example"), DNS_A, asked_answered);
    dns_cancel(&a.query);
    dns_cancel(&a.query);
    rig_await(&r, &b, 1);
    /* With its answer there already, but not told yet. */
    dns_ask(r.resolver, &c.query, SLICE("slow.cancel.example"), DNS_A, asked_answered);
    dns_cancel(&c.query);
    rig_ask(&r, &b, "ok.cancel.example", DNS_A);
    assert_int_equal(a.calls, 0);
    assert_int_equal(c.calls, 0);
    dns_answer_unref(b.answer);
    rig_close(&r);
}

/* A close with questions under way, in line and answered but not told: nobody is called. */
static void test_close_in_mid_air(void **state)
{
    enum { MANY = 30 };
    struct asked a[MANY] = {0};
    struct dns_stats stats;
    char name[64];
    struct rig r;

    (void)state;
    if (!rig_open(&r, backend,
                  &(struct dns_resolver_options){.servers = liar.servers, .inflight_max = 5})) {
        return;
    }
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "silent.n%u.example", i / 2);
        dns_ask(r.resolver, &a[i].query, slice_cstr(name), DNS_A, asked_answered);
    }
    io_tick(r.io, 1000);
    dns_resolver_stats(r.resolver, &stats);
    assert_int_equal(stats.inflight, 5);
    assert_int_equal(stats.queued, MANY / 2 - 5);
    rig_close(&r);
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(a[i].calls, 0);
        assert_null(a[i].query.resolver);
    }
}

/* Many at once leave in bursts that a server's socket can hold, and all leave. */
static void test_bursts(void **state)
{
    enum { MANY = 200 };
    static struct asked a[MANY];
    int64_t end = clock_mono_us() + RIG_PATIENCE_US;
    struct dns_stats stats;
    char name[64];
    struct rig r;

    (void)state;
    memset(a, 0, sizeof(a));
    if (!rig_open(&r, backend, &(struct dns_resolver_options){.servers = liar.servers})) {
        return;
    }
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "silent.b%u.example", i);
        dns_ask(r.resolver, &a[i].query, slice_cstr(name), DNS_A, asked_answered);
    }
    dns_resolver_stats(r.resolver, &stats);
    assert_int_equal(stats.inflight, 64);
    assert_int_equal(stats.queued, MANY - 64);
    while (stats.inflight < MANY) {
        assert_true(clock_mono_us() < end);
        io_tick(r.io, 10000);
        dns_resolver_stats(r.resolver, &stats);
    }
    rig_close(&r);
}

/* ---- many, and re-entrant ---- */

struct crowd {
    struct rig *rig;
    unsigned left; /* to be asked */
    unsigned answers;
    unsigned depth; /* callbacks on the stack */
    unsigned this_tick, tick_most;
    size_t inflight_most;
};

struct member {
    struct dns_query query;
    struct crowd *crowd;
};

static void member_answered(struct dns_query *q, struct dns_answer *answer);

static void member_ask(struct member *m)
{
    struct dns_stats stats;
    char name[64];

    m->crowd->left--;
    snprintf(name, sizeof(name), "ok.n%u.example", m->crowd->left);
    dns_ask(m->crowd->rig->resolver, &m->query, slice_cstr(name), DNS_A, member_answered);
    dns_resolver_stats(m->crowd->rig->resolver, &stats);
    if (stats.inflight > m->crowd->inflight_most) {
        m->crowd->inflight_most = stats.inflight;
    }
}

static void member_answered(struct dns_query *q, struct dns_answer *answer)
{
    struct member *m = CONTAINER_OF(q, struct member, query);
    struct crowd *c = m->crowd;

    assert_int_equal(answer->status, DNS_FOUND);
    assert_int_equal(c->depth++, 0);
    c->answers++;
    c->this_tick++;
    if (c->left > 0) {
        member_ask(m);
    }
    c->depth--;
}

/* Each answer asks the next: all are answered, no more than the limit are on their way, and
 * a tick ends although answers keep coming. */
static void test_crowd(void **state)
{
    enum { MEMBERS = 300, TOTAL = 5000, LIMIT = 100 };
    static struct member members[MEMBERS];
    struct crowd c = {.left = TOTAL};
    int64_t end = clock_mono_us() + RIG_PATIENCE_US;
    struct rig r;

    (void)state;
    if (!rig_open(&r, backend,
                  &(struct dns_resolver_options){.servers = liar.servers, .inflight_max = LIMIT})) {
        return;
    }
    c.rig = &r;
    memset(members, 0, sizeof(members));
    for (size_t i = 0; i < MEMBERS; i++) {
        members[i].crowd = &c;
        member_ask(&members[i]);
    }
    while (c.answers < TOTAL) {
        assert_true(clock_mono_us() < end);
        c.this_tick = 0;
        io_tick(r.io, 10000);
        c.tick_most = c.this_tick > c.tick_most ? c.this_tick : c.tick_most;
    }
    assert_int_equal(c.answers, TOTAL);
    assert_in_range(c.inflight_most, 1, LIMIT);
    assert_true(c.tick_most <= 3 * LIMIT);
    rig_close(&r);
}

/* A server that gives one CNAME at a time is asked until there is an end, up to 16 of them. */
static void test_cnames_one_by_one(void **state)
{
    char name[128];
    struct asked a = {0};
    struct rig r;

    (void)state;
    if (!rig_open(&r, backend, &(struct dns_resolver_options){.servers = liar.servers})) {
        return;
    }
    rig_ask(&r, &a, "part.part.ok.example", DNS_A);
    assert_int_equal(a.answer->status, DNS_FOUND);
    assert_int_equal(a.answer->count, 1);
    assert_int_equal(a.ttl_s, 200);
    assert_slice(a.answer->name, "ok.example");
    rig_ask(&r, &a, "part.ok.example", DNS_AAAA); /* there is none, at the end of it */
    assert_int_equal(a.answer->status, DNS_NODATA);
    rig_ask(&r, &a, "part.nx.example", DNS_A);
    assert_int_equal(a.answer->status, DNS_NXDOMAIN);
    rig_ask(&r, &a, "part.fail.example", DNS_A);
    assert_int_equal(a.answer->status, DNS_TEMPFAIL);
    for (int parts = 16; parts <= 17; parts++) {
        size_t len = 0;

        for (int i = 0; i < parts; i++) {
            len += (size_t)snprintf(name + len, sizeof(name) - len, "part.");
        }
        snprintf(name + len, sizeof(name) - len, "ok.example");
        rig_ask(&r, &a, name, DNS_A);
        assert_int_equal(a.answer->status, parts == 16 ? DNS_FOUND : DNS_TEMPFAIL);
    }
    assert_non_null(memmem(a.answer->reason.ptr, a.answer->reason.len, "CNAMEs", 6));
    dns_answer_unref(a.answer);
    rig_close(&r);
}

/* Servers that are silent fill what is on the way, and the line behind it; urgent questions
 * are answered all the same. */
static void test_urgent(void **state)
{
    enum { SILENT = 40, LIMIT = 16 };
    static struct asked silent[SILENT];
    struct asked urgent = {0}, hurried = {0};
    struct dns_stats stats;
    struct rig r;
    char name[64];

    (void)state;
    if (!rig_open(&r, backend,
                  &(struct dns_resolver_options){
                      .servers = liar.servers, .inflight_max = LIMIT, .timeout_ms = 30000})) {
        return;
    }
    memset(silent, 0, sizeof(silent));
    for (int i = 0; i < SILENT; i++) {
        snprintf(name, sizeof(name), "silent.n%d.example", i);
        dns_ask(r.resolver, &silent[i].query, slice_cstr(name), DNS_A, asked_answered);
    }
    dns_resolver_stats(r.resolver, &stats);
    assert_int_equal(stats.inflight, LIMIT - LIMIT / 8);
    assert_int_equal(stats.queued, SILENT - (LIMIT - LIMIT / 8));
    dns_ask(r.resolver, &urgent.query, SLICE("ok.example"), DNS_A, asked_answered);
    assert_int_equal(urgent.calls, 0);
    dns_hurry(&urgent.query);
    dns_hurry(&urgent.query);
    rig_await(&r, &urgent, 1);
    assert_int_equal(urgent.answer->status, DNS_FOUND);
    dns_hurry(&urgent.query); /* harmless by now */
    /* One that joins a question in line takes it along. */
    dns_ask(r.resolver, &hurried.query, SLICE("ok.other.example"), DNS_A, asked_answered);
    dns_hurry(&hurried.query);
    rig_await(&r, &hurried, 1);
    dns_resolver_stats(r.resolver, &stats);
    assert_int_equal(stats.inflight, LIMIT - LIMIT / 8);
    dns_answer_unref(urgent.answer);
    dns_answer_unref(hurried.answer);
    rig_close(&r); /* forgets the silent ones, sent and in line */
    for (int i = 0; i < SILENT; i++) {
        assert_int_equal(silent[i].calls, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_next_server),
        cmocka_unit_test(test_no_server),
        cmocka_unit_test(test_resolv_conf),
        cmocka_unit_test(test_cache_and_joining),
        cmocka_unit_test(test_stale),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_close_in_mid_air),
        cmocka_unit_test(test_bursts),
        cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_cnames_one_by_one),
        cmocka_unit_test(test_urgent),
    };
    int failed;

    backend = IO_EPOLL;
    failed = cmocka_run_group_tests_name("dns/resolver (epoll)", tests, setup, teardown);
    backend = IO_URING;
    return failed + cmocka_run_group_tests_name("dns/resolver (io_uring)", tests, setup, teardown);
}
