/*
 * test_json.c - whatever goes in, a line of JSON comes out.
 */
#include "engine/base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static void expect(struct buf *b, const char *text)
{
    buf_terminate(b);
    assert_string_equal(b->ptr, text);
    buf_fini(b);
}

static void test_structure(void **state)
{
    struct buf b = BUF_EMPTY;

    (void)state;
    json_object_open(&b);
    json_object_close(&b);
    expect(&b, "{}");

    json_object_open(&b);
    json_put_cstr(&b, "a", "x");
    json_put_u64(&b, "b", UINT64_MAX);
    json_put_i64(&b, "c", INT64_MIN);
    json_put_bool(&b, "d", true);
    json_key(&b, "e");
    json_null(&b);
    json_key(&b, "f");
    json_array_open(&b);
    json_array_open(&b);
    json_array_close(&b);
    json_object_open(&b);
    json_put_bool(&b, "g", false);
    json_object_close(&b);
    json_u64(&b, 1);
    json_i64(&b, -1);
    json_str(&b, SLICE("[{:"));
    json_bool(&b, true);
    json_array_close(&b);
    json_key(&b, "h");
    json_object_open(&b);
    json_object_close(&b);
    json_object_close(&b);
    expect(&b, "{\"a\":\"x\",\"b\":18446744073709551615,\"c\":-9223372036854775808,\"d\":true,"
               "\"e\":null,\"f\":[[],{\"g\":false},1,-1,\"[{:\",true],\"h\":{}}");
}

/* Lines stand behind each other in one buffer. */
static void test_lines(void **state)
{
    struct buf b = BUF_EMPTY;

    (void)state;
    for (uint64_t i = 1; i <= 2; i++) {
        json_object_open(&b);
        json_put_u64(&b, "n", i);
        json_object_close(&b);
        buf_putc(&b, '\n');
    }
    expect(&b, "{\"n\":1}\n{\"n\":2}\n");
}

#define FFFD "\xef\xbf\xbd"

static void test_strings(void **state)
{
    static const struct {
        struct slice in;
        const char *out;
    } rows[] = {
        {{NULL, 0}, "\"\""},
        {SLICE("plain"), "\"plain\""},
        {SLICE("\"\\/"), "\"\\\"\\\\/\""},
        {SLICE("a\nb\rc\td"), "\"a\\nb\\rc\\td\""},
        {SLICE("\0\x01\x1f\x7f"), "\"\\u0000\\u0001\\u001f\\u007f\""},
        {SLICE("Gr\xc3\xbc\xc3\x9f"
               "e \xf0\x9f\x98\x80"),
         "\"Gr\xc3\xbc\xc3\x9f"
         "e \xf0\x9f\x98\x80\""},
        {SLICE("\xff"), "\"" FFFD "\""},
        {SLICE("a\xc3"), "\"a" FFFD "\""},
        {SLICE("\xc3\"x"), "\"" FFFD "\\\"x\""},
        {SLICE("\xe2\x82z"), "\"" FFFD FFFD "z\""},
        {SLICE("\xed\xa0\x80"), "\"" FFFD FFFD FFFD "\""},
        {SLICE("\xc0\xaf"), "\"" FFFD FFFD "\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf b = BUF_EMPTY;
        json_str(&b, rows[i].in);
        expect(&b, rows[i].out);
    }
}

/* Every byte alone and every pair: the result holds no control character and no bare quote. */
static void test_any_bytes(void **state)
{
    (void)state;
    for (unsigned pair = 0; pair < 65536; pair++) {
        char in[2] = {(char)(pair >> 8), (char)pair};
        struct buf b = BUF_EMPTY;
        json_str(&b, slice_of(in, 2));
        assert_true(b.len >= 4 && b.ptr[0] == '"' && b.ptr[b.len - 1] == '"');
        for (size_t i = 1; i < b.len - 1; i++) {
            assert_true((unsigned char)b.ptr[i] >= 0x20);
            if (b.ptr[i] == '\\') {
                i++;
                assert_true(i < b.len - 1);
            } else {
                assert_true(b.ptr[i] != '"');
            }
        }
        buf_fini(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_structure),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_any_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
