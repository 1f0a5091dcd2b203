/*
 * sweeper.h - walking what nobody claims, so that orders and expiry reach it.
 *
 * Claims apply both to whatever flows.  What does not flow is walked here, again and again:
 * bins of sites that take nothing, intakes that are paused or that nobody serves, jobs set
 * aside, jobs that are due later.  One engine of a partition walks at a time (a lease in the key
 * `sweeper`); two at once do no harm.
 *
 *   - A call handles at most SWEEP_JOBS records, and the calls are spaced so that they take at
 *     most a twentieth of Redis' time.
 *   - Records are decided about here, by the worker (queue_ops.on_sweep); what is taken is owned
 *     from the same call on, as if claimed, and gets its outcome like any other job.  So events
 *     are written in one place only, and an engine that dies in the middle loses nothing.
 *   - Nothing has to be remembered over a crash: a walk that ended early begins anew.
 *
 * sweeper.c goes round, sweep_walk.c walks one key, sweep_release.c brings back what stood aside
 * for an order that is lifted.
 */
#ifndef VOLLEY_QUEUE_SWEEPER_H
#define VOLLEY_QUEUE_SWEEPER_H

struct queue;
struct sweeper;

/* For the queue of worker 0, whose ops have on_sweep and on_swept. */
struct sweeper *sweeper_new(struct queue *q);
void sweeper_free(struct sweeper *s); /* NULL is fine, as for the others */

/* The queue is up, or up again; it is away. */
void sweeper_up(struct sweeper *s);
void sweeper_down(struct sweeper *s);

#endif
