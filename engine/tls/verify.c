/*
 * verify.c - is this certificate the peer's?
 *
 * Levels may and encrypt accept any certificate, so it is not even parsed.  Level verify
 * asks for a chain to a trust anchor (RFC 5280) and for the host's name in the subject
 * alternative names (RFC 9525; the common name is not looked at, RFC 9525 2).
 */
#include "engine/tls/private.h"

#include "engine/base/err.h"
#include "engine/base/mem.h"

#include <openssl/x509v3.h>

#include <stdio.h>

enum { NAMES_SHOWN_MAX = 5 };

enum ssl_verify_result_t tls_verify_any(SSL *ssl, uint8_t *alert)
{
    (void)ssl;
    (void)alert;
    return ssl_verify_ok;
}

/* The names a certificate is for, "a, b, c and 4 more", for the error text. */
static void names_list(X509 *leaf, struct buf *out)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    size_t count = names != NULL ? sk_GENERAL_NAME_num(names) : 0;
    size_t shown = 0, hosts = 0;

    for (size_t i = 0; i < count; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

        if (name->type != GEN_DNS) {
            continue;
        }
        hosts++;
        if (shown < NAMES_SHOWN_MAX) {
            buf_printf(out, "%s%.*s", shown++ > 0 ? ", " : "", ASN1_STRING_length(name->d.dNSName),
                       (const char *)ASN1_STRING_get0_data(name->d.dNSName));
        }
    }
    if (hosts > shown) {
        buf_printf(out, " and %zu more", hosts - shown);
    }
    if (hosts == 0) {
        BUF_LIT(out, "no host names");
    }
    GENERAL_NAMES_free(names);
}

/* "2024-03-01" of a certificate's time; "" when it cannot be read. */
static void date_text(const ASN1_TIME *time, char out[11])
{
    ASN1_GENERALIZEDTIME *general = ASN1_TIME_to_generalizedtime((ASN1_TIME *)time, NULL);

    out[0] = '\0';
    if (general != NULL && ASN1_STRING_length(general) >= 8) {
        const char *digits = (const char *)ASN1_STRING_get0_data(general);

        snprintf(out, 11, "%.4s-%.2s-%.2s", digits, digits + 4, digits + 6);
    }
    ASN1_GENERALIZEDTIME_free(general);
}

static void subject_text(X509 *cert, char *out, size_t out_size)
{
    char *line = cert != NULL ? X509_NAME_oneline(X509_get_subject_name(cert), NULL, 0) : NULL;

    snprintf(out, out_size, "%s", line != NULL ? line : "?");
    OPENSSL_free(line);
}

static void fail_host(struct tls_stream *t, X509 *leaf)
{
    struct buf names = BUF_EMPTY;

    names_list(leaf, &names);
    tls_fail(t, TLS_CAUSE_CERT_HOST, "host name mismatch: wanted %s, certificate has " SLICE_FMT,
             t->host, SLICE_ARG(buf_slice(&names)));
    buf_fini(&names);
}

static void fail_time(struct tls_stream *t, X509 *cert, bool expired, bool is_leaf)
{
    char date[11] = "";

    if (cert != NULL) {
        date_text(expired ? X509_get0_notAfter(cert) : X509_get0_notBefore(cert), date);
    }
    tls_fail(t, TLS_CAUSE_CERT_EXPIRED, "certificate%s %s (%s)", is_leaf ? "" : " of its CA",
             expired ? "has expired" : "is not valid yet", date);
}

static void fail_untrusted(struct tls_stream *t, X509 *cert, const char *what)
{
    char subject[128];

    subject_text(cert, subject, sizeof(subject));
    tls_fail(t, TLS_CAUSE_CERT_UNTRUSTED, "certificate is not trusted: %s (%s)", what, subject);
}

static void fail_chain(struct tls_stream *t, X509_STORE_CTX *check, X509 *leaf)
{
    X509 *cert = X509_STORE_CTX_get_current_cert(check);
    bool is_leaf = X509_STORE_CTX_get_error_depth(check) == 0;
    int error = X509_STORE_CTX_get_error(check);

    switch (error) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        fail_host(t, leaf);
        break;
    case X509_V_ERR_CERT_HAS_EXPIRED:
        fail_time(t, cert, true, is_leaf);
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        fail_time(t, cert, false, is_leaf);
        break;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        fail_untrusted(t, cert, "self-signed");
        break;
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        fail_untrusted(t, cert, "its CA is unknown");
        break;
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        fail_untrusted(t, cert, "its CA has a name we trust, but another key");
        break;
    default:
        tls_fail(t, TLS_CAUSE_CERT_OTHER, "certificate is not acceptable: %s",
                 X509_verify_cert_error_string(error));
        break;
    }
}

/* The peer's chain as X509: leaf by return, the others in *others.  NULL: not parseable. */
static X509 *chain_parse(SSL *ssl, STACK_OF(X509) * others)
{
    const STACK_OF(CRYPTO_BUFFER) *chain = SSL_get0_peer_certificates(ssl);
    size_t count = chain != NULL ? sk_CRYPTO_BUFFER_num(chain) : 0;
    X509 *leaf = NULL;

    for (size_t i = 0; i < count; i++) {
        X509 *cert = X509_parse_from_buffer(sk_CRYPTO_BUFFER_value(chain, i));

        if (cert == NULL || (i > 0 && !sk_X509_push(others, cert))) {
            X509_free(cert);
            X509_free(leaf);
            return NULL;
        }
        if (i == 0) {
            leaf = cert;
        }
    }
    return leaf;
}

static int check_prepare(struct tls_stream *t, X509_STORE_CTX *check, X509 *leaf,
                         STACK_OF(X509) * others)
{
    X509_VERIFY_PARAM *param;
    size_t host_len = slice_cstr(t->host).len;

    if (!X509_STORE_CTX_init(check, t->ctx->trust->store, leaf, others) ||
        !X509_STORE_CTX_set_default(check, "ssl_server")) {
        return ERR_TLS;
    }
    param = X509_STORE_CTX_get0_param(check);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                               X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (X509_VERIFY_PARAM_set1_ip_asc(param, t->host)) {
        return 0;
    }
    ERR_clear_error();
    /* The length must be said: 0 does not mean strlen() here, it fails every certificate. */
    return X509_VERIFY_PARAM_set1_host(param, t->host, host_len) ? 0 : ERR_TLS;
}

static void chain_check(struct tls_stream *t, X509 *leaf, STACK_OF(X509) * others)
{
    X509_STORE_CTX *check = X509_STORE_CTX_new();

    ASSERT(check != NULL);
    if (check_prepare(t, check, leaf, others) < 0) {
        tls_fail(t, TLS_CAUSE_CERT_OTHER, "certificate cannot be checked against the name '%s'",
                 t->host);
    } else if (X509_verify_cert(check) != 1) {
        fail_chain(t, check, leaf);
    }
    X509_STORE_CTX_free(check);
    ERR_clear_error();
}

static uint8_t alert_of(enum tls_cause cause)
{
    switch (cause) {
    case TLS_CAUSE_CERT_EXPIRED:
        return SSL_AD_CERTIFICATE_EXPIRED;
    case TLS_CAUSE_CERT_UNTRUSTED:
        return SSL_AD_UNKNOWN_CA;
    case TLS_CAUSE_NONE:
    case TLS_CAUSE_PROTOCOL:
    case TLS_CAUSE_ALERT:
    case TLS_CAUSE_TRUNCATED:
    case TLS_CAUSE_CERT_HOST:
    case TLS_CAUSE_CERT_OTHER:
        break;
    }
    return SSL_AD_BAD_CERTIFICATE;
}

enum ssl_verify_result_t tls_verify_chain(SSL *ssl, uint8_t *alert)
{
    struct tls_stream *t = SSL_get_ex_data(ssl, 0);
    STACK_OF(X509) *others = sk_X509_new_null();
    X509 *leaf;

    ASSERT(t != NULL && others != NULL);
    leaf = chain_parse(ssl, others);
    if (leaf == NULL) {
        ERR_clear_error();
        tls_fail(t, TLS_CAUSE_CERT_OTHER, "certificate cannot be read");
    } else {
        chain_check(t, leaf, others);
    }
    X509_free(leaf);
    sk_X509_pop_free(others, X509_free);
    if (t->state == TLS_FAILED) {
        *alert = alert_of(t->cause);
        return ssl_verify_invalid;
    }
    return ssl_verify_ok;
}
