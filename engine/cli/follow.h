/*
 * follow.h - the outcomes of a sending, from the event stream.
 */
#ifndef VOLLEY_CLI_FOLLOW_H
#define VOLLEY_CLI_FOLLOW_H

#include "engine/base/buf.h"
#include "queue/redis.h"

enum follow_type {
    FOLLOW_DELIVERED,
    FOLLOW_BOUNCED,
    FOLLOW_EXPIRED,
    FOLLOW_CANCELLED,
    FOLLOW_SUPPRESSED,
    FOLLOW_AMBIGUOUS,
    FOLLOW_TYPES,
};

struct follow_counts {
    uint64_t final[FOLLOW_TYPES]; /* recipients whose outcome is known, by type */
    uint64_t finals;
    uint64_t deferred; /* attempts that will be followed by another */
};

struct follow;

/* Notes where the streams of all partitions end now.  NULL with *err and a sentence. */
struct follow *follow_open(const struct redis_url *url, struct slice prefix, unsigned partitions,
                           struct slice sending, int *err, struct buf *why);
void follow_close(struct follow *f); /* NULL is fine */

/* Waits at most about a second for events and counts them.  0 or ERR_*: the connection broke,
 * and the next call makes it again. */
int follow_step(struct follow *f, struct buf *why);
const struct follow_counts *follow_counts(const struct follow *f);

/* "delivered", ... */
const char *follow_type_name(enum follow_type type);

/* Counts the events of one batch, a JSON object a line, that belong to the sending.  Pure. */
void follow_count(struct follow_counts *counts, struct slice lines, struct slice sending);

#endif
