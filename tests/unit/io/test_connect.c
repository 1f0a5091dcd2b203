/*
 * test_connect.c - how connecting ends: well, refused, too late, given up.
 */
#include "engine/io/socket.h"
#include "tests/unit/io/harness.h"

/* A socket that takes no more connections: further SYNs are not answered. */
static int full_listener(union address *at, int filler[2])
{
    int fd = plain_listen(AF_INET, at);

    assert_int_equal(listen(fd, 0), 0);
    for (int i = 0; i < 2; i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        connect(filler[i], &at->sa, address_len(at));
    }
    return fd;
}

static void test_families(void **state)
{
    struct io *io = IO_OF(state);
    static const int families[] = {AF_INET, AF_INET6, AF_UNIX};
    struct iovec iov = {"hello", 5};

    for (size_t i = 0; i < 3; i++) {
        struct io_connect_options options = {.timeout_us = 5000000};
        union address at;
        struct peer p;
        char text[8];
        int listener = plain_listen(families[i], &at);
        peer_init(&p);
        assert_int_equal(io_connect(io, &p.s, &peer_ops, &at.sa, address_len(&at), &options), 0);
        assert_int_equal(p.opens, 0); /* never from inside io_connect() */
        AWAIT(io, p.opens == 1);
        assert_int_equal(p.open_err, 0);
        int other = accept(listener, NULL, NULL);
        io_write(&p.s, &iov, 1);
        AWAIT(io, p.writes == 1);
        assert_int_equal(read(other, text, sizeof(text)), 5);
        assert_int_equal(write(other, "welcome", 7), 7);
        close(other);
        AWAIT(io, p.ends == 1);
        assert_int_equal(p.end_err, 0);
        assert_memory_equal(p.in.ptr, "welcome", 7);
        peer_fini(io, &p);
        close(listener);
    }
}

static void test_source_address(void **state)
{
    struct io *io = IO_OF(state);
    struct sockaddr_in source = {.sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 98)};
    struct io_connect_options options = {.source = (const struct sockaddr *)&source,
                                         .source_len = sizeof(source)};
    union address at, peer;
    socklen_t len = sizeof(peer);
    struct peer p;
    int listener = plain_listen(AF_INET, &at);

    peer_init(&p);
    assert_int_equal(io_connect(io, &p.s, &peer_ops, &at.sa, address_len(&at), &options), 0);
    AWAIT(io, p.opens == 1);
    int other = accept(listener, &peer.sa, &len);
    assert_int_equal(peer.in.sin_addr.s_addr, source.sin_addr.s_addr);
    close(other);
    peer_fini(io, &p);

    /* 192.0.2.1 (RFC 5737) is nobody's: told at once, and no callback comes. */
    source.sin_addr.s_addr = htonl(0xc0000201);
    peer_init(&p);
    assert_int_equal(io_connect(io, &p.s, &peer_ops, &at.sa, address_len(&at), &options),
                     ERR_NOADDR);
    struct sockaddr nonsense = {.sa_family = AF_PACKET};
    assert_int_equal(io_connect(io, &p.s, &peer_ops, &nonsense, sizeof(nonsense), NULL),
                     ERR_INVALID);
    io_tick(io, 1000);
    assert_int_equal(p.opens + p.closes, 0);
    close(listener);
}

/* Binding a source takes no port yet: connect() picks one that is free towards the peer. */
static void test_bind_takes_no_port(void **state)
{
    union address sources[2] = {{.in = {.sin_family = AF_INET}},
                                {.in6 = {.sin6_family = AF_INET6}}};

    (void)state;
    sources[0].in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sources[1].in6.sin6_addr = in6addr_loopback;
    for (int i = 0; i < 2; i++) {
        union address bound;
        socklen_t len = sizeof(bound);
        int fd = socket_open(sources[i].sa.sa_family, &sources[i].sa, address_len(&sources[i]));
        assert_true(fd >= 0);
        assert_int_equal(getsockname(fd, &bound.sa, &len), 0);
        assert_int_equal(i == 0 ? bound.in.sin_port : bound.in6.sin6_port, 0);
        close(fd);
    }
}

/* Connects to where nobody listens any more; on_open brings `err`, then on_close. */
static void expect_failure(struct io *io, const union address *at, int err,
                           const struct io_connect_options *options)
{
    struct peer p;

    peer_init(&p);
    assert_int_equal(io_connect(io, &p.s, &peer_ops, &at->sa, address_len(at), options), 0);
    assert_int_equal(p.opens, 0);
    AWAIT(io, p.opens == 1);
    assert_int_equal(p.open_err, err);
    assert_int_equal(p.closes, 0); /* closing is the owner's decision */
    peer_fini(io, &p);
    assert_int_equal(p.opens, 1);
    assert_int_equal(p.ends, 0);
}

static void test_refused(void **state)
{
    struct io *io = IO_OF(state);
    static const int families[] = {AF_INET, AF_INET6, AF_UNIX};
    union address at;

    for (size_t i = 0; i < 3; i++) {
        close(plain_listen(families[i], &at));
        expect_failure(io, &at, ERR_REFUSED, NULL);
    }
    snprintf(at.un.sun_path, sizeof(at.un.sun_path), "/nonexistent/volley-test");
    expect_failure(io, &at, ERR_NOTFOUND, NULL);
}

static void test_unreachable(void **state)
{
    struct io *io = IO_OF(state);
    union address at = {.in = {.sin_family = AF_INET, .sin_port = htons(25)}};

    at.in.sin_addr.s_addr = htonl(INADDR_BROADCAST); /* never has a route for TCP */
    expect_failure(io, &at, ERR_UNREACH, NULL);
}

static void test_timeout(void **state)
{
    struct io *io = IO_OF(state);
    struct io_connect_options options = {.timeout_us = 60 * 1000};
    union address at;
    int filler[2];
    int listener = full_listener(&at, filler);
    int64_t start_us = clock_mono_us();

    expect_failure(io, &at, ERR_TIMEOUT, &options);
    int64_t took_us = clock_mono_us() - start_us;
    assert_true(took_us >= options.timeout_us && took_us < 900 * 1000);
    close(filler[0]);
    close(filler[1]);
    close(listener);
}

static void close_it(struct peer *p)
{
    io_close(&p->s);
}

/* io_close() before on_open: nothing but on_close comes. */
static void test_close_while_connecting(void **state)
{
    struct io *io = IO_OF(state);
    struct io_connect_options options = {.timeout_us = 30 * 1000};
    union address at;
    int filler[2];
    int listener = full_listener(&at, filler);

    for (int ticks = 0; ticks < 3; ticks++) { /* before and after the kernel knows of it */
        struct peer p;
        peer_init(&p);
        assert_int_equal(io_connect(io, &p.s, &peer_ops, &at.sa, address_len(&at), &options), 0);
        for (int i = 0; i < ticks; i++) {
            io_tick(io, 0);
        }
        io_close(&p.s);
        io_close(&p.s);
        assert_int_equal(p.closes, 0);
        AWAIT(io, p.closes == 1);
        assert_int_equal(p.opens, 0);
        buf_fini(&p.in);
    }
    close(filler[0]);
    close(filler[1]);
    close(listener);
}

static void test_close_inside_on_open(void **state)
{
    struct io *io = IO_OF(state);
    union address at;
    struct peer p;
    char byte;
    int listener = plain_listen(AF_INET, &at);

    peer_init(&p);
    p.opened = close_it;
    assert_int_equal(io_connect(io, &p.s, &peer_ops, &at.sa, address_len(&at), NULL), 0);
    AWAIT(io, p.opens == 1);
    int other = accept(listener, NULL, NULL);
    assert_int_equal(read(other, &byte, 1), 0); /* our FIN */
    close(other);
    AWAIT(io, p.closes == 1);
    assert_int_equal(p.reads + p.ends, 0);

    close(listener);
    peer_init(&p);
    p.opened = close_it;
    assert_int_equal(io_connect(io, &p.s, &peer_ops, &at.sa, address_len(&at), NULL), 0);
    AWAIT(io, p.closes == 1);
    assert_int_equal(p.open_err, ERR_REFUSED);
}

/* The deadline belongs to connecting alone. */
static void test_timeout_ends_with_on_open(void **state)
{
    struct io *io = IO_OF(state);
    struct io_connect_options options = {.timeout_us = 20 * 1000};
    union address at;
    struct peer p;
    int listener = plain_listen(AF_INET, &at);

    peer_init(&p);
    assert_int_equal(io_connect(io, &p.s, &peer_ops, &at.sa, address_len(&at), &options), 0);
    int64_t end_us = clock_mono_us() + 3 * options.timeout_us;
    AWAIT(io, clock_mono_us() > end_us);
    assert_int_equal(p.opens, 1);
    assert_int_equal(p.open_err, 0);
    assert_int_equal(p.ends + p.closes, 0);
    int other = accept(listener, NULL, NULL);
    close(other);
    AWAIT(io, p.ends == 1);
    peer_fini(io, &p);
    close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(test_families),
        ON_BOTH(test_source_address),
        cmocka_unit_test(test_bind_takes_no_port),
        ON_BOTH(test_refused),
        ON_BOTH(test_unreachable),
        ON_BOTH(test_timeout),
        ON_BOTH(test_close_while_connecting),
        ON_BOTH(test_close_inside_on_open),
        ON_BOTH(test_timeout_ends_with_on_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
