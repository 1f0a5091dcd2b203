/*
 * epoll.c - the backend for kernels and containers that refuse io_uring.
 *
 * Streams are registered once, edge-triggered for both directions: arming and disarming
 * would cost a system call each.  So a stream is read until a read comes back short (or, when
 * the peer hung up, until the end), and writing is tried at once and waits for an edge only
 * after it blocked.  Listeners and watches are level-triggered.
 */
#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/panic.h"
#include "engine/io/backend.h"
#include "engine/io/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* One stream may read READS_MAX buffers a tick, one listener accept ACCEPTS_MAX: the others
 * have their turn before it goes on. */
enum { EVENTS_MAX = 512, READ_BUFFER = 64 * 1024, READS_MAX = 4, ACCEPTS_MAX = 64 };

enum epoll_op { OP_WAKE, OP_OWNER };

struct epoll {
    int fd;
    int count;
    struct epoll_event event[EVENTS_MAX];
    char buffer[READ_BUFFER];
};

static struct epoll *epoll_of(struct io *io)
{
    return io->impl;
}

static int control(struct io *io, int op, int fd, uint32_t slot, unsigned events)
{
    struct epoll_event event = {.events = events, .data.u64 = tag_of(io, slot, OP_OWNER)};

    return epoll_ctl(epoll_of(io)->fd, op, fd, &event) == 0 ? 0 : err_from_errno(errno);
}

/* ---- streams ---- */

static int epoll_attach(struct io_stream *s)
{
    return control(s->io, EPOLL_CTL_ADD, s->fd, s->slot, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

static int epoll_connect(struct io_stream *s, socklen_t to_len)
{
    if (connect(s->fd, (const struct sockaddr *)&s->to, to_len) != 0 && errno != EINPROGRESS) {
        s->open_err = (int8_t)err_from_errno(errno);
        slot_later(s->io, s->slot, LATER_OPEN);
        return 0;
    }
    return epoll_attach(s); /* its first edge tells how connecting ended */
}

static void epoll_cancel(struct io_stream *s)
{
    (void)s; /* nothing is in flight; closing the descriptor ends it */
}

static void epoll_read_start(struct io_stream *s)
{
    if ((s->flags & STREAM_READABLE) != 0) {
        slot_later(s->io, s->slot, LATER_READ);
    }
}

static void epoll_read_stop(struct io_stream *s)
{
    (void)s; /* read_more() looks at STREAM_PAUSED */
}

/* Reads one buffer.  True when the next one may be read at once. */
static bool read_once(struct io_stream *s, struct epoll *e)
{
    ssize_t n = recv(s->fd, e->buffer, sizeof(e->buffer), MSG_DONTWAIT);

    if (n > 0) {
        if ((size_t)n < sizeof(e->buffer) && (s->flags & STREAM_HANGUP) == 0) {
            s->flags &= (uint16_t)~STREAM_READABLE;
        }
        stream_data(s, slice_of(e->buffer, (size_t)n));
        return (s->flags & STREAM_READABLE) != 0;
    }
    if (n < 0 && errno == EINTR) {
        return true;
    }
    s->flags &= (uint16_t)~STREAM_READABLE;
    if (n == 0 || errno != EAGAIN) {
        stream_ended(s, n == 0 ? 0 : err_from_errno(errno));
    }
    return false;
}

static void epoll_read_more(struct io_stream *s)
{
    struct epoll *e = epoll_of(s->io);

    for (int reads = 0; stream_wants_data(s); reads++) {
        if (reads == READS_MAX) {
            slot_later(s->io, s->slot, LATER_READ);
            return;
        }
        if (!read_once(s, e)) {
            return;
        }
    }
}

/* Sends what the kernel takes.  False when it has to wait for room; else s->write_err says
 * how the write ended. */
static bool push(struct io_stream *s)
{
    for (;;) {
        struct slice run = stream_first_run(s);
        int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
        ssize_t n = run.len == 0 ? sendmsg(s->fd, &s->message, flags)
                                 : send(s->fd, run.ptr, run.len,
                                        flags | (s->message.msg_iovlen > 1 ? MSG_MORE : 0));
        if (n >= 0 && stream_advance(s, (size_t)n)) {
            s->write_err = 0;
            return true;
        }
        if (n < 0 && errno == EAGAIN) {
            return false;
        }
        if (n < 0 && errno != EINTR) {
            s->write_err = (int8_t)err_from_errno(errno);
            return true;
        }
    }
}

static void epoll_write(struct io_stream *s)
{
    if (push(s)) {
        slot_later(s->io, s->slot, LATER_WRITE);
    } else {
        s->flags |= STREAM_BLOCKED;
    }
}

static void stream_event(struct io_stream *s, unsigned events)
{
    const unsigned dead = EPOLLHUP | EPOLLERR;

    if (s->state == STREAM_CONNECTING) {
        if ((events & (EPOLLOUT | dead)) != 0) {
            stream_opened(s, err_from_errno(socket_error(s->fd)));
        }
    }
    if ((events & (EPOLLOUT | dead)) != 0 && (s->flags & STREAM_BLOCKED) != 0 && push(s)) {
        s->flags &= (uint16_t)~STREAM_BLOCKED;
        stream_written(s, s->write_err);
    }
    if ((events & (EPOLLIN | EPOLLRDHUP | dead)) != 0) {
        s->flags |= STREAM_READABLE;
        if ((events & (EPOLLRDHUP | dead)) != 0) {
            s->flags |= STREAM_HANGUP;
        }
        epoll_read_more(s);
    }
}

/* ---- listeners ---- */

static int epoll_listen(struct io_listener *l)
{
    int flags = fcntl(l->fd, F_GETFL);

    /* A connection that waited may be gone again by the time we accept. */
    if (flags < 0 || fcntl(l->fd, F_SETFL, flags | O_NONBLOCK) != 0) {
        return err_from_errno(errno);
    }
    return control(l->io, EPOLL_CTL_ADD, l->fd, l->slot, EPOLLIN);
}

static void epoll_listen_stop(struct io_listener *l)
{
    epoll_ctl(epoll_of(l->io)->fd, EPOLL_CTL_DEL, l->fd, NULL);
}

static void listener_event(struct io_listener *l)
{
    struct sockaddr_storage peer;

    for (int accepts = 0; accepts < ACCEPTS_MAX && l->state == HANDLE_OPEN; accepts++) {
        socklen_t len = sizeof(peer);
        int fd = accept4(l->fd, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            listener_accepted(l, fd, (const struct sockaddr *)&peer);
        } else if (errno == EAGAIN) {
            return;
        } else if (!listener_failed(l, errno)) {
            epoll_listen_stop(l);
            return;
        }
    }
}

/* ---- watches ---- */

static int epoll_watch(struct io_watch *w)
{
    return w->events == 0 ? 0 : control(w->io, EPOLL_CTL_ADD, w->fd, w->slot, w->events);
}

/* With no events the descriptor leaves the set: a hang-up would be reported for ever. */
static void epoll_watch_change(struct io_watch *w, unsigned before)
{
    int op = w->events == 0 ? EPOLL_CTL_DEL : before == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    int err = control(w->io, op, w->fd, w->slot, w->events);

    ASSERT(err == 0 || w->events == 0);
}

static void epoll_watch_stop(struct io_watch *w)
{
    if (w->events != 0) {
        epoll_ctl(epoll_of(w->io)->fd, EPOLL_CTL_DEL, w->fd, NULL);
    }
}

/* ---- the loop ---- */

static void epoll_wait_for(struct io *io, int64_t wait_us)
{
    struct epoll *e = epoll_of(io);
    int timeout_ms = -1;

    if (wait_us >= 0) {
        int64_t ms = (wait_us + 999) / 1000;
        timeout_ms = ms > INT_MAX ? INT_MAX : (int)ms;
    }
    io->stats.enters++;
    e->count = epoll_wait(e->fd, e->event, EVENTS_MAX, timeout_ms);
    if (e->count < 0) {
        if (errno != EINTR) {
            PANIC("epoll_wait: %s", strerror(errno));
        }
        e->count = 0;
    }
    io->stats.completions += (uint64_t)e->count;
}

static void epoll_dispatch(struct io *io)
{
    struct epoll *e = epoll_of(io);

    for (int i = 0; i < e->count; i++) {
        uint64_t tag = e->event[i].data.u64;
        unsigned events = e->event[i].events;
        struct slot *slot = tag_op(tag) == OP_OWNER ? tag_slot(io, tag) : NULL;
        if (slot == NULL) {
            continue; /* a wake, or something for an owner who is gone */
        }
        switch ((enum slot_kind)slot->kind) {
        case SLOT_STREAM:
            stream_event(slot->owner, events);
            break;
        case SLOT_LISTENER:
            listener_event(slot->owner);
            break;
        case SLOT_WATCH:
            watch_ready(slot->owner, events);
            break;
        case SLOT_FREE:
            break;
        }
    }
    e->count = 0;
}

static void epoll_free(struct io *io)
{
    close(epoll_of(io)->fd);
    mem_free(io->impl);
}

static const struct backend epoll_backend = {
    .kind = IO_EPOLL,
    .free = epoll_free,
    .wait = epoll_wait_for,
    .dispatch = epoll_dispatch,
    .attach = epoll_attach,
    .connect = epoll_connect,
    .cancel = epoll_cancel,
    .read_start = epoll_read_start,
    .read_more = epoll_read_more,
    .read_stop = epoll_read_stop,
    .write = epoll_write,
    .listen = epoll_listen,
    .listen_stop = epoll_listen_stop,
    .watch = epoll_watch,
    .watch_change = epoll_watch_change,
    .watch_stop = epoll_watch_stop,
};

int epoll_open(struct io *io)
{
    /* Edge-triggered and never read: each write to the eventfd is an edge of its own. */
    struct epoll_event wake = {.events = EPOLLIN | EPOLLET,
                               .data.u64 = (uint64_t)OP_WAKE << TAG_OP_SHIFT};
    int fd = epoll_create1(EPOLL_CLOEXEC);

    if (fd < 0) {
        return -errno;
    }
    if (epoll_ctl(fd, EPOLL_CTL_ADD, io->wake_fd, &wake) != 0) {
        int err = -errno;
        close(fd);
        return err;
    }
    struct epoll *e = mem_alloc(sizeof(*e));
    e->fd = fd;
    e->count = 0;
    io->impl = e;
    io->backend = &epoll_backend;
    return 0;
}
