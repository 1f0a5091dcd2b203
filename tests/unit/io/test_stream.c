/*
 * test_stream.c - bytes in both directions, back-pressure, many streams.
 */
#include "engine/base/mem.h"
#include "tests/unit/io/harness.h"

#include <sys/resource.h>

/* Byte `at` of stream `id`. */
static char pattern(size_t at, unsigned id)
{
    return (char)((at * 2654435761U >> 7) + id * 17);
}

static void pattern_fill(char *out, size_t len, size_t at, unsigned id)
{
    for (size_t i = 0; i < len; i++) {
        out[i] = pattern(at + i, id);
    }
}

static void pattern_check(struct slice data, size_t at, unsigned id)
{
    for (size_t i = 0; i < data.len; i++) {
        if (data.ptr[i] != pattern(at + i, id)) {
            fail_msg("stream %u: byte %zu is wrong", id, at + i);
        }
    }
}

/* ---- a large write in many runs ---- */

enum { LARGE = 8 * 1024 * 1024 };

/* Runs of 0, 37, 74, ... bytes and a long last one, together `len` bytes. */
static size_t split(struct iovec *iov, size_t count, char *data, size_t len)
{
    size_t at = 0;

    for (size_t i = 0; i < count; i++) {
        size_t n = i == count - 1 ? len - at : i * 37 % 10000;
        iov[i] = (struct iovec){data + at, n};
        at += n;
    }
    assert_true(iov[count - 1].iov_len <= len);
    return count;
}

/* Reads what is there from a plain socket and checks it. */
static void plain_check(int fd, size_t *received)
{
    char data[65536];

    for (;;) {
        ssize_t n = recv(fd, data, sizeof(data), MSG_DONTWAIT);
        if (n < 0) {
            assert_int_equal(errno, EAGAIN);
            return;
        }
        assert_true(n > 0);
        pattern_check(slice_of(data, (size_t)n), *received, 0);
        *received += (size_t)n;
    }
}

static void test_large_write(void **state)
{
    struct io *io = IO_OF(state);
    static const size_t counts[] = {1, 2, 300, IO_IOV_MAX};
    char *data = mem_alloc(LARGE);
    struct iovec *iov = mem_array(IO_IOV_MAX, sizeof(*iov));
    struct peer p;
    size_t received = 0;
    int other = peer_adopt(io, &p);

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        pattern_fill(data, LARGE, received, 0);
        io_write(&p.s, iov, split(iov, counts[i], data, LARGE));
        assert_true(io_writing(&p.s));
        assert_int_equal(p.writes, (int)i); /* never from inside io_write() */
        size_t end = received + LARGE;
        AWAIT(io, (plain_check(other, &received), received == end));
        AWAIT(io, p.writes == (int)i + 1);
        assert_int_equal(p.write_err, 0);
        assert_false(io_writing(&p.s));
    }
    close(other);
    peer_fini(io, &p);
    mem_free(data);
    mem_free(iov);
}

static void test_empty_write(void **state)
{
    struct io *io = IO_OF(state);
    struct iovec iov[3] = {{NULL, 0}, {"", 0}, {"x", 0}};
    struct peer p;
    int other = peer_adopt(io, &p);

    io_write(&p.s, iov, 3);
    assert_int_equal(p.writes, 0);
    AWAIT(io, p.writes == 1);
    assert_int_equal(p.write_err, 0);
    iov[1] = (struct iovec){"abc", 3};
    io_write(&p.s, iov, 3);
    AWAIT(io, p.writes == 2 && plain_unread(other) == 3);
    close(other);
    peer_fini(io, &p);
}

/* ---- many streams, each echoed in the same loop ---- */

enum { MANY = 1000, ROUNDS = 5, ECHO_LEN = 6000 };

struct echo {
    struct io_stream s;
    struct buf out, writing;
    bool ended;
};

static void echo_flush(struct echo *e)
{
    if (e->out.len > 0 && !io_writing(&e->s)) {
        struct buf taken = e->writing;
        e->writing = e->out;
        e->out = taken;
        buf_reset(&e->out);
        static struct iovec iov[2 * MANY];
        static size_t next;
        struct iovec *v = &iov[next++ % (2 * MANY)];
        *v = (struct iovec){e->writing.ptr, e->writing.len};
        io_write(&e->s, v, 1);
    } else if (e->ended && !io_writing(&e->s)) {
        io_close(&e->s);
    }
}

static void echo_read(struct io_stream *s, struct slice data)
{
    struct echo *e = CONTAINER_OF(s, struct echo, s);

    buf_puts(&e->out, data);
    echo_flush(e);
}

static void echo_end(struct io_stream *s, int err)
{
    struct echo *e = CONTAINER_OF(s, struct echo, s);

    assert_int_equal(err, 0);
    e->ended = true;
    echo_flush(e);
}

static void echo_written(struct io_stream *s, int err)
{
    assert_int_equal(err, 0);
    echo_flush(CONTAINER_OF(s, struct echo, s));
}

static size_t echoes_open;

static void echo_closed(struct io_stream *s)
{
    struct echo *e = CONTAINER_OF(s, struct echo, s);

    echoes_open--;
    buf_fini(&e->out);
    buf_fini(&e->writing);
    mem_free(e);
}

static void echo_accept(struct io_listener *l, int fd, const struct sockaddr *peer)
{
    static const struct io_stream_ops ops = {
        .on_read = echo_read,
        .on_end = echo_end,
        .on_write = echo_written,
        .on_close = echo_closed,
    };
    struct echo *e = mem_zalloc(sizeof(*e));

    assert_int_equal(peer->sa_family, AF_INET);
    assert_int_equal(io_adopt(l->io, &e->s, &ops, fd), 0);
    echoes_open++;
}

static int listeners_closed;

static void listener_closed(struct io_listener *l)
{
    (void)l;
    listeners_closed++;
}

struct client {
    struct peer p;
    struct iovec iov;
    unsigned id;
    int rounds;
};

static size_t clients_done;

static void client_send(struct client *c)
{
    pattern_fill(c->iov.iov_base, ECHO_LEN, (size_t)c->rounds * ECHO_LEN, c->id);
    io_write(&c->p.s, &c->iov, 1);
}

static void client_opened(struct peer *p)
{
    assert_int_equal(p->open_err, 0);
    client_send(CONTAINER_OF(p, struct client, p));
}

static void client_read(struct peer *p, struct slice data)
{
    struct client *c = CONTAINER_OF(p, struct client, p);

    pattern_check(data, p->received - data.len, c->id);
    if (p->received == (size_t)(c->rounds + 1) * ECHO_LEN) {
        if (++c->rounds < ROUNDS) {
            client_send(c);
        } else {
            clients_done++;
            io_close(&p->s);
        }
    }
}

static void test_many_streams(void **state)
{
    struct io *io = IO_OF(state);
    struct client *clients = mem_array(MANY, sizeof(*clients));
    char *memory = mem_alloc((size_t)MANY * ECHO_LEN);
    struct io_listener l = {.on_accept = echo_accept, .on_close = listener_closed};
    union address at;

    clients_done = echoes_open = 0;
    listeners_closed = 0;
    assert_int_equal(io_listen(io, &l, plain_listen(AF_INET, &at)), 0);
    for (unsigned i = 0; i < MANY; i++) {
        struct client *c = &clients[i];
        peer_init(&c->p);
        c->p.keep = false;
        c->p.opened = client_opened;
        c->p.read = client_read;
        c->iov = (struct iovec){memory + (size_t)i * ECHO_LEN, ECHO_LEN};
        c->id = i;
        assert_int_equal(io_connect(io, &c->p.s, &peer_ops, &at.sa, address_len(&at), NULL), 0);
    }
    AWAIT(io, clients_done == MANY);
    for (unsigned i = 0; i < MANY; i++) {
        AWAIT(io, clients[i].p.closes == 1);
        assert_int_equal(clients[i].p.writes, ROUNDS);
        assert_int_equal(clients[i].p.opens, 1);
    }
    AWAIT(io, echoes_open == 0);
    io_listener_close(&l);
    AWAIT(io, listeners_closed == 1);
    mem_free(clients);
    mem_free(memory);
}

/* ---- more input than there are receive buffers ---- */

enum { FLOOD_STREAMS = 150, FLOOD_LEN = 96 * 1024 };

static void flood_read(struct peer *p, struct slice data)
{
    pattern_check(data, p->received - data.len, (unsigned)(uintptr_t)p->arg);
}

static void test_flood(void **state)
{
    struct io *io = IO_OF(state);
    struct peer *peers = mem_array(FLOOD_STREAMS, sizeof(*peers));
    char *data = mem_alloc(FLOOD_LEN);
    int other[FLOOD_STREAMS], room = 1 << 20;

    for (unsigned i = 0; i < FLOOD_STREAMS; i++) {
        other[i] = peer_adopt(io, &peers[i]);
        peers[i].keep = false;
        peers[i].read = flood_read;
        peers[i].arg = (void *)(uintptr_t)i;
        setsockopt(other[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
        setsockopt(peers[i].s.fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
        pattern_fill(data, FLOOD_LEN, 0, i);
        assert_int_equal(send(other[i], data, FLOOD_LEN, MSG_NOSIGNAL), FLOOD_LEN);
        close(other[i]);
    }
    for (unsigned i = 0; i < FLOOD_STREAMS; i++) {
        AWAIT(io, peers[i].ends == 1);
        assert_int_equal(peers[i].received, FLOOD_LEN);
        assert_int_equal(peers[i].end_err, 0);
    }
    if (io_backend(io) == IO_URING) {
        assert_true(io_stats(io).enobufs > 0); /* else this test proves nothing */
    }
    for (unsigned i = 0; i < FLOOD_STREAMS; i++) {
        peer_fini(io, &peers[i]);
    }
    mem_free(peers);
    mem_free(data);
}

/* ---- back-pressure ---- */

static void pause_at_once(struct peer *p, struct slice data)
{
    (void)data;
    io_read_pause(&p->s, true);
}

static void test_pause(void **state)
{
    struct io *io = IO_OF(state);
    struct peer p;
    int other = peer_adopt(io, &p);

    io_read_pause(&p.s, true);
    io_tick(io, 0); /* the pause reaches the kernel */
    io_tick(io, 0);
    assert_int_equal(write(other, "one", 3), 3);
    for (int i = 0; i < 20; i++) {
        io_tick(io, 1000);
    }
    assert_int_equal(p.received, 0);
    assert_int_equal(plain_unread(p.s.fd), 3);
    io_read_pause(&p.s, false);
    AWAIT(io, p.received == 3);

    /* Pausing and resuming in one go loses nothing. */
    io_read_pause(&p.s, true);
    io_read_pause(&p.s, false);
    io_read_pause(&p.s, true);
    io_read_pause(&p.s, false);
    assert_int_equal(write(other, "two", 3), 3);
    AWAIT(io, p.received == 6);

    /* Paused from inside on_read, with more waiting, and the end behind it. */
    p.read = pause_at_once;
    assert_int_equal(write(other, "three", 5), 5);
    AWAIT(io, p.received == 11);
    for (int i = 0; i < 5; i++) {
        io_tick(io, 1000);
    }
    assert_int_equal(write(other, "four", 4), 4);
    close(other);
    for (int i = 0; i < 20; i++) {
        io_tick(io, 1000);
    }
    assert_int_equal(p.received, 11);
    assert_int_equal(p.ends, 0);
    p.read = NULL;
    io_read_pause(&p.s, false);
    AWAIT(io, p.ends == 1);
    assert_int_equal(p.received, 15);
    assert_memory_equal(p.in.ptr, "onetwothreefour", 15);
    peer_fini(io, &p);
}

/* A paused reader holds the sender back: nothing piles up on our side. */
static void test_pause_holds_back(void **state)
{
    struct io *io = IO_OF(state);
    struct peer p;
    size_t sent = 0;
    char data[65536] = {0};
    int other = peer_adopt(io, &p);

    p.keep = false;
    io_read_pause(&p.s, true);
    io_tick(io, 0);
    io_tick(io, 0);
    for (int idle = 0; idle < 20;) {
        ssize_t n = send(other, data, sizeof(data), MSG_DONTWAIT | MSG_NOSIGNAL);
        idle = n > 0 ? 0 : idle + 1;
        sent += n > 0 ? (size_t)n : 0;
        io_tick(io, 1000);
    }
    assert_int_equal(p.received, 0);
    close(other);
    io_read_pause(&p.s, false);
    AWAIT(io, p.ends == 1);
    assert_int_equal(p.received, sent);
    peer_fini(io, &p);
}

/* Writing goes on after the peer's FIN: on_end is no on_close. */
static void test_half_close(void **state)
{
    struct io *io = IO_OF(state);
    struct iovec iov = {"answer", 6};
    struct peer p;
    char text[16];
    int other = peer_adopt(io, &p);

    assert_int_equal(write(other, "question", 8), 8);
    shutdown(other, SHUT_WR);
    AWAIT(io, p.ends == 1);
    assert_int_equal(p.end_err, 0);
    assert_memory_equal(p.in.ptr, "question", 8);
    io_write(&p.s, &iov, 1);
    AWAIT(io, p.writes == 1);
    assert_int_equal(p.write_err, 0);
    peer_fini(io, &p);
    assert_int_equal(read(other, text, sizeof(text)), 6);
    assert_int_equal(read(other, text, sizeof(text)), 0);
    close(other);
}

/* Both ends write more than the buffers between them hold: reading while writing is what
 * keeps them from waiting for each other (RFC 2920 3.1). */
static void test_no_deadlock(void **state)
{
    struct io *io = IO_OF(state);
    struct iovec iov = {mem_zalloc(LARGE), LARGE};
    struct peer a, b;
    int fd[2];

    plain_pair(fd);
    peer_init(&a);
    peer_init(&b);
    a.keep = b.keep = false;
    assert_int_equal(io_adopt(io, &a.s, &peer_ops, fd[0]), 0);
    assert_int_equal(io_adopt(io, &b.s, &peer_ops, fd[1]), 0);
    io_write(&a.s, &iov, 1);
    io_write(&b.s, &iov, 1);
    AWAIT(io, a.received == LARGE && b.received == LARGE && a.writes + b.writes == 2);
    io_close(&a.s);
    io_close(&b.s);
    peer_fini(io, &a);
    peer_fini(io, &b);
    mem_free(iov.iov_base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(test_large_write), ON_BOTH(test_empty_write), ON_BOTH(test_many_streams),
        ON_BOTH(test_flood),       ON_BOTH(test_pause),       ON_BOTH(test_pause_holds_back),
        ON_BOTH(test_half_close),  ON_BOTH(test_no_deadlock),
    };
    struct rlimit files;

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
