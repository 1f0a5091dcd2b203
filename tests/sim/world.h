/*
 * world.h - the simulated world: one clock, one list of what happens when, one seed.
 *
 * Everything that the engine can see of the outside is made here from the seed: time (the C
 * library's clock is replaced at the link), randomness (its getrandom() too), the network
 * (net.h), name servers (names.h) and Redis (store.h).  Nothing waits: when nobody has
 * anything to do the clock jumps to the next event, so an hour takes milliseconds.
 *
 * One world a process at a time, and so one global variable: what the linker puts in place of
 * a system call has no other way to find it.
 */
#ifndef VOLLEY_TESTS_SIM_WORLD_H
#define VOLLEY_TESTS_SIM_WORLD_H

#include "engine/base/panic.h"
#include "engine/base/rng.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WORLD_WORKERS_MAX = 2 };

/* When in a turn of the loop something happens. */
enum world_when {
    WORLD_OUTSIDE, /* between the ticks; calls nothing of the engine */
    WORLD_IN_TICK, /* where a backend reports: inside io_tick() of a worker */
    WORLD_AFTER    /* where a worker gets orders: between io_tick() and deliver_tick() */
};

typedef void world_fn(void *ctx, int64_t arg);

struct world_event {
    int64_t at_us;
    uint64_t number; /* breaks ties: first come, first served */
    world_fn *fn;
    void *ctx;
    int64_t arg;
    uint8_t when;
    uint8_t worker;
};

struct world {
    uint64_t seed;
    int64_t now_us;  /* monotonic */
    uint64_t number; /* of anything that happens: an order over all of it */
    struct rng rng;
    struct rng os; /* behind getrandom() */
    struct world_event *heap;
    size_t heap_count;
    size_t heap_cap;
    struct world_event *ready[WORLD_WORKERS_MAX][2]; /* due; [0] in the tick, [1] after it */
    size_t ready_count[WORLD_WORKERS_MAX][2];
    size_t ready_cap[WORLD_WORKERS_MAX][2];
    bool tracing;
    bool failed;
    uint64_t hash; /* over the whole trace: two runs of a seed agree in it */
    int64_t allocations;
};

extern struct world world;

void world_init(uint64_t seed, bool tracing);
void world_fini(void);

/* Something happens in `in_us` from now. */
void world_at(int64_t in_us, enum world_when when, unsigned worker, world_fn *fn, void *ctx,
              int64_t arg);

/* When the next thing happens; INT64_MAX: never. */
int64_t world_next_us(void);

/* Runs what is due outside, and makes the rest ready for the workers. */
void world_turn(void);
bool world_is_ready(unsigned worker);
void world_run_ready(unsigned worker, enum world_when when);

/* A new place in the order of everything. */
uint64_t world_number(void);

/* Draws: below `bound`; from `low` to `high`; true `percent` times in a hundred. */
uint64_t draw(uint64_t bound);
int64_t draw_between(int64_t low, int64_t high);
bool chance(unsigned percent);

/* A line of the trace. */
void trace(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* An invariant does not hold.  The first one counts; the run ends soon after. */
void world_fail(const char *fmt, ...) PRINTF_LIKE(1, 2);

#endif
