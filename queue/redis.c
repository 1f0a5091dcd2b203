/*
 * redis.c - one asynchronous connection to Redis on an engine/io loop: commands and their
 * answers, breaking, ending.
 *
 *     WAITING -> (ASKING) -> (RESOLVING) -> CONNECTING -> GREETING -> READY
 *        ^------------------- CLOSING <------- any of them -----------'
 *
 * Output is double-buffered: commands are appended to one buffer while the other one is being
 * written.  A timer that is due at once closes a tick: it fires after the callbacks of the
 * loop, so that everything they asked for leaves in one write.
 */
#include "queue/redis.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "queue/redis_private.h"

#include <stdio.h>
#include <string.h>

enum {
    BACKOFF_US_MIN = 50 * 1000,
    BACKOFF_US_MAX = 3 * 1000 * 1000,
    /* Where there is another server to go to, it should not have to wait for us. */
    BACKOFF_US_MAX_SET = 1000 * 1000,
    WAITING_CAP_MIN = 64,
};

/* ---- the FIFO of calls ---- */

static struct redis_call *call_at(struct redis *r, size_t i)
{
    return &r->calls[(r->call_head + i) & (r->call_cap - 1)];
}

static void call_push(struct redis *r, struct redis_call call)
{
    if (r->call_count == r->call_cap) {
        size_t cap = r->call_cap > 0 ? r->call_cap * 2 : WAITING_CAP_MIN;
        struct redis_call *calls = mem_array(cap, sizeof(*calls));
        for (size_t i = 0; i < r->call_count; i++) {
            calls[i] = *call_at(r, i);
        }
        mem_free(r->calls);
        r->calls = calls;
        r->call_cap = cap;
        r->call_head = 0;
    }
    r->call_count++;
    *call_at(r, r->call_count - 1) = call;
}

static struct redis_call call_pop(struct redis *r)
{
    struct redis_call call = *call_at(r, 0);

    r->call_head = (r->call_head + 1) & (r->call_cap - 1);
    r->call_count--;
    return call;
}

struct redis_call *redis_call_oldest(struct redis *r)
{
    return r->call_count > 0 ? call_at(r, 0) : NULL;
}

/* Answers come in order, so only the oldest call's deadline can matter. */
static void deadline_arm(struct redis *r)
{
    if (r->call_count > 0) {
        wheel_arm(io_wheel(r->io), &r->deadline, call_at(r, 0)->deadline_us);
    } else {
        wheel_disarm(io_wheel(r->io), &r->deadline);
    }
}

struct redis_call redis_call_take(struct redis *r)
{
    struct redis_call call = call_pop(r);

    deadline_arm(r);
    return call;
}

static void on_deadline(struct timer *t, int64_t now_us)
{
    struct redis *r = CONTAINER_OF(t, struct redis, deadline);

    (void)now_us;
    redis_fail(r, ERR_TIMEOUT, "no answer in time");
}

/* ---- giving commands ---- */

static void on_flush(struct timer *t, int64_t now_us)
{
    struct redis *r = CONTAINER_OF(t, struct redis, flush);

    (void)now_us;
    if (r->state == REDIS_READY || r->state == REDIS_GREETING) {
        redis_stream_write(r);
    }
}

void redis_call_add(struct redis *r, int64_t timeout_us, redis_reply_fn *done, void *ctx)
{
    struct wheel *wheel = io_wheel(r->io);
    int64_t in_us = timeout_us > 0 ? timeout_us : REDIS_TIMEOUT_US, now_us = io_now_us(r->io);

    call_push(r, (struct redis_call){done, ctx, now_us + in_us, now_us});
    if (r->call_count == 1) {
        deadline_arm(r);
        redis_suspect(r);
    }
    if (!timer_armed(&r->flush)) {
        wheel_arm(wheel, &r->flush, 0);
    }
}

struct buf *redis_output(struct redis *r)
{
    return r->line != NULL ? &r->plain_out : &r->wire[r->gather];
}

struct buf *redis_begin(struct redis *r)
{
    ASSERT(r->state == REDIS_READY);
    return redis_output(r);
}

void redis_end(struct redis *r, int64_t timeout_us, redis_reply_fn *done, void *ctx)
{
    ASSERT(r->state == REDIS_READY);
    redis_call_add(r, timeout_us, done, ctx);
}

void redis_command(struct redis *r, const struct slice *argv, size_t argc, int64_t timeout_us,
                   redis_reply_fn *done, void *ctx)
{
    resp_put_command(redis_begin(r), argv, argc);
    redis_end(r, timeout_us, done, ctx);
}

bool redis_up(const struct redis *r)
{
    return r->state == REDIS_READY;
}

size_t redis_pending(const struct redis *r)
{
    return r->call_count;
}

void redis_set_patience(struct redis *r, int64_t patience_us)
{
    r->patience_us = patience_us;
}

const struct place *redis_place(const struct redis *r)
{
    return r->url.path == NULL ? &r->place : NULL;
}

const struct redis_url *redis_address(const struct redis *r)
{
    return &r->url;
}

/* ---- breaking and ending ---- */

static void redis_destroy(struct redis *r)
{
    const struct redis_ops *ops = r->ops;
    void *ctx = r->ctx;
    struct wheel *wheel = io_wheel(r->io);

    wheel_disarm(wheel, &r->flush);
    wheel_disarm(wheel, &r->deadline);
    wheel_disarm(wheel, &r->retry);
    wheel_disarm(wheel, &r->suspect);
    secure_line_free(r->line);
    resp_reader_free(r->reader);
    buf_fini(&r->plain_out);
    buf_fini(&r->plain_in);
    buf_fini(&r->wire[0]);
    buf_fini(&r->wire[1]);
    mem_free(r->calls);
    redis_url_fini(&r->url);
    mem_free(r);
    if (ops->on_closed != NULL) {
        ops->on_closed(ctx);
    }
}

/* Everything that waits for an answer will not get one.  Callbacks cannot add calls: the
 * connection is not up. */
static void calls_fail(struct redis *r, int err)
{
    while (r->call_count > 0) {
        struct redis_call call = call_pop(r);
        call.done(call.ctx, err, NULL);
    }
}

static void retry_arm(struct redis *r)
{
    int64_t max_us = r->url.kind == REDIS_SINGLE ? BACKOFF_US_MAX : BACKOFF_US_MAX_SET;
    int64_t jitter = (int64_t)rng_below(&r->rng, (uint64_t)r->backoff_us / 2 + 1);

    r->state = REDIS_WAITING;
    wheel_arm(io_wheel(r->io), &r->retry, io_now_us(r->io) + r->backoff_us * 3 / 4 + jitter);
    r->backoff_us = r->backoff_us < max_us / 2 ? r->backoff_us * 2 : max_us;
}

void redis_settle(struct redis *r)
{
    if (r->state != REDIS_CLOSING || r->stream_open || r->finder != NULL) {
        return;
    }
    buf_reset(&r->wire[0]);
    buf_reset(&r->wire[1]);
    buf_reset(&r->plain_out);
    buf_reset(&r->plain_in);
    secure_line_free(r->line);
    r->line = NULL;
    resp_reader_free(r->reader);
    r->reader = NULL;
    if (r->ending) {
        redis_destroy(r);
    } else {
        retry_arm(r);
    }
}

static void on_finder_closed(void *ctx)
{
    struct redis *r = ctx;

    r->finder = NULL;
    redis_settle(r);
}

void redis_fail(struct redis *r, int err, const char *why)
{
    if (r->state == REDIS_CLOSING || r->state == REDIS_WAITING) {
        return;
    }
    snprintf(r->why, sizeof(r->why), "%s", why);
    if (r->state == REDIS_READY && io_now_us(r->io) - r->up_since_us >= BACKOFF_US_MAX) {
        r->backoff_us = BACKOFF_US_MIN; /* it had worked for a while */
    }
    r->state = REDIS_CLOSING;
    wheel_disarm(io_wheel(r->io), &r->deadline);
    wheel_disarm(io_wheel(r->io), &r->suspect);
    if (r->stream_open) {
        io_close(&r->stream); /* on_close goes on */
    }
    if (r->finder != NULL) {
        finder_cancel(r->finder, on_finder_closed);
    }
    calls_fail(r, err);
    if (!r->ending) {
        r->ops->on_down(r->ctx, err, r->why);
    }
    redis_settle(r);
}

void redis_reset(struct redis *r, int err, const char *why)
{
    redis_fail(r, err, why);
}

static void on_resolve_closed(void *ctx)
{
    struct redis *r = ctx;

    r->resolve = NULL;
    redis_destroy(r);
}

static void on_end_now(struct timer *t, int64_t now_us)
{
    struct redis *r = CONTAINER_OF(t, struct redis, retry);

    (void)now_us;
    if (r->state == REDIS_WAITING) {
        redis_destroy(r);
    }
}

void redis_close(struct redis *r)
{
    ASSERT(!r->ending);
    r->ending = true;
    switch (r->state) {
    case REDIS_WAITING: /* on_closed comes from the loop, never from inside this call */
        r->retry.fire = on_end_now;
        wheel_arm(io_wheel(r->io), &r->retry, 0);
        return;
    case REDIS_RESOLVING:
        resolve_cancel(r->resolve, on_resolve_closed);
        return;
    case REDIS_ASKING: /* the finder has a connection to close, which the loop does */
    case REDIS_CONNECTING:
    case REDIS_GREETING:
    case REDIS_READY:
        redis_fail(r, ERR_CANCELED, "closed");
        return;
    case REDIS_CLOSING:
        return;
    }
}

static void on_retry(struct timer *t, int64_t now_us)
{
    (void)now_us;
    redis_connect(CONTAINER_OF(t, struct redis, retry));
}

struct redis *redis_new(struct io *io, const struct redis_url *url, const struct redis_ops *ops,
                        void *ctx)
{
    struct redis *r = mem_zalloc(sizeof(*r));

    r->io = io;
    r->ops = ops;
    r->ctx = ctx;
    redis_url_copy(&r->url, url);
    rng_seed_os(&r->rng);
    timer_init(&r->flush, on_flush);
    timer_init(&r->deadline, on_deadline);
    timer_init(&r->retry, on_retry);
    redis_connect_init(r);
    r->patience_us = REDIS_PATIENCE_US;
    r->backoff_us = BACKOFF_US_MIN;
    r->state = REDIS_WAITING;
    wheel_arm(io_wheel(io), &r->retry, 0);
    return r;
}
