/*
 * test_stream.c - handshakes, data, ends and faults of a TLS stream.
 */
#include "tests/unit/tls/pair.h"

#include "engine/base/mem.h"
#include "engine/base/rng.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

enum { TLS12 = 0x0303, TLS13 = 0x0304, WHOLE = 1 << 30 };

static struct tls_context *server_ctx, *client_ctx;
static const struct tls_stream_options here = {.host = {"mx.example", 10}};

static int setup(void **state)
{
    (void)state;
    server_ctx = tls_context_new_server_selfsigned(SLICE("mx.example"));
    client_ctx = tls_context_new_client(&(struct tls_client_options){.trust = NULL});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tls_context_free(server_ctx);
    tls_context_free(client_ctx);
    return 0;
}

static struct tls_context *client_at(unsigned version)
{
    struct tls_context *ctx = tls_context_new_client(&(struct tls_client_options){.trust = NULL});

    tls_context_set_versions(ctx, version, version);
    return ctx;
}

static void test_versions(void **state)
{
    static const struct {
        unsigned version;
        const char *name;
    } rows[] = {{TLS12, "TLSv1.2"}, {TLS13, "TLSv1.3"}};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct tls_context *ctx = client_at(rows[i].version);
        struct tls_info info;
        struct pair p;

        pair_open(&p, ctx, server_ctx, &here);
        assert_int_equal(tls_stream_state(p.client), TLS_HANDSHAKE);
        pair_pump(&p, WHOLE);
        assert_int_equal(tls_stream_state(p.client), TLS_OPEN);
        assert_int_equal(tls_stream_state(p.server), TLS_OPEN);
        tls_stream_info(p.client, &info);
        assert_string_equal(info.version, rows[i].name);
        assert_string_equal(info.group, "X25519");
        assert_true(strlen(info.cipher) > 4);
        assert_false(info.verified);
        assert_false(info.resumed);
        pair_write(p.client, &p.to_server, SLICE("EHLO a\r\n"));
        pair_write(p.server, &p.to_client, SLICE("250 b\r\n"));
        pair_pump(&p, WHOLE);
        assert_text(&p.server_plain, "EHLO a\r\n");
        assert_text(&p.client_plain, "250 b\r\n");
        pair_close(&p);
        tls_context_free(ctx);
    }
}

/* The server's bytes, handshake and data, cut in two at every place. */
static void split_at(struct tls_context *ctx, size_t cut, size_t *total)
{
    struct pair p;
    size_t seen = 0;

    pair_open(&p, ctx, server_ctx, &here);
    for (;;) {
        pair_move(p.server, &p.to_server, WHOLE, &p.server_plain, &p.to_client, &p.server_err);
        if (tls_stream_state(p.server) == TLS_OPEN && p.server_plain.len == 0) {
            pair_write(p.server, &p.to_client, SLICE("220 ready\r\n"));
            buf_putc(&p.server_plain, '.');
        }
        if (p.to_client.len == 0) {
            break;
        }
        while (p.to_client.len > 0) {
            size_t step = seen < cut && cut < seen + p.to_client.len ? cut - seen : WHOLE;

            seen += pair_move(p.client, &p.to_client, step, &p.client_plain, &p.to_server,
                              &p.client_err);
        }
    }
    assert_int_equal(p.client_err, 0);
    assert_int_equal(tls_stream_state(p.client), TLS_OPEN);
    assert_text(&p.client_plain, "220 ready\r\n");
    *total = seen;
    pair_close(&p);
}

static void test_every_split(void **state)
{
    (void)state;
    for (unsigned version = TLS12; version <= TLS13; version++) {
        struct tls_context *ctx = client_at(version);
        size_t total = 2;

        for (size_t cut = 1; cut < total; cut++) {
            split_at(ctx, cut, &total);
        }
        assert_true(total > 300);
        tls_context_free(ctx);
    }
}

static void test_byte_by_byte(void **state)
{
    struct pair p;

    (void)state;
    pair_open(&p, client_ctx, server_ctx, &here);
    pair_pump(&p, 1);
    pair_write(p.server, &p.to_client, SLICE("220 ready\r\n"));
    pair_pump(&p, 1);
    assert_text(&p.client_plain, "220 ready\r\n");
    pair_close(&p);
}

/* 10 MB in pieces of all sizes arrive as they were, in full records. */
static void test_large_write(void **state)
{
    enum { TOTAL = 10 << 20, PIECES = 700 };
    struct iovec iov[PIECES];
    char *bytes = mem_alloc(TOTAL);
    struct rng rng;
    size_t used = 0;
    struct pair p;

    (void)state;
    rng_seed(&rng, 7);
    for (size_t i = 0; i < TOTAL; i++) {
        bytes[i] = (char)(i * 2654435761u >> 13);
    }
    for (size_t i = 0; i < PIECES; i++) {
        size_t len = i % 3 == 0 ? rng_below(&rng, 40) : rng_below(&rng, 40000);

        len = i == PIECES - 1 || len > TOTAL - used ? TOTAL - used : len;
        iov[i] = (struct iovec){bytes + used, len};
        used += len;
    }
    pair_open(&p, client_ctx, server_ctx, &here);
    pair_pump(&p, WHOLE);
    assert_int_equal(tls_stream_write(p.client, iov, PIECES, &p.to_server), 0);
    assert_true(p.to_server.len < TOTAL + TOTAL / 500);
    /* As a socket would deliver it. */
    for (size_t at = 0; at < p.to_server.len; at += 60000) {
        size_t len = p.to_server.len - at < 60000 ? p.to_server.len - at : 60000;

        assert_int_equal(tls_stream_feed(p.server, slice_of(p.to_server.ptr + at, len),
                                         &p.server_plain, &p.to_client),
                         0);
    }
    assert_int_equal(p.server_plain.len, TOTAL);
    assert_memory_equal(p.server_plain.ptr, bytes, TOTAL);
    pair_close(&p);
    mem_free(bytes);
}

static void test_small_pieces_share_a_record(void **state)
{
    struct iovec iov[] = {{"MAIL FROM:<a@b>\r\n", 17}, {"", 0}, {"RCPT TO:<c@d>\r\n", 15}};
    struct pair p;
    size_t before;

    (void)state;
    pair_open(&p, client_ctx, server_ctx, &here);
    pair_pump(&p, WHOLE);
    before = p.to_server.len;
    assert_int_equal(tls_stream_write(p.client, iov, 3, &p.to_server), 0);
    assert_in_range(p.to_server.len - before, 32 + 5, 32 + 40);
    pair_pump(&p, WHOLE);
    assert_text(&p.server_plain, "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n");
    pair_close(&p);
}

static void test_close_notify(void **state)
{
    struct pair p;

    (void)state;
    pair_open(&p, client_ctx, server_ctx, &here);
    pair_pump(&p, WHOLE);
    pair_write(p.server, &p.to_client, SLICE("221 bye\r\n"));
    tls_stream_close(p.server, &p.to_client);
    tls_stream_close(p.server, &p.to_client);
    pair_pump(&p, WHOLE);
    assert_text(&p.client_plain, "221 bye\r\n");
    assert_int_equal(tls_stream_state(p.client), TLS_PEER_CLOSED);
    assert_int_equal(tls_stream_end(p.client), 0);
    /* Writing still works (a half-closed connection), reading gives nothing more. */
    pair_write(p.client, &p.to_server, SLICE("QUIT\r\n"));
    assert_int_equal(tls_stream_feed(p.client, SLICE("junk"), &p.client_plain, &p.to_server), 0);
    assert_text(&p.client_plain, "221 bye\r\n");
    pair_close(&p);
}

static void test_truncation(void **state)
{
    struct pair p;

    (void)state;
    pair_open(&p, client_ctx, server_ctx, &here);
    assert_int_equal(tls_stream_end(p.client), ERR_TLS);
    assert_string_equal(tls_stream_error(p.client), "connection closed during the TLS handshake");
    assert_int_equal(tls_stream_cause(p.client), TLS_CAUSE_TRUNCATED);
    pair_close(&p);

    pair_open(&p, client_ctx, server_ctx, &here);
    pair_pump(&p, WHOLE);
    assert_int_equal(tls_stream_end(p.client), ERR_TLS);
    assert_string_equal(tls_stream_error(p.client), "connection closed without TLS close_notify");
    assert_int_equal(tls_stream_state(p.client), TLS_FAILED);
    /* A failed stream stays failed and harmless. */
    tls_stream_close(p.client, &p.to_server);
    assert_int_equal(tls_stream_feed(p.client, SLICE("x"), &p.client_plain, &p.to_server), ERR_TLS);
    assert_int_equal(tls_stream_end(p.client), ERR_TLS);
    pair_close(&p);
}

/* What stands where the ServerHello should: the error says what is wrong. */
static void test_not_tls(void **state)
{
    static const struct {
        struct slice bytes;
        enum tls_cause cause;
        const char *text;
    } rows[] = {
        {SLICE("220 mx.example ESMTP\r\n"), TLS_CAUSE_PROTOCOL, "does not speak TLS"},
        {SLICE("HTTP/1.1 400 Bad Request\r\n"), TLS_CAUSE_PROTOCOL, "does not speak TLS"},
        {SLICE("\x15\x03\x01\x00\x02\x02\x28"), TLS_CAUSE_ALERT, "handshake failure"},
        {SLICE("\x15\x03\x01\x00\x02\x02\x46"), TLS_CAUSE_ALERT, "none of our TLS versions"},
        {SLICE("\x15\x03\x01\x00\x02\x02\x50"), TLS_CAUSE_ALERT, "internal error"},
        {SLICE("\x16\x03\x03\xff\xff"), TLS_CAUSE_PROTOCOL, "longer than TLS allows"},
        {SLICE("\x17\x03\x03\x00\x01x"), TLS_CAUSE_PROTOCOL, "wrong kind"},
        {SLICE("\x16\x03\x03\x00\x04\x0e\x00\x00\x00"), TLS_CAUSE_PROTOCOL, "out of order"},
        {SLICE("\x16\x03\x03\x00\x04\x02\xff\xff\xff"), TLS_CAUSE_PROTOCOL, "too large"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct pair p;

        pair_open(&p, client_ctx, server_ctx, &here);
        assert_int_equal(tls_stream_feed(p.client, rows[i].bytes, &p.client_plain, &p.to_server),
                         ERR_TLS);
        if (strstr(tls_stream_error(p.client), rows[i].text) == NULL) {
            fail_msg("row %zu: '%s' lacks '%s'", i, tls_stream_error(p.client), rows[i].text);
        }
        assert_int_equal(tls_stream_cause(p.client), rows[i].cause);
        assert_int_equal(p.client_plain.len, 0);
        pair_close(&p);
    }
}

/* Any one byte of the server's flights flipped never crashes and never passes for good when
 * it was under protection. */
static void test_flipped_bytes(void **state)
{
    struct pair p;
    size_t flights;

    (void)state;
    pair_open(&p, client_ctx, server_ctx, &here);
    pair_move(p.server, &p.to_server, WHOLE, &p.server_plain, &p.to_client, &p.server_err);
    flights = p.to_client.len;
    pair_close(&p);
    for (size_t at = 0; at + 40 < flights; at += 3) {
        pair_open(&p, client_ctx, server_ctx, &here);
        pair_move(p.server, &p.to_server, WHOLE, &p.server_plain, &p.to_client, &p.server_err);
        p.to_client.ptr[at] = (char)(p.to_client.ptr[at] ^ 0x41);
        pair_pump(&p, WHOLE);
        assert_false(tls_stream_state(p.client) == TLS_OPEN &&
                     tls_stream_state(p.server) == TLS_OPEN);
        pair_close(&p);
    }
}

static void test_damaged_record(void **state)
{
    struct pair p;

    (void)state;
    pair_open(&p, client_ctx, server_ctx, &here);
    pair_pump(&p, WHOLE);
    pair_write(p.server, &p.to_client, SLICE("250 first\r\n"));
    pair_write(p.server, &p.to_client, SLICE("250 second\r\n"));
    p.to_client.ptr[p.to_client.len - 1] ^= 1;
    pair_pump(&p, WHOLE);
    assert_int_equal(p.client_err, ERR_TLS);
    assert_text(&p.client_plain, "250 first\r\n"); /* what was good was handed out */
    assert_string_equal(tls_stream_error(p.client),
                        "a record from the peer was damaged on the way (bad record MAC)");
    /* The alert told the server. */
    assert_int_equal(p.server_err, ERR_TLS);
    assert_int_equal(tls_stream_cause(p.server), TLS_CAUSE_ALERT);
    pair_close(&p);
}

static void test_no_common_version(void **state)
{
    struct tls_context *old = client_at(TLS12);
    struct tls_context *modern = tls_context_new_server_selfsigned(SLICE("mx.example"));
    struct pair p;

    (void)state;
    tls_context_set_versions(modern, TLS13, TLS13);
    pair_open(&p, old, modern, &here);
    pair_pump(&p, WHOLE);
    assert_int_equal(p.client_err, ERR_TLS);
    assert_non_null(strstr(tls_stream_error(p.client), "none of our TLS versions"));
    assert_non_null(strstr(tls_stream_error(p.server), "no TLS version in common"));
    pair_close(&p);
    tls_context_free(modern);
    tls_context_free(old);
}

static void test_tls10_is_refused_unless_allowed(void **state)
{
    struct tls_context *old = tls_context_new_server_selfsigned(SLICE("mx.example"));
    struct tls_context *lax =
        tls_context_new_client(&(struct tls_client_options){.trust = NULL, .allow_tls10 = true});
    struct pair p;

    (void)state;
    tls_context_set_versions(old, 0x0301, 0x0301);
    pair_open(&p, client_ctx, old, &here);
    pair_pump(&p, WHOLE);
    assert_int_equal(tls_stream_state(p.client), TLS_FAILED);
    pair_close(&p);
    pair_open(&p, lax, old, &here);
    pair_pump(&p, WHOLE);
    assert_int_equal(tls_stream_state(p.client), TLS_OPEN);
    pair_close(&p);
    tls_context_free(lax);
    tls_context_free(old);
}

/* Server name: sent for names, not for addresses; no final dot. */
static void test_sni(void **state)
{
    static const struct {
        const char *host;
        const char *sent; /* NULL: none */
    } rows[] = {
        {"mx.example", "mx.example"},
        {"mx.example.", "mx.example"},
        {"192.0.2.1", NULL},
        {"2001:db8::1", NULL},
        {"", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct tls_stream_options options = {.host = slice_cstr(rows[i].host)};
        const char *look = rows[i].sent != NULL ? rows[i].sent : rows[i].host;
        struct pair p;
        bool found;

        pair_open(&p, client_ctx, server_ctx, &options);
        found =
            *look != '\0' && memmem(p.to_server.ptr, p.to_server.len, look, strlen(look)) != NULL;
        assert_int_equal(found, rows[i].sent != NULL);
        pair_pump(&p, WHOLE);
        assert_int_equal(tls_stream_state(p.client), TLS_OPEN);
        pair_close(&p);
    }
}

static void test_reduced_groups_fit_one_segment(void **state)
{
    struct tls_stream_options options = here;
    struct pair p;

    (void)state;
    options.reduced_groups = true;
    pair_open(&p, client_ctx, server_ctx, &options);
    assert_true(p.to_server.len < 1200);
    pair_pump(&p, WHOLE);
    assert_int_equal(tls_stream_state(p.client), TLS_OPEN);
    pair_close(&p);
}

static void test_idle_memory(void **state)
{
    enum { COUNT = 100 };
    static struct pair pairs[COUNT];
    struct mallinfo2 with, without;

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        pair_open(&pairs[i], client_ctx, server_ctx, &here);
        pair_pump(&pairs[i], WHOLE);
        pair_write(pairs[i].client, &pairs[i].to_server, SLICE("EHLO a\r\n"));
        pair_pump(&pairs[i], WHOLE);
    }
    with = mallinfo2();
    for (size_t i = 0; i < COUNT; i++) {
        tls_stream_free(pairs[i].client);
        pairs[i].client = NULL;
    }
    without = mallinfo2();
    if (with.uordblks == 0) {
        print_message("memory of an idle stream: not measured under this allocator\n");
    } else {
        size_t each = (with.uordblks - without.uordblks) / COUNT;

        print_message("memory of an idle client stream: %zu bytes\n", each);
        assert_true(each < 8192);
    }
    for (size_t i = 0; i < COUNT; i++) {
        pair_close(&pairs[i]);
    }
}

static void test_server_context_errors(void **state)
{
    struct buf cert = BUF_EMPTY, key = BUF_EMPTY, other = BUF_EMPTY, error = BUF_EMPTY;
    struct tls_certificate_options options = {.host = SLICE("a.example")};

    (void)state;
    assert_int_equal(tls_certificate_make(&options, &cert, &key), 0);
    assert_null(tls_context_new_server(SLICE("no pem"), buf_slice(&key), &error));
    assert_non_null(memmem(error.ptr, error.len, "certificate", 11));
    buf_reset(&error);
    assert_null(tls_context_new_server(buf_slice(&cert), SLICE("no pem"), &error));
    assert_non_null(memmem(error.ptr, error.len, "private key", 11));
    buf_reset(&error);
    buf_reset(&key);
    assert_int_equal(tls_certificate_make(&options, &other, &key), 0);
    assert_null(tls_context_new_server(buf_slice(&cert), buf_slice(&key), &error));
    assert_non_null(memmem(error.ptr, error.len, "do not fit", 10));
    buf_fini(&cert);
    buf_fini(&key);
    buf_fini(&other);
    buf_fini(&error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_every_split),
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_large_write),
        cmocka_unit_test(test_small_pieces_share_a_record),
        cmocka_unit_test(test_close_notify),
        cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_not_tls),
        cmocka_unit_test(test_flipped_bytes),
        cmocka_unit_test(test_damaged_record),
        cmocka_unit_test(test_no_common_version),
        cmocka_unit_test(test_tls10_is_refused_unless_allowed),
        cmocka_unit_test(test_sni),
        cmocka_unit_test(test_reduced_groups_fit_one_segment),
        cmocka_unit_test(test_idle_memory),
        cmocka_unit_test(test_server_context_errors),
    };

    return cmocka_run_group_tests_name("tls/stream", tests, setup, teardown);
}
