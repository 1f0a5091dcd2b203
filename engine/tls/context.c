/*
 * context.c - what connections of one policy have in common.
 *
 * The "with buffers" method keeps a peer's certificates as pooled bytes; they become X509
 * objects (tens of KB) only while a context that verifies looks at them.
 */
#include "engine/tls/private.h"

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/tls/mkcert.h"

#include <openssl/pem.h>

#include <limits.h>
#include <pthread.h>

/* Two hours: a session carries the verdict on a certificate, so it must not outlive by much
 * the day when that certificate expires or its CA loses our trust. */
enum { SESSION_LIFE_S = 7200, CHAIN_MAX = 16 };

/* Certificates are kept once for all contexts.  One pool for the process, never freed: sessions
 * in a store hold certificates too and outlive the context that they came by. */
static pthread_once_t pool_once = PTHREAD_ONCE_INIT;
static CRYPTO_BUFFER_POOL *pool;

static void pool_make(void)
{
    pool = CRYPTO_BUFFER_POOL_new();
    ASSERT(pool != NULL);
}

static struct tls_context *context_new(bool server)
{
    struct tls_context *ctx = mem_zalloc(sizeof(*ctx));

    ERR_clear_error();
    ctx->server = server;
    ctx->ssl = SSL_CTX_new(TLS_with_buffers_method());
    ASSERT(ctx->ssl != NULL);
    pthread_once(&pool_once, pool_make);
    SSL_CTX_set0_buffer_pool(ctx->ssl, pool);
    SSL_CTX_set_timeout(ctx->ssl, SESSION_LIFE_S);
    SSL_CTX_set_session_psk_dhe_timeout(ctx->ssl, SESSION_LIFE_S);
    ASSERT(SSL_CTX_set_min_proto_version(ctx->ssl, TLS1_2_VERSION));
    return ctx;
}

/* A session for later: goes to the store when its stream has a key. */
static int session_new(SSL *ssl, SSL_SESSION *session)
{
    struct tls_stream *t = SSL_get_ex_data(ssl, 0);

    if (t == NULL || t->ctx->sessions == NULL || t->store_key.len == 0) {
        return 0;
    }
    tls_sessions_put(t->ctx->sessions, t->store_key, session);
    return 1;
}

struct tls_context *tls_context_new_client(const struct tls_client_options *options)
{
    struct tls_context *ctx = context_new(false);

    if (options->allow_tls10) {
        ASSERT(SSL_CTX_set_min_proto_version(ctx->ssl, TLS1_VERSION));
    }
    if (options->trust != NULL) {
        ctx->trust = tls_trust_ref(options->trust);
    }
    ctx->sessions = options->sessions;
    /* 3DES falls to Sweet32 and costs more than all the others together. */
    ASSERT(SSL_CTX_set_cipher_list(ctx->ssl, "ALL:!3DES:!PSK"));
    SSL_CTX_set_custom_verify(ctx->ssl, SSL_VERIFY_PEER,
                              ctx->trust != NULL ? tls_verify_chain : tls_verify_any);
    SSL_CTX_set_session_cache_mode(ctx->ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx->ssl, session_new);
    return ctx;
}

/* The DER of each certificate in the text; how many, 0 when there is none or one is broken. */
static size_t chain_read(struct slice pem, CRYPTO_BUFFER **chain)
{
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    size_t count = 0;
    unsigned char *der;
    long der_len;

    ASSERT(bio != NULL);
    while (count < CHAIN_MAX &&
           PEM_bytes_read_bio(&der, &der_len, NULL, PEM_STRING_X509, bio, NULL, NULL)) {
        chain[count++] = CRYPTO_BUFFER_new(der, (size_t)der_len, NULL);
        OPENSSL_free(der);
    }
    BIO_free(bio);
    ERR_clear_error();
    return count;
}

static EVP_PKEY *key_read(struct slice pem)
{
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    EVP_PKEY *key;

    ASSERT(bio != NULL);
    key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    return key;
}

int tls_context_set_certificate(struct tls_context *ctx, struct slice chain_pem,
                                struct slice key_pem, struct buf *error)
{
    CRYPTO_BUFFER *chain[CHAIN_MAX];
    size_t count = 0;
    EVP_PKEY *key = NULL;
    bool ok = false;

    ERR_clear_error();
    if (chain_pem.len <= INT_MAX && key_pem.len <= INT_MAX) {
        count = chain_read(chain_pem, chain);
        key = key_read(key_pem);
    }
    if (count > 0 && key != NULL) {
        ok = SSL_CTX_set_chain_and_key(ctx->ssl, chain, count, key, NULL);
    }
    if (!ok) {
        char text[TLS_ERROR_MAX];

        tls_error_text(text, sizeof(text));
        buf_printf(error, "%s%s%s",
                   count == 0    ? "no certificate can be read (PEM is expected)"
                   : key == NULL ? "the private key cannot be read (PEM is expected)"
                                 : "the certificate and the private key do not fit",
                   text[0] != '\0' ? ": " : "", text);
        ERR_clear_error();
    }
    for (size_t i = 0; i < count; i++) {
        CRYPTO_BUFFER_free(chain[i]);
    }
    EVP_PKEY_free(key);
    return ok ? 0 : ERR_INVALID;
}

struct tls_context *tls_context_new_server(struct slice chain_pem, struct slice key_pem,
                                           struct buf *error)
{
    struct tls_context *ctx = context_new(true);

    if (tls_context_set_certificate(ctx, chain_pem, key_pem, error) != 0) {
        tls_context_free(ctx);
        ctx = NULL;
    }
    return ctx;
}

struct tls_context *tls_context_new_server_selfsigned(struct slice host)
{
    struct tls_certificate_options options = {.host = host};
    struct buf chain = BUF_EMPTY, key = BUF_EMPTY, error = BUF_EMPTY;
    struct tls_context *ctx = NULL;

    if (tls_certificate_make(&options, &chain, &key) == 0) {
        ctx = tls_context_new_server(buf_slice(&chain), buf_slice(&key), &error);
    }
    ASSERT(ctx != NULL);
    buf_fini(&chain);
    buf_fini(&key);
    buf_fini(&error);
    return ctx;
}

void tls_context_set_versions(struct tls_context *ctx, unsigned min, unsigned max)
{
    if (min != 0) {
        ASSERT(SSL_CTX_set_min_proto_version(ctx->ssl, (uint16_t)min));
    }
    if (max != 0) {
        ASSERT(SSL_CTX_set_max_proto_version(ctx->ssl, (uint16_t)max));
    }
}

void tls_context_free(struct tls_context *ctx)
{
    if (ctx == NULL) {
        return;
    }
    SSL_CTX_free(ctx->ssl);
    tls_trust_unref(ctx->trust);
    mem_free(ctx);
}
