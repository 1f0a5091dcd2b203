/*
 * test_queue.c - a worker against a real Redis: jobs go round, and nothing is lost or done twice
 * when answers are lost or Redis is killed.
 */
#include "tests/unit/queue/rig.h"

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
    defer(w, 150, buf_slice(&text), 4102444800000, SLICE("{\"type\":\"deferred\"}"));
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
/* 1,000 jobs due at once come back in calls that follow each other, not one in a poll. */
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
    WAIT(w, queue_stats(w->queue)->refused > 12); /* however often: it is not given up */
    server_call(&server, "DEL " BASE "events");
    WAIT(w, queue_backlog(w->queue) == 0);
    assert_int_equal(event_count(&text), 1);
    buf_fini(&text);
    worker_free(w);
}

/* After a break it is looked for jobs that nobody holds.  One whose outcome is refused again and
 * again is none, whatever stands before it in the line by now. */
static void test_refused_is_no_stray(void **state)
{
    enum { JOBS = 1600, PAGE = 200, STEP_US = 4000 };
    struct worker *w = worker_up("n1");

    (void)state;
    log_set_level(LOG_LEVEL_ERROR);
    submit(JOBS);
    for (size_t i = 0; i < JOBS; i += PAGE) {
        claim_and_wait(w, IN, PAGE);
    }
    assert_int_equal(w->job_count, JOBS);
    server_call(&server, "SET " BASE "events x");
    done(w, 0);
    WAIT(w, queue_stats(w->queue)->refused > 0);
    proxy_cut(&w->proxy);
    WAIT(w, w->ups == 2);
    for (size_t i = 1; i < JOBS; i++) {
        int64_t next_us = clock_mono_us() + STEP_US;
        queue_return(w->queue, slice_cstr(w->jobs[i]->id), SLICE("normal:default:default"),
                     SLICE_NONE);
        WAIT(w, clock_mono_us() >= next_us);
    }
    WAIT(w, queue_backlog(w->queue) == 1);
    assert_int_equal(server_int(&server, "LLEN " BASE IN), JOBS - 1);
    assert_int_equal(owned(w), 1);
    server_call(&server, "DEL " BASE "events");
    WAIT(w, queue_backlog(w->queue) == 0);
    assert_int_equal(owned(w), 0);
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
    done(w, 0);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_round),
        TEST(test_outcomes_travel_in_batches),
        TEST(test_poll_finds_lists),
        TEST(test_claim_limits),
        TEST(test_lost_answer_of_a_claim),
        TEST(test_lost_answers_of_several_claims),
        TEST(test_lost_answer_of_a_batch),
        TEST(test_redis_killed),
        TEST(test_jobs_lost_meanwhile),
        TEST(test_hostile_records),
        TEST(test_refused_batch),
        TEST(test_refused_is_no_stray),
        TEST(test_messages),
        TEST(test_close_drains),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
