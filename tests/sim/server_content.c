/*
 * server_content.c - a model SMTP server: content, and what is taken.
 */
#include "tests/sim/server_private.h"

#include "tests/sim/world.h"

#include <string.h>

void server_take(struct server *s, uint64_t written)
{
    for (unsigned i = 0; i < s->rcpt_count; i++) {
        trace("link %u: took the letter for %s", s->link->id, s->rcpts[i]->to);
        oracle_taken(s->rcpts[i], s->link, written);
    }
}

static void compare(struct server *s)
{
    for (unsigned i = 0; i < s->rcpt_count && !s->link->lying; i++) {
        if (!letter_matches(s->rcpts[i], buf_slice(&s->content))) {
            trace("content: " SLICE_FMT, SLICE_ARG(buf_slice(&s->content)));
            world_fail("link %u: %s got other content than was submitted", s->link->id,
                       s->rcpts[i]->to);
        }
    }
}

/* Everything is here; its last byte was written then. */
static void content_ends(struct server *s, uint64_t written)
{
    bool spam = s->rcpt_count == 1 && s->rcpts[0]->fate == FATE_SPAM;

    compare(s);
    if (!server_end_fault(s, written)) {
        if (spam) {
            server_reply(s, "554 5.7.1 spam");
        } else {
            server_take(s, written);
            server_reply(s, "250 2.0.0 queued");
        }
    }
    server_end_transaction(s);
}

bool server_take_data(struct server *s, struct slice input)
{
    size_t at = 0;

    while (at < input.len) {
        const char *end = memchr(input.ptr + at, '\n', input.len - at);
        if (end == NULL) {
            break;
        }
        struct slice line = slice_of(input.ptr + at, (size_t)(end - input.ptr) + 1 - at);
        at += line.len;
        if (slice_eq(line, SLICE(".\r\n"))) {
            uint64_t written = net_written(s->link, s->link->up_read + at);
            net_read(s->link, at);
            content_ends(s, written);
            return true;
        }
        buf_puts(&s->content, line.ptr[0] == '.' ? slice_from(line, 1) : line);
        if (server_body_due(s)) {
            net_read(s->link, at);
            server_body_fault(s);
            return false;
        }
    }
    net_read(s->link, at);
    return false;
}

bool server_take_chunk(struct server *s, struct slice input)
{
    size_t len = input.len < s->chunk_left ? input.len : (size_t)s->chunk_left;

    if (len == 0 && s->chunk_left > 0) {
        return false;
    }
    buf_put(&s->content, input.ptr, len);
    uint64_t written = net_written(s->link, s->link->up_read + len);
    net_read(s->link, len);
    s->chunk_left -= len;
    if (server_body_due(s) && server_body_fault(s)) {
        return false;
    }
    if (s->chunk_left > 0) {
        return false;
    }
    s->in = SERVER_COMMANDS;
    if (s->chunk_refused) {
        server_end_transaction(s);
        server_reply(s, "503 5.5.1 no valid recipients");
    } else if (s->chunk_last) {
        content_ends(s, written);
    } else {
        server_reply(s, "250 2.0.0 more");
    }
    return true;
}
