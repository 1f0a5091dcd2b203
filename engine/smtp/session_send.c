/*
 * session_send.c - what may be written now.
 *
 * Each function adds one command, or some content, to a flight (session_flight.h) and
 * returns true when more may follow it at once; false when an answer must come first.
 */
#include "engine/smtp/session_flight.h"

#include "engine/base/panic.h"
#include "engine/smtp/auth.h"

enum {
    /* How many replies a peer must be able to hold for us: Exim's bound. */
    RCPT_WINDOW = 100,
    FIFO_SPARE = 4, /* RSET MAIL DATA DOT always fit behind a window of recipients */
    /* Larger content does not go out by BDAT before the recipients are answered. */
    BDAT_UNASKED_MAX = 65536
};

static void expect(struct smtp_session *s, enum smtp_verb verb, struct smtp_txn *txn, size_t rcpt,
                   const struct smtp_flight *f)
{
    ASSERT(smtp_fifo_count(s) < SMTP_FIFO_CAP);
    if (smtp_fifo_count(s) == 0) {
        s->since_us = f->now_us;
    }
    s->fifo[s->fifo_tail % SMTP_FIFO_CAP] =
        (struct smtp_expect){.verb = (uint8_t)verb,
                             .slot = (uint8_t)(s->txn_send % SMTP_DEPTH_MAX),
                             .rcpt = (uint16_t)rcpt};
    s->fifo_tail++;
    if (txn != NULL) {
        txn->waiting++;
    }
}

/* May `verb` be written with the replies that are still outstanding?  RFC 2920 3.1. */
static bool may_send(const struct smtp_session *s, enum smtp_verb verb)
{
    uint32_t count = smtp_fifo_count(s);

    return count == 0 || (s->pipelining && smtp_verb(verb)->may_follow &&
                          !smtp_verb(smtp_fifo_newest(s)->verb)->must_be_last &&
                          count + FIFO_SPARE <= SMTP_FIFO_CAP);
}

/* ---- session commands: always alone ---- */

static void put_auth(struct smtp_session *s)
{
    const struct smtp_config *c = s->config;
    struct buf *b = &s->commands;

    if ((s->ehlo.auth & SMTP_AUTH_PLAIN) != 0) {
        if (s->auth_step == 0) {
            BUF_LIT(b, "AUTH PLAIN ");
        }
        smtp_auth_put_plain(b, c->auth_user, c->auth_password);
    } else if (s->auth_step == 0) {
        BUF_LIT(b, "AUTH LOGIN");
    } else {
        smtp_auth_put(b, s->auth_step == 1 ? c->auth_user : c->auth_password);
    }
    BUF_LIT(b, "\r\n");
}

static bool send_todo(struct smtp_session *s, struct smtp_flight *f)
{
    struct buf *b = &s->commands;
    enum smtp_verb verb = SMTP_VERB_EHLO;

    if (!may_send(s, verb)) {
        return false;
    }
    switch ((enum smtp_todo)s->todo) {
    case SMTP_TODO_NONE:
        return false;
    case SMTP_TODO_EHLO:
    case SMTP_TODO_HELO:
        verb = s->todo == SMTP_TODO_EHLO ? SMTP_VERB_EHLO : SMTP_VERB_HELO;
        buf_puts(b, slice_cstr(smtp_verb(verb)->name));
        buf_putc(b, ' ');
        buf_puts(b, s->config->ehlo_name);
        BUF_LIT(b, "\r\n");
        break;
    case SMTP_TODO_STARTTLS:
        verb = SMTP_VERB_STARTTLS;
        BUF_LIT(b, "STARTTLS\r\n");
        break;
    case SMTP_TODO_AUTH:
        verb = SMTP_VERB_AUTH;
        put_auth(s);
        break;
    }
    s->todo = SMTP_TODO_NONE;
    expect(s, verb, NULL, 0, f);
    return false;
}

static bool send_quit(struct smtp_session *s, struct smtp_flight *f)
{
    if (s->quit_sent || !may_send(s, SMTP_VERB_QUIT)) {
        return false;
    }
    BUF_LIT(&s->commands, "QUIT\r\n");
    expect(s, SMTP_VERB_QUIT, NULL, 0, f);
    s->quit_sent = true;
    return false;
}

/* ---- envelope ---- */

/* The one before it in line: an envelope may ride behind its content, and nothing else. */
static const struct smtp_txn *predecessor(const struct smtp_session *s)
{
    for (uint32_t at = s->txn_send; at != s->txn_head;) {
        const struct smtp_txn *txn = smtp_txn_at(s, --at);
        if (txn != NULL) {
            return txn;
        }
    }
    return NULL;
}

static bool may_go_ahead(const struct smtp_session *s)
{
    const struct smtp_txn *before = predecessor(s);

    return s->depth > 1 && may_send(s, SMTP_VERB_MAIL) && before != NULL &&
           (before->flags & SMTP_TXN_WRITTEN) != 0;
}

static void put_mail(struct smtp_session *s, const struct smtp_txn *txn)
{
    struct buf *b = &s->commands;
    uint32_t ext = s->ehlo.ext;
    bool utf8 = (txn->flags & SMTP_TXN_UTF8) != 0;

    BUF_LIT(b, "MAIL FROM:<");
    buf_puts(b, txn->mail_from);
    buf_putc(b, '>');
    if ((ext & SMTP_EXT_SIZE) != 0) {
        BUF_LIT(b, " SIZE=");
        buf_putu(b, txn->content.dotted_len);
    }
    /* RFC 6531 3.1: whoever offers SMTPUTF8 takes 8BITMIME too. */
    if (txn->needs_8bit && ((ext & SMTP_EXT_8BITMIME) != 0 || utf8)) {
        BUF_LIT(b, " BODY=8BITMIME");
    }
    if (utf8) {
        BUF_LIT(b, " SMTPUTF8");
    }
    if (txn->needs_requiretls) {
        BUF_LIT(b, " REQUIRETLS");
    }
    if (txn->dsn.len > 0 && (ext & SMTP_EXT_DSN) != 0) {
        buf_putc(b, ' ');
        buf_puts(b, txn->dsn);
    }
    BUF_LIT(b, "\r\n");
}

static void put_rset(struct smtp_session *s, struct smtp_flight *f)
{
    BUF_LIT(&s->commands, "RSET\r\n");
    expect(s, SMTP_VERB_RSET, NULL, 0, f);
    s->rset = false;
}

/* RSET before MAIL, where the server may hold the rest of a transaction.  Behind a BDAT that
 * is not answered it always stands: should that BDAT fail, the server's state is unknown
 * (RFC 3030 2), and this content must not reach the other's recipients.  True: MAIL may
 * follow at once. */
static bool clear_way(struct smtp_session *s, struct smtp_flight *f, bool ahead)
{
    bool wait = !s->pipelining || s->rset_wait;

    if (ahead ? !s->bdat : !s->rset) {
        return true;
    }
    put_rset(s, f);
    s->rset_wait = false;
    return ahead || !wait;
}

static bool send_mail(struct smtp_session *s, struct smtp_txn *txn, struct smtp_flight *f)
{
    bool ahead = smtp_fifo_count(s) > 0;

    if (ahead && !may_go_ahead(s)) {
        return false;
    }
    if (s->ehlo.mail_max > 0 && s->mails >= s->ehlo.mail_max) {
        smtp_session_unsafe(s); /* RFC 9422: this connection is used up */
        return true;
    }
    if (!clear_way(s, f, ahead)) {
        return false;
    }
    put_mail(s, txn);
    expect(s, SMTP_VERB_MAIL, txn, 0, f);
    s->mails++;
    txn->mail_at_us = f->now_us;
    txn->next_rcpt = (uint16_t)smtp_txn_next_rcpt(txn, 0);
    txn->domains = 1;
    txn->step = SMTP_STEP_RCPT;
    txn->went_ahead = ahead;
    txn->flags |= ahead ? SMTP_TXN_AHEAD : 0;
    return true;
}

static struct slice domain_of(struct slice address)
{
    size_t at = address.len;

    while (at > 0 && address.ptr[at - 1] != '@') {
        at--;
    }
    return slice_from(address, at);
}

/* LIMITS (RFC 9422), or what 452 taught: does this round take one more?  Domains are counted
 * by their changes from one recipient to the next: never fewer than there are. */
static bool round_is_full(const struct smtp_session *s, struct smtp_txn *txn, size_t rcpt)
{
    if (s->rcpt_max > 0 && txn->sent_rcpts >= s->rcpt_max) {
        return true;
    }
    if (s->ehlo.rcpt_domain_max == 0 || slice_ieq(domain_of(txn->rcpts[txn->last_rcpt].address),
                                                  domain_of(txn->rcpts[rcpt].address))) {
        return false;
    }
    txn->domains++;
    return txn->domains > s->ehlo.rcpt_domain_max;
}

static bool send_rcpt(struct smtp_session *s, struct smtp_txn *txn, struct smtp_flight *f)
{
    size_t at = txn->next_rcpt;
    struct smtp_rcpt *rcpt = &txn->rcpts[at];
    struct buf *b = &s->commands;

    if (!may_send(s, SMTP_VERB_RCPT) || smtp_fifo_count(s) >= RCPT_WINDOW) {
        return false;
    }
    BUF_LIT(b, "RCPT TO:<");
    buf_puts(b, rcpt->address);
    buf_putc(b, '>');
    if (rcpt->dsn.len > 0 && (s->ehlo.ext & SMTP_EXT_DSN) != 0) {
        buf_putc(b, ' ');
        buf_puts(b, rcpt->dsn);
    }
    BUF_LIT(b, "\r\n");
    expect(s, SMTP_VERB_RCPT, txn, at, f);
    rcpt->at = SMTP_AT_SENT;
    txn->last_rcpt = (uint16_t)at;
    txn->sent_rcpts++;
    at = smtp_txn_next_rcpt(txn, at + 1);
    txn->next_rcpt = (uint16_t)at;
    if (at == txn->rcpt_count || round_is_full(s, txn, at)) {
        txn->step = SMTP_STEP_DATA;
    }
    return true;
}

/* ---- content ---- */

static void begin_body(struct smtp_txn *txn, bool bdat)
{
    txn->sent_bdat = bdat;
    txn->body_iov = 0;
    txn->body_off = 0;
    txn->body_left = bdat ? txn->content.raw_len : txn->content.dotted_len;
}

static bool send_data(struct smtp_session *s, struct smtp_txn *txn, struct smtp_flight *f)
{
    bool bdat = s->bdat && txn->content.raw != NULL;

    if (!may_send(s, bdat ? SMTP_VERB_BDAT : SMTP_VERB_DATA)) {
        return false;
    }
    if (bdat && txn->waiting > 0 && txn->content.raw_len > BDAT_UNASKED_MAX) {
        return false;
    }
    begin_body(txn, bdat);
    if (!bdat) {
        BUF_LIT(&s->commands, "DATA\r\n");
        expect(s, SMTP_VERB_DATA, txn, 0, f);
        txn->step = SMTP_STEP_WAIT;
        return false;
    }
    BUF_LIT(&s->commands, "BDAT ");
    buf_putu(&s->commands, txn->content.raw_len);
    BUF_LIT(&s->commands, " LAST\r\n");
    expect(s, SMTP_VERB_BDAT, txn, 0, f);
    txn->step = SMTP_STEP_BODY;
    return true;
}

static bool send_body(struct smtp_session *s, struct smtp_txn *txn, struct smtp_flight *f)
{
    smtp_flight_close_commands(s, f);
    smtp_flight_put_body(f, txn);
    txn->flight = s->flight;
    if (txn->body_left > 0) {
        return false;
    }
    if (!txn->sent_bdat) {
        expect(s, SMTP_VERB_DOT, txn, 0, f);
    }
    txn->flags |= SMTP_TXN_WRITTEN;
    txn->end_at_us = f->now_us;
    txn->step = SMTP_STEP_SENT;
    return true;
}

static bool send_empty(struct smtp_session *s, struct smtp_txn *txn, struct smtp_flight *f)
{
    BUF_LIT(&s->commands, ".\r\n");
    expect(s, SMTP_VERB_EMPTY, txn, 0, f);
    txn->step = SMTP_STEP_SENT;
    return true;
}

/* ---- the plan ---- */

/* QUIT may ride behind the last content (S in the checklist: saves a round trip), when no
 * reply to come can ask for another round. */
static bool may_leave(const struct smtp_session *s)
{
    if (!s->quitting && !s->unsafe) {
        return false;
    }
    if (smtp_fifo_count(s) == 0) {
        return true;
    }
    const struct smtp_expect *oldest = smtp_fifo_oldest(s);
    const struct smtp_txn *txn = s->slots[oldest->slot];

    return smtp_fifo_count(s) == 1 && txn != NULL && oldest->verb == SMTP_VERB_DOT &&
           (txn->flags & (SMTP_TXN_FULL | SMTP_TXN_AHEAD)) == 0 &&
           smtp_txn_next_rcpt(txn, 0) == txn->rcpt_count;
}

/* Moves the cursor over what is sent already. */
static struct smtp_txn *next_txn(struct smtp_session *s)
{
    while (s->txn_send != s->txn_tail) {
        struct smtp_txn *txn = smtp_session_sending(s);
        if (txn != NULL && txn->step != SMTP_STEP_SENT) {
            return txn;
        }
        s->txn_send++;
    }
    return NULL;
}

static bool send_txn(struct smtp_session *s, struct smtp_flight *f)
{
    struct smtp_txn *txn = next_txn(s);

    if (s->again && (txn == NULL || txn->step == SMTP_STEP_MAIL)) {
        /* One starts over, once those begun are through. */
        if (smtp_fifo_count(s) > 0) {
            return false;
        }
        s->again = false;
        s->txn_send = s->txn_head;
        txn = next_txn(s);
    }
    if (txn == NULL) {
        return may_leave(s) && send_quit(s, f);
    }
    switch ((enum smtp_step)txn->step) {
    case SMTP_STEP_MAIL:
        return send_mail(s, txn, f);
    case SMTP_STEP_RCPT:
        return send_rcpt(s, txn, f);
    case SMTP_STEP_DATA:
        return send_data(s, txn, f);
    case SMTP_STEP_WAIT:
        return false;
    case SMTP_STEP_BODY:
        return send_body(s, txn, f);
    case SMTP_STEP_EMPTY:
        return send_empty(s, txn, f);
    case SMTP_STEP_SENT:
        break;
    }
    PANIC("nothing to send in step %u", txn->step);
}

bool smtp_session_send_next(struct smtp_session *s, struct smtp_flight *f)
{
    switch ((enum smtp_phase)s->phase) {
    case SMTP_PHASE_HELLO:
        return send_todo(s, f);
    case SMTP_PHASE_READY:
        return send_txn(s, f);
    case SMTP_PHASE_GOODBYE:
        return send_quit(s, f);
    case SMTP_PHASE_HANDSHAKE:
    case SMTP_PHASE_OVER:
        break;
    }
    return false;
}
