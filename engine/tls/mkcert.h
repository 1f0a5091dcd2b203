/*
 * mkcert.h - certificates of our own making: for the sink, and for tests.
 */
#ifndef VOLLEY_TLS_MKCERT_H
#define VOLLEY_TLS_MKCERT_H

#include "engine/base/buf.h"

struct tls_certificate_options {
    struct slice host; /* the subject alternative name; may hold several, with commas */
    bool is_ca;
    struct slice issuer_pem; /* certificate and key of the issuer; empty: self-signed */
    struct slice issuer_key_pem;
    int64_t from_s; /* validity in seconds from now; both 0: a day ago to a year ahead */
    int64_t until_s;
};

/* Appends a fresh P-256 key and its certificate as PEM.  0, or ERR_INVALID when the issuer's
 * PEM cannot be read. */
int tls_certificate_make(const struct tls_certificate_options *options, struct buf *cert_pem,
                         struct buf *key_pem);

#endif
