/*
 * test_conn.c - connections as their path, their site and their host see them: families that
 * race, servers that hang up, trouble of our own, places, limits.
 */
#include "tests/unit/deliver/rig.h"

#include "engine/deliver/conn_int.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/resource.h>

static enum io_backend backend;

/* ---- racing ---- */

/* The first family is mute, the second one answers: one connection, one slot. */
static void test_race(void **state)
{
    struct mute mute;
    struct mta mta;
    struct rig r;

    (void)state;
    if (!mute_open(&mute, AF_INET6)) {
        print_message("not run: this machine has no IPv6 on its loopback\n");
        return;
    }
    if (!rig_open(&r, backend,
                  "dns: {families: prefer-ipv6}\n"
                  "limits: {default: {connections: 1, connections_per_host: 1}}\n")) {
        mute_close(&mute);
        return;
    }
    mta_open(&mta, r.io);
    struct site *s = site_get(r.d, SLICE("race.test"));
    site_bind(s, NULL, NULL);
    rig_hosts(
        s,
        (struct rig_address[]){{&mta.address, mta.address_len}, {&mute.address, mute.address_len}},
        2);
    rig_job(&r, s, "default", "");
    RIG_AWAIT(&r, r.d->conn_count == 1);
    assert_int_equal(rig_slots(s), 1);
    RIG_AWAIT(&r, r.d->conn_count == 2);
    assert_int_equal(rig_path(s)->connections, 1); /* the two are one, */
    assert_int_equal(s->total.connections.used, 1);
    assert_int_equal(s->hosts.host[0].connections.used, 1); /* but for their hosts */
    assert_int_equal(s->hosts.host[1].connections.used, 1);
    RIG_AWAIT(&r, r.queue.done == 1 && r.d->conn_count == 1);
    assert_int_equal(rig_slots(s), 1);
    assert_int_equal(s->hosts.host[0].connections.used, 1);
    assert_int_equal(s->hosts.host[1].connections.used, 0);
    assert_int_equal(s->hosts.host[1].failures, 0); /* slow is not broken */
    assert_int_equal(mta.accepted, 1);
    /* The next one does not wait for the mute address again. */
    conn_quit(CONTAINER_OF(list_first(&r.d->conns), struct conn, link));
    RIG_AWAIT(&r, r.d->conn_count == 0);
    rig_job(&r, s, "default", "");
    RIG_AWAIT(&r, r.queue.done == 2);
    assert_int_equal(r.d->stats.connects, 3);
    assert_non_null(strstr(r.queue.events.ptr, "\"ip\":\"127.0.0.1\""));
    mta_close(&mta);
    rig_close(&r);
    mute_close(&mute);
}

/* Neither answers, and then time is up, or the engine ends: nothing is left behind. */
static void test_race_without_winner(void **state)
{
    struct mute mute[2];
    struct rig r;

    (void)state;
    for (int drained = 0; drained < 2; drained++) {
        if (!mute_open(&mute[0], AF_INET6)) {
            return;
        }
        assert_true(mute_open(&mute[1], AF_INET));
        if (!rig_open(&r, backend, drained ? "" : "timeouts: {connect: 500ms}\n")) {
            mute_close(&mute[0]);
            mute_close(&mute[1]);
            return;
        }
        struct site *s = site_get(r.d, SLICE("mute.test"));
        site_bind(s, NULL, NULL);
        rig_hosts(s,
                  (struct rig_address[]){{&mute[0].address, mute[0].address_len},
                                         {&mute[1].address, mute[1].address_len}},
                  2);
        rig_job(&r, s, "default", "");
        RIG_AWAIT(&r, r.d->conn_count == 2);
        if (!drained) {
            RIG_AWAIT(&r, r.d->conn_count == 0);
            assert_int_equal(rig_slots(s), 0);
            assert_int_equal(s->hosts.host[0].failures, 1);
            assert_int_equal(s->hosts.host[1].failures, 1);
            assert_true(s->down);
            assert_int_equal(r.queue.parked, 1);
            assert_non_null(strstr(r.queue.sites.ptr, "\"state\":\"down\""));
        }
        rig_close(&r);
        mute_close(&mute[0]);
        mute_close(&mute[1]);
    }
}

/* The second family refuses at once: the first goes on as if nothing had been. */
static void test_race_against_nobody(void **state)
{
    struct sockaddr_storage nobody;
    socklen_t nobody_len;
    struct mute mute;
    struct rig r;

    (void)state;
    if (!mute_open(&mute, AF_INET6)) {
        return;
    }
    close(mta_socket(AF_INET, 1, &nobody, &nobody_len));
    if (!rig_open(&r, backend, "dns: {families: prefer-ipv6}\n")) {
        mute_close(&mute);
        return;
    }
    struct site *s = site_get(r.d, SLICE("half.test"));
    site_bind(s, NULL, NULL);
    rig_hosts(s, (struct rig_address[]){{&mute.address, mute.address_len}, {&nobody, nobody_len}},
              2);
    rig_job(&r, s, "default", "");
    RIG_AWAIT(&r, s->hosts.host[1].failures == 1 && r.d->conn_count == 1);
    assert_int_equal(rig_slots(s), 1);
    assert_int_equal(s->hosts.host[0].failures, 0);
    assert_int_equal(s->hosts.host[0].connections.used, 1);
    rig_close(&r);
    mute_close(&mute);
}

/* ---- servers that hang up ---- */

/* Closed just as we write MAIL on a connection that had worked: again on a new one, and no
 * attempt is counted. */
static void test_stale_close(void **state)
{
    struct mta mta;
    struct rig r;

    (void)state;
    if (!rig_open(&r, backend, "limits: {default: {connections: 1}}\n")) {
        return;
    }
    mta_open(&mta, r.io);
    mta.close_after = 1;
    struct site *s = rig_site(&r, "stale.test", &mta);
    for (unsigned n = 1; n <= 3; n++) {
        rig_job(&r, s, "default", "");
        RIG_AWAIT(&r, r.queue.done == n);
        RIG_AWAIT(&r, !list_empty(&r.d->idle_conns));
    }
    assert_int_equal(mta.accepted, 3);
    assert_int_equal(mta.letters, 3);
    assert_int_equal(r.queue.deferred, 0);
    assert_int_equal(s->hosts.host[0].failures, 0);
    for (const char *at = r.queue.events.ptr; (at = strstr(at, "\"attempt\":")) != NULL; at++) {
        assert_int_equal(at[10], '1');
    }
    mta_close(&mta);
    rig_close(&r);
}

/* It greets well, and hangs up at each MAIL: it rests longer every time. */
static void test_host_that_fails_at_mail(void **state)
{
    struct mta mta;
    struct rig r;

    (void)state;
    if (!rig_open(&r, backend, "")) {
        return;
    }
    mta_open(&mta, r.io);
    mta.close_at_mail = true;
    struct site *s = rig_site(&r, "mail.test", &mta);
    struct host *h = &s->hosts.host[0];
    for (unsigned n = 1; n <= 3; n++) {
        h->down_until_us = 0; /* the rest is over */
        rig_job(&r, s, "default", "");
        RIG_AWAIT(&r, r.queue.parked == n);
        assert_int_equal(h->failures, n);
        int64_t rest_us = h->down_until_us - deliver_now(r.d);
        assert_in_range(rest_us, (INT64_C(30) << (n - 1)) * 1000000 - 25000000,
                        (INT64_C(30) << (n - 1)) * 1000000);
    }
    assert_true(s->down);
    /* One letter through, and it is trusted again. */
    mta.close_at_mail = false;
    h->down_until_us = 0;
    rig_job(&r, s, "default", "");
    RIG_AWAIT(&r, r.queue.done == 1);
    assert_int_equal(h->failures, 0);
    assert_false(s->down);
    assert_non_null(strstr(r.queue.sites.ptr, "\"state\":\"up\""));
    mta_close(&mta);
    rig_close(&r);
}

/* ---- trouble of our own ---- */

/* An address that is not this machine's: its source rests, the host does not. */
static void test_foreign_source(void **state)
{
    struct mta mta;
    struct rig r;

    (void)state;
    if (!rig_open(&r, backend,
                  "sources: {a: {address: 198.51.100.7}, b: {address: 127.0.0.1}}\n")) {
        return;
    }
    mta_open(&mta, r.io);
    struct site *s = rig_site(&r, "local.test", &mta);
    const struct conf_source *a = conf_source_find(r.d->conf, SLICE("a"));
    const struct conf_source *b = conf_source_find(r.d->conf, SLICE("b"));
    rig_job(&r, s, "a", "");
    RIG_AWAIT(&r, r.queue.parked == 1); /* where another source can take it */
    assert_int_equal(s->hosts.host[0].failures, 0);
    assert_false(s->down);
    assert_int_equal(rig_slots(s), 0);
    assert_true(local_until_us(r.d, a) > deliver_now(r.d));
    assert_true(local_until_us(r.d, b) < deliver_now(r.d));
    rig_job(&r, s, "b", "");
    RIG_AWAIT(&r, r.queue.done == 1);
    assert_true(local_until_us(r.d, a) > 0); /* b's success says nothing of a */
    mta_close(&mta);
    rig_close(&r);
}

/* No address to come from, to a host of IPv6: the fault of the source that was given one, else
 * of this machine, which has IPv4 left. */
static void test_no_ipv6_here(void **state)
{
    struct mute mute;
    struct mta mta;
    struct rig r;

    (void)state;
    for (int given = 0; given < 2; given++) {
        if (!mute_open(&mute, AF_INET6)) {
            return;
        }
        if (!rig_open(&r, backend,
                      given ? "sources: {a: {address: 127.0.0.1, address6: \"::1\"}}\n"
                              "dns: {families: prefer-ipv6}\n"
                            : "sources: {a: {}}\ndns: {families: prefer-ipv6}\n")) {
            mute_close(&mute);
            return;
        }
        mta_open(&mta, r.io);
        struct site *s = site_get(r.d, SLICE("six.test"));
        site_bind(s, NULL, NULL);
        rig_hosts(s,
                  (struct rig_address[]){{&mute.address, mute.address_len},
                                         {&mta.address, mta.address_len}},
                  2);
        rig_job(&r, s, "a", "");
        RIG_AWAIT(&r, r.d->conn_count == 1);
        struct conn *c = CONTAINER_OF(list_first(&r.d->conns), struct conn, link);
        conn_wire_ops.on_open(&c->wire, ERR_NOADDR);
        assert_int_equal(s->hosts.host[0].failures, given ? 0 : 1);
        assert_int_equal(r.d->local_troubles.count, given);
        RIG_AWAIT(&r, r.queue.done == 1 || (given && r.queue.parked == 1));
        mta_close(&mta);
        rig_close(&r);
        mute_close(&mute);
    }
}

static unsigned descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    while (readdir(dir) != NULL) {
        count++;
    }
    closedir(dir);
    return count;
}

/* Out of descriptors: nobody is blamed, and it goes on when there are some again. */
static void test_no_descriptors(void **state)
{
    struct rlimit before, tight;
    struct mta mta;
    struct rig r;

    (void)state;
    if (!rig_open(&r, backend, "")) {
        return;
    }
    mta_open(&mta, r.io);
    struct site *s = rig_site(&r, "fd.test", &mta);
    getrlimit(RLIMIT_NOFILE, &before);
    tight = before;
    tight.rlim_cur = 3; /* all numbers below are in use */
    assert_true(descriptors() > 3);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    rig_job(&r, s, "default", "");
    RIG_AWAIT(&r, r.queue.parked == 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(s->hosts.host[0].failures, 0);
    assert_int_equal(rig_slots(s), 0);
    RIG_AWAIT(&r, local_until_us(r.d, rig_path(s)->source) < deliver_now(r.d));
    rig_job(&r, s, "default", "");
    RIG_AWAIT(&r, r.queue.done == 1);
    assert_int_equal(r.d->local_troubles.count, 0);
    mta_close(&mta);
    rig_close(&r);
}

/* Each family has its address; where a source has only the other one, the kernel chooses. */
static void test_source_addresses(void **state)
{
    static const char *const rows[][2] = {
        {"one", "127.0.0.2"}, {"both", "127.0.0.3"}, {"six", "127.0.0.1"}, {"any", "127.0.0.1"}};
    struct mta mta;
    struct rig r;

    (void)state;
    if (!rig_open(&r, backend,
                  "sources: {one: {address: 127.0.0.2}, six: {address: \"::1\"}, any: {},\n"
                  "          both: {address: 127.0.0.3, address6: \"::1\"}}\n")) {
        return;
    }
    mta_open(&mta, r.io);
    struct site *s = rig_site(&r, "sources.test", &mta);
    for (unsigned i = 0; i < 4; i++) {
        rig_job(&r, s, rows[i][0], "");
        RIG_AWAIT(&r, r.queue.done == i + 1);
        assert_string_equal(mta.peer, rows[i][1]);
    }
    mta_close(&mta);
    rig_close(&r);
}

/* ---- places and limits ---- */

/* Idle connections make room, and there are never more than may be: rig_tick() looks. */
static void test_places(void **state)
{
    enum { SITES = 12, PLACES = 4 };
    struct mta mta;
    struct rig r;
    char key[32];

    (void)state;
    if (!rig_open(&r, backend, "limits: {default: {connections: 1}}\n")) {
        return;
    }
    mta_open(&mta, r.io);
    r.d->conns_max = PLACES;
    for (int i = 0; i < SITES; i++) {
        snprintf(key, sizeof(key), "place%d.test", i);
        rig_job(&r, rig_site(&r, key, &mta), "default", i % 2 ? "" : "none");
    }
    RIG_AWAIT(&r, r.queue.done == SITES);
    RIG_AWAIT(&r, r.d->evicting == 0);
    assert_true(list_empty(&r.d->roomless));
    mta_close(&mta);
    rig_close(&r);
}

/* Two levels of TLS are two paths of one (site, source): its limit holds for both together. */
static void test_levels_share_limits(void **state)
{
    struct mta mta;
    struct rig r;

    (void)state;
    if (!rig_open(&r, backend, "limits: {default: {connections: 2}}\n")) {
        return;
    }
    mta_open(&mta, r.io);
    mta.hold_dot = true;
    struct site *s = rig_site(&r, "levels.test", &mta);
    s->proven = true;
    for (int i = 0; i < 12; i++) {
        rig_job(&r, s, "default", i % 2 ? "none" : "may");
    }
    RIG_AWAIT(&r, rig_slots(s) == 2);
    for (int i = 0; i < 20; i++) {
        rig_tick(&r);
        assert_int_equal(rig_slots(s), 2);
    }
    mta_release(&mta);
    RIG_AWAIT(&r, r.queue.done == 12);
    assert_true(mta.most <= 3); /* one may be saying good-bye */
    mta_close(&mta);
    rig_close(&r);
}

/* Two sources, one connection in all: both get their turn. */
static void test_sources_share_the_total(void **state)
{
    struct mta mta;
    struct rig r;

    (void)state;
    if (!rig_open(&r, backend,
                  "sources: {a: {address: 127.0.0.1}, b: {address: 127.0.0.2}}\n"
                  "limits: {default: {total: {connections: 1}}}\n"
                  "timeouts: {idle: 100ms}\n")) {
        return;
    }
    mta_open(&mta, r.io);
    struct site *s = rig_site(&r, "total.test", &mta);
    for (int i = 0; i < 10; i++) {
        rig_job(&r, s, i % 2 ? "a" : "b", "");
    }
    while (r.queue.done < 10) {
        RIG_AWAIT(&r, r.queue.done == 10 || s->total.connections.used > 0);
        assert_true(rig_slots(s) <= 1);
        rig_tick(&r);
    }
    mta_close(&mta);
    rig_close(&r);
}

/* A host that leaves the set and comes back finds its open connections counted. */
static void test_slots_when_hosts_come_and_go(void **state)
{
    struct mta mta, other;
    struct rig r;

    (void)state;
    if (!rig_open(&r, backend, "limits: {default: {connections_per_host: 1}}\n")) {
        return;
    }
    mta_open(&mta, r.io);
    mta_open(&other, r.io);
    mta.hold_dot = true;
    struct site *s = rig_site(&r, "moving.test", &mta);
    rig_job(&r, s, "default", "");
    RIG_AWAIT(&r, mta.accepted == 1 && !list_empty(&mta.open) &&
                      CONTAINER_OF(list_first(&mta.open), struct mta_conn, link)->held);
    struct rig_address at = {&other.address, other.address_len};
    rig_hosts(s, &at, 1); /* left */
    assert_int_equal(s->hosts.count, 2);
    rig_job(&r, s, "default", "");
    RIG_AWAIT(&r, r.queue.done == 1); /* a stuck letter does not hold up the next one for long */
    assert_int_equal(other.letters, 1);
    assert_int_equal(rig_slots(s), 2);
    at = (struct rig_address){&mta.address, mta.address_len};
    rig_hosts(s, &at, 1); /* and came back, with its connection: no second one */
    rig_job(&r, s, "default", "");
    for (int i = 0; i < 20; i++) {
        rig_tick(&r);
        assert_int_equal(mta.accepted, 1);
    }
    mta_release(&mta);
    RIG_AWAIT(&r, r.queue.done == 3);
    mta_close(&mta);
    mta_close(&other);
    RIG_AWAIT(&r, r.d->conn_count == 0);
    assert_int_equal(rig_slots(s), 0);
    rig_close(&r);
}

/* A reload lowers the limit: connections above it end, with work waiting or not. */
static void test_lower_limit(void **state)
{
    struct mta mta;
    struct rig r;

    (void)state;
    if (!rig_open(&r, backend, "limits: {default: {connections: 3}}\n")) {
        return;
    }
    mta_open(&mta, r.io);
    mta.hold_dot = true;
    struct site *s = rig_site(&r, "lower.test", &mta);
    s->proven = true;
    for (int i = 0; i < 16; i++) {
        rig_job(&r, s, "default", "");
    }
    RIG_AWAIT(&r, rig_slots(s) == 3); /* nothing moves: one more each second */
    char yaml[128];
    snprintf(yaml, sizeof(yaml), "sink: 127.0.0.1:%u\nlimits: {default: {connections: 1}}\n",
             ntohs(((struct sockaddr_in *)(void *)&mta.address)->sin_port));
    struct conf *conf = rig_conf(yaml);
    deliver_configure(r.d, conf);
    conf_unref(conf);
    assert_int_equal(s->total.connections.used, 3);
    mta_release(&mta);
    RIG_AWAIT(&r, r.queue.done + r.queue.parked == 16);
    RIG_AWAIT(&r, rig_slots(s) <= 1);
    mta_close(&mta);
    rig_close(&r);
}

/* The engine ends with letters on the wire: those finish, what waits goes back. */
static void test_drain(void **state)
{
    struct mta mta;
    struct rig r;

    (void)state;
    if (!rig_open(&r, backend, "limits: {default: {connections: 1, pipeline: commands}}\n")) {
        return;
    }
    mta_open(&mta, r.io);
    mta.hold_dot = true;
    struct site *s = rig_site(&r, "drain.test", &mta);
    for (int i = 0; i < 3; i++) {
        rig_job(&r, s, "default", "");
    }
    RIG_AWAIT(&r, !list_empty(&mta.open) &&
                      CONTAINER_OF(list_first(&mta.open), struct mta_conn, link)->held);
    deliver_close(r.d, INT64_C(60) * 1000000);
    for (int i = 0; i < 5; i++) {
        rig_tick(&r);
    }
    assert_false(r.closed);
    assert_int_equal(r.queue.returned, 2);
    mta_release(&mta);
    RIG_AWAIT(&r, r.closed);
    assert_int_equal(r.queue.done, 1);
    mta_close(&mta);
    rig_close(&r);
}

/* Nothing new is sent while the lease is in doubt, neither to new connections nor on those that
 * stand ready; what was on the wire ends; and when it is sure again all goes on. */
static void test_lease_in_doubt(void **state)
{
    struct mta mta;
    struct rig r;

    (void)state;
    if (!rig_open(&r, backend, "limits: {default: {connections: 1, pipeline: commands}}\n")) {
        return;
    }
    mta_open(&mta, r.io);
    mta.hold_dot = true;
    struct site *s = rig_site(&r, "doubt.test", &mta);
    rig_job(&r, s, "default", "");
    RIG_AWAIT(&r, !list_empty(&mta.open) &&
                      CONTAINER_OF(list_first(&mta.open), struct mta_conn, link)->held);
    r.queue.doubt = true;
    rig_job(&r, s, "default", "");
    rig_job(&r, rig_site(&r, "other.test", &mta), "default", "");
    mta_release(&mta);
    RIG_AWAIT(&r, r.queue.done == 1);
    for (int i = 0; i < 20; i++) {
        rig_tick(&r);
    }
    assert_int_equal(mta.letters, 1);
    assert_int_equal(mta.accepted, 1);
    assert_int_equal(r.d->jobs, 2);
    r.queue.doubt = false;
    RIG_AWAIT(&r, r.queue.done == 3);
    assert_int_equal(mta.letters, 3);
    mta_close(&mta);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest on_both[] = {
        cmocka_unit_test(test_race),
        cmocka_unit_test(test_race_without_winner),
        cmocka_unit_test(test_race_against_nobody),
        cmocka_unit_test(test_stale_close),
        cmocka_unit_test(test_foreign_source),
        cmocka_unit_test(test_no_ipv6_here),
        cmocka_unit_test(test_no_descriptors),
        cmocka_unit_test(test_drain),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host_that_fails_at_mail),
        cmocka_unit_test(test_source_addresses),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_levels_share_limits),
        cmocka_unit_test(test_sources_share_the_total),
        cmocka_unit_test(test_slots_when_hosts_come_and_go),
        cmocka_unit_test(test_lower_limit),
        cmocka_unit_test(test_lease_in_doubt),
    };
    int failed;

    backend = IO_EPOLL;
    failed = cmocka_run_group_tests_name("deliver/conn", tests, NULL, NULL);
    failed += cmocka_run_group_tests_name("deliver/conn (epoll)", on_both, NULL, NULL);
    backend = IO_URING;
    return failed + cmocka_run_group_tests_name("deliver/conn (io_uring)", on_both, NULL, NULL);
}
