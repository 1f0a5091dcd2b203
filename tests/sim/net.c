/*
 * net.c - the simulated network: bytes on their way.
 */
#include "tests/sim/net_private.h"

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/panic.h"
#include "tests/sim/oracle.h"
#include "tests/sim/server.h"
#include "tests/sim/world.h"

#include <string.h>

static struct link **links;
static size_t link_count;
static size_t link_cap;

/* ---- links ---- */

void net_init(void)
{
    links = NULL;
    link_count = 0;
    link_cap = 0;
}

void net_fini(void)
{
    for (size_t i = 0; i < link_count; i++) {
        struct link *l = links[i];
        if (l->stream != NULL && !world.failed) {
            world_fail("link %u was never closed", l->id);
        }
        server_free(l->server);
        buf_fini(&l->up);
        buf_fini(&l->down);
        mem_free(l->made);
        mem_free(l->named);
        mem_free(l);
    }
    mem_free(links);
    net_init();
}

size_t net_count(void)
{
    return link_count;
}

struct link *net_link(size_t i)
{
    return links[i];
}

struct link *net_new(void)
{
    if (link_count == link_cap) {
        link_cap = link_cap > 0 ? link_cap * 2 : 64;
        links = mem_realloc(links, link_cap * sizeof(struct link *));
    }
    struct link *l = mem_zalloc(sizeof(*l));
    l->id = (uint32_t)link_count;
    links[link_count++] = l;
    return l;
}

struct link *net_of(const struct io_stream *s)
{
    return links[net_index(s->fd)];
}

/* ---- engine to server ---- */

static int64_t travel(const struct link *l)
{
    int64_t jitter_us = l->manners.jitter_us;

    return l->manners.delay_us + (jitter_us > 0 ? draw_between(0, jitter_us) : 0);
}

/* When a piece that leaves now (or in_us from now) arrives: never before an earlier one. */
int64_t net_arrives_in(int64_t *free_us, const struct link *l, int64_t in_us)
{
    int64_t at_us = world.now_us + in_us + travel(l);

    if (at_us < *free_us) {
        at_us = *free_us;
    }
    *free_us = at_us;
    return at_us - world.now_us;
}

static void up_arrives(void *ctx, int64_t len)
{
    struct link *l = ctx;

    if (l->server_gone) {
        net_server_reset(l, 0); /* nobody is there any more */
        return;
    }
    l->up_arrived += (size_t)len;
    if (!l->server_fin) {
        server_input(l->server);
    }
}

static void up_ends(void *ctx, int64_t arg)
{
    struct link *l = ctx;

    (void)arg;
    if (!l->server_gone) {
        server_eof(l->server);
    }
}

void net_client_fin(struct link *l)
{
    if (!l->client_fin && l->open && !l->reset) {
        l->client_fin = true;
        world_at(net_arrives_in(&l->up_free_us, l, 0), WORLD_OUTSIDE, l->worker, up_ends, l, 0);
    }
}

static size_t piece_of(const struct link *l, size_t len)
{
    size_t most = l->manners.piece;

    if (most == 0 || len > 64 * most) {
        return len; /* pieces are for dialogues; a body would take all day */
    }
    size_t piece = 1 + (size_t)draw(most);
    return piece < len ? piece : len;
}

static void up_send(struct link *l, size_t len)
{
    while (len > 0) {
        size_t piece = piece_of(l, len);
        world_at(net_arrives_in(&l->up_free_us, l, 0), WORLD_OUTSIDE, l->worker, up_arrives, l,
                 (int64_t)piece);
        len -= piece;
    }
}

static void note_write(struct link *l)
{
    if (l->made_count == l->made_cap) {
        l->made_cap = l->made_cap > 0 ? l->made_cap * 2 : 16;
        l->made = mem_realloc(l->made, l->made_cap * sizeof(l->made[0]));
    }
    l->made[l->made_count++] = (struct written){l->up_read + l->up.len, l->write_number};
}

static uint64_t hash_of(const struct iovec *iov, size_t count)
{
    uint64_t hash = 0;

    for (size_t i = 0; i < count; i++) {
        const unsigned char *at = iov[i].iov_base;
        for (size_t k = 0; k < iov[i].iov_len; k += 1 + iov[i].iov_len / 64) {
            hash = hash * 31 + at[k];
        }
    }
    return hash;
}

/* Takes what the window has room for.  True when the write is over. */
static bool push(struct link *l, struct io_stream *s)
{
    for (;;) {
        const struct iovec *first = s->message.msg_iov;
        size_t space = l->manners.window > l->up.len ? l->manners.window - l->up.len : 0;
        size_t len = first->iov_len - s->written;

        len = len < space ? len : space;
        if (len == 0 && space == 0) {
            return false;
        }
        buf_put(&l->up, (const char *)first->iov_base + s->written, len);
        oracle_heard(l, slice_from(buf_slice(&l->up), l->up.len - len));
        note_write(l);
        up_send(l, len);
        if (stream_advance(s, len)) {
            return true;
        }
    }
}

static void held_done(void *ctx, int64_t arg)
{
    struct link *l = ctx;
    struct io_stream *s = l->stream;

    (void)arg;
    if (s == NULL || s->inflight == 0) {
        return; /* the link broke meanwhile, which was told */
    }
    if (hash_of(l->held_iov, l->held_count) != l->held_hash) {
        world_fail("link %u: the bytes of a write changed before it was over", l->id);
    }
    s->inflight--;
    stream_written(s, l->reset ? ERR_CLOSED : 0);
}

static void write_done(struct link *l, struct io_stream *s)
{
    l->blocked = false;
    if (l->manners.held) {
        world_at(draw_between(0, 300), WORLD_IN_TICK, l->worker, held_done, l, 0);
    } else {
        s->write_err = 0;
        slot_later(s->io, s->slot, LATER_WRITE);
    }
}

void net_stream_write(struct io_stream *s)
{
    struct link *l = net_of(s);

    l->write_number = world_number();
    if (l->reset) {
        s->write_err = ERR_CLOSED;
        slot_later(s->io, s->slot, LATER_WRITE);
        return;
    }
    if (l->manners.held) {
        s->inflight++;
        l->held_count = s->message.msg_iovlen < 64 ? s->message.msg_iovlen : 64;
        memcpy(l->held_iov, s->message.msg_iov, l->held_count * sizeof(struct iovec));
        l->held_hash = hash_of(l->held_iov, l->held_count);
    }
    if (push(l, s)) {
        write_done(l, s);
    } else {
        l->blocked = true;
    }
}

static void room(void *ctx, int64_t arg)
{
    struct link *l = ctx;
    struct io_stream *s = l->stream;

    (void)arg;
    l->room_coming = false;
    if (s != NULL && l->blocked && !l->reset && push(l, s)) {
        l->blocked = false;
        if (l->manners.held) {
            held_done(l, 0);
        } else {
            stream_written(s, 0);
        }
    }
}

struct slice net_input(const struct link *l)
{
    return slice_of(l->up.ptr, l->up_arrived);
}

void net_read(struct link *l, size_t len)
{
    ASSERT(len <= l->up_arrived);
    buf_consume(&l->up, len);
    l->up_arrived -= len;
    l->up_read += len;
    if (l->blocked && !l->room_coming && len > 0) {
        l->room_coming = true;
        world_at(travel(l), WORLD_IN_TICK, l->worker, room, l, 0);
    }
}

uint64_t net_written(const struct link *l, uint64_t end)
{
    for (size_t i = 0; i < l->made_count; i++) {
        if (l->made[i].end >= end) {
            return l->made[i].number;
        }
    }
    return UINT64_MAX;
}

/* ---- server to engine ---- */

static void down_give(struct link *l)
{
    struct io_stream *s = l->stream;

    while (s != NULL && l->down_arrived > 0 && stream_wants_data(s)) {
        size_t len = l->down_arrived < 4096 ? l->down_arrived : 4096;
        char *bytes = mem_dup(l->down.ptr, len); /* of its own: reading beyond it is seen */

        buf_consume(&l->down, len);
        l->down_arrived -= len;
        l->down_told += len;
        if (l->garbage_end > 0 && l->garbage_told == 0 && l->down_told >= l->garbage_end) {
            l->garbage_told = world_number();
        }
        stream_data(s, slice_of(bytes, len));
        mem_free(bytes);
        s = l->stream;
    }
}

static void down_arrives(void *ctx, int64_t len)
{
    struct link *l = ctx;

    if (l->reset) {
        return;
    }
    l->down_arrived += (size_t)len;
    down_give(l);
}

void net_say(struct link *l, struct slice text, int64_t in_us)
{
    size_t len = text.len;

    if (l->server_fin || l->server_gone || len == 0) {
        return;
    }
    buf_puts(&l->down, text);
    l->down_said += len;
    while (len > 0) {
        size_t piece = piece_of(l, len);
        world_at(net_arrives_in(&l->down_free_us, l, in_us), WORLD_IN_TICK, l->worker, down_arrives,
                 l, (int64_t)piece);
        len -= piece;
    }
}

static void down_ends(void *ctx, int64_t arg)
{
    struct link *l = ctx;

    (void)arg;
    if (l->stream != NULL && !l->reset) {
        stream_ended(l->stream, 0);
    }
}

void net_server_fin(struct link *l, int64_t in_us)
{
    if (!l->server_fin && !l->server_gone) {
        l->server_fin = true;
        world_at(net_arrives_in(&l->down_free_us, l, in_us), WORLD_IN_TICK, l->worker, down_ends, l,
                 0);
    }
}

static void reset_arrives(void *ctx, int64_t arg)
{
    struct link *l = ctx;
    struct io_stream *s = l->stream;

    (void)arg;
    if (l->reset) {
        return;
    }
    l->reset = true;
    if (s == NULL || !l->open) {
        return;
    }
    if (l->blocked || (s->inflight > 0 && s->state != STREAM_CONNECTING)) {
        s->inflight = 0;
        l->blocked = false;
        stream_written(s, ERR_CLOSED);
        s = l->stream;
    }
    if (s != NULL) {
        stream_ended(s, ERR_CLOSED);
    }
}

void net_server_reset(struct link *l, int64_t in_us)
{
    l->server_gone = true;
    if (!l->resetting) {
        l->resetting = true;
        /* In order, or before what is still under way, which is lost then. */
        int64_t arrives_us =
            chance(50) ? net_arrives_in(&l->down_free_us, l, in_us) : in_us + l->manners.delay_us;
        world_at(arrives_us, WORLD_IN_TICK, l->worker, reset_arrives, l, 0);
    }
}

void net_stream_read_start(struct io_stream *s)
{
    slot_later(s->io, s->slot, LATER_READ);
}

void net_stream_read_more(struct io_stream *s)
{
    down_give(net_of(s));
}

void net_stream_read_stop(struct io_stream *s)
{
    (void)s;
}
