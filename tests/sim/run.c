/*
 * run.c - the workers of the engine in the simulated world, and one run of a seed.
 *
 * One turn: the clock moves to the next thing that happens anywhere, then each worker does what
 * engine/worker does: a tick of its loop, jobs that were handed over, orders, deliver_tick().
 */
#include "tests/sim/run.h"

#include "engine/base/mem.h"
#include "engine/base/panic.h"
#include "engine/deliver/job.h"
#include "tests/sim/audit.h"
#include "tests/sim/names.h"
#include "tests/sim/net.h"
#include "tests/sim/oracle.h"
#include "tests/sim/queue_private.h"
#include "tests/sim/scene.h"
#include "tests/sim/server.h"
#include "tests/sim/store.h"
#include "tests/sim/world.h"

#include <stdio.h>

/* So many turns in a row for which no time had to pass are a loop that goes round for nothing. */
enum { TURNS_MAX = 20000, AUDIT_TURNS = 31, IDLE_US = 400 * 1000000 };

struct sim_worker {
    unsigned index;
    struct io *io;
    struct deliver *deliver;
    struct mailbox jobs;
    int64_t wait_us;
    bool draining;
    unsigned turns;
};

static struct sim_worker workers[WORLD_WORKERS_MAX];
static struct conf *conf;
static bool restart;
static unsigned turns; /* for which no time had to pass */

struct deliver *run_deliver(unsigned worker)
{
    workers[worker].wait_us = 0; /* whoever asks gives an order: it is woken */
    return workers[worker].deliver;
}

bool run_draining(void)
{
    return workers[0].draining;
}

/* ---- a worker ---- */

static void hand_over(void *ctx, unsigned to, struct mailbox_node *parcel)
{
    (void)ctx;
    mailbox_push(&workers[to].jobs, parcel);
}

static void on_closed(void *ctx)
{
    struct sim_worker *w = ctx;

    trace("worker %u: closed", w->index);
    w->deliver = NULL;
}

static void worker_start(struct sim_worker *w)
{
    struct buf why = BUF_EMPTY;
    struct deliver_options options = {
        .io = w->io,
        .conf = conf,
        .node_id = SLICE("sim"),
        .worker = w->index,
        .workers = scene.workers,
        .events_fd = -1,
        .hand_over = hand_over,
        .on_closed = on_closed,
        .ctx = w,
    };

    w->draining = false;
    w->wait_us = 0;
    w->deliver = deliver_new(&options, &why);
    ASSERT(w->deliver != NULL);
}

static void worker_turn(struct sim_worker *w)
{
    io_tick(w->io, 0);
    if (w->deliver != NULL) {
        deliver_take(w->deliver, mailbox_take(&w->jobs));
    }
    world_run_ready(w->index, WORLD_AFTER);
    w->wait_us = w->deliver != NULL ? deliver_tick(w->deliver) : -1;
    if (w->deliver != NULL && w->turns++ % AUDIT_TURNS == 0) {
        audit(w->deliver);
    }
}

/* When it has something to do. */
static int64_t worker_next_us(const struct sim_worker *w)
{
    bool mail = atomic_load(&w->jobs.newest) != NULL && w->deliver != NULL;

    if (w->io->later_count > 0 || w->wait_us == 0 || mail || world_is_ready(w->index)) {
        return world.now_us;
    }
    return wheel_next_us(&w->io->wheel);
}

/* ---- orders ---- */

void run_configure(void *ctx, int64_t full)
{
    (void)ctx;
    struct conf *next = scene_conf(full != 0);
    scene.reloads++;
    for (unsigned w = 0; w < scene.workers; w++) {
        if (run_deliver(w) != NULL) {
            deliver_configure(workers[w].deliver, next);
        }
    }
    conf_unref(conf);
    conf = next;
}

void run_close(void *ctx, int64_t drain_us)
{
    (void)ctx;
    trace("drain for at most %lld us", (long long)drain_us);
    restart = !scene.over;
    for (unsigned w = 0; w < scene.workers; w++) {
        if (run_deliver(w) != NULL && !workers[w].draining) {
            workers[w].draining = true;
            deliver_close(workers[w].deliver, drain_us);
        }
    }
}

void run_cut(void *ctx, int64_t arg)
{
    (void)ctx;
    (void)arg;
    for (unsigned w = 0; w < scene.workers; w++) {
        if (run_deliver(w) != NULL && workers[w].draining) {
            trace("worker %u: cut", w);
            deliver_cut(workers[w].deliver);
        }
    }
}

/* ---- the loop ---- */

static bool all_closed(void)
{
    bool closed = true;

    for (unsigned w = 0; w < scene.workers; w++) {
        closed = closed && workers[w].deliver == NULL;
    }
    return closed;
}

static void free_parcels(void)
{
    for (unsigned w = 0; w < scene.workers; w++) {
        struct mailbox_node *at = mailbox_take(&workers[w].jobs);
        while (at != NULL) {
            struct job *j = CONTAINER_OF(at, struct job, parcel);
            at = at->next;
            trace("a parcel is left: " SLICE_FMT, SLICE_ARG(j->record.id));
            job_free(j);
        }
    }
}

/* The engine of before is gone; another one starts, under a new life. */
static void start_again(void)
{
    uint64_t life = store.life;

    free_parcels();
    people_owned_lost(life);
    store.life++;
    store_take_over(life);
    for (unsigned w = 0; w < scene.workers; w++) {
        worker_start(&workers[w]);
    }
}

static bool advance(void)
{
    int64_t next_us = world_next_us();

    for (unsigned w = 0; w < scene.workers; w++) {
        int64_t at_us = worker_next_us(&workers[w]);
        next_us = at_us < next_us ? at_us : next_us;
    }
    if (next_us == INT64_MAX) {
        world_fail("nothing will ever happen again");
        return false;
    }
    turns = next_us > world.now_us + 1 ? 0 : turns + 1;
    world.now_us = next_us > world.now_us ? next_us : world.now_us + 1;
    if (turns > TURNS_MAX) {
        world_fail("a loop: %u turns without a pause", turns);
        return false;
    }
    return true;
}

static void loop(void)
{
    bool over = false;

    while (!world.failed && advance()) {
        world_turn();
        for (unsigned w = 0; w < scene.workers; w++) {
            if (worker_next_us(&workers[w]) <= world.now_us) {
                worker_turn(&workers[w]);
            }
        }
        if (all_closed()) {
            if (scene.over || !restart) {
                return;
            }
            start_again();
        }
        if (!over && hosts_healed() && store_open() == 0) {
            trace("everybody has his end");
            over = true;
            scene.over = true;
            world_at(draw_between(0, chance(30) ? IDLE_US : 1000), WORLD_AFTER, 0, run_close, NULL,
                     5 * 1000000);
        }
        if (!over && world.now_us > scene.horizon_us) {
            world_fail("%u recipients have no end", store_open());
        }
    }
}

/* ---- a run ---- */

static void worlds_end(void)
{
    free_parcels();
    for (unsigned w = 0; w < scene.workers; w++) {
        io_free(workers[w].io);
        workers[w] = (struct sim_worker){0};
    }
    conf_unref(conf);
    oracle_counts.links += net_count();
    net_fini();
    queues_fini();
    queue_suppress_fini();
    names_fini();
    people_fini();
}

bool run_seed(uint64_t seed, bool tracing, uint64_t *hash)
{
    struct io_options options = {.backend = IO_EPOLL};
    int err;

    world_init(seed, tracing);
    net_init();
    people_init();
    store_init();
    scene_make();
    conf = scene_conf(true);
    for (unsigned w = 0; w < scene.workers; w++) {
        workers[w] = (struct sim_worker){.index = w};
        workers[w].io = io_new(&options, &err);
        mailbox_init(&workers[w].jobs);
        net_worker(workers[w].io, w);
        worker_start(&workers[w]);
    }
    restart = false;
    turns = 0;
    loop();
    *hash = world.hash;
    if (world.failed) {
        return false; /* and the process ends: what the engine holds is not taken apart */
    }
    oracle_judge(true);
    worlds_end();
    if (world.allocations != 0) {
        world_fail("%lld pieces of memory were not returned", (long long)world.allocations);
    }
    world_fini();
    return !world.failed;
}
