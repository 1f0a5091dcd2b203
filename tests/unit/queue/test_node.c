/*
 * test_node.c - lives and leases: restarts, takeovers, two engines, due jobs, functions gone.
 */
#include "tests/unit/queue/rig.h"

static void test_doorbell(void **state)
{
    struct worker *w = worker_up("n1");

    (void)state;
    WAIT_INT(w, "LLEN " BASE "bell:normal", 0);
    submit(1);
    WAIT(w, w->bells > 0);
    assert_int_equal(server_int(&server, "LLEN " BASE "bell:normal"), 0);
    worker_free(w);
}

static void test_fenced(void **state)
{
    struct worker *w = worker_up("n1");
    char command[200], life[NODE_LIFE_MAX], newer[NODE_LIFE_MAX];
    struct buf text = BUF_EMPTY;

    (void)state;
    submit(3);
    claim_and_wait(w, IN, 3);
    uint64_t before = node_life(w->node, life);
    snprintf(command, sizeof(command), "HSET " BASE "nodes %s 0", life);
    const struct resp *reply = server_call(&server, command);
    assert_int_equal(reply->type, RESP_INTEGER);
    struct slice argv[] = {SLICE("HSET"), SLICE(BASE "nodes"), slice_cstr(life), SLICE("0 here")};
    assert_int_equal(sync_call(server.client, argv, 4, &reply), 0);
    w->proxy.refuse = true; /* so that nobody takes over before the outcome is given */
    proxy_cut(&w->proxy);
    WAIT(w, w->downs == 1);
    w->proxy.refuse = false;
    WAIT(w, node_life(w->node, newer) > before);
    assert_true(w->lost == 3 || !queue_may_start(w->queue));
    WAIT(w, w->lost == 3);
    WAIT(w, queue_may_start(w->queue));
    done(w, 0);
    WAIT(w, queue_backlog(w->queue) == 0);
    assert_int_equal(event_count(&text), 1);
    /* Everything else goes back to the intake, by our own takeover of our former life. */
    WAIT(w, server_int(&server, "LLEN " BASE IN) >= 2);
    snprintf(command, sizeof(command), "HEXISTS " BASE "nodes %s", life);
    WAIT_INT(w, command, 0);
    bool late = strstr(text.ptr, "late") != NULL;
    assert_int_equal(server_int(&server, "LLEN " BASE IN), late ? 3 : 2);
    claim_and_wait(w, IN, 10);
    buf_fini(&text);
    worker_free(w);
}

static void test_node_restarts(void **state)
{
    struct worker *w = worker_up("n1");

    (void)state;
    submit(30);
    claim_and_wait(w, IN, 20);
    worker_kill(w);
    assert_int_equal(server_int(&server, "LLEN " BASE IN), 10);
    w = worker_up("n1"); /* the same holder: at once, without waiting for the lease */
    WAIT_INT(w, "LLEN " BASE IN, 30);
    WAIT_INT(w, "HLEN " BASE "nodes", 1);
    claim_and_wait(w, IN, 100);
    assert_int_equal(w->job_count, 30);
    worker_free(w);
    assert_int_equal(server_int(&server, "LLEN " BASE IN), 30); /* an orderly end returns all */
    assert_int_equal(server_int(&server, "HLEN " BASE "nodes"), 0);
}

static void test_two_nodes(void **state)
{
    struct worker *a = worker_up("a");
    struct worker *b = worker_new("b", "there");

    (void)state;
    WAIT(b, b->ups == 1);
    submit(100);
    claim_and_wait(a, IN, 40);
    claim_and_wait(b, IN, 60);
    assert_int_equal(a->job_count + b->job_count, 100);
    for (size_t i = 0; i < 60; i++) {
        done(b, i);
    }
    WAIT(b, queue_backlog(b->queue) == 0);
    worker_free(b);
    assert_int_equal(owned(a), 40);
    worker_free(a);
}

static void test_an_id_twice(void **state)
{
    struct worker *a = worker_up("a");
    struct worker *b = worker_new("a", "another machine");

    (void)state;
    WAIT(b, b->fatal[0] != '\0');
    assert_non_null(strstr(b->fatal, "node id 'a' is in use by here"));
    assert_int_equal(b->ups, 0);
    worker_free(b);
    submit(1);
    claim_and_wait(a, IN, 1);
    assert_int_equal(a->job_count, 1);
    worker_free(a);
}

static void test_promotion_in_time(void **state)
{
    struct worker *w = worker_up("n1");
    const struct resp *reply;

    (void)state;
    submit(1);
    claim_and_wait(w, IN, 1);
    reply = server_call(&server, "TIME");
    int64_t now_ms, micros;
    assert_int_equal(resp_int(&reply->items[0], &now_ms), 0);
    assert_int_equal(resp_int(&reply->items[1], &micros), 0);
    now_ms = now_ms * 1000 + micros / 1000;
    int64_t start_us = clock_mono_us();
    defer(w, 0, buf_slice(&w->jobs[0]->record), now_ms + 600, SLICE_NONE);
    WAIT_INT(w, "ZCARD " BASE "due:normal", 1);
    int bells = w->bells;
    WAIT_INT(w, "LLEN " BASE IN, 1);
    int64_t took_ms = (clock_mono_us() - start_us) / 1000;
    assert_true(took_ms >= 595);
    WAIT(w, w->bells > bells);
    worker_free(w);
}

static void test_promotion_of_many(void **state)
{
    struct worker *w = worker_new("n1", "here");

    (void)state;
    submit(1000);
    WAIT(w, w->ups == 1);
    while (w->job_count < 1000) {
        claim_and_wait(w, IN, 200);
    }
    for (size_t i = 0; i < 1000; i++) {
        defer(w, i, buf_slice(&w->jobs[i]->record), 1, SLICE_NONE);
    }
    int64_t start_us = clock_mono_us();
    WAIT_INT(w, "LLEN " BASE IN, 1000);
    assert_true(clock_mono_us() - start_us < 3 * 1000 * 1000);
    worker_free(w);
}

static void test_functions_gone(void **state)
{
    struct worker *w = worker_up("n1");
    struct buf text = BUF_EMPTY;

    (void)state;
    submit(10);
    server_call(&server, "FUNCTION FLUSH");
    claim_and_wait(w, IN, 5);
    assert_int_equal(w->job_count, 5);
    server_call(&server, "FUNCTION FLUSH");
    done(w, 0);
    WAIT(w, queue_backlog(w->queue) == 0);
    assert_int_equal(event_count(&text), 1);
    buf_fini(&text);
    worker_free(w);
}

static void test_doubt(void **state)
{
    struct worker *w = worker_up("n1");
    int64_t now_us = io_now_us(w->io);

    (void)state;
    assert_true(node_may_start(w->node, now_us));
    assert_true(node_may_start(w->node, now_us + NODE_DOUBT_US - 1000000));
    assert_false(node_may_start(w->node, now_us + NODE_DOUBT_US + 1000));
    worker_free(w);
}

static void test_close_while_redis_is_away(void **state)
{
    struct worker *w = worker_up("n1");

    (void)state;
    submit(1);
    claim_and_wait(w, IN, 1);
    w->proxy.refuse = true;
    proxy_cut(&w->proxy);
    done(w, 0);
    queue_close(w->queue, 100 * 1000);
    WAIT(w, w->queue_closed);
    int64_t start_us = clock_mono_us();
    node_close(w->node);
    WAIT(w, w->node_closed);
    assert_true(clock_mono_us() - start_us < 6 * 1000 * 1000);
    worker_free(w);
}

static void test_library_versions(void **state)
{
    struct buf why = BUF_EMPTY, newer = BUF_EMPTY;
    const struct resp *reply;

    (void)state;
    /* A newer one is left alone; one without a version, or an older one, is replaced. */
    BUF_LIT(&newer, "#!lua name=volley_1\n-- volley library version 999\n"
                    "redis.register_function('volley_1_future', function() return 1 end)\n");
    struct slice load[] = {SLICE("FUNCTION"), SLICE("LOAD"), SLICE("REPLACE"), buf_slice(&newer)};
    assert_int_equal(sync_call(server.client, load, 4, &reply), 0);
    assert_int_equal(reply->type, RESP_STRING);
    assert_int_equal(library_ensure_sync(server.client, &why), 0);
    assert_int_equal(server_int(&server, "FCALL volley_1_future 0"), 1);
    load[3] = SLICE("#!lua name=volley_1\nredis.register_function('volley_1_past', function() "
                    "return 1 end)\n");
    assert_int_equal(sync_call(server.client, load, 4, &reply), 0);
    assert_int_equal(library_ensure_sync(server.client, &why), 0);
    assert_int_equal(server_call(&server, "FCALL volley_1_past 0")->type, RESP_ERROR);
    assert_int_equal(why.len, 0);
    buf_fini(&newer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_doorbell),
        TEST(test_fenced),
        TEST(test_node_restarts),
        TEST(test_two_nodes),
        TEST(test_an_id_twice),
        TEST(test_promotion_in_time),
        TEST(test_promotion_of_many),
        TEST(test_functions_gone),
        TEST(test_doubt),
        TEST(test_close_while_redis_is_away),
        TEST(test_library_versions),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
