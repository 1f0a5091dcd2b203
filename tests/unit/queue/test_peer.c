/*
 * test_peer.c - the connection to Redis, against a peer that does what a real one does not:
 * answers by the byte, hangs, talks nonsense.
 */
#include "queue/library.h"
#include "queue/node.h"
#include "tests/unit/queue/client.h"

#include <netinet/in.h>
#include <sys/socket.h>

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

/* ---- a node ---- */

struct told {
    char fatal[300];
    int ups;
    bool closed;
};

static void told_up(void *ctx)
{
    ((struct told *)ctx)->ups++;
}

static void told_down(void *ctx, const char *why)
{
    (void)ctx;
    (void)why;
}

static void told_fatal(void *ctx, const char *why)
{
    struct told *t = ctx;

    snprintf(t->fatal, sizeof(t->fatal), "%s", why);
}

static void told_bell(void *ctx, struct slice list)
{
    (void)ctx;
    (void)list;
}

static void told_closed(void *ctx)
{
    ((struct told *)ctx)->closed = true;
}

static void old_redis(struct io *io)
{
    static const struct node_ops node_ops = {.on_up = told_up,
                                             .on_down = told_down,
                                             .on_fatal = told_fatal,
                                             .on_bell = told_bell,
                                             .on_closed = told_closed};
    struct fake f;
    struct told told = {0};
    struct buf why = BUF_EMPTY;

    fake_init(&f);
    /* Without a lookup the node's connection comes before the one for its doorbell. */
    assert_int_equal(place_set(&f.url.seed[0], SLICE("127.0.0.1"), f.url.seed[0].port), 0);
    struct node_options options = {.io = io,
                                   .url = &f.url,
                                   .prefix = SLICE("volley"),
                                   .id = SLICE("n1"),
                                   .holder = SLICE("here"),
                                   .ops = &node_ops,
                                   .ctx = &told};
    struct node *node = node_new(&options, &why);
    AWAIT(io, fake_accepts(&f));
    AWAIT(io, fake_sees(&f, "PING\r\n"));
    fake_says(&f, "+PONG\r\n");
    AWAIT(io, fake_sees(&f, "FUNCTION"));
    fake_says(&f, "-ERR unknown command `FUNCTION`, with args beginning with: `LIST`\r\n");
    AWAIT(io, told.fatal[0] != '\0');
    assert_non_null(strstr(told.fatal, "older than version 7"));
    assert_int_equal(told.ups, 0);
    node_close(node);
    close(f.fd);
    f.fd = -1;
    close(f.listener); /* ends the doorbell's connection in its backlog */
    AWAIT(io, told.closed);
    redis_url_fini(&f.url);
}

static void test_old_redis(void **state)
{
    (void)state;
    both(old_redis);
}

static void test_node_options(void **state)
{
    static const char *const ids[] = {"", "a b", "a:b", "a/b"};
    struct redis_url url;
    struct buf why = BUF_EMPTY;

    (void)state;
    assert_int_equal(redis_url_parse(&url, SLICE("/tmp/x"), &why), 0);
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        struct node_options options = {.url = &url,
                                       .prefix = SLICE("volley"),
                                       .id = slice_cstr(ids[i]),
                                       .holder = SLICE("here")};
        buf_reset(&why);
        assert_null(node_new(&options, &why));
        assert_true(slice_starts(buf_slice(&why), SLICE("node id: ")));
    }
    struct node_options options = {
        .url = &url, .prefix = SLICE("a:b"), .id = SLICE("n"), .holder = SLICE("here")};
    assert_null(node_new(&options, &why));
    redis_url_fini(&url);
    buf_fini(&why);
}

/* ---- the blocking client ---- */

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
        cmocka_unit_test(test_answers_by_the_byte),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_loading),
        cmocka_unit_test(test_old_redis),
        cmocka_unit_test(test_node_options),
        cmocka_unit_test(test_sync_failures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
