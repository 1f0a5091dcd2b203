/*
 * wire.c - a connection that may turn to TLS.
 */
#include "engine/deliver/wire.h"

#include "engine/base/err.h"
#include "engine/base/panic.h"

/* A buffer larger than this is given back when it has run empty. */
enum { WIRE_KEEP_MAX = 1024 };

static struct wire *wire_of(struct io_stream *s)
{
    return CONTAINER_OF(s, struct wire, stream);
}

static void buf_release_large(struct buf *b)
{
    buf_reset(b);
    if (b->cap > WIRE_KEEP_MAX) {
        buf_fini(b);
    }
}

/* Puts waiting ciphertext on the line when it is free. */
static void wire_flush(struct wire *w)
{
    if (w->waiting.len == 0 || io_writing(&w->stream) || w->closing) {
        return;
    }
    struct buf empty = w->sending;
    w->sending = w->waiting;
    w->waiting = empty;
    w->sending_iov = (struct iovec){w->sending.ptr, w->sending.len};
    w->write_included = w->writing;
    io_write(&w->stream, &w->sending_iov, 1);
}

static void wire_end(struct wire *w, int err)
{
    if (!w->ended) {
        w->ended = true;
        w->ops->on_end(w, err);
    }
}

static void wire_secured(struct wire *w, int err)
{
    w->securing = false;
    w->ops->on_secure(w, err);
}

static void on_open(struct io_stream *s, int err)
{
    struct wire *w = wire_of(s);

    w->ops->on_open(w, err);
}

/* Hands on what the peer said and tells of a handshake that ended, in this order of events:
 * the handshake always ends before the first plaintext. */
static void wire_feed_tls(struct wire *w, struct slice data)
{
    struct buf plain = BUF_EMPTY;
    int err = tls_stream_feed(w->tls, data, &plain, &w->waiting);

    wire_flush(w);
    if (w->securing && (err != 0 || tls_stream_state(w->tls) != TLS_HANDSHAKE)) {
        wire_secured(w, err);
        err = w->closing ? 0 : err;
    }
    if (plain.len > 0 && !w->closing) {
        w->ops->on_plain(w, buf_slice(&plain));
    }
    buf_fini(&plain);
    if (!w->closing && (err != 0 || tls_stream_state(w->tls) == TLS_PEER_CLOSED)) {
        wire_end(w, err);
    }
}

static void on_read(struct io_stream *s, struct slice data)
{
    struct wire *w = wire_of(s);

    if (w->ended) {
        return;
    }
    if (w->tls != NULL) {
        wire_feed_tls(w, data);
    } else {
        w->ops->on_plain(w, data);
    }
}

static void on_write(struct io_stream *s, int err)
{
    struct wire *w = wire_of(s);
    bool done = w->tls == NULL || w->write_included;
    bool report = w->writing && (done || err != 0);

    buf_release_large(&w->sending);
    w->write_included = false;
    w->writing = w->writing && !report; /* before what follows is taken for a part of it */
    if (err == 0) {
        wire_flush(w);
    }
    if (report) {
        w->ops->on_written(w, err);
    }
}

static void on_end(struct io_stream *s, int err)
{
    struct wire *w = wire_of(s);

    if (w->securing) {
        if (err == 0) {
            err = ERR_CLOSED;
        }
        wire_secured(w, err);
        if (w->closing) {
            return;
        }
    } else if (w->tls != NULL && err == 0) {
        /* A FIN without close_notify could be an attacker's cut; SMTP replies are complete
         * in themselves, so the session alone decides what it means. */
        (void)tls_stream_end(w->tls);
    }
    wire_end(w, err);
}

static void on_close(struct io_stream *s)
{
    struct wire *w = wire_of(s);

    tls_stream_free(w->tls);
    w->tls = NULL;
    buf_fini(&w->sending);
    buf_fini(&w->waiting);
    w->ops->on_close(w);
}

static const struct io_stream_ops stream_ops = {
    .on_open = on_open,
    .on_read = on_read,
    .on_end = on_end,
    .on_write = on_write,
    .on_close = on_close,
};

int wire_open(struct wire *w, struct io *io, const struct wire_ops *ops, const struct sockaddr *to,
              socklen_t to_len, const struct io_connect_options *options)
{
    *w = (struct wire){.ops = ops};
    return io_connect(io, &w->stream, &stream_ops, to, to_len, options);
}

void wire_secure(struct wire *w, struct tls_context *ctx, const struct tls_stream_options *options)
{
    ASSERT(w->tls == NULL);
    /* The reply to STARTTLS may be here before we are told that the command was taken, and a
     * hostile server can say it even earlier.  The handshake then follows the command. */
    w->write_included = w->writing;
    w->tls = tls_stream_new(ctx, options);
    w->securing = true;
    if (tls_stream_start(w->tls, &w->waiting) != 0) {
        wire_secured(w, ERR_TLS);
        return;
    }
    wire_flush(w);
}

void wire_write(struct wire *w, const struct iovec *iov, size_t count)
{
    ASSERT(!w->writing && !w->closing && !w->securing);
    w->writing = true;
    if (w->tls == NULL) {
        io_write(&w->stream, iov, count);
        return;
    }
    if (tls_stream_write(w->tls, iov, count, &w->waiting) != 0) {
        w->writing = false;
        wire_end(w, ERR_TLS);
        return;
    }
    wire_flush(w);
}

bool wire_writing(const struct wire *w)
{
    return w->writing;
}

void wire_close(struct wire *w)
{
    if (w->closing) {
        return;
    }
    if (w->tls != NULL && !w->securing && !io_writing(&w->stream)) {
        tls_stream_close(w->tls, &w->waiting);
        wire_flush(w);
    }
    w->closing = true;
    io_close(&w->stream);
}
