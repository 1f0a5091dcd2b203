/*
 * test_loop.c - listeners, watches, waking, timers, slots.
 */
#include "engine/base/mem.h"
#include "tests/unit/io/harness.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

/* ---- listeners ---- */

struct acceptor {
    struct io_listener l;
    int fd[64];
    int count;
    sa_family_t family;
    bool close_at_first;
    int closes;
};

static void acceptor_accept(struct io_listener *l, int fd, const struct sockaddr *peer)
{
    struct acceptor *a = CONTAINER_OF(l, struct acceptor, l);

    assert_int_equal(a->closes, 0);
    assert_true(a->count < 64);
    a->fd[a->count++] = fd;
    a->family = peer->sa_family;
    if (a->close_at_first) {
        io_listener_close(l);
    }
}

static void acceptor_closed(struct io_listener *l)
{
    CONTAINER_OF(l, struct acceptor, l)->closes++;
}

static void acceptor_listen(struct io *io, struct acceptor *a, int fd)
{
    memset(a, 0, sizeof(*a));
    a->l.on_accept = acceptor_accept;
    a->l.on_close = acceptor_closed;
    assert_int_equal(io_listen(io, &a->l, fd), 0);
}

static void acceptor_start(struct io *io, struct acceptor *a, int family, union address *at)
{
    acceptor_listen(io, a, plain_listen(family, at));
}

static void acceptor_stop(struct io *io, struct acceptor *a)
{
    io_listener_close(&a->l);
    AWAIT(io, a->closes == 1);
    for (int i = 0; i < a->count; i++) {
        close(a->fd[i]);
    }
}

static int plain_connect(const union address *at)
{
    int fd = socket(at->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, &at->sa, address_len(at)), 0);
    return fd;
}

static void test_listener(void **state)
{
    struct io *io = IO_OF(state);
    static const int families[] = {AF_INET, AF_INET6, AF_UNIX};
    struct acceptor a;
    union address at;
    int fd[50];

    for (int f = 0; f < 3; f++) {
        acceptor_start(io, &a, families[f], &at);
        for (int round = 0; round < 2; round++) {
            for (int i = round * 25; i < round * 25 + 25; i++) {
                fd[i] = plain_connect(&at);
            }
            AWAIT(io, a.count == round * 25 + 25);
        }
        assert_int_equal(a.family, families[f]);
        acceptor_stop(io, &a);
        for (int i = 0; i < 50; i++) {
            close(fd[i]);
        }
    }
}

static void test_listener_closed_inside_on_accept(void **state)
{
    struct io *io = IO_OF(state);
    struct acceptor a;
    union address at;
    int fd[5];

    acceptor_start(io, &a, AF_INET, &at);
    a.close_at_first = true;
    for (int i = 0; i < 5; i++) {
        fd[i] = plain_connect(&at);
    }
    AWAIT(io, a.closes == 1);
    assert_int_equal(a.count, 1);
    close(a.fd[0]);
    for (int i = 0; i < 5; i++) {
        close(fd[i]);
    }
}

/* Out of descriptors: accepting pauses instead of spinning, and goes on by itself. */
static void test_listener_without_descriptors(void **state)
{
    struct io *io = IO_OF(state);
    struct rlimit before, none;
    struct acceptor a;
    union address at;

    int listener = plain_listen(AF_INET, &at);
    int fd = plain_connect(&at);
    getrlimit(RLIMIT_NOFILE, &before);
    none = before;
    none.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &none);
    acceptor_listen(io, &a, listener); /* io_uring remembers the limit of this moment */
    struct io_stats start = io_stats(io);
    int64_t end_us = clock_mono_us() + 250 * 1000;
    AWAIT(io, clock_mono_us() > end_us);
    assert_int_equal(a.count, 0);
    assert_true(io_stats(io).ticks - start.ticks < 60);
    setrlimit(RLIMIT_NOFILE, &before);
    AWAIT(io, a.count == 1);
    acceptor_stop(io, &a);
    close(fd);
}

/* ---- watches ---- */

struct watcher {
    struct io_watch w;
    int calls, closes;
    unsigned events;
    bool drain, remove;
};

static void watcher_ready(struct io_watch *w, unsigned events)
{
    struct watcher *x = CONTAINER_OF(w, struct watcher, w);
    char byte;

    assert_int_equal(x->closes, 0);
    x->calls++;
    x->events |= events;
    if (x->drain) {
        assert_int_equal(read(w->fd, &byte, 1), 1);
    }
    if (x->remove) {
        io_watch_remove(w);
    }
}

static void watcher_closed(struct io_watch *w)
{
    CONTAINER_OF(w, struct watcher, w)->closes++;
}

static void watcher_start(struct io *io, struct watcher *x, int fd, unsigned events)
{
    memset(x, 0, sizeof(*x));
    x->w.on_ready = watcher_ready;
    x->w.on_close = watcher_closed;
    assert_int_equal(io_watch_add(io, &x->w, fd, events), 0);
}

static void test_watch(void **state)
{
    struct io *io = IO_OF(state);
    struct watcher x;
    int fd[2];

    assert_int_equal(pipe(fd), 0);
    watcher_start(io, &x, fd[0], POLLIN);
    for (int i = 0; i < 5; i++) {
        io_tick(io, 1000);
    }
    assert_int_equal(x.calls, 0);

    /* Level-triggered: called until the byte is read. */
    assert_int_equal(write(fd[1], "a", 1), 1);
    AWAIT(io, x.calls >= 5);
    assert_int_equal(x.events, POLLIN);
    x.drain = true;
    int calls = x.calls;
    AWAIT(io, x.calls == calls + 1);
    for (int i = 0; i < 5; i++) {
        io_tick(io, 1000);
    }
    assert_int_equal(x.calls, calls + 1);
    x.drain = false;

    /* No events: quiet, even over a hang-up. */
    io_watch_change(&x.w, 0);
    assert_int_equal(write(fd[1], "b", 1), 1);
    close(fd[1]);
    for (int i = 0; i < 5; i++) {
        io_tick(io, 1000);
    }
    assert_int_equal(x.calls, calls + 1);
    io_watch_change(&x.w, POLLIN);
    AWAIT(io, x.calls > calls + 1);
    assert_true((x.events & (POLLIN | POLLHUP)) == (POLLIN | POLLHUP));
    x.remove = true;
    AWAIT(io, x.closes == 1);
    close(fd[0]);
}

static void test_watch_change(void **state)
{
    struct io *io = IO_OF(state);
    struct watcher x;
    int fd[2];

    plain_pair(fd);
    watcher_start(io, &x, fd[0], POLLIN);
    io_tick(io, 0);
    io_watch_change(&x.w, POLLIN | POLLOUT);
    AWAIT(io, x.calls > 0);
    assert_int_equal(x.events, POLLOUT);
    io_watch_change(&x.w, POLLIN);
    io_watch_change(&x.w, 0);
    io_watch_change(&x.w, POLLIN);
    io_tick(io, 0);
    io_tick(io, 0);
    x.events = 0;
    x.calls = 0;
    for (int i = 0; i < 5; i++) {
        io_tick(io, 1000);
    }
    assert_int_equal(x.calls, 0);
    assert_int_equal(write(fd[1], "a", 1), 1);
    AWAIT(io, x.calls > 0);
    assert_int_equal(x.events, POLLIN);

    /* Removed, its descriptor may be closed and its place used by another at once. */
    io_watch_remove(&x.w);
    io_watch_remove(&x.w);
    AWAIT(io, x.closes == 1);
    close(fd[0]);
    close(fd[1]);
    for (int i = 0; i < 3; i++) {
        io_tick(io, 0);
    }
    assert_int_equal(x.closes, 1);
}

/* ---- more at once than the rings hold ---- */

enum { CROWD = 12000 };

struct crowd {
    struct io_watch w;
    int calls, closes;
};

static int crowd_called, crowd_closed;

static void crowd_ready(struct io_watch *w, unsigned events)
{
    struct crowd *c = CONTAINER_OF(w, struct crowd, w);

    assert_int_equal(events, POLLOUT);
    assert_int_equal(c->calls++, 0);
    crowd_called++;
    io_watch_change(w, 0);
}

static void crowd_on_close(struct io_watch *w)
{
    assert_int_equal(CONTAINER_OF(w, struct crowd, w)->closes++, 0);
    crowd_closed++;
}

/* 12,000 polls of something that is ready complete while they are submitted, into a ring with
 * 4,096 places: each is reported all the same, and once. */
static void test_overflow(void **state)
{
    struct io_options options = {.backend = IO_URING, .streams_max = 1};
    struct crowd *crowd = mem_array(CROWD, sizeof(*crowd));
    int fd[2], err;

    (void)IO_OF(state);
    struct io *io = io_new(&options, &err);
    assert_non_null(io);
    assert_int_equal(pipe(fd), 0);
    crowd_called = crowd_closed = 0;
    for (int i = 0; i < CROWD; i++) {
        crowd[i].w.on_ready = crowd_ready;
        crowd[i].w.on_close = crowd_on_close;
        assert_int_equal(io_watch_add(io, &crowd[i].w, fd[1], POLLOUT), 0);
    }
    AWAIT(io, crowd_called == CROWD);
    assert_true(io_stats(io).overflows > 0); /* else this test proves nothing */
    for (int i = 0; i < CROWD; i++) {
        io_watch_remove(&crowd[i].w);
    }
    AWAIT(io, crowd_closed == CROWD);
    io_free(io);
    close(fd[0]);
    close(fd[1]);
    mem_free(crowd);
}

/* ---- waking ---- */

/* Waits for nothing.  The rest of a ring that an earlier test closed interrupts system calls
 * of the process some times, so one wait in five has to last. */
static bool sleeps(struct io *io, int64_t wait_us)
{
    for (int i = 0; i < 5; i++) {
        int64_t start_us = clock_mono_us();
        io_tick(io, wait_us);
        if (clock_mono_us() - start_us >= wait_us - 1000) {
            return true;
        }
    }
    return false;
}

enum { WAKES = 20000 };

struct waker {
    struct io *io;
    _Atomic int produced;
    _Atomic bool go;
};

static void *wake_often(void *arg)
{
    struct waker *w = arg;

    for (int i = 0; i < WAKES; i++) {
        atomic_fetch_add_explicit(&w->produced, 1, memory_order_relaxed);
        io_wake(w->io);
    }
    return NULL;
}

/* The loop never sleeps over work that was announced: it sees every item although it waits
 * without a limit of its own. */
static void test_wake(void **state)
{
    struct io *io = IO_OF(state);
    struct waker w = {.io = io};
    pthread_t threads[2];

    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, wake_often, &w), 0);
    }
    while (atomic_load_explicit(&w.produced, memory_order_relaxed) < 2 * WAKES) {
        io_tick(io, -1);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    /* Many wakes made one: a call before the tick spares its sleep, the next one waits. */
    io_tick(io, 0);
    for (int i = 0; i < 100; i++) {
        io_wake(io);
    }
    int64_t start_us = clock_mono_us();
    io_tick(io, 5 * 1000 * 1000);
    assert_true(clock_mono_us() - start_us < 1000 * 1000);
    io_tick(io, 0);
    io_tick(io, 0);
    assert_true(sleeps(io, 20 * 1000));
}

static void *wake_once(void *arg)
{
    struct waker *w = arg;

    while (!atomic_load(&w->go)) {
        sched_yield();
    }
    usleep(20 * 1000); /* the loop is asleep by now, most likely: both cases must do */
    io_wake(w->io);
    return NULL;
}

static void test_wake_from_sleep(void **state)
{
    struct io *io = IO_OF(state);

    for (int i = 0; i < 5; i++) {
        struct waker w = {.io = io};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, wake_once, &w), 0);
        int64_t start_us = clock_mono_us();
        atomic_store(&w.go, true);
        io_tick(io, 5 * 1000 * 1000);
        assert_true(clock_mono_us() - start_us < 2 * 1000 * 1000);
        pthread_join(thread, NULL);
    }
}

/* ---- timers ---- */

struct alarm {
    struct timer t;
    int64_t fired_us;
    int rank;
};

static int alarms_fired;

static void alarm_fire(struct timer *t, int64_t now_us)
{
    struct alarm *a = CONTAINER_OF(t, struct alarm, t);

    assert_true(now_us >= t->due_us);
    a->fired_us = now_us;
    a->rank = alarms_fired++;
}

static void test_timers(void **state)
{
    struct io *io = IO_OF(state);
    static const int64_t after_us[] = {30000, 10000, 20000, 0, -5, 15500};
    static const int rank[] = {5, 2, 4, 0, 1, 3};
    struct alarm alarms[6];
    int64_t start_us = clock_mono_us();

    alarms_fired = 0;
    for (int i = 0; i < 6; i++) {
        timer_init(&alarms[i].t, alarm_fire);
        wheel_arm(io_wheel(io), &alarms[i].t, start_us + after_us[i]);
    }
    uint64_t ticks = io_stats(io).ticks;
    while (alarms_fired < 6) {
        io_tick(io, -1); /* the wheel alone ends the waits */
    }
    assert_true(io_stats(io).ticks - ticks < 30);
    for (int i = 0; i < 6; i++) {
        if (after_us[i] > 0) {
            assert_int_equal(alarms[i].rank, rank[i]);
        }
        assert_true(alarms[i].fired_us >= start_us + after_us[i]);
    }
}

static void test_wait_is_kept(void **state)
{
    struct io *io = IO_OF(state);

    assert_true(sleeps(io, 15 * 1000));
    int64_t start_us = clock_mono_us();
    io_tick(io, 0);
    assert_true(clock_mono_us() - start_us < 1000 * 1000);
    assert_true(sleeps(io, 15 * 1000));
}

/* ---- counters, threads, slots ---- */

static int thread_count(void)
{
    DIR *dir = opendir("/proc/self/task");
    int count = 0;

    while (readdir(dir) != NULL) {
        count++;
    }
    closedir(dir);
    return count;
}

static void test_stats(void **state)
{
    struct io *io = IO_OF(state);
    struct iovec iov = {"ping", 4};
    struct peer p;
    int threads = thread_count();
    int other = peer_adopt(io, &p);

    assert_int_equal(io_backend(io), io->backend->kind);
    io_tick(io, 0);
    struct io_stats before = io_stats(io);
    for (int i = 0; i < 10; i++) {
        io_write(&p.s, &iov, 1);
        AWAIT(io, p.writes == i + 1);
    }
    struct io_stats after = io_stats(io);
    assert_true(after.ticks > before.ticks);
    assert_int_equal(after.enters - before.enters, after.ticks - before.ticks);
    assert_int_equal(after.enobufs + after.overflows, 0);
    /* Nothing was handed to a kernel thread: they would be seen among ours. */
    assert_int_equal(thread_count(), threads);
    close(other);
    peer_fini(io, &p);
}

static void test_slots(void **state)
{
    struct io *io = IO_OF(state);
    struct io_stream owners[300];
    uint32_t slot[300];
    uint64_t tag[300];

    for (int i = 0; i < 300; i++) {
        slot[i] = slot_take(io, SLOT_STREAM, &owners[i]);
        tag[i] = tag_of(io, slot[i], 7);
    }
    for (int i = 0; i < 300; i++) {
        assert_int_equal(tag_op(tag[i]), 7);
        assert_ptr_equal(tag_slot(io, tag[i])->owner, &owners[i]);
    }
    slot_release(io, slot[5]);
    assert_null(tag_slot(io, tag[5]));
    uint32_t again = slot_take(io, SLOT_STREAM, &owners[0]);
    assert_int_equal(again, slot[5]);
    assert_null(tag_slot(io, tag[5])); /* late: meant for the former owner */
    assert_ptr_equal(tag_slot(io, tag_of(io, again, 7))->owner, &owners[0]);
    assert_null(tag_slot(io, UINT64_C(0xfffffff0)));
    for (int i = 0; i < 300; i++) {
        slot_release(io, slot[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(test_listener),
        ON_BOTH(test_listener_closed_inside_on_accept),
        ON_BOTH(test_listener_without_descriptors),
        ON_BOTH(test_watch),
        ON_BOTH(test_watch_change),
        {"test_overflow (io_uring)", test_overflow, harness_setup, harness_teardown,
         (void *)(uintptr_t)&harness_uring},
        ON_BOTH(test_wake),
        ON_BOTH(test_wake_from_sleep),
        ON_BOTH(test_timers),
        ON_BOTH(test_wait_is_kept),
        ON_BOTH(test_stats),
        ON_BOTH(test_slots),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
