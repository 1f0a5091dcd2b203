/*
 * table.c - text in columns, for people.
 */
#include "engine/cli/table.h"
#include "engine/base/utf8.h"

#include <string.h>

struct cell {
    size_t at;
    size_t len;
    bool rule;
};

/* ---- widths ---- */

static uint32_t codepoint(const char *p, size_t len)
{
    static const unsigned char lead[5] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = (unsigned char)p[0] & lead[len];

    for (size_t i = 1; i < len; i++) {
        c = c << 6 | ((unsigned char)p[i] & 0x3f);
    }
    return c;
}

static size_t cell_width(uint32_t c)
{
    static const struct {
        uint32_t from, to;
        size_t width;
    } ranges[] = {
        {0x0300, 0x036f, 0},   {0x200b, 0x200f, 0},   {0x20d0, 0x20ff, 0},   {0xfe00, 0xfe0f, 0},
        {0xfe20, 0xfe2f, 0},   {0x1100, 0x115f, 2},   {0x2e80, 0x303e, 2},   {0x3041, 0xa4cf, 2},
        {0xac00, 0xd7a3, 2},   {0xf900, 0xfaff, 2},   {0xfe30, 0xfe6f, 2},   {0xff00, 0xff60, 2},
        {0xffe0, 0xffe6, 2},   {0x1f300, 0x1f64f, 2}, {0x1f680, 0x1f6ff, 2}, {0x1f900, 0x1faff, 2},
        {0x20000, 0x3fffd, 2},
    };

    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        if (c >= ranges[i].from && c <= ranges[i].to) {
            return ranges[i].width;
        }
    }
    return 1;
}

/* The character at the front: its bytes, and its width. */
static size_t step(struct slice text, size_t *width)
{
    size_t len = utf8_valid_prefix(text);

    *width = len > 0 ? cell_width(codepoint(text.ptr, len)) : 1;
    return len > 0 ? len : 1;
}

size_t table_width(struct slice text)
{
    size_t total = 0;

    while (text.len > 0) {
        size_t width;
        text = slice_from(text, step(text, &width));
        total += width;
    }
    return total;
}

static void put_char(struct buf *out, struct slice c)
{
    /* Terminals take U+0080 to U+009F for control sequences, too. */
    bool control =
        (c.len == 1 && ((unsigned char)c.ptr[0] < ' ' || c.ptr[0] == 0x7f)) ||
        (c.len == 2 && (unsigned char)c.ptr[0] == 0xc2 && (unsigned char)c.ptr[1] < 0xa0);

    if (control) {
        buf_putc(out, ' ');
    } else if (c.len == 1 && (unsigned char)c.ptr[0] >= 0x80) {
        buf_putc(out, '?');
    } else {
        buf_puts(out, c);
    }
}

void table_put_cut(struct buf *out, struct slice text, size_t width)
{
    bool cut = table_width(text) > width;
    size_t room = cut && width > 0 ? width - 1 : width;

    while (text.len > 0) {
        size_t w;
        size_t len = step(text, &w);
        if (w > room) {
            break;
        }
        put_char(out, slice_of(text.ptr, len));
        room -= w;
        text = slice_from(text, len);
    }
    if (cut && width > 0) {
        BUF_LIT(out, "…");
    }
}

void table_put_count(struct buf *out, uint64_t value)
{
    struct buf digits = BUF_EMPTY;

    buf_putu(&digits, value);
    for (size_t i = 0; i < digits.len; i++) {
        if (i > 0 && (digits.len - i) % 3 == 0) {
            buf_putc(out, ' ');
        }
        buf_putc(out, digits.ptr[i]);
    }
    buf_fini(&digits);
}

/* ---- tables ---- */

void table_init(struct table *t, const char *align)
{
    size_t columns = strlen(align);

    ASSERT(columns > 0 && columns <= TABLE_COLUMNS_MAX);
    *t = (struct table){.columns = columns};
    memcpy(t->align, align, columns);
}

void table_fini(struct table *t)
{
    buf_fini(&t->cells);
    buf_fini(&t->text);
}

void table_cell(struct table *t, struct slice text)
{
    struct cell cell = {.at = t->text.len, .len = text.len};

    buf_puts(&t->text, text);
    buf_put(&t->cells, &cell, sizeof(cell));
}

void table_cellf(struct table *t, const char *fmt, ...)
{
    struct buf text = BUF_EMPTY;
    va_list args;

    va_start(args, fmt);
    buf_vprintf(&text, fmt, args);
    va_end(args);
    table_cell(t, buf_slice(&text));
    buf_fini(&text);
}

void table_rule(struct table *t)
{
    struct cell cell = {.rule = true};

    for (size_t i = 0; i < t->columns; i++) {
        buf_put(&t->cells, &cell, sizeof(cell));
    }
}

static const struct cell *cells_of(const struct table *t, size_t *count)
{
    *count = t->cells.len / sizeof(struct cell);
    return (const struct cell *)(const void *)t->cells.ptr;
}

static struct slice cell_text(const struct table *t, const struct cell *cell)
{
    return slice_of(slice_from(buf_slice(&t->text), cell->at).ptr, cell->len);
}

static void put_pad(struct buf *out, size_t count, const char *with)
{
    for (; count > 0; count--) {
        buf_puts(out, slice_cstr(with));
    }
}

static void put_cell(struct buf *out, const struct table *t, const struct cell *cell, size_t width,
                     bool right, bool last)
{
    if (cell->rule) {
        put_pad(out, width, "─");
        return;
    }
    struct slice text = cell_text(t, cell);
    size_t pad = width - table_width(text);

    put_pad(out, right ? pad : 0, " ");
    table_put_cut(out, text, width);
    put_pad(out, right || last ? 0 : pad, " ");
}

void table_put(struct buf *out, const struct table *t, size_t indent)
{
    size_t count;
    const struct cell *cell = cells_of(t, &count);
    size_t width[TABLE_COLUMNS_MAX] = {0};

    for (size_t i = 0; i < count; i++) {
        size_t w = cell[i].rule ? 0 : table_width(cell_text(t, &cell[i]));
        size_t column = i % t->columns;
        width[column] = w > width[column] ? w : width[column];
    }
    for (size_t i = 0; i < count; i++) {
        size_t column = i % t->columns;
        bool last = column + 1 == t->columns || i + 1 == count;
        if (column == 0) {
            put_pad(out, indent, " ");
        }
        put_cell(out, t, &cell[i], width[column], t->align[column] == 'r', last);
        put_pad(out, last ? 0 : 2, cell[i].rule ? "─" : " ");
        if (last) {
            buf_putc(out, '\n');
        }
    }
}
