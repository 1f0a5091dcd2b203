/*
 * backend.h - what io.c, its streams and the two backends know of each other.
 *
 * Private to engine/io.  A backend moves bytes and reports what happened by the stream_*,
 * listener_* and watch_* functions below; the life of a stream is the same over both and
 * lives in stream.c.
 *
 * Slots.  Everything the kernel reports carries a tag {slot:32, generation:24, op:8}.  The
 * slot table finds the owner; a slot's generation changes when it is freed, so a late report
 * for a former owner finds nobody.
 *
 * Later.  What happened inside a call of the owner's (a write taken at once, a connect
 * refused at once) is noted in the slot and delivered at the end of the tick.
 */
#ifndef VOLLEY_IO_BACKEND_H
#define VOLLEY_IO_BACKEND_H

#include "engine/io/io.h"

#include <stdatomic.h>

enum slot_kind { SLOT_FREE, SLOT_STREAM, SLOT_LISTENER, SLOT_WATCH };

enum later {
    LATER_OPEN = 1 << 0,
    LATER_WRITE = 1 << 1,
    LATER_READ = 1 << 2, /* the backend left input unread, or has to arm a receive again */
    LATER_ARM = 1 << 3,  /* listeners and watches */
    LATER_CLOSE = 1 << 4,
    LATER_QUEUED = 1 << 7 /* is in io->later */
};

struct slot {
    void *owner;         /* of a free slot: unused */
    uint32_t generation; /* of TAG_GENERATION_BITS bits; of a free slot too */
    uint8_t kind;
    uint8_t later;
    uint32_t next_free; /* index + 1 */
};

enum stream_state {
    STREAM_NONE,       /* not started, or closed */
    STREAM_CONNECTING, /* on_open is to come */
    STREAM_OPEN,
    STREAM_FAILED,    /* on_open brought an error */
    STREAM_FLUSHING,  /* io_close() was called while a write was in flight */
    STREAM_LINGERING, /* our FIN is sent, the peer's awaited */
    STREAM_JOINING    /* cut; waits for what the kernel still holds */
};

enum stream_flag {
    STREAM_WRITING = 1 << 0,
    STREAM_PAUSED = 1 << 1,
    STREAM_ENDED = 1 << 2,     /* nothing more to read: FIN or error */
    STREAM_TIMED_OUT = 1 << 3, /* connecting */
    STREAM_ARMED = 1 << 4,     /* uring: a receive is in flight */
    STREAM_BLOCKED = 1 << 5,   /* epoll: the write waits for room */
    STREAM_READABLE = 1 << 6,  /* epoll: there may be unread input */
    STREAM_HANGUP = 1 << 7     /* epoll: read until the end, a short read is no sign */
};

enum handle_state { HANDLE_NONE, HANDLE_OPEN, HANDLE_CLOSING }; /* listeners and watches */

/* From io_tick() only: wait, then dispatch.  Everything else may be called at any time. */
struct backend {
    enum io_backend kind;
    void (*free)(struct io *io);
    void (*wait)(struct io *io, int64_t wait_us); /* submits and waits; negative: for ever */
    void (*dispatch)(struct io *io);              /* calls back for all that happened */

    int (*attach)(struct io_stream *s); /* a connected socket joins; 0 or ERR_* */
    int (*connect)(struct io_stream *s, socklen_t to_len); /* to s->to; 0 or ERR_* */
    void (*cancel)(struct io_stream *s);                   /* gives up connecting */
    void (*read_start)(struct io_stream *s);               /* idempotent */
    void (*read_more)(struct io_stream *s);                /* answers LATER_READ */
    void (*read_stop)(struct io_stream *s);
    void (*write)(struct io_stream *s); /* s->message */

    int (*listen)(struct io_listener *l); /* also after a pause */
    void (*listen_stop)(struct io_listener *l);

    int (*watch)(struct io_watch *w); /* 0 or ERR_* */
    void (*watch_change)(struct io_watch *w, unsigned before);
    void (*watch_stop)(struct io_watch *w);
};

/* Whether the loop's thread sleeps in the kernel decides what a wake costs. */
enum wake_state { WAKE_RUNNING, WAKE_SLEEPING, WAKE_CALLED };

struct io {
    const struct backend *backend;
    void *impl; /* the backend's */
    struct wheel wheel;
    int64_t now_us;
    bool ticking;
    int wake_fd; /* eventfd */
    _Atomic int wake_state;
    struct slot *slots;
    uint32_t slot_count;
    uint32_t slot_free; /* index + 1 of the first free one, or 0 */
    uint32_t *later;    /* slots with something to deliver at the end of the tick */
    uint32_t later_count;
    uint32_t *later_now; /* the batch being delivered */
    uint32_t later_now_cap;
    uint32_t later_cap;
    struct io_stats stats;
};

/* Set io->backend and io->impl, or return a negative errno value. */
int uring_open(struct io *io, const struct io_options *options);
int epoll_open(struct io *io);

/* ---- slots and tags (slot.c) ---- */

enum { TAG_GENERATION_BITS = 24, TAG_OP_SHIFT = 56 };

uint32_t slot_take(struct io *io, enum slot_kind kind, void *owner);
void slot_release(struct io *io, uint32_t slot);
void slot_later(struct io *io, uint32_t slot, unsigned what);
void slot_run_later(struct io *io);

static inline uint64_t tag_of(const struct io *io, uint32_t slot, uint8_t op)
{
    return (uint64_t)op << TAG_OP_SHIFT | (uint64_t)io->slots[slot].generation << 32 | slot;
}

static inline uint8_t tag_op(uint64_t tag)
{
    return (uint8_t)(tag >> TAG_OP_SHIFT);
}

/* The slot this tag was made for, or NULL when its owner is gone. */
static inline struct slot *tag_slot(struct io *io, uint64_t tag)
{
    uint32_t at = (uint32_t)tag;
    uint32_t generation = (uint32_t)(tag >> 32) & ((1U << TAG_GENERATION_BITS) - 1);

    if (at >= io->slot_count || io->slots[at].generation != generation) {
        return NULL;
    }
    return &io->slots[at];
}

/* ---- what backends report (stream.c, listener.c, watch.c) ---- */

void stream_opened(struct io_stream *s, int err);
void stream_data(struct io_stream *s, struct slice data);
void stream_ended(struct io_stream *s, int err);
void stream_written(struct io_stream *s, int err);
void stream_settle(struct io_stream *s); /* inflight went down */
void stream_later(struct io_stream *s, unsigned what);

/* Input is of use: for the owner, or to be drained before the end. */
static inline bool stream_wants_data(const struct io_stream *s)
{
    return (s->state == STREAM_OPEN || s->state == STREAM_FLUSHING ||
            s->state == STREAM_LINGERING) &&
           (s->flags & (STREAM_PAUSED | STREAM_ENDED)) == 0;
}

/* The write in flight: the run of bytes to send first, when it is not the whole of
 * s->message; .len 0 means: send s->message. */
struct slice stream_first_run(const struct io_stream *s);
/* Marks `len` bytes as taken.  True when nothing is left. */
bool stream_advance(struct io_stream *s, size_t len);

/* peer NULL: ask the socket. */
void listener_accepted(struct io_listener *l, int fd, const struct sockaddr *peer);
/* Accepting failed.  False when for lack of something of ours, such as descriptors: accepting
 * has to stop, and backend->listen() is called after a pause. */
bool listener_failed(struct io_listener *l, int errno_value);
void listener_settle(struct io_listener *l);
void listener_later(struct io_listener *l, unsigned what);

void watch_ready(struct io_watch *w, unsigned events);
void watch_settle(struct io_watch *w);
void watch_later(struct io_watch *w, unsigned what);

#endif
