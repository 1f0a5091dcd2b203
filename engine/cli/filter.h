/*
 * filter.h - which jobs a command is about.  Pure.
 */
#ifndef VOLLEY_CLI_FILTER_H
#define VOLLEY_CLI_FILTER_H

#include "queue/keys.h"
#include "queue/record.h"

/* Where a job is. */
enum job_state {
    JOB_WAITING, /* in an intake */
    JOB_PARKED,  /* in the bin of a site */
    JOB_DUE,     /* deferred or scheduled */
    JOB_OWNED,   /* claimed by a node */
    JOB_HELD,    /* stands aside by an order */
    JOB_STATES,
};

const char *job_state_name(enum job_state state); /* "waiting", ... */

enum { FILTER_ANY = -1 };

struct filter {
    int state; /* enum job_state or FILTER_ANY */
    int class; /* enum job_class or FILTER_ANY */
    /* NULL: any */
    const char *tenant, *pool, *site, *domain, *campaign, *tag;
};

/* Whether jobs of this list may match: by its name alone. */
bool filter_takes_list(const struct filter *f, const struct list_name *list);
/* Whether jobs in this state may match. */
bool filter_takes_state(const struct filter *f, enum job_state state);
/* Whether this job does. */
bool filter_takes_job(const struct filter *f, const struct job_record *r);
/* Whether the names of lists do not say all that the filter asks for. */
bool filter_looks_into_jobs(const struct filter *f);

#endif
