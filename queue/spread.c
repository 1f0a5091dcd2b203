/*
 * spread.c - the functions on the other masters of a Cluster.
 */
#include "queue/spread.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "queue/library.h"

enum { MASTERS_MAX = 256, MASTER_US = 10 * 1000 * 1000 };

struct spread {
    struct io *io;
    void (*on_closed)(void *ctx);
    void *ctx;
    struct redis_url url; /* whose log-in and TLS we use */
    struct place own;     /* the master that asked, and has them */
    struct place *masters;
    size_t count; /* still to be seen to */
    bool asking;  /* who they are */
    struct redis *redis;
    bool leaving; /* `redis` is being closed */
    bool closing;
    struct timer timer; /* limits one master; then the end */
};

static void next(struct spread *s);

static void settle(struct spread *s)
{
    if (!s->closing || s->asking || s->redis != NULL) {
        return;
    }
    void (*on_closed)(void *ctx) = s->on_closed;
    void *ctx = s->ctx;
    wheel_disarm(io_wheel(s->io), &s->timer);
    redis_url_fini(&s->url);
    mem_free(s->masters);
    mem_free(s);
    on_closed(ctx);
}

/* Done with this master, well or not. */
static void leave(struct spread *s)
{
    if (!s->leaving) {
        s->leaving = true;
        redis_close(s->redis);
    }
}

static void on_library(void *ctx, int err, const char *why)
{
    struct spread *s = ctx;

    if (err != 0 && !s->leaving) {
        const struct place *at = redis_place(s->redis);
        log_warn("queue: no functions on the master %s:%u for now: %s", at->host, at->port, why);
    }
    leave(s);
}

static void on_up(void *ctx)
{
    struct spread *s = ctx;

    if (!s->leaving) {
        library_ensure(s->redis, on_library, s);
    }
}

static void on_down(void *ctx, int err, const char *why)
{
    (void)err;
    (void)why;
    leave(ctx);
}

static void on_redis_closed(void *ctx)
{
    struct spread *s = ctx;

    s->redis = NULL;
    if (s->closing) {
        settle(s);
    } else {
        next(s);
    }
}

static const struct redis_ops redis_ops = {
    .on_up = on_up, .on_down = on_down, .on_closed = on_redis_closed};

static void next(struct spread *s)
{
    struct redis_url url;

    wheel_disarm(io_wheel(s->io), &s->timer);
    while (s->count > 0 && place_eq(&s->masters[s->count - 1], &s->own)) {
        s->count--;
    }
    if (s->count == 0) {
        return;
    }
    redis_url_single(&url, &s->url, &s->masters[--s->count], false);
    s->leaving = false;
    s->redis = redis_new(s->io, &url, &redis_ops, s);
    wheel_arm(io_wheel(s->io), &s->timer, io_now_us(s->io) + MASTER_US);
    redis_url_fini(&url);
}

static void on_timer(struct timer *t, int64_t now_us)
{
    struct spread *s = CONTAINER_OF(t, struct spread, timer);

    (void)now_us;
    if (s->redis != NULL) {
        leave(s);
    } else {
        settle(s);
    }
}

static void on_slots(void *ctx, int err, const struct resp *reply)
{
    struct spread *s = ctx;

    s->asking = false;
    if (s->closing) {
        settle(s);
    } else if (err == 0) {
        s->count = topology_read_masters(reply, &s->own, s->masters, MASTERS_MAX);
        next(s);
    }
}

void spread_start(struct spread *s, struct redis *r)
{
    struct slice argv[] = {SLICE("CLUSTER"), SLICE("SLOTS")};

    if (s->asking || s->redis != NULL || s->closing) {
        return;
    }
    if (s->masters == NULL) {
        s->masters = mem_array(MASTERS_MAX, sizeof(*s->masters));
        redis_url_copy(&s->url, redis_address(r));
    }
    s->own = *redis_place(r);
    s->asking = true;
    redis_command(r, argv, 2, 0, on_slots, s);
}

struct spread *spread_new(struct io *io, void (*on_closed)(void *ctx), void *ctx)
{
    struct spread *s = mem_zalloc(sizeof(*s));

    s->io = io;
    s->on_closed = on_closed;
    s->ctx = ctx;
    timer_init(&s->timer, on_timer);
    return s;
}

void spread_close(struct spread *s)
{
    s->closing = true;
    if (s->redis != NULL) {
        leave(s);
    } else if (!s->asking) {
        wheel_arm(io_wheel(s->io), &s->timer, 0); /* not from inside this call */
    }
}
