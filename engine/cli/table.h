/*
 * table.h - text in columns, for people.  Pure.
 *
 * Widths are counted in character cells: combining marks take none, East Asian wide
 * characters and emoji two.  Control characters become spaces.
 */
#ifndef VOLLEY_CLI_TABLE_H
#define VOLLEY_CLI_TABLE_H

#include "engine/base/buf.h"

enum { TABLE_COLUMNS_MAX = 16 };

struct table {
    size_t columns;
    char align[TABLE_COLUMNS_MAX]; /* 'l' or 'r' */
    struct buf cells;              /* struct cell, row by row */
    struct buf text;
};

/* `align` has a letter for each column, such as "lrr". */
void table_init(struct table *t, const char *align);
void table_fini(struct table *t);

/* Adds the next cell; rows fill up from the left. */
void table_cell(struct table *t, struct slice text);
void table_cellf(struct table *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
void table_rule(struct table *t); /* a line across, as a row of its own */

/* Appends the table, each line behind `indent` spaces, two spaces between columns. */
void table_put(struct buf *out, const struct table *t, size_t indent);

/* How many cells of a terminal the text takes. */
size_t table_width(struct slice text);

/* Appends at most `width` cells of the text, with "…" in place of what is cut off. */
void table_put_cut(struct buf *out, struct slice text, size_t width);

/* Appends a number with spaces between groups of three: "1 234 567". */
void table_put_count(struct buf *out, uint64_t value);

#endif
