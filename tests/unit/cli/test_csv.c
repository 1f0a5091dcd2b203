/*
 * test_csv.c - rows of CSV files (RFC 4180), good and bad, however the bytes arrive.
 */
#include "engine/cli/csv.h"
#include "engine/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Reads the whole text with a window that ends at `first` until it does not suffice, then at
 * the end.  Rows as "line:field|field", bad ones as "line!what". */
static void read_all(struct slice text, size_t first, char separator, struct buf *out)
{
    struct csv csv;
    struct csv_row row;
    size_t at = 0;
    size_t seen = first;

    out->len = 0;
    csv_init(&csv, separator);
    for (;;) {
        bool end = seen == text.len;
        /* a window of its own, so that a read beyond it is found by the sanitizer */
        char *window = mem_dup(text.ptr + at, seen - at);
        enum csv_result result = csv_next(&csv, slice_of(window, seen - at), end, &row);
        assert_true(row.len <= seen - at);
        if (result == CSV_ROW) {
            buf_printf(out, "%lu:", (unsigned long)row.line);
            for (size_t i = 0; i < row.count; i++) {
                buf_printf(out, "%s" SLICE_FMT, i > 0 ? "|" : "", SLICE_ARG(row.field[i]));
            }
            buf_putc(out, '\n');
        } else if (result == CSV_BAD) {
            buf_printf(out, "%lu!%.12s\n", (unsigned long)row.line, row.what);
        }
        mem_free(window);
        at += row.len;
        if (result == CSV_MORE) {
            if (end) {
                break;
            }
            seen = text.len;
        }
    }
    assert_int_equal(at, text.len);
    csv_fini(&csv);
}

struct row {
    const char *text;
    const char *rows;
};

static const struct row table[] = {
    {"", ""},
    {"a,b\r\nc,d\r\n", "1:a|b\n2:c|d\n"},
    {"a,b\nc,d", "1:a|b\n2:c|d\n"},
    {"a,b\rc,d\r", "1:a|b\n2:c|d\n"},
    {"a,,\n,\n", "1:a||\n2:|\n"},
    {"\n\na\r\n\r\n", "1:\n2:\n3:a\n4:\n"},
    {"\"a\",\"b,c\"\n", "1:a|b,c\n"},
    {"\"a \"\"b\"\" c\",d\n\"\"\"\"\n", "1:a \"b\" c|d\n2:\"\n"},
    {"\"\",\"\"", "1:|\n"},
    {"\"two\r\nlines\",x\ny,z\n", "1:two\r\nlines|x\n3:y|z\n"},
    {"\"\n\n\"\nb", "1:\n\n\n4:b\n"},
    {"a, b ,\"c\"\n", "1:a| b |c\n"},
    /* a quote where none may be spoils its line only */
    {"a,b\"c,d\ne,f\n", "1!a quote insi\n2:e|f\n"},
    {"a \"b\"\nc\n", "1!a quote insi\n2:c\n"},
    {"\"a\"b,c\nd\n", "1!text behind \n2:d\n"},
    {"\"a\" ,c\nd\n", "1!text behind \n2:d\n"},
    {"x\n\"open,a\nb,c\nd", "1:x\n2!a quote is o\n3:b|c\n4:d\n"},
    {"\"open\n\"b\"\nc\n", "1!text behind \n2:b\n3:c\n"},
    {"\"two\nlines\",x\"y\nb\n", "1!a quote insi\n3:b\n"},
    {"\"", "1!a quote is o\n"},
    {"a\n\"", "1:a\n2!a quote is o\n"},
    {"\"a\"\"", "1!a quote is o\n"},
    {"\"a\r\n\r\nb\r\n", "1!a quote is o\n2:\n3:b\n"},
};

static void test_rows(void **state)
{
    struct buf out = BUF_EMPTY;

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        struct slice text = slice_cstr(table[i].text);
        for (size_t first = 0; first <= text.len; first++) {
            read_all(text, first, ',', &out);
            if (!slice_eq(buf_slice(&out), slice_cstr(table[i].rows))) {
                fail_msg("%s\ncut at %zu:\n%.*s\nwanted:\n%s", table[i].text, first, (int)out.len,
                         out.ptr, table[i].rows);
            }
        }
    }
    buf_fini(&out);
}

static void put_many(struct buf *out, char c, size_t count)
{
    for (; count > 0; count--) {
        buf_putc(out, c);
    }
}

/* Rows that are too large are given up, and what is behind them is read. */
static void test_limits(void **state)
{
    static const size_t cuts[] = {0, 1, 70000, CSV_ROW_MAX, CSV_WINDOW, 150000, 300000};
    struct buf text = BUF_EMPTY, out = BUF_EMPTY;

    (void)state;
    put_many(&text, 'x', 300000);
    buf_puts(&text, SLICE("\r\nb,c\n"));
    for (size_t i = 0; i < COUNT(cuts); i++) {
        read_all(buf_slice(&text), cuts[i], ',', &out);
        assert_true(slice_eq(buf_slice(&out), SLICE("1!the row has \n2:b|c\n")));
    }
    text.len = 0; /* an open quote swallows nothing but its line */
    buf_puts(&text, SLICE("\"open\n"));
    for (int i = 0; i < 30000; i++) {
        buf_puts(&text, SLICE("a,b,cc\n"));
    }
    for (size_t i = 0; i < COUNT(cuts) && cuts[i] < text.len; i++) {
        read_all(buf_slice(&text), cuts[i], ',', &out);
        assert_true(slice_starts(buf_slice(&out), SLICE("1!the row has \n2:a|b|cc\n3:a|b|cc\n")));
        assert_true(slice_iends(buf_slice(&out), SLICE("\n30001:a|b|cc\n")));
    }
    text.len = 0;
    put_many(&text, ',', CSV_FIELDS_MAX);
    buf_puts(&text, SLICE("\nb"));
    read_all(buf_slice(&text), text.len, ',', &out);
    assert_true(slice_eq(buf_slice(&out), SLICE("1!more than 10\n2:b\n")));
    text.len = 0;
    put_many(&text, ',', CSV_FIELDS_MAX - 1);
    buf_puts(&text, SLICE("\nb"));
    read_all(buf_slice(&text), text.len, ',', &out);
    assert_true(slice_iends(buf_slice(&out), SLICE("|||\n2:b\n")));
    buf_fini(&text);
    buf_fini(&out);
}

static void test_separators(void **state)
{
    struct buf out = BUF_EMPTY;

    (void)state;
    assert_int_equal(csv_guess_separator(SLICE("to,name")), ',');
    assert_int_equal(csv_guess_separator(SLICE("to;name;\"a,b,c,d\"")), ';');
    assert_int_equal(csv_guess_separator(SLICE("to\tname")), '\t');
    assert_int_equal(csv_guess_separator(SLICE("to")), ',');
    read_all(SLICE("a;b,c\nd;\"e;f\"\n"), 14, ';', &out);
    assert_true(slice_eq(buf_slice(&out), SLICE("1:a|b,c\n2:d|e;f\n")));
    buf_fini(&out);
}

/* What is written is read back. */
static void test_round_trip(void **state)
{
    static const char *const fields[] = {"",       "a",      "a b", "a,b", "\"",
                                         "a\"b\"", "x\r\ny", ";",   "\t"};
    struct buf text = BUF_EMPTY, out = BUF_EMPTY, wanted = BUF_EMPTY;

    (void)state;
    buf_puts(&wanted, SLICE("1:"));
    for (size_t i = 0; i < COUNT(fields); i++) {
        buf_puts(&text, i > 0 ? SLICE(",") : SLICE(""));
        csv_put_field(&text, slice_cstr(fields[i]));
        buf_printf(&wanted, "%s%s", i > 0 ? "|" : "", fields[i]);
    }
    buf_puts(&wanted, SLICE("\n"));
    read_all(buf_slice(&text), text.len, ',', &out);
    assert_true(slice_eq(buf_slice(&out), buf_slice(&wanted)));
    buf_fini(&text);
    buf_fini(&out);
    buf_fini(&wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_separators),
        cmocka_unit_test(test_round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
