/*
 * promote.c - moving due jobs back to their lists.
 */
#include "queue/promote.h"
#include "engine/base/log.h"
#include "queue/fcall.h"
#include "queue/library.h"

#include <string.h>

enum {
    PROMOTE_JOBS = 200,
    PROMOTE_POLL_US = 250 * 1000,
    PROMOTE_SOON_US = 2 * 1000,
    DUE_KEYS = 4,
    FIXED_KEYS = 9,
    DUE_REPLY_HEAD = 3, /* now, next, how many */
};

static const struct slice fixed_keys[FIXED_KEYS] = {
    {"due:high", 8}, {"due:normal", 10}, {"due:bulk", 8},     {"site", 4},     {"bins", 4},
    {"meta", 4},     {"bell:high", 9},   {"bell:normal", 11}, {"bell:bulk", 9}};

static void again(struct promote *p, int64_t in_us)
{
    p->asking = false;
    if (p->running) {
        wheel_arm(io_wheel(p->io), &p->timer, io_now_us(p->io) + in_us);
    }
}

static void on_library(void *ctx, int err, const char *why)
{
    struct promote *p = ctx;

    if (err != 0 && p->running) {
        log_warn("queue: %s", why);
    }
    again(p, PROMOTE_POLL_US);
}

/* What an error that Redis answered leads to; false when there was none. */
static bool has_failed(struct promote *p, int err, const struct resp *reply)
{
    if (err != 0) {
        again(p, PROMOTE_POLL_US);
        return true;
    }
    switch (fcall_judge(reply)) {
    case FCALL_OK:
        return false;
    case FCALL_NO_LIBRARY:
        /* Whoever else calls functions may be idle: this is where their loss shows first. */
        library_ensure(p->redis, on_library, p);
        return true;
    case FCALL_FAILED:
        log_warn("queue: promoting due jobs failed: %s", reply->text.ptr);
        break;
    case FCALL_LATER:
    case FCALL_FENCED:
        break;
    }
    again(p, PROMOTE_POLL_US);
    return true;
}

static void on_promoted(void *ctx, int err, const struct resp *reply)
{
    struct promote *p = ctx;

    if (has_failed(p, err, reply)) {
        return;
    }
    bool moved = reply->type == RESP_INTEGER && reply->integer > 0;
    if (moved) {
        p->promoted += (uint64_t)reply->integer;
    }
    again(p, moved && p->full ? 0 : p->next_in_us);
}

/* Until the next job is due, as the answer to `due` says. */
static int64_t next_in_us(const struct resp *reply)
{
    int64_t now_ms = reply->items[0].integer, next_ms = reply->items[1].integer;

    if (next_ms <= 0 || next_ms - now_ms >= PROMOTE_POLL_US / 1000) {
        return PROMOTE_POLL_US;
    }
    return next_ms > now_ms ? (next_ms - now_ms) * 1000 : PROMOTE_SOON_US;
}

static void on_due(void *ctx, int err, const struct resp *reply)
{
    struct promote *p = ctx;

    if (has_failed(p, err, reply)) {
        return;
    }
    if (reply->type != RESP_ARRAY || reply->count < DUE_REPLY_HEAD) {
        again(p, PROMOTE_POLL_US);
        return;
    }
    p->heard(p->ctx, reply->items[0].integer * 1000);
    p->next_in_us = next_in_us(reply);
    p->full = reply->items[2].integer >= PROMOTE_JOBS;
    if (reply->items[2].integer == 0 || !p->running) {
        again(p, p->next_in_us);
        return;
    }
    size_t lists = reply->count - DUE_REPLY_HEAD;
    struct buf *out = redis_begin(p->redis);
    fcall_begin(out, SLICE("promote"), FIXED_KEYS + lists, 1);
    for (size_t i = 0; i < FIXED_KEYS; i++) {
        keys_put_arg(out, p->keys, fixed_keys[i]);
    }
    for (size_t i = 0; i < lists; i++) {
        keys_put_arg(out, p->keys, reply->items[DUE_REPLY_HEAD + i].text);
    }
    resp_put_u64(out, PROMOTE_JOBS);
    redis_end(p->redis, 0, on_promoted, p);
}

static void on_timer(struct timer *t, int64_t now_us)
{
    struct promote *p = CONTAINER_OF(t, struct promote, timer);

    (void)now_us;
    if (!p->running || p->asking || !redis_up(p->redis)) {
        return;
    }
    p->asking = true;
    struct buf *out = redis_begin(p->redis);
    fcall_begin(out, SLICE("due"), DUE_KEYS, 1);
    for (size_t i = 0; i < DUE_KEYS; i++) {
        keys_put_arg(out, p->keys, fixed_keys[i]);
    }
    resp_put_u64(out, PROMOTE_JOBS);
    redis_end(p->redis, 0, on_due, p);
}

void promote_init(struct promote *p, struct io *io, struct redis *redis, const struct keys *keys,
                  void (*heard)(void *ctx, int64_t redis_us), void *ctx)
{
    memset(p, 0, sizeof(*p));
    p->io = io;
    p->redis = redis;
    p->keys = keys;
    p->heard = heard;
    p->ctx = ctx;
    timer_init(&p->timer, on_timer);
}

void promote_start(struct promote *p)
{
    p->running = true;
    if (!p->asking) {
        wheel_arm(io_wheel(p->io), &p->timer, 0);
    }
}

void promote_stop(struct promote *p)
{
    p->running = false;
    wheel_disarm(io_wheel(p->io), &p->timer);
}
