/*
 * queue_claim.c - claims under way, and the index that says where there is something to claim.
 */
#include "queue/queue_private.h"
#include "engine/base/err.h"
#include "engine/base/log.h"
#include "queue/fcall.h"

#include <string.h>

enum { DISCOVER_PAGE = 256 }; /* more than a call can make non-empty: see groups_push */

static void claim_end(struct claim *c, int err)
{
    struct queue *q = c->queue;

    c->active = false;
    c->sent = false;
    q->ops->on_claimed(q->ctx, err, err == 0 ? c->got : NULL, err == 0 ? c->count : 0);
}

void queue_claims_cancel(struct queue *q)
{
    for (size_t i = 0; i < QUEUE_CLAIMS; i++) {
        struct claim *c = &q->claims[i];
        if (c->active) {
            c->voided += c->sent;
            claim_end(c, ERR_CANCELED);
        }
    }
}

static void on_claim_record(void *ctx, size_t want, struct slice bytes)
{
    const struct claim *c = ctx;
    struct queue *q = c->queue;
    struct job_record record;

    if (record_decode(&record, bytes) == 0) {
        if (map_find(&q->holds, record.id) == NULL) { /* else somebody doubled it in Redis */
            q->stats.claimed++;
            q->ops->on_record(q->ctx, want, &record);
        }
        return;
    }
    log_error("queue: a record of list " SLICE_FMT " cannot be read; it was put aside in %sbroken",
              SLICE_ARG(c->wants[want].list), q->keys.base);
    outbox_broken(&q->outbox, slice_cstr(q->life), record_peek_id(bytes), io_now_us(q->io));
}

static void on_claim_answer(void *ctx, int err, const struct resp *reply)
{
    struct claim *c = ctx;
    struct queue *q = c->queue;

    if (c->voided > 0) { /* answers come in order */
        c->voided--;
        return;
    }
    c->sent = false;
    if (err != 0) {
        return; /* asked again when the connection is back */
    }
    switch (fcall_judge(reply)) {
    case FCALL_OK:
        err = claim_read(c, slice_cstr(q->keys.base), reply, on_claim_record, c);
        claim_end(c, err);
        queue_work(q);
        return;
    case FCALL_NO_LIBRARY:
        queue_library_reload(q);
        return;
    case FCALL_LATER:
        return; /* the tick asks again */
    case FCALL_FENCED:
        claim_end(c, ERR_AGAIN); /* the node will have a new life soon */
        return;
    case FCALL_FAILED:
        log_error("queue: claim failed: %s", reply->text.ptr);
        claim_end(c, ERR_PROTO);
        return;
    }
}

static void claim_send(struct claim *c)
{
    struct queue *q = c->queue;

    c->sent = true;
    claim_put(c, redis_begin(q->redis), &q->keys);
    redis_end(q->redis, 0, on_claim_answer, c);
}

static struct claim *claim_spare(struct queue *q)
{
    for (size_t i = 0; i < QUEUE_CLAIMS; i++) {
        if (!q->claims[i].active) {
            return &q->claims[i];
        }
    }
    return NULL;
}

int queue_claim(struct queue *q, const struct queue_want *wants, size_t count)
{
    struct claim *c = claim_spare(q);

    if (c == NULL || !queue_may_start(q)) {
        return ERR_AGAIN;
    }
    int err = claim_set(c, wants, count);
    if (err != 0) {
        return err;
    }
    memcpy(c->life, q->life, sizeof(c->life));
    c->number++;
    c->active = true;
    q->stats.claims++;
    claim_send(c);
    return 0;
}

void queue_claims_repeat(struct queue *q)
{
    for (size_t i = 0; i < QUEUE_CLAIMS && !q->library_loading; i++) {
        if (q->claims[i].active && !q->claims[i].sent) {
            claim_send(&q->claims[i]);
        }
    }
}

/* ---- the index of lists ---- */

static void discover_send(struct queue *q);

/* Names and change numbers by turns. */
static void on_index(void *ctx, int err, const struct resp *reply)
{
    struct queue *q = ctx;

    if (err != 0) {
        return;
    }
    q->discovering = false;
    if (reply->type != RESP_ARRAY) {
        return;
    }
    for (size_t i = 0; i + 1 < reply->count; i += 2) {
        struct slice change = reply->items[i + 1].text;
        if (change.len < sizeof(q->cursor) - 1) {
            q->cursor[0] = '('; /* only what changed later */
            memcpy(q->cursor + 1, change.ptr, change.len);
            q->cursor[change.len + 1] = '\0';
        }
        q->ops->on_list(q->ctx, reply->items[i].text);
    }
    if ((reply->count >= 2 * DISCOVER_PAGE || q->discover_again) && q->state == QUEUE_UP) {
        q->discover_again = false;
        discover_send(q);
    }
}

static void discover_send(struct queue *q)
{
    struct buf *out = redis_begin(q->redis);

    q->discovering = true;
    resp_put_count(out, 8);
    resp_put_arg(out, SLICE("ZRANGEBYSCORE"));
    keys_put_arg(out, &q->keys, SLICE("bins"));
    resp_put_arg(out, slice_cstr(q->cursor));
    resp_put_arg(out, SLICE("+inf"));
    resp_put_arg(out, SLICE("WITHSCORES"));
    resp_put_arg(out, SLICE("LIMIT"));
    resp_put_u64(out, 0);
    resp_put_u64(out, DISCOVER_PAGE);
    redis_end(q->redis, 0, on_index, q);
}

void queue_discover(struct queue *q)
{
    if (q->state != QUEUE_UP || q->closing) {
        return;
    }
    if (q->discovering) {
        q->discover_again = true;
        return;
    }
    discover_send(q);
}

void queue_bell(struct queue *q, struct slice list)
{
    if (list.len == 0) {
        queue_discover(q);
    } else if (q->state == QUEUE_UP && !q->closing) {
        q->ops->on_list(q->ctx, list);
    }
}

void queue_index_restart(struct queue *q)
{
    memcpy(q->cursor, "-inf", sizeof("-inf"));
}
