/*
 * takeover.h - returning what a dead life owns to the intakes.
 *
 * Walks owned:<dead> in pages and gives each page back with volley_1_takeover, which tests
 * again that the life is dead.  The walker can be any node; two at once do no harm.
 */
#ifndef VOLLEY_QUEUE_TAKEOVER_H
#define VOLLEY_QUEUE_TAKEOVER_H

#include "queue/keys.h"
#include "queue/node.h"
#include "queue/redis.h"

struct takeover;

/* `returned` jobs went back; err 0: the life is gone, else it is for another time. */
typedef void takeover_fn(void *ctx, int err, uint64_t returned);

/* `r` is up and outlives it: a break of the connection ends it with that error. */
struct takeover *takeover_start(struct redis *r, const struct keys *keys, struct slice life,
                                struct slice dead, takeover_fn *done, void *ctx);

/* Walks what a life of ours owns, and gives back those jobs of which `pick` says so. */
typedef bool takeover_pick_fn(void *ctx, struct slice id);
struct takeover *takeover_start_picked(struct redis *r, const struct keys *keys, struct slice life,
                                       takeover_pick_fn *pick, takeover_fn *done, void *ctx);

#endif
