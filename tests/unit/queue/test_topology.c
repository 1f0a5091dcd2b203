/*
 * test_topology.c - slots as Redis counts them, and what Sentinels and Clusters answer.
 */
#include "engine/base/err.h"
#include "queue/topology.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

static struct resp_reader *reader;

static int setup(void **state)
{
    (void)state;
    reader = resp_reader_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    resp_reader_free(reader);
    return 0;
}

/* The reply that these bytes are; valid until the next. */
static const struct resp *parse(const char *bytes)
{
    const struct resp *reply;
    const char *why;

    assert_int_equal(resp_reader_feed(reader, slice_cstr(bytes)), 0);
    assert_int_equal(resp_reader_next(reader, &reply, &why), 1);
    return reply;
}

static struct place place(const char *host, unsigned port)
{
    struct place p;

    assert_int_equal(place_set(&p, slice_cstr(host), port), 0);
    return p;
}

static void assert_place(const struct place *p, const char *host, unsigned port)
{
    assert_string_equal(p->host, host);
    assert_int_equal(p->port, port);
}

/* Figures of the cluster specification and of CLUSTER KEYSLOT. */
static void test_slots(void **state)
{
    static const struct {
        const char *key;
        unsigned slot;
    } rows[] = {
        {"123456789", 0x31c3},
        {"foo", 12182},
        {"bar", 5061},
        {"{foo}.bar", 12182},
        {"volley:{0}:meta", 13907},
        {"volley:{0}:owned:n:1", 13907},
        {"{}foo", 9500},
        {"a{foo", 113},
        {"{{foo}}", 13308},
    };

    (void)state;
    assert_int_equal(topology_crc16(SLICE("123456789")), 0x31c3);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(topology_slot(slice_cstr(rows[i].key)), rows[i].slot);
    }
    for (unsigned p = 0; p < 1024; p++) {
        struct buf key = BUF_EMPTY;
        buf_printf(&key, "volley:{%u}:events", p);
        assert_int_equal(topology_partition_slot(p), topology_slot(buf_slice(&key)));
        buf_fini(&key);
    }
}

static void test_places(void **state)
{
    struct place p = place("db", 1), q = place("DB", 1);
    struct buf b = BUF_EMPTY;
    char longest[PLACE_HOST_MAX + 1];

    (void)state;
    assert_true(place_eq(&p, &q));
    q = place("db", 2);
    assert_false(place_eq(&p, &q));
    p = place("::1", 65535);
    place_put(&b, &p);
    buf_terminate(&b);
    assert_string_equal(b.ptr, "[::1]:65535");
    buf_fini(&b);
    assert_int_equal(place_set(&p, SLICE(""), 1), ERR_INVALID);
    assert_int_equal(place_set(&p, SLICE("a"), 0), ERR_INVALID);
    assert_int_equal(place_set(&p, SLICE("a"), 65536), ERR_INVALID);
    assert_int_equal(place_set(&p, SLICE("a b"), 1), ERR_INVALID);
    assert_int_equal(place_set(&p, SLICE("a\0b"), 1), ERR_INVALID);
    memset(longest, 'a', sizeof(longest));
    assert_int_equal(place_set(&p, slice_of(longest, PLACE_HOST_MAX), 1), ERR_INVALID);
    assert_int_equal(place_set(&p, slice_of(longest, PLACE_HOST_MAX - 1), 1), 0);
}

static void test_moved(void **state)
{
    static const struct {
        const char *reply, *host;
        unsigned port;
        int err;
    } rows[] = {
        {"-MOVED 3999 127.0.0.1:6381\r\n", "127.0.0.1", 6381, 0},
        {"-MOVED 3999 redis.example.com:1\r\n", "redis.example.com", 1, 0},
        {"-MOVED 1 2001:db8::1:7000\r\n", "2001:db8::1", 7000, 0},
        {"-MOVED 3999 :6381\r\n", "asked", 6381, 0},
        {"-MOVED 3999 ?:6381\r\n", NULL, 0, ERR_PROTO},
        {"-MOVED\r\n", NULL, 0, ERR_PROTO},
        {"-MOVED 1\r\n", NULL, 0, ERR_PROTO},
        {"-MOVED 1 h\r\n", NULL, 0, ERR_PROTO},
        {"-MOVED 1 h:\r\n", NULL, 0, ERR_PROTO},
        {"-MOVED 1 h:0\r\n", NULL, 0, ERR_PROTO},
        {"-MOVED 1 h:70000\r\n", NULL, 0, ERR_PROTO},
        {"-MOVED 1 h:99999999999999999999\r\n", NULL, 0, ERR_PROTO},
        {"-ASK 1 h:1\r\n", NULL, 0, ERR_INVALID},
        {"+MOVED 1 h:1\r\n", NULL, 0, ERR_INVALID},
    };
    struct place asked = place("asked", 9), out;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct resp *reply = parse(rows[i].reply);
        assert_int_equal(topology_read_moved(reply, &asked, &out), rows[i].err);
        if (rows[i].err == 0) {
            assert_place(&out, rows[i].host, rows[i].port);
        }
    }
    assert_true(topology_is_elsewhere(parse("-MOVED 1 h:1\r\n")));
    assert_true(topology_is_elsewhere(parse("-READONLY You can't\r\n")));
    assert_false(topology_is_elsewhere(parse("-ASK 1 h:1\r\n")));
    assert_false(topology_is_elsewhere(parse("+READONLY\r\n")));
}

static void test_sentinel(void **state)
{
    struct place out;

    (void)state;
    assert_int_equal(topology_read_master(parse("*2\r\n$9\r\n127.0.0.1\r\n$4\r\n6381\r\n"), &out),
                     0);
    assert_place(&out, "127.0.0.1", 6381);
    assert_int_equal(topology_read_master(parse("*-1\r\n"), &out), ERR_NOTFOUND);
    assert_int_equal(topology_read_master(parse("+OK\r\n"), &out), ERR_PROTO);
    assert_int_equal(topology_read_master(parse("*1\r\n$1\r\na\r\n"), &out), ERR_PROTO);
    assert_int_equal(topology_read_master(parse("*2\r\n$1\r\na\r\n:0\r\n"), &out), ERR_PROTO);
    assert_int_equal(topology_read_master(parse("*2\r\n$1\r\na\r\n:-5\r\n"), &out), ERR_PROTO);
    assert_int_equal(topology_read_master(parse("*2\r\n*0\r\n:5\r\n"), &out), ERR_PROTO);
    assert_true(topology_is_master(parse("*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n")));
    assert_false(topology_is_master(parse("*1\r\n$5\r\nslave\r\n")));
    assert_false(topology_is_master(parse("*0\r\n")));
    assert_false(topology_is_master(parse("-ERR\r\n")));
}

#define NODE(host, port) "*3\r\n" host ":" port "\r\n$2\r\nid\r\n"
#define H(c)             "$1\r\n" c "\r\n"

static void test_cluster(void **state)
{
    struct place asked = place("asked", 9), out, masters[3];
    const char *slots =
        "*4\r\n"
        "*3\r\n:0\r\n:99\r\n" NODE(H("a"), "1") "*4\r\n:100\r\n:200\r\n" NODE(H("b"), "2")
            NODE(H("c"), "3") "*3\r\n:300\r\n:16383\r\n" NODE(
                "$-1\r\n", "4") "*3\r\n:201\r\n:201\r\n" NODE(H("a"), "1");
    const struct resp *reply = parse(slots);

    (void)state;
    assert_int_equal(topology_read_slot(reply, 99, &asked, &out), 0);
    assert_place(&out, "a", 1);
    assert_int_equal(topology_read_slot(reply, 100, &asked, &out), 0);
    assert_place(&out, "b", 2);
    assert_int_equal(topology_read_slot(reply, 16383, &asked, &out), 0);
    assert_place(&out, "asked", 4);
    assert_int_equal(topology_read_slot(reply, 250, &asked, &out), ERR_NOTFOUND);
    assert_int_equal(topology_read_masters(reply, &asked, masters, 3), 3);
    assert_place(&masters[0], "a", 1);
    assert_place(&masters[1], "b", 2);
    assert_place(&masters[2], "asked", 4);
    assert_int_equal(topology_read_masters(reply, &asked, masters, 1), 1);
}

/* A node that should have a name and has none tells its address behind its id. */
static void test_cluster_without_names(void **state)
{
    struct place asked = place("asked", 9), out;

    (void)state;
    assert_int_equal(
        topology_read_slot(parse("*1\r\n*3\r\n:0\r\n:9\r\n*4\r\n$1\r\n?\r\n:7\r\n$2\r\nid\r\n"
                                 "*2\r\n$2\r\nip\r\n$7\r\n1.2.3.4\r\n"),
                           5, &asked, &out),
        0);
    assert_place(&out, "1.2.3.4", 7);
    assert_int_equal(
        topology_read_slot(parse("*1\r\n*3\r\n:0\r\n:9\r\n" NODE(H("?"), "7")), 5, &asked, &out),
        ERR_PROTO);
}

static void test_cluster_broken(void **state)
{
    static const char *const rows[] = {
        "+OK\r\n",
        "*1\r\n:1\r\n",
        "*1\r\n*2\r\n:0\r\n:9\r\n",
        "*1\r\n*3\r\n:0\r\n:9\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:9\r\n*1\r\n$1\r\na\r\n",
        "*1\r\n*3\r\n:0\r\n:9\r\n*2\r\n$1\r\na\r\n:0\r\n",
        "*1\r\n*3\r\n:0\r\n:9\r\n*2\r\n$1\r\na\r\n:-1\r\n",
        "*1\r\n*3\r\n:0\r\n$1\r\nx\r\n*2\r\n$1\r\na\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:9\r\n*2\r\n$3\r\na b\r\n:1\r\n",
    };
    struct place asked = place("asked", 9), out;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct resp *reply = parse(rows[i]);
        assert_int_equal(topology_read_slot(reply, 5, &asked, &out), ERR_PROTO);
        assert_int_equal(topology_read_masters(reply, &asked, &out, 1), 0);
    }
    assert_int_equal(topology_read_slot(parse("*0\r\n"), 5, &asked, &out), ERR_NOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_places),
        cmocka_unit_test_setup_teardown(test_moved, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sentinel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cluster, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cluster_without_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cluster_broken, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
