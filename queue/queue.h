/*
 * queue.h - the queue as one worker sees it: claim, outcome, message.
 *
 * Pull with credit: a worker names lists (intakes and bins) and how many jobs and bytes it
 * wants of each.  Claimed records are owned by the node in Redis until an outcome is given
 * for each: done, deferred, parked in the bin of its site, or returned.
 *
 *   - Outcomes are gathered (100, or 10 ms), kept until Redis has acknowledged them and sent
 *     again after a break; the functions recognise a repeated batch.
 *   - A claim whose answer was lost is repeated and answers the same records.
 *   - After a break, and after a new life, each job that the worker still holds is asked
 *     for; on_lost() tells of those which are not ours any more.  Until then may_start is
 *     false.
 *
 * A struct queue belongs to its worker's thread.  Jobs may be claimed by one worker and
 * finished by another of the same process: ownership is the node's.  Nothing here blocks.
 */
#ifndef VOLLEY_QUEUE_QUEUE_H
#define VOLLEY_QUEUE_QUEUE_H

#include "engine/base/map.h"
#include "engine/io/io.h"
#include "queue/journal.h"
#include "queue/keys.h"
#include "queue/node.h"
#include "queue/orders.h"
#include "queue/record.h"
#include "queue/redis.h"

enum {
    QUEUE_BATCH = 100,           /* outcomes in a call */
    QUEUE_BATCH_US = 10 * 1000,  /* an outcome waits no longer than this */
    QUEUE_CLAIM_JOBS_MAX = 200,  /* jobs in a claim, over all its lists */
    QUEUE_CLAIM_LISTS_MAX = 100, /* lists in a claim */
    QUEUE_CLAIMS = 4,            /* claims under way at a time: the line to Redis stays busy */
    QUEUE_POLL_US = 250 * 1000,  /* backstop of the doorbell */
};

struct queue;

/* A job that the worker holds; embedded in the worker's own job. */
struct queue_hold {
    struct map_node node; /* key: the id, in `id` below */
    uint64_t life;        /* number of the node's life that owns the job (node_life) */
    uint8_t id_len;
    char id[RECORD_ID_LEN_MAX];
};

/* What one list gave. */
struct queue_got {
    struct slice list; /* as wanted */
    uint32_t wanted;   /* jobs asked for */
    uint32_t jobs;     /* records given by on_record for it */
    uint64_t left;     /* jobs that stay in the list; 0: forget it until on_list names it */
};

/* Where the walk has come to (sweeper.h). */
enum sweep_where { SWEEP_LIST, SWEEP_HELD, SWEEP_DUE };

struct sweep_place {
    enum sweep_where where;
    struct list_name list; /* SWEEP_LIST: which intake or bin */
};

enum sweep_decision {
    SWEEP_LEAVE,
    SWEEP_TAKE,
    SWEEP_RETRY, /* SWEEP_DUE: becomes due now */
};

struct queue_ops {
    /* Checked and ready: claim.  Called again after every break. */
    void (*on_up)(void *ctx);
    /* Redis is away: what is on the wire may finish, outcomes are kept, nothing is claimed. */
    void (*on_down)(void *ctx);
    /* A list is not empty.  Known ones may be told again.  The name is valid in the call. */
    void (*on_list)(void *ctx, struct slice name);
    /* One claimed record of wants[want]; it and its bytes are valid during the call.  Comes
     * before on_claimed.  What cannot be decoded is put aside in Redis (`broken`) and logged. */
    void (*on_record)(void *ctx, size_t want, const struct job_record *record);
    /* A claim is over; another may be made.  They end in the order in which they were made.  err 0:
     * `got` has an entry for each want. */
    void (*on_claimed)(void *ctx, int err, const struct queue_got *got, size_t count);
    /* This job is not ours any more: do not send it, forget it, give no outcome (one that
     * is on the wire may finish and give its outcome, which is written as late).  The hold
     * is dropped already. */
    void (*on_lost)(void *ctx, struct queue_hold *hold);
    void (*on_closed)(void *ctx); /* after queue_close(): the memory is gone */

    /* ---- orders and expiry; any of these may be NULL ---- */

    /* The orders are others than before: apply them to what is held in memory. */
    void (*on_orders)(void *ctx);
    /* A record that nobody claims, met on the walk: what is to become of it? */
    enum sweep_decision (*on_sweep)(void *ctx, const struct sweep_place *place,
                                    const struct job_record *record);
    /* It was taken, as if claimed: give it its outcome. */
    void (*on_swept)(void *ctx, const struct sweep_place *place, const struct job_record *record);
};

struct queue_options {
    struct io *io;
    const struct redis_url *url;
    struct slice prefix;
    unsigned partition;
    struct node *node;       /* borrowed; outlives the queue */
    struct journal *journal; /* NULL: none; the queue's from now on */
    unsigned worker;         /* 0..255, unique in the process */
    const struct queue_ops *ops;
    void *ctx;
};

struct queue *queue_new(const struct queue_options *options, struct buf *why);

/* Sends what is gathered, waits until it is acknowledged (at most `drain_us`), closes the
 * connection; on_closed follows.  The worker has given an outcome for everything it holds. */
void queue_close(struct queue *q, int64_t drain_us);

/* Up, checked, lease not in doubt: jobs may be claimed. */
bool queue_may_start(const struct queue *q);

/* What the worker holds may be sent: the lease is not in doubt, and no break is being looked
 * into.  For a while true when Redis is away. */
bool queue_may_send(const struct queue *q);

/* ---- claim ---- */

struct queue_want {
    struct slice list;
    uint32_t jobs;
    uint32_t bytes; /* of records; at least one job is given all the same; 0: no limit */
};

/* Asks for jobs.  0, ERR_AGAIN (QUEUE_CLAIMS are under way, or not up), ERR_LIMIT (over 200 jobs or
 * 100 lists), ERR_INVALID (not the name of a list).  The names are copied. */
int queue_claim(struct queue *q, const struct queue_want *wants, size_t count);

/* Looks for lists that became non-empty (on_list).  Cheap; runs by itself every 250 ms. */
void queue_discover(struct queue *q);

/* A doorbell rang for this list: on_list at once, or a look when the name is empty. */
void queue_bell(struct queue *q, struct slice list);

/* ---- holding ---- */

/* Every job in the worker's memory is held, from on_record until its outcome is given, which
 * drops it.  False: the id is held already, because somebody doubled the record in Redis;
 * forget this one without an outcome. */
bool queue_hold_add(struct queue *q, struct queue_hold *hold, struct slice id);

/* Takes over a job that another worker of this node has dropped; `hold` is as it was there.
 * The other worker may know a newer life of the node than this one, which then follows.  False:
 * the job belongs to a former life, or its id is held already; forget it without an outcome. */
bool queue_hold_take(struct queue *q, struct queue_hold *hold);
void queue_hold_drop(struct queue *q, struct queue_hold *hold);

/* ---- outcomes: one for each job; may be given while Redis is away ---- */

/* `event` is its event's JSON object without newline; empty: no event.  Everything given is
 * copied.  A body of the job's own goes with its last recipient; its idempotency key learns the
 * event's type. */
void queue_done(struct queue *q, const struct job_record *r, struct slice event);

/* Comes back at due_ms (unix); `record` is the new record (record_put_deferred). */
void queue_defer(struct queue *q, const struct job_record *r, struct slice record, int64_t due_ms,
                 struct slice event);

/* Its site cannot take it now: to the end of bin:<lane>:<site>; submissions for `domain` go
 * straight there from now on, until the bin was emptied. */
void queue_park(struct queue *q, struct slice id, struct slice lane, struct slice domain,
                struct slice site);

/* Back to where it came from, in front, uncounted: bin:<lane>:<site>, or the intake when
 * `site` is empty. */
void queue_return(struct queue *q, struct slice id, struct slice lane, struct slice site);

/* To the end of held:<order>, where it waits until the order is lifted. */
void queue_set_aside(struct queue *q, struct slice id, struct slice order);

/* An event that is no job's outcome (`site`); travels with the next batch. */
void queue_event(struct queue *q, struct slice event);

/* Outcomes given and not yet acknowledged; the worker stops claiming when it grows large. */
size_t queue_backlog(const struct queue *q);
void queue_flush(struct queue *q); /* does not wait for the 10 ms */

/* ---- the journal: what a crash of this process must not forget ---- */

/* The end of a letter for this job is about to leave; `dot` says all but life and id.  To be
 * followed by its outcome, or by queue_note_undo(): the letter did not count. */
void queue_note_dot(struct queue *q, const struct queue_hold *hold, struct journal_entry *dot);
void queue_note_undo(struct queue *q, const struct queue_hold *hold);

/* What was noted, and outcomes given, outlive the process after this.  Once a tick, before the
 * bytes leave. */
void queue_note_flush(struct queue *q);

/* ---- orders ---- */

/* Those in force, read at most QUEUE_POLL_US ago, and never empty-handed: on_up comes after the
 * first reading. */
const struct orders *queue_orders(const struct queue *q);

/* Counts a job that a cancel ended, for volley_orders. */
void queue_order_ended(struct queue *q, struct slice order);

/* ---- messages ---- */

struct queue_message {
    struct slice eml;
    struct slice from;  /* envelope sender stored with it; may be empty: the null sender */
    int64_t missing_ms; /* ERR_NOTFOUND: for how long that has been so, as far as anybody noticed */
};

/* `m` is valid during the call.  err 0: here it is.  ERR_NOTFOUND: there is no such message; the
 * first one to notice leaves a note in Redis, which all engines read.  Other errors: later, and
 * `m` is NULL. */
typedef void queue_message_fn(void *ctx, int err, const struct queue_message *m);

/* The stored message `id`, or (own_body) the body of the job `id` (26 characters).  0, or
 * ERR_AGAIN while Redis is away: no callback then. */
int queue_fetch(struct queue *q, struct slice id, bool own_body, queue_message_fn *done, void *ctx);

/* ---- memory: what nodes tell each other about sites ---- */

/* err 0: what was remembered of the site is good until until_ms (unix); 0: nothing was. */
typedef void queue_recall_fn(void *ctx, int err, int64_t until_ms);

/* Asks; 0, or ERR_AGAIN while Redis is away: no callback then. */
int queue_recall(struct queue *q, struct slice site, queue_recall_fn *done, void *ctx);

/* Keeps for all nodes, until then, that the site refuses envelopes that go ahead.  Best
 * effort: not repeated when Redis is away. */
void queue_remember(struct queue *q, struct slice site, int64_t until_ms);

/* ---- figures ---- */

struct queue_stats {
    uint64_t claims, claimed, done, deferred, parked, returned, broken, aside, late, resent;
    uint64_t swept;   /* jobs taken on the walk */
    uint64_t refused; /* batches of outcomes, by an error of Redis; each is tried again */
};

const struct queue_stats *queue_stats(const struct queue *q);

#endif
