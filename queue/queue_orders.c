/*
 * queue_orders.c - keeping the copy of the orders fresh.
 *
 * Read before the first claim after every break, so nothing is sent that was cancelled while
 * nobody looked; then their version is asked for with every tick.
 */
#include "queue/queue_private.h"
#include "engine/base/err.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "queue/fcall.h"

#include <string.h>

/* ---- reading them ---- */

struct ask {
    struct queue *queue;
    uint32_t round; /* of the check it belongs to; 0: to none */
};

static void orders_take(struct queue *q, const struct resp *reply)
{
    if (orders_read(&q->orders, reply, io_now_us(q->io)) != 0) {
        log_error("queue: the orders in %sorders cannot be read", q->keys.base);
    } else if (q->ops->on_orders != NULL) {
        q->ops->on_orders(q->ctx);
    }
}

/* Part of the check after a break: without an answer the queue does not go up. */
static void check_step(struct queue *q, int err, const struct resp *reply)
{
    if (err != 0) {
        return;
    }
    switch (fcall_judge(reply)) {
    case FCALL_OK:
        orders_take(q, reply);
        if (--q->checks == 0) {
            queue_go_up(q);
        }
        return;
    case FCALL_NO_LIBRARY:
        queue_library_reload(q);
        q->state = QUEUE_DOWN; /* the tick begins again */
        return;
    case FCALL_FENCED:
    case FCALL_LATER:
        redis_reset(q->redis, ERR_AGAIN, reply->text.ptr);
        return;
    case FCALL_FAILED:
        /* A key of the wrong type: mail goes on, and the operator is told. */
        log_error("queue: orders are not obeyed: %s", reply->text.ptr);
        if (--q->checks == 0) {
            queue_go_up(q);
        }
        return;
    }
}

static void on_orders(void *ctx, int err, const struct resp *reply)
{
    struct ask *ask = ctx;
    struct queue *q = ask->queue;

    q->orders_asking = false;
    if (ask->round != 0) {
        if (ask->round == q->check_round && q->state == QUEUE_CHECKING) {
            check_step(q, err, reply);
        }
    } else if (err == 0 && fcall_judge(reply) == FCALL_OK) {
        orders_take(q, reply);
    }
    mem_free(ask);
}

static void orders_ask(struct queue *q, uint32_t round)
{
    struct ask *ask = mem_alloc(sizeof(*ask));
    struct buf *out = redis_begin(q->redis);

    *ask = (struct ask){.queue = q, .round = round};
    q->orders_asking = true;
    fcall_begin(out, SLICE("orders"), 2, 0);
    keys_put_arg(out, &q->keys, SLICE("meta"));
    keys_put_arg(out, &q->keys, SLICE("orders"));
    redis_end(q->redis, 0, on_orders, ask);
}

void queue_orders_check(struct queue *q)
{
    q->checks++;
    orders_ask(q, q->check_round);
}

/* ---- looking for a change ---- */

static void on_version(void *ctx, int err, const struct resp *reply)
{
    struct queue *q = ctx;
    int64_t version = 0;

    q->orders_asking = false;
    if (err != 0 || q->state != QUEUE_UP || reply->type == RESP_ERROR) {
        return;
    }
    if (reply->type == RESP_NIL || resp_int(reply, &version) == 0) {
        if ((uint64_t)version != q->orders.version) {
            orders_ask(q, 0);
        }
    }
}

/* A figure for people: not worth repeating. */
static void on_tally(void *ctx, int err, const struct resp *reply)
{
    (void)ctx;
    (void)err;
    (void)reply;
}

static void tally_send(struct queue *q)
{
    struct buf *out;

    if (q->tally_count == 0) {
        return;
    }
    out = redis_begin(q->redis);
    fcall_begin(out, SLICE("tally"), 1, 2 * q->tally_count);
    keys_put_arg(out, &q->keys, SLICE("orders"));
    for (size_t i = 0; i < q->tally_count; i++) {
        resp_put_arg(out, slice_of(q->tally[i].id, q->tally[i].id_len));
        resp_put_u64(out, q->tally[i].jobs);
    }
    q->tally_count = 0;
    redis_end(q->redis, 0, on_tally, q);
}

void queue_orders_poll(struct queue *q)
{
    struct buf *out;

    if (q->state != QUEUE_UP) {
        return;
    }
    tally_send(q);
    if (q->orders_asking) {
        return;
    }
    q->orders_asking = true;
    out = redis_begin(q->redis);
    resp_put_count(out, 3);
    resp_put_arg(out, SLICE("HGET"));
    keys_put_arg(out, &q->keys, SLICE("meta"));
    resp_put_arg(out, SLICE("orders"));
    redis_end(q->redis, 0, on_version, q);
}

const struct orders *queue_orders(const struct queue *q)
{
    return &q->orders;
}

void queue_order_ended(struct queue *q, struct slice order)
{
    size_t i = 0;

    ASSERT(order.len <= ORDER_ID_MAX);
    while (i < q->tally_count && !slice_eq(slice_of(q->tally[i].id, q->tally[i].id_len), order)) {
        i++;
    }
    if (i == QUEUE_TALLY_MAX) {
        return; /* more orders than this in one tick: some go uncounted */
    }
    if (i == q->tally_count) {
        q->tally[i].id_len = (uint8_t)order.len;
        q->tally[i].jobs = 0;
        memcpy(q->tally[i].id, order.ptr, order.len);
        q->tally_count++;
    }
    q->tally[i].jobs++;
}
