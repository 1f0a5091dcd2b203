/*
 * sweeper_private.h - the inside of struct sweeper, shared by sweeper.c and sweep_*.c.
 *
 * One call is under way at a time.  Whoever made it ends with sweeper_rest(), which lets the next
 * one go when Redis has had nineteen times as long for others.
 */
#ifndef VOLLEY_QUEUE_SWEEPER_PRIVATE_H
#define VOLLEY_QUEUE_SWEEPER_PRIVATE_H

#include "queue/queue_private.h"
#include "queue/sweeper.h"

enum {
    SWEEP_JOBS = 100,
    SWEEP_STALE_MAX = 3, /* answers that find the list changed, and end its walk */
};

enum walk_mode {
    WALK_SCAN,  /* looks along; takes from the front, and a few from the middle */
    WALK_ROUND, /* from the front, and what stays goes to the end: a whole round keeps the order */
};

/* One key on its way through. */
struct walk {
    bool active;
    enum walk_mode mode;
    struct sweep_place place;
    struct buf name;
    uint64_t life; /* number of the node's life that takes */
    uint64_t from; /* where the window stands */
    uint64_t left; /* WALK_ROUND: records that have to go round yet */
    uint64_t len;  /* of the key */
    uint64_t steps_left;
    unsigned stale;
    /* The call that is under way or to be made, kept to be made again. */
    struct buf call;
    /* The window: what was seen and is decided about with the call. */
    struct buf bytes;
    uint32_t end[SWEEP_JOBS]; /* of each record in `bytes` */
    size_t count;
    char marks[SWEEP_JOBS];
    size_t picked[SWEEP_JOBS]; /* what each mark of the call speaks of, as a place in the window */
    size_t pick_count;
};

struct sweeper {
    struct queue *q;
    struct timer timer;
    bool up;
    bool asking; /* a call is under way */
    uint64_t number;
    int64_t lock_until_us;
    int64_t asked_us;

    /* The round. */
    bool going_round;
    int64_t round_from_us;
    int64_t next_round_us;
    uint32_t round_orders; /* orders.change at its start */
    char cursor[32];       /* in the index of lists */
    bool index_end;
    struct buf names; /* keys to be walked, each behind a length byte pair */
    size_t names_at;
    unsigned due_at;
    struct walk walk;

    /* Intakes seen without a change are stalled: nobody claims from them. */
    struct map heads;
    uint32_t rounds;

    /* Bringing back. */
    bool release_turn;
    uint32_t release_done; /* orders.change after which there was nothing more to do */
    uint32_t retries_done; /* orders.change whose retries have met every job */
    char release_id[ORDER_ID_MAX];
    uint8_t release_id_len;
};

/* sweeper.c */
struct buf *sweeper_begin(struct sweeper *s);
void sweeper_end(struct sweeper *s, redis_reply_fn *done);
/* The answer is here; false: it is of no use (the line broke, or the queue ends). */
bool sweeper_answered(struct sweeper *s, int err, const struct resp *reply);
/* Goes on after a while, by how many records the call read and wrote. */
void sweeper_rest(struct sweeper *s, size_t read, size_t written);

/* sweep_walk.c */
void walk_begin(struct sweeper *s, enum sweep_where where, struct slice name);
void walk_go(struct sweeper *s);   /* makes the call that is ready */
void walk_drop(struct sweeper *s); /* forgets it */

/* sweep_heads.c */
/* Whether an intake stands still: its first job is the one it was at the last round. */
bool heads_still(struct sweeper *s, struct slice list, struct slice id);
void heads_forget(struct sweeper *s, bool all); /* those not seen in this round, or all */

/* sweep_release.c */
bool release_wanted(struct sweeper *s);
void release_go(struct sweeper *s);

#endif
