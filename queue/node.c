/*
 * node.c - this process as one of the engines on a queue.
 *
 *     connected -> library loaded -> registered (a new life) or renewed (the same one) -> up
 *
 * The moment that counts for the lease is the one at which a renewal was sent: Redis' clock
 * cannot have counted from earlier than that.
 */
#include "queue/node.h"
#include "engine/base/err.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "queue/bell.h"
#include "queue/clock.h"
#include "queue/fcall.h"
#include "queue/library.h"
#include "queue/promote.h"
#include "queue/spread.h"
#include "queue/stray.h"
#include "queue/replay.h"
#include "queue/retention.h"
#include "queue/takeover.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum {
    NODE_ID_MAX = 64,
    NODE_HOLDER_MAX = 200,
    NODE_NAMES_MAX = 1000,
    NODE_DEAD_MAX = 16,
    NODE_CLOSE_US = 5 * 1000 * 1000,
    NODE_EXPIRES_MS = 2 * 86400 * 1000,
};

struct node {
    struct io *io;
    struct keys keys;
    char id[NODE_ID_MAX + 1];
    char *holder;
    char **names;
    size_t name_count;
    int64_t expires_ms;
    uint64_t max_memory;
    uint64_t max_jobs;
    unsigned high_share;
    bool single_node;
    int64_t lease_us;
    struct replay *replay;
    const struct node_ops *ops;
    void *ctx;

    struct queue_clock clock;
    _Atomic int64_t offset_us, expiry_offset_us; /* of the clock, for other threads */
    _Atomic bool clock_known;
    _Atomic uint64_t epoch; /* 0: no life */
    _Atomic bool leave_owned;
    _Atomic int64_t renewed_us; /* when the last renewal that succeeded was sent */

    struct redis *redis;
    struct bell *bell;
    struct promote promote;
    struct retention retention;
    struct strays strays;
    struct spread *spread; /* of a Cluster; else NULL */
    struct timer renew;
    struct timer close_by;
    int64_t sent_us; /* of the renewal under way */
    bool renewing;
    bool up;   /* on_up was called, on_down not yet */
    bool told; /* on_down was called, on_up not yet */
    bool fatal;
    bool closing;
    bool leaving;  /* returning what the own life still owns */
    unsigned open; /* connections whose on_closed has to come */
    struct takeover *takeover;
    char dead[NODE_DEAD_MAX][NODE_LIFE_MAX]; /* lives still to be taken over */
    size_t dead_count;
};

static void leave(struct node *n);
static void renew_ask(struct node *n);
static void takeover_next(struct node *n);

/* ---- asked by any thread ---- */

uint64_t node_life(const struct node *n, char out[NODE_LIFE_MAX])
{
    uint64_t epoch = atomic_load_explicit(&n->epoch, memory_order_acquire);

    if (epoch == 0) {
        out[0] = '\0';
    } else {
        snprintf(out, NODE_LIFE_MAX, "%s:%lu", n->id, (unsigned long)epoch);
    }
    return epoch;
}

uint64_t node_epoch(const struct node *n)
{
    return atomic_load_explicit(&n->epoch, memory_order_acquire);
}

/* For how long, at most, Redis has counted since the last renewal. */
static int64_t node_unrenewed_us(const struct node *n, int64_t now_us)
{
    return now_us - atomic_load_explicit(&n->renewed_us, memory_order_acquire);
}

void node_leave_owned(struct node *n)
{
    atomic_store_explicit(&n->leave_owned, true, memory_order_release);
}

struct strays *node_strays(struct node *n)
{
    return &n->strays;
}

bool node_may_start(const struct node *n, int64_t now_us)
{
    if (atomic_load_explicit(&n->epoch, memory_order_acquire) == 0) {
        return false;
    }
    return n->single_node || node_unrenewed_us(n, now_us) < n->lease_us / 3 * 2;
}

bool node_owns(const struct node *n, int64_t now_us)
{
    return n->single_node || node_unrenewed_us(n, now_us) < n->lease_us;
}

bool node_clock(const struct node *n, int64_t *offset_us, int64_t *expiry_offset_us)
{
    *offset_us = atomic_load_explicit(&n->offset_us, memory_order_relaxed);
    *expiry_offset_us = atomic_load_explicit(&n->expiry_offset_us, memory_order_relaxed);
    return atomic_load_explicit(&n->clock_known, memory_order_acquire);
}

/* ---- the clock ---- */

static void on_clock(void *ctx, int64_t redis_us)
{
    struct node *n = ctx;

    if (queue_clock_hear(&n->clock, redis_us, io_now_us(n->io))) {
        log_warn("the clock of Redis jumped ahead; for %d minutes no job expires by it",
                 CLOCK_DOUBT_US / 60000000);
    }
    atomic_store_explicit(&n->offset_us, n->clock.offset_us, memory_order_relaxed);
    atomic_store_explicit(&n->expiry_offset_us, n->clock.expiry_offset_us, memory_order_relaxed);
    atomic_store_explicit(&n->clock_known, true, memory_order_release);
}

/* The answer to TIME: seconds and microseconds. */
static void on_time(void *ctx, int err, const struct resp *reply)
{
    int64_t seconds, micros;

    if (err == 0 && reply->type == RESP_ARRAY && reply->count == 2 &&
        resp_int(&reply->items[0], &seconds) == 0 && resp_int(&reply->items[1], &micros) == 0 &&
        seconds > 0 && seconds < INT64_MAX / 2000000) {
        on_clock(ctx, seconds * 1000000 + micros);
    }
}

/* ---- up, down, fatal ---- */

static void node_down(struct node *n, const char *why)
{
    promote_stop(&n->promote);
    retention_stop(&n->retention);
    strays_stop(&n->strays);
    wheel_disarm(io_wheel(n->io), &n->renew);
    n->renewing = false;
    n->up = false;
    if (!n->told && !n->closing && !n->fatal) {
        n->told = true;
        n->ops->on_down(n->ctx, why);
    }
}

static void node_fatal(struct node *n, const char *why)
{
    if (!n->fatal && !n->closing) {
        n->fatal = true;
        n->ops->on_fatal(n->ctx, why);
    }
}

/* The renewal, or registration, sent at n->sent_us succeeded. */
static void node_alive(struct node *n)
{
    n->renewing = false;
    atomic_store_explicit(&n->renewed_us, n->sent_us, memory_order_release);
    wheel_arm(io_wheel(n->io), &n->renew, n->sent_us + n->lease_us / 3);
    promote_start(&n->promote);
    retention_start(&n->retention);
    if (!n->up) {
        n->up = true;
        n->told = false;
        n->ops->on_up(n->ctx);
    }
}

/* ---- registering ---- */

static void on_registered(void *ctx, int err, const struct resp *reply)
{
    struct node *n = ctx;

    if (err != 0 || n->closing) {
        return;
    }
    if (reply->type == RESP_INTEGER) {
        atomic_store_explicit(&n->epoch, (uint64_t)reply->integer, memory_order_release);
        node_alive(n);
        renew_ask(n); /* its answer names the lives to take over */
        return;
    }
    if (resp_is_error(reply, SLICE("VOLLEYHELD"))) {
        node_fatal(n, reply->text.ptr + sizeof("VOLLEYHELD ") - 1);
        return;
    }
    redis_reset(n->redis, ERR_AGAIN, reply->type == RESP_ERROR ? reply->text.ptr : "no epoch");
}

static void put_setting(struct buf *out, struct slice name, uint64_t value)
{
    resp_put_arg(out, name);
    resp_put_u64(out, value);
}

static void register_ask(struct node *n)
{
    enum { SETTINGS = 5 };
    static const struct slice time = {"TIME", 4};
    redis_command(n->redis, &time, 1, 0, on_time, n); /* known before there is a life */
    struct buf *out = redis_begin(n->redis);

    n->sent_us = io_now_us(n->io);
    fcall_begin(out, SLICE("register"), 2, 2 + 2 * SETTINGS + 1 + n->name_count);
    keys_put_arg(out, &n->keys, SLICE("meta"));
    keys_put_arg(out, &n->keys, SLICE("nodes"));
    resp_put_arg(out, slice_cstr(n->id));
    resp_put_arg(out, slice_cstr(n->holder));
    put_setting(out, SLICE("expires"), (uint64_t)n->expires_ms);
    put_setting(out, SLICE("max_memory"), n->max_memory);
    put_setting(out, SLICE("max_jobs"), n->max_jobs);
    put_setting(out, SLICE("lease"), (uint64_t)n->lease_us / 1000);
    put_setting(out, SLICE("high_share"), n->high_share);
    resp_put_arg(out, SLICE_NONE);
    for (size_t i = 0; i < n->name_count; i++) {
        resp_put_arg(out, slice_cstr(n->names[i]));
    }
    redis_end(n->redis, 0, on_registered, n);
}

/* ---- renewing ---- */

static void dead_note(struct node *n, const struct resp *lives)
{
    n->dead_count = 0;
    for (size_t i = 0; i < lives->count && n->dead_count < NODE_DEAD_MAX; i++) {
        struct slice life = lives->items[i].text;
        if (life.len > 0 && life.len < NODE_LIFE_MAX) {
            memcpy(n->dead[n->dead_count], life.ptr, life.len);
            n->dead[n->dead_count][life.len] = '\0';
            n->dead_count++;
        }
    }
}

/* Back after a break, under the same life. */
static void strays_look(struct node *n)
{
    char life[NODE_LIFE_MAX];

    if (!n->up && node_life(n, life) != 0) {
        strays_start(&n->strays, slice_cstr(life));
    }
}

static void on_renewed(void *ctx, int err, const struct resp *reply)
{
    struct node *n = ctx;

    if (err != 0 || n->closing) {
        return;
    }
    switch (fcall_judge(reply)) {
    case FCALL_OK:
        strays_look(n);
        node_alive(n);
        if (reply->type == RESP_ARRAY && n->takeover == NULL) {
            dead_note(n, reply);
            takeover_next(n);
        }
        return;
    case FCALL_FENCED:
        log_warn("queue: the lease of node %s ended; what it had claimed went to others", n->id);
        atomic_store_explicit(&n->epoch, 0, memory_order_release);
        register_ask(n);
        return;
    case FCALL_NO_LIBRARY:
    case FCALL_LATER:
    case FCALL_FAILED:
        redis_reset(n->redis, ERR_AGAIN, reply->text.ptr);
        return;
    }
}

static void renew_ask(struct node *n)
{
    char life[NODE_LIFE_MAX];
    struct buf *out = redis_begin(n->redis);

    node_life(n, life);
    n->renewing = true;
    n->sent_us = io_now_us(n->io);
    fcall_begin(out, SLICE("renew"), 1, 2);
    keys_put_arg(out, &n->keys, SLICE("nodes"));
    resp_put_arg(out, slice_cstr(life));
    resp_put_u64(out, (uint64_t)n->lease_us / 1000);
    redis_end(n->redis, n->lease_us / 3 * 2, on_renewed, n);
}

static void on_renew_timer(struct timer *t, int64_t now_us)
{
    struct node *n = CONTAINER_OF(t, struct node, renew);

    (void)now_us;
    if (n->up && !n->renewing && !n->closing && redis_up(n->redis)) {
        renew_ask(n);
    }
}

/* ---- taking over ---- */

static void on_taken_over(void *ctx, int err, uint64_t returned)
{
    struct node *n = ctx;

    n->takeover = NULL;
    if (returned > 0) {
        log_info("queue: %lu jobs of %s returned to the queue", (unsigned long)returned,
                 n->dead[n->dead_count]);
    }
    if (n->closing) {
        leave(n);
    } else if (err == 0) {
        takeover_next(n); /* an error: the next renewal names them again */
    }
}

static void takeover_next(struct node *n)
{
    char life[NODE_LIFE_MAX];

    if (n->dead_count == 0 || n->takeover != NULL || n->closing || !redis_up(n->redis)) {
        return;
    }
    node_life(n, life);
    n->dead_count--;
    n->takeover = takeover_start(n->redis, &n->keys, slice_cstr(life),
                                 slice_cstr(n->dead[n->dead_count]), on_taken_over, n);
}

/* ---- the connection ---- */

/* The former life said all it had to say: its jobs may go back to the queue. */
static void on_replayed(void *ctx)
{
    struct node *n = ctx;

    if (!n->closing) {
        register_ask(n);
    }
}

static void on_library(void *ctx, int err, const char *why)
{
    struct node *n = ctx;

    if (n->closing) {
        return;
    }
    if (err == 0 && n->spread != NULL) {
        spread_start(n->spread, n->redis);
    }
    if (err == ERR_INVALID) {
        node_fatal(n, why);
    } else if (err != 0) {
        if (redis_up(n->redis)) {
            redis_reset(n->redis, err, why);
        }
    } else if (n->replay != NULL && !replay_over(n->replay)) {
        replay_start(n->replay, n->redis, &n->keys, on_replayed, n);
    } else if (atomic_load(&n->epoch) == 0) {
        register_ask(n);
    } else {
        renew_ask(n);
    }
}

static void on_redis_up(void *ctx)
{
    struct node *n = ctx;

    if (!n->closing && !n->fatal) {
        library_ensure(n->redis, on_library, n);
    }
}

static void on_redis_down(void *ctx, int err, const char *why)
{
    (void)err;
    node_down(ctx, why);
}

static void part_closed(void *ctx)
{
    struct node *n = ctx;

    if (--n->open > 0) {
        return;
    }
    const struct node_ops *ops = n->ops;
    void *owner = n->ctx;
    for (size_t i = 0; i < n->name_count; i++) {
        mem_free(n->names[i]);
    }
    mem_free(n->names);
    mem_free(n->holder);
    strays_fini(&n->strays);
    mem_free(n);
    ops->on_closed(owner);
}

static const struct redis_ops redis_ops = {
    .on_up = on_redis_up,
    .on_down = on_redis_down,
    .on_closed = part_closed,
};

static void on_ring(void *ctx, struct slice list)
{
    struct node *n = ctx;

    if (!n->closing) {
        n->ops->on_bell(n->ctx, list);
    }
}

static const struct bell_ops bell_ops = {.on_ring = on_ring, .on_closed = part_closed};

/* ---- beginning and end ---- */

static void on_close_by(struct timer *t, int64_t now_us);

static bool options_valid(const struct node_options *o, struct keys *keys, struct buf *why)
{
    struct list_name parsed;
    struct buf probe = BUF_EMPTY;

    /* A node's name is of the same kind as a tenant's. */
    BUF_LIT(&probe, "in:bulk:default:");
    buf_puts(&probe, o->id);
    bool id_ok =
        slice_find(o->id, ':') == o->id.len && list_name_parse(&parsed, buf_slice(&probe)) == 0;
    buf_fini(&probe);
    if (!id_ok) {
        BUF_LIT(why, "node id: use 1 to 64 of A-Z a-z 0-9 . _ -");
    } else if (keys_init(keys, o->prefix, o->partition) != 0) {
        BUF_LIT(why, "queue.prefix: use 1 to 32 of A-Z a-z 0-9 . _ -, partitions 0 to 1023");
    } else if (o->holder.len == 0 || o->holder.len > NODE_HOLDER_MAX ||
               o->name_count > NODE_NAMES_MAX) {
        BUF_LIT(why, "node: holder of 1 to 200 bytes, at most 1000 pools, sources and routes");
    } else {
        return true;
    }
    return false;
}

struct node *node_new(const struct node_options *options, struct buf *why)
{
    struct keys keys;
    struct node *n;

    if (!options_valid(options, &keys, why)) {
        return NULL;
    }
    n = mem_zalloc(sizeof(*n));
    n->io = options->io;
    n->keys = keys;
    memcpy(n->id, options->id.ptr, options->id.len);
    n->holder = slice_dup(options->holder);
    n->names = mem_array(options->name_count + 1, sizeof(*n->names));
    for (size_t i = 0; i < options->name_count; i++) {
        n->names[n->name_count++] = slice_dup(options->names[i]);
    }
    n->expires_ms = options->expires_ms > 0 ? options->expires_ms : NODE_EXPIRES_MS;
    n->max_memory = options->max_memory;
    n->max_jobs = options->max_jobs;
    n->high_share = options->high_share > 0 ? options->high_share : 100;
    n->single_node = options->single_node;
    n->lease_us = options->lease_us > 0 ? options->lease_us : NODE_LEASE_US;
    n->replay = options->replay;
    n->ops = options->ops;
    n->ctx = options->ctx;
    timer_init(&n->renew, on_renew_timer);
    timer_init(&n->close_by, on_close_by);
    n->open = 2;
    n->redis = redis_new(n->io, options->url, &redis_ops, n);
    n->bell = bell_new(n->io, options->url, &n->keys, &bell_ops, n);
    if (options->url->kind == REDIS_CLUSTER) {
        n->open++;
        n->spread = spread_new(n->io, part_closed, n);
    }
    strays_init(&n->strays, n->io, n->redis, &n->keys);
    promote_init(&n->promote, n->io, n->redis, &n->keys, on_clock, n);
    retention_init(&n->retention, n->io, n->redis, &n->keys, n->id, options->events_max_bytes);
    return n;
}

static void close_connections(struct node *n)
{
    if (n->leaving) {
        n->leaving = false;
        wheel_disarm(io_wheel(n->io), &n->close_by);
        redis_close(n->redis);
    }
}

static void on_close_by(struct timer *t, int64_t now_us)
{
    (void)now_us;
    close_connections(CONTAINER_OF(t, struct node, close_by));
}

static void on_left(void *ctx, int err, uint64_t returned)
{
    struct node *n = ctx;

    (void)err; /* what could not be returned now is taken over later */
    n->takeover = NULL;
    if (returned > 0) {
        log_info("queue: %lu jobs returned to the queue", (unsigned long)returned);
    }
    close_connections(n);
}

/* Returns what the own life owns, then closes the connection. */
static void leave(struct node *n)
{
    char life[NODE_LIFE_MAX];

    if (node_life(n, life) != 0 && redis_up(n->redis) &&
        !atomic_load_explicit(&n->leave_owned, memory_order_acquire)) {
        atomic_store_explicit(&n->epoch, 0, memory_order_release);
        n->takeover =
            takeover_start(n->redis, &n->keys, slice_cstr(life), slice_cstr(life), on_left, n);
    } else {
        close_connections(n);
    }
}

void node_close(struct node *n)
{
    ASSERT(!n->closing);
    n->closing = true;
    n->leaving = true;
    if (n->spread != NULL) {
        spread_close(n->spread);
    }
    promote_stop(&n->promote);
    retention_stop(&n->retention);
    strays_stop(&n->strays);
    wheel_disarm(io_wheel(n->io), &n->renew);
    wheel_arm(io_wheel(n->io), &n->close_by, io_now_us(n->io) + NODE_CLOSE_US);
    bell_close(n->bell);
    if (n->takeover == NULL) { /* else when that has ended */
        leave(n);
    }
}
