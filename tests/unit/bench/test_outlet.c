/*
 * test_outlet.c - the delay line: what leaves, when, and in which pieces; socket addresses.
 */
#include "bench/address.h"
#include "bench/outlet.h"
#include "bench/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

/* All that leaves until nothing is left: "10:ab 20:c 20:close ". */
static void drain(struct outlet *o, struct buf *log)
{
    int64_t now_us = 0, next_us;
    struct buf out = BUF_EMPTY;
    enum outlet_kind kind;

    for (;;) {
        buf_reset(&out);
        if (!outlet_take(o, now_us, &out, &kind, &next_us)) {
            if (next_us == INT64_MAX) {
                break;
            }
            assert_true(next_us > now_us);
            now_us = next_us;
            continue;
        }
        if (out.len > 0) {
            buf_printf(log, "%lld:" SLICE_FMT " ", (long long)now_us, SLICE_ARG(buf_slice(&out)));
        }
        if (kind >= OUTLET_CLOSE) {
            static const char *const names[] = {"close", "reset", "stall"};
            buf_printf(log, "%lld:%s ", (long long)now_us, names[kind - OUTLET_CLOSE]);
            break;
        }
    }
    buf_fini(&out);
}

static void test_marked_output(void **state)
{
    static const struct {
        const char *name;
        struct server_mark mark[4];
        size_t marks;
        const char *leaves; /* of "abcdef" said at 10 */
    } rows[] = {
        {"plain", {{0}}, 0, "10:abcdef "},
        {"delay", {{SERVER_MARK_DELAY, 2, 5}}, 1, "10:ab 15:cdef "},
        {"delay of all", {{SERVER_MARK_DELAY, 0, 5}}, 1, "15:abcdef "},
        {"dribble",
         {{SERVER_MARK_DRIBBLE, 1, 7}, {SERVER_MARK_BULK, 3, 0}},
         2,
         "10:a 10:b 17:c 17:def "},
        {"close", {{SERVER_MARK_CLOSE, 6, 0}}, 1, "10:abcdef 10:close "},
        {"delay, then reset",
         {{SERVER_MARK_DELAY, 4, 5}, {SERVER_MARK_RESET, 6, 0}},
         2,
         "10:abcd 15:ef 15:reset "},
        {"stall at once", {{SERVER_MARK_STALL, 0, 0}}, 1, "10:stall "},
        {"held in vain", {{SERVER_MARK_HOLD, 0, 50}}, 1, "60:abcdef "},
        {"held until the next answer",
         {{SERVER_MARK_HOLD, 2, 50}, {SERVER_MARK_BULK, 4, 0}},
         2,
         "10:abcdef "},
        {"a pause changes nothing here", {{SERVER_MARK_PAUSE, 2, 5}}, 1, "10:abcdef "},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct outlet o;
        struct buf log = BUF_EMPTY;
        outlet_init(&o);
        outlet_put_marked(&o, SLICE("abcdef"), rows[i].mark, rows[i].marks, 10);
        drain(&o, &log);
        buf_terminate(&log);
        if (strcmp(log.ptr, rows[i].leaves) != 0) {
            fail_msg("%s: %s", rows[i].name, log.ptr);
        }
        buf_fini(&log);
        outlet_fini(&o);
    }
}

static void test_order_is_kept(void **state)
{
    const struct server_mark late = {SERVER_MARK_DELAY, 0, 100};
    struct outlet o;
    struct buf log = BUF_EMPTY;

    (void)state;
    outlet_init(&o);
    outlet_put_marked(&o, SLICE("one"), NULL, 0, 10);
    outlet_put_marked(&o, SLICE("two"), &late, 1, 20);
    outlet_put_marked(&o, SLICE("three"), NULL, 0, 30);
    drain(&o, &log);
    assert_true(slice_eq(buf_slice(&log), SLICE("10:one 120:twothree ")));
    assert_true(outlet_empty(&o));
    buf_fini(&log);
    outlet_fini(&o);
}

static void test_held_is_released_by_a_later_flight(void **state)
{
    const struct server_mark hold = {SERVER_MARK_HOLD, 0, 100};
    struct outlet o;
    struct buf log = BUF_EMPTY;

    (void)state;
    outlet_init(&o);
    outlet_put_marked(&o, SLICE("one "), &hold, 1, 10);
    outlet_put_marked(&o, SLICE("two"), NULL, 0, 30);
    drain(&o, &log);
    assert_true(slice_eq(buf_slice(&log), SLICE("30:one two ")));
    buf_fini(&log);
    outlet_fini(&o);
}

/* The line may be used for hours: taking and putting in turns keeps it small. */
static void test_long_use(void **state)
{
    struct outlet o;
    struct buf out = BUF_EMPTY;
    enum outlet_kind kind;
    int64_t next_us;
    uint64_t taken = 0;

    (void)state;
    outlet_init(&o);
    for (int64_t now = 0; now < 100000; now++) {
        outlet_put_marked(&o, SLICE("0123456789"), NULL, 0, now + 50);
        while (outlet_take(&o, now, &out, &kind, &next_us)) {
            taken += out.len;
            buf_reset(&out);
        }
    }
    assert_int_equal(taken, 10 * (100000 - 50));
    assert_true(o.cap <= 128);
    buf_fini(&out);
    outlet_fini(&o);
}

static void test_addresses(void **state)
{
    static const struct {
        const char *text, *means; /* NULL: refused */
    } rows[] = {
        {"127.0.0.1:2525", "127.0.0.1:2525"},
        {"localhost:25", "127.0.0.1:25"},
        {"*:0", "0.0.0.0:0"},
        {":25", "0.0.0.0:25"},
        {"[::1]:65535", "[::1]:65535"},
        {"unix:/tmp/x", "unix:/tmp/x"},
        {"/tmp/x", "unix:/tmp/x"},
        {"", NULL},
        {"127.0.0.1", NULL},
        {"127.0.0.1:", NULL},
        {"127.0.0.1:65536", NULL},
        {"127.0.0.1:x", NULL},
        {"::1:25", NULL},
        {"[::1]", NULL},
        {"mail.example:25", NULL},
        {"unix:", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct address a;
        struct buf out = BUF_EMPTY;
        int err = address_parse(slice_cstr(rows[i].text), &a, &out);
        if ((err == 0) != (rows[i].means != NULL)) {
            fail_msg("%s", rows[i].text);
        }
        if (err == 0) {
            address_put(&out, (const struct sockaddr *)&a.to, a.len);
            assert_true(slice_eq(buf_slice(&out), slice_cstr(rows[i].means)));
        } else {
            assert_true(out.len > 0);
        }
        buf_fini(&out);
    }
}

static void test_crc32(void **state)
{
    (void)state;
    assert_int_equal(record_crc32(SLICE("123456789")), 0xcbf43926);
    assert_int_equal(record_crc32(SLICE("")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_marked_output),
        cmocka_unit_test(test_order_is_kept),
        cmocka_unit_test(test_held_is_released_by_a_later_flight),
        cmocka_unit_test(test_long_use),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_crc32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
