/*
 * sample_read.c - taking a sample of jobs: first how many there are where, then runs of a few
 * from places drawn evenly over all of them.
 *
 * Runs cost Redis less than single jobs would, and neighbours are like each other: the sample
 * says less than as many jobs drawn one by one, which is why it takes runs of ten only.
 */
#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/rng.h"
#include "engine/cli/sample.h"
#include "engine/cli/walk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUN = 10, HASH_MAX = 1000, SOURCES_MAX = 500000 };

/* A key with jobs in it. */
struct source {
    char kind; /* 'l' list, 'z' zset, 'h' hash */
    unsigned partition;
    uint64_t jobs;
    char *name;
};

struct sources {
    struct source *item;
    size_t count;
    uint64_t jobs;
    bool cut; /* there were more than SOURCES_MAX */
};

static void sources_fini(struct sources *s)
{
    for (size_t i = 0; i < s->count; i++) {
        mem_free(s->item[i].name);
    }
    mem_free(s->item);
}

static void add_source(struct sources *s, char kind, unsigned partition, struct slice name,
                       uint64_t jobs)
{
    if (jobs == 0 || s->count == SOURCES_MAX) {
        s->cut = s->cut || jobs > 0;
        return;
    }
    if ((s->count & (s->count - 1)) == 0) { /* a power of two, or the first */
        size_t cap = s->count > 0 ? 2 * s->count : 1;
        s->item = mem_realloc(s->item, cap * sizeof(*s->item));
    }
    s->item[s->count++] = (struct source){kind, partition, jobs, slice_dup(name)};
    s->jobs += jobs;
}

/* Lengths of the names of a page, each asked for with one command. */
static int read_lengths(struct sources *s, struct desk *d, const char *command, char kind,
                        const char *prefix, const struct buf *names)
{
    struct slice rest = buf_slice(names), name;
    struct buf key = BUF_EMPTY;
    const struct resp *reply;
    int code = -1;

    while (slice_next(&rest, '\n', &name) && name.len > 0) {
        buf_reset(&key);
        buf_printf(&key, "%s" SLICE_FMT, prefix, SLICE_ARG(name));
        desk_ask(d, command, buf_slice(&key), NULL, 0);
    }
    rest = buf_slice(names);
    while (code < 0 && slice_next(&rest, '\n', &name) && name.len > 0) {
        int64_t jobs = 0;
        buf_reset(&key);
        buf_printf(&key, "%s" SLICE_FMT, prefix, SLICE_ARG(name));
        code = desk_take(d, &reply);
        if (code < 0 && (reply->type == RESP_ERROR || resp_int(reply, &jobs) != 0)) {
            desk_complain(d, "%s" SLICE_FMT ": " SLICE_FMT, d->keys.base,
                          SLICE_ARG(buf_slice(&key)), SLICE_ARG(reply->text));
        } else if (code < 0 && jobs > 0) {
            add_source(s, kind, d->keys.partition, buf_slice(&key), (uint64_t)jobs);
        }
    }
    buf_fini(&key);
    return code;
}

static void put_name(struct buf *names, struct slice name)
{
    if (name.len > 0 && slice_find(name, '\n') == name.len && slice_find(name, '#') == name.len) {
        buf_puts(names, name);
        buf_putc(names, '\n');
    }
}

/* The names that SCAN-like commands give, a page at a time; `visit` reads the lengths. */
static int read_lists(struct sources *s, struct desk *d, const struct filter *filter)
{
    struct buf names = BUF_EMPTY, cursor = BUF_EMPTY;
    struct list_name list;
    const struct resp *page;
    int code = -1;

    BUF_LIT(&cursor, "0");
    do {
        desk_ask(d, "ZSCAN", SLICE("bins"),
                 DESK_ARGS(buf_slice(&cursor), SLICE("COUNT"), SLICE("200")));
        code = desk_take(d, &page);
        if (code < 0 && (page->type != RESP_ARRAY || page->count != 2)) {
            desk_complain(d, "%sbins: " SLICE_FMT, d->keys.base, SLICE_ARG(page->text));
            break;
        }
        buf_reset(&names);
        for (size_t i = 0; code < 0 && i + 1 < page->items[1].count; i += 2) {
            struct slice name = page->items[1].items[i].text;
            if (list_name_parse(&list, name) == 0 && filter_takes_list(filter, &list)) {
                put_name(&names, name);
            }
        }
        buf_reset(&cursor);
        buf_puts(&cursor, code < 0 ? page->items[0].text : SLICE("0"));
        code = code < 0 ? read_lengths(s, d, "LLEN", 'l', "", &names) : code;
    } while (code < 0 && !slice_eq(buf_slice(&cursor), SLICE("0")));
    buf_fini(&names);
    buf_fini(&cursor);
    return code;
}

/* Fields of a small hash as names. */
static int read_fields(struct sources *s, struct desk *d, const char *hash, const char *command,
                       char kind, const char *prefix)
{
    struct buf names = BUF_EMPTY, cursor = BUF_EMPTY;
    const struct resp *page;
    int code = -1;

    BUF_LIT(&cursor, "0");
    do {
        desk_ask(d, "HSCAN", slice_cstr(hash), DESK_ARGS(buf_slice(&cursor)));
        code = desk_take(d, &page);
        if (code < 0 && (page->type != RESP_ARRAY || page->count != 2)) {
            desk_complain(d, "%s%s: " SLICE_FMT, d->keys.base, hash, SLICE_ARG(page->text));
            break;
        }
        buf_reset(&names);
        for (size_t i = 0; code < 0 && i + 1 < page->items[1].count; i += 2) {
            put_name(&names, page->items[1].items[i].text);
        }
        buf_reset(&cursor);
        buf_puts(&cursor, code < 0 ? page->items[0].text : SLICE("0"));
        code = code < 0 ? read_lengths(s, d, command, kind, prefix, &names) : code;
    } while (code < 0 && !slice_eq(buf_slice(&cursor), SLICE("0")));
    buf_fini(&names);
    buf_fini(&cursor);
    return code;
}

static int read_sources(struct sources *s, struct desk *d, const struct filter *f)
{
    struct buf classes = BUF_EMPTY;
    int code = -1;

    for (unsigned c = 0; c < JOB_CLASSES; c++) {
        if (f->class == FILTER_ANY || f->class == (int)c) {
            buf_printf(&classes, "%s\n", job_class_name(c));
        }
    }
    for (unsigned p = 0; code < 0 && p < d->partitions; p++) {
        desk_partition(d, p);
        code = read_lists(s, d, f);
        if (code < 0 && filter_takes_state(f, JOB_DUE)) {
            code = read_lengths(s, d, "ZCARD", 'z', "due:", &classes);
        }
        if (code < 0 && filter_takes_state(f, JOB_OWNED)) {
            code = read_fields(s, d, "nodes", "HLEN", 'h', "owned:");
        }
        if (code < 0 && filter_takes_state(f, JOB_HELD)) {
            code = read_fields(s, d, "orders", "LLEN", 'l', "held:");
        }
    }
    buf_fini(&classes);
    return code;
}

/* ---- taking ---- */

/* `at` and the `count` behind it; of a hash any `count`. */
static int take_run(struct sample *sample, struct desk *d, const struct filter *filter,
                    const struct source *source, uint64_t at, uint64_t count, int64_t now_ms)
{
    char first[DESK_NUMBER_MAX], last[DESK_NUMBER_MAX];
    const struct resp *reply;
    bool hash = source->kind == 'h';

    desk_partition(d, source->partition);
    if (hash) {
        desk_ask(d, "HRANDFIELD", slice_cstr(source->name),
                 DESK_ARGS(desk_number(first, count), SLICE("WITHVALUES")));
    } else {
        desk_ask(d, source->kind == 'z' ? "ZRANGE" : "LRANGE", slice_cstr(source->name),
                 DESK_ARGS(desk_number(first, at), desk_number(last, at + count - 1)));
    }
    int code = desk_take(d, &reply);
    for (size_t i = 0; code < 0 && reply->type == RESP_ARRAY && i < reply->count; i++) {
        if (!hash) {
            sample_add(sample, filter, reply->items[i].text, now_ms);
        } else if (i % 2 == 1 && !slice_starts(reply->items[i - 1].text, SLICE("#"))) {
            sample_add(sample, filter, reply->items[i].text, now_ms);
        }
    }
    return code;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Everything when that is not more than was asked for, else runs from drawn places. */
static int take_all(struct sample *sample, struct desk *d, const struct filter *filter,
                    const struct sources *s, uint64_t wanted, int64_t now_ms)
{
    bool whole = s->jobs <= wanted;
    size_t runs = whole ? (size_t)(s->jobs / RUN + s->count) : (size_t)((wanted + RUN - 1) / RUN);
    uint64_t *place = mem_array(runs + 1, sizeof(*place)), before = 0;
    struct rng rng;
    size_t n = 0;
    int code = -1;

    rng_seed_os(&rng);
    for (size_t i = 0; whole && i < s->count; i++) {
        for (uint64_t at = 0; at < s->item[i].jobs && n < runs; at += RUN) {
            place[n++] = before + at;
            if (s->item[i].kind == 'h') { /* what nodes own is bounded: once is enough */
                break;
            }
        }
        before += s->item[i].jobs;
    }
    for (; !whole && n < runs; n++) {
        place[n] = rng_below(&rng, s->jobs);
    }
    qsort(place, n, sizeof(*place), by_value);
    before = 0;
    for (size_t i = 0, k = 0; code < 0 && i < s->count; i++) {
        for (; code < 0 && k < n && place[k] < before + s->item[i].jobs; k++) {
            bool all = whole && s->item[i].kind == 'h';
            code = take_run(sample, d, filter, &s->item[i], place[k] - before, all ? HASH_MAX : RUN,
                            now_ms);
        }
        before += s->item[i].jobs;
    }
    mem_free(place);
    return code;
}

int sample_show(struct desk *d, const struct filter *filter, uint64_t wanted)
{
    struct sources sources = {.count = 0};
    struct sample sample;
    int64_t now_ms = 0;
    int code = desk_now_ms(d, &now_ms);

    sample_init(&sample);
    code = code < 0 ? read_sources(&sources, d, filter) : code;
    code = code < 0 ? take_all(&sample, d, filter, &sources, wanted, now_ms) : code;
    sample.population = sources.jobs;
    if (code < 0 && sources.cut) {
        desk_complain(d, "more than %d lists: the rest is not in the sample", SOURCES_MAX);
    }
    if (code < 0 && d->json) {
        sample_put_json(&d->out, &sample);
    } else if (code < 0) {
        sample_put_text(&d->out, &sample);
    }
    sample_fini(&sample);
    sources_fini(&sources);
    desk_partition(d, 0);
    return code;
}
