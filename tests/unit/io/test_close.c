/*
 * test_close.c - the end of a stream: no FIN lost, no reset where avoidable, on_close once.
 */
#include "engine/base/mem.h"
#include "engine/base/rng.h"
#include "tests/unit/io/harness.h"

/* Reads a plain socket to its end.  Bytes read; -1 when the end was a reset. */
static ssize_t plain_drain(struct io *io, int fd, int64_t pace_us)
{
    static char data[256 * 1024];
    ssize_t total = 0;

    for (;;) {
        ssize_t n = recv(fd, data, sizeof(data), MSG_DONTWAIT);
        if (n == 0) {
            return total;
        }
        if (n > 0) {
            total += n;
        } else if (errno == EAGAIN) {
            io_tick(io, pace_us);
        } else {
            return -1;
        }
    }
}

static void test_peer_fin(void **state)
{
    struct io *io = IO_OF(state);
    struct peer p;
    int other = peer_adopt(io, &p);

    assert_int_equal(write(other, "bye", 3), 3);
    close(other);
    AWAIT(io, p.ends == 1);
    assert_int_equal(p.end_err, 0);
    assert_int_equal(p.received, 3);
    for (int i = 0; i < 5; i++) {
        io_tick(io, 0); /* told once */
    }
    peer_fini(io, &p);
}

static void test_peer_reset(void **state)
{
    struct io *io = IO_OF(state);
    struct iovec iov = {mem_zalloc(16 << 20), 16 << 20};
    struct peer p;

    plain_reset(peer_adopt(io, &p));
    AWAIT(io, p.ends == 1);
    assert_int_equal(p.end_err, ERR_CLOSED);
    peer_fini(io, &p);

    /* With a write in flight that cannot finish: both sides of the stream learn it. */
    int other = peer_adopt(io, &p);
    io_write(&p.s, &iov, 1);
    AWAIT(io, plain_unread(other) > 0);
    plain_reset(other);
    AWAIT(io, p.ends == 1 && p.writes == 1);
    assert_int_equal(p.end_err, ERR_CLOSED);
    assert_int_equal(p.write_err, ERR_CLOSED);
    peer_fini(io, &p);
    mem_free(iov.iov_base);
}

/* Nobody kills the process with SIGPIPE, and the error arrives. */
static void test_write_after_reset(void **state)
{
    struct io *io = IO_OF(state);
    struct iovec iov = {"x", 1};
    struct peer p;

    plain_reset(peer_adopt(io, &p));
    AWAIT(io, p.ends == 1);
    io_write(&p.s, &iov, 1);
    assert_int_equal(p.writes, 0);
    AWAIT(io, p.writes == 1);
    assert_int_equal(p.write_err, ERR_CLOSED);
    peer_fini(io, &p);
}

/* A write in flight at io_close() arrives whole, followed by a FIN. */
static void test_close_with_write_in_flight(void **state)
{
    struct io *io = IO_OF(state);
    static const size_t sizes[] = {6, 100 * 1000, 12 << 20};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (int ticks = 0; ticks < 3; ticks++) {
            struct iovec iov = {mem_zalloc(sizes[i]), sizes[i]};
            struct peer p;
            int other = peer_adopt(io, &p);
            io_write(&p.s, &iov, 1);
            for (int n = 0; n < ticks; n++) {
                io_tick(io, 0);
            }
            int writes = p.writes;
            io_close(&p.s);
            assert_int_equal(plain_drain(io, other, 1000), sizes[i]);
            close(other);
            AWAIT(io, p.closes == 1);
            assert_int_equal(p.writes, writes); /* nothing but on_close */
            mem_free(iov.iov_base);
        }
    }
}

/* The peer has sent what we do not want to read any more, and goes on sending: it still gets
 * our last words and a FIN, not a reset. */
static void test_close_over_unread_data(void **state)
{
    struct io *io = IO_OF(state);
    struct iovec iov = {"QUIT\r\n", 6};

    for (int paused = 0; paused < 2; paused++) {
        struct peer p;
        int other = peer_adopt(io, &p);
        io_read_pause(&p.s, paused == 1);
        io_tick(io, 0);
        io_tick(io, 0);
        assert_int_equal(write(other, "250 unwanted\r\n", 14), 14);
        io_write(&p.s, &iov, 1);
        io_close(&p.s);
        for (int i = 0; i < 10; i++) {
            io_tick(io, 1000);
        }
        assert_int_equal(write(other, "221 bye\r\n", 9), 9);
        assert_int_equal(plain_drain(io, other, 1000), 6);
        assert_int_equal(p.reads + p.ends, 0);
        assert_int_equal(send(other, "more", 4, MSG_NOSIGNAL), 4);
        assert_int_equal(p.closes, 0); /* lingers: our end is to be the peer's */
        close(other);
        AWAIT(io, p.closes == 1);
        buf_fini(&p.in);
    }
}

/* A peer that never ends does not hold the stream for ever. */
static void test_linger_ends(void **state)
{
    struct io *io = IO_OF(state);
    struct peer p;
    int other = peer_adopt(io, &p);
    int64_t start_us = clock_mono_us();

    io_close(&p.s);
    AWAIT(io, p.closes == 1);
    int64_t took_us = clock_mono_us() - start_us;
    assert_true(took_us >= IO_LINGER_US && took_us < 3 * IO_LINGER_US);
    close(other);
    buf_fini(&p.in);
}

/* Nor does one that never reads.  The wheel is turned by hand past the limit. */
static void test_flush_ends(void **state)
{
    struct io *io = IO_OF(state);
    struct iovec iov = {mem_zalloc(16 << 20), 16 << 20};
    struct peer p;
    int other = peer_adopt(io, &p);

    io_write(&p.s, &iov, 1);
    AWAIT(io, plain_unread(other) > 0);
    io_close(&p.s);
    for (int i = 0; i < 10; i++) {
        io_tick(io, 1000);
    }
    assert_int_equal(p.closes, 0);
    assert_int_equal(wheel_run(io_wheel(io), io_now_us(io) + IO_FLUSH_US + 100000), 1);
    AWAIT(io, p.closes == 1);
    assert_int_equal(p.writes, 0);
    close(other);
    mem_free(iov.iov_base);
}

/* ---- io_close() from inside each callback ---- */

static void close_read(struct peer *p, struct slice data)
{
    (void)data;
    io_close(&p->s);
    assert_int_equal(p->closes, 0);
}

static void close_it(struct peer *p)
{
    io_close(&p->s);
    assert_int_equal(p->closes, 0);
}

static void test_close_inside_on_read(void **state)
{
    struct io *io = IO_OF(state);
    static char data[200 * 1000];
    struct peer p;
    int other = peer_adopt(io, &p);

    p.read = close_read;
    assert_int_equal(write(other, data, sizeof(data)), sizeof(data));
    assert_int_equal(plain_drain(io, other, 1000), 0);
    close(other);
    AWAIT(io, p.closes == 1);
    assert_int_equal(p.reads, 1);
    assert_int_equal(p.ends, 0);
    buf_fini(&p.in);
}

static void test_close_inside_on_end(void **state)
{
    struct io *io = IO_OF(state);
    struct peer p;
    int other = peer_adopt(io, &p);

    p.ended = close_it;
    close(other);
    AWAIT(io, p.closes == 1);

    other = peer_adopt(io, &p);
    p.ended = close_it;
    plain_reset(other);
    AWAIT(io, p.closes == 1);
    assert_int_equal(p.end_err, ERR_CLOSED);
}

static void test_close_inside_on_write(void **state)
{
    struct io *io = IO_OF(state);
    struct iovec iov = {"last", 4};
    struct peer p;
    int other = peer_adopt(io, &p);

    p.written = close_it;
    io_write(&p.s, &iov, 1);
    assert_int_equal(plain_drain(io, other, 1000), 4);
    close(other);
    AWAIT(io, p.closes == 1);
    assert_int_equal(p.writes, 1);
}

/* on_write starts the next write, many times over, and the loop stays alive meanwhile. */
static struct iovec one_byte = {"y", 1};

static void write_again(struct peer *p)
{
    if (p->writes < 1000) {
        io_write(&p->s, &one_byte, 1);
    }
}

static void test_write_inside_on_write(void **state)
{
    struct io *io = IO_OF(state);
    struct peer p;
    int other = peer_adopt(io, &p);

    p.written = write_again;
    io_write(&p.s, &one_byte, 1);
    io_tick(io, 0);
    assert_true(p.writes <= 2); /* a tick ends */
    AWAIT(io, p.writes == 1000);
    io_close(&p.s);
    assert_int_equal(plain_drain(io, other, 1000), 1000);
    close(other);
    peer_fini(io, &p);
}

/* ---- streams come and go; late reports never reach the next owner of a slot ---- */

enum { CHURN_STREAMS = 64, CHURN_STEPS = 4000 };

struct churn {
    struct peer p;
    int other;
    bool used;
};

static void churn_step(struct io *io, struct churn *c, struct rng *rng, struct iovec *iov)
{
    if (!c->used) {
        c->other = peer_adopt(io, &c->p);
        c->used = true;
        return;
    }
    switch (rng_below(rng, 6)) {
    case 0:
        send(c->other, "0123456789", 10, MSG_NOSIGNAL | MSG_DONTWAIT);
        break;
    case 1:
        if (c->p.s.state != 0 && c->p.closes == 0 && !io_writing(&c->p.s) && c->p.arg == NULL) {
            io_write(&c->p.s, iov, 1);
        }
        break;
    case 2:
        c->p.arg = c; /* closed by us */
        io_close(&c->p.s);
        break;
    case 3:
        if (c->other >= 0) {
            close(c->other);
            c->other = -1;
        }
        break;
    case 4:
        if (c->other >= 0) {
            plain_reset(c->other);
            c->other = -1;
        }
        break;
    default:
        io_read_pause(&c->p.s, rng_below(rng, 2) == 0);
        break;
    }
}

static void test_churn(void **state)
{
    struct io *io = IO_OF(state);
    struct churn *streams = mem_array(CHURN_STREAMS, sizeof(*streams));
    struct iovec iov = {mem_zalloc(1 << 20), 1 << 20};
    struct rng rng;
    size_t lives = 0;

    rng_seed(&rng, 42);
    for (int step = 0; step < CHURN_STEPS; step++) {
        struct churn *c = &streams[rng_below(&rng, CHURN_STREAMS)];
        churn_step(io, c, &rng, &iov);
        if (rng_below(&rng, 3) == 0) {
            io_tick(io, 0);
        }
        for (size_t i = 0; i < CHURN_STREAMS; i++) {
            c = &streams[i];
            if (c->used && c->p.closes == 1) {
                if (c->other >= 0) {
                    close(c->other);
                }
                buf_fini(&c->p.in);
                c->used = false;
                /* Whoever still called back for it would be seen by its recording. */
                memset(&c->p.s, 0xee, sizeof(c->p.s));
                lives++;
            }
        }
    }
    for (size_t i = 0; i < CHURN_STREAMS; i++) {
        if (streams[i].used) {
            if (streams[i].other >= 0) {
                close(streams[i].other);
            }
            peer_fini(io, &streams[i].p);
        }
    }
    assert_true(lives > 100);
    mem_free(streams);
    mem_free(iov.iov_base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(test_peer_fin),
        ON_BOTH(test_peer_reset),
        ON_BOTH(test_write_after_reset),
        ON_BOTH(test_close_with_write_in_flight),
        ON_BOTH(test_close_over_unread_data),
        ON_BOTH(test_linger_ends),
        ON_BOTH(test_flush_ends),
        ON_BOTH(test_close_inside_on_read),
        ON_BOTH(test_close_inside_on_end),
        ON_BOTH(test_close_inside_on_write),
        ON_BOTH(test_write_inside_on_write),
        ON_BOTH(test_churn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
