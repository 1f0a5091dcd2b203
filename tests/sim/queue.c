/*
 * queue.c - queue/queue.h over the model of Redis, in place of the real one.
 *
 * What the engine may rely on by queue.h is kept, and nothing more: calls and answers travel
 * in order, each takes its time; a break comes between any two of them, after a call was done
 * perhaps and before its answer; a new life takes every held job away.
 */
#include "queue/queue.h"

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/panic.h"
#include "tests/sim/oracle.h"
#include "tests/sim/queue_private.h"
#include "tests/sim/world.h"

#include <string.h>

enum { POLL_US = 250 * 1000, RESCAN_US = 30 * 1000 * 1000 };

static struct queue *queues;

/* ---- up and down ---- */

static bool reachable(const struct queue *q)
{
    return !store.away && !q->gone;
}

int64_t queue_call_in(struct queue *q)
{
    int64_t at_us = world.now_us + draw_between(20, q->slow_us);

    if (at_us < q->call_free_us) {
        at_us = q->call_free_us;
    }
    q->call_free_us = at_us;
    return at_us - world.now_us;
}

int64_t queue_answer_in(struct queue *q)
{
    int64_t at_us = world.now_us + draw_between(20, q->slow_us);

    if (at_us < q->answer_free_us) {
        at_us = q->answer_free_us;
    }
    q->answer_free_us = at_us;
    return at_us - world.now_us;
}

static void go_down(struct queue *q)
{
    q->state = SIM_QUEUE_DOWN;
    q->break_number++;
    queue_fetches_break(q);
    if (q->told_up) {
        q->told_up = false;
        q->ops->on_down(q->ctx);
    }
}

static void lose(struct queue *q, struct queue_hold *hold)
{
    trace("worker %u: " SLICE_FMT " is lost", q->worker, SLICE_ARG(hold->node.key));
    map_remove(&q->holds, &hold->node);
    q->ops->on_lost(q->ctx, hold);
}

static void go_up(struct queue *q)
{
    q->state = SIM_QUEUE_UP;
    q->cursor = 0;
    q->rescan_us = world.now_us + RESCAN_US;
    if (!q->closing) {
        q->told_up = true;
        q->ops->on_up(q->ctx);
        queue_discover(q);
    }
    queue_repeat(q);
}

static void checked(void *ctx, int64_t number)
{
    struct queue *q = ctx;

    if (q->gone || number != (int64_t)q->break_number || q->state != SIM_QUEUE_CHECKING) {
        return;
    }
    for (struct map_node *node = map_next(&q->holds, NULL), *next; node != NULL; node = next) {
        struct queue_hold *hold = CONTAINER_OF(node, struct queue_hold, node);
        next = map_next(&q->holds, node);
        if (!store_owned(people_by_id(node->key), hold->life)) {
            lose(q, hold);
        }
    }
    go_up(q);
}

static void life_follow(struct queue *q)
{
    if (q->life == store.life || store.life == 0) {
        return;
    }
    bool was_up = q->state != SIM_QUEUE_DOWN;
    q->old_life = q->life;
    q->life = store.life;
    for (struct map_node *node = map_next(&q->holds, NULL), *next; node != NULL; node = next) {
        next = map_next(&q->holds, node);
        lose(q, CONTAINER_OF(node, struct queue_hold, node));
    }
    queue_claims_give_up(q);
    if (was_up) {
        q->state = SIM_QUEUE_CHECKING;
        q->break_number++;
        world_at(queue_answer_in(q), WORLD_IN_TICK, q->worker, checked, q,
                 (int64_t)q->break_number);
    }
}

static void look(struct queue *q)
{
    bool away = store.away;

    if (away && q->state != SIM_QUEUE_DOWN) {
        go_down(q);
    }
    life_follow(q);
    if (!away && q->state == SIM_QUEUE_DOWN && q->life != 0) {
        q->state = SIM_QUEUE_CHECKING;
        q->break_number++;
        world_at(queue_answer_in(q), WORLD_IN_TICK, q->worker, checked, q,
                 (int64_t)q->break_number);
    }
}

static void on_tick(struct timer *t, int64_t now_us)
{
    struct queue *q = CONTAINER_OF(t, struct queue, tick);

    if (q->gone) {
        return;
    }
    look(q);
    if (now_us >= q->rescan_us) {
        q->cursor = 0;
        q->rescan_us = now_us + RESCAN_US;
    }
    queue_discover(q);
    queue_repeat(q);
    wheel_arm(io_wheel(q->io), t, now_us + POLL_US);
}

void queues_look(void)
{
    for (struct queue *q = queues; q != NULL; q = q->next) {
        if (!q->gone) {
            look(q);
        }
    }
}

bool queue_may_start(const struct queue *q)
{
    return q->state == SIM_QUEUE_UP && !q->closing && q->life == store.life && !store.doubt;
}

bool queue_may_send(const struct queue *q)
{
    bool lapsed = store.away && world.now_us - store.away_since_us >= NODE_DOUBT_US;

    return (q->state == SIM_QUEUE_UP || store.away) && q->life == store.life && !store.doubt &&
           !lapsed;
}

/* ---- lists ---- */

static void listed(void *ctx, int64_t number)
{
    struct queue *q = ctx;

    q->discovering = false;
    if (q->gone || q->state != SIM_QUEUE_UP || number != (int64_t)q->break_number) {
        return;
    }
    for (size_t i = 0; i < q->found_count && !q->closing; i++) {
        q->ops->on_list(q->ctx, slice_cstr(store.lists[q->found[i]].name));
    }
}

static void look_at_lists(void *ctx, int64_t number)
{
    struct queue *q = ctx;
    uint64_t cursor = q->cursor;

    q->found_count = 0;
    if (q->gone || store.away || number != (int64_t)q->break_number) {
        q->discovering = false;
        return;
    }
    for (size_t i = 0; i < store.list_count; i++) {
        const struct store_list *l = &store.lists[i];
        if (l->count > 0 && l->change > q->cursor) {
            q->found[q->found_count++] = (uint16_t)i;
            cursor = l->change > cursor ? l->change : cursor;
        }
    }
    q->cursor = cursor;
    world_at(queue_answer_in(q), WORLD_IN_TICK, q->worker, listed, q, number);
}

void queue_discover(struct queue *q)
{
    if (q->state == SIM_QUEUE_UP && !q->closing && !q->discovering && reachable(q)) {
        q->discovering = true;
        world_at(queue_call_in(q), WORLD_OUTSIDE, q->worker, look_at_lists, q,
                 (int64_t)q->break_number);
    }
}

void queue_bell(struct queue *q, struct slice list)
{
    if (list.len == 0) {
        queue_discover(q);
    } else if (q->state == SIM_QUEUE_UP && !q->closing) {
        q->ops->on_list(q->ctx, list);
    }
}

/* ---- holding ---- */

static bool hold_insert(struct queue *q, struct queue_hold *hold)
{
    hold->node.key = slice_of(hold->id, hold->id_len);
    if (map_find(&q->holds, hold->node.key) != NULL) {
        return false;
    }
    map_insert(&q->holds, &hold->node, hold->node.key);
    return true;
}

bool queue_hold_add(struct queue *q, struct queue_hold *hold, struct slice id)
{
    hold->life = q->life;
    hold->id_len = (uint8_t)id.len;
    memcpy(hold->id, id.ptr, id.len);
    return hold_insert(q, hold);
}

bool queue_hold_take(struct queue *q, struct queue_hold *hold)
{
    if (hold->life > q->life) {
        life_follow(q);
    }
    return hold->life == q->life && hold_insert(q, hold);
}

void queue_hold_drop(struct queue *q, struct queue_hold *hold)
{
    if (map_find(&q->holds, hold->node.key) == &hold->node) {
        map_remove(&q->holds, &hold->node);
    }
}

uint64_t queue_life_of(struct queue *q, struct slice id)
{
    struct map_node *node = map_find(&q->holds, id);

    if (node == NULL) {
        return q->old_life != 0 ? q->old_life : q->life;
    }
    map_remove(&q->holds, node);
    return q->life;
}

/* ---- beginning and end ---- */

struct queue *queue_new(const struct queue_options *options, struct buf *why)
{
    struct queue *q = mem_zalloc(sizeof(*q));

    (void)why;
    q->io = options->io;
    q->worker = options->worker;
    q->ops = options->ops;
    q->ctx = options->ctx;
    q->slow_us = draw_between(50, chance(20) ? 200000 : 2000);
    map_init(&q->holds);
    list_init(&q->outcomes);
    list_init(&q->fetches);
    list_init(&q->recalls);
    timer_init(&q->tick, on_tick);
    wheel_arm(io_wheel(q->io), &q->tick, 0);
    q->next = queues;
    queues = q;
    return q;
}

static void closed(void *ctx, int64_t arg)
{
    struct queue *q = ctx;
    const struct queue_ops *ops = q->ops;
    void *owner = q->ctx;

    (void)arg;
    wheel_disarm(io_wheel(q->io), &q->tick);
    queue_fetches_end(q);
    queue_recalls_end(q);
    ops->on_closed(owner);
}

void queue_work_end(struct queue *q)
{
    if (!q->closing || q->gone || !list_empty(&q->outcomes)) {
        return;
    }
    q->gone = true;
    world_at(draw_between(1, 2000), WORLD_IN_TICK, q->worker, closed, q, 0);
}

static void drain_over(void *ctx, int64_t arg)
{
    struct queue *q = ctx;

    (void)arg;
    if (!q->gone) {
        trace("worker %u: closed with %zu outcomes kept", q->worker, q->backlog);
        queue_outcomes_drop(q);
        queue_work_end(q);
    }
}

void queue_close(struct queue *q, int64_t drain_us)
{
    ASSERT(!q->closing);
    q->closing = true;
    wheel_disarm(io_wheel(q->io), &q->tick);
    queue_claims_give_up(q);
    if (q->holds.count > 0) {
        world_fail("worker %u: closed its queue and holds %zu jobs", q->worker, q->holds.count);
    }
    world_at(drain_us, WORLD_IN_TICK, q->worker, drain_over, q, 0);
    wheel_arm(io_wheel(q->io), &q->tick, 0);
    queue_work_end(q);
}

void queues_fini(void)
{
    while (queues != NULL) {
        struct queue *q = queues;
        queues = q->next;
        queue_outcomes_drop(q);
        queue_fetches_free(q);
        queue_recalls_free(q);
        map_fini(&q->holds);
        mem_free(q);
    }
}

void queue_flush(struct queue *q)
{
    queue_repeat(q);
}

size_t queue_backlog(const struct queue *q)
{
    return q->backlog;
}
