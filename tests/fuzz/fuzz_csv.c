/* modules: cli base */
/*
 * fuzz_csv.c - any bytes as a CSV file: the same rows whether read at once or in two windows,
 * every byte consumed, lines counted right.
 */
#include "engine/cli/csv.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Reads everything, at first seeing only `first` bytes; appends what was found to *out. */
static void read_all(struct slice text, size_t first, char separator, struct buf *out)
{
    struct csv csv;
    struct csv_row row;
    size_t at = 0;
    size_t seen = first < text.len ? first : text.len;

    csv_init(&csv, separator);
    for (;;) {
        bool end = seen == text.len;
        enum csv_result result = csv_next(&csv, slice_of(text.ptr + at, seen - at), end, &row);
        ASSERT(row.len <= seen - at);
        at += row.len;
        if (result == CSV_ROW) {
            ASSERT(row.len > 0);
            buf_printf(out, "row %lu", (unsigned long)row.line);
            for (size_t i = 0; i < row.count; i++) {
                buf_printf(out, "|" SLICE_FMT, SLICE_ARG(row.field[i]));
            }
            buf_putc(out, '\n');
        } else if (result == CSV_BAD) {
            buf_printf(out, "bad %lu %s\n", (unsigned long)row.line, row.what);
        } else if (end) {
            break;
        } else {
            seen = text.len;
        }
    }
    ASSERT(at == text.len);
    csv_fini(&csv);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct buf once = BUF_EMPTY;
    struct buf twice = BUF_EMPTY;

    if (len < 2) {
        return 0;
    }
    struct slice text = slice_of((const char *)data + 1, len - 1);
    char separator = csv_guess_separator(text);
    read_all(text, text.len, separator, &once);
    read_all(text, data[0], separator, &twice);
    ASSERT(slice_eq(buf_slice(&once), buf_slice(&twice)));
    buf_fini(&once);
    buf_fini(&twice);
    return 0;
}
