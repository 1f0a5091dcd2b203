/*
 * server.c - a model SMTP server: commands and replies.
 */
#include "tests/sim/server_private.h"

#include "engine/base/mem.h"
#include "engine/base/panic.h"
#include "tests/sim/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_SIM = 2048 };

struct server *server_new(struct link *l, struct sim_host *h, enum fault fault)
{
    struct server *s = mem_zalloc(sizeof(*s));

    s->link = l;
    s->host = h;
    s->fault = fault;
    s->at_command = 1 + (unsigned)draw(12);
    s->at_byte = chance(50) ? draw(400) : draw(4000);
    s->bdat_answers_once = chance(50);
    return s;
}

void server_free(struct server *s)
{
    if (s != NULL) {
        buf_fini(&s->content);
        mem_free(s);
    }
}

/* ---- speaking ---- */

static void go_on(void *ctx, int64_t arg);

void server_leave(struct server *s, bool reset)
{
    s->over = true;
    if (reset) {
        net_server_reset(s->link, 0);
    } else {
        net_server_fin(s->link, 0);
    }
}

/* Says it now, as far as its fault lets it. */
static void say(struct server *s, struct slice text)
{
    struct link *l = s->link;
    enum fault f = s->fault;

    if (f == FAULT_OUT_CLOSE || f == FAULT_OUT_RESET || f == FAULT_OUT_STALL) {
        uint64_t left = s->at_byte > l->down_said ? s->at_byte - l->down_said : 0;
        if (text.len > left) {
            net_say(l, slice_of(text.ptr, (size_t)left), 0);
            if (f == FAULT_OUT_STALL) {
                s->stalled = true;
            } else {
                server_leave(s, f == FAULT_OUT_RESET);
            }
            return;
        }
    }
    trace("link %u < " SLICE_FMT, l->id, (int)slice_trim(text).len, text.ptr);
    net_say(l, text, 0);
}

static void say_later(void *ctx, int64_t arg)
{
    struct server *s = ctx;

    (void)arg;
    s->busy = false;
    if (!s->over) {
        char text[LINE_MAX_SIM];
        size_t len = strlen(s->reply);
        memcpy(text, s->reply, len);
        bool leave = s->leave_after;
        bool reset = s->reset_after;
        say(s, slice_of(text, len));
        if (leave && !s->over) {
            server_leave(s, reset);
        }
        s->again = true;
        if (!s->going) { /* else the loop that asked for the reply goes on */
            go_on(s, 0);
        }
    }
}

void server_reply_in(struct server *s, int64_t in_us, const char *text)
{
    ASSERT(!s->busy);
    snprintf(s->reply, sizeof(s->reply), "%s\r\n", text);
    s->busy = true;
    if (in_us == 0) {
        in_us = s->host->think_us > 0 ? draw_between(0, s->host->think_us) : 0;
    }
    if (in_us > 0) {
        world_at(in_us, WORLD_OUTSIDE, 0, say_later, s, 0);
    } else {
        say_later(s, 0);
    }
}

void server_reply(struct server *s, const char *text)
{
    server_reply_in(s, 0, text);
}

void server_last_reply(struct server *s, const char *text)
{
    s->leave_after = true;
    server_reply(s, text);
}

void server_lie(struct server *s)
{
    oracle_lies(s->link);
}

void server_garble(struct server *s)
{
    static const char *const words[] = {"hello?", "2x0 what", "\x16\x03\x01\x02", "25", "999 no"};

    const char *word = words[draw(5)];

    oracle_garbage(s->link, s->link->down_said + strlen(word) + 2);
    server_reply(s, word);
}

static void door_late(void *ctx, int64_t arg)
{
    struct server *s = ctx;

    (void)arg;
    if (!s->over) {
        server_reply(s, "220 late.hosts.test at last");
    }
}

void server_greet(struct server *s)
{
    char text[80];

    if (s->fault == FAULT_DOOR_554) {
        server_last_reply(s, "554 5.7.1 not you");
    } else if (s->fault == FAULT_DOOR_421) {
        server_last_reply(s, "421 4.3.2 too busy");
    } else if (s->fault == FAULT_DOOR_NEVER) {
        s->stalled = true;
    } else if (s->fault == FAULT_DOOR_LATE) {
        world_at(draw_between(1, 400) * 1000000, WORLD_OUTSIDE, 0, door_late, s, 0);
    } else if (s->fault == FAULT_DOOR_GARBAGE) {
        server_garble(s);
    } else if (s->fault == FAULT_DOOR_CLOSE || s->fault == FAULT_DOOR_RESET) {
        server_leave(s, s->fault == FAULT_DOOR_RESET);
    } else {
        snprintf(text, sizeof(text), "220 %s ESMTP", s->host->name);
        server_reply(s, text);
    }
}

/* ---- commands ---- */

static void clear_envelope(struct server *s)
{
    s->mail = false;
    s->rcpt_count = 0;
    s->rcpts_named = 0;
}

static void do_ehlo(struct server *s)
{
    unsigned ext = s->host->ext;
    char text[400], *at = text;
    const char *const end = text + sizeof(text);

    clear_envelope(s);
    if (s->fault == FAULT_EHLO_500) {
        server_reply(s, "500 what is that");
        return;
    }
    if (s->fault == FAULT_EHLO_421) {
        server_last_reply(s, "421 not now");
        return;
    }
    if (s->fault == FAULT_EHLO_CLOSE) {
        server_leave(s, chance(50));
        return;
    }
    s->greeted = true;
    at += snprintf(at, (size_t)(end - at), "250-%s at your service\r\n", s->host->name);
    if ((ext & EXT_PIPELINING) != 0) {
        at += snprintf(at, (size_t)(end - at), "250-PIPELINING\r\n");
    }
    if ((ext & EXT_CHUNKING) != 0) {
        at += snprintf(at, (size_t)(end - at), "250-CHUNKING\r\n");
    }
    if ((ext & EXT_8BITMIME) != 0) {
        at += snprintf(at, (size_t)(end - at), "250-8BITMIME\r\n");
    }
    if ((ext & EXT_SIZE) != 0) {
        at += snprintf(at, (size_t)(end - at), "250-SIZE 40000000\r\n");
    }
    if ((ext & EXT_ENHANCED) != 0) {
        at += snprintf(at, (size_t)(end - at), "250-ENHANCEDSTATUSCODES\r\n");
    }
    if ((ext & EXT_DSN) != 0) {
        at += snprintf(at, (size_t)(end - at), "250-DSN\r\n");
    }
    if ((ext & EXT_STARTTLS) != 0) {
        at += snprintf(at, (size_t)(end - at), "250-STARTTLS\r\n");
    }
    if ((ext & EXT_LIMITS) != 0 && s->host->rcpt_max > 0) {
        at += snprintf(at, (size_t)(end - at), "250-LIMITS RCPTMAX=%u\r\n", s->host->rcpt_max);
    }
    snprintf(at, (size_t)(end - at), "250 HELP");
    server_reply(s, text);
}

static void do_helo(struct server *s)
{
    clear_envelope(s);
    s->greeted = true;
    server_reply(s, "250 hello");
}

static void do_starttls(struct server *s)
{
    if ((s->host->ext & EXT_STARTTLS) == 0) {
        server_protest(s, "STARTTLS that was not offered");
        server_reply(s, "502 no");
    } else if (s->fault == FAULT_STARTTLS_454 || s->fault == FAULT_NONE) {
        server_reply(s, "454 4.7.0 TLS is not to be had");
    } else if (s->fault == FAULT_STARTTLS_CLOSE) {
        server_last_reply(s, "220 go");
    } else {
        /* Whatever comes now is a handshake, and what we say is none. */
        s->deaf = true;
        server_reply(s, "220 go\r\nthis is no TLS");
    }
}

static void do_mail(struct server *s)
{
    if (s->mail) {
        server_protest(s, "MAIL inside a transaction");
        server_reply(s, "503 5.5.1 nested");
        return;
    }
    clear_envelope(s);
    s->mail = true;
    server_reply(s, "250 2.1.0 sender ok");
}

/* What every server says of him; true when he is taken. */
static bool judge_rcpt(struct server *s, struct rcpt *r)
{
    r->asked++;
    if (s->host->rcpt_max > 0 && s->rcpt_count >= s->host->rcpt_max) {
        server_reply(s, "452 4.5.3 too many recipients");
        return false;
    }
    if (r->fate == FATE_BAD) {
        server_reply(s, "550 5.1.1 no such mailbox");
        return false;
    }
    if (r->fate == FATE_GREY && r->asked <= r->patience) {
        server_reply(s, "450 4.2.0 greylisted, come again");
        return false;
    }
    if (r->fate == FATE_FULL && r->asked <= r->patience) {
        server_reply(s, "452 4.2.2 mailbox full");
        return false;
    }
    return true;
}

static void do_rcpt(struct server *s, struct slice line)
{
    struct slice address = slice_from(line, slice_find(line, '<') + 1);

    address = slice_of(address.ptr, slice_find(address, '>'));
    struct rcpt *r = people_by_address(address);
    if (r == NULL) {
        server_protest(s, "a recipient whom nobody knows");
        server_reply(s, "550 5.1.1 who");
    } else if (!s->mail) {
        server_reply(s, "503 5.5.1 MAIL first");
    } else if (s->rcpt_count == SERVER_RCPTS_MAX) {
        server_reply(s, "452 4.5.3 too many recipients");
    } else if (judge_rcpt(s, r)) {
        s->rcpts[s->rcpt_count++] = r;
        server_reply(s, "250 2.1.5 recipient ok");
    }
}

static void do_data(struct server *s)
{
    if (!s->mail) {
        server_reply(s, "503 5.5.1 MAIL first");
    } else if (s->rcpt_count == 0) {
        server_reply(s, "554 5.5.1 no valid recipients");
    } else {
        s->in = SERVER_DATA;
        s->scanned = 0;
        buf_reset(&s->content);
        server_reply(s, "354 go ahead");
    }
}

static void do_bdat(struct server *s, struct slice line)
{
    char *end;
    unsigned long size = strtoul(line.ptr + 5, &end, 10);

    if ((s->host->ext & EXT_CHUNKING) == 0) {
        server_protest(s, "BDAT that was not offered");
    }
    s->chunk_left = size;
    s->chunk_last = strncmp(end, " LAST", 5) == 0;
    s->chunk_refused = !s->mail || s->rcpt_count == 0;
    s->in = SERVER_CHUNK;
    if (!s->chunking) {
        buf_reset(&s->content);
    }
    s->chunking = true;
    if (s->fault == FAULT_BDAT_500) {
        s->in = SERVER_COMMANDS;
        s->chunking = false;
        if (chance(50)) { /* and takes the content for commands */
            s->deaf = true;
            oracle_garbage(s->link, s->link->down_said + 1);
        }
        server_last_reply(s, "500 5.5.2 BDAT?");
    }
}

static void do_command(struct server *s, struct slice line)
{
    trace("link %u > " SLICE_FMT, s->link->id, SLICE_ARG(line));
    s->commands++;
    if (server_command_fault(s, line)) {
        return;
    }
    if (slice_istarts(line, SLICE("EHLO "))) {
        do_ehlo(s);
    } else if (slice_istarts(line, SLICE("HELO "))) {
        do_helo(s);
    } else if (slice_istarts(line, SLICE("MAIL FROM:<"))) {
        do_mail(s);
    } else if (slice_istarts(line, SLICE("RCPT TO:<"))) {
        do_rcpt(s, line);
    } else if (slice_ieq(line, SLICE("DATA"))) {
        do_data(s);
    } else if (slice_istarts(line, SLICE("BDAT "))) {
        do_bdat(s, line);
    } else if (slice_ieq(line, SLICE("RSET"))) {
        clear_envelope(s);
        s->chunking = false;
        server_reply(s, "250 2.0.0 forgotten");
    } else if (slice_ieq(line, SLICE("NOOP"))) {
        server_reply(s, "250 2.0.0 ok");
    } else if (slice_ieq(line, SLICE("STARTTLS"))) {
        do_starttls(s);
    } else if (slice_ieq(line, SLICE("QUIT"))) {
        server_last_reply(s, "221 2.0.0 bye");
    } else {
        server_protest(s, "a command that is none");
        server_reply(s, "500 5.5.2 what");
    }
    s->chunking = s->chunking && s->in == SERVER_CHUNK;
}

void server_end_transaction(struct server *s)
{
    s->in = SERVER_COMMANDS;
    s->chunking = false;
    s->transactions++;
    clear_envelope(s);
}

/* One line, or as much content as is there.  False when more has to come. */
static bool step(struct server *s)
{
    struct slice input = net_input(s->link);

    if (s->in == SERVER_DATA) {
        return server_take_data(s, input);
    }
    if (s->in == SERVER_CHUNK) {
        return server_take_chunk(s, input);
    }
    const char *end = input.len > 0 ? memchr(input.ptr, '\n', input.len) : NULL;
    if (end == NULL) {
        return false;
    }
    char line[LINE_MAX_SIM];
    size_t len = (size_t)(end - input.ptr) + 1;
    size_t kept = len < sizeof(line) ? len : sizeof(line) - 1;
    memcpy(line, input.ptr, kept);
    line[kept] = '\0';
    net_read(s->link, len);
    do_command(s, slice_trim(slice_of(line, kept)));
    return true;
}

static void read_all(struct server *s)
{
    net_read(s->link, net_input(s->link).len);
}

static void go_on(void *ctx, int64_t arg)
{
    struct server *s = ctx;

    (void)arg;
    s->going = true;
    while (!s->over && !s->busy && !s->stalled) {
        if (s->deaf) {
            read_all(s);
            break;
        }
        if (server_byte_fault(s) || (!step(s) && !s->again)) {
            break;
        }
        s->again = false;
    }
    s->going = false;
    if (s->over) {
        read_all(s);
    } else if (s->eof && !s->busy && !s->stalled && net_input(s->link).len == 0) {
        server_leave(s, false);
    }
}

void server_input(struct server *s)
{
    if (s->stopped_us > 0 && world.now_us < s->stopped_us) {
        return;
    }
    go_on(s, 0);
}

void server_resume(struct server *s, int64_t in_us)
{
    world_at(in_us, WORLD_OUTSIDE, 0, go_on, s, 0);
}

void server_eof(struct server *s)
{
    s->eof = true;
    if (!s->over) {
        go_on(s, 0);
    }
}

void server_protest(struct server *s, const char *what)
{
    if (!s->link->lying && !s->struck) {
        world_fail("link %u: the engine sent %s", s->link->id, what);
    }
}
