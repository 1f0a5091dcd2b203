/*
 * session_reply.c - replies meet the commands they answer; from the greeting to READY.
 *
 * The FIFO says which command a reply is for, and the table below what to do with it.  Each
 * function there has a case for every class of reply.
 */
#include "engine/smtp/session_int.h"

#include "engine/base/err.h"

/* ---- endings ---- */

/* 421: the server is about to close, whatever it was asked. */
static void closing(struct smtp_session *s, const struct smtp_answer *a)
{
    struct smtp_trouble t = {.reason = SMTP_END_CLOSED,
                             .cause = SMTP_CAUSE_REPLY,
                             .stage = smtp_verb(a->to.verb)->stage,
                             .err = ERR_CLOSED,
                             .reply = a->reply,
                             .txn = s->slots[a->to.slot]};

    if (s->phase == SMTP_PHASE_HELLO) {
        t.reason = SMTP_END_REFUSED;
        t.err = ERR_REFUSED;
    }
    if (a->to.verb == SMTP_VERB_RSET) {
        t.txn = NULL; /* not for the transaction that follows it */
    }
    smtp_session_over(s, &t);
}

static void refused(struct smtp_session *s, const struct smtp_answer *a,
                    enum smtp_end_reason reason)
{
    struct smtp_trouble t = {.reason = reason,
                             .cause = SMTP_CAUSE_REPLY,
                             .stage = smtp_verb(a->to.verb)->stage,
                             .err = ERR_REFUSED,
                             .reply = a->reply};

    smtp_session_decline(s, &t);
}

static void no_auth(struct smtp_session *s, const char *text)
{
    struct smtp_trouble t = {.reason = SMTP_END_AUTH,
                             .cause = SMTP_CAUSE_AUTH,
                             .stage = SMTP_STAGE_AUTH,
                             .err = ERR_REFUSED,
                             .text = text};

    smtp_session_decline(s, &t);
}

static void no_tls(struct smtp_session *s)
{
    struct smtp_trouble t = {.reason = SMTP_END_TLS,
                             .cause = SMTP_CAUSE_TLS,
                             .stage = SMTP_STAGE_TLS,
                             .err = ERR_REFUSED,
                             .text = "TLS is required and not offered"};

    smtp_session_decline(s, &t);
}

void smtp_session_mismatch(struct smtp_session *s, const struct smtp_answer *a)
{
    smtp_session_garbage(s, smtp_verb(a->to.verb)->stage, a->reply);
}

/* RFC 5321 6.3: our own name in the peer's mouth is a loop in somebody's DNS. */
static bool is_loop(struct smtp_session *s, const struct smtp_answer *a)
{
    struct smtp_trouble t = {.reason = SMTP_END_LOOP,
                             .cause = SMTP_CAUSE_LOOP,
                             .stage = smtp_verb(a->to.verb)->stage,
                             .err = ERR_REFUSED,
                             .reply = a->reply};

    if (s->config->own_name_ok ||
        !slice_ieq(smtp_ehlo_name(a->reply->text), s->config->ehlo_name)) {
        return false;
    }
    smtp_session_decline(s, &t);
    return true;
}

/* ---- towards READY ---- */

static void ready(struct smtp_session *s)
{
    const struct smtp_config *c = s->config;
    bool chunking = (s->ehlo.ext & SMTP_EXT_CHUNKING) != 0 && !c->no_bdat;
    unsigned depth = 1;

    s->pipelining = (s->ehlo.ext & SMTP_EXT_PIPELINING) != 0 && c->pipeline != SMTP_PIPELINE_OFF;
    switch (c->pipeline) {
    case SMTP_PIPELINE_AUTO:
        s->bdat = chunking;
        depth = c->go_ahead ? smtp_session_depth_ahead(s) : 1;
        break;
    case SMTP_PIPELINE_OFF:
    case SMTP_PIPELINE_COMMANDS:
        break;
    case SMTP_PIPELINE_MESSAGES:
        depth = 2;
        break;
    case SMTP_PIPELINE_CHUNKING:
        s->bdat = chunking;
        depth = chunking ? c->depth : 1;
        break;
    }
    s->depth = (uint8_t)(s->pipelining ? depth : 1);
    s->depth_full = s->depth;
    s->rcpt_max = s->ehlo.rcpt_max;
    s->phase = SMTP_PHASE_READY;
    s->events |= SMTP_TELL_READY;
}

static void authenticate(struct smtp_session *s)
{
    if (s->config->auth_user.len == 0) {
        ready(s);
    } else if (!s->tls_up && !s->config->auth_in_clear) {
        no_auth(s, "AUTH needs TLS, which is not up");
    } else if (s->ehlo.auth == 0) {
        no_auth(s, "AUTH PLAIN or LOGIN is not offered");
    } else {
        s->todo = SMTP_TODO_AUTH;
    }
}

static void hello_done(struct smtp_session *s)
{
    if (s->tls_up || s->config->tls == SMTP_TLS_NONE) {
        authenticate(s);
    } else if ((s->ehlo.ext & SMTP_EXT_STARTTLS) != 0) {
        s->todo = SMTP_TODO_STARTTLS;
    } else if (s->config->tls == SMTP_TLS_MAY) {
        authenticate(s);
    } else {
        no_tls(s);
    }
}

static void on_greeting(struct smtp_session *s, const struct smtp_answer *a)
{
    switch (a->class) {
    case SMTP_CLASS_OK:
        if (!is_loop(s, a)) {
            s->todo = s->config->helo_only ? SMTP_TODO_HELO : SMTP_TODO_EHLO;
        }
        return;
    case SMTP_CLASS_MORE:
        smtp_session_mismatch(s, a);
        return;
    case SMTP_CLASS_TEMP:
    case SMTP_CLASS_PERM:
        refused(s, a, SMTP_END_REFUSED);
        return;
    case SMTP_CLASS_CLOSING:
        closing(s, a);
        return;
    }
}

static void on_ehlo(struct smtp_session *s, const struct smtp_answer *a)
{
    switch (a->class) {
    case SMTP_CLASS_OK:
        if (!is_loop(s, a)) {
            smtp_ehlo_parse(&s->ehlo, a->reply->text, s->config->ignore);
            hello_done(s);
        }
        return;
    case SMTP_CLASS_MORE:
        smtp_session_mismatch(s, a);
        return;
    case SMTP_CLASS_TEMP:
    case SMTP_CLASS_PERM:
        s->todo = SMTP_TODO_HELO; /* RFC 5321 3.2 */
        return;
    case SMTP_CLASS_CLOSING:
        closing(s, a);
        return;
    }
}

static void on_helo(struct smtp_session *s, const struct smtp_answer *a)
{
    switch (a->class) {
    case SMTP_CLASS_OK:
        if (!is_loop(s, a)) {
            hello_done(s);
        }
        return;
    case SMTP_CLASS_MORE:
        smtp_session_mismatch(s, a);
        return;
    case SMTP_CLASS_TEMP:
    case SMTP_CLASS_PERM:
        refused(s, a, SMTP_END_REFUSED);
        return;
    case SMTP_CLASS_CLOSING:
        closing(s, a);
        return;
    }
}

static void on_starttls(struct smtp_session *s, const struct smtp_answer *a)
{
    switch (a->class) {
    case SMTP_CLASS_OK:
        s->phase = SMTP_PHASE_HANDSHAKE;
        s->events |= SMTP_TELL_STARTTLS;
        return;
    case SMTP_CLASS_MORE:
        smtp_session_mismatch(s, a);
        return;
    case SMTP_CLASS_TEMP:
    case SMTP_CLASS_PERM:
        s->learned |= SMTP_LEARNED_STARTTLS_REFUSED;
        if (s->config->tls == SMTP_TLS_MAY) {
            authenticate(s);
        } else {
            refused(s, a, SMTP_END_TLS);
        }
        return;
    case SMTP_CLASS_CLOSING:
        closing(s, a);
        return;
    }
}

/* 334 asks for more: PLAIN's response once (some servers ignore the initial one), LOGIN's
 * user and password. */
static void on_auth(struct smtp_session *s, const struct smtp_answer *a)
{
    unsigned steps = (s->ehlo.auth & SMTP_AUTH_PLAIN) != 0 ? 1 : 2;

    switch (a->class) {
    case SMTP_CLASS_OK:
        ready(s);
        return;
    case SMTP_CLASS_MORE:
        if (s->auth_step >= steps) {
            smtp_session_mismatch(s, a);
            return;
        }
        s->auth_step++;
        s->todo = SMTP_TODO_AUTH;
        return;
    case SMTP_CLASS_TEMP:
    case SMTP_CLASS_PERM:
        refused(s, a, SMTP_END_AUTH);
        return;
    case SMTP_CLASS_CLOSING:
        closing(s, a);
        return;
    }
}

/* ---- between and after transactions ---- */

/* Without RSET the server's state is unknown: no letter may be sent into it. */
static void on_rset(struct smtp_session *s, const struct smtp_answer *a)
{
    struct smtp_trouble t = {.reason = SMTP_END_REFUSED,
                             .cause = SMTP_CAUSE_GARBAGE,
                             .stage = SMTP_STAGE_MAIL,
                             .err = ERR_PROTO,
                             .reply = a->reply};

    switch (a->class) {
    case SMTP_CLASS_OK:
        return;
    case SMTP_CLASS_MORE:
    case SMTP_CLASS_TEMP:
    case SMTP_CLASS_PERM:
        smtp_session_over(s, &t);
        return;
    case SMTP_CLASS_CLOSING:
        closing(s, a);
        return;
    }
}

static void on_quit(struct smtp_session *s, const struct smtp_answer *a)
{
    switch (a->class) {
    case SMTP_CLASS_OK:
    case SMTP_CLASS_MORE:
    case SMTP_CLASS_TEMP:
    case SMTP_CLASS_PERM:
    case SMTP_CLASS_CLOSING:
        smtp_session_check_quit(s);
        return;
    }
}

/* ---- dispatch ---- */

static void (*const on_reply[SMTP_VERB_COUNT])(struct smtp_session *,
                                               const struct smtp_answer *) = {
    [SMTP_VERB_GREETING] = on_greeting, [SMTP_VERB_EHLO] = on_ehlo,
    [SMTP_VERB_HELO] = on_helo,         [SMTP_VERB_STARTTLS] = on_starttls,
    [SMTP_VERB_AUTH] = on_auth,         [SMTP_VERB_MAIL] = smtp_on_mail,
    [SMTP_VERB_RCPT] = smtp_on_rcpt,    [SMTP_VERB_DATA] = smtp_on_data,
    [SMTP_VERB_DOT] = smtp_on_dot,      [SMTP_VERB_EMPTY] = smtp_on_empty,
    [SMTP_VERB_BDAT] = smtp_on_bdat,    [SMTP_VERB_RSET] = on_rset,
    [SMTP_VERB_QUIT] = on_quit,
};

static enum smtp_class class_of(uint16_t code)
{
    switch (code / 100) {
    case 2:
        return SMTP_CLASS_OK;
    case 3:
        return SMTP_CLASS_MORE;
    case 4:
        return code == 421 ? SMTP_CLASS_CLOSING : SMTP_CLASS_TEMP;
    default:
        return SMTP_CLASS_PERM;
    }
}

/* Nothing was asked.  421 is a server's right at any time (RFC 5321 3.8); a refusal in the
 * middle of the content is understandable; all else means that we are out of step. */
static void unsolicited(struct smtp_session *s, const struct smtp_answer *a)
{
    struct smtp_txn *txn = smtp_session_sending(s);
    bool in_body = s->phase == SMTP_PHASE_READY && txn != NULL && txn->step == SMTP_STEP_BODY;
    struct smtp_trouble t = {.reason = s->inside > 0 ? SMTP_END_CLOSED : SMTP_END_IDLE,
                             .cause = SMTP_CAUSE_REPLY,
                             .stage = SMTP_STAGE_MAIL,
                             .err = ERR_CLOSED,
                             .reply = a->reply};

    if (in_body && (a->class == SMTP_CLASS_TEMP || a->class == SMTP_CLASS_PERM ||
                    a->class == SMTP_CLASS_CLOSING)) {
        t.reason = SMTP_END_CUT;
        t.stage = SMTP_STAGE_BODY;
        t.txn = txn;
        smtp_session_over(s, &t);
    } else if (a->class == SMTP_CLASS_CLOSING) {
        smtp_session_over(s, &t);
    } else {
        smtp_session_garbage(s, smtp_session_stage(s), a->reply);
    }
}

void smtp_session_reply(struct smtp_session *s, const struct smtp_reply *reply, int64_t now_us)
{
    struct smtp_answer a = {.reply = reply, .class = class_of(reply->code), .now_us = now_us};

    if (smtp_fifo_count(s) == 0) {
        unsolicited(s, &a);
        return;
    }
    a.to = *smtp_fifo_oldest(s);
    s->fifo_head++;
    s->since_us = now_us;
    if (a.class == SMTP_CLASS_CLOSING && a.to.verb >= SMTP_VERB_MAIL &&
        a.to.verb < SMTP_VERB_QUIT) {
        closing(s, &a);
        return;
    }
    on_reply[a.to.verb](s, &a);
    smtp_session_check_quit(s);
}
