/*
 * schedule.h - when a job may be sent: not before its time, and in its window.
 *
 * Time zones come from the machine's database (TZif files below $TZDIR, else
 * /usr/share/zoneinfo).  Windows and zones are kept, up to a bound, as most jobs share a few.
 */
#ifndef VOLLEY_DELIVER_SCHEDULE_H
#define VOLLEY_DELIVER_SCHEDULE_H

#include "engine/deliver/job.h"

struct deliver;

/* True when the job is not to be sent now; then it was taken care of: it comes back in time, or
 * its window is none and it bounced. */
bool schedule_hold(struct deliver *d, struct job *j);

/* Whether the job may be sent now, without doing anything. */
bool schedule_open(struct deliver *d, const struct job *j);

/* The first time from wall_us (Redis' clock) on at which a job with this record may be sent. */
int64_t schedule_next(struct deliver *d, const struct job_record *r, int64_t wall_us);

void schedule_free(struct deliver *d);

#endif
