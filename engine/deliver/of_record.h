/*
 * of_record.h - what a job's record says to its events and to its next attempt.
 *
 * Shared by outcomes of running jobs (outcome.c) and of those that a crash interrupted
 * (recover.c), which are to be told alike.
 */
#ifndef VOLLEY_DELIVER_OF_RECORD_H
#define VOLLEY_DELIVER_OF_RECORD_H

#include "conf/conf.h"
#include "engine/base/rng.h"
#include "engine/deliver/event.h"
#include "engine/deliver/retry.h"
#include "queue/record.h"

enum { RECORD_PAIRS_MAX = 64 };

/* The fields of `e` that the record knows; the attempt is the last one counted.  `pairs` is
 * what e->x points to. */
void event_of_record(struct event *e, const struct job_record *r,
                     struct event_pair pairs[RECORD_PAIRS_MAX]);

/* When the job comes back after failed attempt number `attempt`; `server_wait_us` as in
 * retry_after(). */
enum retry_verdict retry_of_record(const struct job_record *r, const struct conf *conf,
                                   uint32_t attempt, int64_t server_wait_us, struct rng *rng,
                                   int64_t wall_us, int64_t *due_us);

#endif
