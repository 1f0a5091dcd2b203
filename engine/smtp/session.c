/*
 * session.c - life of a session: begin, events, deadlines, end.
 */
#include "engine/smtp/session_int.h"

#include "engine/base/err.h"
#include "engine/base/panic.h"

#include <stdio.h>
#include <string.h>

/* A buffer of this size is worth keeping while a connection waits for its next letter. */
enum { COMMANDS_KEEP_MAX = 512 };

void smtp_config_init(struct smtp_config *config, struct slice ehlo_name)
{
    *config = (struct smtp_config){
        .ehlo_name = ehlo_name,
        .tls = SMTP_TLS_MAY,
        .pipeline = SMTP_PIPELINE_AUTO,
        .depth = 2,
        .handshake_us = 60 * INT64_C(1000000),
        .block_us = 180 * INT64_C(1000000), /* RFC 5321 4.5.3.2.5 */
        .rate_min = 1000,
    };
    for (unsigned verb = 0; verb < SMTP_VERB_COUNT; verb++) {
        config->timeout_us[verb] = smtp_verb(verb)->timeout_us;
    }
}

void smtp_session_init(struct smtp_session *s, const struct smtp_config *config, int64_t now_us)
{
    ASSERT(config->ehlo_name.len > 0);
    ASSERT(config->depth >= 1 && config->depth <= SMTP_DEPTH_MAX);
    memset(s, 0, sizeof(*s));
    s->config = config;
    smtp_reply_init(&s->parser);
    s->fifo[0] = (struct smtp_expect){.verb = SMTP_VERB_GREETING};
    s->fifo_tail = 1;
    s->since_us = now_us;
}

void smtp_session_fini(struct smtp_session *s)
{
    smtp_reply_fini(&s->parser);
    buf_fini(&s->commands);
    buf_fini(&s->end_text);
}

void smtp_session_trim(struct smtp_session *s)
{
    if (!smtp_reply_partial(&s->parser)) {
        smtp_reply_reset(&s->parser);
    }
    if (s->writing == 0 && s->commands.cap > COMMANDS_KEEP_MAX) {
        buf_fini(&s->commands);
    }
}

/* ---- input ---- */

void smtp_session_feed(struct smtp_session *s, struct slice data, int64_t now_us)
{
    struct smtp_reply reply;

    while (data.len > 0 && s->phase < SMTP_PHASE_OVER) {
        if (s->phase == SMTP_PHASE_HANDSHAKE) {
            /* CVE-2011-0411: what came in the clear behind 220 is no part of the dialogue. */
            s->learned |= SMTP_LEARNED_INJECTION;
            return;
        }
        switch (smtp_reply_next(&s->parser, &data, &reply)) {
        case SMTP_PARSE_MORE:
            return;
        case SMTP_PARSE_BAD:
            smtp_session_garbage(s, smtp_session_stage(s), NULL);
            return;
        case SMTP_PARSE_DONE:
            smtp_session_reply(s, &reply, now_us);
            break;
        }
    }
}

void smtp_session_tls_up(struct smtp_session *s, int64_t now_us)
{
    if (s->phase == SMTP_PHASE_OVER) {
        return;
    }
    ASSERT(!s->tls_up);
    s->tls_up = true;
    s->since_us = now_us;
    if (s->phase == SMTP_PHASE_HANDSHAKE) {
        smtp_reply_reset(&s->parser);
        s->ehlo = (struct smtp_ehlo){0};
        s->phase = SMTP_PHASE_HELLO;
        s->todo = SMTP_TODO_EHLO;
        s->events &= (uint8_t)~SMTP_TELL_STARTTLS;
    } else {
        /* Implicit TLS: nothing was said before it. */
        ASSERT(s->phase == SMTP_PHASE_HELLO && smtp_fifo_count(s) == 1 && s->fifo_head == 0);
    }
}

static void connection_text(char *text, size_t cap, int err)
{
    if (err == 0 || err == ERR_CLOSED) {
        snprintf(text, cap, "the connection was closed");
    } else {
        snprintf(text, cap, "the connection broke: %s", err_name(err));
    }
}

void smtp_session_eof(struct smtp_session *s, int err, int64_t now_us)
{
    char text[96];
    struct smtp_trouble t = {.reason = SMTP_END_CLOSED,
                             .cause = SMTP_CAUSE_CLOSED,
                             .stage = smtp_session_stage(s),
                             .err = err,
                             .text = text};

    (void)now_us;
    connection_text(text, sizeof(text), err);
    if (s->phase == SMTP_PHASE_HANDSHAKE || (s->phase == SMTP_PHASE_HELLO && err == ERR_TLS)) {
        t.reason = SMTP_END_TLS;
        t.cause = SMTP_CAUSE_TLS;
    } else if (s->phase == SMTP_PHASE_READY && s->inside == 0 && smtp_fifo_count(s) == 0) {
        t.reason = SMTP_END_IDLE;
        t.cause = SMTP_CAUSE_LOCAL;
    } else if (smtp_fifo_count(s) > 0 && smtp_fifo_oldest(s)->verb == SMTP_VERB_EHLO) {
        s->learned |= SMTP_LEARNED_HELO_ONLY;
    }
    smtp_session_over(s, &t);
}

void smtp_session_quit(struct smtp_session *s, int64_t now_us)
{
    struct smtp_trouble t = {.reason = SMTP_END_QUIT,
                             .cause = SMTP_CAUSE_LOCAL,
                             .stage = smtp_session_stage(s),
                             .err = ERR_CANCELED};

    (void)now_us;
    if (s->phase == SMTP_PHASE_HELLO || s->phase == SMTP_PHASE_HANDSHAKE) {
        smtp_session_over(s, &t);
    }
    s->quitting = true;
}

/* ---- deadlines ---- */

int64_t smtp_session_deadline_us(const struct smtp_session *s)
{
    if (s->phase == SMTP_PHASE_OVER) {
        return INT64_MAX;
    }
    if (s->phase == SMTP_PHASE_HANDSHAKE) {
        return s->since_us + s->config->handshake_us;
    }
    if (s->writing > 0) {
        return s->write_by_us;
    }
    if (smtp_fifo_count(s) > 0) {
        return s->since_us + s->config->timeout_us[smtp_fifo_oldest(s)->verb];
    }
    return INT64_MAX;
}

static void timeout_text(const struct smtp_session *s, char *text, size_t cap)
{
    if (s->phase == SMTP_PHASE_HANDSHAKE) {
        snprintf(text, cap, "the TLS handshake did not end in time");
    } else if (s->writing > 0) {
        snprintf(text, cap, "the peer stopped taking data");
    } else {
        const struct smtp_expect *oldest = smtp_fifo_oldest(s);
        snprintf(text, cap, "no reply to %s within %lld s", smtp_verb(oldest->verb)->name,
                 (long long)(s->config->timeout_us[oldest->verb] / 1000000));
    }
}

void smtp_session_expire(struct smtp_session *s, int64_t now_us)
{
    char text[96];
    struct smtp_trouble t = {.reason = SMTP_END_TIMEOUT,
                             .cause = SMTP_CAUSE_TIMEOUT,
                             .stage = smtp_session_stage(s),
                             .err = ERR_TIMEOUT,
                             .text = text};

    if (now_us < smtp_session_deadline_us(s)) {
        return;
    }
    timeout_text(s, text, sizeof(text));
    if (s->phase == SMTP_PHASE_HANDSHAKE) {
        t.reason = SMTP_END_TLS;
        t.cause = SMTP_CAUSE_TLS;
    }
    smtp_session_over(s, &t);
}

enum smtp_stage smtp_session_stage(const struct smtp_session *s)
{
    static const enum smtp_stage of_todo[] = {
        [SMTP_TODO_NONE] = SMTP_STAGE_EHLO, [SMTP_TODO_EHLO] = SMTP_STAGE_EHLO,
        [SMTP_TODO_HELO] = SMTP_STAGE_EHLO, [SMTP_TODO_STARTTLS] = SMTP_STAGE_TLS,
        [SMTP_TODO_AUTH] = SMTP_STAGE_AUTH,
    };

    if (s->end.reason != SMTP_END_NONE) {
        return s->end.stage;
    }
    if (s->phase == SMTP_PHASE_HANDSHAKE) {
        return SMTP_STAGE_TLS;
    }
    if (smtp_fifo_count(s) > 0) {
        return smtp_verb(smtp_fifo_oldest(s)->verb)->stage;
    }
    if (s->phase == SMTP_PHASE_READY) {
        const struct smtp_txn *txn = smtp_session_sending(s);
        return txn != NULL && txn->step == SMTP_STEP_BODY ? SMTP_STAGE_BODY : SMTP_STAGE_MAIL;
    }
    return of_todo[s->todo];
}

/* ---- transactions ---- */

struct smtp_txn *smtp_session_sending(const struct smtp_session *s)
{
    return s->txn_send != s->txn_tail ? smtp_txn_at(s, s->txn_send) : NULL;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Of those LIMITS allows on this connection, less what is already promised. */
static uint32_t mails_left(const struct smtp_session *s)
{
    uint32_t taken = s->mails;

    SMTP_EACH_TXN(s, at)
    {
        const struct smtp_txn *txn = smtp_txn_at(s, at);
        taken += txn != NULL && txn->step == SMTP_STEP_MAIL;
    }
    return taken < s->ehlo.mail_max ? s->ehlo.mail_max - taken : 0;
}

unsigned smtp_session_room(const struct smtp_session *s)
{
    if (s->phase != SMTP_PHASE_READY || s->quitting || s->unsafe || s->inside >= s->depth) {
        return 0;
    }
    /* A transaction that starts over keeps its slot while later ones come and go. */
    uint32_t room =
        least((uint32_t)s->depth - s->inside, SMTP_DEPTH_MAX - (s->txn_tail - s->txn_head));

    return s->ehlo.mail_max > 0 ? least(room, mails_left(s)) : room;
}

unsigned smtp_session_depth_ahead(const struct smtp_session *s)
{
    return s->bdat ? s->config->depth : 2;
}

void smtp_session_go_ahead(struct smtp_session *s, bool yes)
{
    bool may = yes && s->pipelining && (s->learned & SMTP_LEARNED_AHEAD_REFUSED) == 0;
    uint8_t depth = (uint8_t)(may ? smtp_session_depth_ahead(s) : 1);

    if (s->phase != SMTP_PHASE_READY || s->config->pipeline != SMTP_PIPELINE_AUTO ||
        depth == s->depth_full) {
        return;
    }
    if (s->depth == s->depth_full || depth < s->depth) { /* else one is under suspicion */
        s->depth = depth;
    }
    s->depth_full = depth;
}

static void begin_results(struct smtp_txn *txn)
{
    for (size_t i = 0; i < txn->rcpt_count; i++) {
        struct smtp_rcpt *r = &txn->rcpts[i];
        *r = (struct smtp_rcpt){.address = r->address, .dsn = r->dsn};
    }
}

void smtp_session_submit(struct smtp_session *s, struct smtp_txn *txn, int64_t now_us)
{
    (void)now_us;
    ASSERT(smtp_session_room(s) > 0);
    ASSERT(txn->rcpt_count >= 1 && txn->rcpt_count <= SMTP_RCPT_MAX);
    ASSERT(txn->content.dotted != NULL && txn->step == SMTP_STEP_MAIL && txn->flags == 0);
    begin_results(txn);
    txn->words = s->config->words;
    s->slots[s->txn_tail % SMTP_DEPTH_MAX] = txn;
    s->txn_tail++;
    s->inside++;
    smtp_txn_check(s, txn);
    if (txn->decided == txn->rcpt_count) {
        smtp_session_finish(s, txn);
    }
}

struct smtp_txn *smtp_session_withdraw(struct smtp_session *s)
{
    struct smtp_txn *txn = s->txn_head != s->txn_tail ? smtp_txn_at(s, s->txn_tail - 1) : NULL;

    /* One that starts over has its first MAIL behind it. */
    if (txn == NULL || txn->step != SMTP_STEP_MAIL || txn->mail_at_us != 0 || txn->decided > 0) {
        return NULL;
    }
    s->txn_tail--;
    s->slots[s->txn_tail % SMTP_DEPTH_MAX] = NULL;
    s->inside--;
    return txn;
}

void smtp_session_finish(struct smtp_session *s, struct smtp_txn *txn)
{
    ASSERT(txn->decided == txn->rcpt_count);
    SMTP_EACH_TXN(s, at)
    {
        if (smtp_txn_at(s, at) == txn) {
            s->slots[at % SMTP_DEPTH_MAX] = NULL;
            break;
        }
    }
    while (s->txn_head != s->txn_tail && smtp_txn_at(s, s->txn_head) == NULL) {
        if (s->txn_send == s->txn_head) {
            s->txn_send++;
        }
        s->txn_head++;
    }
    s->inside--;
    txn->next = NULL;
    if (s->done_last != NULL) {
        s->done_last->next = txn;
    } else {
        s->done_first = txn;
    }
    s->done_last = txn;
}

/* ---- events ---- */

static bool take_flag(struct smtp_session *s, uint8_t flag)
{
    bool set = (s->events & flag) != 0;

    s->events &= (uint8_t)~flag;
    return set;
}

/* Bytes of it are in the write that is under way. */
static bool is_lent(const struct smtp_session *s, const struct smtp_txn *txn)
{
    return s->writing > 0 && txn->flight == s->flight;
}

/* The first one that may go back.  While the session lives, content is never given back
 * under a write; after its end the owner must know himself. */
static struct smtp_txn *take_done(struct smtp_session *s)
{
    struct smtp_txn *before = NULL, *txn = s->done_first;

    while (txn != NULL && s->phase != SMTP_PHASE_OVER && is_lent(s, txn)) {
        before = txn;
        txn = txn->next;
    }
    if (txn == NULL) {
        return NULL;
    }
    if (before != NULL) {
        before->next = txn->next;
    } else {
        s->done_first = txn->next;
    }
    if (s->done_last == txn) {
        s->done_last = before;
    }
    txn->next = NULL;
    return txn;
}

bool smtp_session_event(struct smtp_session *s, struct smtp_event *out)
{
    *out = (struct smtp_event){0};
    if (take_flag(s, SMTP_TELL_STARTTLS)) {
        out->type = SMTP_EVENT_STARTTLS;
        return true;
    }
    if (take_flag(s, SMTP_TELL_READY)) {
        out->type = SMTP_EVENT_READY;
        return true;
    }
    out->txn = take_done(s);
    if (out->txn != NULL) {
        out->type = SMTP_EVENT_TXN_DONE;
        out->lent = is_lent(s, out->txn);
        return true;
    }
    if (take_flag(s, SMTP_TELL_END)) {
        out->type = SMTP_EVENT_END;
        return true;
    }
    return false;
}

/* ---- questions ---- */

bool smtp_session_idle(const struct smtp_session *s)
{
    return s->phase == SMTP_PHASE_READY && s->inside == 0 && smtp_fifo_count(s) == 0 &&
           s->writing == 0 && s->done_first == NULL && !s->quitting && !s->unsafe;
}

const struct smtp_ehlo *smtp_session_ehlo(const struct smtp_session *s)
{
    return &s->ehlo;
}

bool smtp_session_is_tls(const struct smtp_session *s)
{
    return s->tls_up;
}

uint32_t smtp_session_learned(const struct smtp_session *s)
{
    return s->learned;
}

uint32_t smtp_session_rcpt_max(const struct smtp_session *s)
{
    return s->rcpt_max;
}

const struct smtp_end *smtp_session_end(const struct smtp_session *s)
{
    return &s->end;
}

const char *smtp_end_name(enum smtp_end_reason reason)
{
    switch (reason) {
    case SMTP_END_NONE:
        return "none";
    case SMTP_END_QUIT:
        return "quit";
    case SMTP_END_IDLE:
        return "idle";
    case SMTP_END_CLOSED:
        return "closed";
    case SMTP_END_TIMEOUT:
        return "timeout";
    case SMTP_END_REFUSED:
        return "refused";
    case SMTP_END_CUT:
        return "cut";
    case SMTP_END_TLS:
        return "tls";
    case SMTP_END_AUTH:
        return "auth";
    case SMTP_END_LOOP:
        return "loop";
    case SMTP_END_GARBAGE:
        return "garbage";
    }
    PANIC("end reason %d", reason);
}
