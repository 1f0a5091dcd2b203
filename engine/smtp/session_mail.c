/*
 * session_mail.c - what a reply means for a transaction, from MAIL to the final dot.
 *
 * 421 never comes here: session_reply.c ends the session with it.  Every other class has its
 * case in every function, and every function ends in after_reply(), which sees whether the
 * round is over.
 */
#include "engine/smtp/session_int.h"

#include "engine/base/err.h"
#include "engine/base/panic.h"

/* ---- rounds ---- */

/* Recipients are left that nobody refused. */
static void next_round(struct smtp_session *s, struct smtp_txn *txn)
{
    struct smtp_fact stuck = {
        .cause = SMTP_CAUSE_LOCAL, .stage = SMTP_STAGE_RCPT, .code = 451, .enhanced = {4, 5, 0}};
    bool progress = txn->decided > txn->decided_before;

    if (s->unsafe || s->quit_sent) {
        smtp_txn_give_back(txn);
    } else if (!progress && (txn->flags & SMTP_TXN_AGAIN) == 0) {
        smtp_txn_decide(txn, SMTP_AT_ANY, &stuck,
                        smtp_txn_keep(txn, SLICE("the server takes none of the recipients")));
    } else {
        smtp_txn_rewind(txn);
        s->again = true;
        return;
    }
    smtp_session_finish(s, txn);
}

/* Is it the last one of which anything was written? */
static bool is_last_sent(const struct smtp_session *s, const struct smtp_txn *txn)
{
    bool after = false;

    SMTP_EACH_TXN(s, at)
    {
        const struct smtp_txn *other = smtp_txn_at(s, at);
        if (after && other != NULL && other->step != SMTP_STEP_MAIL) {
            return false;
        }
        after = after || other == txn;
    }
    return true;
}

static void round_end(struct smtp_session *s, struct smtp_txn *txn)
{
    bool open = (txn->flags & SMTP_TXN_MAIL_OK) != 0 && (txn->flags & SMTP_TXN_CLEARED) == 0;

    if (open && is_last_sent(s, txn)) {
        s->rset = true;
        s->rset_wait = s->rset_wait || txn->sent_bdat; /* RFC 3030 2: alone, and answered */
    }
    if (txn->decided == txn->rcpt_count) {
        smtp_session_finish(s, txn);
    } else {
        next_round(s, txn);
    }
}

static void after_reply(struct smtp_session *s, struct smtp_txn *txn)
{
    bool unsent = txn->step == SMTP_STEP_RCPT || txn->step == SMTP_STEP_DATA;
    bool refused = (txn->flags & SMTP_TXN_MAIL_BAD) != 0 ||
                   (txn->step == SMTP_STEP_DATA && txn->waiting == 0 && txn->taken == 0);

    if (s->phase == SMTP_PHASE_OVER) {
        return;
    }
    if (unsent && refused) {
        txn->step = SMTP_STEP_SENT;
    } else if (txn->step == SMTP_STEP_RCPT && (txn->flags & SMTP_TXN_FULL) != 0) {
        txn->step = SMTP_STEP_DATA;
    }
    if (txn->step == SMTP_STEP_SENT && txn->waiting == 0) {
        round_end(s, txn);
    }
}

/* ---- what a verdict does to the connection ---- */

static void obey(struct smtp_session *s, const struct smtp_answer *a, enum smtp_conn_fate fate)
{
    uint16_t code = a->reply->code;

    if (code >= 500 && code <= 504 && fate != SMTP_CONN_KEEP) {
        s->learned |= SMTP_LEARNED_PROTOCOL;
    }
    switch (fate) {
    case SMTP_CONN_KEEP:
        return;
    case SMTP_CONN_LEAVE:
        smtp_session_unsafe(s);
        return;
    case SMTP_CONN_DROP:
        smtp_session_mismatch(s, a);
        return;
    }
}

/* Decides the recipients that stand at `at` by a reply. */
static void decide(struct smtp_session *s, struct smtp_txn *txn, unsigned at,
                   const struct smtp_answer *a)
{
    struct smtp_fact fact =
        smtp_fact_of(smtp_verb(a->to.verb)->stage, a->reply, smtp_session_position(s));
    struct smtp_verdict v = smtp_txn_decide(txn, at, &fact, smtp_txn_keep_reply(txn, a->reply));

    obey(s, a, v.conn);
}

/* ---- envelopes that went ahead ---- */

/* 503, 5.5.x and the like to a command that is right: the server minds the company it came
 * in, not what it says. */
static bool is_sequence_error(const struct smtp_reply *reply)
{
    return (reply->code >= 500 && reply->code <= 503) ||
           (reply->code / 100 == 5 && reply->enhanced.subject == 5);
}

static bool may_go_again(const struct smtp_txn *txn)
{
    return (txn->flags & SMTP_TXN_AHEAD) != 0 && (txn->flags & SMTP_TXN_AGAIN2) == 0;
}

/* The envelope goes again by itself, and no other one goes ahead from now on. */
static void go_again(struct smtp_session *s, struct smtp_txn *txn, bool sure)
{
    txn->flags |= SMTP_TXN_AGAIN | (sure ? 0 : SMTP_TXN_SUSPECT);
    txn->flags &= (uint16_t)~SMTP_TXN_TRIED;
    s->depth = 1;
    if (sure) {
        s->learned |= SMTP_LEARNED_AHEAD_REFUSED;
    }
}

/* A refusal of an envelope that went ahead was for the company (it is accepted alone) or
 * for its own sake (it is refused again). */
static void resolve_suspicion(struct smtp_session *s, struct smtp_txn *txn, bool accepted)
{
    if ((txn->flags & SMTP_TXN_SUSPECT) == 0) {
        return;
    }
    txn->flags &= (uint16_t)~SMTP_TXN_SUSPECT;
    if (accepted) {
        s->learned |= SMTP_LEARNED_AHEAD_REFUSED;
    } else if ((s->learned & SMTP_LEARNED_AHEAD_REFUSED) == 0) {
        s->depth = s->depth_full;
    }
}

/* ---- replies ---- */

static struct smtp_txn *answered(struct smtp_session *s, const struct smtp_answer *a)
{
    struct smtp_txn *txn = s->slots[a->to.slot];

    ASSERT(txn != NULL && txn->waiting > 0);
    txn->waiting--;
    return txn;
}

void smtp_on_mail(struct smtp_session *s, const struct smtp_answer *a)
{
    struct smtp_txn *txn = answered(s, a);

    txn->t_mail_us = a->now_us - txn->mail_at_us;
    switch (a->class) {
    case SMTP_CLASS_OK:
        txn->flags |= SMTP_TXN_MAIL_OK | SMTP_TXN_TRIED;
        resolve_suspicion(s, txn, true);
        break;
    case SMTP_CLASS_MORE:
    case SMTP_CLASS_CLOSING:
        smtp_session_mismatch(s, a);
        return;
    case SMTP_CLASS_PERM:
        if (may_go_again(txn)) {
            txn->flags |= SMTP_TXN_MAIL_BAD;
            go_again(s, txn, is_sequence_error(a->reply));
            break;
        }
        /* fall through */
    case SMTP_CLASS_TEMP:
        txn->flags |= SMTP_TXN_MAIL_BAD | SMTP_TXN_TRIED;
        resolve_suspicion(s, txn, false);
        decide(s, txn, SMTP_AT_ANY, a);
        break;
    }
    after_reply(s, txn);
}

static void rcpt_refused(struct smtp_session *s, struct smtp_txn *txn, struct smtp_rcpt *rcpt,
                         const struct smtp_answer *a)
{
    unsigned position = smtp_session_position(s) | (txn->taken > 0 ? SMTP_POS_TAKEN : 0u);
    struct smtp_fact fact = smtp_fact_of(SMTP_STAGE_RCPT, a->reply, position);

    if (a->reply->code == 503 && txn->taken == 0 && may_go_again(txn)) {
        rcpt->at = SMTP_AT_LATER;
        go_again(s, txn, true);
        return;
    }
    struct smtp_verdict v = smtp_rcpt_decide(txn, rcpt, &fact, smtp_txn_keep_reply(txn, a->reply));

    if (v.later) {
        txn->flags |= SMTP_TXN_FULL;
        s->learned |= SMTP_LEARNED_RCPT_LIMIT;
        s->rcpt_max = txn->taken;
    }
    obey(s, a, v.conn);
}

void smtp_on_rcpt(struct smtp_session *s, const struct smtp_answer *a)
{
    struct smtp_txn *txn = answered(s, a);
    struct smtp_rcpt *rcpt = &txn->rcpts[a->to.rcpt];
    bool dropped = (txn->flags & SMTP_TXN_MAIL_BAD) != 0; /* its fate is sealed */

    switch (a->class) {
    case SMTP_CLASS_OK:
        if (dropped) {
            /* A recipient without a sender: whose letter would the next 354 be for? */
            smtp_session_mismatch(s, a);
            return;
        }
        rcpt->at = SMTP_AT_TAKEN;
        txn->taken++;
        break;
    case SMTP_CLASS_MORE:
    case SMTP_CLASS_CLOSING:
        smtp_session_mismatch(s, a);
        return;
    case SMTP_CLASS_TEMP:
    case SMTP_CLASS_PERM:
        if (!dropped) {
            rcpt_refused(s, txn, rcpt, a);
        }
        break;
    }
    after_reply(s, txn);
}

/* A refusal of what comes behind the recipients, for those that were taken. */
static void content_refused(struct smtp_session *s, struct smtp_txn *txn,
                            const struct smtp_answer *a)
{
    if (txn->taken == 0) {
        return; /* as was to be expected */
    }
    if (a->reply->code == 503 && may_go_again(txn)) {
        go_again(s, txn, true);
        return;
    }
    decide(s, txn, SMTP_AT_TAKEN, a);
}

void smtp_on_data(struct smtp_session *s, const struct smtp_answer *a)
{
    struct smtp_txn *txn = answered(s, a);

    ASSERT(txn->step == SMTP_STEP_WAIT);
    switch (a->class) {
    case SMTP_CLASS_OK:
    case SMTP_CLASS_CLOSING:
        smtp_session_mismatch(s, a);
        return;
    case SMTP_CLASS_MORE:
        txn->step = txn->taken > 0 ? SMTP_STEP_BODY : SMTP_STEP_EMPTY;
        break;
    case SMTP_CLASS_TEMP:
    case SMTP_CLASS_PERM:
        txn->step = SMTP_STEP_SENT;
        content_refused(s, txn, a);
        break;
    }
    after_reply(s, txn);
}

void smtp_on_dot(struct smtp_session *s, const struct smtp_answer *a)
{
    struct smtp_txn *txn = answered(s, a);

    txn->t_dot_us = a->now_us - txn->end_at_us;
    txn->flags |= SMTP_TXN_CLEARED;
    s->completed++;
    switch (a->class) {
    case SMTP_CLASS_OK:
    case SMTP_CLASS_MORE:
    case SMTP_CLASS_TEMP:
    case SMTP_CLASS_PERM:
        decide(s, txn, SMTP_AT_TAKEN, a);
        break;
    case SMTP_CLASS_CLOSING:
        smtp_session_mismatch(s, a);
        return;
    }
    after_reply(s, txn);
}

/* The server's opinion on an empty message: of no interest, even when it is 250. */
void smtp_on_empty(struct smtp_session *s, const struct smtp_answer *a)
{
    struct smtp_txn *txn = answered(s, a);

    switch (a->class) {
    case SMTP_CLASS_OK:
    case SMTP_CLASS_TEMP:
    case SMTP_CLASS_PERM:
        txn->flags |= SMTP_TXN_CLEARED;
        break;
    case SMTP_CLASS_MORE:
    case SMTP_CLASS_CLOSING:
        smtp_session_mismatch(s, a);
        return;
    }
    after_reply(s, txn);
}

/* The content followed the command at once.  A server that does not know BDAT takes it for
 * commands; one that answers before it has all octets may not read on. */
static bool bdat_lost(struct smtp_session *s, const struct smtp_txn *txn,
                      const struct smtp_answer *a)
{
    uint16_t code = a->reply->code;

    if (code == 500 || code == 502 || code == 504) {
        s->learned |= SMTP_LEARNED_NO_BDAT;
        return true;
    }
    return txn->step == SMTP_STEP_BODY;
}

static void bdat_answered(struct smtp_session *s, struct smtp_txn *txn, const struct smtp_answer *a)
{
    enum smtp_stage stage = txn->step == SMTP_STEP_BODY ? SMTP_STAGE_BODY : SMTP_STAGE_DOT;
    struct smtp_trouble t = {.reason = SMTP_END_CUT,
                             .cause = SMTP_CAUSE_REPLY,
                             .stage = stage,
                             .err = ERR_PROTO,
                             .reply = a->reply,
                             .txn = txn};

    if (bdat_lost(s, txn, a)) {
        smtp_session_over(s, &t);
    } else {
        content_refused(s, txn, a);
    }
}

void smtp_on_bdat(struct smtp_session *s, const struct smtp_answer *a)
{
    struct smtp_txn *txn = answered(s, a);

    txn->t_dot_us = txn->step == SMTP_STEP_SENT ? a->now_us - txn->end_at_us : 0;
    switch (a->class) {
    case SMTP_CLASS_OK:
        if (txn->step != SMTP_STEP_SENT) {
            smtp_session_mismatch(s, a); /* accepted before it was sent? */
            return;
        }
        if (txn->taken > 0) {
            s->completed++;
            txn->flags |= SMTP_TXN_CLEARED;
            decide(s, txn, SMTP_AT_TAKEN, a);
        }
        break;
    case SMTP_CLASS_MORE:
    case SMTP_CLASS_CLOSING:
        smtp_session_mismatch(s, a);
        return;
    case SMTP_CLASS_TEMP:
    case SMTP_CLASS_PERM:
        bdat_answered(s, txn, a);
        break;
    }
    after_reply(s, txn);
}
