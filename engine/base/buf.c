/*
 * buf.c - a growable run of bytes.
 */
#include "engine/base/buf.h"
#include "engine/base/mem.h"

#include <stdio.h>
#include <string.h>

enum { BUF_CAP_MIN = 64 };

void buf_init(struct buf *b)
{
    *b = BUF_EMPTY;
}

void buf_fini(struct buf *b)
{
    mem_free(b->ptr);
    *b = BUF_EMPTY;
}

void buf_grow(struct buf *b, size_t extra)
{
    size_t need, cap = b->cap > 0 ? b->cap : BUF_CAP_MIN;

    if (__builtin_add_overflow(b->len, extra, &need)) {
        PANIC("buffer of %zu bytes asked to grow by %zu", b->len, extra);
    }
    while (cap < need) {
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    }
    b->ptr = mem_realloc(b->ptr, cap);
    b->cap = cap;
}

void buf_consume(struct buf *b, size_t len)
{
    ASSERT(len <= b->len);
    b->len -= len;
    if (b->len > 0 && len > 0) {
        memmove(b->ptr, b->ptr + len, b->len);
    }
}

void buf_vprintf(struct buf *b, const char *fmt, va_list args)
{
    va_list again;

    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    ASSERT(len >= 0);
    buf_reserve(b, (size_t)len + 1);
    vsnprintf(b->ptr + b->len, (size_t)len + 1, fmt, again);
    b->len += (size_t)len;
    va_end(again);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    buf_vprintf(b, fmt, args);
    va_end(args);
}

void buf_putu(struct buf *b, uint64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    buf_put(b, digits + at, sizeof(digits) - at);
}

void buf_putd(struct buf *b, int64_t value)
{
    uint64_t magnitude = (uint64_t)value;

    if (value < 0) {
        buf_putc(b, '-');
        magnitude = 0 - magnitude;
    }
    buf_putu(b, magnitude);
}

void buf_terminate(struct buf *b)
{
    buf_reserve(b, 1);
    b->ptr[b->len] = '\0';
}
