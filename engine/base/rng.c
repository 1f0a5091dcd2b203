/*
 * rng.c - seeded pseudo-random numbers.
 */
#include "engine/base/rng.h"
#include "engine/base/panic.h"

#include <errno.h>
#include <sys/random.h>

static uint64_t rotate_left(uint64_t v, unsigned bits)
{
    return (v << bits) | (v >> (64 - bits));
}

void rng_seed(struct rng *r, uint64_t seed)
{
    /* SplitMix64 spreads a small seed over the state, as xoshiro's authors advise. */
    for (int i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15ULL;
        uint64_t z = seed;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
        r->state[i] = z ^ (z >> 31);
    }
}

void rng_seed_os(struct rng *r)
{
    uint64_t seed;

    rng_os(&seed, sizeof(seed));
    rng_seed(r, seed);
}

uint64_t rng_next(struct rng *r)
{
    uint64_t *s = r->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t rng_below(struct rng *r, uint64_t bound)
{
    ASSERT(bound > 0);
    /* Values under 2^64 mod bound are drawn again: every result is equally likely. */
    uint64_t floor = (0 - bound) % bound;
    uint64_t value;

    do {
        value = rng_next(r);
    } while (value < floor);
    return value % bound;
}

void rng_os(void *out, size_t len)
{
    char *at = out;

    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            PANIC("getrandom failed: errno %d", errno);
        }
        at += got;
        len -= (size_t)got;
    }
}
