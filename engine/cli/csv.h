/*
 * csv.h - one row of a CSV file at a time (RFC 4180).  Pure.
 *
 *     while (...) {
 *         switch (csv_next(&csv, window, at_end, &row)) {
 *         case CSV_ROW:  use row.field[0..row.count)
 *         case CSV_BAD:  report row.line and row.what; what is behind it is still good
 *         case CSV_MORE: read more behind the window, or stop when at_end
 *         }
 *         drop row.len bytes at the front of the window
 *     }
 *
 * The window belongs to the caller; a row longer than CSV_ROW_MAX is bad, so CSV_WINDOW bytes
 * always suffice.  Lines end with CRLF, LF or CR.  A quote that is never closed spoils
 * its own line only: reading goes on behind that line.
 */
#ifndef VOLLEY_CLI_CSV_H
#define VOLLEY_CLI_CSV_H

#include "engine/base/buf.h"

enum { CSV_ROW_MAX = 128 * 1024, CSV_WINDOW = CSV_ROW_MAX + 2, CSV_FIELDS_MAX = 1000 };

enum csv_result { CSV_MORE, CSV_ROW, CSV_BAD };

struct csv {
    char separator;
    bool skipping; /* within a line that was given up */
    uint64_t line; /* number of the line that the window begins with, from 1 */
    struct buf fields;
    struct buf text; /* fields in which "" became " */
};

struct csv_row {
    const struct slice *field; /* valid until the next call; point into the window or into csv */
    size_t count;              /* 0: an empty line */
    size_t len;                /* bytes of the window that are done with, for any result */
    uint64_t line;             /* where the row begins */
    const char *what;          /* CSV_BAD */
};

void csv_init(struct csv *csv, char separator);
void csv_fini(struct csv *csv);

/* Reads the next row; `end`: nothing comes behind the window. */
enum csv_result csv_next(struct csv *csv, struct slice window, bool end, struct csv_row *row);

/* Which of comma, semicolon and tab separates the fields of a header line. */
char csv_guess_separator(struct slice header);

/* Appends a field as CSV wants it: quoted where it has to be. */
void csv_put_field(struct buf *out, struct slice field);

#endif
