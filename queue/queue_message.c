/*
 * queue_message.c - letters for jobs.
 */
#include "queue/queue_private.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"

#include <string.h>

/* The key missing:<id> stands from the first time that a letter was looked for in vain; how long
 * ago that was is what is gone of its life.  It ends by itself, or when the letter is stored. */
enum { MISSING_KEY_MS = 3600 * 1000, ID_MAX = 128 };

struct fetch {
    queue_message_fn *done;
    void *ctx;
    struct queue *queue;
    size_t id_len;
    char id[ID_MAX];
};

static void fetch_end(struct fetch *f, int err, const struct queue_message *m)
{
    queue_message_fn *done = f->done;
    void *ctx = f->ctx;

    mem_free(f);
    done(ctx, err, m);
}

static void on_missing(void *ctx, int err, const struct resp *reply)
{
    struct queue_message m = {.missing_ms = 0};
    int64_t left_ms;

    /* A note that could not be left (Redis is full) says that it is missing only just now. */
    if (err == 0 && resp_int(reply, &left_ms) == 0 && left_ms >= 0 && left_ms < MISSING_KEY_MS) {
        m.missing_ms = MISSING_KEY_MS - left_ms;
    }
    fetch_end(ctx, err == 0 ? ERR_NOTFOUND : err, err == 0 ? &m : NULL);
}

static void on_noted(void *ctx, int err, const struct resp *reply)
{
    (void)ctx, (void)err, (void)reply; /* what counts is the answer behind it */
}

static void note_missing(struct fetch *f)
{
    struct slice id = slice_of(f->id, f->id_len);
    struct buf *out = redis_begin(f->queue->redis);

    resp_put_count(out, 6);
    resp_put_arg(out, SLICE("SET"));
    keys_put_arg2(out, &f->queue->keys, SLICE("missing:"), id);
    resp_put_arg(out, SLICE("1"));
    resp_put_arg(out, SLICE("NX"));
    resp_put_arg(out, SLICE("PX"));
    resp_put_u64(out, MISSING_KEY_MS);
    redis_end(f->queue->redis, 0, on_noted, NULL);
    out = redis_begin(f->queue->redis);
    resp_put_count(out, 2);
    resp_put_arg(out, SLICE("PTTL"));
    keys_put_arg2(out, &f->queue->keys, SLICE("missing:"), id);
    redis_end(f->queue->redis, 0, on_missing, f);
}

static void on_message(void *ctx, int err, const struct resp *reply)
{
    struct fetch *f = ctx;
    struct queue_message m = {.missing_ms = 0};

    if (err == 0 && (reply->type != RESP_ARRAY || reply->count != 2)) {
        err = ERR_AGAIN;
    }
    if (err == 0 && reply->items[0].type != RESP_STRING) {
        note_missing(f);
        return;
    }
    if (err == 0) {
        m.eml = reply->items[0].text;
        m.from = reply->items[1].text;
    }
    fetch_end(f, err, err == 0 ? &m : NULL);
}

int queue_fetch(struct queue *q, struct slice id, bool own_body, queue_message_fn *done, void *ctx)
{
    struct fetch *fetch;

    if (id.len > ID_MAX) {
        return ERR_INVALID;
    }
    if (!redis_up(q->redis) || q->gone) {
        return ERR_AGAIN;
    }
    fetch = mem_zalloc(sizeof(*fetch));
    *fetch = (struct fetch){.done = done, .ctx = ctx, .queue = q, .id_len = id.len};
    memcpy(fetch->id, id.ptr, id.len);
    struct buf *out = redis_begin(q->redis);
    resp_put_count(out, 4);
    resp_put_arg(out, SLICE("HMGET"));
    keys_put_arg2(out, &q->keys, own_body ? SLICE("body:") : SLICE("msg:"), id);
    resp_put_arg(out, SLICE("eml"));
    resp_put_arg(out, SLICE("from"));
    redis_end(q->redis, 0, on_message, fetch);
    return 0;
}
