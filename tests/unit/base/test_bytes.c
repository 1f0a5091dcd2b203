/*
 * test_bytes.c - slices, buffers, lists, UTF-8 and random numbers.
 */
#include "engine/base/buf.h"
#include "engine/base/err.h"
#include "engine/base/list.h"
#include "engine/base/mem.h"
#include "engine/base/rng.h"
#include "engine/base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define assert_slice(s, literal) assert_true(slice_eq((s), SLICE(literal)))

/* ---- slice ---- */

static void test_slice_compare(void **state)
{
    static const struct {
        const char *a, *b;
        bool eq, ieq, starts, istarts, iends;
        int cmp;
    } rows[] = {
        {"", "", true, true, true, true, true, 0},
        {"a", "", false, false, true, true, true, 1},
        {"", "a", false, false, false, false, false, -1},
        {"Mail", "mail", false, true, false, true, true, -1},
        {"mail", "mail", true, true, true, true, true, 0},
        {"mailbox", "mail", false, false, true, true, false, 1},
        {"voicemail", "MAIL", false, false, false, false, true, 1},
        {"[@", "{`", false, false, false, false, false, -1},     /* not letters: 0x20 counts */
        {"\xc4", "\xe4", false, false, false, false, false, -1}, /* ASCII only */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice a = slice_cstr(rows[i].a), b = slice_cstr(rows[i].b);
        int cmp = slice_cmp(a, b);
        if (slice_eq(a, b) != rows[i].eq || slice_ieq(a, b) != rows[i].ieq ||
            slice_starts(a, b) != rows[i].starts || slice_istarts(a, b) != rows[i].istarts ||
            slice_iends(a, b) != rows[i].iends || (cmp > 0) - (cmp < 0) != rows[i].cmp) {
            fail_msg("row %zu: \"%s\" and \"%s\"", i, rows[i].a, rows[i].b);
        }
    }
    assert_true(slice_eq(SLICE_NONE, SLICE("")));
    assert_true(slice_eq(slice_cstr(NULL), SLICE_NONE));
    assert_int_equal(slice_cmp(SLICE("a\0b"), SLICE("a\0c")), -1);
}

static void test_slice_parts(void **state)
{
    struct slice rest = SLICE("a,,bc,"), part;

    (void)state;
    assert_true(slice_next(&rest, ',', &part));
    assert_slice(part, "a");
    assert_true(slice_next(&rest, ',', &part));
    assert_slice(part, "");
    assert_true(slice_next(&rest, ',', &part));
    assert_slice(part, "bc");
    assert_true(slice_next(&rest, ',', &part));
    assert_slice(part, "");
    assert_false(slice_next(&rest, ',', &part));
    rest = SLICE("");
    assert_true(slice_next(&rest, ',', &part));
    assert_slice(part, "");
    assert_false(slice_next(&rest, ',', &part));

    assert_slice(slice_trim(SLICE(" \t\r\na b\n ")), "a b");
    assert_slice(slice_trim(SLICE(" \t ")), "");
    assert_slice(slice_trim(SLICE_NONE), "");
    assert_slice(slice_from(SLICE("abc"), 1), "bc");
    assert_slice(slice_from(SLICE("abc"), 3), "");
    assert_slice(slice_from(SLICE("abc"), 99), "");
    assert_int_equal(slice_find(SLICE("abca"), 'a'), 0);
    assert_int_equal(slice_find(SLICE("abca"), 'x'), 4);
    assert_int_equal(slice_find(SLICE_NONE, 'x'), 0);

    char lower[8], *copy = slice_dup(SLICE("a\0B"));
    assert_memory_equal(copy, "a\0B", 4);
    mem_free(copy);
    slice_lower(lower, SLICE("aZ[\xc4"
                             "9"));
    assert_memory_equal(lower,
                        "az[\xc4"
                        "9",
                        5);
}

static void test_slice_numbers(void **state)
{
    static const struct {
        const char *text;
        int err;
        uint64_t value;
    } rows[] = {
        {"0", 0, 0},
        {"007", 0, 7},
        {"18446744073709551615", 0, UINT64_MAX},
        {"18446744073709551616", ERR_RANGE, 0},
        {"99999999999999999999999", ERR_RANGE, 0},
        {"", ERR_INVALID, 0},
        {"+1", ERR_INVALID, 0},
        {"-1", ERR_INVALID, 0},
        {"1 ", ERR_INVALID, 0},
        {"0x10", ERR_INVALID, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t value = 0;
        int err = slice_u64(slice_cstr(rows[i].text), &value);
        if (err != rows[i].err || (err == 0 && value != rows[i].value)) {
            fail_msg("%s: err %d", rows[i].text, err);
        }
    }
}

/* ---- buf ---- */

static void test_buf(void **state)
{
    struct buf b = BUF_EMPTY;

    (void)state;
    buf_consume(&b, 0);
    buf_put(&b, NULL, 0);
    assert_int_equal(b.len, 0);
    BUF_LIT(&b, "ab");
    buf_putc(&b, 'c');
    buf_puts(&b, SLICE("de"));
    buf_printf(&b, "%d-%s", 12, "x");
    assert_slice(buf_slice(&b), "abcde12-x");
    buf_consume(&b, 5);
    assert_slice(buf_slice(&b), "12-x");
    buf_terminate(&b);
    assert_string_equal(b.ptr, "12-x");
    assert_int_equal(b.len, 4);
    buf_consume(&b, 4);
    assert_int_equal(b.len, 0);
    BUF_LIT(&b, "again");
    buf_reset(&b);
    assert_int_equal(b.len, 0);
    buf_fini(&b);
    assert_null(b.ptr);
    buf_putc(&b, 'z'); /* usable again */
    assert_slice(buf_slice(&b), "z");
    buf_fini(&b);
}

static void test_buf_numbers(void **state)
{
    static const uint64_t us[] = {0, 9, 10, 99, 100, UINT32_MAX, UINT64_MAX};
    static const int64_t ds[] = {0, -1, 7, -10, INT64_MIN, INT64_MAX};
    char text[32];

    (void)state;
    for (size_t i = 0; i < sizeof(us) / sizeof(us[0]); i++) {
        struct buf b = BUF_EMPTY;
        buf_putu(&b, us[i]);
        snprintf(text, sizeof(text), "%llu", (unsigned long long)us[i]);
        assert_true(slice_eq(buf_slice(&b), slice_cstr(text)));
        buf_fini(&b);
    }
    for (size_t i = 0; i < sizeof(ds) / sizeof(ds[0]); i++) {
        struct buf b = BUF_EMPTY;
        buf_putd(&b, ds[i]);
        snprintf(text, sizeof(text), "%lld", (long long)ds[i]);
        assert_true(slice_eq(buf_slice(&b), slice_cstr(text)));
        buf_fini(&b);
    }
}

/* Appending and dropping at random leaves what a plain array would hold. */
static void test_buf_grows(void **state)
{
    enum { MOST = 1 << 20 };
    char *model = mem_alloc(MOST), chunk[5000];
    struct buf b = BUF_EMPTY;
    struct rng rng;
    size_t len = 0;

    (void)state;
    rng_seed(&rng, 4);
    for (int step = 0; step < 2000; step++) {
        size_t n = (size_t)rng_below(&rng, sizeof(chunk));
        if (rng_below(&rng, 3) > 0 && len + n <= MOST) {
            memset(chunk, (int)rng_below(&rng, 256), n);
            memcpy(model + len, chunk, n);
            len += n;
            buf_put(&b, chunk, n);
        } else {
            n = n > len ? len : n;
            memmove(model, model + n, len - n);
            len -= n;
            buf_consume(&b, n);
        }
        assert_int_equal(b.len, len);
    }
    assert_memory_equal(b.ptr, model, len);
    buf_fini(&b);
    mem_free(model);
}

/* ---- list ---- */

struct entry {
    struct list link;
    int id;
};

static void expect_list(struct list *head, const char *ids)
{
    const struct list *back = head;

    LIST_EACH (node, head) {
        assert_true(*ids != '\0');
        assert_int_equal(CONTAINER_OF(node, struct entry, link)->id, *ids++ - '0');
        assert_ptr_equal(node->prev, back);
        back = node;
    }
    assert_int_equal(*ids, '\0');
    assert_ptr_equal(head->prev, back);
}

static void test_list(void **state)
{
    struct list a, b;
    struct entry e[6];

    (void)state;
    list_init(&a);
    list_init(&b);
    assert_true(list_empty(&a));
    assert_null(list_first(&a));
    list_splice(&a, &b);
    expect_list(&a, "");
    for (int i = 0; i < 6; i++) {
        e[i].id = i;
        list_init(&e[i].link);
    }
    list_append(&a, &e[1].link);
    list_append(&a, &e[2].link);
    list_prepend(&a, &e[0].link);
    expect_list(&a, "012");
    list_insert_before(&e[1].link, &e[3].link);
    expect_list(&a, "0312");
    list_remove(&e[3].link);
    list_remove(&e[3].link); /* harmless */
    expect_list(&a, "012");
    assert_ptr_equal(list_first(&a), &e[0].link);
    list_append(&b, &e[4].link);
    list_append(&b, &e[5].link);
    list_splice(&a, &b);
    expect_list(&a, "01245");
    assert_true(list_empty(&b));
    LIST_EACH_SAFE (node, &a) {
        if (CONTAINER_OF(node, struct entry, link)->id % 2 == 0) {
            list_remove(node);
        }
    }
    expect_list(&a, "15");
}

/* ---- UTF-8 (Unicode, table 3-7) ---- */

static void test_utf8(void **state)
{
    static const struct {
        const char *bytes;
        size_t prefix;
    } rows[] = {
        {"a", 1},
        {"\x7f", 1},
        {"\xc2\x80", 2},
        {"\xdf\xbf", 2},
        {"\xe0\xa0\x80", 3},
        {"\xed\x9f\xbf", 3},
        {"\xef\xbf\xbf", 3},
        {"\xf0\x90\x80\x80", 4},
        {"\xf4\x8f\xbf\xbf", 4},
        {"\x80", 0},
        {"\xc0\x80", 0},         /* overlong */
        {"\xc1\xbf", 0},         /* overlong */
        {"\xe0\x9f\xbf", 0},     /* overlong */
        {"\xf0\x8f\xbf\xbf", 0}, /* overlong */
        {"\xed\xa0\x80", 0},     /* surrogate */
        {"\xf4\x90\x80\x80", 0}, /* above U+10FFFF */
        {"\xf5\x80\x80\x80", 0},
        {"\xff", 0},
        {"\xc3", 0}, /* cut off */
        {"\xe2\x82", 0},
        {"\xf0\x9f\x98", 0},
        {"\xc3(", 0},
        {"\xe2(\xa1", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice s = slice_cstr(rows[i].bytes);
        if (utf8_valid_prefix(s) != rows[i].prefix || utf8_valid(s) != (rows[i].prefix == s.len)) {
            fail_msg("row %zu", i);
        }
    }
    assert_int_equal(utf8_valid_prefix(SLICE_NONE), 0);
    assert_true(utf8_valid(SLICE("Gr\xc3\xbc\xc3\x9f"
                                 "e")));
    assert_false(utf8_valid(SLICE("Gr\xfc\xdf"
                                  "e")));
    assert_true(utf8_valid(SLICE_NONE));
    assert_true(utf8_is_ascii(SLICE("plain\0text")));
    assert_false(utf8_is_ascii(SLICE("pl\xc3\xa4in")));
}

/* ---- random numbers ---- */

static void test_rng(void **state)
{
    struct rng a, b, c;
    unsigned seen[7] = {0};

    (void)state;
    rng_seed(&a, 1);
    rng_seed(&b, 1);
    rng_seed(&c, 2);
    bool differs = false;
    for (int i = 0; i < 100; i++) {
        uint64_t value = rng_next(&a);
        assert_true(value == rng_next(&b));
        differs |= value != rng_next(&c);
    }
    assert_true(differs);
    for (int i = 0; i < 7000; i++) {
        seen[rng_below(&a, 7)]++;
    }
    for (int i = 0; i < 7; i++) {
        assert_true(seen[i] > 800 && seen[i] < 1200);
    }
    assert_int_equal(rng_below(&a, 1), 0);
    /* A state of xoshiro256** by hand: 1, 2, 3, 4 gives 11520 first (2 * 5 rotated by 7, * 9). */
    struct rng known = {{1, 2, 3, 4}};
    assert_int_equal(rng_next(&known), 11520);
    assert_int_equal(rng_next(&known), 0);
    assert_int_equal(rng_next(&known), 1509978240);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slice_compare), cmocka_unit_test(test_slice_parts),
        cmocka_unit_test(test_slice_numbers), cmocka_unit_test(test_buf),
        cmocka_unit_test(test_buf_numbers),   cmocka_unit_test(test_buf_grows),
        cmocka_unit_test(test_list),          cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_rng),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
