/*
 * outbox.c - outcomes on their way to Redis.
 */
#include "queue/outbox.h"
#include "engine/base/mem.h"
#include "queue/fcall.h"
#include "queue/queue.h"

#include <string.h>

enum {
    BATCH_MAX = 2 * QUEUE_BATCH,  /* a batch that waits for its turn may grow to this */
    BATCH_BYTES_MAX = 512 * 1024, /* of arguments and events */
};

void outbox_init(struct outbox *o, const struct keys *keys, unsigned worker)
{
    memset(o, 0, sizeof(*o));
    o->keys = keys;
    o->worker = worker;
    list_init(&o->batches);
}

static void batch_free(struct outbox_batch *b)
{
    list_remove(&b->link);
    buf_fini(&b->key_args);
    buf_fini(&b->job_args);
    buf_fini(&b->marks);
    buf_fini(&b->lines);
    buf_fini(&b->names);
    mem_free(b);
}

void outbox_fini(struct outbox *o)
{
    while (!list_empty(&o->batches)) {
        batch_free(CONTAINER_OF(o->batches.next, struct outbox_batch, link));
    }
}

struct outbox_batch *outbox_first(struct outbox *o)
{
    struct list *first = list_first(&o->batches);

    return first != NULL ? CONTAINER_OF(first, struct outbox_batch, link) : NULL;
}

uint64_t outbox_floor(const struct outbox *o)
{
    uint64_t floor = o->serial;

    LIST_EACH (link, &o->batches) {
        const struct outbox_batch *b = CONTAINER_OF(link, struct outbox_batch, link);
        floor = b->serial < floor ? b->serial : floor;
    }
    return floor;
}

/* ---- gathering ---- */

static bool batch_takes(const struct outbox_batch *b, struct slice life)
{
    return b->jobs < BATCH_MAX && b->job_args.len + b->lines.len < BATCH_BYTES_MAX &&
           slice_eq(slice_cstr(b->life), life);
}

/* The batch that takes an outcome of this kind. */
static struct outbox_batch *batch_for(struct outbox *o, enum outbox_kind kind, struct slice life,
                                      int64_t now_us)
{
    struct outbox_batch *b = o->open[kind];

    if (b == NULL || !batch_takes(b, life)) {
        ASSERT(life.len < NODE_LIFE_MAX);
        b = mem_zalloc(sizeof(*b));
        b->kind = kind;
        b->serial = o->serial;
        b->since_us = now_us;
        memcpy(b->life, life.ptr, life.len);
        list_append(&o->batches, &b->link);
        o->open[kind] = b;
    }
    return b;
}

static void batch_count(struct outbox *o, struct outbox_batch *b, unsigned args)
{
    b->jobs++;
    b->args += args;
    o->jobs++;
    o->serial++;
}

static void put_line(struct outbox_batch *b, struct slice event)
{
    if (event.len > 0) {
        buf_puts(&b->lines, event);
        buf_putc(&b->lines, '\n');
    }
}

/* The key by which the job was submitted learns what became of it. */
static void put_idempotency_key(struct outbox *o, struct outbox_batch *b,
                                const struct job_record *r)
{
    struct buf name = BUF_EMPTY;

    if (r->key.len > 0) {
        buf_puts(&name, r->tenant);
        buf_putc(&name, ':');
        buf_puts(&name, r->key);
        keys_put_arg2(&b->key_args, o->keys, SLICE("key:"), buf_slice(&name));
        b->keys++;
        buf_fini(&name);
    }
}

void outbox_done(struct outbox *o, struct slice life, const struct job_record *r,
                 struct slice event, int64_t now_us)
{
    struct outbox_batch *b = batch_for(o, OUTBOX_DONE, life, now_us);

    resp_put_arg(&b->job_args, r->id);
    buf_putc(&b->marks, (char)('0' + (event.len > 0 ? 1 : 0) + (r->own_body ? 2 : 0)));
    put_line(b, event);
    if (r->own_body) {
        keys_put_arg2(&b->key_args, o->keys, SLICE("body:"), r->job);
        b->keys++;
    }
    put_idempotency_key(o, b, r);
    batch_count(o, b, 1);
}

void outbox_defer(struct outbox *o, struct slice life, const struct job_record *r,
                  struct slice record, int64_t due_ms, struct slice event, int64_t now_us)
{
    struct outbox_batch *b = batch_for(o, OUTBOX_DEFER, life, now_us);

    resp_put_arg(&b->job_args, r->id);
    resp_put_u64(&b->job_args, (uint64_t)r->class + 1);
    resp_put_u64(&b->job_args, due_ms > 0 ? (uint64_t)due_ms : 0);
    resp_put_arg(&b->job_args, record);
    buf_putc(&b->marks, event.len > 0 ? '1' : '0');
    put_line(b, event);
    put_idempotency_key(o, b, r);
    batch_count(o, b, 4);
}

void outbox_event(struct outbox *o, struct slice life, struct slice event, int64_t now_us)
{
    put_line(batch_for(o, OUTBOX_DONE, life, now_us), event);
}

void outbox_broken(struct outbox *o, struct slice life, struct slice id, int64_t now_us)
{
    struct outbox_batch *b = batch_for(o, OUTBOX_BROKEN, life, now_us);

    resp_put_arg(&b->job_args, id);
    batch_count(o, b, 1);
}

/* The place of `list` among the batch's lists, which it joins when it is new.  A batch has few
 * lists: a worker parks for the same sites again and again. */
static unsigned batch_list(struct outbox *o, struct outbox_batch *b, struct slice list)
{
    size_t at = 0;

    for (unsigned i = 0; i < b->keys; i++) {
        uint16_t len;
        memcpy(&len, b->names.ptr + at, sizeof(len));
        at += sizeof(len);
        if (slice_eq(slice_of(b->names.ptr + at, len), list)) {
            return i;
        }
        at += len;
    }
    uint16_t len = (uint16_t)list.len;
    buf_put(&b->names, &len, sizeof(len));
    buf_puts(&b->names, list);
    keys_put_arg(&b->key_args, o->keys, list);
    return b->keys++;
}

enum { PARK_KEYS = 7, RETURN_KEYS = 6, ASIDE_KEYS = 3 };

void outbox_park(struct outbox *o, struct slice life, struct slice id, struct slice list,
                 struct slice domain, int64_t now_us)
{
    struct outbox_batch *b = batch_for(o, OUTBOX_PARK, life, now_us);

    resp_put_arg(&b->job_args, id);
    resp_put_u64(&b->job_args, PARK_KEYS + 1 + batch_list(o, b, list));
    resp_put_arg(&b->job_args, domain);
    batch_count(o, b, 3);
}

void outbox_return(struct outbox *o, struct slice life, struct slice id, struct slice list,
                   int64_t now_us)
{
    struct outbox_batch *b = batch_for(o, OUTBOX_RETURN, life, now_us);

    resp_put_arg(&b->job_args, id);
    resp_put_u64(&b->job_args, RETURN_KEYS + 1 + batch_list(o, b, list));
    batch_count(o, b, 2);
}

void outbox_aside(struct outbox *o, struct slice life, struct slice id, struct slice order,
                  int64_t now_us)
{
    struct outbox_batch *b = batch_for(o, OUTBOX_ASIDE, life, now_us);
    struct buf list = BUF_EMPTY;

    BUF_LIT(&list, "held:");
    buf_puts(&list, order);
    resp_put_arg(&b->job_args, id);
    resp_put_u64(&b->job_args, ASIDE_KEYS + 1 + batch_list(o, b, buf_slice(&list)));
    buf_fini(&list);
    batch_count(o, b, 2);
}

/* ---- leaving ---- */

struct outbox_batch *outbox_next(struct outbox *o)
{
    LIST_EACH (link, &o->batches) {
        struct outbox_batch *b = CONTAINER_OF(link, struct outbox_batch, link);
        if (!b->sent) {
            return b;
        }
    }
    return NULL;
}

int64_t outbox_due_us(struct outbox *o)
{
    const struct outbox_batch *b = o->under_way < OUTBOX_WINDOW ? outbox_next(o) : NULL;

    if (b == NULL) {
        return INT64_MAX;
    }
    if (b->jobs >= QUEUE_BATCH || b->number != 0 || b->lines.len >= BATCH_BYTES_MAX) {
        return 0;
    }
    return b->since_us + QUEUE_BATCH_US;
}

static void put_rests(const struct outbox *o, struct buf *out, const char *const *rests,
                      size_t count)
{
    for (size_t i = 0; i < count; i++) {
        keys_put_arg(out, o->keys, slice_cstr(rests[i]));
    }
}

static void put_owned(const struct outbox *o, struct buf *out, const struct outbox_batch *b)
{
    keys_put_arg2(out, o->keys, SLICE("owned:"), slice_cstr(b->life));
}

static void put_who(const struct outbox *o, struct buf *out, const struct outbox_batch *b)
{
    resp_put_u64(out, o->worker);
    resp_put_u64(out, b->number);
}

static void put_events(struct buf *out, const struct outbox_batch *b, uint64_t trim)
{
    resp_put_u64(out, trim);
    resp_put_arg(out, buf_slice(&b->lines));
    resp_put_arg(out, buf_slice(&b->marks));
}

static void put_done(const struct outbox *o, struct buf *out, const struct outbox_batch *b,
                     uint64_t trim)
{
    static const char *const rests[] = {"events", "meta"};

    fcall_begin(out, SLICE("done"), 3 + b->keys, 5 + b->args);
    put_owned(o, out, b);
    put_rests(o, out, rests, 2);
    buf_puts(out, buf_slice(&b->key_args));
    put_who(o, out, b);
    put_events(out, b, trim);
}

static void put_defer(const struct outbox *o, struct buf *out, const struct outbox_batch *b,
                      uint64_t trim)
{
    static const char *const rests[] = {"events", "due:high", "due:normal", "due:bulk"};

    fcall_begin(out, SLICE("defer"), 5 + b->keys, 5 + b->args);
    put_owned(o, out, b);
    put_rests(o, out, rests, 4);
    buf_puts(out, buf_slice(&b->key_args));
    put_who(o, out, b);
    put_events(out, b, trim);
}

static void put_park(const struct outbox *o, struct buf *out, const struct outbox_batch *b)
{
    static const char *const rests[] = {"meta", "site", "bell:high", "bell:normal", "bell:bulk"};

    fcall_begin(out, SLICE("park"), PARK_KEYS + b->keys, 2 + b->args);
    keys_put_arg(out, o->keys, SLICE("bins"));
    put_owned(o, out, b);
    put_rests(o, out, rests, 5);
    buf_puts(out, buf_slice(&b->key_args));
    put_who(o, out, b);
}

static void put_return(const struct outbox *o, struct buf *out, const struct outbox_batch *b)
{
    static const char *const rests[] = {"meta", "bell:high", "bell:normal", "bell:bulk"};

    fcall_begin(out, SLICE("return"), RETURN_KEYS + b->keys, 2 + b->args);
    keys_put_arg(out, o->keys, SLICE("bins"));
    put_owned(o, out, b);
    put_rests(o, out, rests, 4);
    buf_puts(out, buf_slice(&b->key_args));
    put_who(o, out, b);
}

static void put_aside(const struct outbox *o, struct buf *out, const struct outbox_batch *b)
{
    static const char *const rests[] = {"orders", "meta"};

    fcall_begin(out, SLICE("set_aside"), ASIDE_KEYS + b->keys, 2 + b->args);
    put_owned(o, out, b);
    put_rests(o, out, rests, 2);
    buf_puts(out, buf_slice(&b->key_args));
    put_who(o, out, b);
}

static void put_broken(const struct outbox *o, struct buf *out, const struct outbox_batch *b)
{
    fcall_begin(out, SLICE("quarantine"), 2, 2 + b->args);
    put_owned(o, out, b);
    keys_put_arg(out, o->keys, SLICE("broken"));
    put_who(o, out, b);
}

void outbox_send(struct outbox *o, struct buf *out, uint64_t trim)
{
    struct outbox_batch *b = outbox_next(o);

    ASSERT(b != NULL && o->under_way < OUTBOX_WINDOW);
    if (o->open[b->kind] == b) {
        o->open[b->kind] = NULL;
    }
    if (b->number == 0 && !o->unnumbered) {
        b->number = ++o->number;
    }
    b->sent = true;
    o->under_way++;
    switch (b->kind) {
    case OUTBOX_DONE:
        put_done(o, out, b, trim);
        break;
    case OUTBOX_DEFER:
        put_defer(o, out, b, trim);
        break;
    case OUTBOX_PARK:
        put_park(o, out, b);
        break;
    case OUTBOX_RETURN:
        put_return(o, out, b);
        break;
    case OUTBOX_BROKEN:
        put_broken(o, out, b);
        break;
    case OUTBOX_ASIDE:
        put_aside(o, out, b);
        break;
    }
    buf_puts(out, buf_slice(&b->job_args));
}

void outbox_acknowledge(struct outbox *o)
{
    struct outbox_batch *b = outbox_first(o);

    ASSERT(b != NULL && b->sent);
    o->under_way--;
    o->jobs -= b->jobs;
    batch_free(b);
}

void outbox_again(struct outbox *o)
{
    struct outbox_batch *b = outbox_first(o);

    ASSERT(b != NULL && b->sent);
    o->under_way--;
    b->sent = false;
    b->number = 0;
    list_remove(&b->link);
    list_append(&o->batches, &b->link);
}

void outbox_lost(struct outbox *o)
{
    LIST_EACH (link, &o->batches) {
        CONTAINER_OF(link, struct outbox_batch, link)->sent = false;
    }
    o->under_way = 0;
}
