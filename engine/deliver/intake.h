/*
 * intake.h - what to ask Redis for: credit for intakes and bins.
 *
 * A worker asks only for what it can send in the next moments: as many jobs as it has been
 * sending in half a second, and of a site's bin no more than its paths have room for.  So a
 * throttled site is simply not asked for, and its backlog stays in Redis.
 *
 * Where classes compete for the credit: `high` first, at most 90 %, then normal : bulk 8 : 2;
 * lists of one class share equally.  The last part of the memory for jobs is kept from bulk,
 * then from normal, so that a full engine still takes `high` in.
 */
#ifndef VOLLEY_DELIVER_INTAKE_H
#define VOLLEY_DELIVER_INTAKE_H

#include "queue/queue.h"

struct deliver;

/* Claims when there is something to claim and room for it. */
void intake_claim(struct deliver *d);

/* A list is not empty. */
void intake_list(struct deliver *d, struct slice name);

/* A record of a claim, and the end of the claim; from the queue. */
void intake_record(struct deliver *d, size_t want, const struct job_record *record);
void intake_claimed(struct deliver *d, int err, const struct queue_got *got, size_t count);

/* The orders changed: no list is known to be nothing but what they end. */
void intake_reprieve(struct deliver *d);

void intake_free(struct deliver *d);

#endif
