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
 * the pool bounds what can have arrived between two ticks, not the number of streams. */
enum { BUFFER_COUNT = 1024, BUFFER_SIZE = 4096, BUFFER_GROUP = 0 };

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
    char *memory;      /* BUFFER_COUNT * BUFFER_SIZE */
    unsigned returned; /* buffers put back, but not published to the kernel yet */
    bool multishot;    /* receives; false on kernels before 6.0 */
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
    io_uring_buf_ring_add(u->pool, u->memory + (size_t)id * BUFFER_SIZE, BUFFER_SIZE,
                          (unsigned short)id, io_uring_buf_ring_mask(BUFFER_COUNT),
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
