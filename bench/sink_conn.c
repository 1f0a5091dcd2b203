/*
 * sink_conn.c - one connection of the sink: a session, TLS and the delay line on a stream.
 *
 *     socket -> [TLS] -> session -> marks -> [TLS] -> delay line -> socket
 */
#include "bench/sink_impl.h"
#include "engine/base/mem.h"

#include <unistd.h>

enum { WIRE_KEPT_MAX = 16 * 1024 };

/* ---- input ---- */

/* Bytes of the handshake that the client gets no proper answer to. */
static void break_tls(struct sink_conn *c)
{
    struct outlet_piece bytes = {.kind = OUTLET_BYTES, .due_us = sink_conn_due_us(c)};

    c->tls_broken = true;
    switch (sink_conn_options(c)->tls_break) {
    case SINK_TLS_RESET:
        sink_conn_end_later(c, OUTLET_RESET);
        break;
    case SINK_TLS_CLOSE:
        sink_conn_end_later(c, OUTLET_CLOSE);
        break;
    case SINK_TLS_GARBAGE:
        outlet_put(&c->outlet, &bytes, SLICE("\x47\x11 this is not TLS at all\r\n"));
        sink_conn_dirty(c);
        break;
    case SINK_TLS_STALL:
    case SINK_TLS_WORKS:
        break;
    }
}

static void begin_tls(struct sink_conn *c)
{
    sink_conn_take(c); /* the 220 goes in the clear */
    c->tls = tls_stream_new(c->thread->tls, &(struct tls_stream_options){.host = SLICE_NONE});
}

static void input_tls(struct sink_conn *c, struct slice data)
{
    struct sink_thread *t = c->thread;
    struct buf out = BUF_EMPTY;

    buf_reset(&t->plain);
    int err = tls_stream_feed(c->tls, data, &t->plain, &out);
    if (out.len > 0) {
        struct outlet_piece bytes = {.kind = OUTLET_BYTES, .due_us = sink_conn_due_us(c)};
        outlet_put(&c->outlet, &bytes, buf_slice(&out));
        sink_conn_dirty(c);
    }
    buf_fini(&out);
    if (!c->tls_open && tls_stream_state(c->tls) == TLS_OPEN) {
        c->tls_open = true;
        sink_stats_inc(&t->stats, STAT_TLS);
        server_tls_started(&c->server);
    }
    if (t->plain.len > 0 && c->tls_open) {
        server_feed(&c->server, buf_slice(&t->plain), io_now_us(t->io));
    }
    if (err != 0) {
        sink_stats_inc(&t->stats, STAT_ERR_TLS);
        server_lost(&c->server);
        sink_conn_end_later(c, OUTLET_CLOSE);
    }
}

static void input(struct sink_conn *c, struct slice data)
{
    if (c->tls != NULL) {
        if (!c->tls_broken && sink_conn_options(c)->tls_break != SINK_TLS_WORKS) {
            break_tls(c);
        } else if (!c->tls_broken && tls_stream_state(c->tls) != TLS_FAILED) {
            input_tls(c, data);
        }
        return;
    }
    size_t used = server_feed(&c->server, data, io_now_us(c->thread->io));
    if (server_tls_follows(&c->server)) {
        begin_tls(c);
        if (used < data.len) {
            input(c, slice_from(data, used));
        }
    }
}

static void on_read(struct io_stream *stream, struct slice data)
{
    struct sink_conn *c = CONTAINER_OF(stream, struct sink_conn, stream);

    c->heard_us = io_now_us(stream->io);
    if (c->stalled) {
        return;
    }
    input(c, data);
    if (c->server.read_rate > 0) {
        sink_conn_pause_for(c, (int64_t)((double)data.len * 1e6 / (double)c->server.read_rate));
    }
    sink_conn_dirty(c);
}

static void on_write(struct io_stream *stream, int err)
{
    struct sink_conn *c = CONTAINER_OF(stream, struct sink_conn, stream);

    if (err != 0) {
        sink_stats_inc(&c->thread->stats, STAT_ERR_SOCKET);
        server_lost(&c->server);
        sink_conn_close(c);
        return;
    }
    if (c->wire.cap > WIRE_KEPT_MAX) {
        buf_fini(&c->wire);
    }
    if (c->server.out.len > 0 || !outlet_empty(&c->outlet)) {
        sink_conn_dirty(c);
    }
}

/* The client has no more to say.  What he was told to expect is still sent: he may have shut
 * down only his own side. */
static void on_end(struct io_stream *stream, int err)
{
    struct sink_conn *c = CONTAINER_OF(stream, struct sink_conn, stream);

    if (err != 0) {
        sink_stats_inc(&c->thread->stats, STAT_ERR_SOCKET);
    } else if (c->tls != NULL && !c->tls_open && !c->tls_broken) {
        sink_stats_inc(&c->thread->stats, STAT_ERR_TLS);
    }
    server_lost(&c->server);
    if (err != 0 || c->stalled || c->tls_broken) {
        sink_conn_close(c);
    } else {
        sink_conn_end_later(c, OUTLET_CLOSE);
    }
}

/* ---- timers ---- */

static void on_release(struct timer *t, int64_t now_us)
{
    (void)now_us;
    sink_conn_dirty(CONTAINER_OF(t, struct sink_conn, release));
}

static void on_resume(struct timer *t, int64_t now_us)
{
    (void)now_us;
    sink_conn_pause(CONTAINER_OF(t, struct sink_conn, resume), PAUSE_TIMED, false);
}

static void on_idle(struct timer *t, int64_t now_us)
{
    struct sink_conn *c = CONTAINER_OF(t, struct sink_conn, idle);
    int64_t due = c->heard_us + sink_conn_options(c)->idle_us;

    if (c->closed) {
        return;
    }
    if (due > now_us) {
        sink_conn_arm(c, &c->idle, due);
        return;
    }
    sink_stats_inc(&c->thread->stats, STAT_ERR_TIMEOUT);
    if (c->stalled || (c->tls != NULL && !c->tls_open) || !outlet_empty(&c->outlet)) {
        sink_conn_close(c);
    } else {
        server_refuse(&c->server, SLICE("421 4.4.2 Silent for too long"));
        sink_conn_dirty(c);
    }
}

/* ---- beginning and end ---- */

static void on_open(struct io_stream *stream, int err)
{
    (void)stream;
    (void)err;
}

static void on_close(struct io_stream *stream)
{
    struct sink_conn *c = CONTAINER_OF(stream, struct sink_conn, stream);
    struct wheel *wheel = io_wheel(c->thread->io);

    wheel_disarm(wheel, &c->release);
    wheel_disarm(wheel, &c->resume);
    wheel_disarm(wheel, &c->idle);
    list_remove(&c->link);
    list_remove(&c->dirty);
    sink_stats_closed(&c->thread->stats);
    __atomic_sub_fetch(&c->thread->sink->open, 1, __ATOMIC_RELAXED);
    server_fini(&c->server);
    outlet_fini(&c->outlet);
    buf_fini(&c->wire);
    tls_stream_free(c->tls);
    mem_free(c->counts);
    mem_free(c);
}

static const struct io_stream_ops ops = {on_open, on_read, on_end, on_write, on_close};

static struct sink_conn *conn_new(struct sink_thread *t, uint64_t number)
{
    struct sink_conn *c = mem_zalloc(sizeof(*c));
    const struct sink_options *o = &t->sink->options;

    c->thread = t;
    list_init(&c->link);
    list_init(&c->dirty);
    outlet_init(&c->outlet);
    timer_init(&c->release, on_release);
    timer_init(&c->resume, on_resume);
    timer_init(&c->idle, on_idle);
    server_init(&c->server, &o->server, &t->sink->hooks, c, &t->stats, number);
    if (o->faults != NULL && o->faults->slots > 0) {
        c->counts = mem_array(o->faults->slots, sizeof(c->counts[0]));
    }
    return c;
}

void sink_conn_open(struct sink_thread *t, int fd)
{
    struct sink *sink = t->sink;

    if (t->closing) {
        close(fd);
        return;
    }
    uint64_t number = __atomic_add_fetch(&sink->connections, 1, __ATOMIC_RELAXED);
    uint64_t open = __atomic_add_fetch(&sink->open, 1, __ATOMIC_RELAXED);
    struct sink_conn *c = conn_new(t, number);

    if (io_adopt(t->io, &c->stream, &ops, fd) != 0) {
        close(fd);
        __atomic_sub_fetch(&sink->open, 1, __ATOMIC_RELAXED);
        sink_stats_inc(&t->stats, STAT_ERR_SOCKET);
        server_fini(&c->server);
        mem_free(c->counts);
        mem_free(c);
        return;
    }
    sink_stats_opened(&t->stats);
    list_append(&t->conns, &c->link);
    c->heard_us = io_now_us(t->io);
    sink_conn_arm(c, &c->idle, c->heard_us + sink->options.idle_us);
    if (sink->options.connections_max > 0 && open > sink->options.connections_max) {
        sink_stats_inc(&t->stats, STAT_REFUSED);
        server_refuse(&c->server, SLICE("421 4.3.2 Too many connections"));
    } else {
        server_start(&c->server, c->heard_us);
    }
    sink_conn_dirty(c);
}

void sink_conn_close_all(struct sink_thread *t)
{
    LIST_EACH_SAFE (node, &t->conns) {
        struct sink_conn *c = CONTAINER_OF(node, struct sink_conn, link);
        if (!c->stalled && !server_busy(&c->server) && outlet_empty(&c->outlet) &&
            !io_writing(&c->stream) && (c->tls == NULL || c->tls_open)) {
            server_refuse(&c->server, SLICE("421 4.3.2 Shutting down"));
            sink_conn_flush_one(c);
        } else {
            server_lost(&c->server);
            sink_conn_close(c);
        }
    }
}

/* ---- what sessions ask ---- */

bool sink_conn_decide(void *ctx, struct server *s, enum server_verb verb, struct slice to,
                      int64_t now_us, struct server_verdict *verdict)
{
    struct sink_conn *c = ctx;
    const struct sink_options *o = sink_conn_options(c);

    (void)now_us;
    if (o->faults != NULL && (o->faults->verbs & 1u << verb) != 0 &&
        fault_decide(o->faults, &c->thread->rng, c->counts, s, verb, to, verdict)) {
        return true;
    }
    return o->magic && magic_decide(&c->thread->magic, s, verb, to, verdict);
}

void sink_conn_accepted(void *ctx, struct server *s, const struct server_message *m, int64_t now_us)
{
    struct sink_conn *c = ctx;
    struct sink *sink = c->thread->sink;

    (void)now_us;
    if (sink->options.record != NULL && record_wanted(sink->options.record)) {
        record_message(sink->options.record, s, m, &c->thread->lines);
    }
    if (sink->options.expect > 0 &&
        __atomic_add_fetch(&sink->messages, 1, __ATOMIC_RELAXED) == sink->options.expect) {
        sink->options.on_expected(sink->options.ctx);
    }
}
