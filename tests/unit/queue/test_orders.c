/*
 * test_orders.c - orders as an engine reads them, and which jobs they speak of.
 */
#include "engine/base/err.h"
#include "engine/base/log.h"
#include "queue/orders.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

enum { NOW_MS = 1700000000, NOW_US = 5000000 };

/* The answer of volley_1_orders, as Redis would put it. */
static void read_orders(struct orders *o, const char *const *pairs)
{
    struct resp_reader *reader = resp_reader_new();
    struct buf wire = BUF_EMPTY;
    const struct resp *reply;
    const char *why;
    size_t count = 0;

    while (pairs[count] != NULL) {
        count++;
    }
    buf_printf(&wire, "*3\r\n:%d\r\n:7\r\n*%zu\r\n", NOW_MS, count);
    for (size_t i = 0; i < count; i++) {
        resp_put_arg(&wire, slice_cstr(pairs[i]));
    }
    assert_int_equal(resp_reader_feed(reader, buf_slice(&wire)), 0);
    assert_int_equal(resp_reader_next(reader, &reply, &why), 1);
    assert_int_equal(orders_read(o, reply, NOW_US), 0);
    buf_fini(&wire);
    resp_reader_free(reader);
}

struct sample {
    struct buf bytes;
    struct job_record record;
};

static const struct job_record *job(struct sample *s, const char *lane, enum job_class class,
                                    const char *campaign, const char *tags)
{
    buf_reset(&s->bytes);
    record_put_head(&s->bytes, SLICE("0123456789abcdefghjkmnpqrs.1"), class, false,
                    slice_cstr(lane), SLICE("ann@one.test"), 1);
    record_put_text(&s->bytes, RECORD_MESSAGE, SLICE("news"));
    if (campaign != NULL) {
        record_put_text(&s->bytes, RECORD_CAMPAIGN, slice_cstr(campaign));
    }
    if (tags != NULL) {
        record_put_text(&s->bytes, RECORD_TAGS, slice_cstr(tags));
    }
    assert_int_equal(record_decode(&s->record, buf_slice(&s->bytes)), 0);
    return &s->record;
}

static void test_each_field(void **state)
{
    static const struct {
        const char *order;
        bool speaks;
    } rows[] = {
        {"cancel 1 0 all=yes", true},           {"cancel 1 0 campaign=spring", true},
        {"cancel 1 0 campaign=sprin", false},   {"cancel 1 0 tenant=acme", true},
        {"cancel 1 0 tenant=acme2", false},     {"cancel 1 0 domain=one.test", true},
        {"cancel 1 0 domain=test", false},      {"cancel 1 0 site=big", true},
        {"cancel 1 0 site=small", false},       {"cancel 1 0 class=bulk", true},
        {"cancel 1 0 class=high", false},       {"cancel 1 0 tag=b", true},
        {"cancel 1 0 tag=a,b", false},          {"cancel 1 0 tag=bb", false},
        {"cancel 1 0 tenant=acme tag=c", true}, {"cancel 1 0 tenant=acme tag=d", false},
    };
    struct sample s = {0};
    const struct job_record *r = job(&s, "bulk:default:acme", JOB_BULK, "spring", "a,b,c");

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *const pairs[] = {"o1", rows[i].order, NULL};
        struct orders o;
        orders_init(&o);
        read_orders(&o, pairs);
        assert_int_equal(o.count, 1);
        if ((orders_match(&o, r, SLICE("big"), NOW_US) != NULL) != rows[i].speaks) {
            fail_msg("%s", rows[i].order);
        }
        orders_fini(&o);
    }
    buf_fini(&s.bytes);
}

static void test_absent_fields_match_nothing(void **state)
{
    static const char *const pairs[] = {"o1", "hold 1 0 campaign=x", "o2", "hold 1 0 tag=x",
                                        "o3", "hold 1 0 site=x",     NULL};
    struct sample s = {0};
    struct orders o;

    (void)state;
    orders_init(&o);
    read_orders(&o, pairs);
    assert_null(orders_match(&o, job(&s, "high:default:t", JOB_HIGH, NULL, NULL), SLICE_NONE, 0));
    orders_fini(&o);
    buf_fini(&s.bytes);
}

static void test_the_last_word(void **state)
{
    static const char *const pairs[] = {
        "p", "pause 1 0 all=yes", "c", "cancel 1 0 tenant=acme", "h",       "hold 1 0 all=yes",
        "r", "retry 1 0 all=yes", "l", "lifted 1 0 all=yes",     "c#ended", "17",
        NULL};
    struct sample s = {0};
    struct orders o;

    (void)state;
    orders_init(&o);
    read_orders(&o, pairs);
    assert_int_equal(o.count, 5);
    assert_int_equal(o.version, 7);
    const struct job_record *r = job(&s, "bulk:default:acme", JOB_BULK, NULL, NULL);
    assert_int_equal(orders_match(&o, r, SLICE_NONE, NOW_US)->kind, ORDER_CANCEL);
    assert_true(slice_eq(orders_retry(&o, r, SLICE_NONE, NOW_US)->id, SLICE("r")));
    r = job(&s, "bulk:default:other", JOB_BULK, NULL, NULL);
    assert_int_equal(orders_match(&o, r, SLICE_NONE, NOW_US)->kind, ORDER_HOLD);
    orders_fini(&o);
    buf_fini(&s.bytes);
}

static void test_orders_end(void **state)
{
    /* A second after the time at which Redis answered. */
    static const char *const pairs[] = {"p", "pause 1 1700001000 all=yes", NULL};
    struct sample s = {0};
    struct list_name name;
    struct orders o;

    (void)state;
    orders_init(&o);
    read_orders(&o, pairs);
    const struct job_record *r = job(&s, "bulk:default:acme", JOB_BULK, NULL, NULL);
    assert_int_equal(list_name_parse(&name, SLICE("in:bulk:default:acme")), 0);
    assert_non_null(orders_match(&o, r, SLICE_NONE, NOW_US + 999999));
    assert_true(orders_pause_list(&o, &name, NOW_US + 999999));
    assert_null(orders_match(&o, r, SLICE_NONE, NOW_US + 1000000));
    assert_false(orders_pause_list(&o, &name, NOW_US + 1000000));
    assert_true(order_over(&o.items[0], NOW_US + 1000000));
    orders_fini(&o);
    buf_fini(&s.bytes);
}

static void test_whole_lists(void **state)
{
    static const struct {
        const char *order, *list;
        bool paused;
    } rows[] = {
        {"pause 1 0 all=yes", "in:high:default:t", true},
        {"pause 1 0 tenant=t", "in:high:default:t", true},
        {"pause 1 0 tenant=t", "in:high:default:u", false},
        {"pause 1 0 class=bulk", "bin:bulk:default:t:big", true},
        {"pause 1 0 class=bulk", "bin:high:default:t:big", false},
        {"pause 1 0 site=big", "bin:bulk:default:t:big", true},
        {"pause 1 0 site=big", "in:bulk:default:t", false},
        {"pause 1 0 tenant=t site=big", "bin:bulk:default:u:big", false},
        {"pause 1 0 campaign=c", "in:bulk:default:t", false},
        {"pause 1 0 tenant=t tag=c", "in:bulk:default:t", false},
        {"hold 1 0 all=yes", "in:bulk:default:t", false},
        {"lifted 1 0 all=yes", "in:bulk:default:t", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *const pairs[] = {"o1", rows[i].order, NULL};
        struct list_name name;
        struct orders o;
        orders_init(&o);
        read_orders(&o, pairs);
        assert_int_equal(list_name_parse(&name, slice_cstr(rows[i].list)), 0);
        if (orders_pause_list(&o, &name, NOW_US) != rows[i].paused) {
            fail_msg("%s: %s", rows[i].order, rows[i].list);
        }
        orders_fini(&o);
    }
}

/* Anybody may write to Redis; an order that cannot be understood must not speak of more jobs than
 * it says. */
static void test_what_cannot_be_understood(void **state)
{
    static const char *const pairs[] = {
        "a",
        "",
        "b",
        "cancel",
        "c",
        "cancel 1",
        "d",
        "cancel 1 0",
        "e",
        "cancel 1 0 ",
        "f",
        "cancel 1 0 colour=red",
        "g",
        "cancel 1 0 tenant=",
        "h",
        "cancel 1 0 tenant",
        "i",
        "cancel x 0 all=yes",
        "j",
        "cancel 1 x all=yes",
        "k",
        "cancel 1 99999999999999999999 all=yes",
        "l",
        "cancel 1 18446744073709551615 all=yes",
        "m",
        "destroy 1 0 all=yes",
        "n",
        "cancel 1 0 all=no",
        "o",
        "cancel 1 0 tenant=t  campaign=c",
        "",
        "cancel 1 0 all=yes",
        "0123456789012345678901234567890123456789012345678901234567890123456789",
        "cancel 1 0 all=yes",
        "odd",
        NULL};
    struct orders o;

    (void)state;
    log_set_level(LOG_LEVEL_ERROR);
    orders_init(&o);
    read_orders(&o, pairs);
    assert_int_equal(o.count, 0);
    orders_fini(&o);
}

static void test_answers_of_another_form(void **state)
{
    static const char *const wires[] = {":1\r\n", "*2\r\n:1\r\n:2\r\n", "*3\r\n:1\r\n:2\r\n:3\r\n",
                                        "*3\r\n$1\r\n1\r\n:2\r\n*0\r\n"};
    (void)state;
    for (size_t i = 0; i < sizeof(wires) / sizeof(wires[0]); i++) {
        struct resp_reader *reader = resp_reader_new();
        const struct resp *reply;
        const char *why;
        struct orders o;
        orders_init(&o);
        assert_int_equal(resp_reader_feed(reader, slice_cstr(wires[i])), 0);
        assert_int_equal(resp_reader_next(reader, &reply, &why), 1);
        assert_int_equal(orders_read(&o, reply, 0), ERR_PROTO);
        orders_fini(&o);
        resp_reader_free(reader);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_field),
        cmocka_unit_test(test_absent_fields_match_nothing),
        cmocka_unit_test(test_the_last_word),
        cmocka_unit_test(test_orders_end),
        cmocka_unit_test(test_whole_lists),
        cmocka_unit_test(test_what_cannot_be_understood),
        cmocka_unit_test(test_answers_of_another_form),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
