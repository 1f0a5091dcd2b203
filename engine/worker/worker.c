/*
 * worker.c - one thread: its loop, and delivery on it.
 */
#include "engine/worker/worker.h"

#include "engine/base/err.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/worker/engine.h"

#include <stdio.h>
#include <string.h>

struct bell {
    struct mailbox_node parcel;
    size_t len;
    char list[];
};

/* ---- from other threads ---- */

void worker_stop(struct worker *w)
{
    if (atomic_exchange(&w->stop, true)) {
        atomic_store(&w->cut, true);
    }
    if (w->io != NULL) {
        io_wake(w->io);
    }
}

void worker_configure(struct worker *w, const struct conf *conf)
{
    conf_unref(atomic_exchange(&w->next_conf, conf_ref(conf)));
    io_wake(w->io);
}

void worker_bell(struct worker *w, struct slice list)
{
    struct bell *b = mem_alloc(sizeof(*b) + list.len);

    b->len = list.len;
    if (list.len > 0) {
        memcpy(b->list, list.ptr, list.len);
    }
    if (mailbox_push(&w->bells, &b->parcel) && w->io != NULL) { /* NULL: it did not start */
        io_wake(w->io);
    }
}

/* ---- the node, on worker 0 ---- */

static void on_node_up(void *ctx)
{
    struct worker *w = ctx;
    struct engine *e = w->engine;

    log_info("node %s is registered", e->state.id);
    for (unsigned i = 0; i < e->worker_count; i++) {
        if (e->workers[i].deliver != NULL && i == w->index) {
            deliver_bell(w->deliver, SLICE_NONE);
        }
    }
}

static void on_node_down(void *ctx, const char *why)
{
    (void)ctx;
    log_warn("Redis is away, nothing new is claimed: %s", why);
}

static void on_node_fatal(void *ctx, const char *why)
{
    struct worker *w = ctx;

    engine_fail(w->engine, 1, why);
}

static void on_node_bell(void *ctx, struct slice list)
{
    struct worker *w = ctx;
    struct engine *e = w->engine;

    for (unsigned i = 0; i < e->worker_count; i++) {
        if (i == w->index) {
            if (w->deliver != NULL) {
                deliver_bell(w->deliver, list);
            }
        } else {
            worker_bell(&e->workers[i], list);
        }
    }
}

static void on_node_closed(void *ctx)
{
    struct worker *w = ctx;

    w->engine->node = NULL;
}

static const struct node_ops node_ops = {
    .on_up = on_node_up,
    .on_down = on_node_down,
    .on_fatal = on_node_fatal,
    .on_bell = on_node_bell,
    .on_closed = on_node_closed,
};

/* The names submission may use: what this engine's configuration knows. */
static size_t announced_names(const struct conf *conf, struct slice **names, struct buf *text)
{
    size_t count = conf->pools.count + conf->sources.count + conf->routes.count, at = 0, from = 0;

    for (size_t i = 0; i < conf->pools.count; i++) {
        buf_printf(text, "pool=%s\n", conf->pools.items[i].name);
    }
    for (size_t i = 0; i < conf->sources.count; i++) {
        buf_printf(text, "source=%s\n", conf->sources.items[i].name);
    }
    for (size_t i = 0; i < conf->routes.count; i++) {
        buf_printf(text, "route=%s\n", conf->routes.items[i].name);
    }
    *names = mem_array(count, sizeof(**names));
    for (size_t i = 0; i < text->len; i++) {
        if (text->ptr[i] == '\n') {
            (*names)[at++] = slice_of(text->ptr + from, i - from);
            from = i + 1;
        }
    }
    return at;
}

static int start_node(struct worker *w, struct buf *why)
{
    struct engine *e = w->engine;
    struct buf text = BUF_EMPTY, holder = BUF_EMPTY;
    struct slice *names;
    size_t count = announced_names(e->conf, &names, &text);

    buf_printf(&holder, "%s:%s", e->conf->hostname, e->state.directory);
    struct node_options options = {
        .io = w->io,
        .url = &e->url,
        .prefix = slice_cstr(e->conf->queue.prefix),
        .id = slice_cstr(e->state.id),
        .holder = buf_slice(&holder),
        .names = names,
        .name_count = count,
        .expires_ms = e->conf->expires / 1000,
        .max_memory = e->conf->queue.max_memory,
        .max_jobs = e->conf->queue.max_jobs,
        .events_max_bytes = e->conf->events.redis_max_bytes,
        .high_share = e->conf->queue.high_share,
        .single_node = e->conf->queue.single_node,
        .lease_us = e->conf->queue.lease,
        .replay = e->replay,
        .ops = &node_ops,
        .ctx = w,
    };
    e->node = node_new(&options, why);
    mem_free(names);
    buf_fini(&text);
    buf_fini(&holder);
    return e->node != NULL ? 0 : ERR_INVALID;
}

/* ---- the loop ---- */

static void on_deliver_closed(void *ctx)
{
    struct worker *w = ctx;

    w->deliver = NULL;
    w->closed = true;
    engine_worker_closed(w->engine);
}

static int start_deliver(struct worker *w, struct buf *why)
{
    struct engine *e = w->engine;
    struct deliver_options options = {
        .io = w->io,
        .conf = e->conf,
        .url = &e->url,
        .node = e->node,
        .node_id = slice_cstr(e->state.id),
        .worker = w->index,
        .workers = e->worker_count,
        .trust = e->trust,
        .events_fd = e->events_fd,
        .journal = e->conf->queue.journal ? e->journal : NULL,
        .hand_over = engine_hand_over,
        .on_closed = on_deliver_closed,
        .ctx = w,
    };

    w->deliver = deliver_new(&options, why);
    return w->deliver != NULL ? 0 : ERR_INVALID;
}

static void take_bells(struct worker *w)
{
    struct mailbox_node *at = mailbox_take(&w->bells);

    while (at != NULL) {
        struct bell *b = CONTAINER_OF(at, struct bell, parcel);
        at = at->next;
        if (w->deliver != NULL) {
            deliver_bell(w->deliver, slice_of(b->list, b->len));
        }
        mem_free(b);
    }
}

static void take_jobs(struct worker *w)
{
    if (w->deliver != NULL) {
        deliver_take(w->deliver, mailbox_take(&w->jobs));
    }
    /* Jobs that come after the end of delivery stay owned by the node, whose end returns
     * them; engine_run() frees the parcels. */
}

static void obey(struct worker *w)
{
    struct conf *conf =
        atomic_load(&w->next_conf) != NULL ? atomic_exchange(&w->next_conf, NULL) : NULL;

    if (conf != NULL && w->deliver != NULL) {
        deliver_configure(w->deliver, conf);
    }
    conf_unref(conf);
    if (atomic_load(&w->stop) && !w->stopping) {
        w->stopping = true;
        deliver_close(w->deliver, w->engine->conf->shutdown_timeout);
    }
    if (atomic_load(&w->cut) && w->deliver != NULL) {
        deliver_cut(w->deliver);
    }
}

static void run(struct worker *w)
{
    int64_t wait_us = 0;

    while (!w->closed) {
        io_tick(w->io, wait_us);
        take_bells(w);
        take_jobs(w);
        obey(w);
        wait_us = w->deliver != NULL ? deliver_tick(w->deliver) : 0;
    }
}

static bool all_closed(struct engine *e)
{
    pthread_mutex_lock(&e->lock);
    bool closed = e->running == 0;
    pthread_mutex_unlock(&e->lock);
    return closed;
}

/* Worker 0, after its own delivery: the node ends when nobody claims under it any more. */
static void run_node_out(struct worker *w)
{
    struct engine *e = w->engine;

    while (!all_closed(e)) {
        io_tick(w->io, 20000);
        take_bells(w);
    }
    if (e->node != NULL) {
        node_close(e->node);
        while (e->node != NULL) {
            io_tick(w->io, -1);
        }
    }
}

static int start(struct worker *w, struct buf *why)
{
    static const enum io_backend backends[] = {
        [CONF_IO_AUTO] = IO_AUTO, [CONF_IO_URING] = IO_URING, [CONF_IO_EPOLL] = IO_EPOLL};
    struct engine *e = w->engine;
    struct io_options options = {.backend = backends[e->conf->io]};
    int err;

    w->io = io_new(&options, &err);
    if (w->io == NULL) {
        buf_printf(why, "no event loop: %s; see `io:` in the configuration", err_name(err));
        return err;
    }
    if (w->index == 0) {
        err = start_node(w, why);
        if (err != 0) {
            return err;
        }
    }
    return start_deliver(w, why);
}

/* No loop runs before every worker has one: from then on any of them may be woken by any
 * other. */
static void meet(struct engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->ready++;
    pthread_cond_broadcast(&e->changed);
    while (!e->go) {
        pthread_cond_wait(&e->changed, &e->lock);
    }
    pthread_mutex_unlock(&e->lock);
}

void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct buf why = BUF_EMPTY;
    char name[16];

    snprintf(name, sizeof(name), "worker %u", w->index);
    pthread_setname_np(pthread_self(), name);
    if (start(w, &why) != 0) {
        buf_terminate(&why);
        engine_fail(w->engine, 1, why.ptr);
        engine_worker_closed(w->engine);
        w->closed = true;
    }
    buf_fini(&why);
    meet(w->engine);
    run(w);
    if (w->index == 0 && w->io != NULL) {
        run_node_out(w);
    }
    return NULL;
}
