/*
 * session_end.c - how a session ends, and what that means for what was inside.
 */
#include "engine/smtp/session_int.h"

#include "engine/base/err.h"
#include "engine/base/panic.h"

unsigned smtp_session_position(const struct smtp_session *s)
{
    return (s->completed > 0 ? SMTP_POS_WARM : 0u) | (s->tls_up ? 0u : SMTP_POS_CLEAR);
}

static void record_end(struct smtp_session *s, const struct smtp_trouble *t)
{
    struct smtp_fact fact = {
        .cause = t->cause, .stage = t->stage, .position = smtp_session_position(s)};

    s->end = (struct smtp_end){.reason = t->reason, .stage = t->stage, .err = t->err};
    if (t->reply != NULL) {
        enum smtp_cause cause = fact.cause;
        fact = smtp_fact_of(t->stage, t->reply, fact.position);
        fact.cause = cause;
        s->end.code = fact.code;
        s->end.enhanced = fact.enhanced;
        smtp_reply_print(t->reply, &s->end_text);
    } else if (t->text != NULL) {
        buf_puts(&s->end_text, slice_cstr(t->text));
    }
    s->end.text = buf_slice(&s->end_text);
    s->end.verdict = smtp_words_verdict(s->config->words, &fact, s->end.text);
}

/* Where a recipient would be lost now. */
static enum smtp_stage rcpt_stage(const struct smtp_txn *txn, const struct smtp_rcpt *rcpt)
{
    bool taken = rcpt->at == SMTP_AT_TAKEN;

    if ((txn->flags & SMTP_TXN_WRITTEN) != 0 && (taken || rcpt->at == SMTP_AT_SENT)) {
        return SMTP_STAGE_DOT;
    }
    if ((txn->flags & SMTP_TXN_TRIED) == 0) {
        return SMTP_STAGE_MAIL;
    }
    if (!taken) {
        return SMTP_STAGE_RCPT;
    }
    return txn->step == SMTP_STEP_BODY ? SMTP_STAGE_BODY : SMTP_STAGE_DATA;
}

/* What the end means for one recipient that has no outcome yet. */
static void settle(struct smtp_session *s, const struct smtp_trouble *t, struct smtp_txn *txn,
                   struct smtp_rcpt *rcpt, struct smtp_text text)
{
    struct smtp_fact fact = {.cause = t->cause, .stage = t->stage};
    bool taken = rcpt->at == SMTP_AT_TAKEN;
    /* An envelope whose MAIL was refused for its company is not heard, and goes again. */
    bool asked = taken || (rcpt->at == SMTP_AT_SENT && (txn->flags & SMTP_TXN_MAIL_BAD) == 0);
    bool tried = taken || (txn->flags & SMTP_TXN_TRIED) != 0;

    if (t->cause == SMTP_CAUSE_REPLY) {
        bool meant = t->txn == txn && (asked || t->stage == SMTP_STAGE_MAIL);
        fact = smtp_fact_of(t->stage, t->reply, smtp_session_position(s));
        fact.position |= meant ? 0u : SMTP_POS_BEHIND;
    } else {
        fact.stage = rcpt_stage(txn, rcpt);
        fact.position = smtp_session_position(s);
        fact.position |= asked && tried ? SMTP_POS_MAIL : 0u;
        fact.position |= asked && (txn->flags & SMTP_TXN_WRITTEN) != 0 ? SMTP_POS_WRITTEN : 0u;
    }
    smtp_rcpt_decide(txn, rcpt, &fact, text);
    ASSERT(rcpt->outcome != SMTP_UNDECIDED);
}

static void settle_all(struct smtp_session *s, const struct smtp_trouble *t, struct smtp_txn *txn)
{
    struct smtp_text text = smtp_txn_keep(txn, s->end.text);

    for (size_t i = 0; i < txn->rcpt_count; i++) {
        if (txn->rcpts[i].outcome == SMTP_UNDECIDED) {
            settle(s, t, txn, &txn->rcpts[i], text);
        }
    }
    smtp_session_finish(s, txn);
}

static const struct smtp_trouble goodbye = {
    .reason = SMTP_END_QUIT, .cause = SMTP_CAUSE_LOCAL, .stage = SMTP_STAGE_MAIL};

void smtp_session_over(struct smtp_session *s, const struct smtp_trouble *t)
{
    uint32_t tail = s->txn_tail;

    if (s->phase == SMTP_PHASE_OVER) {
        return;
    }
    if (s->end.reason == SMTP_END_NONE) {
        /* Once QUIT is all that is left, however the peer leaves is fine. */
        record_end(s, s->quit_sent && s->inside == 0 ? &goodbye : t);
    }
    s->phase = SMTP_PHASE_OVER;
    s->fifo_head = s->fifo_tail;
    s->events = SMTP_TELL_END;
    for (uint32_t at = s->txn_head; at != tail; at++) {
        if (smtp_txn_at(s, at) != NULL) {
            settle_all(s, t, smtp_txn_at(s, at));
        }
    }
    ASSERT(s->inside == 0);
}

void smtp_session_decline(struct smtp_session *s, const struct smtp_trouble *t)
{
    ASSERT(s->inside == 0);
    record_end(s, t);
    s->phase = SMTP_PHASE_GOODBYE;
}

void smtp_session_garbage(struct smtp_session *s, enum smtp_stage stage,
                          const struct smtp_reply *reply)
{
    struct smtp_trouble t = {.reason = SMTP_END_GARBAGE,
                             .cause = SMTP_CAUSE_GARBAGE,
                             .stage = stage,
                             .err = ERR_PROTO,
                             .reply = reply,
                             .text = "the peer sent what is no SMTP reply"};

    smtp_session_over(s, &t);
}

void smtp_session_unsafe(struct smtp_session *s)
{
    s->unsafe = true;
    SMTP_EACH_TXN(s, at)
    {
        struct smtp_txn *txn = smtp_txn_at(s, at);
        if (txn != NULL && txn->step == SMTP_STEP_MAIL) {
            smtp_txn_give_back(txn);
            smtp_session_finish(s, txn);
        }
    }
}

void smtp_session_check_quit(struct smtp_session *s)
{
    uint32_t left = s->config->quit_wait ? 0 : 1;

    if (s->quit_sent && s->inside == 0 && s->writing == 0 && smtp_fifo_count(s) <= left &&
        s->phase != SMTP_PHASE_OVER) {
        smtp_session_over(s, &goodbye);
    }
}
