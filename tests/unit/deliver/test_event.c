/*
 * test_event.c - event lines: what is known is there, what is not is left out.
 */
#include "engine/deliver/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

static void expect(const struct event *e, const char *line)
{
    struct buf b = BUF_EMPTY;

    event_put(&b, e);
    buf_terminate(&b);
    assert_string_equal(b.ptr, line);
    buf_fini(&b);
}

static void test_everything(void **state)
{
    const struct event_pair x[] = {{SLICE("order"), SLICE("4711")}, {SLICE("q\""), SLICE("\xff")}};
    struct event e = {
        .type = "deferred",
        .wall_us = INT64_C(1767225599123456),
        .node = SLICE("mta1-1"),
        .id = SLICE("01J8ZQ4Y8M000000000000000A"),
        .rcpt = 2,
        .to = SLICE("a@b.example"),
        .has_from = true,
        .tenant = SLICE("acme"),
        .campaign = SLICE("c1"),
        .tags = SLICE("x,y"),
        .message = SLICE("news42"),
        .job_class = SLICE("bulk"),
        .pool = SLICE("default"),
        .x = x,
        .x_count = 2,
        .failure = "full",
        .attempt = 3,
        .stage = "rcpt",
        .code = 452,
        .enhanced = SLICE("4.2.2"),
        .text = SLICE("mailbox full"),
        .next_wall_us = INT64_C(1767225600000000),
        .site = SLICE("mx.b.example"),
        .mx = SLICE("mx.b.example"),
        .ip = SLICE("192.0.2.1"),
        .source = SLICE("a"),
        .tls_version = SLICE("TLSv1.3"),
        .tls_cipher = SLICE("TLS_AES_128_GCM_SHA256"),
        .bytes = 10240,
        .times = {1, -1, 3, 4, 5, 0},
    };

    (void)state;
    expect(&e, "{\"v\":1,\"event\":\"01J8ZQ4Y8M000000000000000A.2.3\",\"time\":"
               "\"2025-12-31T23:59:59.123Z\",\"node\":\"mta1-1\",\"id\":"
               "\"01J8ZQ4Y8M000000000000000A\",\"rcpt\":2,\"to\":\"a@b.example\",\"from\":\"\","
               "\"tenant\":\"acme\",\"campaign\":\"c1\",\"tags\":[\"x\",\"y\"],\"message\":"
               "\"news42\",\"job_class\":\"bulk\",\"pool\":\"default\",\"x\":{\"order\":\"4711\","
               "\"q\\\"\":\"\xef\xbf\xbd\"},\"type\":\"deferred\",\"final\":false,\"failure\":"
               "\"full\",\"attempt\":3,\"stage\":\"rcpt\",\"code\":452,\"enhanced\":\"4.2.2\","
               "\"text\":\"mailbox full\",\"next\":\"2026-01-01T00:00:00.000Z\",\"site\":"
               "\"mx.b.example\",\"mx\":\"mx.b.example\",\"ip\":\"192.0.2.1\",\"source\":\"a\","
               "\"tls\":{\"version\":\"TLSv1.3\",\"cipher\":\"TLS_AES_128_GCM_SHA256\","
               "\"verified\":false},\"bytes\":10240,\"t_queue_us\":1,\"t_connect_us\":3,"
               "\"t_tls_us\":4,\"t_mail_us\":5,\"t_dot_us\":0}\n");
}

static void test_little(void **state)
{
    struct event e = {.type = "expired",
                      .final = true,
                      .id = SLICE("01J8ZQ4Y8M000000000000000A"),
                      .rcpt = 1,
                      .to = SLICE("a@b.example"),
                      .times = EVENT_TIMES_NONE};

    (void)state;
    expect(&e, "{\"v\":1,\"event\":\"01J8ZQ4Y8M000000000000000A.1.0\",\"time\":"
               "\"1970-01-01T00:00:00.000Z\",\"id\":\"01J8ZQ4Y8M000000000000000A\",\"rcpt\":1,"
               "\"to\":\"a@b.example\",\"type\":\"expired\",\"final\":true}\n");
}

static void test_site(void **state)
{
    struct event e = {.type = "site",
                      .site = SLICE("mx.b.example"),
                      .state = "down",
                      .failure = "network",
                      .stage = "connect",
                      .text = SLICE("timed out"),
                      .times = EVENT_TIMES_NONE};

    (void)state;
    expect(&e, "{\"v\":1,\"time\":\"1970-01-01T00:00:00.000Z\",\"type\":\"site\","
               "\"state\":\"down\",\"failure\":"
               "\"network\",\"stage\":\"connect\",\"text\":\"timed out\",\"site\":"
               "\"mx.b.example\"}\n");
}

static void test_long_text_is_cut(void **state)
{
    char text[2000];
    struct buf b = BUF_EMPTY;
    struct event e = {.type = "site", .text = slice_of(text, sizeof(text))};

    (void)state;
    memset(text, 'a', sizeof(text));
    event_put(&b, &e);
    assert_true(b.len < EVENT_TEXT_MAX + 200);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_little),
        cmocka_unit_test(test_site),
        cmocka_unit_test(test_long_text_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
