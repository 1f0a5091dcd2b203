/*
 * client.h - a user of a struct redis that records what happens to it.
 */
#ifndef VOLLEY_TEST_QUEUE_CLIENT_H
#define VOLLEY_TEST_QUEUE_CLIENT_H

#include "queue/redis.h"
#include "tests/unit/queue/server.h"

struct client {
    struct io *io;
    struct redis *redis;
    int ups, downs, closes;
    int down_err;
    char why[256];
    bool close_on_down;
    /* answers */
    int answers, errors;
    int64_t last;
    int last_err;
    struct buf text;
    char status[64];
};

static inline void on_up(void *ctx)
{
    ((struct client *)ctx)->ups++;
}

static inline void on_down(void *ctx, int err, const char *why)
{
    struct client *c = ctx;

    assert_false(redis_up(c->redis));
    c->downs++;
    c->down_err = err;
    snprintf(c->why, sizeof(c->why), "%s", why);
    if (c->close_on_down) {
        c->close_on_down = false;
        redis_close(c->redis);
    }
}

static inline void on_closed(void *ctx)
{
    struct client *c = ctx;

    c->closes++;
    c->redis = NULL;
}

static const struct redis_ops client_ops = {
    .on_up = on_up, .on_down = on_down, .on_closed = on_closed};

static inline void on_answer(void *ctx, int err, const struct resp *reply)
{
    struct client *c = ctx;

    assert_int_equal(err != 0, reply == NULL);
    c->answers++;
    c->last_err = err;
    if (err != 0) {
        c->errors++;
        return;
    }
    c->last = reply->integer;
    if (reply->text.len > 0) {
        buf_reset(&c->text);
        buf_puts(&c->text, reply->text);
    }
}

static inline void give(struct client *c, const char *command, int64_t timeout_us)
{
    struct slice rest = slice_cstr(command), argv[16];
    size_t argc = 0;

    while (slice_next(&rest, ' ', &argv[argc])) {
        argc++;
    }
    redis_command(c->redis, argv, argc, timeout_us, on_answer, c);
}

static inline void client_init(struct client *c, struct io *io, const struct redis_url *url)
{
    memset(c, 0, sizeof(*c));
    c->io = io;
    c->redis = redis_new(io, url, &client_ops, c);
}

static inline void client_fini(struct client *c)
{
    if (c->redis != NULL) {
        redis_close(c->redis);
        AWAIT(c->io, c->closes == 1);
    }
    buf_fini(&c->text);
}

/* Each test runs on both backends. */
static inline void both(void (*test)(struct io *io))
{
    static const enum io_backend backends[] = {IO_EPOLL, IO_URING};

    for (size_t i = 0; i < 2; i++) {
        struct io *io = loop_new(backends[i]);
        test(io);
        io_free(io);
    }
}

#endif
