/*
 * magic.c - recipients that make the sink refuse, wait or hang up.
 */
#include "bench/magic.h"
#include "engine/base/units.h"

#include <string.h>

enum { SLOW_US = 5000000 };

const struct args_pair magic_help[] = {
    {"full@", "452 4.2.2, the mailbox is full."},
    {"tempfail@", "451 4.3.0."},
    {"permfail@", "550 5.1.1, no such user."},
    {"greylist@", "451 4.7.1 the first time for this sender and recipient, then accepted."},
    {"4xx-...@, 5xx-...@", "That code at RCPT: 450-a@, 550-5.7.1-b@; 421- closes."},
    {"dot-4xx-...@", "That code at the end of the message."},
    {"slow@, slow-2s@", "The answer to RCPT comes late (5s)."},
    {"close@, reset@", "The connection ends at RCPT."},
    {"stall@", "No answer any more."},
    {0},
};

void magic_init(struct magic *m, struct ids *greylist)
{
    m->greylist = greylist;
    buf_init(&m->text);
}

void magic_fini(struct magic *m)
{
    buf_fini(&m->text);
}

/* "full", "full-17", "full+a", but not "fuller" and not "full.moon". */
static bool named(struct slice local, struct slice name)
{
    return slice_istarts(local, name) &&
           (local.len == name.len || local.ptr[name.len] == '-' || local.ptr[name.len] == '+');
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "550-5.7.1-x" or "450-x": a verdict with that code. */
static bool by_code(struct magic *m, struct slice local, struct server_verdict *v)
{
    if (local.len < 4 || (local.ptr[0] != '4' && local.ptr[0] != '5') || !digit(local.ptr[1]) ||
        !digit(local.ptr[2]) || local.ptr[3] != '-') {
        return false;
    }
    struct slice rest = slice_from(local, 4), enhanced;
    enhanced = slice_of(rest.ptr, slice_find(rest, '-'));
    bool given = enhanced.len >= 5 && enhanced.ptr[0] == local.ptr[0] && enhanced.ptr[1] == '.' &&
                 slice_find(slice_from(enhanced, 2), '.') < enhanced.len - 2;
    for (size_t i = 0; i < enhanced.len; i++) {
        given = given && (digit(enhanced.ptr[i]) || enhanced.ptr[i] == '.');
    }
    buf_reset(&m->text);
    buf_put(&m->text, local.ptr, 3);
    buf_putc(&m->text, ' ');
    if (given) {
        buf_puts(&m->text, enhanced);
    } else {
        buf_putc(&m->text, local.ptr[0]);
        BUF_LIT(&m->text, ".0.0");
    }
    BUF_LIT(&m->text, " As the recipient's name asks");
    v->reply = buf_slice(&m->text);
    v->then = slice_starts(local, SLICE("421-")) ? SERVER_THEN_CLOSE : SERVER_THEN_GO_ON;
    return true;
}

static bool seen_before(struct magic *m, const struct server *s, struct slice to)
{
    buf_reset(&m->text);
    buf_puts(&m->text, server_sender(s));
    buf_putc(&m->text, ' ');
    buf_puts(&m->text, to);
    return ids_add(m->greylist, buf_slice(&m->text)) > 1;
}

static int64_t slowness(struct slice local)
{
    int64_t us;

    return local.len > 5 && units_duration(slice_from(local, 5), &us) == 0 ? us : SLOW_US;
}

static bool end_with(struct server_verdict *v, enum server_then then)
{
    v->mute = true;
    v->then = then;
    return true;
}

static bool at_rcpt(struct magic *m, const struct server *s, struct slice local, struct slice to,
                    struct server_verdict *v)
{
    static const struct {
        struct slice name, reply;
    } rows[] = {
        {SLICE("full"), SLICE("452 4.2.2 Mailbox full")},
        {SLICE("tempfail"), SLICE("451 4.3.0 Temporary failure")},
        {SLICE("permfail"), SLICE("550 5.1.1 No such user")},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (named(local, rows[i].name)) {
            v->reply = rows[i].reply;
            return true;
        }
    }
    if (named(local, SLICE("greylist"))) {
        v->reply = SLICE("451 4.7.1 Greylisted, try again in 1 second");
        return !seen_before(m, s, to);
    }
    if (named(local, SLICE("slow"))) {
        v->delay_us = slowness(local);
        return true;
    }
    if (named(local, SLICE("close"))) {
        return end_with(v, SERVER_THEN_CLOSE);
    }
    if (named(local, SLICE("reset"))) {
        return end_with(v, SERVER_THEN_RESET);
    }
    if (named(local, SLICE("stall"))) {
        return end_with(v, SERVER_THEN_STALL);
    }
    return by_code(m, local, v);
}

static bool at_dot(struct magic *m, const struct server *s, struct server_verdict *v)
{
    struct slice to;
    size_t at = 0;

    while (server_rcpt_next(s, &at, &to)) {
        if (to.len > 8 && (to.ptr[0] | 0x20) == 'd' && slice_istarts(to, SLICE("dot-"))) {
            to.len = slice_find(to, '@');
            return by_code(m, slice_from(to, 4), v);
        }
    }
    return false;
}

bool magic_decide(struct magic *m, const struct server *s, enum server_verb verb, struct slice to,
                  struct server_verdict *verdict)
{
    if (verb == SERVER_DOT) {
        return at_dot(m, s, verdict);
    }
    /* Ordinary recipients, the many, leave at the first letter. */
    if (verb != SERVER_RCPT || to.len == 0 || memchr("ftpgscr45", to.ptr[0] | 0x20, 9) == NULL) {
        return false;
    }
    return at_rcpt(m, s, slice_of(to.ptr, slice_find(to, '@')), to, verdict);
}
