/*
 * bio.c - the hole through which BoringSSL sees our bytes.
 *
 * Reads come straight from what the caller fed, writes go straight into the caller's buf.
 * BoringSSL's memory BIO would copy twice and its BIO pair keeps 17 KB a direction for an
 * idle connection; this one keeps nothing.
 */
#include "engine/tls/private.h"

#include <limits.h>
#include <pthread.h>
#include <string.h>

static int bio_read(BIO *bio, char *out, int out_len)
{
    struct tls_stream *t = BIO_get_data(bio);
    size_t len = out_len > 0 ? (size_t)out_len : 0;

    BIO_clear_retry_flags(bio);
    if (t->in.len == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    if (len > t->in.len) {
        len = t->in.len;
    }
    memcpy(out, t->in.ptr, len);
    t->in = slice_from(t->in, len);
    return (int)len;
}

static int bio_write(BIO *bio, const char *data, int len)
{
    struct tls_stream *t = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (len <= 0) {
        return 0;
    }
    ASSERT(t->out != NULL);
    buf_put(t->out, data, (size_t)len);
    return len;
}

static long bio_ctrl(BIO *bio, int cmd, long larg, void *parg)
{
    (void)bio;
    (void)larg;
    (void)parg;
    return cmd == BIO_CTRL_FLUSH;
}

static pthread_once_t method_once = PTHREAD_ONCE_INIT;
static BIO_METHOD *method;

static void method_make(void)
{
    method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "volley");
    ASSERT(method != NULL);
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_ctrl(method, bio_ctrl);
}

BIO *tls_bio_new(struct tls_stream *t)
{
    BIO *bio;

    pthread_once(&method_once, method_make);
    bio = BIO_new(method);
    ASSERT(bio != NULL);
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    return bio;
}
