/*
 * ids.h - counting how often each value was seen.
 *
 * The proof that a run lost nothing and doubled nothing: a value is kept as a 64-bit keyed hash
 * (nine bytes for each at most half-full slot), so ten million recipients cost under 300 MB and
 * the chance that two of them share a hash is one in 400,000.  Shared by threads.
 */
#ifndef VOLLEY_BENCH_IDS_H
#define VOLLEY_BENCH_IDS_H

#include "engine/base/buf.h"

struct ids;

struct ids *ids_new(void);
void ids_free(struct ids *ids); /* NULL is fine */

/* Counts `value` once more; returns how often it was seen now, 255 at most. */
unsigned ids_add(struct ids *ids, struct slice value);

uint64_t ids_distinct(struct ids *ids);
uint64_t ids_duplicates(struct ids *ids); /* sightings beyond the first of each value */

/* Calls back for the first few values that came more than once, in the order of their second
 * sighting.  `each` must not call ids_*. */
enum { IDS_SAMPLES_MAX = 20 };
void ids_each_sample(struct ids *ids, void (*each)(void *ctx, struct slice value), void *ctx);

#endif
