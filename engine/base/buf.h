/*
 * buf.h - a growable run of bytes.
 *
 * Growing never fails (mem.h); whoever appends what a peer sends checks a limit of his own
 * first.  Appending may move the bytes: a slice into a buf lives until the next append.
 */
#ifndef VOLLEY_BASE_BUF_H
#define VOLLEY_BASE_BUF_H

#include "engine/base/panic.h"
#include "engine/base/slice.h"

#include <stdarg.h>

struct buf {
    char *ptr;
    size_t len;
    size_t cap;
};

#define BUF_EMPTY ((struct buf){NULL, 0, 0})

void buf_init(struct buf *b);
void buf_fini(struct buf *b);                /* frees; the buf is empty and usable again */
void buf_grow(struct buf *b, size_t extra);  /* the slow half of buf_reserve() */
void buf_consume(struct buf *b, size_t len); /* drops len bytes at the front */
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_vprintf(struct buf *b, const char *fmt, va_list args);
void buf_putu(struct buf *b, uint64_t value); /* decimal */
void buf_putd(struct buf *b, int64_t value);  /* decimal */
void buf_terminate(struct buf *b);            /* a NUL behind the bytes, not counted in len */

/* Room for `extra` more bytes at b->ptr + b->len; the caller adds to len what it wrote. */
static inline void buf_reserve(struct buf *b, size_t extra)
{
    if (b->cap - b->len < extra) {
        buf_grow(b, extra);
    }
}

static inline void buf_put(struct buf *b, const void *ptr, size_t len)
{
    if (len > 0) {
        buf_reserve(b, len);
        __builtin_memcpy(b->ptr + b->len, ptr, len);
        b->len += len;
    }
}

static inline void buf_puts(struct buf *b, struct slice s)
{
    buf_put(b, s.ptr, s.len);
}

static inline void buf_putc(struct buf *b, char c)
{
    buf_reserve(b, 1);
    b->ptr[b->len++] = c;
}

#define BUF_LIT(b, literal) buf_put((b), (literal), sizeof(literal) - 1)

static inline struct slice buf_slice(const struct buf *b)
{
    return slice_of(b->ptr, b->len);
}

static inline void buf_reset(struct buf *b)
{
    b->len = 0;
}

#endif
