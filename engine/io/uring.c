/*
 * uring.c - the backend over io_uring.
 *
 * Owners' calls only fill submission entries; one system call a tick submits them all, waits,
 * and collects what was completed.  Invariants:
 * - inflight of an owner counts the entries the kernel will complete.  One receive (multishot)
 *   and one send at most per stream; cancellations are not counted: their completions carry
 *   no owner.
 * - A completion without IORING_CQE_F_MORE ends its operation, whatever else it says.
 * - A receive that found no buffer is armed again only after buffers went back.
 * - Completions are copied off the ring before any callback runs, so a callback may submit,
 *   and the ring may be emptied in the middle of that, without any being seen twice.
 */
#include "engine/io/uring.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/panic.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum uring_op { OP_WAKE, OP_CANCEL, OP_CONNECT, OP_RECEIVE, OP_SEND, OP_ACCEPT, OP_POLL };

/* One send; an entry's length has 32 bits, and a result 31. */
enum { SEND_MAX = 1 << 30 };

enum { SUBMIT_TRIES = 1000 };

static struct uring *uring_of(struct io *io)
{
    return io->impl;
}

/* ---- submitting ---- */

/* Empties the ring into memory: makes room for the completions that the kernel holds back. */
static void stash_completions(struct uring *u)
{
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;

    io_uring_for_each_cqe(&u->ring, head, cqe)
    {
        if (u->stash_count == u->stash_cap) {
            u->stash_cap = u->stash_cap > 0 ? u->stash_cap * 2 : BATCH_MAX;
            u->stash = mem_realloc(u->stash, u->stash_cap * sizeof(u->stash[0]));
        }
        u->stash[u->stash_count++] = (struct completion){cqe->user_data, cqe->res, cqe->flags};
        count++;
    }
    io_uring_cq_advance(&u->ring, count);
}

/* What the kernel may answer for want of room, memory or luck; the rest are errors of ours. */
static void check_enter(int result)
{
    if (result < 0 && result != -EINTR && result != -EAGAIN && result != -EBUSY &&
        result != -ETIME) {
        PANIC("io_uring_enter: %s", strerror(-result));
    }
}

static struct io_uring_sqe *take_entry(struct io *io, uint64_t tag)
{
    struct uring *u = uring_of(io);
    struct io_uring_sqe *sqe;

    for (int tries = 0; (sqe = io_uring_get_sqe(&u->ring)) == NULL; tries++) {
        ASSERT(tries < SUBMIT_TRIES);
        int result = io_uring_submit(&u->ring);
        io->stats.enters++;
        check_enter(result);
        if (result < 0 || io_uring_cq_has_overflow(&u->ring)) {
            io->stats.overflows++;
            stash_completions(u);
            io->stats.enters++;
            io_uring_get_events(&u->ring);
        }
    }
    sqe->user_data = tag; /* the prep functions leave it alone */
    return sqe;
}

static void cancel_op(struct io *io, uint32_t slot, enum uring_op op)
{
    struct io_uring_sqe *sqe = take_entry(io, (uint64_t)OP_CANCEL << TAG_OP_SHIFT);

    io_uring_prep_cancel64(sqe, tag_of(io, slot, (uint8_t)op), 0);
}

/* Each write to the eventfd completes this once more; its count is never read. */
static void arm_wake(struct io *io)
{
    struct io_uring_sqe *sqe = take_entry(io, (uint64_t)OP_WAKE << TAG_OP_SHIFT);

    io_uring_prep_poll_multishot(sqe, io->wake_fd, POLLIN);
}

/* ---- streams ---- */

static int uring_attach(struct io_stream *s)
{
    (void)s;
    return 0;
}

static struct io_uring_sqe *take_stream_entry(struct io_stream *s, enum uring_op op)
{
    s->inflight++;
    return take_entry(s->io, tag_of(s->io, s->slot, (uint8_t)op));
}

static int uring_connect(struct io_stream *s, socklen_t to_len)
{
    struct io_uring_sqe *sqe = take_stream_entry(s, OP_CONNECT);

    io_uring_prep_connect(sqe, s->fd, (const struct sockaddr *)&s->to, to_len);
    return 0;
}

static void uring_cancel(struct io_stream *s)
{
    if (s->inflight > 0) {
        cancel_op(s->io, s->slot, OP_CONNECT);
    }
}

static void connected(struct io_stream *s, int res)
{
    int err = err_from_errno(-res);

    s->inflight--;
    if (err != 0 && (s->flags & STREAM_TIMED_OUT) != 0) {
        err = ERR_TIMEOUT;
    }
    stream_opened(s, err);
}

static void uring_read_start(struct io_stream *s)
{
    struct uring *u = uring_of(s->io);

    if ((s->flags & STREAM_ARMED) != 0) {
        return;
    }
    s->flags |= STREAM_ARMED;
    struct io_uring_sqe *sqe = take_stream_entry(s, OP_RECEIVE);
    if (u->multishot) {
        io_uring_prep_recv_multishot(sqe, s->fd, NULL, 0, 0);
    } else {
        io_uring_prep_recv(sqe, s->fd, NULL, u->buffer_size, 0);
    }
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
}

static void uring_read_stop(struct io_stream *s)
{
    if ((s->flags & STREAM_ARMED) != 0) {
        cancel_op(s->io, s->slot, OP_RECEIVE);
    }
}

static void receive_failed(struct io_stream *s, int errno_value)
{
    struct uring *u = uring_of(s->io);

    switch (errno_value) {
    case ENOBUFS:
        s->io->stats.enobufs++;
        slot_later(s->io, s->slot, LATER_READ);
        break;
    case ECANCELED: /* paused; by now perhaps resumed */
    case EINTR:
    case EAGAIN:
        break;
    case EINVAL:
        if (u->multishot) {
            u->multishot = false;
            break;
        }
        stream_ended(s, ERR_INVALID);
        break;
    default:
        stream_ended(s, err_from_errno(errno_value));
        break;
    }
}

static void received(struct io_stream *s, const struct completion *c)
{
    struct uring *u = uring_of(s->io);

    if ((c->flags & IORING_CQE_F_MORE) == 0) {
        s->flags &= (uint16_t)~STREAM_ARMED;
        s->inflight--;
    }
    if (c->res > 0) {
        unsigned id = c->flags >> IORING_CQE_BUFFER_SHIFT;
        stream_data(s, slice_of(u->memory + (size_t)id * u->buffer_size, (size_t)c->res));
    } else if (c->res == 0) {
        stream_ended(s, 0);
    } else {
        receive_failed(s, -c->res);
    }
    if (c->res != -ENOBUFS && stream_wants_data(s)) {
        uring_read_start(s);
    }
    stream_settle(s);
}

static void uring_write(struct io_stream *s)
{
    struct slice run = stream_first_run(s);
    struct io_uring_sqe *sqe = take_stream_entry(s, OP_SEND);
    int flags = MSG_NOSIGNAL | MSG_WAITALL; /* one completion for the whole of it */

    if (run.len == 0) {
        io_uring_prep_sendmsg(sqe, s->fd, &s->message, (unsigned)flags);
    } else {
        if (s->message.msg_iovlen > 1 || run.len > SEND_MAX) {
            flags |= MSG_MORE;
        }
        io_uring_prep_send(sqe, s->fd, run.ptr, run.len > SEND_MAX ? SEND_MAX : run.len, flags);
    }
}

static void sent(struct io_stream *s, int res)
{
    s->inflight--;
    if (res >= 0 && stream_advance(s, (size_t)res)) {
        stream_written(s, 0);
    } else if (res < 0 && res != -EINTR && res != -EAGAIN) {
        stream_written(s, err_from_errno(-res));
    } else if (s->state == STREAM_JOINING) {
        stream_written(s, ERR_CANCELED);
    } else {
        uring_write(s); /* short: an error or a signal came in between */
    }
}

/* ---- listeners ---- */

static int uring_listen(struct io_listener *l)
{
    struct io_uring_sqe *sqe = take_entry(l->io, tag_of(l->io, l->slot, OP_ACCEPT));

    io_uring_prep_multishot_accept(sqe, l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    l->inflight++;
    return 0;
}

static void uring_listen_stop(struct io_listener *l)
{
    if (l->inflight > 0) {
        cancel_op(l->io, l->slot, OP_ACCEPT);
    }
}

static void accepted(struct io_listener *l, const struct completion *c)
{
    bool again = true;

    if ((c->flags & IORING_CQE_F_MORE) == 0) {
        l->inflight--;
    }
    if (c->res >= 0) {
        listener_accepted(l, c->res, NULL);
    } else if (c->res != -ECANCELED) {
        again = listener_failed(l, -c->res);
    }
    if (again && l->state == HANDLE_OPEN && l->inflight == 0) {
        uring_listen(l);
    }
    listener_settle(l);
}

/* ---- watches: one-shot polls, armed again after each report, are level-triggered ---- */

static int uring_watch(struct io_watch *w)
{
    if (w->events != 0) {
        struct io_uring_sqe *sqe = take_entry(w->io, tag_of(w->io, w->slot, OP_POLL));
        io_uring_prep_poll_add(sqe, w->fd, w->events);
        w->inflight++;
    }
    return 0;
}

static void uring_watch_stop(struct io_watch *w)
{
    if (w->inflight > 0) {
        cancel_op(w->io, w->slot, OP_POLL);
    }
}

static void uring_watch_change(struct io_watch *w, unsigned before)
{
    (void)before;
    if (w->inflight > 0) {
        uring_watch_stop(w); /* its end arms the new events */
    } else {
        uring_watch(w);
    }
}

static void polled(struct io_watch *w, int res)
{
    w->inflight--;
    if (res != -ECANCELED) {
        watch_ready(w, res >= 0 ? (unsigned)res : POLLNVAL);
    }
    if (w->state == HANDLE_OPEN && w->inflight == 0) {
        uring_watch(w);
    }
    watch_settle(w);
}

/* ---- the loop ---- */

static void uring_wait(struct io *io, int64_t wait_us)
{
    struct uring *u = uring_of(io);
    struct io_uring_cqe *cqe;
    int result;

    io->stats.enters++;
    if (wait_us == 0 || u->stash_count > 0) {
        result = io_uring_submit_and_get_events(&u->ring);
    } else if (wait_us < 0) {
        result = io_uring_submit_and_wait(&u->ring, 1);
    } else {
        struct __kernel_timespec ts = {wait_us / 1000000, wait_us % 1000000 * 1000};
        result = io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, &ts, NULL);
    }
    check_enter(result);
    if (io_uring_cq_has_overflow(&u->ring)) {
        io->stats.overflows++; /* the next call fetches what the kernel kept aside */
    }
}

static void handle_wake(struct io *io, const struct completion *c)
{
    if ((c->flags & IORING_CQE_F_MORE) == 0) {
        arm_wake(io);
    }
}

static void handle(void *owner, const struct completion *c)
{
    switch ((enum uring_op)tag_op(c->tag)) {
    case OP_CONNECT:
        connected(owner, c->res);
        break;
    case OP_RECEIVE:
        received(owner, c);
        break;
    case OP_SEND:
        sent(owner, c->res);
        break;
    case OP_ACCEPT:
        accepted(owner, c);
        break;
    case OP_POLL:
        polled(owner, c->res);
        break;
    case OP_WAKE:
    case OP_CANCEL:
        break;
    }
}

/* The next completions, in order: those taken off the ring early, else from the ring. */
static size_t take_batch(struct uring *u)
{
    struct io_uring_cqe *cqe;
    unsigned head;
    size_t count = 0;

    while (u->stash_done < u->stash_count && count < BATCH_MAX) {
        u->batch[count++] = u->stash[u->stash_done++];
    }
    if (u->stash_done < u->stash_count) {
        return count;
    }
    u->stash_done = u->stash_count = 0;
    unsigned from_ring = 0;
    io_uring_for_each_cqe(&u->ring, head, cqe)
    {
        if (count == BATCH_MAX) {
            break;
        }
        u->batch[count++] = (struct completion){cqe->user_data, cqe->res, cqe->flags};
        from_ring++;
    }
    io_uring_cq_advance(&u->ring, from_ring);
    return count;
}

static void uring_dispatch(struct io *io)
{
    struct uring *u = uring_of(io);
    size_t count = take_batch(u);

    for (size_t i = 0; i < count; i++) {
        const struct completion *c = &u->batch[i];
        struct slot *slot = tag_slot(io, c->tag);
        if (tag_op(c->tag) == OP_WAKE) {
            handle_wake(io, c);
        } else if (tag_op(c->tag) != OP_CANCEL && slot != NULL && slot->kind != SLOT_FREE) {
            handle(slot->owner, c);
        }
        if ((c->flags & IORING_CQE_F_BUFFER) != 0) {
            uring_return_buffer(u, c->flags >> IORING_CQE_BUFFER_SHIFT);
        }
    }
    uring_publish_buffers(u);
    io->stats.completions += count;
}

static void uring_free(struct io *io)
{
    uring_teardown(uring_of(io));
    mem_free(io->impl);
}

static const struct backend uring_backend = {
    .kind = IO_URING,
    .free = uring_free,
    .wait = uring_wait,
    .dispatch = uring_dispatch,
    .attach = uring_attach,
    .connect = uring_connect,
    .cancel = uring_cancel,
    .read_start = uring_read_start,
    .read_more = uring_read_start,
    .read_stop = uring_read_stop,
    .write = uring_write,
    .listen = uring_listen,
    .listen_stop = uring_listen_stop,
    .watch = uring_watch,
    .watch_change = uring_watch_change,
    .watch_stop = uring_watch_stop,
};

int uring_open(struct io *io, const struct io_options *options)
{
    struct uring *u = mem_alloc(sizeof(*u));
    int err = uring_setup(u, options);

    if (err != 0) {
        mem_free(u);
        return err;
    }
    io->impl = u;
    io->backend = &uring_backend;
    arm_wake(io);
    return 0;
}
