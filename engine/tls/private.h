/*
 * private.h - what the files of engine/tls share.  Nobody else includes it.
 *
 * BoringSSL's habits stop here: its 1 for success, its error queue per thread (cleared
 * before each call that may fail, or an old error would explain a new failure).
 */
#ifndef VOLLEY_TLS_PRIVATE_H
#define VOLLEY_TLS_PRIVATE_H

#include "engine/base/panic.h"
#include "engine/tls/tls.h"

#include <stdatomic.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pool.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

enum { TLS_RECORD_MAX = 16384, TLS_ERROR_MAX = 400 };

struct tls_trust {
    _Atomic unsigned refs;
    uint64_t serial; /* tells one from its successor after a reload */
    X509_STORE *store;
};

struct tls_context {
    SSL_CTX *ssl;
    struct tls_trust *trust; /* NULL: any certificate is accepted */
    struct tls_sessions *sessions;
    bool server;
    char gather[TLS_RECORD_MAX]; /* small pieces become one record here */
};

struct tls_stream {
    SSL *ssl;
    struct tls_context *ctx;
    enum tls_state state;
    enum tls_cause cause;
    bool closed;            /* close_notify was sent */
    struct slice in;        /* what a call was fed and BoringSSL has not taken yet */
    struct buf *out;        /* where a call's ciphertext goes; NULL between calls */
    char *host;             /* NUL-terminated, no final dot */
    char *error;            /* NULL unless failed */
    struct slice store_key; /* empty: no resumption */
};

/* bio.c: a BIO over t->in and t->out. */
BIO *tls_bio_new(struct tls_stream *t);

/* verify.c: the callbacks of contexts that accept any certificate, and that verify. */
enum ssl_verify_result_t tls_verify_any(SSL *ssl, uint8_t *alert);
enum ssl_verify_result_t tls_verify_chain(SSL *ssl, uint8_t *alert);

/* fault.c: moves to TLS_FAILED, once; the first text stays. */
int tls_fail(struct tls_stream *t, enum tls_cause cause, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The same from BoringSSL's error queue. */
int tls_fail_ssl(struct tls_stream *t);
/* What the error queue holds, in words, and empties it; "" when there is nothing. */
void tls_error_text(char *out, size_t out_size);

/* sessions.c */
void tls_sessions_put(struct tls_sessions *store, struct slice key,
                      SSL_SESSION *session); /* takes it */
SSL_SESSION *tls_sessions_take(struct tls_sessions *store,
                               struct slice key); /* a reference, or NULL */
void tls_sessions_drop(struct tls_sessions *store, struct slice key);

#endif
