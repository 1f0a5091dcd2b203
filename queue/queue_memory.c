/*
 * queue_memory.c - what nodes tell each other about sites.
 *
 * One key for each site that has something to say, "learned:<site>", whose value is a time and
 * which ends at that time by itself.  Plain commands: losing one costs another trial.
 */
#include "queue/queue_private.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"

#include <stdio.h>

struct recall {
    queue_recall_fn *done;
    void *ctx;
};

static void on_recalled(void *ctx, int err, const struct resp *reply)
{
    struct recall recall = *(struct recall *)ctx;
    uint64_t until_ms = 0;

    mem_free(ctx);
    if (err == 0 && reply->type == RESP_ERROR) {
        err = ERR_AGAIN;
    }
    /* What is no number was not written by us, and says nothing. */
    if (err == 0 && reply->type == RESP_STRING &&
        (slice_u64(reply->text, &until_ms) != 0 || until_ms > INT64_MAX / 1000)) {
        until_ms = 0;
    }
    recall.done(recall.ctx, err, (int64_t)until_ms);
}

int queue_recall(struct queue *q, struct slice site, queue_recall_fn *done, void *ctx)
{
    struct recall *recall;

    if (!redis_up(q->redis) || q->gone) {
        return ERR_AGAIN;
    }
    recall = mem_alloc(sizeof(*recall));
    *recall = (struct recall){done, ctx};
    struct buf *out = redis_begin(q->redis);
    resp_put_count(out, 2);
    resp_put_arg(out, SLICE("GET"));
    keys_put_arg2(out, &q->keys, SLICE("learned:"), site);
    redis_end(q->redis, 0, on_recalled, recall);
    return 0;
}

static void on_remembered(void *ctx, int err, const struct resp *reply)
{
    (void)ctx;
    (void)err;
    (void)reply;
}

void queue_remember(struct queue *q, struct slice site, int64_t until_ms)
{
    char text[24];

    if (!redis_up(q->redis) || q->gone) {
        return;
    }
    int len = snprintf(text, sizeof(text), "%lld", (long long)until_ms);
    struct slice until = slice_of(text, (size_t)len);
    struct buf *out = redis_begin(q->redis);
    resp_put_count(out, 5);
    resp_put_arg(out, SLICE("SET"));
    keys_put_arg2(out, &q->keys, SLICE("learned:"), site);
    resp_put_arg(out, until);
    resp_put_arg(out, SLICE("PXAT"));
    resp_put_arg(out, until);
    redis_end(q->redis, 0, on_remembered, NULL);
}
