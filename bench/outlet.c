/*
 * outlet.c - the delay line between a session and its socket.
 */
#include "bench/outlet.h"
#include "engine/base/mem.h"

#include <string.h>

void outlet_init(struct outlet *o)
{
    *o = (struct outlet){0};
}

void outlet_fini(struct outlet *o)
{
    buf_fini(&o->bytes);
    mem_free(o->piece);
    o->piece = NULL;
}

bool outlet_empty(const struct outlet *o)
{
    return o->count == 0;
}

static void make_room(struct outlet *o)
{
    if (o->first > 0) {
        memmove(o->piece, o->piece + o->first, o->count * sizeof(o->piece[0]));
        o->first = 0;
    }
    if (o->count == o->cap) {
        o->cap = o->cap == 0 ? 4 : o->cap * 2;
        o->piece = mem_realloc(o->piece, o->cap * sizeof(o->piece[0]));
    }
}

/* What waited for company has it now. */
static void release_held(struct outlet *o, int64_t due_us)
{
    for (size_t i = o->count; i > 0 && o->piece[o->first + i - 1].held; i--) {
        struct outlet_piece *p = &o->piece[o->first + i - 1];
        p->held = false;
        p->due_us = p->due_us < due_us ? p->due_us : due_us;
    }
}

void outlet_put(struct outlet *o, const struct outlet_piece *piece, struct slice bytes)
{
    if (o->first + o->count == o->cap) {
        make_room(o);
    }
    if (!piece->held) {
        release_held(o, piece->due_us);
    }
    struct outlet_piece *p = &o->piece[o->first + o->count];
    *p = *piece;
    p->len = bytes.len;
    if (o->count > 0 && p->due_us < p[-1].due_us) {
        p->due_us = p[-1].due_us;
    }
    o->count++;
    buf_puts(&o->bytes, bytes);
}

static void drop_first(struct outlet *o)
{
    o->first++;
    o->count--;
    if (o->count == 0) {
        o->first = 0;
    }
}

/* All the bytes that are due, up to a piece of another kind. */
static void take_bytes(struct outlet *o, int64_t now_us, struct buf *out)
{
    size_t len = 0;

    while (o->count > 0 && o->piece[o->first].kind == OUTLET_BYTES &&
           o->piece[o->first].due_us <= now_us) {
        len += o->piece[o->first].len;
        drop_first(o);
    }
    buf_put(out, o->bytes.ptr, len);
    buf_consume(&o->bytes, len);
}

static void take_one(struct outlet *o, int64_t now_us, struct buf *out)
{
    struct outlet_piece *p = &o->piece[o->first];

    if (p->len > 0) {
        buf_putc(out, o->bytes.ptr[0]);
        buf_consume(&o->bytes, 1);
        p->len--;
        p->due_us = now_us + p->gap_us;
    }
    if (p->len == 0) {
        drop_first(o);
    }
}

bool outlet_take(struct outlet *o, int64_t now_us, struct buf *out, enum outlet_kind *kind,
                 int64_t *next_us)
{
    if (o->count == 0 || o->piece[o->first].due_us > now_us) {
        *next_us = o->count > 0 ? o->piece[o->first].due_us : INT64_MAX;
        return false;
    }
    *kind = o->piece[o->first].kind;
    switch (*kind) {
    case OUTLET_BYTES:
        take_bytes(o, now_us, out);
        break;
    case OUTLET_DRIBBLE:
        take_one(o, now_us, out);
        *kind = OUTLET_BYTES;
        break;
    case OUTLET_CLOSE:
    case OUTLET_RESET:
    case OUTLET_STALL:
        break; /* nothing comes behind it */
    }
    return true;
}

/* ---- a session's output ---- */

static void apply_mark(struct outlet *o, struct outlet_piece *style, int64_t due_us,
                       const struct server_mark *m)
{
    struct outlet_piece end = {.due_us = style->due_us};

    switch (m->kind) {
    case SERVER_MARK_DELAY:
        style->due_us += m->value;
        break;
    case SERVER_MARK_HOLD:
        style->held = true;
        style->due_us = due_us + m->value;
        break;
    case SERVER_MARK_DRIBBLE:
        style->kind = OUTLET_DRIBBLE;
        style->gap_us = m->value;
        break;
    case SERVER_MARK_BULK:
        style->kind = OUTLET_BYTES;
        break;
    case SERVER_MARK_PAUSE:
    case SERVER_MARK_TLS:
        break;
    case SERVER_MARK_CLOSE:
    case SERVER_MARK_RESET:
    case SERVER_MARK_STALL:
        end.kind = m->kind == SERVER_MARK_CLOSE   ? OUTLET_CLOSE
                   : m->kind == SERVER_MARK_RESET ? OUTLET_RESET
                                                  : OUTLET_STALL;
        outlet_put(o, &end, SLICE_NONE);
        break;
    }
}

void outlet_put_marked(struct outlet *o, struct slice bytes, const struct server_mark *mark,
                       size_t marks, int64_t due_us)
{
    struct outlet_piece style = {.kind = OUTLET_BYTES, .due_us = due_us};
    size_t at = 0;

    for (size_t i = 0; i <= marks; i++) {
        size_t to = i < marks ? mark[i].offset : bytes.len;
        if (to > at) {
            outlet_put(o, &style, slice_of(bytes.ptr + at, to - at));
            at = to;
            /* One answer is held, not those behind it. */
            if (style.held) {
                style.held = false;
                style.due_us = due_us;
            }
        }
        if (i < marks) {
            apply_mark(o, &style, due_us, &mark[i]);
        }
    }
}
