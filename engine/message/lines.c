/*
 * lines.c - line ends, line lengths and dots.
 */
#include "engine/message/lines.h"

#include <string.h>

static size_t next_break(struct slice text)
{
    size_t lf = slice_find(text, '\n');

    return slice_find(slice_of(text.ptr, lf), '\r');
}

void lines_normalise(struct buf *out, struct slice text)
{
    buf_reserve(out, text.len + text.len / 32);
    while (text.len > 0) {
        size_t at = next_break(text);
        buf_put(out, text.ptr, at);
        if (at == text.len) {
            return;
        }
        BUF_LIT(out, "\r\n");
        bool pair = text.ptr[at] == '\r' && at + 1 < text.len && text.ptr[at + 1] == '\n';
        text = slice_from(text, at + (pair ? 2 : 1));
    }
}

size_t lines_count(struct slice text)
{
    size_t count = 0;

    for (size_t at = slice_find(text, '\n'); at < text.len; at = slice_find(text, '\n')) {
        count++;
        text = slice_from(text, at + 1);
    }
    return count;
}

bool lines_next(struct slice *rest, struct slice *line)
{
    if (rest->len == 0) {
        return false;
    }
    size_t lf = slice_find(*rest, '\n');

    *line = slice_of(rest->ptr, lf < rest->len ? lf + 1 : lf);
    *rest = slice_from(*rest, line->len);
    return true;
}

struct slice lines_bare(struct slice line)
{
    if (line.len >= 2 && line.ptr[line.len - 1] == '\n') {
        line.len -= 2;
    }
    return line;
}

size_t lines_longest(struct slice text)
{
    struct slice line;
    size_t longest = 0;

    while (lines_next(&text, &line)) {
        size_t len = lines_bare(line).len;
        longest = len > longest ? len : longest;
    }
    return longest;
}

bool lines_have_dot(struct slice text, bool at_start)
{
    if (text.len > 0 && at_start && text.ptr[0] == '.') {
        return true;
    }
    return text.len >= 3 && memmem(text.ptr, text.len, "\r\n.", 3) != NULL;
}

void lines_stuff(struct buf *out, struct slice text, bool at_start)
{
    struct slice line;

    buf_reserve(out, text.len + 64);
    while (lines_next(&text, &line)) {
        if (at_start && line.ptr[0] == '.') {
            buf_putc(out, '.');
        }
        buf_puts(out, line);
        at_start = true; /* every line but the first begins one */
    }
}
