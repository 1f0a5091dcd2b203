/*
 * job.h - one claimed recipient in the worker's memory.
 *
 * A job lives from its claim to its one outcome (outcome.h).  Meanwhile it stands in exactly
 * one list: those that wait for their domain's plan, for their letter, or in a lane of a
 * path; or it belongs to a transaction, or travels to another worker.
 */
#ifndef VOLLEY_DELIVER_JOB_H
#define VOLLEY_DELIVER_JOB_H

#include "engine/base/list.h"
#include "engine/base/mailbox.h"
#include "engine/deliver/lane.h"
#include "queue/queue.h"
#include "queue/suppress.h"

struct mx_plan;
struct path;
struct second;
struct stored;

struct job {
    struct list link;
    struct mailbox_node parcel; /* while it travels ... */
    struct mx_plan *plan;       /* ... with the plan that sends it: a reference, or NULL */
    struct queue_hold hold;
    struct job_record record; /* points into `bytes` */
    struct stored *stored;    /* its letter: a reference, once it is here */
    struct path *path;        /* while it stands in a lane */
    int64_t claimed_us;       /* monotonic */
    int64_t dns_us;           /* how long its domain's plan took; -1: none was needed */
    uint32_t orders_change;   /* of the orders it was last held against */
    uint8_t tries;            /* transactions that ended before MAIL was answered */
    struct second *second;    /* what a first host said (elsewhere.h); NULL: none was asked yet */
    bool sending;             /* it belongs to a transaction */
    bool lost;                /* no longer ours (queue_ops.on_lost) */
    bool held;                /* `hold` is in the queue's table */
    /* suppression.c */
    struct suppress_mark checked;
    struct path *check_path; /* while the answer is awaited */
    uint8_t check_number;    /* in the question */
    char bytes[];
};

/* A job with its own copy of a claimed record. */
struct job *job_new(const struct job_record *record, int64_t now_us);
void job_free(struct job *j); /* not held, not in a list */

enum lane_class job_lane(const struct job *j);

/* When it is to be given up, unix microseconds; `default_us` is the configuration's. */
int64_t job_expires_wall_us(const struct job *j, int64_t default_us);
int64_t record_expires_wall_us(const struct job_record *r, int64_t default_us);

#endif
