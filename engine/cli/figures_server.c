/*
 * figures_server.c - what is in a queue, in numbers: the server, limits, events.
 */
#include "engine/cli/figures.h"
#include "engine/base/mem.h"

#include <stdio.h>
#include <string.h>

/* ---- the server ---- */

static void keep(char *out, size_t size, struct slice text)
{
    snprintf(out, size, SLICE_FMT, SLICE_ARG(text));
}

static void take_info_line(struct figures *f, struct slice name, struct slice value)
{
    const struct {
        const char *name;
        uint64_t *target;
    } numbers[] = {{"used_memory", &f->used_memory}, {"maxmemory", &f->maxmemory}};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (slice_eq(name, slice_cstr(numbers[i].name)) &&
            slice_u64(value, numbers[i].target) != 0) {
            *numbers[i].target = 0;
        }
    }
    if (slice_eq(name, SLICE("redis_version")) && f->redis_version[0] == '\0') {
        keep(f->redis_version, sizeof(f->redis_version), value);
    } else if (slice_eq(name, SLICE("valkey_version"))) {
        snprintf(f->redis_version, sizeof(f->redis_version), "Valkey " SLICE_FMT, SLICE_ARG(value));
    } else if (slice_eq(name, SLICE("role"))) {
        keep(f->role, sizeof(f->role), value);
    } else if (slice_eq(name, SLICE("maxmemory_policy"))) {
        keep(f->policy, sizeof(f->policy), value);
    } else if (slice_eq(name, SLICE("loading"))) {
        f->loading = slice_eq(value, SLICE("1"));
    } else if (slice_eq(name, SLICE("aof_enabled"))) {
        f->aof = slice_eq(value, SLICE("1"));
    }
}

static int read_info(struct figures *f, struct desk *d)
{
    static const char *const sections[] = {"server", "memory", "persistence", "replication"};
    const struct resp *reply;
    int code = -1;

    for (size_t i = 0; code < 0 && i < sizeof(sections) / sizeof(sections[0]); i++) {
        desk_ask_plain(d, DESK_ARGS(SLICE("INFO"), slice_cstr(sections[i])));
        code = desk_take(d, &reply);
        struct slice rest = code < 0 && reply->type == RESP_STRING ? reply->text : SLICE_NONE;
        struct slice line;
        while (slice_next(&rest, '\n', &line)) {
            line = slice_trim(line);
            size_t colon = slice_find(line, ':');
            take_info_line(f, slice_of(line.ptr, colon), slice_from(line, colon + 1));
        }
    }
    return code;
}

/* One page of tenants and their numbers; the cursor goes on.  A Redis without the functions
 * has no list that could be asked for. */
static int add_suppressed(struct figures *f, const struct resp *page, struct buf *cursor)
{
    buf_reset(cursor);
    BUF_LIT(cursor, "0");
    f->has_suppressed = page->type == RESP_ARRAY && page->count > 0;
    if (f->has_suppressed) {
        buf_reset(cursor);
        buf_puts(cursor, page->items[0].text);
        for (size_t i = 2; i < page->count; i += 2) {
            int64_t number = 0;
            f->suppressed += resp_int(&page->items[i], &number) == 0 ? (uint64_t)number : 0;
        }
    }
    return -1;
}

static int read_suppressed(struct figures *f, struct desk *d)
{
    struct buf cursor = BUF_EMPTY, key = BUF_EMPTY;
    const struct resp *page;
    int code = -1;

    buf_printf(&key, "%s:suppress:{list}:meta", d->conf->queue.prefix);
    BUF_LIT(&cursor, "0");
    do {
        desk_ask_plain(d, DESK_ARGS(SLICE("FCALL"), SLICE("volley_suppress_tenants"), SLICE("1"),
                                    buf_slice(&key), buf_slice(&cursor)));
        code = desk_take(d, &page);
        code = code < 0 ? add_suppressed(f, page, &cursor) : code;
    } while (code < 0 && !slice_eq(buf_slice(&cursor), SLICE("0")));
    buf_fini(&cursor);
    buf_fini(&key);
    return code;
}

int figures_read_server(struct figures *f, struct desk *d)
{
    int code = read_info(f, d);

    return code < 0 ? read_suppressed(f, d) : code;
}

/* ---- one partition ---- */

static uint64_t number_of(const struct resp *r)
{
    int64_t value = 0;

    return resp_int(r, &value) == 0 && value > 0 ? (uint64_t)value : 0;
}

static int take_count(struct desk *d, const char *rest, uint64_t *sum)
{
    const struct resp *reply;
    int code = desk_take(d, &reply);

    if (code < 0 && reply->type == RESP_ERROR) {
        desk_complain(d, "%s%s: " SLICE_FMT, d->keys.base, rest, SLICE_ARG(reply->text));
    } else if (code < 0) {
        *sum += number_of(reply);
    }
    return code;
}

static int take_limits(struct figures *f, struct desk *d)
{
    const struct resp *reply;
    int code = desk_take(d, &reply);

    if (code < 0 && (reply->type != RESP_ARRAY || reply->count != 4)) {
        desk_complain(d, "%smeta is no hash: something else writes there", d->keys.base);
    } else if (code < 0) {
        f->submitted += number_of(&reply->items[0]);
        f->ended += number_of(&reply->items[1]);
        f->max_jobs += number_of(&reply->items[2]);
        f->max_memory = number_of(&reply->items[3]);
    }
    return code;
}

/* Jobs in held:<order> of every order. */
static int read_held(struct figures *f, struct desk *d, const struct resp *orders)
{
    struct buf names = BUF_EMPTY;
    struct slice rest, name;
    char key[96];
    int code = -1;

    for (size_t i = 0; i < orders->count; i++) {
        name = orders->items[i].text;
        if (name.len <= 64 && slice_find(name, '#') == name.len) {
            buf_puts(&names, name);
            buf_putc(&names, '\n');
        }
    }
    rest = buf_slice(&names);
    while (slice_next(&rest, '\n', &name) && name.len > 0) {
        snprintf(key, sizeof(key), "held:" SLICE_FMT, SLICE_ARG(name));
        desk_ask(d, "LLEN", slice_cstr(key), NULL, 0);
    }
    rest = buf_slice(&names);
    while (code < 0 && slice_next(&rest, '\n', &name) && name.len > 0) {
        snprintf(key, sizeof(key), "held:" SLICE_FMT, SLICE_ARG(name));
        code = take_count(d, key, &f->held);
    }
    buf_fini(&names);
    return code;
}

enum { ORDERS_MAX = 1000 }; /* fields; the functions allow 200 orders */

int figures_read_meta(struct figures *f, struct desk *d)
{
    const struct resp *reply;
    uint64_t orders = 0;

    desk_ask(d, "HMGET", SLICE("meta"),
             DESK_ARGS(SLICE("seq"), SLICE("out"), SLICE("max_jobs"), SLICE("max_memory")));
    desk_ask(d, "LLEN", SLICE("broken"), NULL, 0);
    desk_ask(d, "HLEN", SLICE("orders"), NULL, 0);
    int code = take_limits(f, d);
    code = code < 0 ? take_count(d, "broken", &f->broken) : code;
    code = code < 0 ? take_count(d, "orders", &orders) : code;
    if (code < 0 && orders > 0 && orders <= ORDERS_MAX) {
        desk_ask(d, "HKEYS", SLICE("orders"), NULL, 0);
        code = desk_take(d, &reply);
        code = code < 0 ? read_held(f, d, reply) : code;
    }
    return code;
}

/* ---- events ---- */

static int64_t entry_ms(const struct resp *entries)
{
    uint64_t ms = 0;

    if (entries->type != RESP_ARRAY || entries->count == 0 || entries->items[0].count == 0) {
        return 0;
    }
    struct slice id = entries->items[0].items[0].text;
    return slice_u64(slice_of(id.ptr, slice_find(id, '-')), &ms) == 0 && ms <= INT64_MAX
               ? desk_sane_ms((int64_t)ms)
               : 0;
}

static void add_consumers(struct figures *f, const struct resp *group)
{
    struct figures_consumers c = {.lag = -1};

    for (size_t i = 0; i + 1 < group->count; i += 2) {
        struct slice name = group->items[i].text;
        const struct resp *value = &group->items[i + 1];
        if (slice_eq(name, SLICE("name")) && c.name == NULL) {
            c.name = slice_dup(value->text);
        } else if (slice_eq(name, SLICE("pending"))) {
            (void)resp_int(value, &c.pending);
        } else if (slice_eq(name, SLICE("lag")) && resp_int(value, &c.lag) != 0) {
            c.lag = -1;
        }
    }
    if (c.name != NULL) {
        f->consumers = mem_realloc(f->consumers, (f->consumer_count + 1) * sizeof(c));
        f->consumers[f->consumer_count++] = c;
    }
}

static void widen(struct figures *f, int64_t first_ms, int64_t last_ms)
{
    if (first_ms > 0 && (f->event_first_ms == 0 || first_ms < f->event_first_ms)) {
        f->event_first_ms = first_ms;
    }
    f->event_last_ms = last_ms > f->event_last_ms ? last_ms : f->event_last_ms;
}

int figures_read_events(struct figures *f, struct desk *d)
{
    const struct resp *reply;
    uint64_t entries = 0;
    int64_t first_ms = 0;

    desk_ask(d, "XLEN", SLICE("events"), NULL, 0);
    int code = take_count(d, "events", &entries);
    f->event_entries += entries;
    if (code >= 0 || entries == 0) {
        return code;
    }
    desk_ask(d, "XRANGE", SLICE("events"),
             DESK_ARGS(SLICE("-"), SLICE("+"), SLICE("COUNT"), SLICE("1")));
    desk_ask(d, "XREVRANGE", SLICE("events"),
             DESK_ARGS(SLICE("+"), SLICE("-"), SLICE("COUNT"), SLICE("1")));
    code = desk_take(d, &reply);
    first_ms = code < 0 ? entry_ms(reply) : 0;
    code = code < 0 ? desk_take(d, &reply) : code;
    widen(f, first_ms, code < 0 ? entry_ms(reply) : 0);
    if (code < 0) {
        struct buf key = BUF_EMPTY;
        keys_put(&key, &d->keys, SLICE("events"));
        desk_ask_plain(d, DESK_ARGS(SLICE("XINFO"), SLICE("GROUPS"), buf_slice(&key)));
        buf_fini(&key);
        code = desk_take(d, &reply);
    }
    for (size_t i = 0; code < 0 && reply->type == RESP_ARRAY && i < reply->count; i++) {
        add_consumers(f, &reply->items[i]);
    }
    return code;
}
