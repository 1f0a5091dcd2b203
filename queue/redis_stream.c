/*
 * redis_stream.c - the bytes of a connection to Redis: in, out, and TLS between.
 */
#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "queue/redis_private.h"

#include <stdio.h>

enum { OUT_KEEP_MAX = 4 * 1024 * 1024 /* a larger output buffer is given back */ };

static bool alive(const struct redis *r)
{
    return r->state == REDIS_READY || r->state == REDIS_GREETING;
}

static void line_fail(struct redis *r)
{
    char text[REDIS_WHY_MAX];

    snprintf(text, sizeof(text), "TLS: %s", secure_line_error(r->line));
    /* The alert that says why to the other side: its last chance, and nobody waits for it. */
    if (!io_writing(&r->stream) && r->wire[r->gather].len > 0) {
        r->sending = (struct iovec){r->wire[r->gather].ptr, r->wire[r->gather].len};
        r->gather ^= 1;
        io_write(&r->stream, &r->sending, 1);
    }
    redis_fail(r, ERR_TLS, text);
}

/* ---- out ---- */

static void buffer_spare(struct buf *b)
{
    if (b->cap > OUT_KEEP_MAX) {
        buf_fini(b);
    }
    buf_reset(b);
}

void redis_stream_write(struct redis *r)
{
    if (io_writing(&r->stream)) {
        return;
    }
    if (r->line != NULL && r->plain_out.len > 0) {
        if (secure_line_write(r->line, buf_slice(&r->plain_out), &r->wire[r->gather]) != 0) {
            line_fail(r);
            return;
        }
        buffer_spare(&r->plain_out);
    }
    struct buf *full = &r->wire[r->gather];
    if (full->len > 0) {
        r->gather ^= 1;
        r->sending = (struct iovec){full->ptr, full->len};
        io_write(&r->stream, &r->sending, 1);
    }
}

static void on_write(struct io_stream *s, int err)
{
    struct redis *r = CONTAINER_OF(s, struct redis, stream);

    if (err != 0) {
        redis_fail(r, err, err_name(err));
        return;
    }
    buffer_spare(&r->wire[r->gather ^ 1]);
    redis_stream_write(r);
}

/* ---- in ---- */

/* "Not here": the call at the head was not done, and no other will be.  True when it was so. */
static bool is_elsewhere(struct redis *r, const struct resp *reply)
{
    struct place moved;
    char text[REDIS_WHY_MAX];

    if (r->state != REDIS_READY || !topology_is_elsewhere(reply)) {
        return false;
    }
    bool moved_to = topology_read_moved(reply, &r->place, &moved) == 0;
    snprintf(text, sizeof(text), SLICE_FMT "%s", SLICE_ARG(reply->text),
             moved_to && r->url.kind != REDIS_CLUSTER
                 ? ": it is a node of a Redis Cluster, write redis-cluster:// in queue.redis"
                 : "");
    if (moved_to && r->url.kind == REDIS_CLUSTER) {
        r->place = moved;
        r->told = true;
    }
    redis_fail(r, ERR_AGAIN, text);
    return true;
}

static void replies_take(struct redis *r, struct slice data)
{
    const struct resp *reply;
    const char *why = "";
    int got = resp_reader_feed(r->reader, data);

    while (got >= 0 && alive(r)) {
        got = resp_reader_next(r->reader, &reply, &why);
        if (got <= 0) {
            break;
        }
        if (redis_call_oldest(r) == NULL) {
            got = ERR_PROTO;
            why = "an answer to no command";
            break;
        }
        if (!is_elsewhere(r, reply)) {
            struct redis_call call = redis_call_take(r);
            call.done(call.ctx, 0, reply);
        }
    }
    if (got < 0 && alive(r)) {
        redis_fail(r, ERR_PROTO, why);
    }
}

static void line_feed(struct redis *r, struct slice data)
{
    bool was_open = secure_line_is_open(r->line);
    int err = secure_line_feed(r->line, data, &r->plain_in, &r->wire[r->gather]);

    if (err != 0) {
        line_fail(r);
        return;
    }
    if (!was_open && secure_line_is_open(r->line)) {
        redis_greet(r);
    }
    redis_stream_write(r); /* of the handshake, or of a change of keys */
    if (r->plain_in.len > 0 && alive(r)) {
        replies_take(r, buf_slice(&r->plain_in));
    }
    buffer_spare(&r->plain_in);
}

static void on_read(struct io_stream *s, struct slice data)
{
    struct redis *r = CONTAINER_OF(s, struct redis, stream);

    if (r->line != NULL) {
        line_feed(r, data);
    } else {
        replies_take(r, data);
    }
}

static void on_end(struct io_stream *s, int err)
{
    struct redis *r = CONTAINER_OF(s, struct redis, stream);

    redis_fail(r, err != 0 ? err : ERR_CLOSED,
               err != 0 ? err_name(err)
               : r->line != NULL && !secure_line_is_open(r->line)
                   ? "it closed the connection during the TLS handshake"
                   : "Redis closed the connection");
}

/* ---- beginning and end ---- */

static void on_open(struct io_stream *s, int err)
{
    struct redis *r = CONTAINER_OF(s, struct redis, stream);

    if (err != 0) {
        redis_fail(r, err, err_name(err));
    } else if (r->url.tls) {
        r->line = secure_line_new(r->url.secure, r->place.host, &r->wire[r->gather]);
        redis_stream_write(r);
    } else {
        redis_greet(r);
    }
}

static void on_close(struct io_stream *s)
{
    struct redis *r = CONTAINER_OF(s, struct redis, stream);

    r->stream_open = false;
    redis_settle(r);
}

static const struct io_stream_ops stream_ops = {
    .on_open = on_open,
    .on_read = on_read,
    .on_end = on_end,
    .on_write = on_write,
    .on_close = on_close,
};

int redis_stream_open(struct redis *r, const struct sockaddr *to, socklen_t len)
{
    struct io_connect_options options = {.timeout_us = REDIS_CONNECT_US};

    r->state = REDIS_CONNECTING;
    r->reader = resp_reader_new();
    int err = io_connect(r->io, &r->stream, &stream_ops, to, len, &options);
    r->stream_open = err == 0;
    return err;
}
