/*
 * find.c - one job in a queue of any size.
 */
#include "engine/cli/find.h"
#include "engine/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHORT_LIST = 400, /* read as a whole */
    WINDOW = 200,     /* read on both sides of where bisection ended */
    SCAN_STEP = 500,
    RECIPIENTS = 1000,
    RECIPIENTS_STEP = 200,
};

void find_init(struct find *f, struct desk *d, struct slice id, uint64_t scan)
{
    *f = (struct find){.desk = d, .id = id, .scan = scan};
}

void find_fini(struct find *f)
{
    for (size_t i = 0; i < f->count; i++) {
        mem_free(f->job[i].record);
        mem_free(f->job[i].source);
    }
    mem_free(f->job);
}

/* With a recipient's number there is one record to be found. */
static bool whole_job(const struct find *f)
{
    return f->id.len == RECORD_JOB_LEN;
}

static bool finished(const struct find *f)
{
    return f->count > 0 && !whole_job(f);
}

static bool is_it(const struct find *f, struct slice record)
{
    struct slice id = record_peek_id(record);

    if (whole_job(f)) {
        return id.len > RECORD_JOB_LEN && id.ptr[RECORD_JOB_LEN] == '.' && slice_starts(id, f->id);
    }
    return slice_eq(id, f->id);
}

static void keep(struct find *f, struct slice record, enum job_state state, const char *source,
                 int64_t due_ms)
{
    for (size_t i = 0; i < f->count; i++) { /* seen in two looks at one list */
        if (slice_eq(slice_of(f->job[i].record, f->job[i].record_len), record) &&
            strcmp(f->job[i].source, source) == 0) {
            return;
        }
    }
    if (f->count < FIND_MAX) {
        f->job = mem_realloc(f->job, (f->count + 1) * sizeof(*f->job));
        f->job[f->count++] = (struct found_job){.record = mem_dup(record.ptr, record.len),
                                                .record_len = record.len,
                                                .state = state,
                                                .source = mem_dup(source, strlen(source)),
                                                .due_ms = due_ms};
    }
}

static void complain(struct find *f, const char *rest, const struct resp *reply)
{
    desk_complain(f->desk, "%s%s cannot be read: " SLICE_FMT, f->desk->keys.base, rest,
                  SLICE_ARG(reply->text));
}

/* ---- what nodes own ---- */

static void ask_owned(struct find *f, struct slice key, unsigned from)
{
    struct buf *out = sync_begin(f->desk->redis);
    char field[RECORD_ID_LEN_MAX + 8];
    unsigned count = whole_job(f) ? RECIPIENTS_STEP : 1;

    resp_put_count(out, 2 + count);
    resp_put_arg(out, SLICE("HMGET"));
    keys_put_arg2(out, &f->desk->keys, SLICE("owned:"), key);
    for (unsigned i = 0; i < count; i++) {
        int len = whole_job(f)
                      ? snprintf(field, sizeof(field), SLICE_FMT ".%u", SLICE_ARG(f->id), from + i)
                      : snprintf(field, sizeof(field), SLICE_FMT, SLICE_ARG(f->id));
        resp_put_arg(out, slice_of(field, (size_t)len));
    }
    sync_end(f->desk->redis);
}

static int look_at_life(struct find *f, struct slice life)
{
    struct buf source = BUF_EMPTY;
    const struct resp *reply;
    int code = -1;

    buf_printf(&source, "owned:" SLICE_FMT, SLICE_ARG(life));
    buf_terminate(&source);
    for (unsigned from = 1; code < 0 && from <= (whole_job(f) ? RECIPIENTS : 1);
         from += RECIPIENTS_STEP) {
        ask_owned(f, life, from);
        code = desk_take(f->desk, &reply);
        if (code < 0 && reply->type != RESP_ARRAY) {
            complain(f, source.ptr, reply);
            break;
        }
        for (size_t i = 0; code < 0 && i < reply->count; i++) {
            if (reply->items[i].type == RESP_STRING) {
                keep(f, reply->items[i].text, JOB_OWNED, source.ptr, 0);
            }
        }
    }
    buf_fini(&source);
    return code;
}

/* Fields of a small hash, without those of the functions, as lines. */
static int read_names(struct find *f, const char *hash, struct buf *names)
{
    struct buf cursor = BUF_EMPTY;
    const struct resp *page;
    int code = -1;

    BUF_LIT(&cursor, "0");
    do {
        desk_ask(f->desk, "HSCAN", slice_cstr(hash), DESK_ARGS(buf_slice(&cursor)));
        code = desk_take(f->desk, &page);
        if (code < 0 && (page->type != RESP_ARRAY || page->count != 2)) {
            complain(f, hash, page);
            break;
        }
        for (size_t i = 0; code < 0 && i + 1 < page->items[1].count; i += 2) {
            struct slice name = page->items[1].items[i].text;
            if (name.len > 0 && name.len < 200 && slice_find(name, '#') == name.len &&
                slice_find(name, '\n') == name.len) {
                buf_puts(names, name);
                buf_putc(names, '\n');
            }
        }
        buf_reset(&cursor);
        buf_puts(&cursor, code < 0 ? page->items[0].text : SLICE("0"));
    } while (code < 0 && !slice_eq(buf_slice(&cursor), SLICE("0")));
    buf_fini(&cursor);
    return code;
}

static int look_at_owned(struct find *f)
{
    struct buf lives = BUF_EMPTY;
    struct slice rest, life;
    int code = read_names(f, "nodes", &lives);

    rest = buf_slice(&lives);
    while (code < 0 && !finished(f) && slice_next(&rest, '\n', &life) && life.len > 0) {
        code = look_at_life(f, life);
    }
    buf_fini(&lives);
    return code;
}

/* ---- due ---- */

/* The members are whole records: the id stands behind three bytes. */
static int look_at_due(struct find *f, const char *source)
{
    struct buf cursor = BUF_EMPTY, pattern = BUF_EMPTY;
    char count[DESK_NUMBER_MAX];
    const struct resp *page;
    int code = -1;

    BUF_LIT(&cursor, "0");
    buf_printf(&pattern, "\?\?\?" SLICE_FMT "%s", SLICE_ARG(f->id), whole_job(f) ? ".*" : "*");
    do {
        desk_ask(f->desk, "ZSCAN", slice_cstr(source),
                 DESK_ARGS(buf_slice(&cursor), SLICE("MATCH"), buf_slice(&pattern), SLICE("COUNT"),
                           desk_number(count, SCAN_STEP)));
        code = desk_take(f->desk, &page);
        if (code < 0 && (page->type != RESP_ARRAY || page->count != 2)) {
            complain(f, source, page);
            break;
        }
        for (size_t i = 0; code < 0 && i + 1 < page->items[1].count; i += 2) {
            const struct resp *pair = &page->items[1].items[i];
            if (is_it(f, pair[0].text)) {
                keep(f, pair[0].text, JOB_DUE, source, desk_score_ms(&pair[1]));
            }
        }
        buf_reset(&cursor);
        buf_puts(&cursor, code < 0 ? page->items[0].text : SLICE("0"));
    } while (code < 0 && !slice_eq(buf_slice(&cursor), SLICE("0")) && !finished(f));
    buf_fini(&cursor);
    buf_fini(&pattern);
    return code;
}

/* ---- lists ---- */

static void ask_range(struct find *f, struct slice name, uint64_t from, uint64_t count)
{
    char first[DESK_NUMBER_MAX], last[DESK_NUMBER_MAX];

    desk_ask(f->desk, "LRANGE", name,
             DESK_ARGS(desk_number(first, from), desk_number(last, from + count - 1)));
}

static int take_range(struct find *f, const char *name, enum job_state state, size_t *count)
{
    const struct resp *reply;
    int code = desk_take(f->desk, &reply);

    *count = 0;
    if (code < 0 && reply->type != RESP_ARRAY) {
        complain(f, name, reply);
    }
    for (size_t i = 0; code < 0 && reply->type == RESP_ARRAY && i < reply->count; i++) {
        if (is_it(f, reply->items[i].text)) {
            keep(f, reply->items[i].text, state, name, 0);
        }
        (*count)++;
    }
    return code;
}

/* Where in a long list records of about this age are. */
static int bisect(struct find *f, struct slice name, uint64_t len, uint64_t *place)
{
    struct slice job = slice_of(f->id.ptr, RECORD_JOB_LEN);
    uint64_t low = 0, high = len;
    char at[DESK_NUMBER_MAX];
    const struct resp *reply;
    int code = -1;

    while (code < 0 && low < high) {
        uint64_t middle = low + (high - low) / 2;
        desk_ask(f->desk, "LINDEX", name, DESK_ARGS(desk_number(at, middle)));
        code = desk_take(f->desk, &reply);
        struct slice id =
            code < 0 && reply->type == RESP_STRING ? record_peek_id(reply->text) : SLICE_NONE;
        if (id.len < RECORD_JOB_LEN || slice_cmp(slice_of(id.ptr, RECORD_JOB_LEN), job) >= 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    *place = low;
    return code;
}

static int look_where_it_should_be(struct find *f, const char *name, enum job_state state,
                                   uint64_t len)
{
    uint64_t place = 0;
    size_t count = WINDOW;
    int code = bisect(f, slice_cstr(name), len, &place);

    if (code < 0) {
        size_t before = f->count;
        uint64_t from = place > WINDOW ? place - WINDOW : 0;
        do { /* a job's recipients stand together, and may be more than a window */
            before = f->count;
            ask_range(f, slice_cstr(name), from, 2 * WINDOW);
            code = take_range(f, name, state, &count);
            from += 2 * WINDOW;
        } while (code < 0 && f->count > before && !finished(f));
    }
    return code;
}

static int look_at_all(struct find *f, const char *name, enum job_state state)
{
    size_t count = DESK_STEP;
    uint64_t from = 0;
    int code = -1;

    while (code < 0 && count == DESK_STEP && !finished(f)) {
        if (f->looked >= f->scan) {
            f->cut = true;
            break;
        }
        ask_range(f, slice_cstr(name), from, DESK_STEP);
        code = take_range(f, name, state, &count);
        from += count;
        f->looked += count;
    }
    return code;
}

/* Lists of one page: "name\n" ...  Short ones as a whole, several at a time; long ones where it
 * should be, or (`slowly`) all through. */
static int look_at_lists(struct find *f, const struct buf *names, bool held, bool slowly)
{
    struct slice rest = buf_slice(names), name;
    const struct resp *reply;
    int64_t len[DESK_STEP];
    size_t n = 0, count;
    int code = -1;

    while (n < DESK_STEP && slice_next(&rest, '\n', &name) && name.len > 0) {
        desk_ask(f->desk, "LLEN", name, NULL, 0);
        n++;
    }
    rest = buf_slice(names);
    for (size_t i = 0; code < 0 && i < n; i++) {
        slice_next(&rest, '\n', &name);
        code = desk_take(f->desk, &reply);
        if (code < 0 && (reply->type == RESP_ERROR || resp_int(reply, &len[i]) != 0)) {
            desk_complain(f->desk, "%s" SLICE_FMT " is no list", f->desk->keys.base,
                          SLICE_ARG(name));
            len[i] = 0;
        }
    }
    rest = buf_slice(names);
    for (size_t i = 0; code < 0 && i < n && !finished(f); i++) {
        char key[KEYS_LIST_MAX + 1];
        slice_next(&rest, '\n', &name);
        snprintf(key, sizeof(key), SLICE_FMT, SLICE_ARG(name));
        enum job_state state = held ? JOB_HELD : key[0] == 'b' ? JOB_PARKED : JOB_WAITING;
        if (len[i] > SHORT_LIST) {
            code = slowly ? look_at_all(f, key, state)
                          : look_where_it_should_be(f, key, state, (uint64_t)len[i]);
        } else if (len[i] > 0 && !slowly) {
            ask_range(f, name, 0, SHORT_LIST);
            code = take_range(f, key, state, &count);
        }
    }
    return code;
}

/* All lists of the index, in steps by their numbers. */
static int look_at_index(struct find *f, bool slowly)
{
    struct buf after = BUF_EMPTY, names = BUF_EMPTY;
    char limit[DESK_NUMBER_MAX];
    struct list_name list;
    const struct resp *page;
    size_t count = DESK_STEP;
    int code = -1;

    BUF_LIT(&after, "-inf");
    while (code < 0 && count == DESK_STEP && !finished(f) && !f->cut) {
        desk_ask(f->desk, "ZRANGEBYSCORE", SLICE("bins"),
                 DESK_ARGS(buf_slice(&after), SLICE("+inf"), SLICE("WITHSCORES"), SLICE("LIMIT"),
                           SLICE("0"), desk_number(limit, DESK_STEP)));
        code = desk_take(f->desk, &page);
        if (code < 0 && page->type != RESP_ARRAY) {
            complain(f, "bins", page);
            break;
        }
        count = code < 0 ? page->count / 2 : 0;
        buf_reset(&names);
        for (size_t i = 0; i < count; i++) {
            struct slice name = page->items[2 * i].text;
            if (list_name_parse(&list, name) == 0) {
                buf_puts(&names, name);
                buf_putc(&names, '\n');
            }
            buf_reset(&after);
            buf_putc(&after, '(');
            buf_puts(&after, page->items[2 * i + 1].text);
        }
        code = code < 0 ? look_at_lists(f, &names, false, slowly) : code;
    }
    buf_fini(&after);
    buf_fini(&names);
    return code;
}

static int look_at_held(struct find *f, bool slowly)
{
    struct buf orders = BUF_EMPTY, names = BUF_EMPTY;
    struct slice rest, order;
    int code = read_names(f, "orders", &orders);

    rest = buf_slice(&orders);
    while (code < 0 && slice_next(&rest, '\n', &order) && order.len > 0 && !finished(f)) {
        buf_reset(&names);
        buf_printf(&names, "held:" SLICE_FMT "\n", SLICE_ARG(order));
        code = look_at_lists(f, &names, true, slowly);
    }
    buf_fini(&orders);
    buf_fini(&names);
    return code;
}

/* By recipient: "id.2" before "id.10". */
static int by_recipient(const void *a, const void *b)
{
    const struct found_job *x = a, *y = b;
    struct slice id_x = record_peek_id(slice_of(x->record, x->record_len));
    struct slice id_y = record_peek_id(slice_of(y->record, y->record_len));

    return id_x.len != id_y.len ? (id_x.len < id_y.len ? -1 : 1) : slice_cmp(id_x, id_y);
}

int find_job(struct find *f)
{
    char source[16];
    int code = look_at_owned(f);

    if (code < 0 && !finished(f)) {
        code = look_at_index(f, false);
    }
    if (code < 0 && !finished(f)) {
        code = look_at_held(f, false);
    }
    for (unsigned c = 0; code < 0 && c < JOB_CLASSES && !finished(f); c++) {
        snprintf(source, sizeof(source), "due:%s", job_class_name(c));
        code = look_at_due(f, source);
    }
    if (code < 0 && f->count == 0) {
        code = look_at_index(f, true);
    }
    if (code < 0 && f->count == 0 && !f->cut) {
        code = look_at_held(f, true);
    }
    if (f->count > 1) {
        qsort(f->job, f->count, sizeof(*f->job), by_recipient);
    }
    return code;
}
