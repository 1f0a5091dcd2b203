/*
 * rows.h - letters as tables: what goes in, what must come out.
 */
#ifndef VOLLEY_TEST_MESSAGE_ROWS_H
#define VOLLEY_TEST_MESSAGE_ROWS_H

#include "engine/base/err.h"
#include "tests/unit/message/letters.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>

#define FROM "From: a@example.org\r\nDate: d\r\nMessage-ID: <1@example.org>\r\n"

struct pair {
    const char *name, *value;
};

/* Compiles and renders; the result (raw) in *out, or the error text.  Returns the error. */
static inline int render(const char *text, size_t len, const struct letter_options *options,
                         const struct pair *pairs, struct buf *out)
{
    struct letter_value value[16];
    struct letter_values values = {.to = SLICE("anna@example.com"),
                                   .id = SLICE("01jx.1"),
                                   .campaign = SLICE("spring"),
                                   .date_us = INT64_C(1767225600000000),
                                   .item = value};
    struct letter *letter = NULL;
    struct letter_copy copy;

    for (; pairs != NULL && pairs[values.item_count].name != NULL; values.item_count++) {
        size_t i = values.item_count;
        value[i] = (struct letter_value){slice_cstr(pairs[i].name), slice_cstr(pairs[i].value)};
    }
    out->len = 0;
    int err = letter_compile(slice_of(text, len), options, &letter, out);
    if (err != 0) {
        assert_null(letter);
        return err;
    }
    letter_copy_init(&copy);
    err = letter_render(letter, &values, &copy, out);
    if (err == 0) {
        const char *fault = copy_fault(&copy);
        flatten(out, &copy.raw);
        if (fault != NULL) {
            fail_msg("%s in:\n%.*s", fault, (int)out->len, out->ptr);
        }
    }
    letter_copy_fini(&copy);
    letter_unref(letter);
    return err;
}

struct row {
    const char *what;
    const char *in;
    const char *out;
    struct pair values[4];
};

static inline void check_rows(const struct row *rows, size_t count)
{
    struct buf out = BUF_EMPTY;

    for (size_t i = 0; i < count; i++) {
        int err = render(rows[i].in, strlen(rows[i].in), NULL, rows[i].values, &out);
        if (err != 0 || !slice_eq(buf_slice(&out), slice_cstr(rows[i].out))) {
            fail_msg("%s: err %d\ngot:\n%.*s\nwanted:\n%s", rows[i].what, err, (int)out.len,
                     out.ptr, rows[i].out);
        }
    }
    buf_fini(&out);
}

#define CHECK(rows) check_rows((rows), sizeof(rows) / sizeof((rows)[0]))

#endif
