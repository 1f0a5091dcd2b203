/*
 * secure.c - TLS between us and Redis, without a socket.
 */
#include "queue/secure.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/tls/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

enum { PEM_MAX = 1 << 20 };

struct secure {
    _Atomic unsigned refs;
    struct tls_trust *trust;
    struct buf cert; /* PEM; empty: none */
    struct buf key;
    char *name;
};

/* A context belongs to one thread, so each connection has its own: connections to Redis are
 * few and last. */
struct secure_line {
    struct tls_context *ctx;
    struct tls_stream *stream;
};

/* The whole file, or a sentence. */
static int pem_read(const char *path, const char *what, struct buf *out, struct buf *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = -1;

    while (fd >= 0 && out->len <= PEM_MAX) {
        buf_reserve(out, 4096);
        n = read(fd, out->ptr + out->len, 4096);
        if (n == 0 || (n < 0 && errno != EINTR)) {
            break;
        }
        out->len += n > 0 ? (size_t)n : 0;
    }
    if (n != 0) {
        buf_printf(why, "queue.redis: %s %s: %s", what, path,
                   n < 0 ? strerror(errno) : "it is too large to be one");
    }
    if (fd >= 0) {
        close(fd);
    }
    return n == 0 ? 0 : ERR_INVALID;
}

/* Tried once here, so that what is wrong is said at the start and not at each connection. */
static int own_certificate_read(struct secure *s, const struct secure_files *files, struct buf *why)
{
    struct tls_client_options options = {.trust = s->trust};
    struct buf detail = BUF_EMPTY;
    int err;

    if ((files->cert != NULL) != (files->key != NULL)) {
        BUF_LIT(why, "queue.redis: `cert` and `key` go together: the file of our certificate and "
                     "that of its private key");
        return ERR_INVALID;
    }
    if (files->cert == NULL) {
        return 0;
    }
    err = pem_read(files->cert, "certificate", &s->cert, why);
    if (err == 0) {
        err = pem_read(files->key, "private key", &s->key, why);
    }
    if (err == 0) {
        struct tls_context *ctx = tls_context_new_client(&options);
        err = tls_context_set_certificate(ctx, buf_slice(&s->cert), buf_slice(&s->key), &detail);
        if (err != 0) {
            buf_printf(why, "queue.redis: %s with %s: " SLICE_FMT, files->cert, files->key,
                       SLICE_ARG(buf_slice(&detail)));
        }
        tls_context_free(ctx);
    }
    buf_fini(&detail);
    return err;
}

struct secure *secure_new(const struct secure_files *files, struct buf *why)
{
    struct secure *s = mem_zalloc(sizeof(*s));
    struct buf detail = BUF_EMPTY;

    atomic_init(&s->refs, 1);
    s->name = files->name != NULL ? mem_dup(files->name, strlen(files->name)) : NULL;
    s->trust = tls_trust_load(files->ca, &detail);
    if (s->trust == NULL) {
        buf_printf(why, "queue.redis: " SLICE_FMT, SLICE_ARG(buf_slice(&detail)));
    }
    buf_fini(&detail);
    if (s->trust == NULL || own_certificate_read(s, files, why) != 0) {
        secure_unref(s);
        return NULL;
    }
    return s;
}

struct secure *secure_ref(struct secure *s)
{
    atomic_fetch_add(&s->refs, 1);
    return s;
}

void secure_unref(struct secure *s)
{
    if (s != NULL && atomic_fetch_sub(&s->refs, 1) == 1) {
        tls_trust_unref(s->trust);
        if (s->key.len > 0) {
            explicit_bzero(s->key.ptr, s->key.len);
        }
        buf_fini(&s->cert);
        buf_fini(&s->key);
        mem_free(s->name);
        mem_free(s);
    }
}

struct secure_line *secure_line_new(struct secure *s, const char *host, struct buf *out)
{
    struct secure_line *l = mem_zalloc(sizeof(*l));
    struct tls_client_options options = {.trust = s->trust};
    struct tls_stream_options stream = {.host = slice_cstr(s->name != NULL ? s->name : host)};
    struct buf detail = BUF_EMPTY;

    l->ctx = tls_context_new_client(&options);
    if (s->cert.len > 0) {
        int err =
            tls_context_set_certificate(l->ctx, buf_slice(&s->cert), buf_slice(&s->key), &detail);
        ASSERT(err == 0); /* secure_new() has tried */
    }
    l->stream = tls_stream_new(l->ctx, &stream);
    (void)tls_stream_start(l->stream, out); /* a fault shows when the answer comes, or does not */
    buf_fini(&detail);
    return l;
}

void secure_line_free(struct secure_line *l)
{
    if (l != NULL) {
        tls_stream_free(l->stream);
        tls_context_free(l->ctx);
        mem_free(l);
    }
}

int secure_line_feed(struct secure_line *l, struct slice data, struct buf *plain, struct buf *out)
{
    return tls_stream_feed(l->stream, data, plain, out);
}

int secure_line_write(struct secure_line *l, struct slice plain, struct buf *out)
{
    struct iovec iov = {(void *)plain.ptr, plain.len};

    return tls_stream_write(l->stream, &iov, 1, out);
}

bool secure_line_is_open(const struct secure_line *l)
{
    return tls_stream_state(l->stream) == TLS_OPEN;
}

const char *secure_line_error(const struct secure_line *l)
{
    const char *text = tls_stream_error(l->stream);

    return text[0] != '\0' ? text : "TLS failed";
}
