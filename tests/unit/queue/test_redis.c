/*
 * test_redis.c - the connection to Redis, against a real one: order, batches, large replies,
 * log-in, breaks.
 */
#include "tests/unit/queue/client.h"

static struct server server;

static int server_setup(void **state)
{
    (void)state;
    server_init(&server);
    return 0;
}

static int server_teardown(void **state)
{
    (void)state;
    server_fini(&server);
    return 0;
}

/* INCR must answer 1, 2, 3, ...: in order, none twice, none lost. */
static void on_count(void *ctx, int err, const struct resp *reply)
{
    struct client *c = ctx;

    assert_int_equal(err, 0);
    assert_int_equal(reply->integer, c->last + 1);
    c->last = reply->integer;
    c->answers++;
}

/* ---- with a real Redis ---- */

static void order(struct io *io)
{
    enum { COUNT = 20000 };
    struct client c;

    server_call(&server, "DEL n");
    client_init(&c, io, &server.url);
    AWAIT(io, c.ups == 1);
    for (int i = 0; i < COUNT; i++) {
        struct buf *out = redis_begin(c.redis);
        resp_put_count(out, 2);
        resp_put_arg(out, SLICE("INCR"));
        resp_put_arg(out, SLICE("n"));
        redis_end(c.redis, 0, on_count, &c);
        if (i % 1000 == 999) {
            io_tick(io, 0);
        }
    }
    AWAIT(io, c.answers == COUNT);
    assert_int_equal(redis_pending(c.redis), 0);
    client_fini(&c);
}

static void test_order(void **state)
{
    (void)state;
    both(order);
}

static void one_write_a_tick(struct io *io)
{
    struct client c;

    client_init(&c, io, &server.url);
    AWAIT(io, c.ups == 1);
    /* Reads of a client's query are counted: many commands, few reads. */
    int64_t before = 0, after = 0;
    const char *mark = "total_reads_processed:";
    const struct resp *info = server_call(&server, "INFO stats");
    before = strtol(strstr(info->text.ptr, mark) + strlen(mark), NULL, 10);
    for (int i = 0; i < 100; i++) {
        give(&c, "PING", 0);
    }
    AWAIT(io, c.answers == 100);
    info = server_call(&server, "INFO stats");
    after = strtol(strstr(info->text.ptr, mark) + strlen(mark), NULL, 10);
    assert_true(after - before <= 4);
    client_fini(&c);
}

static void test_one_write_a_tick(void **state)
{
    (void)state;
    both(one_write_a_tick);
}

/* 20 MB there and back: writes that the socket takes in pieces, replies in many reads. */
static void large(struct io *io)
{
    enum { LARGE = 20 * 1000 * 1000 };
    struct client c;
    struct buf value = BUF_EMPTY;

    buf_reserve(&value, LARGE);
    for (size_t i = 0; i < LARGE; i++) {
        value.ptr[i] = (char)(i * 31 + i / 1000);
    }
    value.len = LARGE;
    client_init(&c, io, &server.url);
    AWAIT(io, c.ups == 1);
    struct slice set[] = {SLICE("SET"), SLICE("big"), buf_slice(&value)};
    redis_command(c.redis, set, 3, 0, on_answer, &c);
    give(&c, "GET big", 0);
    give(&c, "STRLEN big", 0);
    AWAIT(io, c.answers == 3);
    assert_int_equal(c.last, LARGE);
    assert_true(slice_eq(buf_slice(&c.text), buf_slice(&value)));
    give(&c, "DEL big", 0);
    AWAIT(io, c.answers == 4);
    buf_fini(&value);
    client_fini(&c);
}

static void test_large(void **state)
{
    (void)state;
    both(large);
}

static void errors_are_replies(struct io *io)
{
    struct client c;

    client_init(&c, io, &server.url);
    AWAIT(io, c.ups == 1);
    give(&c, "NOSUCH x", 0);
    AWAIT(io, c.answers == 1);
    assert_int_equal(c.errors, 0);
    assert_true(slice_starts(buf_slice(&c.text), SLICE("ERR unknown command")));
    client_fini(&c);
}

static void test_errors_are_replies(void **state)
{
    (void)state;
    both(errors_are_replies);
}

static void login(struct io *io)
{
    struct client c;
    struct redis_url url;
    struct buf text = BUF_EMPTY, why = BUF_EMPTY;

    server_call(&server, "ACL SETUSER joe on >pw@1 ~* +@all");
    server_call(&server, "DEL there");
    redis_url_copy(&url, &server.url);
    url.user = mem_dup("joe", 3);
    url.password = mem_dup("pw@1", 4);
    url.db = 3;
    client_init(&c, io, &url);
    AWAIT(io, c.ups == 1);
    give(&c, "SET there 3", 0);
    give(&c, "ACL WHOAMI", 0);
    AWAIT(io, c.answers == 2);
    assert_true(slice_eq(buf_slice(&c.text), SLICE("joe")));
    assert_int_equal(server_int(&server, "EXISTS there"), 0);
    client_fini(&c);

    /* The wrong password: said, and tried again. */
    url.password[0] = 'x';
    client_init(&c, io, &url);
    AWAIT(io, c.downs == 2);
    assert_int_equal(c.ups, 0);
    assert_int_equal(c.down_err, ERR_REFUSED);
    assert_non_null(strstr(c.why, "WRONGPASS"));
    client_fini(&c);
    redis_url_fini(&url);
    buf_fini(&text);
    buf_fini(&why);
}

static void test_login(void **state)
{
    (void)state;
    both(login);
}

static void killed_and_back(struct io *io)
{
    struct client c;

    client_init(&c, io, &server.url);
    AWAIT(io, c.ups == 1);
    give(&c, "SET kept 7", 0);
    AWAIT(io, c.answers == 1);
    give(&c, "BLPOP nothing 100", 200 * 1000000LL);
    give(&c, "PING", 0);
    io_tick(io, 0);
    io_tick(io, 0);
    server_kill(&server);
    AWAIT(io, c.downs >= 1);
    assert_int_equal(c.answers, 3);
    assert_int_equal(c.errors, 2);
    assert_true(c.last_err < 0);
    assert_false(redis_up(c.redis));
    AWAIT(io, c.downs >= 3); /* it goes on trying */
    server_start(&server);
    AWAIT(io, c.ups == 2);
    give(&c, "GET kept", 0);
    AWAIT(io, c.answers == 4);
    assert_true(slice_eq(buf_slice(&c.text), SLICE("7")));
    client_fini(&c);
}

static void test_killed_and_back(void **state)
{
    (void)state;
    both(killed_and_back);
}

static void closed_while_waiting(struct io *io)
{
    struct client c;

    client_init(&c, io, &server.url);
    AWAIT(io, c.ups == 1);
    give(&c, "BLPOP nothing 100", 0);
    io_tick(io, 0);
    redis_close(c.redis);
    AWAIT(io, c.closes == 1);
    assert_int_equal(c.errors, 1);
    assert_int_equal(c.last_err, ERR_CANCELED);
    assert_int_equal(c.downs, 0);
    buf_fini(&c.text);
}

static void test_closed_while_waiting(void **state)
{
    (void)state;
    both(closed_while_waiting);
}

static void nobody_there(struct io *io)
{
    struct client c;
    struct redis_url url;
    struct buf why = BUF_EMPTY;

    assert_int_equal(redis_url_parse(&url, SLICE("/tmp/volley-no-such-socket"), &why), 0);
    client_init(&c, io, &url);
    AWAIT(io, c.downs == 2);
    assert_true(c.why[0] != '\0');
    client_fini(&c);

    /* Closed from inside on_down, and closed before the first try. */
    client_init(&c, io, &url);
    c.close_on_down = true;
    AWAIT(io, c.closes == 1);
    client_init(&c, io, &url);
    redis_close(c.redis);
    AWAIT(io, c.closes == 1);
    redis_url_fini(&url);

    /* A name that does not exist: told, and the lookup can be abandoned. */
    assert_int_equal(redis_url_parse(&url, SLICE("redis://no-such-host.invalid"), &why), 0);
    client_init(&c, io, &url);
    io_tick(io, 0);
    redis_close(c.redis);
    AWAIT(io, c.closes == 1);
    redis_url_fini(&url);
}

static void test_nobody_there(void **state)
{
    (void)state;
    both(nobody_there);
}

/* ---- the blocking client ---- */

static void test_sync_pipeline(void **state)
{
    enum { COUNT = 200000 };
    const struct resp *reply;

    (void)state;
    /* Far more in both directions than sockets hold: neither side may wait for the other. */
    for (int i = 0; i < COUNT; i++) {
        struct slice argv[] = {SLICE("ECHO"), SLICE("0123456789012345678901234567890123456789")};
        sync_add(server.client, argv, 2);
    }
    assert_int_equal(sync_pending(server.client), COUNT);
    assert_int_equal(sync_flush(server.client), 0);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(sync_take(server.client, &reply), 0);
        assert_int_equal(reply->text.len, 40);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_one_write_a_tick),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_errors_are_replies),
        cmocka_unit_test(test_login),
        cmocka_unit_test(test_killed_and_back),
        cmocka_unit_test(test_closed_while_waiting),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_sync_pipeline),
    };

    return cmocka_run_group_tests(tests, server_setup, server_teardown);
}
