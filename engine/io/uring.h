/*
 * uring.h - one ring and its receive buffers.
 *
 * Private to uring.c (operations) and uring_setup.c (making and ending a ring).
 */
#ifndef VOLLEY_IO_URING_H
#define VOLLEY_IO_URING_H

#include "engine/io/backend.h"

#include <liburing.h>

/* Receives take their buffers from one pool, and a buffer returns to it right after on_read:
 * the pool bounds what can have arrived between two ticks, not the number of streams.  It goes
 * round and round, so it should not outgrow the cache: larger buffers are fewer. */
enum { POOL_SIZE = 4 * 1024 * 1024, BUFFER_SIZE_DEFAULT = 4096, BUFFER_GROUP = 0 };

/* Completions handled in one tick.  More at once cost cache misses, and the answers to the
 * first would wait for the last. */
enum { BATCH_MAX = 512 };

struct completion {
    uint64_t tag;
    int32_t res;
    uint32_t flags;
};

struct uring {
    struct io_uring ring;
    struct io_uring_buf_ring *pool;
    char *memory; /* POOL_SIZE */
    unsigned buffer_size;
    unsigned buffer_count; /* powers of two */
    unsigned returned;     /* buffers put back, but not published to the kernel yet */
    bool multishot;        /* receives; false on kernels before 6.0 */
    struct completion batch[BATCH_MAX];
    /* Completions taken off the ring to make room while submitting; the next to handle. */
    struct completion *stash;
    size_t stash_count;
    size_t stash_done;
    size_t stash_cap;
};

/* 0, or a negative errno value. */
int uring_setup(struct uring *u, const struct io_options *options);
void uring_teardown(struct uring *u);

/* Puts a buffer back; published by uring_publish_buffers(). */
static inline void uring_return_buffer(struct uring *u, unsigned id)
{
    io_uring_buf_ring_add(u->pool, u->memory + (size_t)id * u->buffer_size, u->buffer_size,
                          (unsigned short)id, io_uring_buf_ring_mask(u->buffer_count),
                          (int)u->returned);
    u->returned++;
}

static inline void uring_publish_buffers(struct uring *u)
{
    if (u->returned > 0) {
        io_uring_buf_ring_advance(u->pool, (int)u->returned);
        u->returned = 0;
    }
}

#endif
