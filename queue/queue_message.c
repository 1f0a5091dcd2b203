/*
 * queue_message.c - letters for jobs.
 */
#include "queue/queue_private.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"

struct fetch {
    queue_message_fn *done;
    void *ctx;
};

static void on_message(void *ctx, int err, const struct resp *reply)
{
    struct fetch fetch = *(struct fetch *)ctx;
    struct queue_message m = {SLICE_NONE, SLICE_NONE};

    mem_free(ctx);
    if (err == 0 && (reply->type != RESP_ARRAY || reply->count != 2)) {
        err = ERR_AGAIN;
    }
    if (err == 0 && reply->items[0].type != RESP_STRING) {
        err = ERR_NOTFOUND;
    }
    if (err == 0) {
        m.eml = reply->items[0].text;
        m.from = reply->items[1].text;
    }
    fetch.done(fetch.ctx, err, err == 0 ? &m : NULL);
}

int queue_fetch(struct queue *q, struct slice id, bool own_body, queue_message_fn *done, void *ctx)
{
    struct fetch *fetch;

    if (!redis_up(q->redis) || q->gone) {
        return ERR_AGAIN;
    }
    fetch = mem_alloc(sizeof(*fetch));
    *fetch = (struct fetch){done, ctx};
    struct buf *out = redis_begin(q->redis);
    resp_put_count(out, 4);
    resp_put_arg(out, SLICE("HMGET"));
    keys_put_arg2(out, &q->keys, own_body ? SLICE("body:") : SLICE("msg:"), id);
    resp_put_arg(out, SLICE("eml"));
    resp_put_arg(out, SLICE("from"));
    redis_end(q->redis, 0, on_message, fetch);
    return 0;
}
