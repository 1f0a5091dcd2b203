/*
 * io.h - sockets and readiness of one thread, over io_uring or epoll.
 *
 * Everything above this interface is the same on both backends; tests run on both.  An
 * `io` belongs to the thread that made it; only io_wake() may be called from another one.
 *
 * Streams.  A struct io_stream is embedded in its owner, who must keep it until on_close:
 * the kernel may hold buffers until then.  Reading is always armed (RFC 2920 deadlocks
 * cannot happen when a receive is pending while we send).  At most one write is in flight
 * for each stream; its bytes and its iovec array are borrowed until on_write.
 *
 *     io_connect / io_adopt -> on_open -> { on_read | on_write }* -> on_end
 *     io_close (any time after the start) -> on_close, asynchronously, exactly once
 *
 * After io_close() nothing but on_close is called for that stream.  The owner calls
 * io_close() after on_open with an error and after on_end as well: closing is his decision
 * and his only duty; closing twice is harmless.  Teardown never drops a FIN: a write in
 * flight at io_close() gets IO_FLUSH_US to finish, then our FIN is sent, then what the peer
 * still sends is read and thrown away until its FIN, at most IO_LINGER_US long (closing over
 * unread data would send a reset, which may destroy our last words on their way), and the
 * descriptor is closed last.
 *
 * No callback ever runs inside a call of the owner's: all of them come from io_tick().
 *
 * Errors are negative ERR_* (engine/base/err.h).
 */
#ifndef VOLLEY_IO_IO_H
#define VOLLEY_IO_IO_H

#include "engine/base/slice.h"
#include "engine/base/wheel.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct io;

enum { IO_FLUSH_US = 5 * 1000 * 1000, IO_LINGER_US = 1000 * 1000 };

enum io_backend { IO_AUTO, IO_URING, IO_EPOLL };

struct io_options {
    enum io_backend backend; /* IO_AUTO: io_uring, or epoll with one warning that says why */
    unsigned streams_max;    /* sizes the rings; 0 takes 16384 */
    unsigned receive_size;   /* the most that one on_read() brings on io_uring: a power of two
                                from 1024 to 65536; 0 takes 4096, which is plenty for replies */
};

/* A new loop of the calling thread, or NULL with *err set.  IO_URING fails where the kernel
 * refuses io_uring, and logs why. */
struct io *io_new(const struct io_options *options, int *err);
void io_free(struct io *io); /* every stream, listener and watch must be closed by now */
enum io_backend io_backend(const struct io *io); /* IO_URING or IO_EPOLL */

/* One tick (not from a callback): submits what was asked for, waits until something happens, a
 * timer is due or wait_us passed (0: does not wait; negative: no limit of its own), then calls back
 * for all that happened, timers included.  A signal ends the wait early.  One system call a tick on
 * io_uring. */
void io_tick(struct io *io, int64_t wait_us);

int64_t io_now_us(const struct io *io); /* monotonic; read once a tick */
struct wheel *io_wheel(struct io *io);

/* Makes io_tick() of the owning thread return soon.  From any thread or signal handler;
 * many calls before the loop wakes cost one write. */
void io_wake(struct io *io);

/* Counts since io_new(). */
struct io_stats {
    uint64_t ticks;
    uint64_t enters;      /* system calls that submit or wait */
    uint64_t completions; /* CQEs, or epoll events */
    uint64_t enobufs;     /* receives that ran out of buffers and were armed again */
    uint64_t overflows;   /* times the completion queue was found overflown */
};

struct io_stats io_stats(const struct io *io);

/* ---- streams ---- */

struct io_stream;

struct io_stream_ops {
    void (*on_open)(struct io_stream *s, int err);
    void (*on_read)(struct io_stream *s, struct slice data); /* valid during the call */
    void (*on_end)(struct io_stream *s, int err);   /* 0: the peer's FIN; once, last of the reads */
    void (*on_write)(struct io_stream *s, int err); /* the whole write was taken, or failed */
    void (*on_close)(struct io_stream *s);
};

struct io_stream {
    struct io *io;
    const struct io_stream_ops *ops;
    int fd;
    uint8_t state; /* our business from here on */
    int8_t open_err;
    int8_t write_err;
    int8_t end_err;
    uint16_t flags;
    uint16_t inflight; /* operations the kernel holds */
    uint32_t slot;
    union {
        struct msghdr message;  /* the write in flight: what is left of it */
        struct sockaddr_in6 to; /* while connecting */
    };
    size_t written;     /* of message.msg_iov[0] */
    struct timer timer; /* limits connecting, then closing */
};

struct io_connect_options {
    const struct sockaddr *source; /* bound with IP_BIND_ADDRESS_NO_PORT; NULL: the kernel's */
    socklen_t source_len;
    int64_t timeout_us; /* 0: the kernel's own */
};

/* Starts to connect by IPv4, IPv6 or a unix-domain socket; on_open follows.  An error
 * returned at once (no descriptors, address family unknown, source address not ours) means
 * that no callback will come. */
int io_connect(struct io *io, struct io_stream *s, const struct io_stream_ops *ops,
               const struct sockaddr *to, socklen_t to_len,
               const struct io_connect_options *options);

/* Takes over a connected socket; on_open is not called.  Starts to read.  On error the
 * socket stays the caller's. */
int io_adopt(struct io *io, struct io_stream *s, const struct io_stream_ops *ops, int fd);

/* Writes all of iov[0..count); on_write follows.  count is 1..IO_IOV_MAX.  Asserts that no
 * write is in flight. */
enum { IO_IOV_MAX = 1024 };
void io_write(struct io_stream *s, const struct iovec *iov, size_t count);
bool io_writing(const struct io_stream *s);

/* Stops or resumes reading (back-pressure); data already on its way may still arrive. */
void io_read_pause(struct io_stream *s, bool pause);

void io_close(struct io_stream *s);

/* ---- listeners ---- */

struct io_listener {
    struct io *io;
    int fd;
    /* `fd` is the callee's; `peer` is valid during the call. */
    void (*on_accept)(struct io_listener *l, int fd, const struct sockaddr *peer);
    void (*on_close)(struct io_listener *l);
    uint8_t state; /* our business from here on */
    uint16_t inflight;
    uint32_t slot;
    struct timer timer; /* pauses accepting when descriptors run out */
};

/* Takes over a listening socket; on error it stays the caller's. */
int io_listen(struct io *io, struct io_listener *l, int fd);
void io_listener_close(struct io_listener *l); /* on_close follows */

/* ---- readiness of a foreign descriptor (c-ares, signalfd, inotify) ---- */

struct io_watch {
    struct io *io;
    int fd; /* stays the caller's; close it after on_close */
    void (*on_ready)(struct io_watch *w, unsigned events); /* POLLIN, POLLOUT, POLLERR, ... */
    void (*on_close)(struct io_watch *w);
    unsigned events;
    uint8_t state; /* our business from here on */
    uint16_t inflight;
    uint32_t slot;
};

/* Level-triggered for POLLIN and POLLOUT: called again while the descriptor stays ready.
 * With `events` 0 nothing is reported.  A descriptor can be watched once per loop. */
int io_watch_add(struct io *io, struct io_watch *w, int fd, unsigned events);
void io_watch_change(struct io_watch *w, unsigned events);
void io_watch_remove(struct io_watch *w); /* on_close follows */

#endif
