/*
 * obey.h - orders and expiry, applied to jobs.
 *
 * A job is looked at when it is claimed, when it enters a lane (its site is known then), when it
 * is about to be sent if the orders changed meanwhile, and, when they change, wherever it waits in
 * a lane or in a session that has not begun it.  So nothing whose order reached the engine is
 * begun after it.  What nobody claims is met by the queue's walk (queue/sweeper.h).
 */
#ifndef VOLLEY_DELIVER_OBEY_H
#define VOLLEY_DELIVER_OBEY_H

#include "engine/deliver/job.h"
#include "queue/queue.h"

struct deliver;

/* Applies expiry and orders to a job that is in no list.  `site` is empty while it is not known.
 * True when the job is gone. */
bool obey(struct deliver *d, struct job *j, struct slice site);

/* Whether the orders that obey() went by for this job are still the same. */
bool obey_fresh(const struct deliver *d, const struct job *j);

/* The orders changed: applies them to everything that waits. */
void obey_all(struct deliver *d);

/* What is to become of a record that nobody claims; what becomes of it when it was taken. */
enum sweep_decision obey_sweep(struct deliver *d, const struct sweep_place *place,
                               const struct job_record *record);
void obey_swept(struct deliver *d, const struct sweep_place *place,
                const struct job_record *record);

#endif
