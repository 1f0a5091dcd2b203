/*
 * server_body.c - one receiving SMTP session: message content by DATA and BDAT.
 *
 * The scanner walks over the bytes once; a copy is made only where somebody wants to see the
 * content, and then without the dots that RFC 5321 4.5.2 put in.
 */
#include "bench/server_impl.h"

#include <string.h>

static uint64_t size_max(const struct server *s)
{
    return s->options->size_max > 0 ? s->options->size_max : SERVER_SIZE_MAX;
}

/* ---- keeping a copy ---- */

static bool keeping(const struct server *s)
{
    return s->options->keep != SERVER_KEEP_NOTHING && !s->header_over && !s->starved;
}

/* Copies are bounded for all sessions of a thread together: a thousand clients that each stop
 * short of the size limit must not take the memory of the machine. */
static bool may_hold(struct server *s, size_t len)
{
    if (s->content.len + len > size_max(s)) {
        return false;
    }
    if (s->stats->held + len > SERVER_HELD_MAX) {
        s->starved = true;
        return false;
    }
    s->stats->held += len;
    s->held += len;
    return true;
}

/* Cuts the copy at the empty line when only the header is wanted. */
static void stop_at_header(struct server *s, size_t from)
{
    if (s->options->keep != SERVER_KEEP_HEADER || s->content.len == 0) {
        return;
    }
    size_t start = from > 3 ? from - 3 : 0;
    const char *over = memmem(s->content.ptr + start, s->content.len - start, "\r\n\r\n", 4);
    if (over != NULL) {
        s->content.len = (size_t)(over - s->content.ptr) + 2;
        s->header_over = true;
    } else if (s->content.len > SERVER_HEADER_MAX) {
        s->header_over = true;
    }
}

static void keep_raw(struct server *s, struct slice in)
{
    size_t from = s->content.len;

    if (keeping(s) && may_hold(s, in.len)) {
        buf_puts(&s->content, in);
        stop_at_header(s, from);
    }
}

/* content_tail says how much of CRLF was just read: a dot behind both is a stuffed one. */
static void keep_unstuffed(struct server *s, struct slice in)
{
    size_t from = s->content.len, run = 0;

    if (!keeping(s) || !may_hold(s, in.len)) {
        return;
    }
    for (size_t i = 0; i < in.len; i++) {
        char c = in.ptr[i];
        if (c == '.' && s->content_tail == 2) {
            buf_put(&s->content, in.ptr + run, i - run);
            run = i + 1;
        }
        s->content_tail = c == '\r' ? 1 : c == '\n' && s->content_tail == 1 ? 2 : 0;
    }
    buf_put(&s->content, in.ptr + run, in.len - run);
    stop_at_header(s, from);
}

/* ---- the end of a message ---- */

static void count_findings(struct server *s)
{
    static const struct {
        enum scan_finding finding;
        enum sink_stat stat;
    } rows[] = {
        {SCAN_BARE_LF, STAT_BODY_BARE_LF}, {SCAN_BARE_CR, STAT_BODY_BARE_CR},
        {SCAN_SMUGGLE, STAT_BODY_SMUGGLE}, {SCAN_LONG_LINE, STAT_BODY_LONG_LINE},
        {SCAN_NUL, STAT_BODY_NUL},         {SCAN_8BIT, STAT_BODY_8BIT},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if ((s->scan.found & rows[i].finding) != 0) {
            sink_stats_inc(s->stats, rows[i].stat);
        }
    }
}

static struct slice queued_as(char *out, size_t cap, uint64_t id)
{
    static const char text[] = "250 2.0.0 Ok: queued as ";
    static const char digits[] = "0123456789ABCDEF";
    size_t len = sizeof(text) - 1, width = 1;

    ASSERT(cap >= sizeof(text) + 16);
    memcpy(out, text, len);
    while (width < 16 && id >> (4 * width) != 0) {
        width++;
    }
    for (size_t i = width; i > 0; i--) {
        out[len++] = digits[id >> (4 * (i - 1)) & 15];
    }
    return slice_of(out, len);
}

static void message_accepted(struct server *s, uint64_t id, int64_t now_us)
{
    s->errors = 0;
    sink_stats_message(s->stats, s->recipients, s->body_len, now_us);
    if (s->chunked) {
        sink_stats_inc(s->stats, STAT_CHUNKED);
    }
    if (s->scan.found != 0) {
        count_findings(s);
    }
    if (s->hooks != NULL && s->hooks->accepted != NULL) {
        struct server_message m = {.from = server_sender(s),
                                   .recipients = s->recipients,
                                   .bytes = s->body_len,
                                   .content = buf_slice(&s->content),
                                   .found = s->scan.found,
                                   .chunked = s->chunked,
                                   .tls = s->tls,
                                   .connection = s->connection,
                                   .number = s->messages,
                                   .id = id};
        s->hooks->accepted(s->ctx, s, &m, now_us);
    }
}

/* The answer to a whole message.  A rule for BDAT goes before one for the message: what it
 * refuses is a chunk, and then the state is indeterminate until RSET (RFC 3030 2). */
static int answer_message(struct server *s, uint64_t id, int64_t now_us)
{
    struct server_verdict v;
    char text[64];
    struct slice usual = queued_as(text, sizeof(text), id);

    if (s->body_len > size_max(s)) {
        sink_stats_inc(s->stats, STAT_ERR_SIZE);
        return server_say(s, SERVER_DOT, SLICE("552 5.3.4 The message is too large"));
    }
    if (s->starved) {
        return server_say(s, SERVER_DOT, SLICE("452 4.3.1 Out of memory for message copies"));
    }
    s->messages++;
    if (s->chunked && server_ask(s, SERVER_BDAT, SLICE_NONE, now_us, &v)) {
        int class = server_apply(s, SERVER_BDAT, &v, usual);
        s->spoiled = class != 2;
        return class;
    }
    return server_answer(s, SERVER_DOT, SLICE_NONE, usual, now_us);
}

static void message_done(struct server *s, int64_t now_us)
{
    uint64_t id = s->connection << 20 | (s->messages + 1);

    if (s->body8) {
        s->scan.found &= ~(uint32_t)SCAN_8BIT;
    }
    /* An answer given within the body was this message's. */
    if (!s->answered && answer_message(s, id, now_us) == 2) {
        message_accepted(s, id, now_us);
    }
    if (!s->spoiled) {
        server_reset_transaction(s);
    }
    if (s->options->messages_close && s->options->messages_max > 0 && s->state != SERVER_OVER &&
        s->messages >= s->options->messages_max) {
        server_mark(s, SERVER_MARK_CLOSE, 0);
        s->state = SERVER_OVER;
    }
}

/* ---- bytes ---- */

void server_body_begin(struct server *s, int64_t now_us)
{
    scan_init(&s->scan);
    s->body_len = 0;
    s->content_tail = 2;
    s->answered = false;
    if (!server_ask(s, SERVER_BODY, SLICE_NONE, now_us, &s->body)) {
        s->body.body_at = 0;
    } else if (s->body.body_at == 0) {
        s->body.body_at = 1;
    }
}

/* As much of `in` as may be read before a pending SERVER_BODY verdict takes effect. */
static struct slice up_to_verdict(const struct server *s, struct slice in)
{
    if (s->body.body_at > s->body_len && s->body.body_at - s->body_len < in.len) {
        in.len = (size_t)(s->body.body_at - s->body_len);
    }
    return in;
}

static void verdict_in_body(struct server *s)
{
    if (s->body.body_at > 0 && s->body_len >= s->body.body_at) {
        s->body.body_at = 0;
        if (server_apply(s, SERVER_BODY, &s->body, SLICE_NONE) != 0) {
            s->answered = true;
        }
    }
}

size_t server_body_data(struct server *s, struct slice in, int64_t now_us)
{
    bool end;
    struct slice part = up_to_verdict(s, in);
    size_t used = scan_body(&s->scan, part, true, &end);

    s->body_len += used;
    if (s->options->keep != SERVER_KEEP_NOTHING) {
        keep_unstuffed(s, slice_of(in.ptr, used));
    }
    if (!end) {
        verdict_in_body(s);
        return used;
    }
    if (s->options->keep != SERVER_KEEP_NOTHING && !s->header_over && s->content.len >= 2) {
        s->content.len -= 2; /* of the terminator; its dot was taken for a stuffed one */
    }
    s->state = SERVER_COMMAND;
    message_done(s, now_us);
    s->after_dot = used < in.len;
    s->unsent = !s->options->pipelining || !s->extended;
    return used;
}

size_t server_body_chunk(struct server *s, struct slice in, int64_t now_us)
{
    bool end;
    struct slice part = slice_of(in.ptr, s->chunk_left < in.len ? (size_t)s->chunk_left : in.len);

    if (!s->swallow) {
        part = up_to_verdict(s, part);
        scan_body(&s->scan, part, false, &end);
        s->body_len += part.len;
        keep_raw(s, part);
    }
    s->chunk_left -= part.len;
    if (s->chunk_left == 0) {
        server_chunk_done(s, now_us);
    } else if (!s->swallow) {
        verdict_in_body(s);
    }
    return part.len;
}

/* What stands behind a chunk that does not end the message. */
static void chunk_taken(struct server *s, int64_t now_us)
{
    struct server_verdict v;
    int class;

    if (s->answered) {
        s->answered = false;
        class = 0;
    } else if (server_ask(s, SERVER_BDAT, SLICE_NONE, now_us, &v)) {
        class = server_apply(s, SERVER_BDAT, &v, SLICE("250 2.0.0 Octets received"));
    } else if (s->body_len > size_max(s)) {
        sink_stats_inc(s->stats, STAT_ERR_SIZE);
        class = server_say(s, SERVER_DOT, SLICE("552 5.3.4 The message is too large"));
    } else {
        class = server_say(s, SERVER_BDAT, SLICE("250 2.0.0 Octets received"));
    }
    /* RFC 3030 2: after a failure the state is indeterminate until RSET. */
    s->spoiled = class != 2;
}

void server_chunk_done(struct server *s, int64_t now_us)
{
    s->state = SERVER_COMMAND;
    if (s->swallow) {
        struct slice why = s->spoiled           ? SLICE("503 5.5.1 A chunk failed, say RSET")
                           : !s->mail           ? SLICE("503 5.5.1 MAIL comes first")
                           : s->recipients == 0 ? SLICE("554 5.5.1 No valid recipients")
                                                : SLICE("503 5.5.1 Bad sequence of commands");
        server_say(s, SERVER_BDAT, why);
    } else if (s->last) {
        scan_finish(&s->scan);
        message_done(s, now_us);
    } else {
        chunk_taken(s, now_us);
    }
    s->unsent = !s->options->pipelining || !s->extended;
}
