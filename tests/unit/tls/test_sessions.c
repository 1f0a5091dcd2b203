/*
 * test_sessions.c - resumption: single use, bounds, and what must not be mixed.
 */
#include "tests/unit/tls/pair.h"

#include <stdio.h>

enum { WHOLE = 1 << 30, TLS12 = 0x0303, TLS13 = 0x0304 };

/* A connection that says something, so that tickets arrive; was it resumed? */
static bool connect_once(struct tls_context *client, struct tls_context *server, const char *host,
                         const char *key)
{
    struct tls_stream_options options = {.host = slice_cstr(host), .session_key = slice_cstr(key)};
    struct tls_info info;
    struct pair p;

    pair_open(&p, client, server, &options);
    pair_pump(&p, WHOLE);
    assert_int_equal(tls_stream_state(p.client), TLS_OPEN);
    pair_write(p.server, &p.to_client, SLICE("220 ready\r\n"));
    pair_pump(&p, WHOLE);
    assert_text(&p.client_plain, "220 ready\r\n");
    tls_stream_info(p.client, &info);
    pair_close(&p);
    return info.resumed;
}

struct fixture {
    struct tls_sessions *store;
    struct authority a;
    struct tls_context *client, *server;
};

static void fixture_open(struct fixture *f, size_t keys_max, unsigned version)
{
    f->store = tls_sessions_new(keys_max);
    authority_make(&f->a, "mx.example,mx2.example", 0, 0);
    f->client = authority_client(&f->a, f->store);
    f->server = authority_server(&f->a);
    tls_context_set_versions(f->client, version, version);
}

static void fixture_close(struct fixture *f)
{
    tls_context_free(f->client);
    tls_context_free(f->server);
    tls_sessions_free(f->store);
    authority_drop(&f->a);
}

static void test_tls13_tickets_are_used_once(void **state)
{
    struct fixture f;
    size_t held;

    (void)state;
    fixture_open(&f, 0, TLS13);
    assert_false(connect_once(f.client, f.server, "mx.example", "k"));
    held = tls_sessions_count(f.store);
    assert_in_range(held, 1, TLS_TICKETS_MAX);
    for (int i = 0; i < 10; i++) {
        assert_true(connect_once(f.client, f.server, "mx.example", "k"));
        assert_true(tls_sessions_count(f.store) <= TLS_TICKETS_MAX);
    }
    fixture_close(&f);
}

/* Taken by a connection that failed: not there any more for the next. */
static void test_ticket_is_gone_after_use(void **state)
{
    struct tls_stream_options options = {.host = SLICE("mx.example"), .session_key = SLICE("k")};
    struct fixture f;
    struct pair p;

    (void)state;
    fixture_open(&f, 0, TLS13);
    connect_once(f.client, f.server, "mx.example", "k");
    while (tls_sessions_count(f.store) > 0) {
        size_t before = tls_sessions_count(f.store);

        pair_open(&p, f.client, f.server, &options);
        assert_int_equal(tls_sessions_count(f.store), before - 1);
        pair_close(&p);
    }
    assert_false(connect_once(f.client, f.server, "mx.example", "k"));
    fixture_close(&f);
}

static void test_tls12_session_is_reused(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f, 0, TLS12);
    assert_false(connect_once(f.client, f.server, "mx.example", "k"));
    for (int i = 0; i < 5; i++) {
        assert_true(connect_once(f.client, f.server, "mx.example", "k"));
        assert_int_equal(tls_sessions_count(f.store), 1);
    }
    fixture_close(&f);
}

/* Verification is part of the session; so is the name, and who vouched for it. */
static void test_not_mixed(void **state)
{
    struct fixture f;
    struct tls_context *lax, *reloaded;

    (void)state;
    fixture_open(&f, 0, TLS13);
    lax = tls_context_new_client(&(struct tls_client_options){.sessions = f.store});
    reloaded = authority_client(&f.a, f.store);
    assert_false(connect_once(lax, f.server, "mx.example", "k"));
    assert_false(connect_once(f.client, f.server, "mx.example", "k"));
    assert_false(connect_once(f.client, f.server, "mx2.example", "k"));
    assert_false(connect_once(f.client, f.server, "mx.example", "other"));
    assert_false(connect_once(reloaded, f.server, "mx.example", "k"));
    assert_false(connect_once(f.client, f.server, "mx.example", ""));
    assert_true(connect_once(f.client, f.server, "mx.example", "k"));
    assert_true(connect_once(lax, f.server, "mx.example", "k"));
    tls_context_free(lax);
    tls_context_free(reloaded);
    fixture_close(&f);
}

static void test_verified_is_remembered(void **state)
{
    struct tls_stream_options options = {.host = SLICE("mx.example"), .session_key = SLICE("k")};
    struct fixture f;
    struct tls_info info;
    struct pair p;

    (void)state;
    fixture_open(&f, 0, TLS13);
    connect_once(f.client, f.server, "mx.example", "k");
    pair_open(&p, f.client, f.server, &options);
    pair_pump(&p, WHOLE);
    tls_stream_info(p.client, &info);
    assert_true(info.resumed);
    assert_true(info.verified);
    pair_close(&p);
    fixture_close(&f);
}

static void test_bounded(void **state)
{
    struct fixture f;
    char key[16];

    (void)state;
    fixture_open(&f, 4, TLS13);
    for (int i = 0; i < 12; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        assert_false(connect_once(f.client, f.server, "mx.example", key));
        assert_true(connect_once(f.client, f.server, "mx.example", "k0")); /* in use: stays */
        assert_true(tls_sessions_count(f.store) <= 4 * TLS_TICKETS_MAX);
    }
    assert_false(connect_once(f.client, f.server, "mx.example", "k1"));
    fixture_close(&f);
}

/* A server that came back with other keys: a full handshake, without a fault. */
static void test_server_forgot(void **state)
{
    struct tls_context *again;
    struct fixture f;

    (void)state;
    fixture_open(&f, 0, TLS13);
    connect_once(f.client, f.server, "mx.example", "k");
    again = authority_server(&f.a);
    assert_false(connect_once(f.client, again, "mx.example", "k"));
    tls_context_free(again);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tls13_tickets_are_used_once),
        cmocka_unit_test(test_ticket_is_gone_after_use),
        cmocka_unit_test(test_tls12_session_is_reused),
        cmocka_unit_test(test_not_mixed),
        cmocka_unit_test(test_verified_is_remembered),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_server_forgot),
    };

    return cmocka_run_group_tests_name("tls/sessions", tests, NULL, NULL);
}
