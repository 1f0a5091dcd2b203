/*
 * test_resp.c - replies are read whatever their cuts, commands written as Redis wants them.
 */
#include "engine/base/err.h"
#include "queue/fcall.h"
#include "queue/resp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#define STREAM                                                                                 \
    "+OK\r\n-VOLLEYBAD to: x\r\n:42\r\n:-7\r\n$-1\r\n$0\r\n\r\n$5\r\na\r\nbc\r\n*-1\r\n*0\r\n" \
    "*3\r\n:1\r\n*2\r\n$1\r\nx\r\n-ERR y\r\n$2\r\nzz\r\n"

static void expect_text(const struct resp *r, enum resp_type type, const char *text, size_t len)
{
    assert_int_equal(r->type, type);
    assert_int_equal(r->text.len, len);
    assert_memory_equal(r->text.ptr, text, len);
    assert_int_equal(r->text.ptr[len], '\0');
}

/* Reply number i of STREAM. */
static void expect_reply(size_t i, const struct resp *r)
{
    switch (i) {
    case 0:
        assert_true(resp_is_ok(r));
        return;
    case 1:
        expect_text(r, RESP_ERROR, "VOLLEYBAD to: x", 15);
        assert_true(resp_is_error(r, SLICE("VOLLEYBAD")));
        assert_false(resp_is_error(r, SLICE("VOLLEY")));
        return;
    case 2:
    case 3:
        assert_int_equal(r->type, RESP_INTEGER);
        assert_int_equal(r->integer, i == 2 ? 42 : -7);
        return;
    case 4:
    case 7:
        assert_int_equal(r->type, RESP_NIL);
        return;
    case 5:
        expect_text(r, RESP_STRING, "", 0);
        return;
    case 6:
        expect_text(r, RESP_STRING, "a\r\nbc", 5);
        return;
    case 8:
        assert_int_equal(r->type, RESP_ARRAY);
        assert_int_equal(r->count, 0);
        return;
    default:
        assert_int_equal(r->type, RESP_ARRAY);
        assert_int_equal(r->count, 3);
        assert_int_equal(r->items[0].integer, 1);
        assert_int_equal(r->items[1].count, 2);
        expect_text(&r->items[1].items[0], RESP_STRING, "x", 1);
        expect_text(&r->items[1].items[1], RESP_ERROR, "ERR y", 5);
        expect_text(&r->items[2], RESP_STRING, "zz", 2);
        return;
    }
}

static void read_cut(size_t first, size_t step)
{
    struct resp_reader *r = resp_reader_new();
    struct slice rest = SLICE(STREAM);
    const struct resp *reply;
    const char *why;
    size_t replies = 0;

    while (rest.len > 0) {
        size_t len = first > 0 ? first : step;
        len = len < rest.len ? len : rest.len;
        first = 0;
        assert_int_equal(resp_reader_feed(r, slice_of(rest.ptr, len)), 0);
        rest = slice_from(rest, len);
        while (resp_reader_next(r, &reply, &why) == 1) {
            expect_reply(replies++, reply);
        }
    }
    assert_int_equal(replies, 10);
    resp_reader_free(r);
}

static void test_every_cut(void **state)
{
    (void)state;
    for (size_t first = 0; first < sizeof(STREAM) - 1; first++) {
        read_cut(first, sizeof(STREAM));
    }
    for (size_t step = 1; step < 20; step++) {
        read_cut(0, step);
    }
}

/* Larger than the arena's block, several times over: nothing of one reply is in the next. */
static void test_large_replies(void **state)
{
    enum { LARGE = 3 * 1024 * 1024 };
    struct resp_reader *r = resp_reader_new();
    struct buf b = BUF_EMPTY;
    const struct resp *reply;
    const char *why;

    (void)state;
    for (int round = 0; round < 3; round++) {
        buf_reset(&b);
        buf_printf(&b, "*2\r\n$%d\r\n", LARGE);
        buf_reserve(&b, LARGE);
        memset(b.ptr + b.len, 'a' + round, LARGE);
        b.len += LARGE;
        BUF_LIT(&b, "\r\n*5000\r\n");
        for (int i = 0; i < 5000; i++) {
            buf_printf(&b, "$4\r\n%04d\r\n", i);
        }
        for (size_t at = 0; at < b.len; at += 65536) {
            size_t len = b.len - at < 65536 ? b.len - at : 65536;
            assert_int_equal(resp_reader_feed(r, slice_of(b.ptr + at, len)), 0);
            int got = resp_reader_next(r, &reply, &why);
            assert_int_equal(got, at + len == b.len);
        }
        assert_int_equal(reply->items[0].text.len, LARGE);
        assert_int_equal(reply->items[0].text.ptr[LARGE - 1], 'a' + round);
        assert_int_equal(reply->items[1].count, 5000);
        assert_string_equal(reply->items[1].items[4999].text.ptr, "4999");
    }
    buf_fini(&b);
    resp_reader_free(r);
}

static void test_broken_streams(void **state)
{
    static const char *const rows[] = {"hello\r\n", "$x\r\n", "*1\r\nq\r\n", ":12a\r\n",
                                       "*99999999\r\n"};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct resp_reader *r = resp_reader_new();
        const struct resp *reply;
        const char *why = "";
        assert_int_equal(resp_reader_feed(r, slice_cstr(rows[i])), 0);
        if (resp_reader_next(r, &reply, &why) != ERR_PROTO || why[0] == '\0') {
            fail_msg("%s was taken", rows[i]);
        }
        resp_reader_free(r);
    }
}

static void test_commands(void **state)
{
    struct slice argv[] = {SLICE("SET"), SLICE("k\r\n"), SLICE_NONE};
    struct buf a = BUF_EMPTY, b = BUF_EMPTY;

    (void)state;
    resp_put_command(&a, argv, 3);
    resp_put_count(&b, 3);
    resp_put_arg(&b, argv[0]);
    resp_put_arg(&b, argv[1]);
    resp_put_arg(&b, argv[2]);
    assert_true(slice_eq(buf_slice(&a), buf_slice(&b)));
    assert_true(slice_eq(buf_slice(&a), SLICE("*3\r\n$3\r\nSET\r\n$3\r\nk\r\n\r\n$0\r\n\r\n")));
    buf_reset(&b);
    resp_put_u64(&b, UINT64_MAX);
    assert_true(slice_eq(buf_slice(&b), SLICE("$20\r\n18446744073709551615\r\n")));
    buf_reset(&b);
    fcall_begin(&b, SLICE("renew"), 1, 1);
    assert_true(slice_eq(buf_slice(&b), SLICE("*5\r\n$5\r\nFCALL\r\n$14\r\nvolley_1_renew\r\n"
                                              "$1\r\n1\r\n")));
    buf_fini(&a);
    buf_fini(&b);
}

static void test_verdicts(void **state)
{
    static const struct {
        const char *text;
        enum fcall_verdict verdict;
    } rows[] = {
        {"VOLLEYFENCED 'n:1' holds no lease", FCALL_FENCED},
        {"ERR Function not found", FCALL_NO_LIBRARY},
        {"LOADING Redis is loading the dataset in memory", FCALL_LATER},
        {"READONLY You can't write against a read only replica.", FCALL_LATER},
        {"OOM command not allowed", FCALL_LATER},
        {"TRYAGAIN Multiple keys request during rehashing of slot", FCALL_LATER},
        {"ERR Script attempted to access a non local key in a cluster node", FCALL_LATER},
        {"WRONGTYPE Operation against a key", FCALL_FAILED},
        {"ERR user_function:12: oops", FCALL_FAILED},
        {"LOADINGX", FCALL_FAILED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct resp r = {.type = RESP_ERROR, .text = slice_cstr(rows[i].text)};
        assert_int_equal(fcall_judge(&r), rows[i].verdict);
    }
    assert_int_equal(fcall_judge(&(struct resp){.type = RESP_NIL}), FCALL_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_cut),      cmocka_unit_test(test_large_replies),
        cmocka_unit_test(test_broken_streams), cmocka_unit_test(test_commands),
        cmocka_unit_test(test_verdicts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
