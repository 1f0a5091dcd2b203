/*
 * dotstuff.c - the transparency of RFC 5321 4.5.2.
 */
#include "engine/base/dotstuff.h"

#include <string.h>

static bool starts_line(char before)
{
    return before == '\n' || before == '\r';
}

void dotstuff_put(struct dotstuff *d, struct buf *out, struct slice chunk)
{
    size_t copied = 0;

    if (chunk.len == 0) {
        return;
    }
    buf_reserve(out, chunk.len);
    for (size_t at = 0; at < chunk.len; at++) {
        const char *dot = memchr(chunk.ptr + at, '.', chunk.len - at);
        if (dot == NULL) {
            break;
        }
        at = (size_t)(dot - chunk.ptr);
        if (starts_line(at > 0 ? dot[-1] : d->last)) {
            buf_put(out, chunk.ptr + copied, at - copied);
            buf_putc(out, '.');
            copied = at;
        }
    }
    buf_put(out, chunk.ptr + copied, chunk.len - copied);
    d->before = chunk.len > 1 ? chunk.ptr[chunk.len - 2] : d->last;
    d->last = chunk.ptr[chunk.len - 1];
}

void dotstuff_end(struct dotstuff *d, struct buf *out)
{
    if (d->before != '\r' || d->last != '\n') {
        BUF_LIT(out, "\r\n");
    }
    BUF_LIT(out, ".\r\n");
    *d = DOTSTUFF_START;
}

void dotstuff_whole(struct buf *out, struct slice content)
{
    struct dotstuff d = DOTSTUFF_START;

    dotstuff_put(&d, out, content);
    dotstuff_end(&d, out);
}
