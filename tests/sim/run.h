/*
 * run.h - the workers of the engine in the simulated world, and one run of a seed.
 */
#ifndef VOLLEY_TESTS_SIM_RUN_H
#define VOLLEY_TESTS_SIM_RUN_H

#include "engine/deliver/deliver.h"

/* One seed from beginning to end.  False when an invariant did not hold (it was printed).  *hash
 * tells one run from another. */
bool run_seed(uint64_t seed, bool tracing, uint64_t *hash);

/* The delivery of a worker, or NULL while it is not there. */
struct deliver *run_deliver(unsigned worker);
bool run_draining(void);

/* Orders, as the engine gives them; from WORLD_AFTER. */
void run_configure(void *ctx, int64_t full);
void run_close(void *ctx, int64_t drain_us);
void run_cut(void *ctx, int64_t arg);

#endif
