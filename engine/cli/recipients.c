/*
 * recipients.c - a CSV file of recipients, read row by row in constant memory.
 */
#include "engine/cli/recipients.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/utf8.h"
#include "engine/cli/csv.h"
#include "engine/dns/idna.h"
#include "engine/message/address.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WINDOW = 4 * CSV_WINDOW, PRINT_LEN = 64 * 1024 };

struct recipients {
    int fd;
    uint64_t size;
    struct csv csv;
    char *window;
    size_t start; /* bytes before it are done with */
    size_t end;
    bool at_end;     /* nothing comes behind the window */
    uint64_t offset; /* in the file, of window[start] */
    struct buf names;
    struct slice *column;
    size_t column_count;
    size_t to_column;
    struct buf what;
    struct buf to; /* an address whose domain was turned into A-labels */
};

/* ---- bytes ---- */

/* Makes the window as full as it gets.  0 or ERR_*. */
static int fill(struct recipients *r)
{
    memmove(r->window, r->window + r->start, r->end - r->start);
    r->end -= r->start;
    r->start = 0;
    while (r->end < WINDOW) {
        off_t at = (off_t)(r->offset + r->end);
        ssize_t n = pread(r->fd, r->window + r->end, WINDOW - r->end, at);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return err_from_errno(errno);
        }
        if (n == 0) {
            r->at_end = true;
            return 0;
        }
        r->end += (size_t)n;
    }
    return 0;
}

static void drop(struct recipients *r, size_t len)
{
    r->start += len;
    r->offset += len;
}

/* The next row of the file, empty lines left out. */
static enum recipients_result next_csv_row(struct recipients *r, struct csv_row *row)
{
    for (;;) {
        struct slice window = slice_of(r->window + r->start, r->end - r->start);
        enum csv_result result = csv_next(&r->csv, window, r->at_end, row);
        drop(r, row->len);
        if (result == CSV_BAD) {
            return RECIPIENTS_BAD;
        }
        if (result == CSV_ROW && row->count > 0) {
            return RECIPIENTS_ROW;
        }
        if (result == CSV_MORE) {
            if (r->at_end) {
                return RECIPIENTS_END;
            }
            int err = fill(r);
            if (err != 0) {
                buf_reset(&r->what);
                buf_printf(&r->what, "cannot read on: %s", err_name(err));
                buf_terminate(&r->what);
                row->what = r->what.ptr;
                return RECIPIENTS_FAILED;
            }
        }
    }
}

/* ---- the header ---- */

static int names_keep(struct recipients *r, const struct csv_row *row)
{
    size_t total = 0;

    for (size_t i = 0; i < row->count; i++) {
        total += row->field[i].len;
    }
    r->column = mem_array(row->count, sizeof(*r->column));
    r->column_count = row->count;
    buf_reserve(&r->names, total + 1); /* so that the names do not move */
    for (size_t i = 0; i < row->count; i++) {
        struct slice name = slice_trim(row->field[i]);
        char *at = r->names.ptr + r->names.len;
        buf_puts(&r->names, name);
        r->column[i] = slice_of(at, name.len);
    }
    return 0;
}

static bool is_to(struct slice name)
{
    return slice_ieq(name, SLICE("to")) || slice_ieq(name, SLICE("email"));
}

/* The names must tell the columns apart, and one must be the recipient's. */
static int names_check(struct recipients *r, struct buf *why)
{
    r->to_column = SIZE_MAX;
    for (size_t i = 0; i < r->column_count; i++) {
        struct slice name = r->column[i];
        if (!utf8_valid(name) || slice_find(name, '\0') < name.len) {
            buf_printf(why, "the header row is not UTF-8 text; is this a CSV file?");
            return ERR_INVALID;
        }
        if (is_to(name) && r->to_column != SIZE_MAX) {
            BUF_LIT(why, "two columns for the recipient; keep one named \"to\" or \"email\"");
            return ERR_INVALID;
        }
        r->to_column = is_to(name) ? i : r->to_column;
        for (size_t k = 0; k < i; k++) {
            if (name.len > 0 && slice_eq(r->column[k], name)) {
                buf_printf(why, "two columns are named \"" SLICE_FMT "\"", SLICE_ARG(name));
                return ERR_INVALID;
            }
        }
    }
    if (r->to_column == SIZE_MAX) {
        BUF_LIT(why, "no column named \"to\" or \"email\"; the first row must name the columns");
        return ERR_INVALID;
    }
    return 0;
}

static int read_header(struct recipients *r, struct buf *why)
{
    struct csv_row row;
    int err = fill(r);

    if (err != 0) {
        buf_printf(why, "cannot be read: %s", err_name(err));
        return err;
    }
    if (slice_starts(slice_of(r->window, r->end), SLICE("\xef\xbb\xbf"))) {
        drop(r, 3);
    }
    struct slice rest = slice_of(r->window + r->start, r->end - r->start);
    size_t lf = slice_find(rest, '\n');
    r->csv.separator = csv_guess_separator(slice_of(rest.ptr, lf));
    switch (next_csv_row(r, &row)) {
    case RECIPIENTS_ROW:
        names_keep(r, &row);
        return names_check(r, why);
    case RECIPIENTS_END:
        BUF_LIT(why, "it is empty; the first row must name the columns, such as \"to,name\"");
        return ERR_INVALID;
    case RECIPIENTS_BAD:
    case RECIPIENTS_FAILED:
    default:
        buf_printf(why, "the header row: %s", row.what);
        return ERR_INVALID;
    }
}

/* ---- opening ---- */

static int open_file(struct recipients *r, const char *path, struct buf *why)
{
    struct stat st;

    r->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0 || fstat(r->fd, &st) != 0) {
        buf_printf(why, "%s", strerror(errno));
        return err_from_errno(errno);
    }
    if (!S_ISREG(st.st_mode)) {
        BUF_LIT(why, "not a regular file; an interrupted sending could not go on from the middle");
        return ERR_INVALID;
    }
    if (flock(r->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        BUF_LIT(why, "another volley send or import is working on this list");
        return ERR_EXISTS;
    }
    r->size = (uint64_t)st.st_size;
    return 0;
}

struct recipients *recipients_open(const char *path, int *err, struct buf *why)
{
    struct recipients *r = mem_zalloc(sizeof(*r));

    r->window = mem_alloc(WINDOW);
    csv_init(&r->csv, ',');
    *err = open_file(r, path, why);
    if (*err == 0) {
        *err = read_header(r, why);
    }
    if (*err != 0) {
        recipients_close(r);
        return NULL;
    }
    return r;
}

void recipients_close(struct recipients *r)
{
    if (r == NULL) {
        return;
    }
    if (r->fd >= 0) {
        close(r->fd);
    }
    csv_fini(&r->csv);
    buf_fini(&r->names);
    buf_fini(&r->what);
    buf_fini(&r->to);
    mem_free(r->column);
    mem_free(r->window);
    mem_free(r);
}

size_t recipients_column_count(const struct recipients *r)
{
    return r->column_count;
}

struct slice recipients_column(const struct recipients *r, size_t i)
{
    ASSERT(i < r->column_count);
    return r->column[i];
}

size_t recipients_to_column(const struct recipients *r)
{
    return r->to_column;
}

size_t recipients_find(const struct recipients *r, struct slice name)
{
    for (size_t i = 0; i < r->column_count; i++) {
        if (slice_eq(r->column[i], name)) {
            return i;
        }
    }
    return SIZE_MAX;
}

/* ---- rows ---- */

static enum recipients_result bad_row(struct recipients *r, struct recipients_row *out,
                                      const char *fmt, ...) PRINTF_LIKE(3, 4);

static enum recipients_result bad_row(struct recipients *r, struct recipients_row *out,
                                      const char *fmt, ...)
{
    va_list args;

    buf_reset(&r->what);
    va_start(args, fmt);
    buf_vprintf(&r->what, fmt, args);
    va_end(args);
    buf_terminate(&r->what);
    out->what = r->what.ptr;
    return RECIPIENTS_BAD;
}

/* A domain beyond ASCII goes out in its xn-- form (RFC 5890), in the envelope and in To. */
static struct slice ascii_address(struct recipients *r, struct slice to)
{
    const char *at = to.len > 0 ? memrchr(to.ptr, '@', to.len) : NULL;

    if (at == NULL || utf8_is_ascii(to)) {
        return to;
    }
    size_t len = (size_t)(at - to.ptr) + 1;

    buf_reset(&r->to);
    buf_put(&r->to, to.ptr, len);
    return idna_to_ascii(slice_from(to, len), &r->to) == 0 ? buf_slice(&r->to) : to;
}

/* What is wrong with an address that has other signs than those of ASCII. */
static const char *beyond_ascii(struct slice to)
{
    const char *at = memrchr(to.ptr, '@', to.len);

    if (at == NULL) {
        return "it has no @";
    }
    if (!utf8_is_ascii(slice_of(to.ptr, (size_t)(at - to.ptr)))) {
        return "the part before the @ is not ASCII, and mail to such addresses (SMTPUTF8) cannot "
               "be sent yet";
    }
    return "what follows the @ is no domain name, nor one in other letters (RFC 5890)";
}

static enum recipients_result check_row(struct recipients *r, const struct csv_row *row,
                                        struct recipients_row *out)
{
    struct address address;
    const char *why = NULL;
    size_t total = 0;

    if (row->count != r->column_count) {
        return bad_row(r, out, "%zu field%s, and the header names %zu columns", row->count,
                       row->count == 1 ? "" : "s", r->column_count);
    }
    out->to = slice_trim(row->field[r->to_column]);
    for (size_t i = 0; i < row->count; i++) {
        struct slice field = row->field[i];
        if (!utf8_valid(field) || slice_find(field, '\0') < field.len) {
            return bad_row(r, out, "column \"" SLICE_FMT "\" is not UTF-8 text",
                           SLICE_ARG(r->column[i]));
        }
        total += field.len;
    }
    if (total > RECIPIENTS_VALUE_MAX) {
        return bad_row(r, out, "its values have more than 16 KB together");
    }
    struct slice given = out->to;
    out->to = ascii_address(r, given);
    if (address_parse(out->to, &address, &why) != 0) {
        return bad_row(r, out, "\"" SLICE_FMT "\" is not an address: %s",
                       (int)(given.len < 100 ? given.len : 100), given.ptr != NULL ? given.ptr : "",
                       utf8_is_ascii(given) ? why : beyond_ascii(given));
    }
    out->field = row->field;
    return RECIPIENTS_ROW;
}

enum recipients_result recipients_next(struct recipients *r, struct recipients_row *out)
{
    struct csv_row row;
    enum recipients_result result = next_csv_row(r, &row);

    *out = (struct recipients_row){.line = row.line, .what = row.what};
    return result == RECIPIENTS_ROW ? check_row(r, &row, out) : result;
}

struct recipients_place recipients_tell(const struct recipients *r)
{
    return (struct recipients_place){r->offset, r->csv.line};
}

int recipients_seek(struct recipients *r, struct recipients_place place)
{
    if (place.offset > r->size) {
        return ERR_RANGE;
    }
    r->start = 0;
    r->end = 0;
    r->at_end = false;
    r->offset = place.offset;
    r->csv.line = place.line;
    r->csv.skipping = false;
    return fill(r);
}

uint64_t recipients_size(const struct recipients *r)
{
    return r->size;
}

static int put_range(struct recipients *r, uint64_t from, uint64_t to, struct buf *out)
{
    while (from < to) {
        size_t want = to - from < PRINT_LEN ? (size_t)(to - from) : PRINT_LEN;
        buf_reserve(out, want);
        ssize_t n = pread(r->fd, out->ptr + out->len, want, (off_t)from);
        if (n < 0 && errno != EINTR) {
            return err_from_errno(errno);
        }
        if (n == 0) {
            return ERR_CLOSED; /* it became shorter */
        }
        out->len += n > 0 ? (size_t)n : 0;
        from += n > 0 ? (uint64_t)n : 0;
    }
    return 0;
}

int recipients_put_print(struct recipients *r, struct buf *out)
{
    uint64_t tail = r->size > PRINT_LEN ? r->size - PRINT_LEN : 0;
    uint64_t head = r->size < PRINT_LEN ? r->size : PRINT_LEN;

    buf_printf(out, "%llu\n", (unsigned long long)r->size);
    int err = put_range(r, 0, head, out);
    return err != 0 ? err : put_range(r, tail > head ? tail : head, r->size, out);
}
