/*
 * walk.c - through all jobs of a queue, a hundred or so at a time.
 */
#include "engine/cli/walk.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void walk_init(struct walk *w, struct desk *d, const struct filter *filter,
               const struct walk_cursor *start)
{
    *w = (struct walk){.desk = d, .filter = filter};
    if (start != NULL) {
        w->cursor = *start;
    }
    if (w->cursor.partition >= d->partitions) {
        w->cursor.part = WALK_END;
    } else {
        desk_partition(d, w->cursor.partition);
    }
}

void walk_fini(struct walk *w)
{
    mem_free(w->page.item);
    buf_fini(&w->page.bytes);
    buf_fini(&w->names);
}

/* ---- pages ---- */

static void page_open(struct walk *w, enum job_state state, const char *source)
{
    struct walk_page *page = &w->page;

    page->state = state;
    page->at = w->cursor;
    page->count = 0;
    buf_reset(&page->bytes);
    snprintf(page->source, sizeof(page->source), "%s", source);
}

static void page_add(struct walk_page *page, struct slice record, int64_t due_ms)
{
    if (page->count == page->cap) {
        page->cap = page->cap > 0 ? 2 * page->cap : DESK_STEP;
        page->item = mem_realloc(page->item, page->cap * sizeof(*page->item));
    }
    /* The bytes move while they are gathered: pointers are set by page_close(). */
    page->item[page->count++] = (struct walk_item){slice_of(NULL, record.len), due_ms};
    buf_puts(&page->bytes, record);
}

static void page_close(struct walk_page *page)
{
    size_t at = 0;

    for (size_t i = 0; i < page->count; i++) {
        page->item[i].record.ptr = page->bytes.ptr + at;
        at += page->item[i].record.len;
    }
}

/* A place that cannot be read is passed over, and said. */
static bool readable(struct walk *w, const char *source, const struct resp *reply)
{
    if (reply->type != RESP_ARRAY) {
        desk_complain(w->desk, "%s%s cannot be read: " SLICE_FMT, w->desk->keys.base, source,
                      SLICE_ARG(reply->text));
    }
    return reply->type == RESP_ARRAY;
}

/* The next part of the walk, or the next partition. */
static void next_part(struct walk *w)
{
    struct walk_cursor *c = &w->cursor;
    enum walk_part part = c->part + 1;
    unsigned partition = c->partition;

    if (part == WALK_END && partition + 1 < w->desk->partitions) {
        part = WALK_LISTS;
        partition++;
        desk_partition(w->desk, partition);
        buf_reset(&w->names);
        w->names_at = 0;
        w->names_end = false;
    }
    *c = (struct walk_cursor){.part = part, .partition = partition};
}

/* ---- lists ---- */

/* Numbers of the index are whole and grow; anything else is not ours. */
static bool number_read(struct slice text, uint64_t *out)
{
    double value = text.len > 0 ? strtod(text.ptr, NULL) : -1; /* there is a NUL behind it */

    if (!(value >= 0 && value < 9e15)) {
        return false;
    }
    *out = (uint64_t)floor(value);
    return true;
}

/* The next names of the index that the filter takes, into w->names. */
static int names_read(struct walk *w, uint64_t from)
{
    char start[DESK_NUMBER_MAX], limit[DESK_NUMBER_MAX];
    struct list_name list;
    const struct resp *page;

    desk_ask(w->desk, "ZRANGEBYSCORE", SLICE("bins"),
             DESK_ARGS(desk_number(start, from), SLICE("+inf"), SLICE("WITHSCORES"), SLICE("LIMIT"),
                       SLICE("0"), desk_number(limit, DESK_STEP)));
    int code = desk_take(w->desk, &page);
    buf_reset(&w->names);
    w->names_at = 0;
    if (code >= 0 || !readable(w, "bins", page)) {
        w->names_end = true;
        return code;
    }
    w->names_end = page->count < 2 * (size_t)DESK_STEP;
    for (size_t i = 0; i + 1 < page->count; i += 2) {
        struct slice name = page->items[i].text;
        uint64_t number = 0;
        if (!number_read(page->items[i + 1].text, &number)) {
            w->names_end = true;
            break;
        }
        w->cursor.major = number;
        if (list_name_parse(&list, name) == 0 && filter_takes_list(w->filter, &list)) {
            buf_printf(&w->names, "%llu " SLICE_FMT "\n", (unsigned long long)number,
                       SLICE_ARG(name));
        }
    }
    return -1;
}

/* The first name to come; false when more have to be read. */
static bool names_first(const struct walk *w, uint64_t *number, struct slice *name)
{
    struct slice rest = slice_from(buf_slice(&w->names), w->names_at), line;

    if (rest.len == 0 || !slice_next(&rest, '\n', &line)) {
        return false;
    }
    size_t blank = slice_find(line, ' ');
    *name = slice_from(line, blank + 1);
    return slice_u64(slice_of(line.ptr, blank), number) == 0;
}

static void names_drop(struct walk *w)
{
    struct slice rest = slice_from(buf_slice(&w->names), w->names_at);

    w->names_at += slice_find(rest, '\n') + 1;
    w->cursor.minor = 0;
}

/* Up to a hundred records of a list, from w->cursor.minor. */
static int list_step(struct walk *w, const char *source, enum job_state state, bool *end)
{
    char first[DESK_NUMBER_MAX], last[DESK_NUMBER_MAX];
    const struct resp *reply;

    page_open(w, state, source);
    desk_ask(w->desk, "LRANGE", slice_cstr(source),
             DESK_ARGS(desk_number(first, w->cursor.minor),
                       desk_number(last, w->cursor.minor + DESK_STEP - 1)));
    int code = desk_take(w->desk, &reply);
    *end = true;
    if (code < 0 && readable(w, source, reply)) {
        for (size_t i = 0; i < reply->count; i++) {
            page_add(&w->page, reply->items[i].text, 0);
        }
        page_close(&w->page);
        *end = reply->count < DESK_STEP;
        w->cursor.minor += reply->count;
    }
    return code;
}

static int step_lists(struct walk *w)
{
    char source[KEYS_LIST_MAX + 1];
    uint64_t wanted = w->cursor.major, number = 0;
    struct slice name;
    bool end;

    if (!names_first(w, &number, &name)) {
        if (w->names_end) {
            next_part(w);
            return -1;
        }
        /* What follows the last one looked at; at the start of a walk, the cursor itself. */
        bool fresh = w->names.cap == 0;
        buf_reserve(&w->names, 1);
        int code = names_read(w, fresh ? wanted : wanted + 1);
        if (!names_first(w, &number, &name) || !fresh || number != wanted) {
            w->cursor.minor = 0; /* the list of the cursor is gone, or there was none */
        }
        return code;
    }
    uint64_t seen = w->cursor.major;
    snprintf(source, sizeof(source), SLICE_FMT, SLICE_ARG(name));
    w->cursor.major = number;
    int code = list_step(w, source, source[0] == 'b' ? JOB_PARKED : JOB_WAITING, &end);
    w->cursor.major = seen;
    if (end) {
        names_drop(w);
    }
    return code;
}

/* ---- due ---- */

static int step_due(struct walk *w)
{
    char source[16], first[DESK_NUMBER_MAX], last[DESK_NUMBER_MAX];
    const struct filter *f = w->filter;
    const struct resp *reply;
    uint64_t class = w->cursor.major;

    if (class >= JOB_CLASSES || !filter_takes_state(f, JOB_DUE)) {
        next_part(w);
        return -1;
    }
    snprintf(source, sizeof(source), "due:%s", job_class_name((enum job_class) class));
    page_open(w, JOB_DUE, source);
    if (f->class != FILTER_ANY && f->class != (int)class) {
        w->cursor.major++;
        return -1;
    }
    desk_ask(w->desk, "ZRANGE", slice_cstr(source),
             DESK_ARGS(desk_number(first, w->cursor.minor),
                       desk_number(last, w->cursor.minor + DESK_STEP - 1), SLICE("WITHSCORES")));
    int code = desk_take(w->desk, &reply);
    size_t count = code < 0 && readable(w, source, reply) ? reply->count / 2 : 0;
    for (size_t i = 0; i < count; i++) {
        page_add(&w->page, reply->items[2 * i].text, desk_score_ms(&reply->items[2 * i + 1]));
    }
    page_close(&w->page);
    w->cursor.minor += count;
    if (count < DESK_STEP) {
        w->cursor.major++;
        w->cursor.minor = 0;
    }
    return code;
}

/* ---- what nodes own, what orders hold ---- */

/* The smallest name behind w->cursor.name (or that name itself, to go on with it) among the
 * fields of a small hash: lives of nodes, orders.  Read in steps. */
static int name_next(struct walk *w, const char *hash, bool itself, char out[WALK_NAME_MAX + 1])
{
    struct slice after = slice_cstr(w->cursor.name);
    struct buf cursor = BUF_EMPTY;
    const struct resp *reply;
    int code = -1;

    out[0] = '\0';
    BUF_LIT(&cursor, "0");
    do {
        desk_ask(w->desk, "HSCAN", slice_cstr(hash), DESK_ARGS(buf_slice(&cursor)));
        code = desk_take(w->desk, &reply);
        if (code >= 0 || !readable(w, hash, reply) || reply->count != 2) {
            break;
        }
        const struct resp *pairs = &reply->items[1];
        for (size_t i = 0; i + 1 < pairs->count; i += 2) {
            struct slice name = pairs->items[i].text;
            int order = slice_cmp(name, after);
            if (name.len > 0 && name.len <= WALK_NAME_MAX && slice_find(name, '#') == name.len &&
                (order > 0 || (order == 0 && itself)) &&
                (out[0] == '\0' || slice_cmp(name, slice_cstr(out)) < 0)) {
                memcpy(out, name.ptr, name.len);
                out[name.len] = '\0';
            }
        }
        buf_reset(&cursor);
        buf_puts(&cursor, reply->items[0].text);
    } while (!slice_eq(buf_slice(&cursor), SLICE("0")));
    buf_fini(&cursor);
    return code;
}

/* Goes on with the name of the cursor, or to the next one, or to the next part. */
static int name_settle(struct walk *w, const char *hash, bool go_on)
{
    char name[WALK_NAME_MAX + 1];
    int code = name_next(w, hash, go_on, name);

    if (code < 0 && name[0] == '\0') {
        next_part(w);
    } else if (code < 0 && strcmp(name, w->cursor.name) != 0) {
        memcpy(w->cursor.name, name, sizeof(name));
        w->cursor.minor = w->cursor.skip = 0;
        w->cursor.major = 1;
    } else if (code < 0) {
        w->cursor.major = 1;
    }
    return code;
}

/* For these two parts `major` is 1 while the name stands and has more: a fresh walk and a
 * cursor from a command line find it out. */
static int step_owned(struct walk *w)
{
    char source[WALK_NAME_MAX + 16], text[DESK_NUMBER_MAX], count[DESK_NUMBER_MAX];
    const struct resp *reply;
    uint64_t next = 0;

    if (!filter_takes_state(w->filter, JOB_OWNED)) {
        next_part(w);
        return -1;
    }
    if (w->cursor.major == 0) {
        return name_settle(w, "nodes", w->cursor.minor > 0 || w->cursor.skip > 0);
    }
    snprintf(source, sizeof(source), "owned:%s", w->cursor.name);
    page_open(w, JOB_OWNED, source);
    desk_ask(w->desk, "HSCAN", slice_cstr(source),
             DESK_ARGS(desk_number(text, w->cursor.minor), SLICE("COUNT"),
                       desk_number(count, DESK_STEP)));
    int code = desk_take(w->desk, &reply);
    if (code < 0 && readable(w, source, reply) && reply->count == 2) {
        const struct resp *pairs = &reply->items[1];
        uint64_t jobs = 0;
        for (size_t i = 0; i + 1 < pairs->count; i += 2) {
            if (slice_starts(pairs->items[i].text, SLICE("#"))) {
                continue;
            }
            if (jobs++ >= w->cursor.skip) {
                page_add(&w->page, pairs->items[i + 1].text, 0);
            }
        }
        page_close(&w->page);
        if (slice_u64(reply->items[0].text, &next) != 0) {
            next = 0;
        }
    }
    w->cursor.minor = next;
    w->cursor.skip = 0;
    w->cursor.major = next != 0;
    return code;
}

static int step_held(struct walk *w)
{
    char source[WALK_NAME_MAX + 16];
    bool end;

    if (!filter_takes_state(w->filter, JOB_HELD)) {
        next_part(w);
        return -1;
    }
    if (w->cursor.major == 0) {
        return name_settle(w, "orders", w->cursor.minor > 0);
    }
    snprintf(source, sizeof(source), "held:%s", w->cursor.name);
    int code = list_step(w, source, JOB_HELD, &end);
    if (end) {
        w->cursor.major = w->cursor.minor = 0;
    }
    return code;
}

int walk_step(struct walk *w)
{
    w->page.count = 0;
    switch (w->cursor.part) {
    case WALK_LISTS:
        return step_lists(w);
    case WALK_DUE:
        return step_due(w);
    case WALK_OWNED:
        return step_owned(w);
    case WALK_HELD:
        return step_held(w);
    case WALK_END:
        break;
    }
    return -1;
}
