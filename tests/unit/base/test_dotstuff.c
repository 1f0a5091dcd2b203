/*
 * test_dotstuff.c - dots at line starts are doubled, wherever the content is cut.
 */
#include "engine/base/dotstuff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

static const struct {
    const char *raw;
    const char *dotted;
} rows[] = {
    {"", ".\r\n"},
    {"a", "a\r\n.\r\n"},
    {"a\r\n", "a\r\n.\r\n"},
    {".", "..\r\n.\r\n"},
    {".\r\n", "..\r\n.\r\n"},
    {"..\r\n", "...\r\n.\r\n"},
    {"a.b\r\nc.\r\n", "a.b\r\nc.\r\n.\r\n"},
    {"a\r\n.\r\nb\r\n", "a\r\n..\r\nb\r\n.\r\n"},
    {"a\r\n\r\n.\r\n.\r\n", "a\r\n\r\n..\r\n..\r\n.\r\n"},
    /* What no letter should have, but must not end one either (CVE-2023-51764). */
    {"a\n.\r\nb\r\n", "a\n..\r\nb\r\n.\r\n"},
    {"a\r.\r\nb\r\n", "a\r..\r\nb\r\n.\r\n"},
    {"a\n.\nb\r\n", "a\n..\nb\r\n.\r\n"},
    {"a\n", "a\n\r\n.\r\n"},
    {"a\r", "a\r\r\n.\r\n"},
};

static void check(const char *dotted, const struct buf *got, const char *raw, size_t cut)
{
    if (!slice_eq(slice_cstr(dotted), buf_slice(got))) {
        fail_msg("'%s' cut at %zu gives '%.*s'", raw, cut, (int)got->len, got->ptr);
    }
}

static void test_every_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t len = strlen(rows[i].raw);
        for (size_t cut = 0; cut <= len; cut++) {
            struct dotstuff d = DOTSTUFF_START;
            struct buf out = BUF_EMPTY;
            dotstuff_put(&d, &out, slice_of(rows[i].raw, cut));
            dotstuff_put(&d, &out, slice_of(rows[i].raw + cut, len - cut));
            dotstuff_end(&d, &out);
            check(rows[i].dotted, &out, rows[i].raw, cut);
            buf_fini(&out);
        }
    }
}

static void test_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dotstuff d = DOTSTUFF_START;
        struct buf out = BUF_EMPTY;
        for (const char *c = rows[i].raw; *c != '\0'; c++) {
            dotstuff_put(&d, &out, slice_of(c, 1));
        }
        dotstuff_end(&d, &out);
        check(rows[i].dotted, &out, rows[i].raw, 1);
        buf_fini(&out);
    }
}

static void test_whole(void **state)
{
    struct buf out = BUF_EMPTY;

    (void)state;
    dotstuff_whole(&out, SLICE(".a\r\n"));
    assert_true(slice_eq(buf_slice(&out), SLICE("..a\r\n.\r\n")));
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
