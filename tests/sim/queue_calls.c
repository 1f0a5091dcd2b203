/*
 * queue_calls.c - claims, outcomes and messages over the model of Redis.
 */
#include "tests/sim/queue_private.h"

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/panic.h"
#include "tests/sim/oracle.h"
#include "tests/sim/world.h"

#include <stdlib.h>
#include <string.h>

/* ---- claims ---- */

static void claim_end(struct sim_claim *c, int err)
{
    struct queue *q = c->queue;

    c->active = false;
    c->number++;
    q->ops->on_claimed(q->ctx, err, err == 0 ? c->got : NULL, err == 0 ? c->count : 0);
}

void queue_claims_give_up(struct queue *q)
{
    for (size_t i = 0; i < QUEUE_CLAIMS; i++) {
        if (q->claims[i].active) {
            claim_end(&q->claims[i], ERR_CANCELED);
        }
    }
}

static void claim_answer(void *ctx, int64_t number)
{
    struct sim_claim *c = ctx;
    struct queue *q = c->queue;

    if (!c->active || number != (int64_t)c->number || q->gone) {
        return;
    }
    if (store.away || q->state != SIM_QUEUE_UP) {
        c->asked = false; /* the answer was lost: asked again */
        return;
    }
    for (size_t i = 0; i < c->job_count; i++) {
        struct job_record record;
        const struct rcpt *r = c->jobs[i];
        if (!store_owned(r, c->life) || map_find(&q->holds, slice_cstr(r->id)) != NULL) {
            continue;
        }
        char *bytes = mem_dup(r->record.ptr, r->record.len);
        ASSERT(record_decode(&record, slice_of(bytes, r->record.len)) == 0);
        q->ops->on_record(q->ctx, c->want[i], &record);
        mem_free(bytes);
    }
    claim_end(c, 0);
    queue_repeat(q);
}

static void claim_do(struct sim_claim *c)
{
    struct rcpt *jobs[QUEUE_CLAIM_JOBS_MAX];

    c->job_count = 0;
    for (size_t i = 0; i < c->count; i++) {
        struct queue_got *got = &c->got[i];
        size_t n = store_claim(got->list, c->life, got->wanted, jobs);
        const struct store_list *l = store_list_find(got->list);
        got->jobs = (uint32_t)n;
        got->left = l != NULL ? l->count : 0;
        for (size_t k = 0; k < n; k++) {
            c->want[c->job_count] = (uint8_t)i;
            c->jobs[c->job_count++] = jobs[k];
        }
    }
    c->done = true;
}

static void claim_call(void *ctx, int64_t number)
{
    struct sim_claim *c = ctx;

    if (!c->active || number != (int64_t)c->number || c->queue->gone) {
        return;
    }
    if (store.away) {
        c->asked = false;
        return;
    }
    if (!c->done && c->life == store.life) {
        claim_do(c);
    }
    world_at(queue_answer_in(c->queue), WORLD_IN_TICK, c->queue->worker, claim_answer, c, number);
}

static void claim_ask(struct sim_claim *c)
{
    c->asked = true;
    world_at(queue_call_in(c->queue), WORLD_OUTSIDE, c->queue->worker, claim_call, c,
             (int64_t)c->number);
}

int queue_claim(struct queue *q, const struct queue_want *wants, size_t count)
{
    struct sim_claim *c = NULL;
    uint64_t jobs = 0;

    for (size_t i = 0; i < QUEUE_CLAIMS && c == NULL; i++) {
        c = q->claims[i].active ? NULL : &q->claims[i];
    }
    if (c == NULL || !queue_may_start(q)) {
        return ERR_AGAIN;
    }
    ASSERT(count > 0 && count <= QUEUE_CLAIM_LISTS_MAX);
    c->queue = q;
    for (size_t i = 0; i < count; i++) {
        size_t len = wants[i].list.len;
        ASSERT(len < sizeof(c->names[i]));
        memcpy(c->names[i], wants[i].list.ptr, len);
        c->got[i] = (struct queue_got){slice_of(c->names[i], len), wants[i].jobs, 0, 0};
        jobs += wants[i].jobs;
    }
    ASSERT(jobs <= QUEUE_CLAIM_JOBS_MAX);
    c->count = count;
    c->job_count = 0;
    c->active = true;
    c->done = false;
    c->number++;
    c->life = q->life;
    claim_ask(c);
    return 0;
}

/* ---- outcomes ---- */

enum outcome_kind { OUTCOME_DONE, OUTCOME_DEFER, OUTCOME_PARK, OUTCOME_RETURN, OUTCOME_EVENT };

struct outcome {
    struct list link;
    struct queue *queue;
    enum outcome_kind kind;
    struct rcpt *rcpt;
    uint64_t life;
    bool asked;
    bool applied;
    bool has_event;
    bool final;
    uint32_t attempt;
    enum word word;
    int64_t due_ms;
    struct buf record;
    char list[400];
    char site[160];
    bool map;
};

static void outcome_free(struct outcome *o)
{
    list_remove(&o->link);
    o->queue->backlog--;
    buf_fini(&o->record);
    mem_free(o);
}

static void outcome_apply(struct outcome *o)
{
    struct rcpt *r = o->rcpt;
    bool ours = r != NULL && store_owned(r, o->life);

    o->applied = true;
    if (r == NULL) {
        return;
    }
    if (o->has_event) {
        oracle_event(r, o->final, o->attempt, !ours);
    }
    if (!ours) {
        if (!r->lost) {
            world_fail("%s (%s): an outcome for a job that is not ours", r->id, r->to);
        }
        return;
    }
    switch (o->kind) {
    case OUTCOME_DONE:
        store_done(r);
        break;
    case OUTCOME_DEFER:
        store_defer(r, buf_slice(&o->record), o->due_ms);
        break;
    case OUTCOME_PARK:
        if (o->map) {
            memcpy(store.mapped[r->domain], o->site, sizeof(o->site));
        }
        store_put(r, slice_cstr(o->list), false);
        break;
    case OUTCOME_RETURN:
        store_put(r, slice_cstr(o->list), true);
        break;
    case OUTCOME_EVENT:
        break;
    }
}

static void outcome_answer(void *ctx, int64_t number)
{
    struct queue *q = ctx;

    if (number != (int64_t)q->break_number || q->gone) {
        return;
    }
    LIST_EACH_SAFE (link, &q->outcomes) {
        struct outcome *o = CONTAINER_OF(link, struct outcome, link);
        if (o->applied) {
            outcome_free(o);
        }
    }
    queue_work_end(q);
}

static void outcome_call(void *ctx, int64_t number)
{
    struct queue *q = ctx;

    if (number != (int64_t)q->break_number || store.away || q->gone) {
        return;
    }
    LIST_EACH (link, &q->outcomes) {
        struct outcome *o = CONTAINER_OF(link, struct outcome, link);
        if (o->asked && !o->applied) {
            outcome_apply(o);
        }
    }
    world_at(queue_answer_in(q), WORLD_IN_TICK, q->worker, outcome_answer, q, number);
}

static void outcomes_ask(void *ctx, int64_t number)
{
    struct queue *q = ctx;
    bool any = false;

    if (q->state != SIM_QUEUE_UP || number != (int64_t)q->break_number || q->gone) {
        return;
    }
    LIST_EACH (link, &q->outcomes) {
        struct outcome *o = CONTAINER_OF(link, struct outcome, link);
        any = any || !o->asked;
        o->asked = true;
    }
    if (any) {
        world_at(queue_call_in(q), WORLD_OUTSIDE, q->worker, outcome_call, q, number);
    }
}

/* After a break, and every now and then: what has no answer on its way goes again. */
void queue_repeat(struct queue *q)
{
    if (q->state != SIM_QUEUE_UP || store.away || q->gone) {
        return;
    }
    for (size_t i = 0; i < QUEUE_CLAIMS; i++) {
        if (q->claims[i].active && !q->claims[i].asked) {
            claim_ask(&q->claims[i]);
        }
    }
    LIST_EACH (link, &q->outcomes) {
        CONTAINER_OF(link, struct outcome, link)->asked = false;
    }
    if (!list_empty(&q->outcomes)) {
        outcomes_ask(q, (int64_t)q->break_number);
    }
    queue_work_end(q);
}

void queue_outcomes_drop(struct queue *q)
{
    LIST_EACH_SAFE (link, &q->outcomes) {
        outcome_free(CONTAINER_OF(link, struct outcome, link));
    }
}

static struct outcome *outcome_new(struct queue *q, enum outcome_kind kind, struct slice id)
{
    struct outcome *o = mem_zalloc(sizeof(*o));

    if (q->gone) {
        world_fail("worker %u: an outcome after the queue was closed", q->worker);
    }
    o->queue = q;
    o->kind = kind;
    o->word = WORD_BACK;
    if (id.len > 0) {
        o->rcpt = people_by_id(id);
        o->life = queue_life_of(q, id);
    }
    q->backlog++;
    list_append(&q->outcomes, &o->link);
    world_at(draw_between(0, QUEUE_BATCH_US), WORLD_IN_TICK, q->worker, outcomes_ask, q,
             (int64_t)q->break_number);
    return o;
}

/* The number behind `name` in a line of JSON. */
static uint32_t number_of(struct slice line, const char *name)
{
    const char *at = memmem(line.ptr, line.len, name, strlen(name));

    return at != NULL ? (uint32_t)strtoul(at + strlen(name), NULL, 10) : 0;
}

static bool says(struct slice line, const char *text)
{
    return memmem(line.ptr, line.len, text, strlen(text)) != NULL;
}

/* The attempt is the last number of the event's name, "id.n.attempt". */
static uint32_t attempt_of(const struct rcpt *r, struct slice line)
{
    char name[64];
    size_t len = strlen(r->id);

    memcpy(name, r->id, len);
    memcpy(name + len, ".", 2);
    return number_of(line, name);
}

static void read_event(struct outcome *o, struct slice line)
{
    static const char *const types[WORD_COUNT] = {
        "\"type\":\"delivered\"", "\"type\":\"bounced\"", "\"type\":\"deferred\"",
        "\"type\":\"ambiguous\"", "\"type\":\"expired\"", "\"type\":\"suppressed\""};

    if (line.len > 0) {
        trace("event " SLICE_FMT, SLICE_ARG(line));
    }
    if (line.len == 0 || o->rcpt == NULL) {
        return;
    }
    o->has_event = true;
    o->final = says(line, "\"final\":true");
    o->attempt = attempt_of(o->rcpt, line);
    for (int word = 0; word < WORD_BACK; word++) {
        o->word = says(line, types[word]) ? (enum word)word : o->word;
    }
    if (o->word == WORD_BACK || o->final != (o->kind == OUTCOME_DONE)) {
        world_fail("an event that fits no outcome: " SLICE_FMT, SLICE_ARG(line));
    }
}

static void said(struct outcome *o)
{
    oracle_said(o->rcpt, o->word, o->final, o->attempt);
}

void queue_done(struct queue *q, const struct job_record *record, struct slice event)
{
    struct outcome *o = outcome_new(q, OUTCOME_DONE, record->id);

    read_event(o, event);
    if (!o->has_event) {
        world_fail("%s: done without an event", o->rcpt->id);
    }
    said(o);
}

void queue_defer(struct queue *q, const struct job_record *before, struct slice record,
                 int64_t due_ms, struct slice event)
{
    struct outcome *o = outcome_new(q, OUTCOME_DEFER, before->id);

    read_event(o, event);
    buf_puts(&o->record, record);
    o->due_ms = due_ms;
    said(o);
}

void queue_park(struct queue *q, struct slice id, struct slice lane, struct slice domain,
                struct slice site)
{
    struct outcome *o = outcome_new(q, OUTCOME_PARK, id);
    struct buf name = BUF_EMPTY;

    list_name_put_bin(&name, lane, site);
    ASSERT(name.len < sizeof(o->list) && site.len < sizeof(o->site));
    memcpy(o->list, name.ptr, name.len);
    memcpy(o->site, site.ptr, site.len);
    o->map = domain.len > 0;
    buf_fini(&name);
    said(o);
}

void queue_return(struct queue *q, struct slice id, struct slice lane, struct slice site)
{
    struct outcome *o = outcome_new(q, OUTCOME_RETURN, id);
    struct buf name = BUF_EMPTY;

    if (site.len > 0) {
        list_name_put_bin(&name, lane, site);
    } else {
        BUF_LIT(&name, "in:");
        buf_puts(&name, lane);
    }
    ASSERT(name.len < sizeof(o->list));
    memcpy(o->list, name.ptr, name.len);
    buf_fini(&name);
    said(o);
}

void queue_event(struct queue *q, struct slice event)
{
    (void)read_event(outcome_new(q, OUTCOME_EVENT, SLICE_NONE), event);
}

/* ---- messages ---- */

struct fetch {
    struct list link;
    struct queue *queue;
    queue_message_fn *done;
    void *ctx;
    char id[64];
    bool own_body;
    bool broken;
    bool told; /* of the end of the queue */
};

static const struct sim_letter *letter_of(const struct fetch *f)
{
    for (unsigned i = 0; i < people_count && f->own_body; i++) {
        if (memcmp(people[i]->id, f->id, RECORD_JOB_LEN) == 0) {
            return &sim_letters[people[i]->letter];
        }
    }
    for (unsigned i = 0; i < sim_letter_count; i++) {
        if (!f->own_body && strcmp(sim_letters[i].id, f->id) == 0 && !sim_letters[i].missing) {
            return &sim_letters[i];
        }
    }
    return NULL;
}

static void fetched(void *ctx, int64_t arg)
{
    struct fetch *f = ctx;
    struct fetch copy = *f;
    const struct sim_letter *l = letter_of(f);

    (void)arg;
    list_remove(&f->link);
    mem_free(f);
    if (copy.told) {
        return;
    }
    if (copy.broken) {
        copy.done(copy.ctx, ERR_CLOSED, NULL);
    } else if (l == NULL) {
        struct queue_message m = {.missing_ms = 1000};
        copy.done(copy.ctx, ERR_NOTFOUND, &m);
    } else {
        char *bytes = mem_dup(l->eml.ptr, l->eml.len);
        struct queue_message m = {.eml = slice_of(bytes, l->eml.len),
                                  .from = SLICE("bounces@sender.test")};
        copy.done(copy.ctx, 0, &m);
        mem_free(bytes);
    }
}

void queue_fetches_break(struct queue *q)
{
    LIST_EACH (link, &q->fetches) {
        CONTAINER_OF(link, struct fetch, link)->broken = true;
    }
}

void queue_fetches_end(struct queue *q)
{
    LIST_EACH (link, &q->fetches) {
        struct fetch *f = CONTAINER_OF(link, struct fetch, link);
        if (!f->told) {
            f->told = true;
            f->done(f->ctx, ERR_CANCELED, NULL);
        }
    }
}

void queue_fetches_free(struct queue *q)
{
    LIST_EACH_SAFE (link, &q->fetches) {
        mem_free(CONTAINER_OF(link, struct fetch, link));
    }
    list_init(&q->fetches);
}

int queue_fetch(struct queue *q, struct slice id, bool own_body, queue_message_fn *done, void *ctx)
{
    if (store.away || q->gone) {
        return ERR_AGAIN;
    }
    struct fetch *f = mem_zalloc(sizeof(*f));
    ASSERT(id.len < sizeof(f->id));
    memcpy(f->id, id.ptr, id.len);
    f->queue = q;
    f->done = done;
    f->ctx = ctx;
    f->own_body = own_body;
    list_append(&q->fetches, &f->link);
    int64_t call_us = queue_call_in(q);
    int64_t answer_us = queue_answer_in(q);
    world_at(call_us > answer_us ? call_us : answer_us, WORLD_IN_TICK, q->worker, fetched, f, 0);
    return 0;
}

const struct queue_stats *queue_stats(const struct queue *q)
{
    return &q->stats;
}
