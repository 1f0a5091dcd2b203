/*
 * queue_outcome.c - what became of jobs, on its way to Redis.
 */
#include "queue/queue_private.h"
#include "engine/base/log.h"
#include "queue/fcall.h"

#include <string.h>

enum {
    BATCH_TRIES_TOLD = 100, /* refusals of a batch of which one is logged */
};

static void on_flush(struct timer *t, int64_t now_us);

void queue_outbox_init(struct queue *q)
{
    outbox_init(&q->outbox, &q->keys, q->worker);
    timer_init(&q->flush, on_flush);
}

static void on_batch_answer(void *ctx, int err, const struct resp *reply);

/* Sends the next batch if it is time to; false when there is none, or it has to wait. */
static bool batch_send(struct queue *q)
{
    int64_t now_us = io_now_us(q->io), due_us = outbox_due_us(&q->outbox);

    if (due_us == INT64_MAX || !redis_up(q->redis) || q->state != QUEUE_UP) {
        return false;
    }
    if (q->closing) {
        due_us = 0;
    }
    if (due_us < q->outbox_not_before_us) {
        due_us = q->outbox_not_before_us;
    }
    if (due_us > now_us) {
        wheel_arm(io_wheel(q->io), &q->flush, due_us);
        return false;
    }
    struct outbox_batch *b = outbox_next(&q->outbox);
    q->stats.resent += b->number != 0;
    outbox_send(&q->outbox, redis_begin(q->redis), 0); /* retention.h does that */
    redis_end(q->redis, 0, on_batch_answer, q);
    return true;
}

void queue_outbox_work(struct queue *q)
{
    while (batch_send(q)) {}
}

/* It is kept and tried again for as long as this engine runs, and then stands in the journal:
 * dropped, its letters would be sent again. */
static void batch_refused(struct queue *q, const char *why)
{
    struct outbox_batch *b = outbox_first(&q->outbox);

    if (b->tries++ % BATCH_TRIES_TOLD == 0) {
        log_error("queue: outcomes of %u jobs were refused, and are tried again: %s", b->jobs, why);
    }
    q->stats.refused++;
    outbox_again(&q->outbox);
    q->outbox_not_before_us = io_now_us(q->io) + QUEUE_RETRY_US;
}

static void batch_count(struct queue *q, const struct resp *reply)
{
    uint64_t *const figures[OUTBOX_KINDS] = {&q->stats.done,   &q->stats.deferred,
                                             &q->stats.parked, &q->stats.returned,
                                             &q->stats.broken, &q->stats.aside};
    int64_t ours = 0, late = 0;

    if (reply->type == RESP_ARRAY && reply->count == 2 && resp_int(&reply->items[0], &ours) == 0 &&
        resp_int(&reply->items[1], &late) == 0 && ours >= 0) {
        *figures[outbox_first(&q->outbox)->kind] += (uint64_t)ours;
        q->stats.late += (uint64_t)late;
    }
}

static void on_batch_answer(void *ctx, int err, const struct resp *reply)
{
    struct queue *q = ctx;

    if (err != 0) {
        return; /* go_down() marks it as lost; it is sent again when the connection is back */
    }
    switch (fcall_judge(reply)) {
    case FCALL_OK:
        batch_count(q, reply);
        outbox_acknowledge(&q->outbox);
        break;
    case FCALL_NO_LIBRARY:
        outbox_again(&q->outbox);
        q->outbox_not_before_us = io_now_us(q->io) + QUEUE_RETRY_US;
        queue_library_reload(q);
        break;
    case FCALL_LATER:
        outbox_again(&q->outbox);
        q->outbox_not_before_us = io_now_us(q->io) + QUEUE_RETRY_US;
        break;
    case FCALL_FENCED:
    case FCALL_FAILED:
        batch_refused(q, reply->text.ptr);
        break;
    }
    queue_work(q);
}

static void on_flush(struct timer *t, int64_t now_us)
{
    (void)now_us;
    queue_outbox_work(CONTAINER_OF(t, struct queue, flush));
}

/* After an outcome was added: a full batch leaves with this tick, the first one of a batch
 * starts its 10 ms. */
static void outcome_added(struct queue *q)
{
    int64_t due_us = outbox_due_us(&q->outbox);

    if (due_us == 0) {
        queue_outbox_work(q);
    } else if (due_us != INT64_MAX && !timer_armed(&q->flush)) {
        wheel_arm(io_wheel(q->io), &q->flush, due_us);
    }
}

/* The life under which a job was claimed: the current one, unless the job is not held and
 * there was another one lately.  Drops the hold. */
static struct slice outcome_life(struct queue *q, struct slice id)
{
    struct map_node *node = map_find(&q->holds, id);

    if (node != NULL) {
        map_remove(&q->holds, node);
    } else if (q->old_life[0] != '\0' && io_now_us(q->io) < q->old_life_until_us) {
        return slice_cstr(q->old_life);
    }
    return slice_cstr(q->life);
}

void queue_done(struct queue *q, const struct job_record *r, struct slice event)
{
    struct journal_entry e = {.kind = JOURNAL_DONE,
                              .life = outcome_life(q, r->id),
                              .id = r->id,
                              .serial = q->outbox.serial,
                              .event = event};

    if (q->journal != NULL) {
        journal_put(q->journal, &e);
    }
    outbox_done(&q->outbox, e.life, r, event, io_now_us(q->io));
    outcome_added(q);
}

void queue_defer(struct queue *q, const struct job_record *r, struct slice record, int64_t due_ms,
                 struct slice event)
{
    struct journal_entry e = {.kind = JOURNAL_DEFER,
                              .life = outcome_life(q, r->id),
                              .id = r->id,
                              .serial = q->outbox.serial,
                              .event = event,
                              .due_ms = due_ms,
                              .record = record};

    if (q->journal != NULL) {
        journal_put(q->journal, &e);
    }
    outbox_defer(&q->outbox, e.life, r, record, due_ms, event, io_now_us(q->io));
    outcome_added(q);
}

void queue_park(struct queue *q, struct slice id, struct slice lane, struct slice domain,
                struct slice site)
{
    struct buf list = BUF_EMPTY;

    list_name_put_bin(&list, lane, site);
    outbox_park(&q->outbox, outcome_life(q, id), id, buf_slice(&list), domain, io_now_us(q->io));
    buf_fini(&list);
    outcome_added(q);
}

void queue_return(struct queue *q, struct slice id, struct slice lane, struct slice site)
{
    struct buf list = BUF_EMPTY;

    if (site.len > 0) {
        list_name_put_bin(&list, lane, site);
    } else {
        BUF_LIT(&list, "in:");
        buf_puts(&list, lane);
    }
    outbox_return(&q->outbox, outcome_life(q, id), id, buf_slice(&list), io_now_us(q->io));
    buf_fini(&list);
    outcome_added(q);
}

void queue_set_aside(struct queue *q, struct slice id, struct slice order)
{
    outbox_aside(&q->outbox, outcome_life(q, id), id, order, io_now_us(q->io));
    outcome_added(q);
}

void queue_event(struct queue *q, struct slice event)
{
    outbox_event(&q->outbox, slice_cstr(q->life), event, io_now_us(q->io));
    outcome_added(q);
}

size_t queue_backlog(const struct queue *q)
{
    return q->outbox.jobs;
}

/* ---- the journal ---- */

/* The life that owns a job which may be lost already. */
static struct slice hold_life(const struct queue *q, const struct queue_hold *hold)
{
    return slice_cstr(hold->life == q->life_number || q->old_life[0] == '\0' ? q->life
                                                                             : q->old_life);
}

void queue_note_dot(struct queue *q, const struct queue_hold *hold, struct journal_entry *dot)
{
    if (q->journal != NULL) {
        dot->kind = JOURNAL_DOT;
        dot->life = hold_life(q, hold);
        dot->id = slice_of(hold->id, hold->id_len);
        journal_put(q->journal, dot);
    }
}

void queue_note_undo(struct queue *q, const struct queue_hold *hold)
{
    struct journal_entry e = {
        .kind = JOURNAL_UNDO, .life = hold_life(q, hold), .id = slice_of(hold->id, hold->id_len)};

    if (q->journal != NULL) {
        journal_put(q->journal, &e);
    }
}

void queue_note_flush(struct queue *q)
{
    if (q->journal != NULL) {
        journal_flush(q->journal, outbox_floor(&q->outbox), q->outbox.serial, io_now_us(q->io));
    }
}

void queue_flush(struct queue *q)
{
    struct outbox_batch *b = outbox_next(&q->outbox);

    if (b != NULL) {
        b->since_us = io_now_us(q->io) - QUEUE_BATCH_US;
        queue_outbox_work(q);
    }
}
