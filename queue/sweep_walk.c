/*
 * sweep_walk.c - one key, a window at a time.
 *
 * A call takes what was decided on in the last window and shows the next one.  What is to be taken
 * from a list stands in front (then nothing else is touched), or is a little that lies near an
 * end (then it is plucked out), or else the whole list goes round once, from the front to the end.
 */
#include "engine/base/err.h"
#include "engine/base/log.h"
#include "queue/fcall.h"
#include "queue/sweeper_private.h"

#include <string.h>

/* Records that LREM may pass by in one call: they cost about 10 ns each. */
enum { PLUCK_MAX = 20000 };

static struct slice record_at(const struct walk *w, size_t i)
{
    uint32_t start = i > 0 ? w->end[i - 1] : 0;

    return slice_of(w->bytes.ptr + start, w->end[i] - start);
}

/* ---- the call ---- */

/* Writes the call that takes what is picked, from `place` (or UINT64_MAX: the front), and looks
 * at `from`. */
static void prepare(struct sweeper *s, uint64_t place, uint64_t from, size_t count)
{
    struct walk *w = &s->walk;
    const struct queue *q = s->q;
    bool due = w->place.where == SWEEP_DUE;
    char marks[SWEEP_JOBS];

    for (size_t i = 0; i < w->pick_count; i++) {
        marks[i] = w->marks[w->picked[i]];
    }
    w->from = from;
    w->life = q->life_number;
    buf_reset(&w->call);
    fcall_begin(&w->call, due ? SLICE("sweep_due") : SLICE("sweep"), due ? 3 : 5,
                6 + w->pick_count);
    keys_put_arg(&w->call, &q->keys, SLICE("nodes"));
    keys_put_arg2(&w->call, &q->keys, SLICE("owned:"), slice_cstr(q->life));
    if (!due) {
        keys_put_arg(&w->call, &q->keys, SLICE("bins"));
        keys_put_arg(&w->call, &q->keys, SLICE("site"));
    }
    keys_put_arg(&w->call, &q->keys, buf_slice(&w->name));
    resp_put_arg(&w->call, slice_cstr(q->life));
    resp_put_u64(&w->call, ++s->number);
    if (place == UINT64_MAX) {
        resp_put_arg(&w->call, SLICE("-1"));
    } else {
        resp_put_u64(&w->call, place);
    }
    resp_put_arg(&w->call, slice_of(marks, w->pick_count));
    resp_put_u64(&w->call, from);
    resp_put_u64(&w->call, count);
    for (size_t i = 0; i < w->pick_count; i++) {
        struct slice record = record_at(w, w->picked[i]);
        resp_put_arg(&w->call, due ? record : record_peek_id(record));
    }
}

static void prepare_look(struct sweeper *s, uint64_t from)
{
    s->walk.pick_count = 0;
    prepare(s, UINT64_MAX, from, SWEEP_JOBS);
}

/* The first `n` records of the window, marked or not. */
static void pick_first(struct walk *w, size_t n)
{
    w->pick_count = n;
    for (size_t i = 0; i < n; i++) {
        w->picked[i] = i;
    }
}

static void pick_marked(struct walk *w)
{
    w->pick_count = 0;
    for (size_t i = 0; i < w->count; i++) {
        if (w->marks[i] != '0') {
            w->picked[w->pick_count++] = i;
        }
    }
}

/* ---- deciding ---- */

/* Marks the window; returns how many are to be taken. */
static size_t decide(struct sweeper *s)
{
    struct walk *w = &s->walk;
    struct job_record record;
    size_t hits = 0;

    for (size_t i = 0; i < w->count; i++) {
        enum sweep_decision d = SWEEP_LEAVE; /* what cannot be read is put aside when claimed */
        if (record_decode(&record, record_at(w, i)) == 0) {
            d = s->q->ops->on_sweep(s->q->ctx, &w->place, &record);
        }
        w->marks[i] = (char)('0' + (int)d);
        hits += d != SWEEP_LEAVE;
    }
    return hits;
}

static void walk_end(struct sweeper *s)
{
    s->walk.active = false;
}

static void go_round(struct sweeper *s)
{
    struct walk *w = &s->walk;

    if (w->left == 0 || w->count == 0) {
        walk_end(s);
        return;
    }
    pick_first(w, w->count < w->left ? w->count : (size_t)w->left);
    prepare(s, UINT64_MAX, 0, SWEEP_JOBS);
}

static void scan_on(struct sweeper *s, uint64_t from)
{
    if (from >= s->walk.len) {
        walk_end(s);
    } else {
        prepare_look(s, from);
    }
}

static size_t leading(const struct walk *w)
{
    size_t n = 0;

    while (n < w->count && w->marks[n] == '1') {
        n++;
    }
    return n;
}

static void scan(struct sweeper *s, size_t hits)
{
    struct walk *w = &s->walk;
    uint64_t near = w->from < w->len / 2 ? w->from : w->len - w->from;

    if (hits == 0) {
        scan_on(s, w->from + w->count);
    } else if (w->place.where == SWEEP_DUE) {
        pick_marked(w);
        prepare(s, 0, w->from + w->count - hits, SWEEP_JOBS);
    } else if (w->from == 0 && w->marks[0] == '1') {
        pick_first(w, leading(w));
        prepare(s, UINT64_MAX, 0, SWEEP_JOBS);
    } else if (hits * (near + w->count) <= PLUCK_MAX) {
        pick_first(w, w->count);
        prepare(s, w->from, w->from + w->count - hits, SWEEP_JOBS);
    } else {
        w->mode = WALK_ROUND;
        w->left = w->len;
        prepare_look(s, 0);
    }
}

/* ---- the answer ---- */

static bool answer_valid(const struct walk *w, const struct resp *reply)
{
    if (reply->type != RESP_ARRAY || reply->count < 3 || reply->count > 3 + SWEEP_JOBS ||
        reply->items[0].type != RESP_INTEGER || reply->items[0].integer < 0 ||
        reply->items[1].type != RESP_STRING || reply->items[1].text.len > w->pick_count ||
        reply->items[2].type != RESP_INTEGER || reply->items[2].integer < 0) {
        return false;
    }
    for (size_t i = 3; i < reply->count; i++) {
        if (reply->items[i].type != RESP_STRING) {
            return false;
        }
    }
    return true;
}

static void take(struct sweeper *s, size_t i)
{
    struct walk *w = &s->walk;
    struct queue *q = s->q;
    struct job_record record;

    if (record_decode(&record, record_at(w, i)) != 0) {
        return;
    }
    if (w->marks[i] == '0' + (int)SWEEP_RETRY) {
        const struct order *order = orders_retry(&q->orders, &record, SLICE_NONE, io_now_us(q->io));
        if (order != NULL) {
            queue_order_ended(q, order->id);
        }
    } else if (w->life == q->life_number && map_find(&q->holds, record.id) == NULL) {
        /* Else it belongs to a former life, and comes back with all that had. */
        q->stats.swept++;
        q->ops->on_swept(q->ctx, &w->place, &record);
    }
}

static void take_all(struct sweeper *s, struct slice taken)
{
    for (size_t i = 0; i < taken.len; i++) {
        if (taken.ptr[i] == '1') {
            take(s, s->walk.picked[i]);
        }
    }
}

static void window_read(struct walk *w, const struct resp *reply)
{
    buf_reset(&w->bytes);
    w->count = reply->count - 3;
    for (size_t i = 0; i < w->count; i++) {
        buf_puts(&w->bytes, reply->items[3 + i].text);
        w->end[i] = (uint32_t)w->bytes.len;
    }
}

/* An intake that flows is left to those who claim from it. */
static bool flows(struct sweeper *s)
{
    struct walk *w = &s->walk;

    return w->place.where == SWEEP_LIST && !w->place.list.bin && w->count > 0 &&
           !orders_pause_list(&s->q->orders, &w->place.list, io_now_us(s->q->io)) &&
           !heads_still(s, buf_slice(&w->name), record_peek_id(record_at(w, 0)));
}

static void on_slice(void *ctx, int err, const struct resp *reply)
{
    struct sweeper *s = ctx;
    struct walk *w = &s->walk;
    size_t written;

    if (!sweeper_answered(s, err, reply)) {
        return; /* made again, under its number, when the queue is up again */
    }
    if (!answer_valid(w, reply)) {
        walk_end(s);
        sweeper_rest(s, SWEEP_JOBS, SWEEP_JOBS);
        return;
    }
    bool first = w->steps_left == 0, stale = w->pick_count > 0 && reply->items[0].integer == 0;
    uint64_t processed = (uint64_t)reply->items[0].integer;
    written = w->pick_count;
    take_all(s, reply->items[1].text);
    w->len = (uint64_t)reply->items[2].integer;
    window_read(w, reply);
    if (first) {
        /* Enough to go along and round; more means that others change it faster than we walk. */
        w->steps_left = 100 + w->len / (SWEEP_JOBS / 4);
    }
    w->left -= w->mode == WALK_ROUND ? (processed < w->left ? processed : w->left) : 0;
    w->stale += stale;
    if (w->count == 0 || --w->steps_left == 0 || w->stale >= SWEEP_STALE_MAX ||
        (first && flows(s))) {
        walk_end(s);
    } else {
        size_t hits = decide(s);
        if (w->mode == WALK_ROUND) {
            go_round(s);
        } else {
            scan(s, hits);
        }
    }
    sweeper_rest(s, reply->count, written);
}

/* ---- beginning ---- */

void walk_begin(struct sweeper *s, enum sweep_where where, struct slice name)
{
    struct walk *w = &s->walk;

    buf_reset(&w->name);
    buf_puts(&w->name, name);
    w->place = (struct sweep_place){.where = where};
    if (where == SWEEP_LIST && list_name_parse(&w->place.list, buf_slice(&w->name)) != 0) {
        sweeper_rest(s, 0, 0); /* whoever claims reports it */
        return;
    }
    w->active = true;
    w->mode = WALK_SCAN;
    w->stale = 0;
    w->left = 0;
    w->steps_left = 0;
    w->count = 0;
    prepare_look(s, 0);
    walk_go(s);
}

void walk_go(struct sweeper *s)
{
    struct walk *w = &s->walk;

    if (w->life != s->q->life_number) { /* what it took went back with that life */
        walk_end(s);
        sweeper_rest(s, 0, 0);
        return;
    }
    buf_puts(sweeper_begin(s), buf_slice(&w->call));
    sweeper_end(s, on_slice);
}

void walk_drop(struct sweeper *s)
{
    walk_end(s);
}
