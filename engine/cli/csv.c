/*
 * csv.c - one row of a CSV file at a time (RFC 4180).
 *
 * A row is scanned from its start whenever more bytes arrive: nothing is remembered between
 * calls, and a file window holds hundreds of rows, so the second look is rare.
 */
#include "engine/cli/csv.h"

#include <string.h>

void csv_init(struct csv *csv, char separator)
{
    *csv = (struct csv){.separator = separator, .line = 1};
}

void csv_fini(struct csv *csv)
{
    buf_fini(&csv->fields);
    buf_fini(&csv->text);
}

/* Length of the line end at `at`; 0 when there is none, or when that cannot be told yet. */
static size_t break_len(struct slice window, size_t at)
{
    if (at >= window.len) {
        return 0;
    }
    if (window.ptr[at] == '\r') {
        return at + 1 < window.len && window.ptr[at + 1] == '\n' ? 2 : 1;
    }
    return window.ptr[at] == '\n' ? 1 : 0;
}

/* A CR at the end of the window may be half of CRLF. */
static bool break_is_open(struct slice window, size_t at, bool end)
{
    return !end && at + 1 == window.len && window.ptr[at] == '\r';
}

/* Offset of the first line end, or window.len. */
static size_t find_break(struct slice window)
{
    for (size_t i = 0; i < window.len; i++) {
        if (window.ptr[i] == '\n' || window.ptr[i] == '\r') {
            return i;
        }
    }
    return window.len;
}

static uint64_t count_breaks(struct slice text)
{
    uint64_t count = 0;

    for (size_t at = find_break(text); at < text.len; at = find_break(text)) {
        count++;
        text = slice_from(text, at + break_len(text, at));
    }
    return count;
}

/* ---- one row ---- */

struct scan {
    struct csv *csv;
    struct slice window;
    bool end;
    size_t at;
    const char *what; /* the row is bad */
    bool astray;      /* and it cannot be said where it ends */
    bool more;        /* the window ends too early */
};

static void field_add(struct scan *s, struct slice field)
{
    if (s->csv->fields.len / sizeof(field) == CSV_FIELDS_MAX) {
        s->what = "more than 1000 fields";
        return;
    }
    buf_put(&s->csv->fields, &field, sizeof(field));
}

/* Whether the row, or the field, ends here. */
static bool at_separator(const struct scan *s)
{
    char c = s->window.ptr[s->at];

    return c == s->csv->separator || c == '\n' || c == '\r';
}

static void scan_plain(struct scan *s)
{
    size_t start = s->at;

    while (s->at < s->window.len && !at_separator(s)) {
        if (s->window.ptr[s->at] == '"') {
            s->what = "a quote inside a field that does not begin with one; write it twice and "
                      "put the field into quotes";
            return;
        }
        s->at++;
    }
    s->more = s->at == s->window.len && !s->end;
    field_add(s, slice_of(s->window.ptr + start, s->at - start));
}

/* Copies a field with its doubled quotes made single.  The copies of a row are never longer
 * than the row, and that much is reserved, so they stay where they are. */
static struct slice undouble(struct buf *text, struct slice field)
{
    size_t start = text->len;

    for (size_t i = 0; i < field.len; i++) {
        buf_putc(text, field.ptr[i]);
        i += field.ptr[i] == '"' ? 1 : 0;
    }
    return slice_of(text->ptr + start, text->len - start);
}

static void scan_quoted(struct scan *s)
{
    size_t start = s->at + 1;
    bool doubled = false;

    for (s->at = start;; s->at += 2) { /* behind a doubled quote */
        struct slice rest = slice_from(s->window, s->at);
        s->at += slice_find(rest, '"');
        if (s->at >= s->window.len) {
            s->more = !s->end;
            s->what = s->end ? "a quote is opened and never closed" : NULL;
            s->astray = true;
            return;
        }
        if (s->at + 1 == s->window.len && !s->end) {
            s->more = true;
            return;
        }
        if (s->at + 1 == s->window.len || s->window.ptr[s->at + 1] != '"') {
            break;
        }
        doubled = true;
    }
    struct slice field = slice_of(s->window.ptr + start, s->at - start);
    s->at++;
    if (s->at < s->window.len && !at_separator(s)) {
        s->what = "text behind a closing quote; write a quote inside a field twice";
        s->astray = true;
        return;
    }
    field_add(s, doubled ? undouble(&s->csv->text, field) : field);
}

/* Scans fields until the row ends, breaks off, or turns out bad. */
static void scan_row(struct scan *s)
{
    for (;;) {
        if (s->at < s->window.len && s->window.ptr[s->at] == '"') {
            scan_quoted(s);
        } else {
            scan_plain(s);
        }
        if (s->what != NULL || s->more) {
            return;
        }
        if (s->at == s->window.len || s->window.ptr[s->at] != s->csv->separator) {
            s->more = s->at < s->window.len && break_is_open(s->window, s->at, s->end);
            return;
        }
        s->at++;
    }
}

/* ---- rows ---- */

/* Goes on behind the line that `from` stands in.  As long as quotes are in order that is the
 * end of the bad row; when one is not, only the row's first line is given up, because the
 * quote is most likely a mistake there. */
static enum csv_result give_up(struct csv *csv, struct slice window, size_t from, bool end,
                               struct csv_row *row)
{
    size_t at = from + find_break(slice_from(window, from));

    if (at == window.len || break_is_open(window, at, end)) {
        csv->skipping = true;
        row->len = at;
    } else {
        row->len = at + break_len(window, at);
    }
    csv->line += count_breaks(slice_of(window.ptr, row->len));
    return CSV_BAD;
}

/* Drops the rest of a line that was given up.  False when the window is used up. */
static bool skip_line(struct csv *csv, struct slice *window, bool end, struct csv_row *row)
{
    size_t at = find_break(*window);

    if (at == window->len || break_is_open(*window, at, end)) {
        row->len = at;
        return false;
    }
    row->len = at + break_len(*window, at);
    *window = slice_from(*window, row->len);
    csv->skipping = false;
    csv->line++;
    return true;
}

static enum csv_result next_row(struct csv *csv, struct slice window, bool end, struct csv_row *row)
{
    struct scan s = {.csv = csv, .window = window, .end = end};

    csv->fields.len = 0;
    csv->text.len = 0;
    buf_reserve(&csv->text, window.len < CSV_ROW_MAX ? window.len : CSV_ROW_MAX);
    if (window.len > CSV_ROW_MAX) {
        s.window.len = CSV_ROW_MAX;
        s.end = false;
    }
    scan_row(&s);
    if (s.more && window.len > CSV_ROW_MAX) {
        s.what = "the row has more than 128 KB, or a quote in it is never closed";
        s.astray = true;
    }
    if (s.what != NULL) {
        row->what = s.what;
        return give_up(csv, window, s.astray ? 0 : s.at, end, row);
    }
    if (s.more) {
        return CSV_MORE;
    }
    row->field = (const struct slice *)(const void *)csv->fields.ptr;
    row->count = csv->fields.len / sizeof(struct slice);
    row->len = s.at + break_len(window, s.at);
    row->count = s.at == 0 ? 0 : row->count;
    csv->line += count_breaks(slice_of(window.ptr, row->len));
    return CSV_ROW;
}

enum csv_result csv_next(struct csv *csv, struct slice window, bool end, struct csv_row *row)
{
    *row = (struct csv_row){.line = csv->line};
    if (csv->skipping && !skip_line(csv, &window, end, row)) {
        return CSV_MORE;
    }
    size_t skipped = row->len;
    row->line = csv->line;
    if (window.len == 0) {
        return CSV_MORE;
    }
    row->len = 0;
    enum csv_result result = next_row(csv, window, end, row);
    row->len += skipped;
    return result;
}

char csv_guess_separator(struct slice header)
{
    static const char candidates[] = {',', ';', '\t'};
    char best = ',';
    size_t best_count = 0;

    for (size_t i = 0; i < sizeof(candidates); i++) {
        size_t count = 0;
        bool quoted = false;
        for (size_t k = 0; k < header.len; k++) {
            quoted = header.ptr[k] == '"' ? !quoted : quoted;
            count += !quoted && header.ptr[k] == candidates[i] ? 1 : 0;
        }
        if (count > best_count) {
            best = candidates[i];
            best_count = count;
        }
    }
    return best;
}

void csv_put_field(struct buf *out, struct slice field)
{
    bool plain = true;

    for (size_t i = 0; i < field.len; i++) {
        plain = plain && strchr("\",\r\n;\t", field.ptr[i]) == NULL;
    }
    if (plain) {
        buf_puts(out, field);
        return;
    }
    buf_putc(out, '"');
    for (size_t i = 0; i < field.len; i++) {
        if (field.ptr[i] == '"') {
            buf_putc(out, '"');
        }
        buf_putc(out, field.ptr[i]);
    }
    buf_putc(out, '"');
}
