/*
 * outbox.h - outcomes on their way to Redis.
 *
 * Outcomes are gathered by kind into batches; one batch is under way at a time, the next one
 * follows its answer.  A batch has a number that grows; the functions remember the last one
 * they did for this worker, so a batch whose answer was lost is simply sent again.  That holds
 * only while batches are done in the order of their numbers, which is why there is one under
 * way, and why a batch gets its number when it is sent for the first time.
 *
 * Pure but for the struct redis it writes to: the owner says when to send and tells answers.
 */
#ifndef VOLLEY_QUEUE_OUTBOX_H
#define VOLLEY_QUEUE_OUTBOX_H

#include "engine/base/list.h"
#include "queue/keys.h"
#include "queue/node.h"

enum outbox_kind { OUTBOX_DONE, OUTBOX_DEFER, OUTBOX_PARK, OUTBOX_RETURN, OUTBOX_BROKEN };
enum { OUTBOX_KINDS = OUTBOX_BROKEN + 1 };

struct outbox_batch {
    struct list link;
    enum outbox_kind kind;
    char life[NODE_LIFE_MAX];
    uint64_t number;  /* 0: not sent yet */
    int64_t since_us; /* of its first outcome */
    unsigned jobs;
    unsigned keys;       /* in key_args */
    unsigned args;       /* in job_args */
    unsigned tries;      /* that Redis answered with an error */
    struct buf key_args; /* RESP: bodies (done) or lists (park, return) */
    struct buf job_args; /* RESP: what each job adds */
    struct buf marks;    /* done, defer: '0' + 1 has an event, + 2 has its own body */
    struct buf lines;    /* done, defer: event lines */
    struct buf names;    /* park, return: names of the lists, each behind a length byte pair */
};

struct outbox {
    const struct keys *keys;
    unsigned worker;
    uint64_t number;
    size_t jobs; /* in all batches */
    struct list batches;
    struct outbox_batch *open[OUTBOX_KINDS]; /* may take more; never the one under way */
    bool sent;                               /* the first batch is under way */
};

void outbox_init(struct outbox *o, const struct keys *keys, unsigned worker);
void outbox_fini(struct outbox *o);

/* Each adds one outcome to a batch of `life`. */
void outbox_done(struct outbox *o, struct slice life, struct slice id, struct slice event,
                 bool own_body, int64_t now_us);
void outbox_defer(struct outbox *o, struct slice life, struct slice id, struct slice record,
                  enum job_class class, int64_t due_ms, struct slice event, int64_t now_us);
void outbox_park(struct outbox *o, struct slice life, struct slice id, struct slice list,
                 struct slice domain, int64_t now_us);
void outbox_return(struct outbox *o, struct slice life, struct slice id, struct slice list,
                   int64_t now_us);
void outbox_broken(struct outbox *o, struct slice life, struct slice id, int64_t now_us);
void outbox_event(struct outbox *o, struct slice life, struct slice event, int64_t now_us);

/* When the next batch wants to leave: 0 at once, INT64_MAX when there is none or one is under
 * way. */
int64_t outbox_due_us(const struct outbox *o);

/* Writes the next batch; one must not be under way, and there must be one.  `trim` is the
 * approximate number of entries that the stream of events may keep. */
void outbox_send(struct outbox *o, struct buf *out, uint64_t trim);

/* The answer came: the batch is done (freed), or has to be sent again. */
void outbox_acknowledge(struct outbox *o);
void outbox_lost(struct outbox *o);    /* no answer: send again under the same number */
void outbox_refused(struct outbox *o); /* an error, nothing was done: send again, last in line */

/* The batch under way, or the next one; NULL when there is none. */
struct outbox_batch *outbox_first(struct outbox *o);

#endif
