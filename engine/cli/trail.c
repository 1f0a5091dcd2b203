/*
 * trail.c - the events of one job, from the end of the stream backwards.
 *
 * Events are written by engine/base/json.c: no blanks between tokens, and a quote inside a
 * string is escaped, so an unescaped "name": is what it looks like (as in follow.c).
 */
#include "engine/cli/trail.h"
#include "engine/base/json.h"
#include "engine/base/mem.h"
#include "engine/cli/table.h"

#include <stdio.h>
#include <string.h>

enum { STEP = 20, CLOCK_SLACK_MS = 60 * 1000 };

void trail_init(struct trail *t)
{
    *t = (struct trail){.count = 0};
}

void trail_fini(struct trail *t)
{
    for (size_t i = 0; i < t->count; i++) {
        mem_free(t->line[i]);
    }
    mem_free(t->line);
}

/* ---- the pure part ---- */

struct slice trail_field(struct slice line, const char *name)
{
    char mark[40];
    int len = snprintf(mark, sizeof(mark), "\"%s\":", name);
    const char *at = line.len > 0 ? memmem(line.ptr, line.len, mark, (size_t)len) : NULL;

    if (at == NULL) {
        return SLICE_NONE;
    }
    struct slice rest = slice_from(line, (size_t)(at - line.ptr) + (size_t)len);
    size_t end = 0;
    if (rest.len > 0 && rest.ptr[0] == '"') {
        rest = slice_from(rest, 1);
        while (end < rest.len && rest.ptr[end] != '"') {
            end += rest.ptr[end] == '\\' && end + 1 < rest.len ? 2 : 1;
        }
    } else {
        while (end < rest.len && rest.ptr[end] != ',' && rest.ptr[end] != '}') {
            end++;
        }
    }
    return slice_of(rest.ptr, end);
}

/* ---- the stream ---- */

static void keep(struct trail *t, struct slice line)
{
    if (t->count < TRAIL_MAX) {
        t->line = mem_realloc(t->line, (t->count + 1) * sizeof(*t->line));
        t->line[t->count++] = slice_dup(line);
    }
}

/* Lines of an entry are in the order in which they were written: the last one first here. */
static void take_lines(struct trail *t, struct slice lines, struct slice mark)
{
    while (lines.len > 0) {
        size_t start = lines.len - (lines.ptr[lines.len - 1] == '\n' ? 1 : 0);
        size_t end = start;
        while (start > 0 && lines.ptr[start - 1] != '\n') {
            start--;
        }
        struct slice line = slice_of(lines.ptr + start, end - start);
        if (line.len > 0 && memmem(line.ptr, line.len, mark.ptr, mark.len) != NULL) {
            keep(t, line);
        }
        lines.len = start;
    }
}

static void take_entry(struct trail *t, const struct resp *entry, struct slice mark,
                       struct buf *before)
{
    const struct resp *fields = &entry->items[1];

    t->looked++;
    buf_reset(before);
    buf_putc(before, '(');
    buf_puts(before, entry->items[0].text);
    for (size_t i = 0; i + 1 < fields->count; i += 2) {
        if (slice_eq(fields->items[i].text, SLICE("events"))) {
            take_lines(t, fields->items[i + 1].text, mark);
        }
    }
}

int trail_read(struct trail *t, struct desk *d, struct slice id, int64_t created_ms,
               uint64_t entries)
{
    struct buf mark = BUF_EMPTY, before = BUF_EMPTY, since = BUF_EMPTY;
    char count[DESK_NUMBER_MAX];
    const struct resp *page;
    size_t got = STEP;
    int code = -1;

    buf_printf(&mark, "\"event\":\"" SLICE_FMT ".", SLICE_ARG(id));
    buf_printf(&since, "%lld",
               (long long)(created_ms > CLOCK_SLACK_MS ? created_ms - CLOCK_SLACK_MS : 0));
    BUF_LIT(&before, "+");
    while (code < 0 && got == STEP && t->looked < entries) {
        desk_ask(d, "XREVRANGE", SLICE("events"),
                 DESK_ARGS(buf_slice(&before), buf_slice(&since), SLICE("COUNT"),
                           desk_number(count, STEP)));
        code = desk_take(d, &page);
        if (code < 0 && page->type != RESP_ARRAY) {
            desk_complain(d, "%sevents cannot be read: " SLICE_FMT, d->keys.base,
                          SLICE_ARG(page->text));
            break;
        }
        got = code < 0 ? page->count : 0;
        for (size_t i = 0; i < got; i++) {
            if (page->items[i].count == 2) {
                take_entry(t, &page->items[i], buf_slice(&mark), &before);
            }
        }
    }
    t->cut = code < 0 && got == STEP;
    buf_fini(&mark);
    buf_fini(&before);
    buf_fini(&since);
    return code;
}

/* ---- shown ---- */

void trail_put_text(struct buf *out, const struct trail *t)
{
    static const char *const columns[] = {"time", "type", "attempt", "stage", "code", "mx", "text"};
    enum { COLUMNS = sizeof(columns) / sizeof(columns[0]) };
    struct table table;

    if (t->count > 0) {
        table_init(&table, "llrlrll");
        for (size_t c = 0; c < COLUMNS; c++) {
            table_cell(&table, slice_cstr(columns[c]));
        }
        for (size_t i = t->count; i > 0; i--) {
            struct slice line = slice_cstr(t->line[i - 1]);
            for (size_t c = 0; c < COLUMNS; c++) {
                table_cell(&table, trail_field(line, columns[c]));
            }
        }
        buf_putc(out, '\n');
        table_put(out, &table, 0);
        table_fini(&table);
    } else {
        buf_printf(out, "\nno event of it among the %llu entries looked at\n",
                   (unsigned long long)t->looked);
    }
    if (t->cut) {
        BUF_LIT(out, "older entries were not looked at; --events goes further back\n");
    }
}

void trail_put_json(struct buf *out, const struct trail *t)
{
    json_key(out, "events");
    json_array_open(out);
    for (size_t i = t->count; i > 0; i--) {
        /* An event is a JSON object already; who else writes into the stream is not trusted. */
        struct slice line = slice_trim(slice_cstr(t->line[i - 1]));
        json_str(out, line);
    }
    json_array_close(out);
    json_put_u64(out, "entries_looked_at", t->looked);
    json_put_bool(out, "events_cut", t->cut);
}
