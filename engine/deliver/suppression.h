/*
 * suppression.h - no mail for those who are on the suppression list.
 *
 * A job is asked for when its path is known, and once more when it is taken for sending and the
 * list has grown meanwhile (queue/suppress.h says when).  Jobs that wait for an answer count as
 * awaited by their path; those of one tick are asked for together.
 */
#ifndef VOLLEY_DELIVER_SUPPRESSION_H
#define VOLLEY_DELIVER_SUPPRESSION_H

#include "engine/deliver/job.h"

struct deliver;
struct path;

void suppression_open(struct deliver *d);

/* Whether the job may be sent without asking. */
bool suppression_fresh(const struct deliver *d, const struct job *j);

/* Takes over a job that stands nowhere.  It goes on to its letter, or back in front of its lane
 * when it has the letter; or it is suppressed. */
void suppression_check(struct deliver *d, struct job *j, struct path *p);

/* Asks for what was gathered in this tick. */
void suppression_flush(struct deliver *d);

/* A recipient does not exist, as the server said: onto the list, when the configuration says so. */
void suppression_learn(struct deliver *d, const struct job *j, int code, struct slice enhanced,
                       struct slice text);

/* Returns the jobs that wait to the queue; nothing is asked after this. */
void suppression_return(struct deliver *d);

#endif
