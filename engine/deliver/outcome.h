/*
 * outcome.h - how a job ends: exactly one of these for each claimed job.
 *
 * Every function here takes the job over, writes its event where there is one, gives the
 * queue its outcome and frees it.  Nothing else in engine/deliver frees a claimed job.
 */
#ifndef VOLLEY_DELIVER_OUTCOME_H
#define VOLLEY_DELIVER_OUTCOME_H

#include "engine/deliver/job.h"
#include "engine/smtp/verdict.h"

struct deliver;
struct transaction;
struct path;
struct site;

/* What recipient `index` of a finished transaction got. */
void outcome_of(struct deliver *d, struct job *j, const struct transaction *t, size_t index);

/* The answer of a first host stands, for want of a second one (elsewhere.h). */
void outcome_of_second(struct deliver *d, struct job *j, const struct path *p);

/* Failed for good before any server was asked (null MX, unusable letter): `bounced`. */
void outcome_bounce(struct deliver *d, struct job *j, enum smtp_stage stage,
                    enum smtp_failure failure, struct slice enhanced, struct slice text);

/* Its time is over: `expired`.  True when that was so and the job is gone. */
bool outcome_expire(struct deliver *d, struct job *j);

/* It is on the suppression list: `suppressed`. */
void outcome_suppress(struct deliver *d, struct job *j, struct slice scope, struct slice reason);

/* An order ended it: `cancelled`. */
void outcome_cancel(struct deliver *d, struct job *j, struct slice order);

/* Stands aside for an order, until that is lifted. */
void outcome_set_aside(struct deliver *d, struct job *j, struct slice order);

/* Comes back after wait_us (never behind its expiry); no attempt is counted, no event is
 * written: the trouble was not its own. */
void outcome_postpone(struct deliver *d, struct job *j, int64_t wait_us);

/* Into the bin of a site that cannot take it now. */
void outcome_park(struct deliver *d, struct job *j, struct slice site);

/* Back in front of where it came from. */
void outcome_return(struct deliver *d, struct job *j);

/* A destination changed: `works` says to what.  One `site` event a change. */
void outcome_site(struct deliver *d, struct slice site, bool works, enum smtp_stage stage,
                  enum smtp_failure failure, struct slice mx, struct slice ip, struct slice text);

/* Writes the events gathered for the file. */
void outcome_flush_events(struct deliver *d);

#endif
