/*
 * mta.h - a mail server on the loop of the test, that behaves as it is told.
 *
 * It answers each line when it comes, so it needs no thread and no time passes unseen.
 */
#ifndef VOLLEY_TEST_DELIVER_MTA_H
#define VOLLEY_TEST_DELIVER_MTA_H

#include "engine/base/buf.h"
#include "engine/base/mem.h"
#include "engine/io/io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct mta {
    struct io *io;
    struct io_listener listener;
    struct sockaddr_storage address;
    socklen_t address_len;
    struct list open; /* struct mta_conn */
    /* How it behaves. */
    bool close_at_mail;   /* hangs up instead of answering MAIL */
    unsigned close_after; /* hangs up at the MAIL after so many letters; 0: never */
    bool hold_dot;        /* does not answer the final dot until mta_release() */
    /* What it saw. */
    unsigned accepted; /* connections */
    unsigned now;      /* of these, open ones */
    unsigned most;     /* open at a time */
    unsigned letters;
    char peer[46]; /* whom it accepted last */
    bool closed;
};

struct mta_conn {
    struct io_stream s;
    struct mta *mta;
    struct list link;
    struct buf in, out, flying;
    struct iovec iov;
    unsigned letters;
    bool body;
    bool held; /* a dot waits for its answer */
    bool bye;
};

static inline void mta_flush(struct mta_conn *c)
{
    if (c->out.len > 0 && !io_writing(&c->s)) {
        struct buf spare = c->flying;

        c->flying = c->out;
        c->out = spare;
        buf_reset(&c->out);
        c->iov = (struct iovec){c->flying.ptr, c->flying.len};
        io_write(&c->s, &c->iov, 1);
    }
}

static inline void mta_say(struct mta_conn *c, const char *line)
{
    buf_puts(&c->out, slice_cstr(line));
}

static inline void mta_hang_up(struct mta_conn *c)
{
    c->bye = true;
    io_close(&c->s);
}

static inline void mta_dot(struct mta_conn *c)
{
    c->body = false;
    if (c->mta->hold_dot) {
        c->held = true;
        return;
    }
    c->letters++;
    c->mta->letters++;
    mta_say(c, "250 2.0.0 taken\r\n");
}

static inline void mta_line(struct mta_conn *c, struct slice line)
{
    struct mta *m = c->mta;

    if (c->body) {
        if (slice_eq(line, SLICE("."))) {
            mta_dot(c);
        }
    } else if (slice_istarts(line, SLICE("EHLO"))) {
        mta_say(c, "250-mta.test\r\n250-PIPELINING\r\n250 ENHANCEDSTATUSCODES\r\n");
    } else if (slice_istarts(line, SLICE("MAIL"))) {
        if (m->close_at_mail || (m->close_after > 0 && c->letters >= m->close_after)) {
            mta_hang_up(c);
            return;
        }
        mta_say(c, "250 2.1.0 fine\r\n");
    } else if (slice_istarts(line, SLICE("RCPT"))) {
        mta_say(c, "250 2.1.5 fine\r\n");
    } else if (slice_istarts(line, SLICE("DATA"))) {
        c->body = true;
        mta_say(c, "354 go\r\n");
    } else if (slice_istarts(line, SLICE("QUIT"))) {
        mta_say(c, "221 bye\r\n");
        mta_flush(c);
        mta_hang_up(c);
    } else {
        mta_say(c, "250 2.0.0 fine\r\n");
    }
}

/* What is in `in`, line by line; a dot that is held holds up what stands behind it. */
static inline void mta_work(struct mta_conn *c)
{
    struct slice rest = buf_slice(&c->in), line;

    while (!c->bye && !c->held && slice_find(rest, '\n') < rest.len) {
        line = slice_of(rest.ptr, slice_find(rest, '\n'));
        rest = slice_from(rest, line.len + 1);
        line.len -= line.len > 0 && line.ptr[line.len - 1] == '\r';
        mta_line(c, line);
    }
    buf_consume(&c->in, c->in.len - rest.len);
    if (!c->bye) {
        mta_flush(c);
    }
}

static inline void mta_on_read(struct io_stream *s, struct slice data)
{
    struct mta_conn *c = CONTAINER_OF(s, struct mta_conn, s);

    buf_puts(&c->in, data);
    mta_work(c);
}

static inline void mta_on_write(struct io_stream *s, int err)
{
    if (err == 0) {
        mta_flush(CONTAINER_OF(s, struct mta_conn, s));
    }
}

static inline void mta_on_end(struct io_stream *s, int err)
{
    (void)err;
    io_close(s);
}

static inline void mta_on_close(struct io_stream *s)
{
    struct mta_conn *c = CONTAINER_OF(s, struct mta_conn, s);

    c->mta->now--;
    list_remove(&c->link);
    buf_fini(&c->in);
    buf_fini(&c->out);
    buf_fini(&c->flying);
    mem_free(c);
}

static inline void mta_on_accept(struct io_listener *l, int fd, const struct sockaddr *peer)
{
    static const struct io_stream_ops ops = {
        .on_read = mta_on_read,
        .on_write = mta_on_write,
        .on_end = mta_on_end,
        .on_close = mta_on_close,
    };
    struct mta *m = CONTAINER_OF(l, struct mta, listener);
    struct mta_conn *c = mem_zalloc(sizeof(*c));

    struct sockaddr_in from = {0};
    socklen_t from_len = sizeof(from);

    (void)peer;
    assert_int_equal(getpeername(fd, (struct sockaddr *)&from, &from_len), 0);
    inet_ntop(AF_INET, &from.sin_addr, m->peer, sizeof(m->peer));
    c->mta = m;
    list_init(&c->link);
    list_append(&m->open, &c->link);
    m->accepted++;
    m->now++;
    m->most = m->now > m->most ? m->now : m->most;
    assert_int_equal(io_adopt(m->io, &c->s, &ops, fd), 0);
    mta_say(c, "220 mta.test\r\n");
    mta_flush(c);
}

static inline void mta_on_listener_close(struct io_listener *l)
{
    struct mta *m = CONTAINER_OF(l, struct mta, listener);

    close(l->fd);
    m->closed = true;
}

/* A listening socket on a free port of the loopback address of the family; -1 without it. */
static inline int mta_socket(int family, int backlog, struct sockaddr_storage *at, socklen_t *len)
{
    struct sockaddr_in *in4 = (struct sockaddr_in *)(void *)at;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)at;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    memset(at, 0, sizeof(*at));
    at->ss_family = (sa_family_t)family;
    if (family == AF_INET) {
        in4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        *len = sizeof(*in4);
    } else {
        in6->sin6_addr = in6addr_loopback;
        *len = sizeof(*in6);
    }
    if (fd < 0 || bind(fd, (struct sockaddr *)at, *len) != 0) {
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)at, len), 0);
    return fd;
}

static inline void mta_open(struct mta *m, struct io *io)
{
    memset(m, 0, sizeof(*m));
    m->io = io;
    list_init(&m->open);
    int fd = mta_socket(AF_INET, 128, &m->address, &m->address_len);
    assert_true(fd >= 0);
    m->listener.on_accept = mta_on_accept;
    m->listener.on_close = mta_on_listener_close;
    assert_int_equal(io_listen(io, &m->listener, fd), 0);
}

/* Answers the dots that are held, and holds no more. */
static inline void mta_release(struct mta *m)
{
    m->hold_dot = false;
    LIST_EACH_SAFE (link, &m->open) {
        struct mta_conn *c = CONTAINER_OF(link, struct mta_conn, link);
        if (c->held && !c->bye) {
            c->held = false;
            mta_dot(c);
            mta_work(c);
        }
    }
}

static inline void mta_close(struct mta *m)
{
    LIST_EACH_SAFE (link, &m->open) {
        io_close(&CONTAINER_OF(link, struct mta_conn, link)->s);
    }
    io_listener_close(&m->listener);
    while (!m->closed || m->now > 0) {
        io_tick(m->io, 10000);
    }
}

/* ---- an address that does not answer ---- */

/* A listener whose queue of connections is full: the kernel drops what comes, silently. */
struct mute {
    struct sockaddr_storage address;
    socklen_t address_len;
    int fd;
    int filler[4];
};

/* False when the family is not to be had here. */
static inline bool mute_open(struct mute *m, int family)
{
    memset(m, 0, sizeof(*m));
    m->fd = mta_socket(family, 0, &m->address, &m->address_len);
    for (size_t i = 0; i < 4 && m->fd >= 0; i++) {
        m->filler[i] = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(m->filler[i], (struct sockaddr *)&m->address, m->address_len);
    }
    return m->fd >= 0;
}

static inline void mute_close(struct mute *m)
{
    for (size_t i = 0; i < 4; i++) {
        close(m->filler[i]);
    }
    close(m->fd);
}

#endif
