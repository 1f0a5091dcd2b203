/*
 * retention.c - keeps the stream of events within its size.
 */
#include "queue/retention.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "queue/fcall.h"

#include <string.h>

enum {
    EVERY_US = 1000 * 1000,
    MORE_US = 5 * 1000, /* while there is more to drop */
    SAY_US = 60 * 1000 * 1000,
    ANSWER = 3,
};

static const uint64_t default_max_bytes = UINT64_C(1) << 30;

static void again(struct retention *r, int64_t in_us)
{
    r->asking = false;
    if (r->running) {
        wheel_arm(io_wheel(r->io), &r->timer, io_now_us(r->io) + in_us);
    }
}

static void note_loss(struct retention *r, int64_t lost)
{
    int64_t now_us = io_now_us(r->io);

    r->lost += (uint64_t)lost;
    r->unsaid += (uint64_t)lost;
    if (r->unsaid > 0 && (r->said_us == 0 || now_us - r->said_us >= SAY_US)) {
        log_warn("the stream of events is full (events.redis.max_bytes): %llu events were dropped "
                 "that not everybody had read",
                 (unsigned long long)r->unsaid);
        r->said_us = now_us;
        r->unsaid = 0;
    }
}

static void on_retained(void *ctx, int err, const struct resp *reply)
{
    struct retention *r = ctx;
    int64_t dropped, lost, more;

    if (err == 0 && reply->type == RESP_ARRAY && reply->count == ANSWER &&
        resp_int(&reply->items[0], &dropped) == 0 && resp_int(&reply->items[1], &lost) == 0 &&
        resp_int(&reply->items[2], &more) == 0) {
        note_loss(r, lost > 0 ? lost : 0);
        again(r, more > 0 ? MORE_US : EVERY_US);
        return;
    }
    if (err == 0 && fcall_judge(reply) == FCALL_FAILED) {
        log_warn("queue: the stream of events could not be trimmed: %s", reply->text.ptr);
    }
    again(r, EVERY_US); /* promotion puts functions back that went away */
}

static void on_timer(struct timer *t, int64_t now_us)
{
    struct retention *r = CONTAINER_OF(t, struct retention, timer);
    char stamp[CLOCK_RFC3339_LEN + 1];

    (void)now_us;
    if (!r->running || r->asking || !redis_up(r->redis)) {
        return;
    }
    r->asking = true;
    clock_format(stamp, clock_wall_us());
    struct buf *out = redis_begin(r->redis);
    fcall_begin(out, SLICE("retain"), 2, 3);
    keys_put_arg(out, r->keys, SLICE("events"));
    keys_put_arg(out, r->keys, SLICE("meta"));
    resp_put_u64(out, r->max_bytes);
    resp_put_arg(out, slice_cstr(stamp));
    resp_put_arg(out, slice_cstr(r->node));
    redis_end(r->redis, 0, on_retained, r);
}

void retention_init(struct retention *r, struct io *io, struct redis *redis,
                    const struct keys *keys, const char *node, uint64_t max_bytes)
{
    memset(r, 0, sizeof(*r));
    r->io = io;
    r->redis = redis;
    r->keys = keys;
    r->node = node;
    r->max_bytes = max_bytes > 0 ? max_bytes : default_max_bytes;
    timer_init(&r->timer, on_timer);
}

void retention_start(struct retention *r)
{
    r->running = true;
    if (!r->asking && !timer_armed(&r->timer)) {
        wheel_arm(io_wheel(r->io), &r->timer, io_now_us(r->io) + EVERY_US);
    }
}

void retention_stop(struct retention *r)
{
    r->running = false;
    wheel_disarm(io_wheel(r->io), &r->timer);
}
