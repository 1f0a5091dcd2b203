/*
 * find.h - one job in a queue of any size.
 *
 * Nothing in Redis says where a job is, so this looks in every place, each in its own way: what
 * nodes own by its id; short lists as a whole; long lists by bisection, since ids grow with
 * time and lists are nearly in that order; due jobs by a scan that Redis filters.  What that
 * misses is looked for one by one, up to a limit.
 */
#ifndef VOLLEY_CLI_FIND_H
#define VOLLEY_CLI_FIND_H

#include "engine/cli/desk.h"
#include "engine/cli/filter.h"

enum { FIND_MAX = 1000 }; /* recipients of a job */

struct found_job {
    char *record;
    size_t record_len;
    enum job_state state;
    char *source;
    int64_t due_ms;
};

struct find {
    struct desk *desk;
    struct slice id; /* a job's, or "id.n" */
    uint64_t scan;   /* jobs that may be looked at one by one */
    uint64_t looked;
    bool cut; /* the limit ended it: the job may be there all the same */
    struct found_job *job;
    size_t count;
};

void find_init(struct find *f, struct desk *d, struct slice id, uint64_t scan);
void find_fini(struct find *f);
/* Looks in the desk's partition.  -1, or the exit code. */
int find_job(struct find *f);

#endif
