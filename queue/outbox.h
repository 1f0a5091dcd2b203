/*
 * outbox.h - outcomes on their way to Redis.
 *
 * Outcomes are gathered by kind into batches; up to OUTBOX_WINDOW of them are under way at a
 * time, so that the line to Redis does not idle between an answer and the next batch.  A batch
 * has a number that grows; the functions remember the last one they did for this worker, so a
 * batch whose answer was lost is simply sent again.  That holds only while batches are done in
 * the order of their numbers:
 *   - those under way are the first ones of the list, in the order of their numbers, and are
 *     answered in that order;
 *   - after a break all of them are sent again, in that order and before any other;
 *   - one that Redis answered with an error was not done, while those behind it may have been:
 *     it gives up its number and goes to the end of the line.
 *
 * Pure but for the struct redis it writes to: the owner says when to send and tells answers.
 */
#ifndef VOLLEY_QUEUE_OUTBOX_H
#define VOLLEY_QUEUE_OUTBOX_H

#include "engine/base/list.h"
#include "queue/keys.h"
#include "queue/node.h"

enum outbox_kind {
    OUTBOX_DONE,
    OUTBOX_DEFER,
    OUTBOX_PARK,
    OUTBOX_RETURN,
    OUTBOX_BROKEN,
    OUTBOX_ASIDE
};
enum { OUTBOX_KINDS = OUTBOX_ASIDE + 1, OUTBOX_WINDOW = 8 };

struct outbox_batch {
    struct list link;
    enum outbox_kind kind;
    char life[NODE_LIFE_MAX];
    uint64_t number;  /* 0: not sent yet */
    uint64_t serial;  /* of its first outcome */
    int64_t since_us; /* likewise */
    bool sent;        /* under way */
    unsigned jobs;
    unsigned keys;       /* in key_args */
    unsigned args;       /* in job_args */
    unsigned tries;      /* that Redis answered with an error */
    struct buf key_args; /* RESP: bodies and idempotency keys, or lists (park, return, aside) */
    struct buf job_args; /* RESP: what each job adds */
    struct buf marks;    /* done, defer: '0' + 1 has an event, + 2 has its own body */
    struct buf lines;    /* done, defer: event lines */
    struct buf names; /* park, return, aside: names of the lists, each behind a length byte pair */
};

struct outbox {
    const struct keys *keys;
    unsigned worker;
    uint64_t number;
    bool unnumbered; /* batches are not repeated: they go as number 0 */
    uint64_t serial; /* of the next outcome: all of them are numbered from 0 */
    size_t jobs;     /* in all batches */
    struct list batches;
    struct outbox_batch *open[OUTBOX_KINDS]; /* may take more; never one under way */
    unsigned under_way;                      /* batches, the first ones of the list */
};

void outbox_init(struct outbox *o, const struct keys *keys, unsigned worker);
void outbox_fini(struct outbox *o);

/* Each adds one outcome to a batch of `life`. */
void outbox_done(struct outbox *o, struct slice life, const struct job_record *r,
                 struct slice event, int64_t now_us);
void outbox_defer(struct outbox *o, struct slice life, const struct job_record *r,
                  struct slice record, int64_t due_ms, struct slice event, int64_t now_us);
void outbox_park(struct outbox *o, struct slice life, struct slice id, struct slice list,
                 struct slice domain, int64_t now_us);
void outbox_return(struct outbox *o, struct slice life, struct slice id, struct slice list,
                   int64_t now_us);
void outbox_aside(struct outbox *o, struct slice life, struct slice id, struct slice order,
                  int64_t now_us);
void outbox_broken(struct outbox *o, struct slice life, struct slice id, int64_t now_us);
void outbox_event(struct outbox *o, struct slice life, struct slice event, int64_t now_us);

/* When the next batch wants to leave: 0 at once, INT64_MAX when there is none or enough are
 * under way. */
int64_t outbox_due_us(struct outbox *o);

/* Writes the next batch; there must be one, and room in the window.  `trim` is the approximate
 * number of entries that the stream of events may keep. */
void outbox_send(struct outbox *o, struct buf *out, uint64_t trim);

/* The answer to the first batch came: it is done (freed), or nothing was done and it goes again,
 * last in line and under a new number. */
void outbox_acknowledge(struct outbox *o);
void outbox_again(struct outbox *o);

/* The connection broke: all that were under way go again, under the same numbers. */
void outbox_lost(struct outbox *o);

/* Every outcome with a smaller serial number was acknowledged. */
uint64_t outbox_floor(const struct outbox *o);

/* The batch that is answered next; NULL when there is none. */
struct outbox_batch *outbox_first(struct outbox *o);
/* The batch that is sent next; NULL when there is none. */
struct outbox_batch *outbox_next(struct outbox *o);

#endif
