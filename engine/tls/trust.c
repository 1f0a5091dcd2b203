/*
 * trust.c - trust anchors from a PEM file.
 */
#include "engine/tls/private.h"

#include "engine/base/err.h"
#include "engine/base/mem.h"

#include <openssl/pem.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { CA_FILE_MAX = 16 << 20, FILE_CHUNK = 65536 };

static _Atomic uint64_t serial_last;

/* Adds every certificate of the text to the store; how many, or negative. */
static int store_fill(X509_STORE *store, BIO *bio)
{
    int count = 0;
    X509 *cert;

    while ((cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        int added = X509_STORE_add_cert(store, cert); /* a duplicate is fine and counts */

        X509_free(cert);
        if (!added) {
            return ERR_INVALID;
        }
        count++;
    }
    /* The end of the text shows as "no start line"; anything else is a broken certificate. */
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
        return ERR_INVALID;
    }
    return count;
}

struct tls_trust *tls_trust_parse(struct slice pem, struct buf *error)
{
    X509_STORE *store = X509_STORE_new();
    BIO *bio = NULL;
    struct tls_trust *trust;
    int count = 0;

    ASSERT(store != NULL);
    ERR_clear_error();
    if (pem.len > 0 && pem.len <= INT_MAX) {
        bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
        ASSERT(bio != NULL);
        count = store_fill(store, bio);
        BIO_free(bio);
    }
    if (count <= 0) {
        char text[TLS_ERROR_MAX];

        tls_error_text(text, sizeof(text));
        X509_STORE_free(store);
        buf_printf(error,
                   count < 0 ? "a certificate in it cannot be read: %s"
                             : "it holds no certificate (PEM is expected)%.0s",
                   text);
        return NULL;
    }
    ERR_clear_error();
    /* An anchor need not be self-signed: what the operator lists is trusted as it is. */
    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
    trust = mem_zalloc(sizeof(*trust));
    atomic_init(&trust->refs, 1);
    trust->serial = atomic_fetch_add(&serial_last, 1) + 1;
    trust->store = store;
    return trust;
}

/* The whole file; a text in *error when it cannot be had. */
static int file_read(const char *path, struct buf *out, struct buf *error)
{
    FILE *f = fopen(path, "re");
    size_t got;

    if (f == NULL) {
        int cause = errno;

        buf_printf(error, "%s", strerror(cause));
        return err_from_errno(cause);
    }
    do {
        buf_reserve(out, FILE_CHUNK);
        got = fread(out->ptr + out->len, 1, FILE_CHUNK, f);
        out->len += got;
    } while (got > 0 && out->len <= CA_FILE_MAX);
    if (ferror(f) || out->len > CA_FILE_MAX) {
        buf_printf(error, "%s", ferror(f) ? "cannot be read" : "larger than 16 MB");
        fclose(f);
        return ERR_IO;
    }
    fclose(f);
    return 0;
}

struct tls_trust *tls_trust_load(const char *pem_file, struct buf *error)
{
    const char *path = pem_file != NULL ? pem_file : TLS_CA_FILE_DEFAULT;
    struct buf pem = BUF_EMPTY, detail = BUF_EMPTY;
    struct tls_trust *trust = NULL;
    int err = file_read(path, &pem, &detail);

    if (err == 0) {
        trust = tls_trust_parse(buf_slice(&pem), &detail);
    }
    if (trust == NULL) {
        buf_printf(error, "CA file %s: " SLICE_FMT "%s", path, SLICE_ARG(buf_slice(&detail)),
                   err == ERR_NOTFOUND && pem_file == NULL ? "; install the package ca-certificates"
                                                           : "");
    }
    buf_fini(&detail);
    buf_fini(&pem);
    return trust;
}

struct tls_trust *tls_trust_ref(struct tls_trust *trust)
{
    atomic_fetch_add(&trust->refs, 1);
    return trust;
}

void tls_trust_unref(struct tls_trust *trust)
{
    if (trust != NULL && atomic_fetch_sub(&trust->refs, 1) == 1) {
        X509_STORE_free(trust->store);
        mem_free(trust);
    }
}
