/*
 * pair.h - a TLS client and server that talk through two bufs.
 */
#ifndef VOLLEY_TEST_TLS_PAIR_H
#define VOLLEY_TEST_TLS_PAIR_H

#include "engine/base/err.h"
#include "engine/tls/mkcert.h"
#include "engine/tls/tls.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

struct pair {
    struct tls_stream *client, *server;
    struct buf to_server, to_client;       /* ciphertext on its way */
    struct buf client_plain, server_plain; /* what came out */
    int client_err, server_err;
};

static inline void pair_open(struct pair *p, struct tls_context *client, struct tls_context *server,
                             const struct tls_stream_options *options)
{
    memset(p, 0, sizeof(*p));
    p->client = tls_stream_new(client, options);
    p->server = tls_stream_new(server, &(struct tls_stream_options){.host = SLICE_NONE});
    assert_int_equal(tls_stream_start(p->client, &p->to_server), 0);
}

static inline void pair_close(struct pair *p)
{
    tls_stream_free(p->client);
    tls_stream_free(p->server);
    buf_fini(&p->to_server);
    buf_fini(&p->to_client);
    buf_fini(&p->client_plain);
    buf_fini(&p->server_plain);
}

/* Hands over at most `step` bytes in one direction; how many. */
static inline size_t pair_move(struct tls_stream *to, struct buf *wire, size_t step,
                               struct buf *plain, struct buf *back, int *err)
{
    size_t len = wire->len < step ? wire->len : step;

    if (len > 0 && *err == 0) {
        /* A copy of its own, so that ASan sees a read past the end. */
        char *bytes = malloc(len);

        memcpy(bytes, wire->ptr, len);
        *err = tls_stream_feed(to, slice_of(bytes, len), plain, back);
        free(bytes);
    }
    buf_consume(wire, len);
    return len;
}

/* Until nothing is on its way any more. */
static inline void pair_pump(struct pair *p, size_t step)
{
    size_t moved;

    do {
        moved = pair_move(p->server, &p->to_server, step, &p->server_plain, &p->to_client,
                          &p->server_err);
        moved += pair_move(p->client, &p->to_client, step, &p->client_plain, &p->to_server,
                           &p->client_err);
    } while (moved > 0);
}

static inline void pair_write(struct tls_stream *from, struct buf *wire, struct slice text)
{
    struct iovec iov = {(void *)text.ptr, text.len};

    assert_int_equal(tls_stream_write(from, &iov, 1, wire), 0);
}

static inline void assert_text(const struct buf *b, const char *expected)
{
    assert_int_equal(b->len, strlen(expected));
    assert_memory_equal(b->ptr, expected, b->len);
}

/* A CA and what it signed, as PEM. */
struct authority {
    struct buf ca, ca_key, leaf, leaf_key;
};

static inline void authority_make_named(struct authority *a, const char *name, const char *hosts,
                                        int64_t from_s, int64_t until_s)
{
    struct tls_certificate_options ca = {.host = slice_cstr(name), .is_ca = true};
    struct tls_certificate_options leaf = {
        .host = slice_cstr(hosts), .from_s = from_s, .until_s = until_s};

    memset(a, 0, sizeof(*a));
    assert_int_equal(tls_certificate_make(&ca, &a->ca, &a->ca_key), 0);
    leaf.issuer_pem = buf_slice(&a->ca);
    leaf.issuer_key_pem = buf_slice(&a->ca_key);
    assert_int_equal(tls_certificate_make(&leaf, &a->leaf, &a->leaf_key), 0);
}

static inline void authority_make(struct authority *a, const char *hosts, int64_t from_s,
                                  int64_t until_s)
{
    authority_make_named(a, "Test CA", hosts, from_s, until_s);
}

static inline void authority_drop(struct authority *a)
{
    buf_fini(&a->ca);
    buf_fini(&a->ca_key);
    buf_fini(&a->leaf);
    buf_fini(&a->leaf_key);
}

static inline struct tls_context *authority_server(const struct authority *a)
{
    struct buf error = BUF_EMPTY;
    struct tls_context *ctx =
        tls_context_new_server(buf_slice(&a->leaf), buf_slice(&a->leaf_key), &error);

    assert_non_null(ctx);
    return ctx;
}

static inline struct tls_context *authority_client(const struct authority *a,
                                                   struct tls_sessions *sessions)
{
    struct buf error = BUF_EMPTY;
    struct tls_trust *trust = tls_trust_parse(buf_slice(&a->ca), &error);
    struct tls_context *ctx;

    assert_non_null(trust);
    ctx =
        tls_context_new_client(&(struct tls_client_options){.trust = trust, .sessions = sessions});
    tls_trust_unref(trust);
    return ctx;
}

#endif
