/*
 * mkcert.c - certificates of our own making.
 */
#include "engine/tls/mkcert.h"

#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/base/panic.h"
#include "engine/base/rng.h"

#include <openssl/bio.h>
#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <limits.h>

enum { DAY_S = 86400 };

static EVP_PKEY *key_new(void)
{
    EC_KEY *ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
    EVP_PKEY *key = EVP_PKEY_new();

    ASSERT(ec != NULL && key != NULL && EC_KEY_generate_key(ec) && EVP_PKEY_assign_EC_KEY(key, ec));
    return key;
}

static BIO *bio_of(struct slice s)
{
    return s.len > 0 && s.len <= INT_MAX ? BIO_new_mem_buf(s.ptr, (int)s.len) : NULL;
}

static void bio_drain(BIO *bio, struct buf *out)
{
    const uint8_t *ptr;
    size_t len;

    ASSERT(BIO_mem_contents(bio, &ptr, &len));
    buf_put(out, ptr, len);
    BIO_free(bio);
}

static void extension_add(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *ext = X509V3_EXT_nconf_nid(NULL, NULL, nid, value);

    ASSERT(ext != NULL && X509_add_ext(cert, ext, -1));
    X509_EXTENSION_free(ext);
}

/* The names in the list as an extension; built by hand, as a name may hold anything. */
static void names_add(X509 *cert, struct slice hosts)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    struct slice host;

    ASSERT(names != NULL);
    while (slice_next(&hosts, ',', &host)) {
        GENERAL_NAME *name = GENERAL_NAME_new();
        ASN1_IA5STRING *text = ASN1_IA5STRING_new();

        ASSERT(name != NULL && text != NULL && host.len <= INT_MAX);
        ASSERT(ASN1_STRING_set(text, host.ptr, (int)host.len));
        GENERAL_NAME_set0_value(name, GEN_DNS, text);
        ASSERT(sk_GENERAL_NAME_push(names, name));
    }
    ASSERT(X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0));
    GENERAL_NAMES_free(names);
}

static X509 *cert_fill(const struct tls_certificate_options *o, EVP_PKEY *key)
{
    X509 *cert = X509_new();
    struct slice hosts = o->host, first = SLICE_NONE;
    time_t now = (time_t)(clock_wall_us() / 1000000);
    bool usual = o->from_s == 0 && o->until_s == 0;
    uint64_t serial;
    X509_NAME *subject;

    rng_os(&serial, sizeof(serial));
    slice_next(&hosts, ',', &first);
    first.len = first.len < 64 ? first.len : 64; /* X.520's limit for a common name */
    ASSERT(cert != NULL && X509_set_version(cert, X509_VERSION_3));
    ASSERT(ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1));
    ASSERT(ASN1_TIME_set(X509_getm_notBefore(cert), now + (usual ? -DAY_S : o->from_s)) != NULL);
    ASSERT(ASN1_TIME_set(X509_getm_notAfter(cert), now + (usual ? 365 * DAY_S : o->until_s)) !=
           NULL);
    subject = X509_NAME_new();
    ASSERT(subject != NULL &&
           X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const uint8_t *)first.ptr,
                                      (int)first.len, -1, 0));
    ASSERT(X509_set_subject_name(cert, subject) && X509_set_pubkey(cert, key));
    X509_NAME_free(subject);
    if (o->is_ca) {
        extension_add(cert, NID_basic_constraints, "critical,CA:TRUE");
        extension_add(cert, NID_key_usage, "critical,keyCertSign");
    } else {
        names_add(cert, o->host);
    }
    return cert;
}

static int cert_sign(X509 *cert, EVP_PKEY *key, const struct tls_certificate_options *o)
{
    BIO *cert_bio, *key_bio;
    X509 *issuer = NULL;
    EVP_PKEY *issuer_key = NULL;
    bool ok;

    if (o->issuer_pem.len == 0) {
        return X509_set_issuer_name(cert, X509_get_subject_name(cert)) &&
                       X509_sign(cert, key, EVP_sha256())
                   ? 0
                   : ERR_INVALID;
    }
    cert_bio = bio_of(o->issuer_pem);
    key_bio = bio_of(o->issuer_key_pem);
    if (cert_bio != NULL && key_bio != NULL) {
        issuer = PEM_read_bio_X509(cert_bio, NULL, NULL, NULL);
        issuer_key = PEM_read_bio_PrivateKey(key_bio, NULL, NULL, NULL);
    }
    ok = issuer != NULL && issuer_key != NULL &&
         X509_set_issuer_name(cert, X509_get_subject_name(issuer)) &&
         X509_sign(cert, issuer_key, EVP_sha256());
    BIO_free(cert_bio);
    BIO_free(key_bio);
    X509_free(issuer);
    EVP_PKEY_free(issuer_key);
    return ok ? 0 : ERR_INVALID;
}

int tls_certificate_make(const struct tls_certificate_options *options, struct buf *cert_pem,
                         struct buf *key_pem)
{
    EVP_PKEY *key = key_new();
    X509 *cert = cert_fill(options, key);
    int err = cert_sign(cert, key, options);

    if (err == 0) {
        BIO *cert_bio = BIO_new(BIO_s_mem()), *key_bio = BIO_new(BIO_s_mem());

        ASSERT(cert_bio != NULL && key_bio != NULL && PEM_write_bio_X509(cert_bio, cert) &&
               PEM_write_bio_PKCS8PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL));
        bio_drain(cert_bio, cert_pem);
        bio_drain(key_bio, key_pem);
    }
    X509_free(cert);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return err;
}
