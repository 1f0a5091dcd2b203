/*
 * walk_cursor.c - where a walk through the queue stands, written down.  Pure.
 *
 * "<partition>.<part>.<major>.<minor>.<skip>.<name>", such as "0.l.17.200.0."; people are only
 * meant to copy it.
 */
#include "engine/base/err.h"
#include "engine/cli/walk.h"

#include <string.h>

static const char parts[] = "ldoh";

void walk_cursor_put(struct buf *out, const struct walk_cursor *c)
{
    ASSERT(c->part < WALK_END);
    buf_printf(out, "%u.%c.%llu.%llu.%llu.%s", c->partition, parts[c->part],
               (unsigned long long)c->major, (unsigned long long)c->minor,
               (unsigned long long)c->skip, c->name);
}

static bool name_valid(struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (c <= ' ' || c > '~') {
            return false;
        }
    }
    return name.len <= WALK_NAME_MAX;
}

int walk_cursor_parse(struct walk_cursor *c, struct slice text)
{
    struct slice word;
    uint64_t number[4] = {0};
    const char *part = NULL;

    *c = (struct walk_cursor){.part = WALK_END};
    for (unsigned i = 0; i < 5; i++) {
        if (!slice_next(&text, '.', &word)) {
            return ERR_INVALID;
        }
        if (i == 1) {
            part = word.len == 1 ? memchr(parts, word.ptr[0], sizeof(parts) - 1) : NULL;
        } else if (slice_u64(word, &number[i > 1 ? i - 1 : 0]) != 0) {
            return ERR_INVALID;
        }
    }
    if (part == NULL || text.ptr == NULL || !name_valid(text) || number[0] > 1023) {
        return ERR_INVALID;
    }
    c->partition = (unsigned)number[0];
    c->part = (enum walk_part)(part - parts);
    c->major = number[1];
    c->minor = number[2];
    c->skip = number[3];
    memcpy(c->name, text.ptr, text.len);
    return 0;
}

struct walk_cursor walk_place(const struct walk_page *page, size_t i)
{
    struct walk_cursor c = page->at;

    *(c.part == WALK_OWNED ? &c.skip : &c.minor) += i;
    return c;
}
