/*
 * queue.c - the queue as one worker sees it.
 *
 *     DOWN -> CHECKING -> UP -> (break, or a new life) -> DOWN ...
 *
 * CHECKING begins when there is a connection and the node has a life: every job that the
 * worker holds is asked for, because Redis may have lost its last second, or another node may
 * have been given the jobs.  Then the outbox and a claim without answer are repeated.
 */
#include "queue/queue.h"
#include "engine/base/err.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "queue/claim.h"
#include "queue/fcall.h"
#include "queue/library.h"
#include "queue/outbox.h"

#include <string.h>

enum {
    CHECK_JOBS = 200,             /* ids in one call of volley_1_check */
    LIFE_POLL_US = 5 * 1000,      /* while the node registers */
    RESCAN_US = 30 * 1000 * 1000, /* the whole index, against anything missed */
    DISCOVER_PAGE = 256,          /* more than a call can make non-empty: see groups_push */
    RETRY_US = 100 * 1000,        /* after an error that passes */
    BATCH_TRIES_MAX = 10,         /* errors of a batch that does not pass */
    EVENT_ENTRY_GUESS = 16384,    /* bytes, before we know */
    OLD_LIFE_US = 120 * 1000 * 1000,
};

#define EVENTS_MAX_BYTES (UINT64_C(1) << 30)

enum queue_state { QUEUE_DOWN, QUEUE_CHECKING, QUEUE_UP };

struct queue {
    struct io *io;
    struct redis *redis;
    struct keys keys;
    struct node *node;
    unsigned worker;
    const struct queue_ops *ops;
    void *ctx;
    enum queue_state state;
    bool told_up;
    bool closing;
    bool gone; /* the connection is being closed for good */

    char life[NODE_LIFE_MAX];
    uint64_t life_number;
    char old_life[NODE_LIFE_MAX]; /* outcomes of jobs that are not held belong to it */
    int64_t old_life_until_us;

    struct claim claims[QUEUE_CLAIMS];
    struct outbox outbox;
    int64_t outbox_not_before_us; /* after an error */
    bool library_loading;
    uint64_t events_max_bytes;
    uint64_t event_entry_bytes; /* running mean */

    struct map holds;
    uint32_t check_round;
    unsigned checks; /* calls under way */

    char cursor[32]; /* change number up to which the index was seen */
    bool discovering;
    bool discover_again;
    int64_t rescan_us;

    struct timer tick;  /* discover, life, what waits */
    struct timer flush; /* outbox */
    struct timer drain;
    struct queue_stats stats;
};

static void work(struct queue *q);

/* ---- up and down ---- */

static void go_down(struct queue *q)
{
    q->state = QUEUE_DOWN;
    for (size_t i = 0; i < QUEUE_CLAIMS; i++) {
        q->claims[i].sent = false;
    }
    q->discovering = false;
    if (q->outbox.sent) {
        outbox_lost(&q->outbox);
    }
    if (q->told_up) {
        q->told_up = false;
        q->ops->on_down(q->ctx);
    }
}

static void go_up(struct queue *q)
{
    q->state = QUEUE_UP;
    memcpy(q->cursor, "-inf", sizeof("-inf"));
    q->rescan_us = io_now_us(q->io) + RESCAN_US;
    if (!q->closing) {
        q->told_up = true;
        q->ops->on_up(q->ctx);
        queue_discover(q);
    }
    work(q);
}

bool queue_may_start(const struct queue *q)
{
    return q->state == QUEUE_UP && !q->closing && node_epoch(q->node) == q->life_number &&
           node_may_start(q->node, io_now_us(q->io));
}

/* An error that Redis answered.  True when the caller's request will be repeated. */
static void on_library(void *ctx, int err, const char *why)
{
    struct queue *q = ctx;

    q->library_loading = false;
    if (err != 0) {
        log_error("queue: %s", why);
    }
    if (redis_up(q->redis) && !q->gone) {
        work(q);
    }
}

/* The functions went away (FLUSHALL, a new empty Redis): put them back. */
static void library_reload(struct queue *q)
{
    if (!q->library_loading) {
        q->library_loading = true;
        library_ensure(q->redis, on_library, q);
    }
}

/* ---- ending a claim ---- */

static void claim_end(struct claim *c, int err)
{
    struct queue *q = c->queue;

    c->active = false;
    c->sent = false;
    q->ops->on_claimed(q->ctx, err, err == 0 ? c->got : NULL, err == 0 ? c->count : 0);
}

static void claims_cancel(struct queue *q)
{
    for (size_t i = 0; i < QUEUE_CLAIMS; i++) {
        struct claim *c = &q->claims[i];
        if (c->active) {
            c->voided += c->sent;
            claim_end(c, ERR_CANCELED);
        }
    }
}

/* ---- checking what is held ---- */

struct check {
    struct queue *queue;
    uint32_t round;
    size_t count;
    uint8_t len[CHECK_JOBS];
    char id[CHECK_JOBS][RECORD_ID_LEN_MAX];
};

static void hold_lose(struct queue *q, struct queue_hold *hold)
{
    map_remove(&q->holds, &hold->node);
    q->ops->on_lost(q->ctx, hold);
}

static void on_checked(void *ctx, int err, const struct resp *reply)
{
    struct check *check = ctx;
    struct queue *q = check->queue;
    bool current = check->round == q->check_round && q->state == QUEUE_CHECKING;

    if (err == 0 && current && (reply->type != RESP_STRING || reply->text.len != check->count)) {
        redis_reset(q->redis, ERR_AGAIN,
                    reply->type == RESP_ERROR ? reply->text.ptr : "check: unexpected answer");
        current = false;
    }
    if (err == 0 && current) {
        for (size_t i = 0; i < check->count; i++) {
            struct map_node *node = map_find(&q->holds, slice_of(check->id[i], check->len[i]));
            if (reply->text.ptr[i] == '0' && node != NULL) {
                hold_lose(q, CONTAINER_OF(node, struct queue_hold, node));
            }
        }
        if (--q->checks == 0) {
            go_up(q);
        }
    }
    mem_free(check);
}

static void check_send(struct queue *q, struct check *check)
{
    struct buf *out = redis_begin(q->redis);

    fcall_begin(out, SLICE("check"), 1, check->count);
    keys_put_arg2(out, &q->keys, SLICE("owned:"), slice_cstr(q->life));
    for (size_t i = 0; i < check->count; i++) {
        resp_put_arg(out, slice_of(check->id[i], check->len[i]));
    }
    q->checks++;
    redis_end(q->redis, 0, on_checked, check);
}

static void check_begin(struct queue *q)
{
    struct check *check = NULL;

    q->state = QUEUE_CHECKING;
    q->checks = 0;
    q->check_round++;
    MAP_EACH (node, &q->holds) {
        struct queue_hold *hold = CONTAINER_OF(node, struct queue_hold, node);
        if (check == NULL) {
            check = mem_alloc(sizeof(*check));
            check->queue = q;
            check->round = q->check_round;
            check->count = 0;
        }
        check->len[check->count] = hold->id_len;
        memcpy(check->id[check->count++], hold->id, hold->id_len);
        if (check->count == CHECK_JOBS) {
            check_send(q, check);
            check = NULL;
        }
    }
    if (check != NULL) {
        check_send(q, check);
    }
    if (q->checks == 0) {
        go_up(q);
    }
}

/* The node has another life than the one under which we claimed: nothing held is ours. */
static void life_change(struct queue *q, uint64_t number, const char *life)
{
    if (q->life_number != 0) {
        memcpy(q->old_life, q->life, sizeof(q->old_life));
        q->old_life_until_us = io_now_us(q->io) + OLD_LIFE_US;
    }
    q->life_number = number;
    memcpy(q->life, life, sizeof(q->life));
    for (struct map_node *node = map_next(&q->holds, NULL), *next; node != NULL; node = next) {
        next = map_next(&q->holds, node);
        hold_lose(q, CONTAINER_OF(node, struct queue_hold, node));
    }
    claims_cancel(q); /* asked under the old life: what they answer is not ours */
}

/* ---- claiming ---- */

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
        err = claim_read(c, reply, on_claim_record, c);
        claim_end(c, err);
        work(q);
        return;
    case FCALL_NO_LIBRARY:
        library_reload(q);
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

/* ---- outcomes ---- */

static void on_batch_answer(void *ctx, int err, const struct resp *reply);

/* How many entries the stream may keep so that it holds about the configured bytes. */
static uint64_t events_trim(struct queue *q, const struct outbox_batch *b)
{
    uint64_t entries;

    if (b->lines.len > 0) {
        q->event_entry_bytes += (uint64_t)b->lines.len / 64;
        q->event_entry_bytes -= q->event_entry_bytes / 64;
    }
    entries = q->events_max_bytes / (q->event_entry_bytes + 64);
    return entries > 0 ? entries : 1;
}

static void outbox_work(struct queue *q)
{
    int64_t now_us = io_now_us(q->io), due_us = outbox_due_us(&q->outbox);

    if (due_us == INT64_MAX || !redis_up(q->redis) || q->state != QUEUE_UP) {
        return;
    }
    if (q->closing) {
        due_us = 0;
    }
    if (due_us < q->outbox_not_before_us) {
        due_us = q->outbox_not_before_us;
    }
    if (due_us > now_us) {
        wheel_arm(io_wheel(q->io), &q->flush, due_us);
        return;
    }
    struct outbox_batch *b = outbox_first(&q->outbox);
    q->stats.resent += b->number != 0;
    outbox_send(&q->outbox, redis_begin(q->redis), events_trim(q, b));
    redis_end(q->redis, 0, on_batch_answer, q);
}

static void batch_refused(struct queue *q, const char *why)
{
    const struct outbox_batch *b = outbox_first(&q->outbox);

    log_error("queue: outcomes of %u jobs were refused: %s", b->jobs, why);
    if (b->tries + 1 >= BATCH_TRIES_MAX) {
        log_error("queue: gave up on the outcomes of %u jobs; they stay claimed until this "
                  "engine ends, and are sent again then",
                  b->jobs);
        q->stats.events_dropped += b->jobs;
        outbox_acknowledge(&q->outbox);
    } else {
        outbox_refused(&q->outbox);
        q->outbox_not_before_us = io_now_us(q->io) + RETRY_US;
    }
}

static void batch_count(struct queue *q, const struct resp *reply)
{
    uint64_t *const figures[OUTBOX_KINDS] = {&q->stats.done, &q->stats.deferred, &q->stats.parked,
                                             &q->stats.returned, &q->stats.broken};
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
        outbox_lost(&q->outbox);
        q->outbox_not_before_us = io_now_us(q->io) + RETRY_US;
        library_reload(q);
        break;
    case FCALL_LATER:
        outbox_lost(&q->outbox);
        q->outbox_not_before_us = io_now_us(q->io) + RETRY_US;
        break;
    case FCALL_FENCED:
    case FCALL_FAILED:
        batch_refused(q, reply->text.ptr);
        break;
    }
    work(q);
}

static void on_flush(struct timer *t, int64_t now_us)
{
    (void)now_us;
    outbox_work(CONTAINER_OF(t, struct queue, flush));
}

/* After an outcome was added: a full batch leaves with this tick, the first one of a batch
 * starts its 10 ms. */
static void outcome_added(struct queue *q)
{
    int64_t due_us = outbox_due_us(&q->outbox);

    if (due_us == 0) {
        outbox_work(q);
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

void queue_done(struct queue *q, struct slice id, struct slice event, bool own_body)
{
    outbox_done(&q->outbox, outcome_life(q, id), id, event, own_body, io_now_us(q->io));
    outcome_added(q);
}

void queue_defer(struct queue *q, struct slice id, struct slice record, enum job_class class,
                 int64_t due_ms, struct slice event)
{
    outbox_defer(&q->outbox, outcome_life(q, id), id, record, class, due_ms, event,
                 io_now_us(q->io));
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

void queue_event(struct queue *q, struct slice event)
{
    outbox_event(&q->outbox, slice_cstr(q->life), event, io_now_us(q->io));
    outcome_added(q);
}

size_t queue_backlog(const struct queue *q)
{
    return q->outbox.jobs;
}

void queue_flush(struct queue *q)
{
    struct outbox_batch *b = outbox_first(&q->outbox);

    if (b != NULL) {
        b->since_us = io_now_us(q->io) - QUEUE_BATCH_US;
        outbox_work(q);
    }
}

/* ---- holding ---- */

bool queue_hold_add(struct queue *q, struct queue_hold *hold, struct slice id)
{
    ASSERT(id.len <= sizeof(hold->id));
    hold->id_len = (uint8_t)id.len;
    memcpy(hold->id, id.ptr, id.len);
    hold->node.key = slice_of(hold->id, hold->id_len);
    if (map_find(&q->holds, hold->node.key) != NULL) {
        return false;
    }
    map_insert(&q->holds, &hold->node, hold->node.key);
    return true;
}

void queue_hold_drop(struct queue *q, struct queue_hold *hold)
{
    if (map_find(&q->holds, hold->node.key) == &hold->node) {
        map_remove(&q->holds, &hold->node);
    }
}

/* ---- messages ---- */

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

const struct queue_stats *queue_stats(const struct queue *q)
{
    return &q->stats;
}

/* ---- the tick ---- */

static void connection_close(struct queue *q)
{
    if (!q->gone) {
        q->gone = true;
        redis_close(q->redis);
    }
}

/* Does whatever waits and can be done now. */
static void work(struct queue *q)
{
    if (q->closing && list_empty(&q->outbox.batches)) {
        connection_close(q);
    }
    if (q->gone || !redis_up(q->redis) || q->state != QUEUE_UP) {
        return;
    }
    outbox_work(q);
    for (size_t i = 0; i < QUEUE_CLAIMS && !q->library_loading; i++) {
        if (q->claims[i].active && !q->claims[i].sent) {
            claim_send(&q->claims[i]);
        }
    }
}

/* Follows the node's life; begins to check when there is one. */
static void life_follow(struct queue *q)
{
    char life[NODE_LIFE_MAX];
    uint64_t number = node_life(q->node, life);

    if (number != 0 && number != q->life_number) {
        bool was_up = q->state != QUEUE_DOWN;
        life_change(q, number, life);
        if (was_up) {
            check_begin(q);
        }
    }
    if (q->state == QUEUE_DOWN && q->life_number != 0 && redis_up(q->redis)) {
        check_begin(q);
    }
}

static void on_tick(struct timer *t, int64_t now_us)
{
    struct queue *q = CONTAINER_OF(t, struct queue, tick);

    if (!q->gone) {
        life_follow(q);
        if (now_us >= q->rescan_us) {
            memcpy(q->cursor, "-inf", sizeof("-inf"));
            q->rescan_us = now_us + RESCAN_US;
        }
        queue_discover(q);
    }
    work(q);
    wheel_arm(io_wheel(q->io), &q->tick,
              now_us +
                  (q->state == QUEUE_DOWN && redis_up(q->redis) ? LIFE_POLL_US : QUEUE_POLL_US));
}

static void on_redis_up(void *ctx)
{
    struct queue *q = ctx;

    if (!q->gone) {
        wheel_arm(io_wheel(q->io), &q->tick, 0);
    }
}

static void on_redis_down(void *ctx, int err, const char *why)
{
    (void)err; /* the node's connection reports */
    (void)why;
    go_down(ctx);
}

static void on_redis_closed(void *ctx)
{
    struct queue *q = ctx;
    const struct queue_ops *ops = q->ops;
    void *owner = q->ctx;
    struct wheel *wheel = io_wheel(q->io);

    if (q->outbox.jobs > 0) {
        log_warn("queue: closed with %zu outcomes that Redis did not acknowledge", q->outbox.jobs);
    }
    wheel_disarm(wheel, &q->tick);
    wheel_disarm(wheel, &q->flush);
    wheel_disarm(wheel, &q->drain);
    for (size_t i = 0; i < QUEUE_CLAIMS; i++) {
        claim_fini(&q->claims[i]);
    }
    outbox_fini(&q->outbox);
    map_fini(&q->holds);
    mem_free(q);
    ops->on_closed(owner);
}

static const struct redis_ops redis_ops = {
    .on_up = on_redis_up,
    .on_down = on_redis_down,
    .on_closed = on_redis_closed,
};

static void on_drain(struct timer *t, int64_t now_us)
{
    (void)now_us;
    connection_close(CONTAINER_OF(t, struct queue, drain));
}

/* ---- beginning and end ---- */

struct queue *queue_new(const struct queue_options *options, struct buf *why)
{
    struct keys keys;
    struct queue *q;

    if (keys_init(&keys, options->prefix, options->partition) != 0 || options->worker > 255) {
        BUF_LIT(why, "queue.prefix: use 1 to 32 of A-Z a-z 0-9 . _ -; at most 256 workers");
        return NULL;
    }
    q = mem_zalloc(sizeof(*q));
    q->io = options->io;
    q->keys = keys;
    q->node = options->node;
    q->worker = options->worker;
    for (unsigned i = 0; i < QUEUE_CLAIMS; i++) {
        q->claims[i].queue = q;
        q->claims[i].channel = options->worker * QUEUE_CLAIMS + i;
    }
    q->ops = options->ops;
    q->ctx = options->ctx;
    q->events_max_bytes =
        options->events_max_bytes > 0 ? options->events_max_bytes : EVENTS_MAX_BYTES;
    q->event_entry_bytes = EVENT_ENTRY_GUESS;
    map_init(&q->holds);
    outbox_init(&q->outbox, &q->keys, q->worker);
    timer_init(&q->tick, on_tick);
    timer_init(&q->flush, on_flush);
    timer_init(&q->drain, on_drain);
    q->redis = redis_new(q->io, options->url, &redis_ops, q);
    wheel_arm(io_wheel(q->io), &q->tick, 0);
    return q;
}

void queue_close(struct queue *q, int64_t drain_us)
{
    ASSERT(!q->closing);
    q->closing = true;
    claims_cancel(q);
    wheel_arm(io_wheel(q->io), &q->drain, io_now_us(q->io) + drain_us);
    wheel_arm(io_wheel(q->io), &q->tick, 0);
}
