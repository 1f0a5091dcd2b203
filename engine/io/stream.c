/*
 * stream.c - the life of a stream, the same over both backends.
 *
 *     CONNECTING -> OPEN -> FLUSHING -> LINGERING -> JOINING -> NONE
 *         |                                            ^
 *         +-> FAILED ----------------------------------+
 *
 * io_close() moves a stream to the first of the closing states that applies.  FLUSHING ends
 * when the write in flight does, LINGERING with the peer's FIN, both by the timer at the
 * latest.  JOINING waits until the kernel holds nothing of ours: only then is the descriptor
 * closed, because closing under a pending io_uring receive sends no FIN and would let the
 * number be used again while completions are on their way.
 */
#include "engine/io/backend.h"
#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/base/panic.h"
#include "engine/io/socket.h"

#include <errno.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

static void stream_timeout(struct timer *t, int64_t now_us);

/* From now, not from io_now_us(): the owner may have worked long since the tick began. */
static int64_t deadline(int64_t in_us)
{
    return clock_mono_us() + in_us;
}

static void start(struct io *io, struct io_stream *s, const struct io_stream_ops *ops, int fd)
{
    memset(s, 0, sizeof(*s));
    s->io = io;
    s->ops = ops;
    s->fd = fd;
    timer_init(&s->timer, stream_timeout);
    s->slot = slot_take(io, SLOT_STREAM, s);
}

static void abandon(struct io_stream *s)
{
    slot_release(s->io, s->slot);
    s->fd = -1;
    s->state = STREAM_NONE;
}

/* A unix-domain socket connects at once or not at all, on both backends. */
static int connect_unix(struct io_stream *s, const struct sockaddr *to, socklen_t to_len)
{
    if (connect(s->fd, to, to_len) != 0) {
        s->open_err = (int8_t)err_from_errno(errno);
    } else {
        int err = s->io->backend->attach(s);
        if (err != 0) {
            return err;
        }
    }
    slot_later(s->io, s->slot, LATER_OPEN);
    return 0;
}

int io_connect(struct io *io, struct io_stream *s, const struct io_stream_ops *ops,
               const struct sockaddr *to, socklen_t to_len,
               const struct io_connect_options *options)
{
    int err, fd;

    bool inet = to->sa_family == AF_INET || to->sa_family == AF_INET6;
    if ((inet && to_len > sizeof(s->to)) || (!inet && to->sa_family != AF_UNIX)) {
        return ERR_INVALID;
    }
    fd = socket_open(to->sa_family, options != NULL ? options->source : NULL,
                     options != NULL ? options->source_len : 0);
    if (fd < 0) {
        return fd;
    }
    start(io, s, ops, fd);
    s->state = STREAM_CONNECTING;
    if (inet) {
        memcpy(&s->to, to, to_len);
        err = io->backend->connect(s, to_len);
    } else {
        err = connect_unix(s, to, to_len);
    }
    if (err != 0) {
        abandon(s);
        close(fd);
        return err;
    }
    if (options != NULL && options->timeout_us > 0) {
        wheel_arm(&io->wheel, &s->timer, deadline(options->timeout_us));
    }
    return 0;
}

int io_adopt(struct io *io, struct io_stream *s, const struct io_stream_ops *ops, int fd)
{
    socket_set_nodelay(fd);
    start(io, s, ops, fd);
    int err = io->backend->attach(s);
    if (err != 0) {
        abandon(s);
        return err;
    }
    s->state = STREAM_OPEN;
    io->backend->read_start(s);
    return 0;
}

void stream_opened(struct io_stream *s, int err)
{
    if (s->state == STREAM_CONNECTING) {
        wheel_disarm(&s->io->wheel, &s->timer);
        s->state = err == 0 ? STREAM_OPEN : STREAM_FAILED;
        if (stream_wants_data(s)) {
            s->io->backend->read_start(s);
        }
        s->ops->on_open(s, err);
    }
    stream_settle(s);
}

/* ---- reading ---- */

void stream_data(struct io_stream *s, struct slice data)
{
    if (s->state == STREAM_OPEN && (s->flags & STREAM_ENDED) == 0) {
        s->ops->on_read(s, data);
    }
}

void io_read_pause(struct io_stream *s, bool pause)
{
    if (pause == ((s->flags & STREAM_PAUSED) != 0) || s->state > STREAM_OPEN) {
        return;
    }
    s->flags ^= STREAM_PAUSED;
    if (pause) {
        s->io->backend->read_stop(s);
    } else if (stream_wants_data(s)) {
        s->io->backend->read_start(s);
    }
}

/* ---- writing ---- */

struct slice stream_first_run(const struct io_stream *s)
{
    const struct iovec *first = s->message.msg_iov;

    if (s->written == 0 && s->message.msg_iovlen > 1) {
        return SLICE_NONE;
    }
    return slice_of((const char *)first->iov_base + s->written, first->iov_len - s->written);
}

bool stream_advance(struct io_stream *s, size_t len)
{
    struct msghdr *m = &s->message;

    s->written += len;
    while (m->msg_iovlen > 0 && s->written >= m->msg_iov->iov_len) {
        s->written -= m->msg_iov->iov_len;
        m->msg_iov++;
        m->msg_iovlen--;
    }
    ASSERT(m->msg_iovlen > 0 || s->written == 0);
    return m->msg_iovlen == 0;
}

void io_write(struct io_stream *s, const struct iovec *iov, size_t count)
{
    ASSERT(s->state == STREAM_OPEN && (s->flags & STREAM_WRITING) == 0);
    ASSERT(count >= 1 && count <= IO_IOV_MAX);
    s->flags |= STREAM_WRITING;
    s->write_err = 0;
    s->written = 0;
    memset(&s->message, 0, sizeof(s->message));
    s->message.msg_iov = (struct iovec *)iov; /* sendmsg() only reads it */
    s->message.msg_iovlen = count;
    if (stream_advance(s, 0)) {
        slot_later(s->io, s->slot, LATER_WRITE); /* nothing but empty runs */
    } else {
        s->io->backend->write(s);
    }
}

bool io_writing(const struct io_stream *s)
{
    return (s->flags & STREAM_WRITING) != 0;
}

/* ---- the end ---- */

static void join(struct io_stream *s)
{
    wheel_disarm(&s->io->wheel, &s->timer);
    if (s->state == STREAM_CONNECTING) {
        s->io->backend->cancel(s);
    } else if (s->inflight > 0) {
        shutdown(s->fd, SHUT_RDWR); /* ends the receive and the send that are in flight */
    }
    s->state = STREAM_JOINING;
    stream_settle(s);
}

static void finish_writing(struct io_stream *s)
{
    struct io *io = s->io;

    if ((s->flags & STREAM_ENDED) != 0 || shutdown(s->fd, SHUT_WR) != 0) {
        join(s);
        return;
    }
    s->state = STREAM_LINGERING;
    wheel_arm(&io->wheel, &s->timer, deadline(IO_LINGER_US));
    io->backend->read_start(s);
}

void io_close(struct io_stream *s)
{
    struct io *io = s->io;

    switch ((enum stream_state)s->state) {
    case STREAM_CONNECTING:
    case STREAM_FAILED:
        join(s);
        return;
    case STREAM_OPEN:
        s->flags &= (uint16_t)~STREAM_PAUSED;
        if (s->end_err != 0 || s->write_err != 0) {
            join(s);
        } else if ((s->flags & STREAM_WRITING) != 0) {
            s->state = STREAM_FLUSHING;
            wheel_arm(&io->wheel, &s->timer, deadline(IO_FLUSH_US));
            if (stream_wants_data(s)) {
                io->backend->read_start(s);
            }
        } else {
            finish_writing(s);
        }
        return;
    case STREAM_NONE:
    case STREAM_FLUSHING:
    case STREAM_LINGERING:
    case STREAM_JOINING:
        return;
    }
}

void stream_written(struct io_stream *s, int err)
{
    s->flags &= (uint16_t)~STREAM_WRITING;
    s->write_err = (int8_t)err;
    if (s->state == STREAM_OPEN) {
        s->ops->on_write(s, err);
    } else if (s->state == STREAM_FLUSHING) {
        if (err == 0) {
            finish_writing(s);
        } else {
            join(s);
        }
    }
    stream_settle(s);
}

/* A socket reports a reset once, and then looks as if a FIN had come: the write may have got
 * the report, even as a short count. */
static int hidden_error(const struct io_stream *s)
{
    if ((s->flags & STREAM_WRITING) != 0 && socket_was_reset(s->fd)) {
        return ERR_CLOSED;
    }
    return s->write_err;
}

void stream_ended(struct io_stream *s, int err)
{
    if ((s->flags & STREAM_ENDED) == 0) {
        s->flags |= STREAM_ENDED;
        if (err == 0) {
            err = hidden_error(s);
        }
        s->end_err = (int8_t)err;
        if (s->state == STREAM_OPEN) {
            s->ops->on_end(s, err);
        } else if (s->state == STREAM_LINGERING || (s->state == STREAM_FLUSHING && err != 0)) {
            join(s);
        }
    }
    stream_settle(s);
}

static void stream_timeout(struct timer *t, int64_t now_us)
{
    struct io_stream *s = CONTAINER_OF(t, struct io_stream, timer);

    (void)now_us;
    if (s->state != STREAM_CONNECTING) {
        join(s);
        return;
    }
    s->flags |= STREAM_TIMED_OUT;
    s->io->backend->cancel(s);
    if (s->inflight == 0) {
        stream_opened(s, ERR_TIMEOUT);
    }
}

void stream_settle(struct io_stream *s)
{
    if (s->state == STREAM_JOINING && s->inflight == 0) {
        slot_later(s->io, s->slot, LATER_CLOSE);
    }
}

static void closed(struct io_stream *s)
{
    slot_release(s->io, s->slot);
    close(s->fd);
    s->fd = -1;
    s->state = STREAM_NONE;
    s->ops->on_close(s);
}

void stream_later(struct io_stream *s, unsigned what)
{
    if ((what & LATER_CLOSE) != 0) {
        closed(s);
        return;
    }
    if ((what & LATER_OPEN) != 0) {
        stream_opened(s, s->open_err);
    }
    if ((what & LATER_WRITE) != 0) {
        stream_written(s, s->write_err);
    }
    if ((what & LATER_READ) != 0 && stream_wants_data(s)) {
        s->io->backend->read_more(s);
    }
}
