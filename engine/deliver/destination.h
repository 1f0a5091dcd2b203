/*
 * destination.h - from a job to its path: which source, which site, which hosts.
 */
#ifndef VOLLEY_DELIVER_DESTINATION_H
#define VOLLEY_DELIVER_DESTINATION_H

#include "engine/deliver/job.h"
#include "engine/deliver/site.h"

/* True when a site is this worker's to serve. */
bool destination_is_home(const struct deliver *d, struct slice site);

/* The site of a record as far as it is known without asking anybody; empty when it is not.  May
 * be written to `space`. */
struct slice destination_guess(struct deliver *d, const struct job_record *r,
                               char space[SITE_KEY_MAX]);

/* True when a source that jobs of this pool, source or route go by can open connections now. */
bool destination_has_source(const struct deliver *d, enum job_via via, struct slice name);

/* The job goes to this site by this source: takes it to its path. */
void destination_arrive(struct deliver *d, struct job *j, struct site *s,
                        const struct conf_source *source);

/* Cancels all lookups; the jobs that wait for them are returned to the queue. */
void destination_close(struct deliver *d);

/* ---- route.c: the hosts of a route, which names them ---- */

/* Sets the hosts of a route all of whose hosts are addresses; false when names have to be
 * looked up. */
bool route_hosts_ready(struct deliver *d, struct site *s);

/* Looks the names up; the job arrives at the site afterwards. */
void route_hosts_wait(struct deliver *d, struct site *s, struct job *j,
                      const struct conf_source *source);

/* Ends a lookup; its jobs are returned. */
void route_close(struct site *s);

#endif
