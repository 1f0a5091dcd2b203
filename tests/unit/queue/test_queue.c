/*
 * test_queue.c - a node and a worker against a real Redis: jobs go round, nothing is lost or
 * done twice when answers are lost, Redis is killed, or the lease ends.
 */
#include "proxy.h"
#include "engine/base/log.h"
#include "queue/library.h"
#include "queue/queue.h"

#define BASE "volley:{0}:"
#define IN   "in:normal:default:default"

enum { JOBS_MAX = 2000 };

/* A job as a worker holds it. */
struct held {
    struct queue_hold hold;
    char id[40];
    bool gone;
    struct buf record;
};

struct worker {
    struct io *io;
    struct node *node;
    struct queue *queue;
    struct proxy proxy;
    bool node_closed, queue_closed;
    int node_ups, node_downs, ups, downs;
    char fatal[300];
    int bells;
    int lists; /* on_list of IN */
    char last_list[300];
    int claims, claim_err;
    uint64_t left;
    size_t job_count, lost, doubled;
    struct held *jobs[JOBS_MAX];
};

static struct server server;

/* Ticks, and moves the proxy along, until the condition holds. */
#define WAIT(w, cond)                                      \
    do {                                                   \
        int64_t wait_end_us = clock_mono_us() + AWAIT_US;  \
        while (!(cond)) {                                  \
            if (clock_mono_us() > wait_end_us) {           \
                fail_msg("waited in vain for: %s", #cond); \
            }                                              \
            proxy_pump(&(w)->proxy);                       \
            io_tick((w)->io, 1000);                        \
        }                                                  \
    } while (0)

/* For conditions that ask Redis. */
#define WAIT_INT(w, command, want) WAIT(w, server_int(&server, command) == (want))

/* ---- callbacks ---- */

static void on_node_up(void *ctx)
{
    ((struct worker *)ctx)->node_ups++;
}

static void on_node_down(void *ctx, const char *why)
{
    (void)why;
    ((struct worker *)ctx)->node_downs++;
}

static void on_fatal(void *ctx, const char *why)
{
    struct worker *w = ctx;

    snprintf(w->fatal, sizeof(w->fatal), "%s", why);
}

static void on_bell(void *ctx, struct slice list)
{
    struct worker *w = ctx;

    w->bells++;
    if (w->queue != NULL) {
        queue_bell(w->queue, list);
    }
}

static void on_node_closed(void *ctx)
{
    ((struct worker *)ctx)->node_closed = true;
}

static const struct node_ops node_ops = {.on_up = on_node_up,
                                         .on_down = on_node_down,
                                         .on_fatal = on_fatal,
                                         .on_bell = on_bell,
                                         .on_closed = on_node_closed};

static void on_queue_up(void *ctx)
{
    struct worker *w = ctx;

    w->ups++;
    assert_true(queue_may_start(w->queue));
}

static void on_queue_down(void *ctx)
{
    struct worker *w = ctx;

    w->downs++;
    assert_false(queue_may_start(w->queue));
}

static void on_list(void *ctx, struct slice name)
{
    struct worker *w = ctx;

    w->lists += slice_eq(name, SLICE(IN));
    snprintf(w->last_list, sizeof(w->last_list), SLICE_FMT, SLICE_ARG(name));
}

static void on_record(void *ctx, size_t want, const struct job_record *record)
{
    struct worker *w = ctx;
    struct held *job = mem_zalloc(sizeof(*job));

    (void)want;
    assert_true(w->job_count < JOBS_MAX);
    snprintf(job->id, sizeof(job->id), SLICE_FMT, SLICE_ARG(record->id));
    buf_puts(&job->record, record->bytes);
    if (!queue_hold_add(w->queue, &job->hold, record->id)) {
        w->doubled++;
    }
    w->jobs[w->job_count++] = job;
}

static void on_claimed(void *ctx, int err, const struct queue_got *got, size_t count)
{
    struct worker *w = ctx;

    w->claims++;
    w->claim_err = err;
    w->left = err == 0 && count > 0 ? got[0].left : 0;
}

static void on_lost(void *ctx, struct queue_hold *hold)
{
    struct worker *w = ctx;
    struct held *job = CONTAINER_OF(hold, struct held, hold);

    assert_false(job->gone);
    job->gone = true;
    w->lost++;
}

static void on_queue_closed(void *ctx)
{
    struct worker *w = ctx;

    w->queue_closed = true;
    w->queue = NULL;
}

static const struct queue_ops queue_ops = {.on_up = on_queue_up,
                                           .on_down = on_queue_down,
                                           .on_list = on_list,
                                           .on_record = on_record,
                                           .on_claimed = on_claimed,
                                           .on_lost = on_lost,
                                           .on_closed = on_queue_closed};

/* ---- the worker ---- */

static struct worker *worker_new(const char *id, const char *holder)
{
    struct worker *w = mem_zalloc(sizeof(*w));
    struct buf why = BUF_EMPTY;
    struct slice names[] = {SLICE("pool=default"), SLICE("source=a")};

    w->io = loop_new(IO_AUTO);
    proxy_init(&w->proxy, &server);
    struct node_options node = {.io = w->io,
                                .url = &w->proxy.url,
                                .prefix = SLICE("volley"),
                                .id = slice_cstr(id),
                                .holder = slice_cstr(holder),
                                .names = names,
                                .name_count = 2,
                                .ops = &node_ops,
                                .ctx = w};
    w->node = node_new(&node, &why);
    assert_non_null(w->node);
    struct queue_options queue = {.io = w->io,
                                  .url = &w->proxy.url,
                                  .prefix = SLICE("volley"),
                                  .node = w->node,
                                  .ops = &queue_ops,
                                  .ctx = w};
    w->queue = queue_new(&queue, &why);
    assert_non_null(w->queue);
    return w;
}

static void worker_free(struct worker *w)
{
    if (w->queue != NULL) {
        queue_close(w->queue, AWAIT_US);
        WAIT(w, w->queue_closed);
    }
    if (!w->node_closed) {
        node_close(w->node);
        WAIT(w, w->node_closed);
    }
    for (size_t i = 0; i < w->job_count; i++) {
        buf_fini(&w->jobs[i]->record);
        mem_free(w->jobs[i]);
    }
    proxy_fini(&w->proxy);
    io_free(w->io);
    mem_free(w);
}

/* As a process that is killed: nothing is said to Redis any more. */
static void worker_kill(struct worker *w)
{
    w->proxy.refuse = true;
    proxy_cut(&w->proxy);
    worker_free(w);
}

static struct worker *worker_up(const char *id)
{
    struct worker *w = worker_new(id, "here");

    WAIT(w, w->ups == 1);
    return w;
}

static void claim(struct worker *w, const char *list, uint32_t jobs)
{
    struct queue_want want = {.list = slice_cstr(list), .jobs = jobs};

    assert_int_equal(queue_claim(w->queue, &want, 1), 0);
}

static void claim_and_wait(struct worker *w, const char *list, uint32_t jobs)
{
    int claims = w->claims;

    claim(w, list, jobs);
    WAIT(w, w->claims == claims + 1);
    assert_int_equal(w->claim_err, 0);
}

static void done(struct worker *w, size_t job)
{
    char event[80];

    snprintf(event, sizeof(event), "{\"id\":\"%s\"}", w->jobs[job]->id);
    queue_done(w->queue, slice_cstr(w->jobs[job]->id), slice_cstr(event), false);
}

/* ---- submitting ---- */

static void submit(int count)
{
    for (int i = 0; i < count; i++) {
        char command[200];
        snprintf(command, sizeof(command),
                 "FCALL volley_submit 1 volley:{0}:meta to r%d@b.example message m", i);
        const struct resp *reply = server_call(&server, command);
        assert_int_equal(reply->text.len, RECORD_JOB_LEN);
    }
}

static int64_t owned(struct worker *w)
{
    char command[200], life[NODE_LIFE_MAX];
    int64_t count = 0;

    node_life(w->node, life);
    snprintf(command, sizeof(command), "HKEYS " BASE "owned:%s", life);
    const struct resp *keys = server_call(&server, command);
    for (size_t i = 0; i < keys->count; i++) {
        count += keys->items[i].text.ptr[0] != '#';
    }
    return count;
}

/* Every event line, one after the other. */
static void events(struct buf *out)
{
    const struct resp *entries = server_call(&server, "XRANGE " BASE "events - +");

    buf_reset(out);
    for (size_t i = 0; i < entries->count; i++) {
        buf_puts(out, entries->items[i].items[1].items[1].text);
    }
    buf_terminate(out);
}

static size_t event_count(struct buf *out)
{
    size_t count = 0;

    events(out);
    for (size_t i = 0; i < out->len; i++) {
        count += out->ptr[i] == '\n';
    }
    return count;
}

static int test_setup(void **state)
{
    struct slice store[] = {
        SLICE("FCALL"), SLICE("volley_store"),
        SLICE("1"),     SLICE(BASE "meta"),
        SLICE("id"),    SLICE("m"),
        SLICE("eml"),   SLICE("From: a@b.example\r\nSubject: x\r\n\r\nbody\r\n")};
    const struct resp *reply;
    struct buf why = BUF_EMPTY;

    (void)state;
    server_call(&server, "FLUSHALL");
    assert_int_equal(library_ensure_sync(server.client, &why), 0);
    assert_int_equal(sync_call(server.client, store, 8, &reply), 0);
    assert_int_equal(reply->type, RESP_STRING);
    return 0;
}

/* ---- tests ---- */

static void test_round(void **state)
{
    struct worker *w = worker_up("n1");
    struct buf text = BUF_EMPTY;

    (void)state;
    submit(250);
    WAIT(w, w->lists > 0);
    claim_and_wait(w, IN, 200);
    assert_int_equal(w->job_count, 200);
    assert_int_equal(w->left, 50);
    claim_and_wait(w, IN, 200);
    assert_int_equal(w->job_count, 250);
    assert_int_equal(w->left, 0);
    assert_int_equal(owned(w), 250);

    struct job_record r;
    assert_int_equal(record_decode(&r, buf_slice(&w->jobs[0]->record)), 0);
    for (size_t i = 0; i < 150; i++) {
        done(w, i);
    }
    struct record_outcome o = {.time_ms = 1, .code = 451};
    record_put_deferred(&text, &r, 1, &o);
    queue_defer(w->queue, slice_cstr(w->jobs[150]->id), buf_slice(&text), JOB_NORMAL, 4102444800000,
                SLICE("{\"type\":\"deferred\"}"));
    queue_park(w->queue, slice_cstr(w->jobs[151]->id), r.lane, r.domain, SLICE("google"));
    for (size_t i = 152; i < 250; i++) {
        queue_return(w->queue, slice_cstr(w->jobs[i]->id), r.lane, SLICE_NONE);
    }
    assert_int_equal(queue_backlog(w->queue), 250);
    WAIT(w, queue_backlog(w->queue) == 0);
    assert_int_equal(owned(w), 0);
    assert_int_equal(event_count(&text), 151);
    assert_int_equal(server_int(&server, "ZCARD " BASE "due:normal"), 1);
    assert_int_equal(server_int(&server, "LLEN " BASE "bin:normal:default:default:google"), 1);
    assert_int_equal(server_int(&server, "LLEN " BASE IN), 98);
    const struct resp *first = server_call(&server, "LINDEX " BASE IN " 0");
    assert_true(slice_eq(first->text, buf_slice(&w->jobs[152]->record)));
    const struct queue_stats *stats = queue_stats(w->queue);
    assert_int_equal(stats->done, 150);
    assert_int_equal(stats->deferred + stats->parked, 2);
    assert_int_equal(stats->returned, 98);
    assert_int_equal(stats->late + stats->resent, 0);
    buf_fini(&text);
    worker_free(w);
}

static void test_outcomes_travel_in_batches(void **state)
{
    struct worker *w = worker_up("n1");

    (void)state;
    submit(300);
    claim_and_wait(w, IN, 200);
    claim_and_wait(w, IN, 100);
    int64_t start_us = clock_mono_us();
    for (size_t i = 0; i < 300; i++) {
        done(w, i);
        if (i == 10) {
            queue_event(w->queue, SLICE("{\"type\":\"site\"}"));
        }
    }
    WAIT(w, queue_backlog(w->queue) == 0);
    assert_true(server_int(&server, "XLEN " BASE "events") <= 4);
    assert_true(clock_mono_us() - start_us < AWAIT_US / 4);
    worker_free(w);
}

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

/* Without a bell the list is found too, and told again after it was emptied and filled. */
static void test_poll_finds_lists(void **state)
{
    struct worker *w = worker_up("n1");

    (void)state;
    submit(1);
    WAIT(w, w->lists > 0);
    claim_and_wait(w, IN, 10);
    int lists = w->lists;
    submit(1);
    server_call(&server, "DEL " BASE "bell:normal");
    WAIT(w, w->lists > lists);
    worker_free(w);
}

static void test_claim_limits(void **state)
{
    struct worker *w = worker_up("n1");
    struct queue_want wants[101];

    (void)state;
    for (size_t i = 0; i < 101; i++) {
        wants[i] = (struct queue_want){.list = SLICE(IN), .jobs = 1};
    }
    assert_int_equal(queue_claim(w->queue, wants, 101), ERR_LIMIT);
    wants[0].jobs = 201;
    assert_int_equal(queue_claim(w->queue, wants, 1), ERR_LIMIT);
    assert_int_equal(queue_claim(w->queue, wants, 0), ERR_LIMIT);
    wants[0].list = SLICE("meta");
    assert_int_equal(queue_claim(w->queue, wants, 1), ERR_INVALID);
    wants[0].list = SLICE(IN);
    wants[0].jobs = 1;
    for (int i = 0; i < QUEUE_CLAIMS; i++) {
        claim(w, IN, 1);
    }
    assert_int_equal(queue_claim(w->queue, wants, 1), ERR_AGAIN);
    WAIT(w, w->claims == QUEUE_CLAIMS);
    assert_int_equal(w->job_count, 0);
    worker_free(w);
}

/* The answer to a claim is lost: it is asked again and gives the same jobs, once. */
static void test_lost_answer_of_a_claim(void **state)
{
    struct worker *w = worker_up("n1");

    (void)state;
    submit(20);
    w->proxy.swallow = true;
    claim(w, IN, 5);
    WAIT_INT(w, "LLEN " BASE IN, 15);
    assert_int_equal(w->job_count, 0);
    proxy_cut(&w->proxy);
    w->proxy.swallow = false;
    WAIT(w, w->claims == 1);
    assert_int_equal(w->claim_err, 0);
    assert_int_equal(w->job_count, 5);
    assert_int_equal(w->left, 15);
    assert_int_equal(server_int(&server, "LLEN " BASE IN), 15);
    assert_int_equal(w->downs, 1);
    worker_free(w);
}

/* Four claims whose answers are lost, of different lists and sizes. */
static void test_lost_answers_of_several_claims(void **state)
{
    struct worker *w = worker_up("n1");

    (void)state;
    submit(100);
    w->proxy.swallow = true;
    for (uint32_t i = 1; i <= QUEUE_CLAIMS; i++) {
        claim(w, IN, i * 5);
    }
    WAIT_INT(w, "LLEN " BASE IN, 50);
    proxy_cut(&w->proxy);
    w->proxy.swallow = false;
    WAIT(w, w->claims == QUEUE_CLAIMS);
    assert_int_equal(w->job_count, 50);
    assert_int_equal(w->doubled, 0);
    assert_int_equal(server_int(&server, "LLEN " BASE IN), 50);
    worker_free(w);
}

/* The answer to a batch is lost: sent again, done once. */
static void test_lost_answer_of_a_batch(void **state)
{
    struct worker *w = worker_up("n1");
    struct buf text = BUF_EMPTY;

    (void)state;
    submit(20);
    claim_and_wait(w, IN, 20);
    w->proxy.swallow = true;
    for (size_t i = 0; i < 10; i++) {
        done(w, i);
    }
    WAIT_INT(w, "XLEN " BASE "events", 1);
    assert_int_equal(queue_backlog(w->queue), 10);
    proxy_cut(&w->proxy);
    w->proxy.swallow = false;
    for (size_t i = 10; i < 20; i++) {
        done(w, i); /* given while Redis is away */
    }
    WAIT(w, queue_backlog(w->queue) == 0);
    assert_int_equal(event_count(&text), 20);
    assert_null(strstr(text.ptr, "late"));
    assert_int_equal(queue_stats(w->queue)->resent, 1);
    assert_int_equal(owned(w), 0);
    assert_int_equal(w->lost, 0);
    buf_fini(&text);
    worker_free(w);
}

static void test_redis_killed(void **state)
{
    struct worker *w = worker_up("n1");
    struct buf text = BUF_EMPTY;

    (void)state;
    submit(50);
    claim_and_wait(w, IN, 30);
    for (size_t i = 0; i < 10; i++) {
        done(w, i);
    }
    server_kill(&server);
    WAIT(w, w->downs == 1);
    assert_false(queue_may_start(w->queue));
    struct queue_want want = {.list = SLICE(IN), .jobs = 1};
    assert_int_equal(queue_claim(w->queue, &want, 1), ERR_AGAIN);
    for (size_t i = 10; i < 20; i++) {
        done(w, i);
    }
    server_start(&server);
    WAIT(w, w->ups == 2 && queue_backlog(w->queue) == 0);
    assert_int_equal(w->lost, 0);
    assert_int_equal(event_count(&text), 20);
    assert_int_equal(owned(w), 10);
    claim_and_wait(w, IN, 100);
    assert_int_equal(w->job_count, 50);
    buf_fini(&text);
    worker_free(w);
}

/* After a break the jobs that are not ours any more are told, those that are are kept. */
static void test_jobs_lost_meanwhile(void **state)
{
    struct worker *w = worker_up("n1");
    char command[200], life[NODE_LIFE_MAX];

    (void)state;
    submit(250);
    claim_and_wait(w, IN, 200);
    claim_and_wait(w, IN, 50);
    node_life(w->node, life);
    for (size_t i = 0; i < 250; i += 50) {
        snprintf(command, sizeof(command), "HDEL " BASE "owned:%s %s", life, w->jobs[i]->id);
        assert_int_equal(server_int(&server, command), 1);
    }
    proxy_cut(&w->proxy);
    WAIT(w, w->ups == 2);
    assert_int_equal(w->lost, 5);
    for (size_t i = 0; i < 250; i++) {
        assert_int_equal(w->jobs[i]->gone, i % 50 == 0);
    }
    worker_free(w);
}

/* Our lease ended while we were away: a new life, nothing held any more, and the outcome of
 * what was on the wire still counts while nobody took the job over. */
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
    queue_defer(w->queue, slice_cstr(w->jobs[0]->id), buf_slice(&w->jobs[0]->record), JOB_NORMAL,
                now_ms + 600, SLICE_NONE);
    WAIT_INT(w, "ZCARD " BASE "due:normal", 1);
    int bells = w->bells;
    WAIT_INT(w, "LLEN " BASE IN, 1);
    int64_t took_ms = (clock_mono_us() - start_us) / 1000;
    assert_true(took_ms >= 595);
    WAIT(w, w->bells > bells);
    worker_free(w);
}

/* 1,000 jobs due at once come back in calls that follow each other, not one in a poll. */
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
        queue_defer(w->queue, slice_cstr(w->jobs[i]->id), buf_slice(&w->jobs[i]->record),
                    JOB_NORMAL, 1, SLICE_NONE);
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

static void test_hostile_records(void **state)
{
    struct worker *w = worker_up("n1");
    struct buf record = BUF_EMPTY;
    const struct resp *reply;

    (void)state;
    submit(2);
    /* Doubled by somebody; the head readable but not the rest; nothing readable. */
    reply = server_call(&server, "LINDEX " BASE IN " 0");
    buf_puts(&record, reply->text);
    struct slice push[] = {SLICE("RPUSH"), SLICE(BASE IN), buf_slice(&record),
                           slice_of(record.ptr, 60), SLICE("rubbish")};
    assert_int_equal(sync_call(server.client, push, 5, &reply), 0);
    log_set_level(LOG_LEVEL_ERROR);
    claim_and_wait(w, IN, 10);
    assert_int_equal(w->left, 0);
    assert_true(w->job_count <= 2);
    assert_int_equal(w->doubled, 0);
    WAIT(w, queue_backlog(w->queue) == 0);
    assert_true(server_int(&server, "LLEN " BASE "broken") >= 1);
    buf_fini(&record);
    worker_free(w);
}

/* A batch that Redis refuses is tried again, and does not stand in the way of others. */
static void test_refused_batch(void **state)
{
    struct worker *w = worker_up("n1");
    struct buf text = BUF_EMPTY;

    (void)state;
    submit(2);
    claim_and_wait(w, IN, 2);
    server_call(&server, "SET " BASE "events x");
    done(w, 0);
    queue_return(w->queue, slice_cstr(w->jobs[1]->id), SLICE("normal:default:default"), SLICE_NONE);
    WAIT_INT(w, "LLEN " BASE IN, 1);
    server_call(&server, "DEL " BASE "events");
    WAIT(w, queue_backlog(w->queue) == 0);
    assert_int_equal(event_count(&text), 1);
    buf_fini(&text);
    worker_free(w);
}

struct fetched {
    int calls;
    int err;
    struct buf eml, from;
};

static void on_message(void *ctx, int err, const struct queue_message *m)
{
    struct fetched *f = ctx;

    f->calls++;
    f->err = err;
    buf_reset(&f->eml);
    buf_reset(&f->from);
    if (err == 0) {
        buf_puts(&f->eml, m->eml);
        buf_puts(&f->from, m->from);
    }
}

static void test_messages(void **state)
{
    struct worker *w = worker_up("n1");
    struct fetched f = {0};
    struct slice argv[] = {SLICE("FCALL"), SLICE("volley_submit"),
                           SLICE("1"),     SLICE(BASE "meta"),
                           SLICE("to"),    SLICE("a@b.example"),
                           SLICE("data"),  SLICE("From: own@b.example\r\n\r\nown")};
    const struct resp *reply;
    char job[RECORD_JOB_LEN + 1];

    (void)state;
    assert_int_equal(queue_fetch(w->queue, SLICE("m"), false, on_message, &f), 0);
    WAIT(w, f.calls == 1);
    assert_int_equal(f.err, 0);
    assert_true(slice_starts(buf_slice(&f.eml), SLICE("From: a@b.example\r\n")));
    assert_true(slice_eq(buf_slice(&f.from), SLICE("a@b.example")));
    assert_int_equal(queue_fetch(w->queue, SLICE("none"), false, on_message, &f), 0);
    WAIT(w, f.calls == 2);
    assert_int_equal(f.err, ERR_NOTFOUND);

    assert_int_equal(sync_call(server.client, argv, 8, &reply), 0);
    snprintf(job, sizeof(job), "%s", reply->text.ptr);
    assert_int_equal(queue_fetch(w->queue, slice_cstr(job), true, on_message, &f), 0);
    WAIT(w, f.calls == 3);
    assert_true(slice_eq(buf_slice(&f.from), SLICE("own@b.example")));
    claim_and_wait(w, IN, 1);
    queue_done(w->queue, slice_cstr(w->jobs[0]->id), SLICE("{}"), true);
    WAIT(w, queue_backlog(w->queue) == 0);
    assert_int_equal(queue_fetch(w->queue, slice_cstr(job), true, on_message, &f), 0);
    WAIT(w, f.calls == 4);
    assert_int_equal(f.err, ERR_NOTFOUND);

    assert_int_equal(queue_fetch(w->queue, SLICE("m"), false, on_message, &f), 0);
    proxy_cut(&w->proxy);
    WAIT(w, f.calls == 5);
    assert_true(f.err != 0 && f.err != ERR_NOTFOUND);
    assert_int_equal(queue_fetch(w->queue, SLICE("m"), false, on_message, &f), ERR_AGAIN);
    buf_fini(&f.eml);
    buf_fini(&f.from);
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

/* Outcomes given just before the end arrive. */
static void test_close_drains(void **state)
{
    struct worker *w = worker_up("n1");
    struct buf text = BUF_EMPTY;

    (void)state;
    submit(120);
    claim_and_wait(w, IN, 120);
    for (size_t i = 0; i < 120; i++) {
        done(w, i);
    }
    worker_free(w);
    assert_int_equal(event_count(&text), 120);
    assert_int_equal(server_int(&server, "EXISTS " BASE IN), 0);
    buf_fini(&text);
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

static int group_setup(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_ERROR);
    server_init(&server);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    server_fini(&server);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup(name, test_setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_round),
        TEST(test_outcomes_travel_in_batches),
        TEST(test_doorbell),
        TEST(test_poll_finds_lists),
        TEST(test_claim_limits),
        TEST(test_lost_answer_of_a_claim),
        TEST(test_lost_answers_of_several_claims),
        TEST(test_lost_answer_of_a_batch),
        TEST(test_redis_killed),
        TEST(test_jobs_lost_meanwhile),
        TEST(test_fenced),
        TEST(test_node_restarts),
        TEST(test_two_nodes),
        TEST(test_an_id_twice),
        TEST(test_promotion_in_time),
        TEST(test_promotion_of_many),
        TEST(test_functions_gone),
        TEST(test_hostile_records),
        TEST(test_refused_batch),
        TEST(test_messages),
        TEST(test_doubt),
        TEST(test_close_while_redis_is_away),
        TEST(test_close_drains),
        TEST(test_library_versions),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
