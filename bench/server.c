/*
 * server.c - one receiving SMTP session: input by lines and bodies, answers, marks.
 */
#include "bench/server.h"
#include "bench/server_impl.h"
#include "engine/base/mem.h"

#include <string.h>

enum { CONTENT_KEPT_MAX = 64 * 1024 }; /* a larger buffer is not kept for the next message */

const char *server_verb_name(enum server_verb verb)
{
    static const char *const names[SERVER_VERBS] = {
        [SERVER_CONNECT] = "connect",   [SERVER_EHLO] = "ehlo", [SERVER_HELO] = "helo",
        [SERVER_STARTTLS] = "starttls", [SERVER_MAIL] = "mail", [SERVER_RCPT] = "rcpt",
        [SERVER_DATA] = "data",         [SERVER_BDAT] = "bdat", [SERVER_BODY] = "body",
        [SERVER_DOT] = "dot",           [SERVER_RSET] = "rset", [SERVER_NOOP] = "noop",
        [SERVER_VRFY] = "vrfy",         [SERVER_QUIT] = "quit", [SERVER_OTHER] = "other",
    };

    ASSERT(verb < SERVER_VERBS);
    return names[verb];
}

void server_init(struct server *s, const struct server_options *options,
                 const struct server_hooks *hooks, void *ctx, struct sink_stats *stats,
                 uint64_t connection)
{
    *s = (struct server){
        .options = options, .hooks = hooks, .ctx = ctx, .stats = stats, .connection = connection};
}

void server_fini(struct server *s)
{
    server_reset_transaction(s);
    buf_fini(&s->out);
    buf_fini(&s->line);
    buf_fini(&s->envelope);
    buf_fini(&s->content);
    mem_free(s->mark);
    s->mark = NULL;
}

/* ---- answers ---- */

void server_mark(struct server *s, enum server_mark_kind kind, int64_t value)
{
    if (s->marks == s->marks_cap) {
        s->marks_cap = s->marks_cap == 0 ? 4 : s->marks_cap * 2;
        s->mark = mem_realloc(s->mark, s->marks_cap * sizeof(s->mark[0]));
    }
    s->mark[s->marks++] = (struct server_mark){kind, s->out.len, value};
}

/* Where refusals of a verb are counted; STAT_COUNT: nowhere. */
static enum sink_stat rejected_at(enum server_verb verb)
{
    static const enum sink_stat at[SERVER_VERBS] = {
        [SERVER_CONNECT] = STAT_REJECTED_CONNECT,
        [SERVER_EHLO] = STAT_REJECTED_EHLO,
        [SERVER_HELO] = STAT_REJECTED_EHLO,
        [SERVER_STARTTLS] = STAT_REJECTED_STARTTLS,
        [SERVER_MAIL] = STAT_REJECTED_MAIL,
        [SERVER_RCPT] = STAT_REJECTED_RCPT,
        [SERVER_DATA] = STAT_REJECTED_DATA,
        [SERVER_BDAT] = STAT_REJECTED_DATA,
        [SERVER_BODY] = STAT_REJECTED_MESSAGE,
        [SERVER_DOT] = STAT_REJECTED_MESSAGE,
        [SERVER_RSET] = STAT_COUNT,
        [SERVER_NOOP] = STAT_COUNT,
        [SERVER_VRFY] = STAT_COUNT,
        [SERVER_QUIT] = STAT_COUNT,
        [SERVER_OTHER] = STAT_COUNT,
    };

    return at[verb];
}

/* One line of an answer; the enhanced code (RFC 2034) is left out where it is not offered. */
static void put_line(struct server *s, struct slice line)
{
    if (!s->options->enhanced && line.len > 6 && line.ptr[5] == '.') {
        struct slice text = slice_from(line, 4);
        buf_put(&s->out, line.ptr, 4);
        buf_puts(&s->out, slice_from(text, slice_find(text, ' ') + 1));
    } else {
        buf_puts(&s->out, line);
    }
    BUF_LIT(&s->out, "\r\n");
}

/* "250-one" for all lines but the last.  Lines behind the first may have the code or not. */
static void put_lines(struct server *s, struct slice lines)
{
    struct slice code = slice_of(lines.ptr, lines.len < 3 ? lines.len : 3), line;
    bool first = true;

    while (slice_next(&lines, '\n', &line)) {
        if (first || (slice_starts(line, code) && line.len > 3)) {
            line = slice_from(line, 4);
        }
        buf_puts(&s->out, code);
        buf_putc(&s->out, lines.ptr != NULL ? '-' : ' ');
        buf_puts(&s->out, line);
        BUF_LIT(&s->out, "\r\n");
        first = false;
    }
}

static int reply_class(struct slice reply)
{
    return reply.len > 0 && reply.ptr[0] >= '2' && reply.ptr[0] <= '5' ? reply.ptr[0] - '0' : 0;
}

int server_say(struct server *s, enum server_verb verb, struct slice reply)
{
    int class = reply_class(reply);

    put_line(s, reply);
    if (class >= 4 && rejected_at(verb) != STAT_COUNT) {
        sink_stats_inc(s->stats, rejected_at(verb));
    }
    return class;
}

bool server_ask(struct server *s, enum server_verb verb, struct slice to, int64_t now_us,
                struct server_verdict *verdict)
{
    if (s->hooks == NULL || (s->hooks->verbs & 1u << verb) == 0) {
        return false;
    }
    *verdict = (struct server_verdict){0};
    if (!s->hooks->decide(s->ctx, s, verb, to, now_us, verdict)) {
        return false;
    }
    sink_stats_inc(s->stats, STAT_FAULTS);
    return true;
}

static void apply_then(struct server *s, enum server_then then)
{
    switch (then) {
    case SERVER_THEN_GO_ON:
        return;
    case SERVER_THEN_CLOSE:
        server_mark(s, SERVER_MARK_CLOSE, 0);
        break;
    case SERVER_THEN_RESET:
        server_mark(s, SERVER_MARK_RESET, 0);
        break;
    case SERVER_THEN_STALL:
        server_mark(s, SERVER_MARK_STALL, 0);
        break;
    }
    s->state = SERVER_OVER;
}

int server_apply(struct server *s, enum server_verb verb, const struct server_verdict *v,
                 struct slice usual)
{
    int class = 0;

    if (v->read_rate > 0) {
        s->read_rate = v->read_rate;
    }
    if (v->delay_us > 0) {
        server_mark(s, SERVER_MARK_DELAY, v->delay_us);
    }
    if (v->hold_us > 0) {
        server_mark(s, SERVER_MARK_HOLD, v->hold_us);
    }
    if (v->pause_us > 0) {
        server_mark(s, SERVER_MARK_PAUSE, v->pause_us);
    }
    if (v->dribble) {
        server_mark(s, SERVER_MARK_DRIBBLE, v->dribble_us);
    }
    if (v->ahead.len > 0) {
        put_lines(s, v->ahead);
    }
    buf_puts(&s->out, v->raw);
    if (!v->mute && v->reply.len > 0) {
        class = reply_class(v->reply);
        put_lines(s, v->reply);
        if (class >= 4 && rejected_at(verb) != STAT_COUNT) {
            sink_stats_inc(s->stats, rejected_at(verb));
        }
    } else if (!v->mute && usual.len > 0) {
        class = server_say(s, verb, usual);
    }
    if (v->dribble) {
        server_mark(s, SERVER_MARK_BULK, 0);
    }
    apply_then(s, v->then);
    return class;
}

int server_answer(struct server *s, enum server_verb verb, struct slice to, struct slice usual,
                  int64_t now_us)
{
    struct server_verdict v;

    if (server_ask(s, verb, to, now_us, &v)) {
        return server_apply(s, verb, &v, usual);
    }
    return server_say(s, verb, usual);
}

void server_complain(struct server *s, enum sink_stat error, struct slice reply)
{
    sink_stats_inc(s->stats, error);
    server_say(s, SERVER_OTHER, reply);
    if (++s->errors >= SERVER_ERRORS_MAX) {
        server_say(s, SERVER_OTHER, SLICE("421 4.7.0 Too many errors"));
        apply_then(s, SERVER_THEN_CLOSE);
    }
}

/* ---- the session ---- */

void server_start(struct server *s, int64_t now_us)
{
    struct buf banner = BUF_EMPTY;

    BUF_LIT(&banner, "220 ");
    buf_puts(&banner, s->options->hostname);
    BUF_LIT(&banner, " ESMTP volley-sink");
    s->refused = server_answer(s, SERVER_CONNECT, SLICE_NONE, buf_slice(&banner), now_us) != 2;
    buf_fini(&banner);
    s->unsent = true;
}

void server_refuse(struct server *s, struct slice reply)
{
    server_say(s, SERVER_OTHER, reply);
    apply_then(s, SERVER_THEN_CLOSE);
}

void server_reset_transaction(struct server *s)
{
    s->mail = s->spoiled = s->chunked = s->body8 = s->utf8 = s->starved = false;
    s->mail_refused = false;
    s->recipients = s->recipients_refused = 0;
    s->from_len = 0;
    s->body_len = 0;
    s->content_tail = 0;
    s->header_over = false;
    s->body.body_at = 0;
    buf_reset(&s->envelope);
    if (s->content.cap > CONTENT_KEPT_MAX) {
        buf_fini(&s->content);
    }
    buf_reset(&s->content);
    s->stats->held -= s->held;
    s->held = 0;
}

void server_tls_started(struct server *s)
{
    server_reset_transaction(s);
    s->tls = true;
    s->greeted = s->extended = false;
    s->unsent = false;
    buf_reset(&s->line);
}

/* Takes one line, or the beginning of one, off the input. */
static size_t feed_line(struct server *s, struct slice in, int64_t now_us)
{
    const char *lf = memchr(in.ptr, '\n', in.len);
    size_t len = lf != NULL ? (size_t)(lf - in.ptr) + 1 : in.len;
    struct slice line = slice_of(in.ptr, len);

    if (s->line_skip || s->line.len + len > SERVER_LINE_MAX) {
        buf_reset(&s->line);
        s->line_skip = lf == NULL;
        if (lf != NULL) {
            server_complain(s, STAT_ERR_LINE, SLICE("500 5.5.2 Line too long"));
        }
        return len;
    }
    if (lf == NULL || s->line.len > 0) {
        buf_puts(&s->line, line);
        line = buf_slice(&s->line);
    }
    if (lf == NULL) {
        return len;
    }
    line.len--;
    if (line.len > 0 && line.ptr[line.len - 1] == '\r') {
        line.len--;
    } else {
        /* Taken all the same, for those who type into a bare socket. */
        sink_stats_inc(s->stats, STAT_ERR_BARE_LF);
    }
    server_command(s, line, now_us);
    buf_reset(&s->line);
    return len;
}

bool server_tls_follows(const struct server *s)
{
    return s->marks > 0 && s->mark[s->marks - 1].kind == SERVER_MARK_TLS;
}

size_t server_feed(struct server *s, struct slice in, int64_t now_us)
{
    size_t at = 0;

    s->after_dot = false;
    while (at < in.len) {
        struct slice rest = slice_from(in, at);
        if (server_tls_follows(s)) {
            return at;
        }
        if (s->unsent && s->state != SERVER_OVER) {
            s->unsent = false;
            sink_stats_inc(s->stats, STAT_ERR_PIPELINING);
        }
        switch (s->state) {
        case SERVER_COMMAND:
            at += feed_line(s, rest, now_us);
            break;
        case SERVER_IN_DATA:
            at += server_body_data(s, rest, now_us);
            break;
        case SERVER_IN_BDAT:
            at += server_body_chunk(s, rest, now_us);
            break;
        case SERVER_OVER:
            return in.len;
        }
    }
    return at;
}

void server_taken(struct server *s)
{
    buf_reset(&s->out);
    s->marks = 0;
}

void server_lost(struct server *s)
{
    switch (s->state) {
    case SERVER_COMMAND:
        if (s->mail || s->line.len > 0) {
            sink_stats_inc(s->stats, STAT_ERR_LOST);
        }
        break;
    case SERVER_IN_DATA:
    case SERVER_IN_BDAT:
        sink_stats_inc(s->stats, STAT_ERR_LOST_BODY);
        break;
    case SERVER_OVER:
        break;
    }
    s->state = SERVER_OVER;
}

struct slice server_sender(const struct server *s)
{
    return slice_of(s->envelope.ptr, s->from_len);
}

bool server_rcpt_next(const struct server *s, size_t *at, struct slice *rcpt)
{
    size_t pos = *at > 0 ? *at : s->from_len;
    uint16_t len;

    if (pos >= s->envelope.len) {
        return false;
    }
    memcpy(&len, s->envelope.ptr + pos, sizeof(len));
    *rcpt = slice_of(s->envelope.ptr + pos + sizeof(len), len);
    *at = pos + sizeof(len) + len;
    return true;
}

bool server_busy(const struct server *s)
{
    return s->state != SERVER_OVER && (s->state != SERVER_COMMAND || s->mail || s->line.len > 0);
}
