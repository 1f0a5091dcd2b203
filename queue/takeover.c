/*
 * takeover.c - returning what a dead life owns to the intakes.
 */
#include "queue/takeover.h"
#include "engine/base/err.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "queue/fcall.h"
#include "queue/record.h"

#include <string.h>

enum { PAGE = 100, CALL_JOBS_MAX = 200, ROUNDS_MAX = 1000 };

struct takeover {
    struct redis *redis;
    const struct keys *keys;
    char life[NODE_LIFE_MAX];
    char dead[NODE_LIFE_MAX];
    takeover_pick_fn *pick; /* NULL: all */
    takeover_fn *done;
    void *ctx;
    char cursor[24]; /* of HSCAN; "0" again: the walk is over */
    unsigned rounds;
    uint64_t returned;
    uint64_t broken;
    unsigned calls; /* under way for this page */
    int err;
};

static void page_ask(struct takeover *t);

static void takeover_end(struct takeover *t, int err)
{
    takeover_fn *done = t->done;
    void *ctx = t->ctx;
    uint64_t returned = t->returned;

    if (t->broken > 0) {
        log_warn("queue: %lu unreadable records of %s were put aside in %sbroken",
                 (unsigned long)t->broken, t->dead, t->keys->base);
    }
    mem_free(t);
    done(ctx, err, returned);
}

static int reply_err(int err, const struct resp *reply)
{
    if (err != 0) {
        return err;
    }
    return fcall_judge(reply) == FCALL_OK ? 0 : ERR_AGAIN;
}

/* ---- the end: is anything left? ---- */

static void on_finished(void *ctx, int err, const struct resp *reply)
{
    struct takeover *t = ctx;
    int64_t gone = 0;

    err = reply_err(err, reply);
    if (err == 0) {
        err = resp_int(reply, &gone);
    }
    if (err == 0 && gone == 0) { /* claimed or grown meanwhile: once more */
        page_ask(t);
        return;
    }
    takeover_end(t, err);
}

static void put_keys(struct buf *out, const struct takeover *t)
{
    static const struct slice rest[] = {
        {"bins", 4}, {"meta", 4}, {"bell:high", 9}, {"bell:normal", 11}, {"bell:bulk", 9}};

    keys_put_arg(out, t->keys, SLICE("nodes"));
    keys_put_arg2(out, t->keys, SLICE("owned:"), slice_cstr(t->dead));
    for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]); i++) {
        keys_put_arg(out, t->keys, rest[i]);
    }
}

enum { FIXED_KEYS = 7 };

static void finish_ask(struct takeover *t)
{
    struct buf *out = redis_begin(t->redis);

    fcall_begin(out, SLICE("takeover"), FIXED_KEYS, 2);
    put_keys(out, t);
    resp_put_arg(out, slice_cstr(t->life));
    resp_put_arg(out, slice_cstr(t->dead));
    redis_end(t->redis, 0, on_finished, t);
}

/* ---- a page ---- */

static void page_next(struct takeover *t)
{
    if (t->err != 0) {
        takeover_end(t, t->err);
    } else if (strcmp(t->cursor, "0") == 0 && t->pick != NULL) {
        takeover_end(t, 0);
    } else if (strcmp(t->cursor, "0") == 0) {
        finish_ask(t);
    } else {
        page_ask(t);
    }
}

static void on_returned(void *ctx, int err, const struct resp *reply)
{
    struct takeover *t = ctx;
    int64_t count = 0;

    err = reply_err(err, reply);
    if (err == 0 && reply->type == RESP_INTEGER) {
        count = reply->integer;
    }
    t->returned += (uint64_t)count;
    if (t->err == 0) {
        t->err = err;
    }
    if (--t->calls == 0) {
        page_next(t);
    }
}

static void on_quarantined(void *ctx, int err, const struct resp *reply)
{
    struct takeover *t = ctx;

    if (t->err == 0) {
        t->err = reply_err(err, reply);
    }
    t->broken++;
    if (--t->calls == 0) {
        page_next(t);
    }
}

static void quarantine_ask(struct takeover *t, struct slice id)
{
    struct buf *out = redis_begin(t->redis);

    fcall_begin(out, SLICE("quarantine"), 2, 3);
    keys_put_arg2(out, t->keys, SLICE("owned:"), slice_cstr(t->dead));
    keys_put_arg(out, t->keys, SLICE("broken"));
    resp_put_arg(out, SLICE("takeover"));
    resp_put_u64(out, 0); /* no number: nothing is remembered of it */
    resp_put_arg(out, id);
    t->calls++;
    redis_end(t->redis, 0, on_quarantined, t);
}

/* What one call of volley_1_takeover is made of. */
struct page {
    struct buf args; /* id, index of its list in KEYS */
    struct buf list_keys;
    struct slice lanes[CALL_JOBS_MAX];
    size_t lists;
    size_t jobs;
};

static size_t page_list(struct takeover *t, struct page *page, struct slice lane)
{
    for (size_t i = page->lists; i > 0; i--) {
        if (slice_eq(page->lanes[i - 1], lane)) {
            return i - 1;
        }
    }
    page->lanes[page->lists] = lane;
    keys_put_arg2(&page->list_keys, t->keys, SLICE("in:"), lane);
    return page->lists++;
}

static void page_send(struct takeover *t, struct page *page)
{
    if (page->jobs > 0) {
        struct buf *out = redis_begin(t->redis);
        fcall_begin(out, SLICE("takeover"), FIXED_KEYS + page->lists, 2 + 2 * page->jobs);
        put_keys(out, t);
        buf_puts(out, buf_slice(&page->list_keys));
        resp_put_arg(out, slice_cstr(t->life));
        resp_put_arg(out, slice_cstr(t->dead));
        buf_puts(out, buf_slice(&page->args));
        t->calls++;
        redis_end(t->redis, 0, on_returned, t);
    }
    buf_fini(&page->args);
    buf_fini(&page->list_keys);
    memset(page, 0, sizeof(*page));
}

static void page_add(struct takeover *t, struct page *page, struct slice id, struct slice record)
{
    struct job_record r;

    if (record_decode(&r, record) != 0) {
        quarantine_ask(t, id);
        return;
    }
    size_t list = page_list(t, page, r.lane);
    resp_put_arg(&page->args, id);
    resp_put_u64(&page->args, FIXED_KEYS + list + 1);
    if (++page->jobs == CALL_JOBS_MAX) {
        page_send(t, page);
    }
}

static void on_page(void *ctx, int err, const struct resp *reply)
{
    struct takeover *t = ctx;
    struct page *page;

    if (err == 0 &&
        (reply->type != RESP_ARRAY || reply->count != 2 || reply->items[1].type != RESP_ARRAY ||
         reply->items[0].text.len >= sizeof(t->cursor))) {
        err = ERR_AGAIN;
    }
    if (err != 0) {
        takeover_end(t, err);
        return;
    }
    memcpy(t->cursor, reply->items[0].text.ptr, reply->items[0].text.len + 1);
    page = mem_zalloc(sizeof(*page));
    const struct resp *pairs = &reply->items[1];
    for (size_t i = 0; i + 1 < pairs->count; i += 2) {
        struct slice id = pairs->items[i].text;
        if (!slice_starts(id, SLICE("#")) && (t->pick == NULL || t->pick(t->ctx, id))) {
            page_add(t, page, id, pairs->items[i + 1].text);
        }
    }
    page_send(t, page);
    mem_free(page);
    if (t->calls == 0) {
        page_next(t);
    }
}

static void page_ask(struct takeover *t)
{
    struct buf *out;

    if (t->rounds++ == ROUNDS_MAX || !redis_up(t->redis)) {
        takeover_end(t, ERR_AGAIN);
        return;
    }
    out = redis_begin(t->redis);
    resp_put_count(out, 5);
    resp_put_arg(out, SLICE("HSCAN"));
    keys_put_arg2(out, t->keys, SLICE("owned:"), slice_cstr(t->dead));
    resp_put_arg(out, slice_cstr(t->cursor));
    resp_put_arg(out, SLICE("COUNT"));
    resp_put_u64(out, PAGE);
    redis_end(t->redis, 0, on_page, t);
}

static void copy_life(char out[NODE_LIFE_MAX], struct slice life)
{
    size_t len = life.len < NODE_LIFE_MAX ? life.len : NODE_LIFE_MAX - 1;

    memcpy(out, life.ptr, len);
    out[len] = '\0';
}

static struct takeover *start(struct redis *r, const struct keys *keys, struct slice life,
                              struct slice dead, takeover_pick_fn *pick, takeover_fn *done,
                              void *ctx)
{
    struct takeover *t = mem_zalloc(sizeof(*t));

    t->redis = r;
    t->keys = keys;
    t->pick = pick;
    t->done = done;
    t->ctx = ctx;
    copy_life(t->life, life);
    copy_life(t->dead, dead);
    memcpy(t->cursor, "0", 2);
    page_ask(t);
    return t;
}

struct takeover *takeover_start(struct redis *r, const struct keys *keys, struct slice life,
                                struct slice dead, takeover_fn *done, void *ctx)
{
    return start(r, keys, life, dead, NULL, done, ctx);
}

struct takeover *takeover_start_picked(struct redis *r, const struct keys *keys, struct slice life,
                                       takeover_pick_fn *pick, takeover_fn *done, void *ctx)
{
    return start(r, keys, life, life, pick, done, ctx);
}
