/*
 * io.c - the loop: which backend, one tick, being woken.
 */
#include "engine/io/io.h"
#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/base/panic.h"
#include "engine/io/backend.h"
#include "engine/io/refusal.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* One line a process: every worker meets the same refusal. */
static void report_refusal(int errno_value, bool fatal)
{
    static atomic_flag reported = ATOMIC_FLAG_INIT;

    if (atomic_flag_test_and_set(&reported)) {
        return;
    }
    struct refusal refusal = refusal_look(errno_value);
    struct buf why = BUF_EMPTY;
    refusal_explain(&why, &refusal);
    if (fatal) {
        log_error("io_uring is refused: " SLICE_FMT, SLICE_ARG(buf_slice(&why)));
    } else {
        log_warn("io_uring is refused, epoll takes its place: " SLICE_FMT,
                 SLICE_ARG(buf_slice(&why)));
    }
    buf_fini(&why);
}

static int open_backend(struct io *io, const struct io_options *options)
{
    if (options->backend == IO_EPOLL) {
        return epoll_open(io);
    }
    int err = uring_open(io, options);
    if (err != 0) {
        report_refusal(-err, options->backend == IO_URING);
        if (options->backend == IO_AUTO) {
            err = epoll_open(io);
        }
    }
    return err;
}

struct io *io_new(const struct io_options *options, int *err)
{
    struct io *io = mem_zalloc(sizeof(*io));

    io->now_us = clock_mono_us();
    wheel_init(&io->wheel, io->now_us);
    atomic_init(&io->wake_state, WAKE_RUNNING);
    io->wake_fd = eventfd(0, EFD_CLOEXEC);
    int errno_value = io->wake_fd < 0 ? errno : -open_backend(io, options);
    if (errno_value != 0) {
        if (io->wake_fd >= 0) {
            close(io->wake_fd);
        }
        mem_free(io->slots);
        mem_free(io);
        *err = err_from_errno(errno_value);
        return NULL;
    }
    *err = 0;
    return io;
}

void io_free(struct io *io)
{
    if (io == NULL) {
        return;
    }
    for (uint32_t at = 0; at < io->slot_count; at++) {
        ASSERT(io->slots[at].kind == SLOT_FREE);
    }
    io->backend->free(io);
    close(io->wake_fd);
    mem_free(io->slots);
    mem_free(io->later);
    mem_free(io->later_now);
    mem_free(io);
}

enum io_backend io_backend(const struct io *io)
{
    return io->backend->kind;
}

int64_t io_now_us(const struct io *io)
{
    return io->now_us;
}

struct wheel *io_wheel(struct io *io)
{
    return &io->wheel;
}

struct io_stats io_stats(const struct io *io)
{
    return io->stats;
}

/* How long this tick may sleep; negative: for ever. */
static int64_t sleep_us(const struct io *io, int64_t wait_us)
{
    if (io->later_count > 0 || wait_us == 0) {
        return 0;
    }
    int64_t next_us = wheel_next_us(&io->wheel);
    if (next_us == INT64_MAX) {
        return wait_us;
    }
    /* The clock is read anew: callbacks may have taken long since io->now_us. */
    int64_t until_us = next_us - clock_mono_us();
    if (until_us < 0) {
        return 0;
    }
    return wait_us < 0 || until_us < wait_us ? until_us : wait_us;
}

void io_tick(struct io *io, int64_t wait_us)
{
    int running = WAKE_RUNNING;

    if (io->ticking) {
        PANIC("io_tick() from a callback, or after a failed test left one by a jump");
    }
    io->ticking = true;
    wait_us = sleep_us(io, wait_us);
    if (wait_us != 0 && !atomic_compare_exchange_strong(&io->wake_state, &running, WAKE_SLEEPING)) {
        wait_us = 0; /* called since the last tick */
    }
    io->stats.ticks++;
    io->backend->wait(io, wait_us);
    /* From here on a call costs no system call.  What its caller put into a queue before it
     * is visible to whoever looks there after this tick. */
    atomic_exchange(&io->wake_state, WAKE_RUNNING);
    io->now_us = clock_mono_us();
    io->backend->dispatch(io);
    wheel_run(&io->wheel, io->now_us);
    slot_run_later(io);
    io->ticking = false;
}

void io_wake(struct io *io)
{
    const uint64_t one = 1;
    int saved_errno = errno; /* may be a signal handler */

    if (atomic_exchange(&io->wake_state, WAKE_CALLED) == WAKE_SLEEPING) {
        ssize_t n = write(io->wake_fd, &one, sizeof(one));
        (void)n; /* fails only when 2^64 - 2 wakes were never read: it is awake then */
    }
    errno = saved_errno;
}
