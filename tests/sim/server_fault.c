/*
 * server_fault.c - a model SMTP server: what goes wrong.
 */
#include "tests/sim/server_private.h"

#include "tests/sim/world.h"

enum { US_PER_S = 1000000 };

static void resume(void *ctx, int64_t arg)
{
    struct server *s = ctx;

    (void)arg;
    s->stalled = false;
    server_resume(s, 0);
}

/* For ever, or for a while. */
static void stall(struct server *s)
{
    s->stalled = true;
    if (chance(50)) {
        world_at(draw_between(1, 900) * US_PER_S, WORLD_OUTSIDE, 0, resume, s, 0);
    }
}

static void extra(struct server *s)
{
    static const char *const words[] = {"250 2.0.0 and again", "354 go", "550 5.0.0 and no",
                                        "421 4.0.0 bye", "220 hello again"};

    server_lie(s);
    net_say(s->link, slice_cstr(words[draw(5)]), 0);
    net_say(s->link, SLICE("\r\n"), 0);
}

bool server_command_fault(struct server *s, struct slice line)
{
    enum fault f = s->fault;

    if (s->commands != s->at_command || s->struck) {
        return false;
    }
    s->struck = true;
    if (f >= FAULT_COMMAND_421_STAY && f <= FAULT_COMMAND_LATE &&
        slice_istarts(line, SLICE("BDAT "))) {
        /* It takes the content for commands, and the next BDAT for what it is: no client can
         * know. */
        server_lie(s);
    }
    if (f == FAULT_COMMAND_421) {
        server_last_reply(s, "421 4.3.2 closing");
    } else if (f == FAULT_COMMAND_421_STAY) {
        /* It goes on to take letters, which were written behind this command: RFC 5321 3.8 has it
         * close, and a client counts on that. */
        server_lie(s);
        s->deaf = chance(50);
        server_reply(s, "421 4.3.2 closing, soon");
    } else if (f == FAULT_COMMAND_451) {
        server_reply(s, "451 4.3.0 not now");
    } else if (f == FAULT_COMMAND_500) {
        server_reply(s, "500 5.5.2 what");
    } else if (f == FAULT_COMMAND_GARBAGE) {
        server_garble(s);
    } else if (f == FAULT_COMMAND_LATE) {
        server_reply_in(s, draw_between(1, 900) * US_PER_S, "451 4.3.0 slow today");
    } else if (f == FAULT_COMMAND_CLOSE) {
        server_leave(s, chance(50));
    } else if (f == FAULT_COMMAND_MISSING) {
        server_lie(s);
    } else if (f == FAULT_COMMAND_EXTRA) {
        extra(s);
        return false;
    } else {
        return false;
    }
    return true;
}

bool server_byte_fault(struct server *s)
{
    enum fault f = s->fault;

    if ((f != FAULT_IN_CLOSE && f != FAULT_IN_RESET && f != FAULT_IN_STALL) || s->struck ||
        s->link->up_read + net_input(s->link).len < s->at_byte) {
        return false;
    }
    s->struck = true;
    if (f == FAULT_IN_STALL) {
        stall(s);
    } else {
        server_leave(s, f == FAULT_IN_RESET);
    }
    return true;
}

static void body_reply(struct server *s, const char *text)
{
    s->in = SERVER_COMMANDS;
    if (chance(50)) {
        s->deaf = true;
        server_reply(s, text);
    } else {
        server_last_reply(s, text);
    }
}

bool server_body_due(const struct server *s)
{
    return !s->struck && s->content.len >= s->at_byte && s->fault >= FAULT_BODY_552 &&
           s->fault <= FAULT_BODY_STALL;
}

bool server_body_fault(struct server *s)
{
    enum fault f = s->fault;

    s->struck = true;
    if (f == FAULT_BODY_552) {
        body_reply(s, "552 5.3.4 too much");
    } else if (f == FAULT_BODY_451) {
        body_reply(s, "451 4.3.0 trouble");
    } else if (f == FAULT_BODY_421) {
        server_last_reply(s, "421 4.3.2 closing");
    } else if (f == FAULT_BODY_250) {
        server_lie(s);
        body_reply(s, "250 2.0.0 enough");
    } else if (f == FAULT_BODY_STALL) {
        stall(s);
    } else {
        s->struck = false;
        return false;
    }
    return true;
}

static void idle_fires(void *ctx, int64_t arg)
{
    struct server *s = ctx;

    (void)arg;
    if (s->over || s->busy || s->mail || s->in != SERVER_COMMANDS || net_input(s->link).len > 0) {
        return;
    }
    if (s->fault == FAULT_IDLE_421) {
        server_last_reply(s, "421 4.4.2 idle too long");
    } else {
        server_leave(s, s->fault == FAULT_IDLE_RESET);
    }
}

bool server_end_fault(struct server *s, uint64_t written)
{
    enum fault f = s->fault;

    if (f >= FAULT_IDLE_421) {
        world_at(draw_between(0, 3 * US_PER_S), WORLD_OUTSIDE, 0, idle_fires, s, 0);
        return false;
    }
    if (s->struck || s->transactions != s->at_command % 4) {
        return false;
    }
    s->struck = true;
    if (f == FAULT_END_LATE) {
        server_take(s, written);
        server_reply_in(s, draw_between(1, 1500) * US_PER_S, "250 2.0.0 queued at last");
    } else if (f == FAULT_END_NEVER) {
        if (chance(50)) {
            server_take(s, written);
        }
        s->stalled = true;
    } else if (f == FAULT_END_TAKEN_RESET || f == FAULT_END_TAKEN_CLOSE) {
        server_take(s, written);
        server_leave(s, f == FAULT_END_TAKEN_RESET);
    } else if (f == FAULT_END_TAKEN_GARBAGE) {
        server_take(s, written);
        server_garble(s);
    } else if (f == FAULT_END_TAKEN_421) {
        server_take(s, written);
        server_last_reply(s, "250 2.0.0 queued\r\n421 4.3.2 and good night");
    } else if (f == FAULT_END_451) {
        server_reply(s, "451 4.3.0 not now");
    } else if (f == FAULT_END_554) {
        server_reply(s, "554 5.7.1 not that");
    } else if (f == FAULT_END_421) {
        server_last_reply(s, "421 4.3.2 not now");
    } else {
        s->struck = false;
        return false;
    }
    return true;
}
