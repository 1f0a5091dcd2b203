/*
 * sweeper.c - the rounds: which key is walked when, and how fast.
 */
#include "queue/sweeper.h"
#include "engine/base/err.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "queue/fcall.h"
#include "queue/sweeper_private.h"

#include <string.h>

enum {
    LOCK_MS = 6000,
    LOCK_RENEW_US = 2 * 1000 * 1000, /* before it ends */
    LOCK_RETRY_US = 1000 * 1000,
    LOOK_US = 250 * 1000,       /* for new orders, between rounds */
    FRESH_US = 2 * 1000 * 1000, /* to the next round while orders are obeyed ... */
    CALM_US = 30 * 1000 * 1000, /* ... and when expiry is all there is to look for */
    SHARE = 19,                 /* others' time for each of ours */
    OUTCOMES_MAX = 5000,        /* unacknowledged ones that make us wait */
    INDEX_PAGE = 100,
    /* What Redis needs for a call, as measured, in nanoseconds. */
    COST_CALL_NS = 20000,
    COST_READ_NS = 400,
    COST_WRITE_NS = 1500,
};

static const char *const due_keys[] = {"due:high", "due:normal", "due:bulk"};

enum { DUE_KEYS = 3 };

static void turn(struct sweeper *s);

/* ---- calls and their pace ---- */

struct buf *sweeper_begin(struct sweeper *s)
{
    return redis_begin(s->q->redis);
}

void sweeper_end(struct sweeper *s, redis_reply_fn *done)
{
    s->asking = true;
    s->asked_us = io_now_us(s->q->io);
    redis_end(s->q->redis, 0, done, s);
}

bool sweeper_answered(struct sweeper *s, int err, const struct resp *reply)
{
    s->asking = false;
    if (err != 0 || !s->up || s->q->closing) {
        return false;
    }
    if (fcall_judge(reply) == FCALL_FAILED) {
        log_warn("queue: sweeping failed: %s", reply->text.ptr);
    }
    return true;
}

static void go_on_in(struct sweeper *s, int64_t us)
{
    if (s->up) {
        wheel_arm(io_wheel(s->q->io), &s->timer, io_now_us(s->q->io) + us);
    }
}

/* An answer that came at once bounds the cost from above; one that waited in line behind others'
 * calls says nothing, and what was measured has to do. */
void sweeper_rest(struct sweeper *s, size_t read, size_t written)
{
    int64_t cost_us =
        (COST_CALL_NS + (int64_t)read * COST_READ_NS + (int64_t)written * COST_WRITE_NS) / 1000;
    int64_t took_us = io_now_us(s->q->io) - s->asked_us;

    cost_us = took_us < cost_us ? took_us : cost_us;
    go_on_in(s, cost_us * (SHARE + 1) > took_us ? cost_us * (SHARE + 1) - took_us : 0);
}

/* ---- who walks ---- */

static void on_lock(void *ctx, int err, const struct resp *reply)
{
    struct sweeper *s = ctx;
    int64_t ours = 0;

    if (!sweeper_answered(s, err, reply)) {
        return;
    }
    if (resp_int(reply, &ours) == 0 && ours == 1) {
        s->lock_until_us = s->asked_us + (int64_t)LOCK_MS * 1000;
        turn(s);
    } else {
        walk_drop(s);
        s->going_round = false;
        go_on_in(s, LOCK_RETRY_US);
    }
}

/* By the node's name without its epoch: a new life of the same node need not wait. */
static void lock_ask(struct sweeper *s)
{
    struct slice node = slice_cstr(s->q->life);
    struct buf *out = sweeper_begin(s);

    while (node.len > 0 && node.ptr[node.len - 1] != ':') {
        node.len--;
    }
    fcall_begin(out, SLICE("sweep_lock"), 1, 2);
    keys_put_arg(out, &s->q->keys, SLICE("sweeper"));
    resp_put_arg(out, node);
    resp_put_u64(out, LOCK_MS);
    sweeper_end(s, on_lock);
}

/* ---- what is walked ---- */

static void put_name(struct sweeper *s, struct slice name, struct slice more)
{
    uint16_t len = (uint16_t)(name.len + more.len);

    buf_put(&s->names, &len, sizeof(len));
    buf_puts(&s->names, name);
    buf_puts(&s->names, more);
}

static struct slice next_name(struct sweeper *s)
{
    uint16_t len;

    memcpy(&len, s->names.ptr + s->names_at, sizeof(len));
    s->names_at += sizeof(len) + len;
    return slice_of(s->names.ptr + s->names_at - len, len);
}

static void on_index(void *ctx, int err, const struct resp *reply)
{
    struct sweeper *s = ctx;

    if (!sweeper_answered(s, err, reply)) {
        return;
    }
    s->index_end = reply->type != RESP_ARRAY || reply->count < 2 * INDEX_PAGE;
    buf_reset(&s->names);
    s->names_at = 0;
    for (size_t i = 0; reply->type == RESP_ARRAY && i + 1 < reply->count; i += 2) {
        struct slice change = reply->items[i + 1].text;
        if (change.len < sizeof(s->cursor) - 1) {
            s->cursor[0] = '(';
            memcpy(s->cursor + 1, change.ptr, change.len);
            s->cursor[change.len + 1] = '\0';
        } else {
            s->index_end = true;
        }
        if (reply->items[i].text.len <= KEYS_LIST_MAX) {
            put_name(s, reply->items[i].text, SLICE_NONE);
        }
    }
    sweeper_rest(s, reply->count / 2, 0);
}

static void index_ask(struct sweeper *s)
{
    struct buf *out = sweeper_begin(s);

    resp_put_count(out, 8);
    resp_put_arg(out, SLICE("ZRANGEBYSCORE"));
    keys_put_arg(out, &s->q->keys, SLICE("bins"));
    resp_put_arg(out, slice_cstr(s->cursor));
    resp_put_arg(out, SLICE("+inf"));
    resp_put_arg(out, SLICE("WITHSCORES"));
    resp_put_arg(out, SLICE("LIMIT"));
    resp_put_u64(out, 0);
    resp_put_u64(out, INDEX_PAGE);
    sweeper_end(s, on_index);
}

/* Jobs that stand aside for orders in force. */
static void put_held(struct sweeper *s)
{
    const struct orders *o = &s->q->orders;

    for (size_t i = 0; i < o->count; i++) {
        if ((o->items[i].kind == ORDER_PAUSE || o->items[i].kind == ORDER_HOLD) &&
            !order_over(&o->items[i], io_now_us(s->q->io))) {
            put_name(s, SLICE("held:"), o->items[i].id);
        }
    }
}

static void round_begin(struct sweeper *s)
{
    s->going_round = true;
    s->rounds++;
    s->round_from_us = io_now_us(s->q->io);
    s->round_orders = s->q->orders.change;
    s->due_at = 0;
    s->index_end = false;
    memcpy(s->cursor, "-inf", sizeof("-inf"));
    buf_reset(&s->names);
    s->names_at = 0;
    put_held(s);
}

static void round_end(struct sweeper *s)
{
    int64_t now_us = io_now_us(s->q->io), took_us = now_us - s->round_from_us;
    int64_t rest_us = s->q->orders.count > 0 ? FRESH_US : CALM_US;

    s->going_round = false;
    s->retries_done = s->round_orders;
    heads_forget(s, false);
    if (s->q->orders.count == 0 && took_us > rest_us) {
        rest_us = took_us;
    }
    s->next_round_us = s->q->orders.change != s->round_orders ? now_us : now_us + rest_us;
}

/* The next key of the round, small things first. */
static void next_key(struct sweeper *s)
{
    if (s->due_at < DUE_KEYS) {
        walk_begin(s, SWEEP_DUE, slice_cstr(due_keys[s->due_at++]));
    } else if (s->names_at < s->names.len) {
        struct slice name = next_name(s);
        walk_begin(s, slice_starts(name, SLICE("held:")) ? SWEEP_HELD : SWEEP_LIST, name);
    } else if (!s->index_end) {
        index_ask(s);
    } else {
        round_end(s);
        go_on_in(s, 0);
    }
}

/* ---- whose turn ---- */

static void turn(struct sweeper *s)
{
    int64_t now_us = io_now_us(s->q->io);

    if (!s->up || s->asking || s->q->closing || s->q->state != QUEUE_UP ||
        !node_may_start(s->q->node, now_us)) {
        go_on_in(s, LOOK_US);
        return;
    }
    bool release = release_wanted(s);
    /* A new order does not wait for the next look: but a round in which orders are obeyed is
     * finished first, or orders that come every second would never let one end. */
    if (!s->going_round && !release && now_us < s->next_round_us &&
        s->q->orders.change == s->round_orders) {
        go_on_in(s, LOOK_US);
    } else if (s->q->outbox.jobs > OUTCOMES_MAX) {
        go_on_in(s, QUEUE_BATCH_US);
    } else if (now_us > s->lock_until_us - LOCK_RENEW_US) {
        lock_ask(s);
    } else if (release && (s->release_turn || !s->going_round)) {
        s->release_turn = false;
        release_go(s);
    } else {
        s->release_turn = true;
        if (!s->going_round) {
            round_begin(s);
        }
        if (s->walk.active) {
            walk_go(s);
        } else {
            next_key(s);
        }
    }
}

static void on_timer(struct timer *t, int64_t now_us)
{
    (void)now_us;
    turn(CONTAINER_OF(t, struct sweeper, timer));
}

/* ---- life ---- */

struct sweeper *sweeper_new(struct queue *q)
{
    struct sweeper *s = mem_zalloc(sizeof(*s));

    s->q = q;
    map_init(&s->heads);
    timer_init(&s->timer, on_timer);
    return s;
}

void sweeper_free(struct sweeper *s)
{
    if (s == NULL) {
        return;
    }
    wheel_disarm(io_wheel(s->q->io), &s->timer);
    heads_forget(s, true);
    map_fini(&s->heads);
    buf_fini(&s->names);
    buf_fini(&s->walk.name);
    buf_fini(&s->walk.call);
    buf_fini(&s->walk.bytes);
    mem_free(s);
}

void sweeper_up(struct sweeper *s)
{
    if (s != NULL) {
        s->up = true;
        s->lock_until_us = 0; /* Redis may have lost it */
        go_on_in(s, 0);
    }
}

void sweeper_down(struct sweeper *s)
{
    if (s != NULL) {
        s->up = false;
        s->asking = false;
        wheel_disarm(io_wheel(s->q->io), &s->timer);
    }
}
