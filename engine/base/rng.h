/*
 * rng.h - seeded pseudo-random numbers (xoshiro256**, Blackman and Vigna 2018).
 *
 * For jitter, shuffles and identifiers that need no secrecy.  Whoever needs randomness is
 * handed a struct rng, so a test or the simulator repeats a run from its seed.  Secrets
 * (tokens, DNS query ids) come from rng_os().
 */
#ifndef VOLLEY_BASE_RNG_H
#define VOLLEY_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

struct rng {
    uint64_t state[4];
};

void rng_seed(struct rng *r, uint64_t seed);
void rng_seed_os(struct rng *r); /* from the kernel */
uint64_t rng_next(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t bound); /* uniform in [0, bound); bound > 0 */

/* Fills `len` bytes from the kernel's generator. */
void rng_os(void *out, size_t len);

#endif
