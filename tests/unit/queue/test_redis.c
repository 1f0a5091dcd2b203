/*
 * test_redis.c - the connection to Redis: order, batches, large replies, breaks and deadlines.
 *
 * Most run against a real redis-server; what a real one does not do (answer by the byte, hang,
 * talk nonsense) against a socket that the test itself serves.
 */
#include "server.h"
#include "queue/redis.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

struct client {
    struct io *io;
    struct redis *redis;
    int ups, downs, closes;
    int down_err;
    char why[256];
    bool close_on_down;
    /* answers */
    int answers, errors;
    int64_t last;
    int last_err;
    struct buf text;
    char status[64];
};

static void on_up(void *ctx)
{
    ((struct client *)ctx)->ups++;
}

static void on_down(void *ctx, int err, const char *why)
{
    struct client *c = ctx;

    assert_false(redis_up(c->redis));
    c->downs++;
    c->down_err = err;
    snprintf(c->why, sizeof(c->why), "%s", why);
    if (c->close_on_down) {
        c->close_on_down = false;
        redis_close(c->redis);
    }
}

static void on_closed(void *ctx)
{
    struct client *c = ctx;

    c->closes++;
    c->redis = NULL;
}

static const struct redis_ops ops = {.on_up = on_up, .on_down = on_down, .on_closed = on_closed};

static void on_answer(void *ctx, int err, const struct resp *reply)
{
    struct client *c = ctx;

    assert_int_equal(err != 0, reply == NULL);
    c->answers++;
    c->last_err = err;
    if (err != 0) {
        c->errors++;
        return;
    }
    c->last = reply->integer;
    if (reply->text.len > 0) {
        buf_reset(&c->text);
        buf_puts(&c->text, reply->text);
    }
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

static void give(struct client *c, const char *command, int64_t timeout_us)
{
    struct slice rest = slice_cstr(command), argv[16];
    size_t argc = 0;

    while (slice_next(&rest, ' ', &argv[argc])) {
        argc++;
    }
    redis_command(c->redis, argv, argc, timeout_us, on_answer, c);
}

static void client_init(struct client *c, struct io *io, const struct redis_url *url)
{
    memset(c, 0, sizeof(*c));
    c->io = io;
    c->redis = redis_new(io, url, &ops, c);
}

static void client_fini(struct client *c)
{
    if (c->redis != NULL) {
        redis_close(c->redis);
        AWAIT(c->io, c->closes == 1);
    }
    buf_fini(&c->text);
}

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

/* Each test runs on both backends. */
static void both(void (*test)(struct io *io))
{
    static const enum io_backend backends[] = {IO_EPOLL, IO_URING};

    for (size_t i = 0; i < 2; i++) {
        struct io *io = loop_new(backends[i]);
        test(io);
        io_free(io);
    }
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
    before = atoll(strstr(info->text.ptr, mark) + strlen(mark));
    for (int i = 0; i < 100; i++) {
        give(&c, "PING", 0);
    }
    AWAIT(io, c.answers == 100);
    info = server_call(&server, "INFO stats");
    after = atoll(strstr(info->text.ptr, mark) + strlen(mark));
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

/* ---- with a Redis of our own making ---- */

struct fake {
    int listener;
    int fd;
    struct redis_url url;
};

static void fake_init(struct fake *f)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    struct buf text = BUF_EMPTY, why = BUF_EMPTY;

    f->fd = -1;
    f->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(f->listener, 8), 0);
    getsockname(f->listener, (struct sockaddr *)&at, &len);
    buf_printf(&text, "redis://localhost:%u", ntohs(at.sin_port));
    assert_int_equal(redis_url_parse(&f->url, buf_slice(&text), &why), 0);
    buf_fini(&text);
}

static void fake_fini(struct fake *f)
{
    close(f->listener);
    if (f->fd >= 0) {
        close(f->fd);
    }
    redis_url_fini(&f->url);
}

/* Ends both sides: the client would linger for the end of a peer that stays. */
static void fake_end(struct fake *f, struct client *c)
{
    redis_close(c->redis);
    if (f->fd >= 0) {
        close(f->fd);
        f->fd = -1;
    }
    AWAIT(c->io, c->closes == 1);
    buf_fini(&c->text);
    fake_fini(f);
}

static bool fake_accepts(struct fake *f)
{
    if (f->fd < 0) {
        f->fd = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    }
    return f->fd >= 0;
}

static bool fake_sees(struct fake *f, const char *text)
{
    char in[4096] = "";
    ssize_t n = recv(f->fd, in, sizeof(in) - 1, MSG_PEEK);

    return n > 0 && memmem(in, (size_t)n, text, strlen(text)) != NULL;
}

static void fake_says(struct fake *f, const char *text)
{
    assert_int_equal(send(f->fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Lets the client come up. */
static void fake_greets(struct fake *f, struct client *c)
{
    AWAIT(c->io, fake_accepts(f));
    AWAIT(c->io, fake_sees(f, "PING\r\n"));
    fake_says(f, "+PONG\r\n");
    int ups = c->ups;
    AWAIT(c->io, c->ups == ups + 1);
}

static void answers_by_the_byte(struct io *io)
{
    static const char answer[] = "$11\r\nhello world\r\n:5\r\n";
    struct fake f;
    struct client c;

    fake_init(&f);
    client_init(&c, io, &f.url);
    fake_greets(&f, &c);
    give(&c, "GET a", 0);
    give(&c, "INCR b", 0);
    for (size_t i = 0; i < sizeof(answer) - 1; i++) {
        char one[] = {answer[i], '\0'};
        fake_says(&f, one);
        io_tick(io, 2000);
    }
    AWAIT(io, c.answers == 2);
    assert_true(slice_eq(buf_slice(&c.text), SLICE("hello world")));
    assert_int_equal(c.last, 5);
    fake_end(&f, &c);
}

static void test_answers_by_the_byte(void **state)
{
    (void)state;
    both(answers_by_the_byte);
}

static void silence(struct io *io)
{
    struct fake f;
    struct client c;

    fake_init(&f);
    client_init(&c, io, &f.url);
    fake_greets(&f, &c);
    give(&c, "GET a", 50 * 1000);
    AWAIT(io, c.answers == 1);
    assert_int_equal(c.last_err, ERR_TIMEOUT);
    assert_int_equal(c.down_err, ERR_TIMEOUT);
    fake_end(&f, &c);
}

static void test_silence(void **state)
{
    (void)state;
    both(silence);
}

static void nonsense(struct io *io)
{
    static const char *const rows[] = {"HTTP/1.1 400 Bad Request\r\n", ":1\r\n:2\r\n",
                                       "$5\r\nabcdefgh"};
    struct fake f;
    struct client c;

    fake_init(&f);
    client_init(&c, io, &f.url);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fake_greets(&f, &c);
        int downs = c.downs;
        give(&c, "GET a", 0);
        fake_says(&f, rows[i]);
        if (i == 2) { /* a reply that is cut off by the end of the connection */
            shutdown(f.fd, SHUT_WR);
        }
        AWAIT(io, c.downs == downs + 1);
        close(f.fd);
        f.fd = -1;
    }
    fake_end(&f, &c);
}

static void test_nonsense(void **state)
{
    (void)state;
    both(nonsense);
}

static void loading(struct io *io)
{
    struct fake f;
    struct client c;

    fake_init(&f);
    client_init(&c, io, &f.url);
    AWAIT(io, fake_accepts(&f));
    AWAIT(io, fake_sees(&f, "PING\r\n"));
    fake_says(&f, "-LOADING Redis is loading the dataset in memory\r\n");
    AWAIT(io, c.downs == 1);
    assert_int_equal(c.down_err, ERR_AGAIN);
    assert_non_null(strstr(c.why, "loading"));
    close(f.fd);
    f.fd = -1;
    fake_greets(&f, &c);
    fake_end(&f, &c);
}

static void test_loading(void **state)
{
    (void)state;
    both(loading);
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

static void test_sync_failures(void **state)
{
    struct redis_url url;
    struct buf why = BUF_EMPTY;
    struct fake f;
    int err = 0;

    (void)state;
    assert_int_equal(redis_url_parse(&url, SLICE("/tmp/volley-no-such-socket"), &why), 0);
    assert_null(sync_open(&url, 1000, &err, &why));
    assert_int_equal(err, ERR_NOTFOUND);
    buf_terminate(&why);
    assert_non_null(strstr(why.ptr, "/tmp/volley-no-such-socket"));
    redis_url_fini(&url);
    fake_init(&f); /* takes the connection into its backlog and says nothing */
    assert_null(sync_open(&f.url, 50, &err, &why));
    assert_int_equal(err, ERR_TIMEOUT);
    fake_fini(&f);
    buf_fini(&why);
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
        cmocka_unit_test(test_answers_by_the_byte),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_loading),
        cmocka_unit_test(test_sync_pipeline),
        cmocka_unit_test(test_sync_failures),
    };

    return cmocka_run_group_tests(tests, server_setup, server_teardown);
}
