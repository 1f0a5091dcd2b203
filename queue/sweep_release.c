/*
 * sweep_release.c - bringing back what stood aside for an order that is lifted or over.
 *
 * The first jobs of held:<order> go to the end of their intakes, so that they keep their order
 * among each other; when nothing is left the order is forgotten.  Nothing is remembered between
 * two calls: another engine may go on at any point.
 */
#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "queue/fcall.h"
#include "queue/sweeper_private.h"

#include <string.h>

enum { RELEASE_KEYS = 7 };

static bool is_past(const struct sweeper *s, const struct order *order)
{
    return order->kind == ORDER_LIFTED || order_over(order, io_now_us(s->q->io)) ||
           (order->kind == ORDER_RETRY && s->retries_done == s->q->orders.change);
}

static const struct order *past_order(const struct sweeper *s)
{
    const struct orders *o = &s->q->orders;

    for (size_t i = 0; i < o->count; i++) {
        if (is_past(s, &o->items[i])) {
            return &o->items[i];
        }
    }
    return NULL;
}

bool release_wanted(struct sweeper *s)
{
    return s->release_done != s->q->orders.change && past_order(s) != NULL;
}

static struct slice release_id(const struct sweeper *s)
{
    return slice_of(s->release_id, s->release_id_len);
}

/* ---- moving ---- */

static void on_released(void *ctx, int err, const struct resp *reply)
{
    struct sweeper *s = ctx;

    if (sweeper_answered(s, err, reply)) {
        if (reply->type == RESP_ERROR) {
            s->release_done = s->q->orders.change; /* not again before something changes */
        }
        sweeper_rest(s, SWEEP_JOBS, SWEEP_JOBS);
    }
}

/* The order is forgotten, or somebody has placed it again: either way they are others now. */
static void on_forgotten(void *ctx, int err, const struct resp *reply)
{
    struct sweeper *s = ctx;

    if (sweeper_answered(s, err, reply)) {
        s->release_done = s->q->orders.change;
        queue_orders_poll(s->q);
        sweeper_rest(s, 1, 1);
    }
}

static void put_keys(struct buf *out, const struct sweeper *s)
{
    static const char *const rests[] = {"orders",    "bins",        "meta",
                                        "bell:high", "bell:normal", "bell:bulk"};

    keys_put_arg2(out, &s->q->keys, SLICE("held:"), release_id(s));
    for (size_t i = 0; i < sizeof(rests) / sizeof(rests[0]); i++) {
        keys_put_arg(out, &s->q->keys, slice_cstr(rests[i]));
    }
}

/* The lists of the jobs: few, one for each lane. */
struct lanes {
    struct slice lane[SWEEP_JOBS];
    size_t count;
    struct buf keys; /* RESP */
};

static size_t lane_place(struct lanes *lanes, const struct keys *keys, struct slice lane)
{
    for (size_t i = 0; i < lanes->count; i++) {
        if (slice_eq(lanes->lane[i], lane)) {
            return i;
        }
    }
    keys_put_arg2(&lanes->keys, keys, SLICE("in:"), lane);
    lanes->lane[lanes->count] = lane;
    return lanes->count++;
}

static void move_ask(struct sweeper *s, const struct resp *records)
{
    struct lanes *lanes = mem_zalloc(sizeof(*lanes));
    struct buf args = BUF_EMPTY;

    for (size_t i = 0; i < records->count; i++) {
        struct slice bytes = records->items[i].text;
        struct job_record r;
        resp_put_arg(&args, record_peek_id(bytes));
        resp_put_u64(&args, record_decode(&r, bytes) == 0
                                ? RELEASE_KEYS + 1 + lane_place(lanes, &s->q->keys, r.lane)
                                : 0);
    }
    struct buf *out = sweeper_begin(s);
    fcall_begin(out, SLICE("release"), RELEASE_KEYS + lanes->count, 2 + 2 * records->count);
    put_keys(out, s);
    buf_puts(out, buf_slice(&lanes->keys));
    resp_put_arg(out, release_id(s));
    resp_put_u64(out, s->q->orders.version);
    buf_puts(out, buf_slice(&args));
    sweeper_end(s, records->count > 0 ? on_released : on_forgotten);
    buf_fini(&args);
    buf_fini(&lanes->keys);
    mem_free(lanes);
}

/* ---- looking ---- */

static void on_held(void *ctx, int err, const struct resp *reply)
{
    struct sweeper *s = ctx;

    if (!sweeper_answered(s, err, reply)) {
        return;
    }
    if (reply->type != RESP_ARRAY || reply->count > SWEEP_JOBS) {
        s->release_done = s->q->orders.change; /* no list: a person has to look */
        sweeper_rest(s, 1, 0);
        return;
    }
    move_ask(s, reply);
}

void release_go(struct sweeper *s)
{
    const struct order *order = past_order(s);
    struct buf *out = sweeper_begin(s);

    s->release_id_len = (uint8_t)order->id.len;
    memcpy(s->release_id, order->id.ptr, order->id.len);
    resp_put_count(out, 4);
    resp_put_arg(out, SLICE("LRANGE"));
    keys_put_arg2(out, &s->q->keys, SLICE("held:"), release_id(s));
    resp_put_u64(out, 0);
    resp_put_u64(out, SWEEP_JOBS - 1);
    sweeper_end(s, on_held);
}
