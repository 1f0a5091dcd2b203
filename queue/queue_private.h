/*
 * queue_private.h - the inside of struct queue, shared by the files queue_*.c.
 */
#ifndef VOLLEY_QUEUE_QUEUE_PRIVATE_H
#define VOLLEY_QUEUE_QUEUE_PRIVATE_H

#include "queue/claim.h"
#include "queue/orders.h"
#include "queue/outbox.h"
#include "queue/queue.h"

enum {
    QUEUE_RETRY_US = 100 * 1000,    /* after an error that passes */
    QUEUE_SETTLED_US = 1000 * 1000, /* an outcome that waits longer is stuck */
};

/* Jobs that an order ended, until they are counted in Redis. */
enum { QUEUE_TALLY_MAX = 32 };

struct queue_tally {
    char id[ORDER_ID_MAX];
    uint8_t id_len;
    uint64_t jobs;
};

enum queue_state { QUEUE_DOWN, QUEUE_CHECKING, QUEUE_UP };

struct queue {
    struct io *io;
    struct redis *redis;
    struct keys keys;
    struct node *node;
    unsigned worker;
    const struct queue_ops *ops;
    void *ctx;
    enum queue_state state;
    bool told_up;
    bool closing;
    bool gone; /* the connection is being closed for good */

    char life[NODE_LIFE_MAX];
    uint64_t life_number;
    char old_life[NODE_LIFE_MAX]; /* outcomes of jobs that are not held belong to it */
    int64_t old_life_until_us;

    struct claim claims[QUEUE_CLAIMS];
    struct outbox outbox;
    struct journal *journal;      /* NULL: none */
    int64_t outbox_not_before_us; /* after an error */
    bool library_loading;

    struct map holds;
    uint64_t strays_answered; /* number of the last question (stray.h) */
    uint32_t check_round;
    unsigned checks; /* calls under way */

    char cursor[32]; /* change number up to which the index was seen */
    bool discovering;
    bool discover_again;
    int64_t rescan_us;

    struct orders orders;
    bool orders_asking; /* a call is under way */
    struct queue_tally tally[QUEUE_TALLY_MAX];
    size_t tally_count;
    struct sweeper *sweeper; /* of worker 0; NULL for the others */

    struct timer tick;  /* discover, life, what waits */
    struct timer flush; /* outbox */
    struct timer drain;
    struct queue_stats stats;
};

/* queue.c */
void queue_work(struct queue *q);           /* does whatever waits and can be done now */
void queue_library_reload(struct queue *q); /* the functions went away: puts them back */
void queue_go_up(struct queue *q);          /* everything held was checked */
void queue_life_follow(struct queue *q);    /* the node may have another life */

/* queue_claim.c */
void queue_claims_cancel(struct queue *q); /* ends them with ERR_CANCELED; answers are ignored */
void queue_claims_repeat(struct queue *q); /* sends those that have no answer on its way */
void queue_index_restart(struct queue *q); /* the next look starts at the beginning */

/* queue_orders.c */
void queue_orders_check(struct queue *q); /* reads them as a part of the check */
void queue_orders_poll(struct queue *q);  /* reads them again when they have changed */

/* queue_check.c */
void queue_check_begin(struct queue *q); /* queue_go_up() follows */
void queue_hold_lose(struct queue *q, struct queue_hold *hold);
void queue_strays_answer(struct queue *q); /* if it is asked, and can tell */

/* queue_outcome.c */
void queue_outbox_work(struct queue *q); /* sends the next batch if it is due */
void queue_outbox_init(struct queue *q);

#endif
