/*
 * uring_setup.c - making a ring: flags, sizes, buffers.
 *
 * The flags step down: SINGLE_ISSUER with DEFER_TASKRUN (Linux 6.1) runs completions only
 * when the loop asks, in one batch; COOP_TASKRUN (5.19) at least spares the interrupts.
 */
#include "engine/io/uring.h"
#include "engine/base/mem.h"
#include "engine/base/panic.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum { SQ_MIN = 64, SQ_MAX = 2048, CQ_MIN = 4096, CQ_MAX = 65536, STREAMS_DEFAULT = 16384 };

static const unsigned flag_ladder[] = {
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL,
    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL,
    0,
};

/* What the code relies on without a second way: no completion is ever dropped, arguments may
 * go away once submitted, receives wait by poll and not in a kernel thread, and a wait takes
 * its timeout along. */
static const unsigned features_needed =
    IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_FAST_POLL | IORING_FEAT_EXT_ARG;

static unsigned clamp(unsigned value, unsigned low, unsigned high)
{
    return value < low ? low : value > high ? high : value;
}

static int init_ring(struct uring *u, unsigned streams)
{
    int err = -EINVAL;

    for (size_t i = 0; i < sizeof(flag_ladder) / sizeof(flag_ladder[0]) && err == -EINVAL; i++) {
        struct io_uring_params params;
        memset(&params, 0, sizeof(params));
        params.flags = flag_ladder[i] | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
        params.cq_entries = clamp(streams * 2, CQ_MIN, CQ_MAX);
        err = io_uring_queue_init_params(clamp(streams, SQ_MIN, SQ_MAX), &u->ring, &params);
        if (err == 0 && (params.features & features_needed) != features_needed) {
            io_uring_queue_exit(&u->ring);
            return -EINVAL;
        }
    }
    if (err == 0) {
        io_uring_register_ring_fd(&u->ring); /* spares a lookup a call; fine without */
    }
    return err;
}

static size_t pool_size(const struct uring *u)
{
    return u->buffer_count * sizeof(struct io_uring_buf);
}

static int init_pool(struct uring *u)
{
    void *map =
        mmap(NULL, pool_size(u), PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);

    if (map == MAP_FAILED) {
        return -errno;
    }
    u->pool = map;
    struct io_uring_buf_reg reg = {
        .ring_addr = (uint64_t)(uintptr_t)map,
        .ring_entries = u->buffer_count,
        .bgid = BUFFER_GROUP,
    };
    int err = io_uring_register_buf_ring(&u->ring, &reg, 0);
    if (err != 0) {
        return err;
    }
    io_uring_buf_ring_init(u->pool);
    u->memory = mem_alloc(POOL_SIZE);
    for (unsigned id = 0; id < u->buffer_count; id++) {
        uring_return_buffer(u, id);
    }
    uring_publish_buffers(u);
    return 0;
}

int uring_setup(struct uring *u, const struct io_options *options)
{
    memset(u, 0, sizeof(*u));
    u->multishot = true;
    u->buffer_size = options->receive_size > 0 ? options->receive_size : BUFFER_SIZE_DEFAULT;
    u->buffer_count = POOL_SIZE / u->buffer_size;
    ASSERT(u->buffer_size >= 1024 && u->buffer_size <= 65536 &&
           (u->buffer_size & (u->buffer_size - 1)) == 0);
    int err = init_ring(u, options->streams_max > 0 ? options->streams_max : STREAMS_DEFAULT);
    if (err != 0) {
        return err;
    }
    err = init_pool(u);
    if (err != 0) {
        uring_teardown(u);
    }
    return err;
}

void uring_teardown(struct uring *u)
{
    io_uring_queue_exit(&u->ring);
    if (u->pool != NULL) {
        munmap(u->pool, pool_size(u));
    }
    mem_free(u->memory);
    mem_free(u->stash);
}
