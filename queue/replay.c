/*
 * replay.c - what a crashed engine's journal says, told to Redis.
 */
#include "queue/replay.h"

#include "engine/base/err.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "queue/fcall.h"
#include "queue/journal_read.h"
#include "queue/outbox.h"

#include <string.h>

enum {
    PAGE = 100,
    TRIES_MAX = 5,
};

struct replay {
    struct journal_read *journal;
    const struct replay_ops *ops;
    void *owner;
    size_t at;    /* the first item not told yet */
    size_t count; /* items of the page being told */
    unsigned tries;
    bool over;
    struct replay_stats stats;

    struct redis *redis;
    const struct keys *keys;
    void (*done)(void *ctx);
    void *ctx;
    struct outbox outbox;
};

struct replay *replay_load(const char *directory, const struct replay_ops *ops, void *ctx)
{
    struct replay *r = mem_zalloc(sizeof(*r));

    r->ops = ops;
    r->owner = ctx;
    r->journal = journal_read(directory);
    list_init(&r->outbox.batches);
    if (journal_read_count(r->journal) == 0) {
        journal_read_remove(r->journal);
        r->over = true;
    }
    return r;
}

void replay_free(struct replay *r)
{
    if (r != NULL) {
        outbox_fini(&r->outbox);
        journal_read_free(r->journal);
        mem_free(r);
    }
}

bool replay_over(const struct replay *r)
{
    return r->over;
}

const struct replay_stats *replay_stats(const struct replay *r)
{
    return &r->stats;
}

static void page_ask(struct replay *r);

/* ---- outcomes ---- */

static void give(struct replay *r, const struct journal_entry *e, const struct job_record *record)
{
    struct job_record later;

    if (e->kind == JOURNAL_DONE) {
        outbox_done(&r->outbox, e->life, record, e->event, 0);
    } else if (record_decode(&later, e->record) == 0) {
        outbox_defer(&r->outbox, e->life, record, e->record, e->due_ms, e->event, 0);
    }
}

static void give_unanswered(struct replay *r, const struct journal_entry *e,
                            const struct job_record *record, bool ours)
{
    struct replay_outcome out = {0};

    r->ops->on_unanswered(r->owner, e, ours ? record : NULL, &out);
    if (out.again && ours) {
        outbox_defer(&r->outbox, e->life, record, buf_slice(&out.record), out.due_ms,
                     buf_slice(&out.event), 0);
    } else {
        outbox_done(&r->outbox, e->life, record, buf_slice(&out.event), 0);
    }
    buf_fini(&out.event);
    buf_fini(&out.record);
}

/* One item, with what its life owns by its name.  `touched`: others took jobs of that life. */
static void item_tell(struct replay *r, const struct journal_entry *e, const struct resp *owned,
                      bool touched)
{
    struct job_record record;
    bool ours = owned->type == RESP_STRING && record_decode(&record, owned->text) == 0;

    if (!ours && (owned->type == RESP_STRING || !touched)) {
        return; /* unreadable: takeover puts it aside; or Redis has its outcome */
    }
    if (!ours) {
        record = (struct job_record){.id = e->id, .job = slice_of(e->id.ptr, e->id.len)};
        record.job.len = e->id.len < RECORD_JOB_LEN ? e->id.len : RECORD_JOB_LEN;
    }
    if (e->kind != JOURNAL_DOT) {
        r->stats.recorded += ours;
        give(r, e, &record);
    } else if (!ours || record.attempts + 1 == e->attempt) {
        r->stats.unanswered += ours;
        give_unanswered(r, e, &record, ours);
    } else {
        return; /* of an attempt whose outcome is recorded: the job came back since */
    }
    r->stats.late += !ours;
}

/* ---- telling a page ---- */

static void finish(struct replay *r)
{
    const struct replay_stats *s = &r->stats;

    log_info("journal: the engine ended without warning; %lu outcomes it had not recorded are, "
             "%lu letters had no reply yet%s",
             (unsigned long)s->recorded, (unsigned long)s->unanswered,
             s->late > 0 ? "" : "; the rest goes back to the queue");
    if (s->late > 0) {
        log_warn("journal: other engines had taken %lu of its jobs by now: they may have been "
                 "sent twice",
                 (unsigned long)s->late);
    }
    journal_read_remove(r->journal);
    r->over = true;
    r->done(r->ctx);
}

static void page_next(struct replay *r)
{
    r->at += r->count;
    r->count = 0;
    r->tries = 0;
    if (r->at < journal_read_count(r->journal)) {
        page_ask(r);
    } else {
        finish(r);
    }
}

static void trouble(struct replay *r, const char *why)
{
    if (++r->tries < TRIES_MAX) {
        redis_reset(r->redis, ERR_AGAIN, why);
        return;
    }
    log_error("journal: Redis refused %zu outcomes, whose letters may be sent again: %s", r->count,
              why);
    r->stats.refused += r->count;
    page_next(r);
}

static void batches_send(struct replay *r);

static void on_batch(void *ctx, int err, const struct resp *reply)
{
    struct replay *r = ctx;

    if (err != 0) {
        return;
    }
    if (fcall_judge(reply) != FCALL_OK) {
        trouble(r, reply->text.ptr);
        return;
    }
    outbox_acknowledge(&r->outbox);
    batches_send(r);
}

static void batches_send(struct replay *r)
{
    if (outbox_next(&r->outbox) == NULL) {
        page_next(r);
        return;
    }
    outbox_send(&r->outbox, redis_begin(r->redis), 0);
    redis_end(r->redis, 0, on_batch, r);
}

static void on_page(void *ctx, int err, const struct resp *reply)
{
    enum { FIXED = 2 };
    struct replay *r = ctx;

    if (err != 0) {
        return;
    }
    if (reply->type != RESP_ARRAY || reply->count != r->count + FIXED) {
        trouble(r, reply->type == RESP_ERROR ? reply->text.ptr : "unexpected answer");
        return;
    }
    bool touched = reply->items[0].type != RESP_STRING || reply->items[1].type == RESP_STRING;
    for (size_t i = 0; i < r->count; i++) {
        item_tell(r, journal_read_at(r->journal, r->at + i), &reply->items[FIXED + i], touched);
    }
    batches_send(r);
}

static void page_ask(struct replay *r)
{
    const struct journal_entry *first = journal_read_at(r->journal, r->at);
    size_t left = journal_read_count(r->journal) - r->at;
    struct buf *out = redis_begin(r->redis);

    outbox_fini(&r->outbox);
    outbox_init(&r->outbox, r->keys, 0);
    r->outbox.unnumbered = true; /* after a break each job is looked at again */
    r->count = 1;
    while (r->count < left && r->count < PAGE &&
           slice_eq(journal_read_at(r->journal, r->at + r->count)->life, first->life)) {
        r->count++;
    }
    resp_put_count(out, 4 + r->count);
    resp_put_arg(out, SLICE("HMGET"));
    keys_put_arg2(out, r->keys, SLICE("owned:"), first->life);
    resp_put_arg(out, SLICE("#life"));
    resp_put_arg(out, SLICE("#taken"));
    for (size_t i = 0; i < r->count; i++) {
        resp_put_arg(out, journal_read_at(r->journal, r->at + i)->id);
    }
    redis_end(r->redis, 0, on_page, r);
}

void replay_start(struct replay *r, struct redis *redis, const struct keys *keys,
                  void (*done)(void *ctx), void *ctx)
{
    ASSERT(!r->over);
    r->redis = redis;
    r->keys = keys;
    r->done = done;
    r->ctx = ctx;
    page_ask(r);
}
