/*
 * sink_output.c - one connection of the sink: what it has to say.
 *
 * Nearly always there is no TLS, no mark and no delay: then the session's buffer goes to the
 * socket as it is, and the session gets the one written before.  Output is looked at once a
 * tick, so all answers to what came in together leave together.
 */
#include "bench/sink_impl.h"

#include <netinet/in.h>

/* Answers that a client leaves unread: beyond this we do not read his commands either. */
enum { OUTPUT_MAX = 256 * 1024 };

void sink_conn_dirty(struct sink_conn *c)
{
    if (list_empty(&c->dirty)) {
        list_append(&c->thread->dirty, &c->dirty);
    }
}

void sink_conn_close(struct sink_conn *c)
{
    if (!c->closed) {
        c->closed = true;
        list_remove(&c->dirty);
        io_close(&c->stream);
    }
}

/* Connecting a TCP socket to "nothing" sends a reset at once, whatever io_close() does. */
static void conn_reset(struct sink_conn *c)
{
    const struct sockaddr nothing = {.sa_family = AF_UNSPEC};

    if (!c->closed) {
        connect(c->stream.fd, &nothing, sizeof(nothing));
        sink_conn_close(c);
    }
}

void sink_conn_pause(struct sink_conn *c, uint8_t why, bool on)
{
    c->paused = (uint8_t)(on ? c->paused | why : c->paused & ~why);
    if (!c->closed) {
        io_read_pause(&c->stream, c->paused != 0);
    }
}

/* Pauses add up: what was on its way while reading stopped is read all the same. */
void sink_conn_pause_for(struct sink_conn *c, int64_t us)
{
    int64_t now_us = io_now_us(c->thread->io);

    c->resume_us = (c->resume_us > now_us ? c->resume_us : now_us) + us;
    sink_conn_pause(c, PAUSE_TIMED, true);
    sink_conn_arm(c, &c->resume, c->resume_us);
}

/* ---- output ---- */

int64_t sink_conn_due_us(const struct sink_conn *c)
{
    return io_now_us(c->thread->io) + sink_conn_options(c)->latency_us;
}

static void encrypt(struct sink_conn *c, struct slice plain, struct buf *out)
{
    struct iovec iov = {(void *)plain.ptr, plain.len};

    if (plain.len > 0 && c->tls_open && tls_stream_state(c->tls) != TLS_FAILED) {
        tls_stream_write(c->tls, &iov, 1, out);
    }
}

/* Encrypts the session's output between the marks, and moves the marks along. */
static struct slice encrypt_marked(struct sink_conn *c)
{
    struct server *s = &c->server;
    struct buf *out = &c->thread->cipher;
    size_t at = 0;

    buf_reset(out);
    for (size_t i = 0; i < s->marks; i++) {
        encrypt(c, slice_of(s->out.ptr + at, s->mark[i].offset - at), out);
        at = s->mark[i].offset;
        if (s->mark[i].kind == SERVER_MARK_CLOSE) {
            tls_stream_close(c->tls, out);
        }
        s->mark[i].offset = out->len;
    }
    encrypt(c, slice_from(buf_slice(&s->out), at), out);
    return buf_slice(out);
}

/* Puts what the session said into the delay line. */
void sink_conn_take(struct sink_conn *c)
{
    struct server *s = &c->server;

    for (size_t i = 0; i < s->marks; i++) {
        if (s->mark[i].kind == SERVER_MARK_PAUSE) {
            sink_conn_pause_for(c, s->mark[i].value);
        }
    }
    struct slice bytes = c->tls != NULL ? encrypt_marked(c) : buf_slice(&s->out);
    outlet_put_marked(&c->outlet, bytes, s->mark, s->marks, sink_conn_due_us(c));
    server_taken(s);
}

static void write_wire(struct sink_conn *c)
{
    c->wire_iov = (struct iovec){c->wire.ptr, c->wire.len};
    io_write(&c->stream, &c->wire_iov, 1);
    if (outlet_empty(&c->outlet) && c->server.out.len == 0) {
        server_sent(&c->server);
    }
}

/* Nothing waits and nothing is special: the session's buffer is what to write. */
static bool write_directly(struct sink_conn *c)
{
    struct server *s = &c->server;

    if (s->marks > 0 || sink_conn_options(c)->latency_us > 0 || !outlet_empty(&c->outlet)) {
        return false;
    }
    if (io_writing(&c->stream) || s->out.len == 0) {
        return true; /* later, or not at all */
    }
    if (c->tls != NULL) {
        buf_reset(&c->wire);
        encrypt(c, buf_slice(&s->out), &c->wire);
    } else {
        struct buf written = c->wire;
        c->wire = s->out;
        s->out = written;
    }
    server_taken(s);
    if (c->wire.len > 0) {
        write_wire(c);
    }
    return true;
}

static void end_as(struct sink_conn *c, enum outlet_kind kind)
{
    switch (kind) {
    case OUTLET_BYTES:
    case OUTLET_DRIBBLE:
        break;
    case OUTLET_CLOSE:
        sink_conn_close(c);
        break;
    case OUTLET_RESET:
        conn_reset(c);
        break;
    case OUTLET_STALL:
        c->stalled = true;
        sink_conn_pause(c, PAUSE_STALLED, true);
        break;
    }
}

/* Lets out of the delay line what is due. */
static void pump(struct sink_conn *c)
{
    enum outlet_kind kind;
    int64_t next_us;

    while (!c->closed && !c->stalled && !io_writing(&c->stream)) {
        buf_reset(&c->wire);
        if (!outlet_take(&c->outlet, io_now_us(c->thread->io), &c->wire, &kind, &next_us)) {
            if (next_us != INT64_MAX) {
                sink_conn_arm(c, &c->release, next_us);
            }
            return;
        }
        if (c->wire.len > 0) {
            write_wire(c);
        }
        end_as(c, kind);
    }
}

static void watch_pressure(struct sink_conn *c)
{
    bool full = c->server.out.len + c->outlet.bytes.len > OUTPUT_MAX;

    if (full != ((c->paused & PAUSE_FULL) != 0)) {
        sink_conn_pause(c, PAUSE_FULL, full);
    }
}

void sink_conn_flush_one(struct sink_conn *c)
{
    if (c->closed || c->stalled) {
        return;
    }
    if (!write_directly(c)) {
        if (c->server.out.len > 0 || c->server.marks > 0) {
            sink_conn_take(c);
        }
        pump(c);
    }
    if (!c->closed) {
        watch_pressure(c);
    }
}

void sink_conn_flush(struct sink_thread *t)
{
    while (!list_empty(&t->dirty)) {
        struct list *node = list_first(&t->dirty);
        list_remove(node);
        sink_conn_flush_one(CONTAINER_OF(node, struct sink_conn, dirty));
    }
}

/* An end behind all that is still to be said. */
void sink_conn_end_later(struct sink_conn *c, enum outlet_kind kind)
{
    struct outlet_piece end = {.kind = kind, .due_us = sink_conn_due_us(c)};

    if (c->server.out.len > 0 || c->server.marks > 0) {
        sink_conn_take(c);
    }
    outlet_put(&c->outlet, &end, SLICE_NONE);
    sink_conn_dirty(c);
}
