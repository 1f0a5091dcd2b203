/*
 * queue_suppress.c - queue/suppress.h, the memory of sites, and what else there is of Redis.
 *
 * The list is empty, or has some of the recipients on it from the beginning; it is touched now
 * and then, so that everybody has to be asked for again.
 */
#include "queue/suppress.h"

#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/panic.h"
#include "tests/sim/net.h"
#include "tests/sim/queue_private.h"
#include "tests/sim/world.h"

#include <string.h>

struct question {
    struct list link;
    struct suppress *suppress;
    suppress_reply_fn *done;
    void *ctx;
    size_t count;
    struct rcpt *whom[SUPPRESS_ASK_MAX];
    bool told;
};

struct suppress {
    struct suppress *next;
    struct io *io;
    unsigned worker;
    const struct suppress_ops *ops;
    void *ctx;
    uint64_t number;
    bool known;
    bool closing;
    struct list questions;
};

static struct suppress *lists;

/* ---- the number ---- */

static void look(void *ctx, int64_t arg)
{
    struct suppress *s = ctx;

    (void)arg;
    if (s->closing) {
        return;
    }
    if (!store.away) {
        bool first = !s->known;
        s->number = store.suppress_number;
        s->known = true;
        if (first) {
            s->ops->on_ready(s->ctx);
        }
    }
    world_at(SUPPRESS_POLL_US, WORLD_IN_TICK, s->worker, look, s, 0);
}

struct suppress *suppress_new(const struct suppress_options *options)
{
    struct suppress *s = mem_zalloc(sizeof(*s));

    s->io = options->io;
    s->worker = net_worker_of(options->io);
    s->ops = options->ops;
    s->ctx = options->ctx;
    list_init(&s->questions);
    s->next = lists;
    lists = s;
    world_at(draw_between(100, 3000), WORLD_IN_TICK, s->worker, look, s, 0);
    return s;
}

bool suppress_fresh(const struct suppress *s, const struct suppress_mark *mark, int64_t now_us)
{
    if (s->known && (s->number == 0 || s->number == mark->number)) {
        return true;
    }
    return mark->at_us != 0 && now_us - mark->at_us < SUPPRESS_POLL_US;
}

/* ---- asking ---- */

static void tell(struct question *q, int err)
{
    struct resp *items = mem_array(q->count, sizeof(*items));
    struct resp reply = {.type = RESP_ARRAY, .count = q->count, .items = items};
    static const char entry[] = "all\tasked for it\t1700000000\t0";

    q->told = true;
    if (err != 0) {
        q->done(q->ctx, err, NULL, true);
    } else {
        for (size_t i = 0; i < q->count; i++) {
            bool hit = q->whom[i] != NULL && q->whom[i]->suppressed;
            items[i].type = hit ? RESP_STRING : RESP_NIL;
            items[i].text = hit ? slice_cstr(entry) : SLICE_NONE;
        }
        q->done(q->ctx, 0, &reply, false);
        for (size_t i = 0; i < q->count; i++) {
            items[i] = (struct resp){.type = RESP_NIL};
        }
        q->done(q->ctx, 0, &reply, true);
    }
    mem_free(items);
}

static void answered(void *ctx, int64_t arg)
{
    struct question *q = ctx;

    (void)arg;
    list_remove(&q->link);
    if (!q->told) {
        tell(q, store.away ? ERR_CLOSED : 0);
    }
    mem_free(q);
}

int suppress_ask(struct suppress *s, struct slice tenant, const struct slice *addresses,
                 size_t count, struct suppress_mark *mark, suppress_reply_fn *done, void *ctx)
{
    (void)tenant;
    if (!s->known || store.away || s->closing) {
        return ERR_AGAIN;
    }
    ASSERT(count <= SUPPRESS_ASK_MAX);
    struct question *q = mem_zalloc(sizeof(*q));
    q->suppress = s;
    q->done = done;
    q->ctx = ctx;
    q->count = count;
    for (size_t i = 0; i < count; i++) {
        q->whom[i] = people_by_address(addresses[i]);
    }
    *mark = (struct suppress_mark){s->number, world.now_us};
    list_append(&s->questions, &q->link);
    world_at(draw_between(50, 5000), WORLD_IN_TICK, s->worker, answered, q, 0);
    return 0;
}

void suppress_add(struct suppress *s, struct slice tenant, struct slice address,
                  struct slice reason, uint64_t expires_s)
{
    (void)s;
    (void)tenant;
    (void)reason;
    (void)expires_s;
    trace("onto the suppression list: " SLICE_FMT, SLICE_ARG(address));
}

static void closed(void *ctx, int64_t arg)
{
    struct suppress *s = ctx;

    (void)arg;
    LIST_EACH (link, &s->questions) {
        struct question *q = CONTAINER_OF(link, struct question, link);
        tell(q, ERR_CANCELED);
    }
    s->ops->on_closed(s->ctx);
}

void suppress_close(struct suppress *s)
{
    s->closing = true;
    world_at(draw_between(1, 2000), WORLD_IN_TICK, s->worker, closed, s, 0);
}

void queue_suppress_fini(void)
{
    while (lists != NULL) {
        struct suppress *s = lists;
        lists = s->next;
        LIST_EACH_SAFE (link, &s->questions) {
            mem_free(CONTAINER_OF(link, struct question, link));
        }
        mem_free(s);
    }
}

/* ---- orders: none are placed ---- */

const struct orders *queue_orders(const struct queue *q)
{
    static const struct orders none;

    (void)q;
    return &none;
}

void queue_order_ended(struct queue *q, struct slice order)
{
    (void)q;
    (void)order;
}

void queue_set_aside(struct queue *q, struct slice id, struct slice order)
{
    (void)q;
    world_fail(SLICE_FMT ": set aside by " SLICE_FMT ", and there are no orders", SLICE_ARG(id),
               SLICE_ARG(order));
}

bool node_clock(const struct node *n, int64_t *offset_us, int64_t *expiry_offset_us)
{
    (void)n;
    *offset_us = clock_wall_us() - clock_mono_us();
    *expiry_offset_us = *offset_us;
    return true;
}

/* The lease cannot be renewed while Redis is away. */
bool node_owns(const struct node *n, int64_t now_us)
{
    (void)n;
    return !store.away || now_us - store.away_since_us < NODE_LEASE_US;
}

/* ---- the journal: what is about to be written is noted before (oracle_taken) ---- */

void queue_note_dot(struct queue *q, const struct queue_hold *hold, struct journal_entry *dot)
{
    (void)q;
    (void)dot;
    people_by_id(slice_of(hold->id, hold->id_len))->notes++;
}

void queue_note_undo(struct queue *q, const struct queue_hold *hold)
{
    (void)q;
    (void)hold;
}

void queue_note_flush(struct queue *q)
{
    (void)q;
}

struct journal *journal_new(const struct journal_options *options)
{
    (void)options;
    PANIC("no journal is asked for here");
}

void journal_free(struct journal *j, bool over)
{
    (void)j;
    (void)over;
}

void journal_put(struct journal *j, const struct journal_entry *e)
{
    (void)j;
    (void)e;
}

/* ---- the memory of sites ---- */

/* Nodes tell each other nothing here: an answer comes, and says that nothing is known. */
struct recall {
    struct list link;
    struct queue *queue;
    queue_recall_fn *done;
    void *ctx;
    bool told; /* of the end of the queue */
};

static void recalled(void *ctx, int64_t arg)
{
    struct recall *r = ctx;

    (void)arg;
    list_remove(&r->link);
    if (!r->told) {
        r->done(r->ctx, store.away ? ERR_CLOSED : 0, 0);
    }
    mem_free(r);
}

int queue_recall(struct queue *q, struct slice site, queue_recall_fn *done, void *ctx)
{
    (void)site;
    if (store.away || q->gone) {
        return ERR_AGAIN;
    }
    struct recall *r = mem_zalloc(sizeof(*r));
    *r = (struct recall){.queue = q, .done = done, .ctx = ctx};
    list_init(&r->link);
    list_append(&q->recalls, &r->link);
    world_at(queue_answer_in(q), WORLD_IN_TICK, q->worker, recalled, r, 0);
    return 0;
}

void queue_recalls_end(struct queue *q)
{
    LIST_EACH (link, &q->recalls) {
        struct recall *r = CONTAINER_OF(link, struct recall, link);
        r->told = true;
        r->done(r->ctx, ERR_CANCELED, 0);
    }
}

void queue_recalls_free(struct queue *q)
{
    LIST_EACH_SAFE (link, &q->recalls) {
        mem_free(CONTAINER_OF(link, struct recall, link));
    }
}

void queue_remember(struct queue *q, struct slice site, int64_t until_ms)
{
    (void)q;
    trace("remembered of " SLICE_FMT " until %lld", SLICE_ARG(site), (long long)until_ms);
}
