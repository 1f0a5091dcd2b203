/*
 * queue.c - the queue as one worker sees it.
 *
 *     DOWN -> CHECKING -> UP -> (break, or a new life) -> DOWN ...
 *
 * CHECKING begins when there is a connection and the node has a life: every job that the
 * worker holds is asked for, because Redis may have lost its last second, or another node may
 * have been given the jobs.  Then the outbox and a claim without answer are repeated.
 */
#include "queue/queue_private.h"
#include "engine/base/err.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "queue/library.h"
#include "queue/stray.h"
#include "queue/sweeper.h"

#include <string.h>

enum {
    LIFE_POLL_US = 5 * 1000,      /* while the node registers */
    RESCAN_US = 30 * 1000 * 1000, /* the whole index, against anything missed */
    OLD_LIFE_US = 120 * 1000 * 1000,
};

/* ---- up and down ---- */

static void go_down(struct queue *q)
{
    q->state = QUEUE_DOWN;
    for (size_t i = 0; i < QUEUE_CLAIMS; i++) {
        q->claims[i].sent = false;
    }
    q->discovering = false;
    outbox_lost(&q->outbox);
    sweeper_down(q->sweeper);
    if (q->told_up) {
        q->told_up = false;
        q->ops->on_down(q->ctx);
    }
}

void queue_go_up(struct queue *q)
{
    if (!q->closing && node_epoch(q->node) != q->life_number) {
        q->state = QUEUE_DOWN; /* the node has lost that life meanwhile: wait for its next */
        wheel_arm(io_wheel(q->io), &q->tick, io_now_us(q->io) + LIFE_POLL_US);
        return;
    }
    q->state = QUEUE_UP;
    queue_index_restart(q);
    q->rescan_us = io_now_us(q->io) + RESCAN_US;
    if (!q->closing) {
        q->told_up = true;
        q->ops->on_up(q->ctx);
        queue_discover(q);
        sweeper_up(q->sweeper);
    }
    queue_work(q);
}

bool queue_may_start(const struct queue *q)
{
    return q->state == QUEUE_UP && !q->closing && node_epoch(q->node) == q->life_number &&
           node_may_start(q->node, io_now_us(q->io));
}

bool queue_may_send(const struct queue *q)
{
    return (q->state == QUEUE_UP || !redis_up(q->redis)) && node_epoch(q->node) == q->life_number &&
           node_may_start(q->node, io_now_us(q->io));
}

/* An error that Redis answered.  True when the caller's request will be repeated. */
static void on_library(void *ctx, int err, const char *why)
{
    struct queue *q = ctx;

    q->library_loading = false;
    if (err != 0) {
        log_error("queue: %s", why);
    }
    if (redis_up(q->redis) && !q->gone) {
        queue_work(q);
    }
}

/* The functions went away (FLUSHALL, a new empty Redis): put them back. */
void queue_library_reload(struct queue *q)
{
    if (!q->library_loading) {
        q->library_loading = true;
        library_ensure(q->redis, on_library, q);
    }
}

/* The node has another life than the one under which we claimed: nothing held is ours. */
static void life_change(struct queue *q, uint64_t number, const char *life)
{
    if (q->life_number != 0) {
        memcpy(q->old_life, q->life, sizeof(q->old_life));
        q->old_life_until_us = io_now_us(q->io) + OLD_LIFE_US;
    }
    q->life_number = number;
    memcpy(q->life, life, sizeof(q->life));
    for (struct map_node *node = map_next(&q->holds, NULL), *next; node != NULL; node = next) {
        next = map_next(&q->holds, node);
        queue_hold_lose(q, CONTAINER_OF(node, struct queue_hold, node));
    }
    queue_claims_cancel(q); /* asked under the old life: what they answer is not ours */
}

const struct queue_stats *queue_stats(const struct queue *q)
{
    return &q->stats;
}

/* ---- the tick ---- */

static void connection_close(struct queue *q)
{
    if (!q->gone) {
        q->gone = true;
        redis_close(q->redis);
    }
}

void queue_work(struct queue *q)
{
    if (q->closing && list_empty(&q->outbox.batches)) {
        connection_close(q);
    }
    if (q->gone || !redis_up(q->redis) || q->state != QUEUE_UP) {
        return;
    }
    queue_outbox_work(q);
    queue_claims_repeat(q);
}

/* Follows the node's life; begins to check when there is one. */
void queue_life_follow(struct queue *q)
{
    char life[NODE_LIFE_MAX];
    uint64_t number = node_life(q->node, life);

    if (number != 0 && number != q->life_number) {
        bool was_up = q->state != QUEUE_DOWN;
        life_change(q, number, life);
        if (was_up) {
            queue_check_begin(q);
        }
    }
    if (q->state == QUEUE_DOWN && q->life_number != 0 && redis_up(q->redis) &&
        (number == q->life_number || q->closing)) {
        queue_check_begin(q);
    }
}

static void on_tick(struct timer *t, int64_t now_us)
{
    struct queue *q = CONTAINER_OF(t, struct queue, tick);

    if (!q->gone) {
        queue_life_follow(q);
        if (now_us >= q->rescan_us) {
            queue_index_restart(q);
            q->rescan_us = now_us + RESCAN_US;
        }
        queue_discover(q);
        queue_orders_poll(q);
        queue_strays_answer(q);
    }
    queue_work(q);
    wheel_arm(io_wheel(q->io), &q->tick,
              now_us +
                  (q->state == QUEUE_DOWN && redis_up(q->redis) ? LIFE_POLL_US : QUEUE_POLL_US));
}

static void on_redis_up(void *ctx)
{
    struct queue *q = ctx;

    if (!q->gone) {
        wheel_arm(io_wheel(q->io), &q->tick, 0);
    }
}

static void on_redis_down(void *ctx, int err, const char *why)
{
    (void)err; /* the node's connection reports */
    (void)why;
    go_down(ctx);
}

static void on_redis_closed(void *ctx)
{
    struct queue *q = ctx;
    const struct queue_ops *ops = q->ops;
    void *owner = q->ctx;
    struct wheel *wheel = io_wheel(q->io);

    if (q->outbox.jobs > 0) {
        if (q->journal != NULL) {
            node_leave_owned(q->node);
        }
        log_warn("queue: closed with %zu outcomes that Redis did not acknowledge", q->outbox.jobs);
    }
    wheel_disarm(wheel, &q->tick);
    wheel_disarm(wheel, &q->flush);
    wheel_disarm(wheel, &q->drain);
    for (size_t i = 0; i < QUEUE_CLAIMS; i++) {
        claim_fini(&q->claims[i]);
    }
    journal_free(q->journal, q->outbox.jobs == 0);
    outbox_fini(&q->outbox);
    orders_fini(&q->orders);
    sweeper_free(q->sweeper);
    map_fini(&q->holds);
    mem_free(q);
    ops->on_closed(owner);
}

static const struct redis_ops redis_ops = {
    .on_up = on_redis_up,
    .on_down = on_redis_down,
    .on_closed = on_redis_closed,
};

static void on_drain(struct timer *t, int64_t now_us)
{
    (void)now_us;
    connection_close(CONTAINER_OF(t, struct queue, drain));
}

/* ---- beginning and end ---- */

struct queue *queue_new(const struct queue_options *options, struct buf *why)
{
    struct keys keys;
    struct queue *q;

    if (keys_init(&keys, options->prefix, options->partition) != 0 || options->worker > 255) {
        BUF_LIT(why, "queue.prefix: use 1 to 32 of A-Z a-z 0-9 . _ -; at most 256 workers");
        return NULL;
    }
    q = mem_zalloc(sizeof(*q));
    q->io = options->io;
    q->keys = keys;
    q->node = options->node;
    q->worker = options->worker;
    q->journal = options->journal;
    for (unsigned i = 0; i < QUEUE_CLAIMS; i++) {
        q->claims[i].queue = q;
        q->claims[i].channel = options->worker * QUEUE_CLAIMS + i;
    }
    q->ops = options->ops;
    q->ctx = options->ctx;
    map_init(&q->holds);
    orders_init(&q->orders);
    if (q->worker == 0 && q->ops->on_sweep != NULL) {
        q->sweeper = sweeper_new(q);
    }
    queue_outbox_init(q);
    timer_init(&q->tick, on_tick);
    timer_init(&q->drain, on_drain);
    strays_join(node_strays(q->node));
    q->redis = redis_new(q->io, options->url, &redis_ops, q);
    wheel_arm(io_wheel(q->io), &q->tick, 0);
    return q;
}

void queue_close(struct queue *q, int64_t drain_us)
{
    ASSERT(!q->closing);
    q->closing = true;
    queue_claims_cancel(q);
    wheel_arm(io_wheel(q->io), &q->drain, io_now_us(q->io) + drain_us);
    wheel_arm(io_wheel(q->io), &q->tick, 0);
}
