/*
 * bell.c - the doorbells of a partition, on a connection of their own that blocks.
 *
 * One BLMPOP over the three classes, high first, asked for again as soon as it was answered.
 * It blocks for BELL_BLOCK_S at most, so that a connection that died without a word is
 * noticed by the deadline.
 */
#include "queue/bell.h"
#include "engine/base/mem.h"

enum { BELL_BLOCK_S = 5, BELL_TIMEOUT_US = 3 * BELL_BLOCK_S * 1000 * 1000, BELL_NAMES = 32 };

struct bell {
    struct redis *redis;
    const struct keys *keys;
    const struct bell_ops *ops;
    void *ctx;
    bool closing;
};

static void listen_again(struct bell *b);

static void on_answer(void *ctx, int err, const struct resp *reply)
{
    struct bell *b = ctx;

    if (err != 0) {
        return; /* on_up begins anew */
    }
    if (reply->type == RESP_ERROR) {
        redis_reset(b->redis, 0, reply->text.ptr);
        return;
    }
    if (reply->type == RESP_ARRAY && reply->count == 2 && reply->items[1].type == RESP_ARRAY) {
        const struct resp *names = &reply->items[1];
        for (size_t i = 0; i < names->count && !b->closing; i++) {
            b->ops->on_ring(b->ctx, names->items[i].text);
        }
    }
    if (!b->closing) {
        listen_again(b);
    }
}

static void listen_again(struct bell *b)
{
    struct buf *out = redis_begin(b->redis);

    resp_put_count(out, 9);
    resp_put_arg(out, SLICE("BLMPOP"));
    resp_put_u64(out, BELL_BLOCK_S);
    resp_put_u64(out, JOB_CLASSES);
    keys_put_arg(out, b->keys, SLICE("bell:high"));
    keys_put_arg(out, b->keys, SLICE("bell:normal"));
    keys_put_arg(out, b->keys, SLICE("bell:bulk"));
    resp_put_arg(out, SLICE("LEFT"));
    resp_put_arg(out, SLICE("COUNT"));
    resp_put_u64(out, BELL_NAMES);
    redis_end(b->redis, BELL_TIMEOUT_US, on_answer, b);
}

static void on_up(void *ctx)
{
    listen_again(ctx);
}

static void on_down(void *ctx, int err, const char *why)
{
    (void)ctx; /* the node's other connection reports */
    (void)err;
    (void)why;
}

static void on_closed(void *ctx)
{
    struct bell *b = ctx;
    const struct bell_ops *ops = b->ops;
    void *owner = b->ctx;

    mem_free(b);
    ops->on_closed(owner);
}

static const struct redis_ops redis_ops = {
    .on_up = on_up,
    .on_down = on_down,
    .on_closed = on_closed,
};

struct bell *bell_new(struct io *io, const struct redis_url *url, const struct keys *keys,
                      const struct bell_ops *ops, void *ctx)
{
    struct bell *b = mem_zalloc(sizeof(*b));

    b->keys = keys;
    b->ops = ops;
    b->ctx = ctx;
    b->redis = redis_new(io, url, &redis_ops, b);
    /* That nothing rings for BELL_BLOCK_S is no reason to doubt the master. */
    redis_set_patience(b->redis, BELL_BLOCK_S * INT64_C(1000000) + REDIS_PATIENCE_US);
    return b;
}

void bell_close(struct bell *b)
{
    b->closing = true;
    redis_close(b->redis);
}
