/*
 * queue_private.h - the inside of the model queue, shared by queue.c and queue_calls.c.
 */
#ifndef VOLLEY_TESTS_SIM_QUEUE_PRIVATE_H
#define VOLLEY_TESTS_SIM_QUEUE_PRIVATE_H

#include "queue/queue.h"
#include "tests/sim/store.h"

enum sim_queue_state { SIM_QUEUE_DOWN, SIM_QUEUE_CHECKING, SIM_QUEUE_UP };

/* A claim under way. */
struct sim_claim {
    struct queue *queue;
    bool active;
    bool asked; /* the call is on its way */
    bool done;  /* Redis has done it; the answer may be lost */
    uint64_t number;
    uint64_t life;
    size_t count;
    char names[QUEUE_CLAIM_LISTS_MAX][200];
    struct queue_got got[QUEUE_CLAIM_LISTS_MAX];
    struct rcpt *jobs[QUEUE_CLAIM_JOBS_MAX];
    uint8_t want[QUEUE_CLAIM_JOBS_MAX];
    size_t job_count;
};

struct queue {
    struct queue *next; /* all there ever were: freed at the end of the world */
    struct io *io;
    unsigned worker;
    const struct queue_ops *ops;
    void *ctx;
    enum sim_queue_state state;
    bool told_up;
    bool closing;
    bool gone;
    uint64_t life;
    uint64_t old_life;
    uint64_t break_number; /* answers of before are not heard */
    int64_t slow_us;
    int64_t call_free_us; /* calls and answers keep their order */
    int64_t answer_free_us;
    struct map holds;
    struct sim_claim claims[QUEUE_CLAIMS];
    struct list outcomes; /* given, not acknowledged */
    size_t backlog;
    struct list fetches;
    struct list recalls;
    uint64_t cursor;
    bool discovering;
    uint16_t found[STORE_LISTS_MAX];
    size_t found_count;
    int64_t rescan_us;
    struct timer tick;
    struct queue_stats stats;
};

/* When a call that is made now reaches Redis; when an answer made now is here. */
int64_t queue_call_in(struct queue *q);
int64_t queue_answer_in(struct queue *q);

uint64_t queue_life_of(struct queue *q, struct slice id); /* and lets go of the hold */
void queue_repeat(struct queue *q);                       /* what has no answer on its way */
void queue_claims_give_up(struct queue *q);
void queue_outcomes_drop(struct queue *q);
void queue_fetches_break(struct queue *q);
void queue_fetches_end(struct queue *q); /* each is told that it failed */
void queue_fetches_free(struct queue *q);
void queue_recalls_end(struct queue *q);
void queue_recalls_free(struct queue *q);
void queue_work_end(struct queue *q);

/* Redis went away, came back, or the life changed: every queue notices. */
void queues_look(void);
void queues_fini(void);
void queue_suppress_fini(void);

#endif
