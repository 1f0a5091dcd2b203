/*
 * sync.c - a small blocking Redis client for commands and tests.
 *
 * A non-blocking socket and poll(): with a pipeline both directions move at once, so that
 * Redis' answers cannot fill up behind our unsent commands.
 */
#include "queue/sync_private.h"
#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

int sync_fail(struct sync *s, int err, const char *text)
{
    buf_reset(&s->error);
    buf_puts(&s->error, slice_cstr(text));
    buf_terminate(&s->error);
    return err;
}

static struct buf *leaving(struct sync *s)
{
    return s->line != NULL ? &s->wire : &s->out;
}

static bool all_left(const struct sync *s)
{
    return s->out.len == 0 && s->wire.len == 0;
}

static int encrypt(struct sync *s)
{
    if (s->line == NULL || s->out.len == 0 || !secure_line_is_open(s->line)) {
        return 0;
    }
    if (secure_line_write(s->line, buf_slice(&s->out), &s->wire) != 0) {
        return sync_fail(s, ERR_TLS, secure_line_error(s->line));
    }
    buf_reset(&s->out);
    return 0;
}

/* Sends what fits. */
static int send_some(struct sync *s)
{
    int err = encrypt(s);
    struct buf *b = leaving(s);

    while (err == 0 && s->sent < b->len) {
        ssize_t n = send(s->fd, b->ptr + s->sent, b->len - s->sent, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EAGAIN) {
                return 0;
            }
            if (errno == EINTR) {
                continue;
            }
            return sync_fail(s, err_from_errno(errno), strerror(errno));
        }
        s->sent += (size_t)n;
    }
    if (err == 0) {
        buf_reset(b);
        s->sent = 0;
    }
    return err;
}

static int decrypt(struct sync *s, struct slice data)
{
    buf_reset(&s->plain);
    if (secure_line_feed(s->line, data, &s->plain, &s->wire) != 0) {
        (void)send(s->fd, s->wire.ptr + s->sent, s->wire.len - s->sent, MSG_NOSIGNAL); /* why */
        return sync_fail(s, ERR_TLS, secure_line_error(s->line));
    }
    return s->plain.len > 0 ? resp_reader_feed(s->reader, buf_slice(&s->plain)) : 0;
}

static int receive_some(struct sync *s)
{
    ssize_t n = recv(s->fd, s->in, sizeof(s->in), 0);

    if (n > 0) {
        struct slice data = slice_of(s->in, (size_t)n);
        return s->line != NULL ? decrypt(s, data) : resp_reader_feed(s->reader, data);
    }
    if (n == 0) {
        return sync_fail(s, ERR_CLOSED, "Redis closed the connection");
    }
    return errno == EAGAIN || errno == EINTR ? 0
                                             : sync_fail(s, err_from_errno(errno), strerror(errno));
}

/* Moves bytes until something was received (or, `all_sent`, until nothing waits to leave). */
int sync_exchange(struct sync *s, bool all_sent, int64_t until_us)
{
    for (;;) {
        int err = send_some(s);
        if (err != 0 || (all_sent && all_left(s))) {
            return err;
        }
        struct pollfd p = {s->fd, (short)(POLLIN | (leaving(s)->len > 0 ? POLLOUT : 0)), 0};
        int64_t left_ms = (until_us - clock_mono_us()) / 1000;
        int ready = poll(&p, 1, left_ms > 0 ? (int)left_ms : 0);
        if (ready == 0) {
            return sync_fail(s, ERR_TIMEOUT, "no answer in time");
        }
        if (ready > 0 && (p.revents & ~POLLOUT) != 0) {
            err = receive_some(s);
            if (err != 0 || !all_sent) {
                return err;
            }
        }
    }
}

int64_t sync_deadline(const struct sync *s)
{
    return clock_mono_us() + (int64_t)s->timeout_ms * 1000;
}

struct buf *sync_begin(struct sync *s)
{
    return &s->out;
}

void sync_end(struct sync *s)
{
    s->pending++;
}

void sync_add(struct sync *s, const struct slice *argv, size_t argc)
{
    resp_put_command(sync_begin(s), argv, argc);
    sync_end(s);
}

int sync_flush(struct sync *s)
{
    return sync_exchange(s, true, sync_deadline(s));
}

int sync_take(struct sync *s, const struct resp **reply)
{
    int64_t until_us = sync_deadline(s);

    ASSERT(s->pending > 0);
    for (;;) {
        const char *why = "";
        int got = resp_reader_next(s->reader, reply, &why);
        if (got == 1) {
            s->pending--;
            return topology_is_elsewhere(*reply) ? sync_fail(s, ERR_AGAIN, (*reply)->text.ptr) : 0;
        }
        int err = got < 0 ? sync_fail(s, got, why) : sync_exchange(s, false, until_us);
        if (err != 0) {
            return err;
        }
    }
}

size_t sync_pending(const struct sync *s)
{
    return s->pending;
}

int sync_call(struct sync *s, const struct slice *argv, size_t argc, const struct resp **reply)
{
    ASSERT(s->pending == 0);
    sync_add(s, argv, argc);
    return sync_take(s, reply);
}

const char *sync_error(const struct sync *s)
{
    return s->error.len > 0 ? s->error.ptr : "";
}
