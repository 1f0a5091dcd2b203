/*
 * redis.c - one asynchronous connection to Redis on an engine/io loop.
 *
 *     WAITING -> RESOLVING -> CONNECTING -> GREETING -> UP
 *        ^------------ CLOSING <------- any of them ---'
 *
 * Output is double-buffered: commands are appended to one buffer while the other one is being
 * written.  A timer that is due at once closes a tick: it fires after the callbacks of the
 * loop, so that everything they asked for leaves in one write.
 */
#include "queue/redis.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/rng.h"
#include "queue/resolve.h"

#include <stdio.h>
#include <string.h>
#include <sys/un.h>

enum {
    BACKOFF_US_MIN = 50 * 1000,
    BACKOFF_US_MAX = 3 * 1000 * 1000,
    CONNECT_TIMEOUT_US = 10 * 1000 * 1000,
    WAITING_CAP_MIN = 64,
    OUT_KEEP_MAX = 4 * 1024 * 1024, /* a larger output buffer is given back */
    WHY_MAX = 256,
};

enum redis_state {
    REDIS_WAITING, /* for the time of the next try */
    REDIS_RESOLVING,
    REDIS_CONNECTING,
    REDIS_GREETING, /* AUTH, SELECT, PING are on their way */
    REDIS_READY,
    REDIS_CLOSING, /* the stream is; on_close follows */
};

struct redis_call {
    redis_reply_fn *done;
    void *ctx;
    int64_t deadline_us;
};

struct redis {
    struct io *io;
    struct io_stream stream;
    const struct redis_ops *ops;
    void *ctx;
    struct redis_url url;
    enum redis_state state;
    bool ending;      /* redis_close() was called */
    bool stream_open; /* on_close has to come */
    struct resolve *resolve;
    struct iovec sending; /* the write in flight */
    struct buf out[2];
    unsigned gather;          /* out[gather] is appended to; the other one is in flight or empty */
    struct redis_call *calls; /* a ring: oldest at head */
    size_t call_head;
    size_t call_count;
    size_t call_cap; /* a power of two */
    struct resp_reader *reader;
    struct timer flush;
    struct timer deadline;
    struct timer retry;
    int64_t backoff_us;
    int64_t up_since_us;
    struct rng rng;
    char why[WHY_MAX]; /* what broke it */
};

static void connection_fail(struct redis *r, int err, const char *why);

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

/* Answers come in order, so only the oldest call's deadline can matter. */
static void deadline_arm(struct redis *r)
{
    if (r->call_count > 0) {
        wheel_arm(io_wheel(r->io), &r->deadline, call_at(r, 0)->deadline_us);
    } else {
        wheel_disarm(io_wheel(r->io), &r->deadline);
    }
}

static void on_deadline(struct timer *t, int64_t now_us)
{
    struct redis *r = CONTAINER_OF(t, struct redis, deadline);

    (void)now_us;
    connection_fail(r, ERR_TIMEOUT, "no answer in time");
}

/* ---- giving commands ---- */

static void write_start(struct redis *r)
{
    struct buf *full = &r->out[r->gather];

    if (full->len == 0 || io_writing(&r->stream)) {
        return;
    }
    r->gather ^= 1;
    r->sending = (struct iovec){full->ptr, full->len};
    io_write(&r->stream, &r->sending, 1);
}

static void on_flush(struct timer *t, int64_t now_us)
{
    struct redis *r = CONTAINER_OF(t, struct redis, flush);

    (void)now_us;
    if (r->state == REDIS_READY || r->state == REDIS_GREETING) {
        write_start(r);
    }
}

static void call_add(struct redis *r, int64_t timeout_us, redis_reply_fn *done, void *ctx)
{
    struct wheel *wheel = io_wheel(r->io);
    int64_t in_us = timeout_us > 0 ? timeout_us : REDIS_TIMEOUT_US;

    call_push(r, (struct redis_call){done, ctx, io_now_us(r->io) + in_us});
    if (r->call_count == 1) {
        deadline_arm(r);
    }
    if (!timer_armed(&r->flush)) {
        wheel_arm(wheel, &r->flush, 0);
    }
}

struct buf *redis_begin(struct redis *r)
{
    ASSERT(r->state == REDIS_READY);
    return &r->out[r->gather];
}

void redis_end(struct redis *r, int64_t timeout_us, redis_reply_fn *done, void *ctx)
{
    ASSERT(r->state == REDIS_READY);
    call_add(r, timeout_us, done, ctx);
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

/* ---- breaking and ending ---- */

static void redis_destroy(struct redis *r)
{
    const struct redis_ops *ops = r->ops;
    void *ctx = r->ctx;

    wheel_disarm(io_wheel(r->io), &r->flush);
    wheel_disarm(io_wheel(r->io), &r->deadline);
    wheel_disarm(io_wheel(r->io), &r->retry);
    resp_reader_free(r->reader);
    buf_fini(&r->out[0]);
    buf_fini(&r->out[1]);
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
    int64_t jitter = (int64_t)rng_below(&r->rng, (uint64_t)r->backoff_us / 2 + 1);

    r->state = REDIS_WAITING;
    wheel_arm(io_wheel(r->io), &r->retry, io_now_us(r->io) + r->backoff_us * 3 / 4 + jitter);
    r->backoff_us =
        r->backoff_us < BACKOFF_US_MAX / 2 ? r->backoff_us * 2 : (int64_t)BACKOFF_US_MAX;
}

/* The stream is gone, or there never was one. */
static void connection_over(struct redis *r)
{
    buf_reset(&r->out[0]);
    buf_reset(&r->out[1]);
    resp_reader_free(r->reader);
    r->reader = NULL;
    if (r->ending) {
        redis_destroy(r);
    } else {
        retry_arm(r);
    }
}

static void connection_fail(struct redis *r, int err, const char *why)
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
    if (r->stream_open) {
        io_close(&r->stream); /* on_close goes on */
    }
    calls_fail(r, err);
    if (!r->ending) {
        r->ops->on_down(r->ctx, err, r->why);
    }
    if (!r->stream_open) {
        connection_over(r);
    }
}

void redis_reset(struct redis *r, int err, const char *why)
{
    connection_fail(r, err, why);
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
    case REDIS_CONNECTING:
    case REDIS_GREETING:
    case REDIS_READY:
        connection_fail(r, ERR_CANCELED, "closed");
        return;
    case REDIS_CLOSING:
        return;
    }
}

/* ---- greeting ---- */

static void greeting_answer(void *ctx, int err, const struct resp *reply)
{
    struct redis *r = ctx;

    if (err == 0 && reply->type == RESP_ERROR) {
        bool refused = resp_is_error(reply, SLICE("WRONGPASS")) ||
                       resp_is_error(reply, SLICE("NOAUTH")) ||
                       resp_is_error(reply, SLICE("NOPERM"));
        connection_fail(r, refused ? ERR_REFUSED : ERR_AGAIN, reply->text.ptr);
    }
}

static void greeting_done(void *ctx, int err, const struct resp *reply)
{
    struct redis *r = ctx;

    if (err != 0 || reply->type == RESP_ERROR) {
        greeting_answer(ctx, err, reply);
        return;
    }
    r->state = REDIS_READY;
    r->up_since_us = io_now_us(r->io);
    r->ops->on_up(r->ctx);
}

static void greeting_put(struct redis *r, const struct slice *argv, size_t argc,
                         redis_reply_fn *done)
{
    resp_put_command(&r->out[r->gather], argv, argc);
    call_add(r, CONNECT_TIMEOUT_US, done, r);
}

static void greeting_start(struct redis *r)
{
    char db[16];

    r->state = REDIS_GREETING;
    if (r->url.password != NULL) {
        struct slice argv[] = {SLICE("AUTH"), slice_cstr(r->url.user), slice_cstr(r->url.password)};
        if (r->url.user == NULL) {
            argv[1] = argv[2];
        }
        greeting_put(r, argv, r->url.user == NULL ? 2 : 3, greeting_answer);
    }
    if (r->url.db != 0) {
        int len = snprintf(db, sizeof(db), "%u", r->url.db);
        struct slice argv[] = {SLICE("SELECT"), slice_of(db, (size_t)len)};
        greeting_put(r, argv, 2, greeting_answer);
    }
    /* Answered with an error while Redis loads its data. */
    struct slice ping[] = {SLICE("PING")};
    greeting_put(r, ping, 1, greeting_done);
}

/* ---- the stream ---- */

static void on_open(struct io_stream *s, int err)
{
    struct redis *r = CONTAINER_OF(s, struct redis, stream);

    if (err != 0) {
        connection_fail(r, err, err_name(err));
        return;
    }
    greeting_start(r);
}

static bool alive(const struct redis *r)
{
    return r->state == REDIS_READY || r->state == REDIS_GREETING;
}

static void on_read(struct io_stream *s, struct slice data)
{
    struct redis *r = CONTAINER_OF(s, struct redis, stream);
    const struct resp *reply;
    const char *why = "";
    int got = resp_reader_feed(r->reader, data);

    while (got >= 0 && alive(r)) {
        got = resp_reader_next(r->reader, &reply, &why);
        if (got <= 0) {
            break;
        }
        if (r->call_count == 0) {
            got = ERR_PROTO;
            why = "an answer to no command";
            break;
        }
        struct redis_call call = call_pop(r);
        deadline_arm(r);
        call.done(call.ctx, 0, reply);
    }
    if (got < 0 && alive(r)) {
        connection_fail(r, ERR_PROTO, why);
    }
}

static void on_end(struct io_stream *s, int err)
{
    struct redis *r = CONTAINER_OF(s, struct redis, stream);

    connection_fail(r, err != 0 ? err : ERR_CLOSED,
                    err != 0 ? err_name(err) : "Redis closed the connection");
}

static void on_write(struct io_stream *s, int err)
{
    struct redis *r = CONTAINER_OF(s, struct redis, stream);
    struct buf *sent = &r->out[r->gather ^ 1];

    if (err != 0) {
        connection_fail(r, err, err_name(err));
        return;
    }
    if (sent->cap > OUT_KEEP_MAX) {
        buf_fini(sent);
    }
    buf_reset(sent);
    write_start(r);
}

static void on_close(struct io_stream *s)
{
    struct redis *r = CONTAINER_OF(s, struct redis, stream);

    r->stream_open = false;
    connection_over(r);
}

static const struct io_stream_ops stream_ops = {
    .on_open = on_open,
    .on_read = on_read,
    .on_end = on_end,
    .on_write = on_write,
    .on_close = on_close,
};

/* ---- connecting ---- */

static void connect_to(struct redis *r, const struct sockaddr *to, socklen_t len)
{
    struct io_connect_options options = {.timeout_us = CONNECT_TIMEOUT_US};

    r->state = REDIS_CONNECTING;
    r->reader = resp_reader_new();
    int err = io_connect(r->io, &r->stream, &stream_ops, to, len, &options);
    if (err != 0) {
        connection_fail(r, err, err_name(err));
        return;
    }
    r->stream_open = true;
}

static void on_resolved(void *ctx, int err, const union resolve_address *address, socklen_t len,
                        const char *why)
{
    struct redis *r = ctx;
    char text[WHY_MAX];

    r->resolve = NULL;
    if (err != 0) {
        snprintf(text, sizeof(text), "host %s: %s", r->url.host, why);
        connection_fail(r, err, text);
        return;
    }
    connect_to(r, &address->any, len);
}

static void connect_host(struct redis *r)
{
    union resolve_address address;
    socklen_t len = resolve_numeric(r->url.host, r->url.port, &address);

    if (len > 0) {
        connect_to(r, &address.any, len);
        return;
    }
    r->state = REDIS_RESOLVING;
    r->resolve = resolve_start(r->io, r->url.host, r->url.port, on_resolved, r);
    if (r->resolve == NULL) {
        connection_fail(r, ERR_LIMIT, "no descriptor left for the lookup of its name");
    }
}

static void on_retry(struct timer *t, int64_t now_us)
{
    struct redis *r = CONTAINER_OF(t, struct redis, retry);

    (void)now_us;
    if (r->url.path != NULL) {
        struct sockaddr_un to = {.sun_family = AF_UNIX};
        memcpy(to.sun_path, r->url.path, strlen(r->url.path) + 1);
        connect_to(r, (const struct sockaddr *)&to, sizeof(to));
    } else {
        connect_host(r);
    }
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
    r->backoff_us = BACKOFF_US_MIN;
    r->state = REDIS_WAITING;
    wheel_arm(io_wheel(io), &r->retry, 0);
    return r;
}
