/*
 * harness.h - a loop on either backend, streams that record what happens to them, and plain
 * sockets to play the other side.
 */
#ifndef VOLLEY_TEST_IO_HARNESS_H
#define VOLLEY_TEST_IO_HARNESS_H

#include "engine/base/buf.h"
#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/io/backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/un.h>
#include <unistd.h>

enum { AWAIT_US = 10 * 1000 * 1000 };

/* Ticks until the condition holds. */
#define AWAIT(io, cond)                                    \
    do {                                                   \
        int64_t await_end_us = clock_mono_us() + AWAIT_US; \
        while (!(cond)) {                                  \
            if (clock_mono_us() > await_end_us) {          \
                fail_msg("waited in vain for: %s", #cond); \
            }                                              \
            io_tick((io), 20 * 1000);                      \
        }                                                  \
    } while (0)

/* ---- a recording stream ---- */

struct peer {
    struct io_stream s;
    struct buf in;
    bool keep; /* collect what arrives in `in`; else it is only counted */
    size_t received;
    int reads, opens, ends, writes, closes;
    int open_err, end_err, write_err;
    void (*opened)(struct peer *p);
    void (*read)(struct peer *p, struct slice data);
    void (*ended)(struct peer *p);
    void (*written)(struct peer *p);
    void *arg;
};

static inline struct peer *peer_of(struct io_stream *s)
{
    return CONTAINER_OF(s, struct peer, s);
}

static inline void peer_on_open(struct io_stream *s, int err)
{
    struct peer *p = peer_of(s);

    assert_int_equal(p->closes, 0);
    p->opens++;
    p->open_err = err;
    if (p->opened != NULL) {
        p->opened(p);
    }
}

static inline void peer_on_read(struct io_stream *s, struct slice data)
{
    struct peer *p = peer_of(s);

    assert_int_equal(p->closes + p->ends, 0);
    assert_true(data.len > 0);
    p->reads++;
    p->received += data.len;
    if (p->keep) {
        buf_puts(&p->in, data);
    }
    if (p->read != NULL) {
        p->read(p, data);
    }
}

static inline void peer_on_end(struct io_stream *s, int err)
{
    struct peer *p = peer_of(s);

    assert_int_equal(p->closes + p->ends, 0);
    p->ends++;
    p->end_err = err;
    if (p->ended != NULL) {
        p->ended(p);
    }
}

static inline void peer_on_write(struct io_stream *s, int err)
{
    struct peer *p = peer_of(s);

    assert_int_equal(p->closes, 0);
    p->writes++;
    p->write_err = err;
    if (p->written != NULL) {
        p->written(p);
    }
}

static inline void peer_on_close(struct io_stream *s)
{
    struct peer *p = peer_of(s);

    p->closes++;
    assert_int_equal(p->closes, 1);
}

static const struct io_stream_ops peer_ops = {
    .on_open = peer_on_open,
    .on_read = peer_on_read,
    .on_end = peer_on_end,
    .on_write = peer_on_write,
    .on_close = peer_on_close,
};

static inline void peer_init(struct peer *p)
{
    memset(p, 0, sizeof(*p));
    p->keep = true;
    p->open_err = p->end_err = p->write_err = 1;
}

/* Closes unless it was closed, waits for on_close, frees. */
static inline void peer_fini(struct io *io, struct peer *p)
{
    if (p->closes == 0) {
        io_close(&p->s);
        AWAIT(io, p->closes == 1);
    }
    buf_fini(&p->in);
}

/* ---- plain sockets ---- */

union address {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
};

static inline socklen_t address_len(const union address *a)
{
    return a->sa.sa_family == AF_INET    ? sizeof(a->in)
           : a->sa.sa_family == AF_INET6 ? sizeof(a->in6)
                                         : sizeof(a->un);
}

/* Listens on a free loopback port, or on a unix-domain socket with an abstract name. */
static inline int plain_listen(int family, union address *at)
{
    static int serial;
    socklen_t len;

    memset(at, 0, sizeof(*at));
    at->sa.sa_family = (sa_family_t)family;
    if (family == AF_INET) {
        at->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    } else if (family == AF_INET6) {
        at->in6.sin6_addr = in6addr_loopback;
    } else {
        snprintf(at->un.sun_path + 1, sizeof(at->un.sun_path) - 1, "volley-test-io-%d-%d",
                 (int)getpid(), serial++);
    }
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, &at->sa, address_len(at)), 0);
    assert_int_equal(listen(fd, 1024), 0);
    if (family != AF_UNIX) {
        len = sizeof(*at);
        assert_int_equal(getsockname(fd, &at->sa, &len), 0);
    }
    return fd;
}

/* Two connected sockets over loopback TCP. */
static inline void plain_pair(int fd[2])
{
    union address at;
    int listener = plain_listen(AF_INET, &at);

    fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd[0], &at.sa, address_len(&at)), 0);
    fd[1] = accept(listener, NULL, NULL);
    assert_true(fd[1] >= 0);
    close(listener);
}

/* Closes so that the other side sees a reset. */
static inline void plain_reset(int fd)
{
    struct linger hard = {1, 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    close(fd);
}

/* The bytes that wait in a socket. */
static inline int plain_unread(int fd)
{
    int count = -1;

    ioctl(fd, FIONREAD, &count);
    return count;
}

/* A connected pair: a recording stream and a plain socket. */
static inline int peer_adopt(struct io *io, struct peer *p)
{
    int fd[2];

    plain_pair(fd);
    peer_init(p);
    assert_int_equal(io_adopt(io, &p->s, &peer_ops, fd[0]), 0);
    return fd[1];
}

/* ---- both backends ---- */

static const enum io_backend harness_uring = IO_URING, harness_epoll = IO_EPOLL;

static inline int harness_setup(void **state)
{
    struct io_options options = {.backend = *(const enum io_backend *)*state};
    int err;

    *state = io_new(&options, &err);
    if (*state == NULL && options.backend == IO_URING) {
        printf("no io_uring here (%s): the tests over it are skipped\n", err_name(err));
        return 0;
    }
    return *state != NULL ? 0 : -1;
}

/* A test that failed in the middle leaves streams behind; io_free() would panic over them and
 * hide what failed. */
static inline int harness_teardown(void **state)
{
    struct io *io = *state;

    for (uint32_t at = 0; io != NULL && at < io->slot_count; at++) {
        if (io->slots[at].kind != SLOT_FREE) {
            printf("streams, listeners or watches were left open\n");
            return -1;
        }
    }
    io_free(io);
    return 0;
}

/* The loop of this test; skips where there is no io_uring. */
#define IO_OF(state)            \
    ({                          \
        if (*(state) == NULL) { \
            skip();             \
        }                       \
        (struct io *)*(state);  \
    })

#define ON_BOTH(f)                                                                              \
    {#f " (epoll)", f, harness_setup, harness_teardown, (void *)(uintptr_t)&harness_epoll},     \
    {                                                                                           \
#f " (io_uring)", f, harness_setup, harness_teardown, (void *)(uintptr_t)&harness_uring \
    }

#endif
