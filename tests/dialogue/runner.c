/*
 * runner.c - plays dialogue files against the session.
 *
 *     run FILE.smtp...        one "ok" or "not ok" line for each
 *     run --table FILE.smtp...    the table of checklist items for README.md
 *
 * Each file is played with the server's bytes all at once, byte by byte, and cut in two at
 * every place; every time the client must say and do the same.
 */
#include "tests/dialogue/script.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { BYTE_BY_BYTE = -1, ALL_AT_ONCE = -2 }; /* else: the place of the cut */

struct play {
    const struct script *script;
    struct smtp_session session;
    struct smtp_txn txns[SCRIPT_TXNS_MAX];
    struct iovec dotted[SCRIPT_TXNS_MAX], raw[SCRIPT_TXNS_MAX];
    bool done[SCRIPT_TXNS_MAX];
    size_t submitted;
    size_t submit_max;
    int64_t now_us;
    long cut;
    long fed;          /* server bytes so far */
    struct buf client; /* what the client wrote and nobody looked at yet */
    size_t write_max;  /* no more than that may be written now */
    size_t stalled;    /* bytes handed out whose write does not end */
    bool stall;
    bool handshake;
    bool ended;
    char fault[1024];
};

/* Apart from struct play, which is cleared for each of the many plays of a file. */
static struct smtp_rcpt rcpts[SCRIPT_TXNS_MAX][SCRIPT_RCPTS_MAX];

static void fail(struct play *p, unsigned line, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void fail(struct play *p, unsigned line, const char *fmt, ...)
{
    char text[800];
    va_list args;

    if (p->fault[0] != '\0') {
        return;
    }
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    snprintf(p->fault, sizeof(p->fault), "%s:%u: %s", p->script->path, line, text);
}

/* ---- the owner's part ---- */

static void take_event(struct play *p, const struct smtp_event *e)
{
    size_t n = e->txn != NULL ? (size_t)(e->txn - p->txns) : 0;

    if (p->ended) {
        fail(p, 0, "an event after END");
    }
    switch (e->type) {
    case SMTP_EVENT_STARTTLS:
        p->handshake = true;
        break;
    case SMTP_EVENT_READY:
        break;
    case SMTP_EVENT_TXN_DONE:
        if (p->done[n]) {
            fail(p, 0, "transaction %zu came back twice", n + 1);
        }
        if (e->lent && p->stalled == 0) {
            fail(p, 0, "transaction %zu is lent, but nothing is being written", n + 1);
        }
        p->done[n] = true;
        break;
    case SMTP_EVENT_END:
        p->ended = true;
        break;
    }
}

static bool write_some(struct play *p)
{
    struct iovec iov[SMTP_IOV_MIN]; /* the least: content in many pieces goes in many flights */
    size_t bytes = 0, count;

    if (p->stalled > 0 || p->write_max == 0) {
        return false;
    }
    count = smtp_session_output(&p->session, iov, SMTP_IOV_MIN, p->now_us);
    for (size_t i = 0; i < count; i++) {
        buf_put(&p->client, iov[i].iov_base, iov[i].iov_len);
        bytes += iov[i].iov_len;
    }
    if (p->ended && count > 0) {
        fail(p, 0, "output after END");
    }
    p->write_max -= bytes < p->write_max ? bytes : p->write_max;
    if (p->stall) {
        p->stalled = bytes;
    } else {
        smtp_session_sent(&p->session, bytes, p->now_us);
    }
    return count > 0;
}

/* Everything the owner does between two inputs. */
static void pump(struct play *p)
{
    struct smtp_event e;
    bool more = true;

    while (more) {
        more = false;
        while (smtp_session_event(&p->session, &e)) {
            take_event(p, &e);
        }
        while (p->submitted < p->submit_max && smtp_session_room(&p->session) > 0) {
            smtp_session_submit(&p->session, &p->txns[p->submitted++], p->now_us);
            more = true;
        }
        more = write_some(p) || more;
    }
}

static void prepare(struct play *p)
{
    const struct script *s = p->script;

    for (size_t n = 0; n < s->txn_count; n++) {
        const struct script_txn *t = &s->txns[n];
        struct smtp_txn *txn = &p->txns[n];
        smtp_txn_init(txn);
        p->dotted[n] = (struct iovec){t->dotted.ptr, t->dotted.len};
        p->raw[n] = (struct iovec){t->raw.ptr, t->raw.len};
        txn->mail_from = buf_slice(&t->from);
        txn->dsn = buf_slice(&t->dsn);
        txn->rcpts = rcpts[n];
        txn->rcpt_count = t->rcpt_count;
        for (size_t r = 0; r < t->rcpt_count; r++) {
            rcpts[n][r].address = buf_slice(&t->rcpt[r]);
            rcpts[n][r].dsn = buf_slice(&t->rcpt_dsn[r]);
        }
        txn->content = (struct smtp_content){&p->dotted[n],       1,
                                             t->dotted.len,       t->no_raw ? NULL : &p->raw[n],
                                             t->no_raw ? 0u : 1u, t->no_raw ? 0u : t->raw.len};
        txn->needs_8bit = t->needs_8bit;
        txn->needs_utf8 = t->needs_utf8;
        txn->needs_requiretls = t->needs_requiretls;
    }
    p->submit_max = s->txn_count;
    p->write_max = SIZE_MAX;
    smtp_session_init(&p->session, &s->config, p->now_us);
}

/* ---- steps ---- */

/* The bytes of a block as this play cuts them. */
static void feed(struct play *p, struct slice bytes)
{
    while (bytes.len > 0) {
        size_t len = bytes.len;

        if (p->cut == BYTE_BY_BYTE) {
            len = 1;
        } else if (p->cut > p->fed && p->cut < p->fed + (long)bytes.len) {
            len = (size_t)(p->cut - p->fed);
        }
        smtp_session_feed(&p->session, slice_of(bytes.ptr, len), p->now_us);
        p->fed += (long)len;
        bytes = slice_from(bytes, len);
        pump(p);
    }
}

/* Shows the first difference with some text around it. */
static void fail_client(struct play *p, unsigned line, struct slice expected)
{
    struct slice got = buf_slice(&p->client);
    size_t at = 0;

    while (at < got.len && at < expected.len && got.ptr[at] == expected.ptr[at]) {
        at++;
    }
    struct slice want_rest = slice_from(expected, at), got_rest = slice_from(got, at);

    want_rest.len = want_rest.len < 200 ? want_rest.len : 200;
    got_rest.len = got_rest.len < 200 ? got_rest.len : 200;
    fail(p, line,
         "the client was expected to say, after %zu bytes of agreement:\n[" SLICE_FMT
         "]\nand said:\n[" SLICE_FMT "]",
         at, SLICE_ARG(want_rest), SLICE_ARG(got_rest));
}

/* All C: lines up to the next other step must be all the client said. */
static size_t match_client(struct play *p, size_t at)
{
    const struct script *s = p->script;
    unsigned line = s->steps[at].line;
    struct buf expected = BUF_EMPTY;

    while (at < s->step_count && s->steps[at].kind == STEP_CLIENT) {
        buf_puts(&expected, buf_slice(&s->steps[at].bytes));
        at++;
    }
    if (!slice_eq(buf_slice(&expected), buf_slice(&p->client))) {
        fail_client(p, line, buf_slice(&expected));
    }
    buf_reset(&p->client);
    buf_fini(&expected);
    return at - 1;
}

static void match_content(struct play *p, const struct step *step)
{
    if ((int64_t)p->client.len != step->number) {
        fail(p, step->line, "the client wrote %zu bytes", p->client.len);
    }
    buf_reset(&p->client);
}

static bool is_client(const struct step *step)
{
    return step->kind == STEP_CLIENT || step->kind == STEP_CONTENT;
}

/* What the client may write in answer to step `at`: with content counted next, no more than
 * that; in the middle of content, and faster than the server under TLS, nothing. */
static void limit_writes(struct play *p, size_t at)
{
    const struct step *steps = p->script->steps;
    size_t next = at + 1, last = at;

    while (next < p->script->step_count && !is_client(&steps[next])) {
        next++;
    }
    while (last > 0 && !is_client(&steps[last])) {
        last--;
    }
    p->write_max = SIZE_MAX;
    if (next < p->script->step_count) {
        p->write_max = steps[next].kind == STEP_CONTENT ? (size_t)steps[next].number : SIZE_MAX;
    } else if (steps[last].kind == STEP_CONTENT) {
        p->write_max = 0;
    }
    /* (As the very first step it is implicit TLS: nothing was asked yet.) */
    if (at > 1 && steps[at].kind == STEP_SERVER && steps[at - 1].kind == STEP_SECURE) {
        p->write_max = 0;
    }
}

static void expire(struct play *p, const struct step *step)
{
    int64_t deadline = smtp_session_deadline_us(&p->session);

    if (deadline == INT64_MAX) {
        fail(p, step->line, "there is no deadline");
        return;
    }
    smtp_session_expire(&p->session, deadline - 1);
    if (smtp_session_end(&p->session)->reason != SMTP_END_NONE) {
        fail(p, step->line, "ended before the deadline");
    }
    p->now_us = deadline;
    smtp_session_expire(&p->session, p->now_us);
}

static void wait_for(struct play *p, const struct step *step)
{
    p->now_us += step->number;
    if (p->now_us >= smtp_session_deadline_us(&p->session)) {
        fail(p, step->line, "the deadline passed while waiting");
    }
}

static size_t play_step(struct play *p, size_t at)
{
    const struct step *step = &p->script->steps[at];

    if (!is_client(step) && p->client.len > 0) {
        fail_client(p, step->line, SLICE_NONE);
    }
    limit_writes(p, at);
    switch (step->kind) {
    case STEP_SERVER:
        feed(p, buf_slice(&step->bytes));
        return at;
    case STEP_CLIENT:
        return match_client(p, at);
    case STEP_CONTENT:
        match_content(p, step);
        return at;
    case STEP_CLOSE:
        smtp_session_eof(&p->session, (int)step->number, p->now_us);
        break;
    case STEP_TIMEOUT:
        expire(p, step);
        break;
    case STEP_WAIT:
        wait_for(p, step);
        break;
    case STEP_SECURE:
        if (!p->handshake && p->fed > 0) {
            fail(p, step->line, "no handshake was asked for");
        }
        p->handshake = false;
        smtp_session_tls_up(&p->session, p->now_us);
        if (at + 1 < p->script->step_count && p->script->steps[at + 1].kind == STEP_SERVER) {
            return at; /* the server is faster than we are */
        }
        break;
    case STEP_QUIT:
        smtp_session_quit(&p->session, p->now_us);
        break;
    case STEP_HOLD:
        p->submit_max = p->submitted;
        break;
    case STEP_GO:
        p->submit_max =
            step->number < 0 ? p->script->txn_count : p->submitted + (size_t)step->number;
        break;
    case STEP_STALL:
        p->stall = true;
        break;
    case STEP_SENT:
        smtp_session_sent(&p->session, p->stalled, p->now_us);
        p->stall = false;
        p->stalled = 0;
        break;
    case STEP_DEADLINE:
        if (smtp_session_deadline_us(&p->session) - p->now_us != step->number) {
            fail(p, step->line, "the deadline is %lld us away",
                 (long long)(smtp_session_deadline_us(&p->session) - p->now_us));
        }
        return at;
    case STEP_ROOM:
        if ((int64_t)smtp_session_room(&p->session) != step->number) {
            fail(p, step->line, "there is room for %u", smtp_session_room(&p->session));
        }
        return at;
    }
    pump(p);
    return at;
}

/* ---- what came of it ---- */

static bool differs(const char *expected, const char *got)
{
    return expected[0] != '\0' && strcmp(expected, "-") != 0 && strcmp(expected, got) != 0;
}

static bool has_part(struct slice text, struct slice part)
{
    return part.len == 0 ||
           (text.len >= part.len && memmem(text.ptr, text.len, part.ptr, part.len) != NULL);
}

static void check_rcpt(struct play *p, size_t n, size_t r)
{
    static const char *const hosts[] = {"ok", "next", "down"};
    static const char *const sites[] = {"ok", "slow", "hold"};
    const struct expected *e = &p->script->txns[n].expected[r];
    const struct smtp_rcpt *got = &rcpts[n][r];
    struct slice text = smtp_rcpt_text(&p->txns[n], got);
    char enhanced[SMTP_ENHANCED_LEN];

    smtp_enhanced_format(enhanced, got->enhanced);
    if (e->line == 0) {
        fail(p, p->script->end_line, "no result is given for %zu.%zu", n + 1, r + 1);
    } else if (differs(e->outcome, smtp_outcome_name(got->outcome)) ||
               differs(e->stage, smtp_stage_name(got->stage)) || e->code != got->code ||
               differs(e->enhanced, enhanced) ||
               differs(e->failure, smtp_failure_name(got->failure)) ||
               differs(e->host, hosts[got->host]) || differs(e->site, sites[got->site]) ||
               !has_part(text, buf_slice(&e->text))) {
        fail(p, e->line, "%zu.%zu is %s %s %u %s %s %s %s \"" SLICE_FMT "\"", n + 1, r + 1,
             smtp_outcome_name(got->outcome), smtp_stage_name(got->stage), got->code,
             enhanced[0] != '\0' ? enhanced : "-",
             got->failure != 0 ? smtp_failure_name(got->failure) : "-", hosts[got->host],
             sites[got->site], SLICE_ARG(text));
    }
}

static void check_end(struct play *p)
{
    const struct script *s = p->script;
    const struct smtp_end *end = smtp_session_end(&p->session);

    if (s->end_reason[0] == '\0') {
        if (p->ended) {
            fail(p, s->end_line, "the session ended: %s %s %u \"" SLICE_FMT "\"",
                 smtp_end_name(end->reason), smtp_stage_name(end->stage), end->code,
                 SLICE_ARG(end->text));
        }
    } else if (!p->ended) {
        fail(p, s->end_line, "the session did not end");
    } else if (differs(s->end_reason, smtp_end_name(end->reason)) ||
               differs(s->end_stage, smtp_stage_name(end->stage)) || s->end_code != end->code) {
        fail(p, s->end_line, "the end is %s %s %u \"" SLICE_FMT "\"", smtp_end_name(end->reason),
             smtp_stage_name(end->stage), end->code, SLICE_ARG(end->text));
    }
}

static void check(struct play *p)
{
    const struct script *s = p->script;

    if (p->client.len > 0) {
        fail_client(p, s->end_line, SLICE_NONE);
    }
    for (size_t n = 0; n < s->txn_count; n++) {
        if (!p->done[n] && s->txns[n].expected[0].line > 0) {
            fail(p, s->txns[n].expected[0].line, "transaction %zu did not come back", n + 1);
        }
        for (size_t r = 0; p->done[n] && r < s->txns[n].rcpt_count; r++) {
            check_rcpt(p, n, r);
        }
    }
    check_end(p);
    if (smtp_session_learned(&p->session) != s->learned) {
        fail(p, s->end_line, "learned bits are 0x%x, not 0x%x", smtp_session_learned(&p->session),
             s->learned);
    }
}

/* ---- plays ---- */

/* Returns false with p->fault set. */
static bool play(struct play *p, const struct script *s, long cut)
{
    memset(p, 0, sizeof(*p));
    p->script = s;
    p->cut = cut;
    prepare(p);
    pump(p);
    for (size_t at = 0; at < s->step_count && p->fault[0] == '\0'; at++) {
        at = play_step(p, at);
    }
    if (p->fault[0] == '\0') {
        check(p);
    }
    smtp_session_fini(&p->session);
    for (size_t n = 0; n < s->txn_count; n++) {
        smtp_txn_fini(&p->txns[n]);
    }
    buf_fini(&p->client);
    return p->fault[0] == '\0';
}

static bool play_all(const struct script *s)
{
    static struct play p;
    long bytes = 0;

    if (s->fault[0] != '\0') {
        printf("# %s\n", s->fault);
        return false;
    }
    for (size_t i = 0; i < s->step_count; i++) {
        bytes += s->steps[i].kind == STEP_SERVER ? (long)s->steps[i].bytes.len : 0;
    }
    for (long cut = ALL_AT_ONCE; cut < bytes; cut++) {
        if (cut != 0 && !play(&p, s, cut)) {
            printf("# %s\n# (%s %ld)\n", p.fault,
                   cut == ALL_AT_ONCE    ? "server bytes all at once"
                   : cut == BYTE_BY_BYTE ? "server bytes one by one"
                                         : "server bytes cut at",
                   cut);
            return false;
        }
    }
    return true;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

int main(int argc, char **argv)
{
    bool table = argc > 1 && strcmp(argv[1], "--table") == 0;
    int failed = 0;

    for (int i = table ? 2 : 1; i < argc; i++) {
        struct script *s = script_read(argv[i]);
        if (s == NULL) {
            printf("# %s: cannot be read\nnot ok %s\n", argv[i], base_name(argv[i]));
            failed++;
            continue;
        }
        for (size_t n = 0; table && n < s->item_count; n++) {
            printf("| " SLICE_FMT " | %s |\n", SLICE_ARG(buf_slice(&s->items[n])),
                   base_name(argv[i]));
        }
        if (!table) {
            bool ok = play_all(s);
            printf("%s %s\n", ok ? "ok" : "not ok", base_name(argv[i]));
            failed += !ok;
        }
        script_free(s);
    }
    return failed > 0 ? 1 : 0;
}
