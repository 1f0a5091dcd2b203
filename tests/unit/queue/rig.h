/*
 * rig.h - a node and its worker against a private Redis, through a proxy.
 */
#ifndef VOLLEY_TEST_QUEUE_RIG_H
#define VOLLEY_TEST_QUEUE_RIG_H

#include "engine/base/log.h"
#include "queue/library.h"
#include "queue/queue.h"
#include "tests/unit/queue/proxy.h"

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

static inline void on_node_up(void *ctx)
{
    ((struct worker *)ctx)->node_ups++;
}

static inline void on_node_down(void *ctx, const char *why)
{
    (void)why;
    ((struct worker *)ctx)->node_downs++;
}

static inline void on_fatal(void *ctx, const char *why)
{
    struct worker *w = ctx;

    snprintf(w->fatal, sizeof(w->fatal), "%s", why);
}

static inline void on_bell(void *ctx, struct slice list)
{
    struct worker *w = ctx;

    w->bells++;
    if (w->queue != NULL) {
        queue_bell(w->queue, list);
    }
}

static inline void on_node_closed(void *ctx)
{
    ((struct worker *)ctx)->node_closed = true;
}

static const struct node_ops node_ops = {.on_up = on_node_up,
                                         .on_down = on_node_down,
                                         .on_fatal = on_fatal,
                                         .on_bell = on_bell,
                                         .on_closed = on_node_closed};

static inline void on_queue_up(void *ctx)
{
    struct worker *w = ctx;

    w->ups++;
    assert_true(queue_may_start(w->queue));
}

static inline void on_queue_down(void *ctx)
{
    struct worker *w = ctx;

    w->downs++;
    assert_false(queue_may_start(w->queue));
}

static inline void on_list(void *ctx, struct slice name)
{
    struct worker *w = ctx;

    w->lists += slice_eq(name, SLICE(IN));
    snprintf(w->last_list, sizeof(w->last_list), SLICE_FMT, SLICE_ARG(name));
}

static inline void on_record(void *ctx, size_t want, const struct job_record *record)
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

static inline void on_claimed(void *ctx, int err, const struct queue_got *got, size_t count)
{
    struct worker *w = ctx;

    w->claims++;
    w->claim_err = err;
    w->left = err == 0 && count > 0 ? got[0].left : 0;
}

static inline void on_lost(void *ctx, struct queue_hold *hold)
{
    struct worker *w = ctx;
    struct held *job = CONTAINER_OF(hold, struct held, hold);

    assert_false(job->gone);
    job->gone = true;
    w->lost++;
}

static inline void on_queue_closed(void *ctx)
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

static inline struct worker *worker_new(const char *id, const char *holder)
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

static inline void worker_free(struct worker *w)
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
static inline void worker_kill(struct worker *w)
{
    w->proxy.refuse = true;
    proxy_cut(&w->proxy);
    worker_free(w);
}

static inline struct worker *worker_up(const char *id)
{
    struct worker *w = worker_new(id, "here");

    WAIT(w, w->ups == 1);
    return w;
}

static inline void claim(struct worker *w, const char *list, uint32_t jobs)
{
    struct queue_want want = {.list = slice_cstr(list), .jobs = jobs};

    assert_int_equal(queue_claim(w->queue, &want, 1), 0);
}

static inline void claim_and_wait(struct worker *w, const char *list, uint32_t jobs)
{
    int claims = w->claims;

    claim(w, list, jobs);
    WAIT(w, w->claims == claims + 1);
    assert_int_equal(w->claim_err, 0);
}

static inline struct job_record record_of(const struct worker *w, size_t job)
{
    struct job_record r;

    assert_int_equal(record_decode(&r, buf_slice(&w->jobs[job]->record)), 0);
    return r;
}

static inline void done(struct worker *w, size_t job)
{
    struct job_record r = record_of(w, job);
    char event[80];

    snprintf(event, sizeof(event), "{\"id\":\"%s\"}", w->jobs[job]->id);
    queue_done(w->queue, &r, slice_cstr(event));
}

static inline void defer(struct worker *w, size_t job, struct slice record, int64_t due_ms,
                         struct slice event)
{
    struct job_record r = record_of(w, job);

    queue_defer(w->queue, &r, record, due_ms, event);
}

/* ---- submitting ---- */

static inline void submit(int count)
{
    for (int i = 0; i < count; i++) {
        char command[200];
        snprintf(command, sizeof(command),
                 "FCALL volley_submit 1 volley:{0}:meta to r%d@b.example message m", i);
        const struct resp *reply = server_call(&server, command);
        assert_int_equal(reply->text.len, RECORD_JOB_LEN);
    }
}

static inline int64_t owned(struct worker *w)
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
static inline void events(struct buf *out)
{
    const struct resp *entries = server_call(&server, "XRANGE " BASE "events - +");

    buf_reset(out);
    for (size_t i = 0; i < entries->count; i++) {
        buf_puts(out, entries->items[i].items[1].items[1].text);
    }
    buf_terminate(out);
}

static inline size_t event_count(struct buf *out)
{
    size_t count = 0;

    events(out);
    for (size_t i = 0; i < out->len; i++) {
        count += out->ptr[i] == '\n';
    }
    return count;
}

static inline int test_setup(void **state)
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

static inline int group_setup(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_ERROR);
    server_init(&server);
    return 0;
}

static inline int group_teardown(void **state)
{
    (void)state;
    server_fini(&server);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup(name, test_setup)

#endif
