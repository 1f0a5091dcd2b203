/*
 * claim.h - one claim: what is wanted, as a call, and what the answer gives.
 *
 * Kept until it was answered, because a claim whose answer was lost is asked again under the
 * same number and then answers the same records.
 */
#ifndef VOLLEY_QUEUE_CLAIM_H
#define VOLLEY_QUEUE_CLAIM_H

#include "queue/keys.h"
#include "queue/node.h"
#include "queue/queue.h"

struct claim {
    struct queue *queue;
    unsigned channel; /* Redis remembers the last claim of each channel of a life */
    unsigned voided;  /* answers on their way to claims of this channel that were ended */
    bool active;      /* asked by the worker, not answered yet */
    bool sent;        /* under way */
    char life[NODE_LIFE_MAX];
    uint64_t number;
    size_t count;
    struct queue_want wants[QUEUE_CLAIM_LISTS_MAX]; /* names point into `names` */
    struct queue_got got[QUEUE_CLAIM_LISTS_MAX];
    struct buf names;
};

/* Copies the wants.  0, ERR_LIMIT or ERR_INVALID as queue_claim(). */
int claim_set(struct claim *c, const struct queue_want *wants, size_t count);
void claim_fini(struct claim *c);

/* Writes the call. */
void claim_put(const struct claim *c, struct buf *out, const struct keys *keys);

/* Walks an answer: on_record for each record, then got[] is filled in.  `base` is for the log.  0
 * or ERR_PROTO. */
typedef void claim_record_fn(void *ctx, size_t want, struct slice record);
int claim_read(struct claim *c, struct slice base, const struct resp *reply,
               claim_record_fn *on_record, void *ctx);

#endif
