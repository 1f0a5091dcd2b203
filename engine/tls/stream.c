/*
 * stream.c - one TLS connection: feed, write, close.
 *
 * A call lends its input and output to the BIO (t->in, t->out), lets BoringSSL run until it
 * wants more to read, and takes the loan back.  Since BoringSSL reads until it starves,
 * everything that was fed is taken in; a partial record waits inside it.
 */
#include "engine/tls/private.h"

#include "engine/base/err.h"
#include "engine/base/mem.h"

#include <arpa/inet.h>
#include <string.h>

enum { READ_STEP_MIN = 1024, WRITE_STEP_MAX = 1 << 30 };

static bool host_is_address(const char *host)
{
    struct in6_addr address;

    return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

/* The store's key: the caller's, and what he must not get wrong: the host that was verified
 * and against which anchors. */
static struct slice store_key_make(const struct tls_stream *t, struct slice key)
{
    struct buf b = BUF_EMPTY;

    if (key.len > 0 && t->ctx->sessions != NULL) {
        buf_puts(&b, key);
        buf_putc(&b, '\0');
        buf_puts(&b, slice_cstr(t->host));
        buf_putc(&b, '\0');
        buf_putu(&b, t->ctx->trust != NULL ? t->ctx->trust->serial : 0);
    }
    return buf_slice(&b);
}

static void client_prepare(struct tls_stream *t, const struct tls_stream_options *options)
{
    SSL_SESSION *session;

    SSL_set_connect_state(t->ssl);
    /* RFC 6066 3: names only, never addresses.  A name that BoringSSL refuses (too long) is
     * not sent; verification then decides. */
    if (t->host[0] != '\0' && !host_is_address(t->host)) {
        SSL_set_tlsext_host_name(t->ssl, t->host);
    }
    if (options->reduced_groups) {
        ASSERT(SSL_set1_curves_list(t->ssl, "X25519:P-256:P-384"));
    }
    t->store_key = store_key_make(t, options->session_key);
    if (t->store_key.len > 0) {
        session = tls_sessions_take(t->ctx->sessions, t->store_key);
        if (session != NULL) {
            SSL_set_session(t->ssl, session);
            SSL_SESSION_free(session);
        }
    }
    ERR_clear_error();
}

struct tls_stream *tls_stream_new(struct tls_context *ctx, const struct tls_stream_options *options)
{
    struct tls_stream *t = mem_zalloc(sizeof(*t));
    struct slice host = options->host;
    BIO *bio;

    if (host.len > 0 && host.ptr[host.len - 1] == '.') {
        host.len--;
    }
    ERR_clear_error();
    t->ctx = ctx;
    t->host = slice_dup(host);
    t->ssl = SSL_new(ctx->ssl);
    ASSERT(t->ssl != NULL);
    SSL_set_ex_data(t->ssl, 0, t);
    bio = tls_bio_new(t);
    BIO_up_ref(bio);
    SSL_set0_rbio(t->ssl, bio);
    SSL_set0_wbio(t->ssl, bio);
    SSL_set_shed_handshake_config(t->ssl, 1);
    if (ctx->server) {
        SSL_set_accept_state(t->ssl);
    } else {
        client_prepare(t, options);
    }
    return t;
}

void tls_stream_free(struct tls_stream *t)
{
    if (t == NULL) {
        return;
    }
    SSL_free(t->ssl);
    ERR_clear_error();
    mem_free(t->host);
    mem_free(t->error);
    mem_free((char *)t->store_key.ptr);
    mem_free(t);
}

/* A failed handshake may be the session's fault (a server that lost its keys and does not
 * fall back): the next connection starts without one. */
static int handshake_failed(struct tls_stream *t)
{
    if (t->store_key.len > 0) {
        tls_sessions_drop(t->ctx->sessions, t->store_key);
    }
    return tls_fail_ssl(t);
}

static int handshake_step(struct tls_stream *t)
{
    int rc = SSL_do_handshake(t->ssl);

    if (rc == 1) {
        t->state = TLS_OPEN;
        return 0;
    }
    return SSL_get_error(t->ssl, rc) == SSL_ERROR_WANT_READ ? 0 : handshake_failed(t);
}

/* Room for the next read: what is left of the input is a good guess, as records carry a
 * little less than they weigh. */
static size_t read_step(const struct tls_stream *t)
{
    size_t step = t->in.len > READ_STEP_MIN ? t->in.len : READ_STEP_MIN;

    return step < TLS_RECORD_MAX ? step : TLS_RECORD_MAX;
}

static int read_plain(struct tls_stream *t, struct buf *plain)
{
    for (;;) {
        size_t step = read_step(t);
        int rc;

        buf_reserve(plain, step);
        rc = SSL_read(t->ssl, plain->ptr + plain->len, (int)step);
        if (rc > 0) {
            plain->len += (size_t)rc;
            continue;
        }
        switch (SSL_get_error(t->ssl, rc)) {
        case SSL_ERROR_WANT_READ:
            return 0;
        case SSL_ERROR_ZERO_RETURN:
            t->state = TLS_PEER_CLOSED;
            return 0;
        default:
            return tls_fail_ssl(t);
        }
    }
}

int tls_stream_start(struct tls_stream *t, struct buf *out)
{
    int err;

    ASSERT(t->state == TLS_HANDSHAKE && !t->ctx->server);
    ERR_clear_error();
    t->out = out;
    err = handshake_step(t);
    t->out = NULL;
    return err;
}

int tls_stream_feed(struct tls_stream *t, struct slice data, struct buf *plain, struct buf *out)
{
    int err = 0;

    if (t->state == TLS_FAILED) {
        return ERR_TLS;
    }
    ERR_clear_error();
    t->in = data;
    t->out = out;
    if (t->state == TLS_HANDSHAKE) {
        err = handshake_step(t);
    }
    if (err == 0 && t->state == TLS_OPEN) {
        err = read_plain(t, plain);
    }
    t->in = SLICE_NONE;
    t->out = NULL;
    return err;
}

static int write_run(struct tls_stream *t, const char *ptr, size_t len)
{
    while (len > 0) {
        size_t step = len < WRITE_STEP_MAX ? len : WRITE_STEP_MAX;
        int rc = SSL_write(t->ssl, ptr, (int)step);

        if (rc <= 0) {
            return tls_fail_ssl(t);
        }
        ptr += rc;
        len -= (size_t)rc;
    }
    return 0;
}

/* Sends the gathered bytes when they fill a record, or when `all` is set. */
static int gather_flush(struct tls_stream *t, size_t *gathered, bool all)
{
    int err = 0;

    if (*gathered == TLS_RECORD_MAX || (all && *gathered > 0)) {
        err = write_run(t, t->ctx->gather, *gathered);
        *gathered = 0;
    }
    return err;
}

/* One piece: whole records go out from where they are, the rest is gathered. */
static int write_piece(struct tls_stream *t, const char *ptr, size_t len, size_t *gathered)
{
    int err = 0;

    while (err == 0 && len > 0) {
        size_t room = TLS_RECORD_MAX - *gathered;
        size_t take = len;

        if (*gathered == 0 && len >= TLS_RECORD_MAX) {
            take -= len % TLS_RECORD_MAX;
            err = write_run(t, ptr, take);
        } else {
            take = take < room ? take : room;
            memcpy(t->ctx->gather + *gathered, ptr, take);
            *gathered += take;
            err = gather_flush(t, gathered, false);
        }
        ptr += take;
        len -= take;
    }
    return err;
}

int tls_stream_write(struct tls_stream *t, const struct iovec *iov, size_t count, struct buf *out)
{
    size_t gathered = 0, total = 0;
    int err = 0;

    ASSERT(t->state == TLS_OPEN || t->state == TLS_PEER_CLOSED);
    ASSERT(!t->closed);
    for (size_t i = 0; i < count; i++) {
        total += iov[i].iov_len;
    }
    /* One growth: bytes, and per record header, tag and padding (RFC 5246 6.2.3 at worst). */
    buf_reserve(out, total + (total / TLS_RECORD_MAX + 2) * 128);
    ERR_clear_error();
    t->out = out;
    for (size_t i = 0; err == 0 && i < count; i++) {
        err = write_piece(t, iov[i].iov_base, iov[i].iov_len, &gathered);
    }
    if (err == 0) {
        err = gather_flush(t, &gathered, true);
    }
    t->out = NULL;
    return err;
}

void tls_stream_close(struct tls_stream *t, struct buf *out)
{
    if (t->closed || (t->state != TLS_OPEN && t->state != TLS_PEER_CLOSED)) {
        return;
    }
    ERR_clear_error();
    t->closed = true;
    t->out = out;
    SSL_shutdown(t->ssl);
    t->out = NULL;
    ERR_clear_error();
}

int tls_stream_end(struct tls_stream *t)
{
    switch (t->state) {
    case TLS_PEER_CLOSED:
        return 0;
    case TLS_HANDSHAKE:
        return tls_fail(t, TLS_CAUSE_TRUNCATED, "connection closed during the TLS handshake");
    case TLS_OPEN:
        return tls_fail(t, TLS_CAUSE_TRUNCATED, "connection closed without TLS close_notify");
    case TLS_FAILED:
        break;
    }
    return ERR_TLS;
}

enum tls_state tls_stream_state(const struct tls_stream *t)
{
    return t->state;
}

enum tls_cause tls_stream_cause(const struct tls_stream *t)
{
    return t->cause;
}

const char *tls_stream_error(const struct tls_stream *t)
{
    return t->error != NULL ? t->error : "";
}

void tls_stream_info(const struct tls_stream *t, struct tls_info *info)
{
    const SSL_CIPHER *cipher = SSL_get_current_cipher(t->ssl);
    uint16_t group = SSL_get_curve_id(t->ssl);
    const char *group_name = group != 0 ? SSL_get_curve_name(group) : NULL;

    *info = (struct tls_info){
        .version = SSL_get_version(t->ssl),
        .cipher = cipher != NULL ? SSL_CIPHER_standard_name(cipher) : "",
        .group = group_name != NULL ? group_name : "",
        .verified = t->ctx->trust != NULL && t->state != TLS_HANDSHAKE && t->state != TLS_FAILED,
        .resumed = SSL_session_reused(t->ssl) != 0,
    };
}
