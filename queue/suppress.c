/*
 * suppress.c - the suppression list as one worker asks it.
 */
#include "queue/suppress.h"

#include "engine/base/err.h"
#include "engine/base/list.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/base/panic.h"
#include "queue/fcall.h"
#include "queue/library.h"

#include <string.h>

enum {
    CLOSE_US = 1000 * 1000,
    ADD_BATCH = 50,
    ADD_AGAIN_US = 1000 * 1000,
    COMPLAIN_US = 60 * 1000 * 1000,
};

/* An address on its way into the list. */
struct addition {
    struct list link;
    struct slice tenant, address, reason; /* into `text` */
    uint64_t expires_s;
    char text[];
};

struct suppress {
    struct io *io;
    struct redis *redis;
    const struct suppress_ops *ops;
    void *ctx;
    struct buf base; /* "volley:suppress:{list}:" */
    uint64_t number; /* of the list; 0: it is empty */
    bool known;      /* asked since the connection stands */
    bool ever;       /* asked at all */
    bool polling;
    bool closing;
    bool gone;
    bool library_loading;
    int64_t complained_us;

    struct list additions;
    size_t addition_count;
    size_t adding; /* of them, under way: the first ones */
    size_t singly; /* of them, to be given one by one: together they were refused */
    int64_t add_not_before_us;

    struct timer tick;
    struct timer close_by;
};

struct question {
    suppress_reply_fn *done;
    void *ctx;
    struct suppress *suppress;
    size_t count;
    bool second; /* the tenant's list is what is answered next */
    bool failed; /* done was called with an error */
};

static void put_key(struct buf *out, const struct suppress *s, struct slice rest, struct slice more)
{
    buf_putc(out, '$');
    buf_putu(out, s->base.len + rest.len + more.len);
    BUF_LIT(out, "\r\n");
    buf_puts(out, buf_slice(&s->base));
    buf_puts(out, rest);
    buf_puts(out, more);
    BUF_LIT(out, "\r\n");
}

/* What is wrong with the list would be said for each letter. */
static void complain(struct suppress *s, struct slice text)
{
    int64_t now_us = io_now_us(s->io);

    if (s->complained_us == 0 || now_us - s->complained_us >= COMPLAIN_US) {
        s->complained_us = now_us;
        log_error("the suppression list cannot be read, letters wait: " SLICE_FMT, SLICE_ARG(text));
    }
}

/* ---- the number ---- */

static void on_number(void *ctx, int err, const struct resp *reply)
{
    struct suppress *s = ctx;
    int64_t number = 0;

    s->polling = false;
    if (err != 0 || s->closing) {
        return;
    }
    if (reply->type != RESP_NIL && (resp_int(reply, &number) != 0 || number < 0)) {
        complain(s, reply->text);
        return;
    }
    bool first = !s->known;
    s->number = (uint64_t)number;
    s->known = true;
    s->ever = true;
    if (first) {
        s->ops->on_ready(s->ctx);
    }
}

static void poll_number(struct suppress *s)
{
    struct buf *out = redis_begin(s->redis);

    s->polling = true;
    resp_put_count(out, 3);
    resp_put_arg(out, SLICE("HGET"));
    put_key(out, s, SLICE("meta"), SLICE_NONE);
    resp_put_arg(out, SLICE("seq"));
    redis_end(s->redis, 0, on_number, s);
}

bool suppress_fresh(const struct suppress *s, const struct suppress_mark *mark, int64_t now_us)
{
    if (s->ever && (s->number == 0 || s->number == mark->number)) {
        return true;
    }
    return mark->at_us != 0 && now_us - mark->at_us < SUPPRESS_POLL_US;
}

/* ---- asking ---- */

static void on_answer(void *ctx, int err, const struct resp *reply)
{
    struct question *q = ctx;
    bool last = q->second;

    q->second = true;
    if (err == 0 && (reply->type != RESP_ARRAY || reply->count != q->count)) {
        complain(q->suppress, reply->text);
        err = ERR_PROTO;
    }
    if (!q->failed) {
        q->failed = err != 0;
        q->done(q->ctx, err, err == 0 ? reply : NULL, last || err != 0);
    }
    if (last) {
        mem_free(q);
    }
}

static void put_question(struct suppress *s, struct question *q, struct slice tenant,
                         const struct slice *addresses, size_t count)
{
    struct buf *out = redis_begin(s->redis);

    resp_put_count(out, 2 + count);
    resp_put_arg(out, SLICE("HMGET"));
    put_key(out, s, SLICE("of:"), tenant);
    for (size_t i = 0; i < count; i++) {
        resp_put_arg(out, addresses[i]);
    }
    redis_end(s->redis, 0, on_answer, q);
}

int suppress_ask(struct suppress *s, struct slice tenant, const struct slice *addresses,
                 size_t count, struct suppress_mark *mark, suppress_reply_fn *done, void *ctx)
{
    ASSERT(count > 0 && count <= SUPPRESS_ASK_MAX);
    if (!s->known || s->closing || !redis_up(s->redis)) {
        return ERR_AGAIN;
    }
    struct question *q = mem_zalloc(sizeof(*q));
    q->done = done;
    q->ctx = ctx;
    q->suppress = s;
    q->count = count;
    *mark = (struct suppress_mark){s->number, io_now_us(s->io)};
    put_question(s, q, SLICE("*"), addresses, count);
    put_question(s, q, tenant, addresses, count);
    return 0;
}

/* ---- adding ---- */

static void on_library(void *ctx, int err, const char *why)
{
    struct suppress *s = ctx;

    s->library_loading = false;
    if (err != 0) {
        log_error("queue: %s", why);
    }
}

static void additions_drop(struct suppress *s, size_t count)
{
    while (count-- > 0) {
        struct list *first = list_first(&s->additions);
        list_remove(first);
        mem_free(CONTAINER_OF(first, struct addition, link));
        s->addition_count--;
        s->singly -= s->singly > 0;
    }
}

static void close_connection(struct suppress *s)
{
    if (!s->gone) {
        s->gone = true;
        redis_close(s->redis);
    }
}

static void additions_send(struct suppress *s);

static void on_added(void *ctx, int err, const struct resp *reply)
{
    struct suppress *s = ctx;
    size_t count = s->adding;

    s->adding = 0;
    if (err != 0) {
        return; /* given again when it is back: adding twice is adding once */
    }
    switch (fcall_judge(reply)) {
    case FCALL_OK:
        additions_drop(s, count);
        break;
    case FCALL_NO_LIBRARY:
        s->add_not_before_us = io_now_us(s->io) + ADD_AGAIN_US;
        if (!s->library_loading && !s->closing) {
            s->library_loading = true;
            library_ensure(s->redis, on_library, s);
        }
        break;
    case FCALL_LATER:
        s->add_not_before_us = io_now_us(s->io) + ADD_AGAIN_US;
        break;
    case FCALL_FENCED:
    case FCALL_FAILED:
        if (count > 1) { /* one of them is bad: a record that somebody else wrote */
            s->singly = count;
            break;
        }
        log_error("an address was not put on the suppression list: " SLICE_FMT,
                  SLICE_ARG(reply->text));
        additions_drop(s, count);
        break;
    }
    additions_send(s);
}

static void put_addition(struct buf *out, const struct addition *a)
{
    resp_put_arg(out, SLICE("to"));
    resp_put_arg(out, a->address);
    resp_put_arg(out, SLICE("tenant"));
    resp_put_arg(out, a->tenant);
    resp_put_arg(out, SLICE("reason"));
    resp_put_arg(out, a->reason);
    resp_put_arg(out, SLICE("expires"));
    if (a->expires_s == 0) {
        resp_put_arg(out, SLICE("never"));
    } else {
        struct buf text = BUF_EMPTY;
        buf_putu(&text, a->expires_s);
        buf_putc(&text, 's');
        resp_put_arg(out, buf_slice(&text));
        buf_fini(&text);
    }
}

static void additions_send(struct suppress *s)
{
    enum { FIELDS = 8 };

    if (s->closing && s->addition_count == 0) {
        close_connection(s);
    }
    if (s->adding > 0 || s->addition_count == 0 || s->gone || !redis_up(s->redis) ||
        io_now_us(s->io) < s->add_not_before_us) {
        return;
    }
    s->adding = s->singly > 0 ? 1 : s->addition_count < ADD_BATCH ? s->addition_count : ADD_BATCH;
    struct buf *out = redis_begin(s->redis);
    resp_put_count(out, 4 + FIELDS * s->adding);
    resp_put_arg(out, SLICE("FCALL"));
    resp_put_arg(out, SLICE("volley_suppress_add"));
    resp_put_u64(out, 1);
    put_key(out, s, SLICE("meta"), SLICE_NONE);
    size_t left = s->adding;
    LIST_EACH (link, &s->additions) {
        if (left-- == 0) {
            break;
        }
        put_addition(out, CONTAINER_OF(link, struct addition, link));
    }
    redis_end(s->redis, 0, on_added, s);
}

static struct slice keep(char **at, struct slice s)
{
    struct slice kept = slice_of(*at, s.len);

    if (s.len > 0) {
        memcpy(*at, s.ptr, s.len);
        *at += s.len;
    }
    return kept;
}

void suppress_add(struct suppress *s, struct slice tenant, struct slice address,
                  struct slice reason, uint64_t expires_s)
{
    if (s->addition_count == SUPPRESS_ADDS_MAX || s->closing) {
        log_warn(SLICE_FMT " was not put on the suppression list: Redis does not keep up",
                 SLICE_ARG(address));
        return;
    }
    struct addition *a = mem_alloc(sizeof(*a) + tenant.len + address.len + reason.len);
    char *at = a->text;
    a->tenant = keep(&at, tenant);
    a->address = keep(&at, address);
    a->reason = keep(&at, reason);
    a->expires_s = expires_s;
    list_append(&s->additions, &a->link);
    s->addition_count++;
    additions_send(s);
}

/* ---- life ---- */

static void on_tick(struct timer *t, int64_t now_us)
{
    struct suppress *s = CONTAINER_OF(t, struct suppress, tick);

    if (redis_up(s->redis) && !s->gone) {
        if (!s->polling && !s->closing) {
            poll_number(s);
        }
        additions_send(s);
    }
    wheel_arm(io_wheel(s->io), &s->tick, now_us + SUPPRESS_POLL_US);
}

static void on_redis_up(void *ctx)
{
    struct suppress *s = ctx;

    if (!s->gone) {
        wheel_arm(io_wheel(s->io), &s->tick, 0);
    }
}

static void on_redis_down(void *ctx, int err, const char *why)
{
    struct suppress *s = ctx;

    (void)err; /* the node's connection reports */
    (void)why;
    s->known = false;
    s->polling = false;
    s->adding = 0;
    s->library_loading = false;
}

static void on_redis_closed(void *ctx)
{
    struct suppress *s = ctx;
    const struct suppress_ops *ops = s->ops;
    void *owner = s->ctx;

    if (s->addition_count > 0) {
        log_warn("%zu addresses that failed were not put on the suppression list",
                 s->addition_count);
    }
    wheel_disarm(io_wheel(s->io), &s->tick);
    wheel_disarm(io_wheel(s->io), &s->close_by);
    additions_drop(s, s->addition_count);
    buf_fini(&s->base);
    mem_free(s);
    ops->on_closed(owner);
}

static const struct redis_ops redis_ops = {
    .on_up = on_redis_up,
    .on_down = on_redis_down,
    .on_closed = on_redis_closed,
};

static void on_close_by(struct timer *t, int64_t now_us)
{
    (void)now_us;
    close_connection(CONTAINER_OF(t, struct suppress, close_by));
}

struct suppress *suppress_new(const struct suppress_options *options)
{
    struct suppress *s = mem_zalloc(sizeof(*s));

    s->io = options->io;
    s->ops = options->ops;
    s->ctx = options->ctx;
    buf_puts(&s->base, options->prefix);
    BUF_LIT(&s->base, ":suppress:{list}:");
    list_init(&s->additions);
    timer_init(&s->tick, on_tick);
    timer_init(&s->close_by, on_close_by);
    struct redis_url url = *options->url; /* borrowed: redis_new() takes a copy */
    url.suppression = true;
    s->redis = redis_new(s->io, &url, &redis_ops, s);
    wheel_arm(io_wheel(s->io), &s->tick, 0);
    return s;
}

void suppress_close(struct suppress *s)
{
    ASSERT(!s->closing);
    s->closing = true;
    s->add_not_before_us = 0;
    wheel_arm(io_wheel(s->io), &s->close_by, io_now_us(s->io) + CLOSE_US);
    wheel_arm(io_wheel(s->io), &s->tick, 0);
}
