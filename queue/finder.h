/*
 * finder.h - asking who is master.
 *
 * The seeds of an address (Sentinels, or nodes of a Cluster) are asked one after the other
 * until one knows; each has FINDER_SEED_US for connecting, log-in and answer, so that one that
 * is dead without a word does not hold up the others for long.
 */
#ifndef VOLLEY_QUEUE_FINDER_H
#define VOLLEY_QUEUE_FINDER_H

#include "engine/io/io.h"
#include "queue/redis_url.h"

enum { FINDER_SEED_US = 2 * 1000 * 1000 };

struct finder;

/* err 0: `master` is where the keys of the address' partition are.  Else `why` is what the last
 * seed said, for people. */
typedef void finder_fn(void *ctx, int err, const struct place *master, const char *why);

/* Starts at seed number `first` (modulo their count).  `url` is of kind SENTINEL or CLUSTER and
 * stays the caller's until `done` was called, which comes from the loop, once. */
struct finder *finder_start(struct io *io, const struct redis_url *url, size_t first,
                            finder_fn *done, void *ctx);

/* `done` will not be called; `closed` will, from the loop. */
void finder_cancel(struct finder *f, void (*closed)(void *ctx));

/* The question, and what an answer to it says; also for blocking clients. */
void finder_put_question(const struct redis_url *url, struct buf *out);
int finder_read_answer(const struct redis_url *url, const struct place *seed,
                       const struct resp *reply, struct place *master, struct buf *why);

#endif
