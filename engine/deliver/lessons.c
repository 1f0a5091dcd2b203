/*
 * lessons.c - carries what sessions find out to the site they belong to, and back.
 */
#include "engine/deliver/lessons.h"

#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/deliver/conn.h"
#include "engine/deliver/core.h"
#include "engine/deliver/transaction.h"

#include <string.h>

/* A question to Redis; the site may be gone, or a new one, when the answer comes. */
struct question {
    struct deliver *d;
    size_t len;
    char site[SITE_KEY_MAX];
};

static void on_remembered(void *ctx, int err, int64_t off_until_ms)
{
    struct question *asked = ctx;
    struct site *s = site_find(asked->d, slice_of(asked->site, asked->len));

    if (s != NULL && s->learned.memory == LEARNED_ASKED) {
        learned_told(&s->learned, err != 0 ? -1 : off_until_ms * 1000);
        if (err == 0 && s->learned.ahead_off_us <= deliver_wall(s->d)) {
            log_debug("site %s: envelopes may go ahead, as a trial", s->key);
        }
    }
    mem_free(asked);
}

static void ask(struct site *s)
{
    struct question *q = mem_zalloc(sizeof(*q));

    q->d = s->d;
    q->len = strlen(s->key);
    memcpy(q->site, s->key, q->len);
    if (queue_recall(s->d->queue, slice_of(q->site, q->len), on_remembered, q) != 0) {
        learned_told(&s->learned, -1);
        mem_free(q);
    }
}

void lessons_tell(struct conn *c)
{
    const struct site *s = c->path->site;

    smtp_session_go_ahead(&c->session, learned_may_go_ahead(&s->learned, deliver_wall(c->d)));
}

/* What the session as a whole has found out so far. */
static void note_learned(struct conn *c)
{
    struct site *s = c->path->site;
    uint32_t learned = smtp_session_learned(&c->session);
    int64_t now_us = deliver_wall(c->d);

    if ((learned & SMTP_LEARNED_AHEAD_REFUSED) != 0 && !c->told_ahead_refused) {
        c->told_ahead_refused = true;
        if (learned_refused(&s->learned, now_us)) {
            log_info("site %s: %s refuses envelopes behind a message; not tried again for %lld "
                     "days",
                     s->key, c->host, (long long)(LEARNED_REFUSED_US / 1000000 / 86400));
            queue_remember(c->d->queue, slice_cstr(s->key), s->learned.ahead_off_us / 1000);
        }
    }
    if ((learned & SMTP_LEARNED_RCPT_LIMIT) != 0) {
        learned_rcpt_limit(&s->learned, smtp_session_rcpt_max(&c->session), now_us);
    }
}

static enum learned_end end_of(const struct transaction *t)
{
    bool accepted = false;

    for (size_t i = 0; i < t->count; i++) {
        unsigned cause = t->rcpts[i].cause;
        if (cause == SMTP_CAUSE_CLOSED || cause == SMTP_CAUSE_TIMEOUT ||
            cause == SMTP_CAUSE_GARBAGE) {
            return LEARNED_BROKE;
        }
        accepted = accepted || t->rcpts[i].outcome == SMTP_ACCEPTED;
    }
    return accepted ? LEARNED_ACCEPTED : LEARNED_REFUSED;
}

void lessons_of_transaction(struct conn *c, const struct transaction *t)
{
    struct site *s = c->path->site;

    if (c->config.pipeline == SMTP_PIPELINE_AUTO) {
        learned_transaction(&s->learned, end_of(t), t->txn.went_ahead, deliver_wall(c->d));
    }
    note_learned(c);
    if (learned_asks(&s->learned)) {
        ask(s);
    }
}

void lessons_of_session(struct conn *c)
{
    note_learned(c);
}
