/*
 * recipients.h - a CSV file of recipients, read row by row in constant memory.
 *
 * The first row names the columns; the recipient's is `to` or `email` (any case), the others
 * are merge values.  Every row is checked: number of fields, UTF-8, the address, lengths.
 */
#ifndef VOLLEY_CLI_RECIPIENTS_H
#define VOLLEY_CLI_RECIPIENTS_H

#include "engine/base/buf.h"

enum { RECIPIENTS_VALUE_MAX = 16 * 1024 }; /* merge values of one job together (design.md §4) */

struct recipients;

/* Opens the file, takes a lock on it and reads the header row.  NULL with a sentence in *why;
 * *err is ERR_EXISTS when another command holds the lock, ERR_INVALID when it is not a list
 * of recipients, or the error of the system. */
struct recipients *recipients_open(const char *path, int *err, struct buf *why);
void recipients_close(struct recipients *r); /* NULL is fine */

size_t recipients_column_count(const struct recipients *r);
struct slice recipients_column(const struct recipients *r, size_t i);
size_t recipients_to_column(const struct recipients *r);
/* The column of that name, or SIZE_MAX. */
size_t recipients_find(const struct recipients *r, struct slice name);

enum recipients_result { RECIPIENTS_ROW, RECIPIENTS_BAD, RECIPIENTS_END, RECIPIENTS_FAILED };

struct recipients_row {
    struct slice to;           /* the address, without blanks around it */
    const struct slice *field; /* one for each column; valid until the next call */
    uint64_t line;
    const char *what; /* RECIPIENTS_BAD, RECIPIENTS_FAILED: a sentence, valid likewise */
};

enum recipients_result recipients_next(struct recipients *r, struct recipients_row *row);

/* Where the next row begins. */
struct recipients_place {
    uint64_t offset;
    uint64_t line;
};

struct recipients_place recipients_tell(const struct recipients *r);
int recipients_seek(struct recipients *r, struct recipients_place place);

uint64_t recipients_size(const struct recipients *r);

/* Appends what tells this list from another: size, first and last bytes. */
int recipients_put_print(struct recipients *r, struct buf *out);

#endif
