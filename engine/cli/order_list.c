/*
 * order_list.c - the orders of a queue, read and shown.
 */
#include "engine/cli/order_list.h"
#include "engine/base/json.h"
#include "engine/base/mem.h"

#include <string.h>

void order_list_init(struct order_list *o)
{
    *o = (struct order_list){.known = true};
}

void order_list_fini(struct order_list *o)
{
    for (size_t i = 0; i < o->count; i++) {
        mem_free(o->row[i].id);
        mem_free(o->row[i].kind);
        mem_free(o->row[i].state);
        mem_free(o->row[i].words);
    }
    mem_free(o->row);
    order_list_init(o);
}

const struct order_row *order_list_find(const struct order_list *o, struct slice id)
{
    for (size_t i = 0; i < o->count; i++) {
        if (slice_eq(slice_cstr(o->row[i].id), id)) {
            return &o->row[i];
        }
    }
    return NULL;
}

static void keep(char **out, struct slice text)
{
    mem_free(*out);
    *out = slice_dup(text);
}

static void take_number(struct order_row *row, struct slice name, const struct resp *value)
{
    int64_t number = 0;

    if (resp_int(value, &number) != 0) {
        return;
    }
    if (slice_eq(name, SLICE("created_ms"))) {
        row->created_ms = desk_sane_ms(number);
    } else if (slice_eq(name, SLICE("expires_ms"))) {
        row->expires_ms = desk_sane_ms(number);
    } else if (slice_eq(name, SLICE("held"))) {
        row->held = number > 0 ? (uint64_t)number : 0;
    } else if (slice_eq(name, SLICE("ended"))) {
        row->ended = number > 0 ? (uint64_t)number : 0;
    }
}

static bool is_number(struct slice name)
{
    return slice_eq(name, SLICE("created_ms")) || slice_eq(name, SLICE("expires_ms")) ||
           slice_eq(name, SLICE("held")) || slice_eq(name, SLICE("ended"));
}

/* Names and values of one order; what is not about the order itself says which jobs it means. */
static void read_row(struct order_row *row, const struct resp *fields)
{
    struct buf words = BUF_EMPTY;

    *row = (struct order_row){.id = NULL};
    keep(&row->id, SLICE_NONE);
    keep(&row->kind, SLICE_NONE);
    keep(&row->state, SLICE_NONE);
    for (size_t i = 0; i + 1 < fields->count; i += 2) {
        struct slice name = fields->items[i].text, value = fields->items[i + 1].text;
        if (slice_eq(name, SLICE("id"))) {
            keep(&row->id, value);
        } else if (slice_eq(name, SLICE("kind"))) {
            keep(&row->kind, value);
        } else if (slice_eq(name, SLICE("state"))) {
            keep(&row->state, value);
        } else if (is_number(name)) {
            take_number(row, name, &fields->items[i + 1]);
        } else if (fields->items[i + 1].type == RESP_STRING) {
            buf_printf(&words, "%s" SLICE_FMT "=" SLICE_FMT, words.len > 0 ? " " : "",
                       SLICE_ARG(name), SLICE_ARG(value));
        }
    }
    row->words = slice_dup(buf_slice(&words));
    buf_fini(&words);
}

static void row_fini(struct order_row *row)
{
    mem_free(row->id);
    mem_free(row->kind);
    mem_free(row->state);
    mem_free(row->words);
}

static void add_row(struct order_list *o, const struct resp *fields)
{
    struct order_row row;

    read_row(&row, fields);
    for (size_t i = 0; i < o->count; i++) {
        if (strcmp(o->row[i].id, row.id) == 0) { /* the same in another partition */
            o->row[i].held += row.held;
            o->row[i].ended += row.ended;
            row_fini(&row);
            return;
        }
    }
    if (o->count == ORDERS_SHOWN_MAX) {
        row_fini(&row);
        return;
    }
    o->row = mem_realloc(o->row, (o->count + 1) * sizeof(row));
    o->row[o->count++] = row;
}

static bool no_function(const struct resp *reply)
{
    return slice_starts(reply->text, SLICE("ERR Function not found")) ||
           slice_starts(reply->text, SLICE("ERR unknown command"));
}

int order_list_read(struct order_list *o, struct desk *d)
{
    const struct resp *reply;
    int code = -1;

    for (unsigned p = 0; code < 0 && p < d->partitions && o->known; p++) {
        desk_partition(d, p);
        desk_ask_function(d, "volley_orders", NULL, 0);
        code = desk_take(d, &reply);
        if (code < 0 && reply->type == RESP_ERROR && no_function(reply)) {
            o->known = false;
        } else if (code < 0 && reply->type == RESP_ERROR) {
            desk_complain(d, "orders: " SLICE_FMT, SLICE_ARG(reply->text));
        }
        for (size_t i = 0; code < 0 && reply->type == RESP_ARRAY && i < reply->count; i++) {
            add_row(o, &reply->items[i]);
        }
    }
    desk_partition(d, 0);
    return code;
}

/* ---- shown ---- */

static void put_count_cell(struct table *t, uint64_t value)
{
    struct buf text = BUF_EMPTY;

    table_put_count(&text, value);
    table_cell(t, buf_slice(&text));
    buf_fini(&text);
}

void order_list_put_text(struct buf *out, const struct order_list *o, int64_t now_ms)
{
    static const char *const heads[] = {"order", "kind", "state", "placed",
                                        "until", "held", "ended", "jobs"};
    struct table t;
    struct buf text = BUF_EMPTY;

    table_init(&t, "lllllrrl");
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        table_cell(&t, slice_cstr(heads[i]));
    }
    for (size_t i = 0; i < o->count; i++) {
        const struct order_row *row = &o->row[i];
        table_cell(&t, slice_cstr(row->id));
        table_cell(&t, slice_cstr(row->kind));
        table_cell(&t, slice_cstr(row->state));
        buf_reset(&text);
        desk_put_age(&text, now_ms - row->created_ms);
        table_cellf(&t, SLICE_FMT " ago", SLICE_ARG(buf_slice(&text)));
        buf_reset(&text);
        if (row->expires_ms > 0) {
            desk_put_time(&text, row->expires_ms);
        } else {
            BUF_LIT(&text, "resumed");
        }
        table_cell(&t, buf_slice(&text));
        put_count_cell(&t, row->held);
        put_count_cell(&t, row->ended);
        table_cell(&t, slice_cstr(row->words));
    }
    table_put(out, &t, 0);
    table_fini(&t);
    buf_fini(&text);
}

void order_row_put_json(struct buf *out, const struct order_row *row)
{
    struct slice rest = slice_cstr(row->words), word;

    json_object_open(out);
    json_put_cstr(out, "id", row->id);
    json_put_cstr(out, "kind", row->kind);
    json_put_cstr(out, "state", row->state);
    json_put_i64(out, "created_ms", row->created_ms);
    json_put_i64(out, "expires_ms", row->expires_ms);
    json_put_u64(out, "held", row->held);
    json_put_u64(out, "ended", row->ended);
    json_key(out, "jobs");
    json_object_open(out);
    while (slice_next(&rest, ' ', &word) && word.len > 0) {
        size_t at = slice_find(word, '=');
        json_key_slice(out, slice_of(word.ptr, at));
        json_str(out, slice_from(word, at + 1));
    }
    json_object_close(out);
    json_object_close(out);
}

void order_list_put_json(struct buf *out, const struct order_list *o)
{
    json_array_open(out);
    for (size_t i = 0; i < o->count; i++) {
        order_row_put_json(out, &o->row[i]);
    }
    json_array_close(out);
}
