/*
 * outcome.c - how a job ends.
 */
#include "engine/deliver/outcome.h"

#include "engine/base/err.h"
#include "engine/base/log.h"
#include "engine/deliver/conn.h"
#include "engine/deliver/core.h"
#include "engine/deliver/elsewhere.h"
#include "engine/deliver/event.h"
#include "engine/deliver/letters.h"
#include "engine/deliver/of_record.h"
#include "engine/deliver/schedule.h"
#include "engine/deliver/suppression.h"
#include "engine/deliver/transaction.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- the event ---- */

/* What the event says of the job itself; `pairs` holds its x: fields. */
static void event_of_job(struct deliver *d, const struct job *j, struct event *e,
                         struct event_pair pairs[RECORD_PAIRS_MAX])
{
    *e = (struct event){.wall_us = deliver_wall(d), .node = d->o.node_id};
    event_of_record(e, &j->record, pairs);
    e->times.queue_us = deliver_queue_wall(d) - j->record.created_ms * 1000;
    if (!e->has_from && j->stored != NULL) {
        e->has_from = true;
        e->from = j->stored->from;
    }
    e->times.dns_us = j->dns_us;
}

/* What the event says of the connection the attempt was made on. */
static void event_of_conn(const struct conn *c, struct event *e)
{
    e->mx = slice_cstr(c->host);
    e->ip = slice_cstr(c->ip);
    e->tls_version = slice_cstr(c->tls_version);
    e->tls_cipher = slice_cstr(c->tls_cipher);
    e->tls_verified = c->tls_verified;
    if (c->path != NULL) {
        e->site = slice_cstr(c->path->site->key);
        e->source = slice_cstr(c->path->source->name);
    }
    e->times.connect_us = c->connect_us;
    e->times.tls_us = c->tls_us;
}

/* Writes the line to scratch and to the file; returns it without its newline, or nothing when
 * the configuration does not want it. */
static struct slice event_line(struct deliver *d, const struct event *e)
{
    buf_reset(&d->scratch);
    if (d->conf->events.attempts == CONF_ATTEMPTS_FINAL && !e->final && e->id.len > 0) {
        return SLICE_NONE;
    }
    event_put(&d->scratch, e);
    if (d->o.events_fd >= 0) {
        buf_puts(&d->event_lines, buf_slice(&d->scratch));
    }
    return slice_of(d->scratch.ptr, d->scratch.len - 1);
}

void outcome_flush_events(struct deliver *d)
{
    struct slice rest = buf_slice(&d->event_lines);

    while (rest.len > 0) {
        ssize_t written = write(d->o.events_fd, rest.ptr, rest.len);
        if (written < 0 && err_from_errno(errno) == ERR_AGAIN) {
            continue;
        }
        if (written <= 0) {
            log_error("events file: %s; %zu bytes of events are only in the Redis stream",
                      strerror(errno), rest.len);
            break;
        }
        rest = slice_from(rest, (size_t)written);
    }
    buf_reset(&d->event_lines);
}

/* ---- ends ---- */

/* Frees the job; its outcome was given, or it is not ours any more. */
static void forget(struct deliver *d, struct job *j)
{
    if (j->held) {
        queue_hold_drop(d->queue, &j->hold);
        j->held = false;
    }
    deliver_job_out(d, j);
    job_free(j);
}

/* A job that another node owns by now: nothing is said about it. */
static bool forget_lost(struct deliver *d, struct job *j)
{
    if (j->lost) {
        forget(d, j);
        return true;
    }
    return false;
}

static void end_done(struct deliver *d, struct job *j, struct event *e)
{
    e->final = true;
    queue_done(d->queue, &j->record, event_line(d, e));
    forget(d, j);
}

/* No later than the end of its time, at which it is given up. */
static int64_t within_expiry(const struct deliver *d, const struct job *j, int64_t due_us)
{
    int64_t expires_us = job_expires_wall_us(j, d->conf->expires);

    return due_us < expires_us ? due_us : expires_us;
}

/* False when it was its last attempt: then it expired instead. */
static bool end_deferred(struct deliver *d, struct job *j, struct event *e,
                         const struct smtp_rcpt *rcpt)
{
    const struct job_record *r = &j->record;
    int64_t wall_us = deliver_queue_wall(d), due_us;
    struct record_outcome outcome = {
        .time_ms = wall_us / 1000,
        .code = rcpt->code,
        .stage = rcpt->stage,
        .failure = rcpt->failure,
        .enhanced = {(uint8_t)rcpt->enhanced.subject, (uint8_t)rcpt->enhanced.detail}};

    if (retry_of_record(r, d->conf, e->attempt, (int64_t)rcpt->retry_s * 1000000, &d->rng, wall_us,
                        &due_us) == RETRY_EXHAUSTED) {
        e->type = "expired";
        DELIVER_COUNT(d, expired, 1);
        end_done(d, j, e);
        return false;
    }
    due_us = within_expiry(d, j, schedule_next(d, r, due_us));
    e->next_wall_us = due_us;
    struct slice line = event_line(d, e);
    buf_reset(&d->record);
    record_put_deferred(&d->record, r, e->attempt, &outcome);
    queue_defer(d->queue, r, buf_slice(&d->record), due_us / 1000, line);
    forget(d, j);
    return true;
}

static void end_ambiguous(struct deliver *d, struct job *j, struct event *e,
                          const struct smtp_rcpt *rcpt)
{
    bool ends = d->conf->ambiguous != CONF_AMBIGUOUS_RETRY;

    e->type = "ambiguous";
    if (ends) {
        end_done(d, j, e);
    }
    if (ends || end_deferred(d, j, e, rcpt)) {
        DELIVER_COUNT(d, ambiguous, 1);
    }
}

/* What was answered, and what follows: with `e` filled in but for that. */
static void end_by(struct deliver *d, struct job *j, struct event *e, const struct smtp_rcpt *rcpt)
{
    char enhanced[SMTP_ENHANCED_LEN];

    smtp_enhanced_format(enhanced, rcpt->enhanced);
    e->attempt++;
    e->stage = smtp_stage_name((enum smtp_stage)rcpt->stage);
    e->code = rcpt->code;
    e->enhanced = slice_cstr(enhanced);
    if (rcpt->failure != SMTP_FAILURE_NONE) {
        e->failure = smtp_failure_name((enum smtp_failure)rcpt->failure);
    }
    switch ((enum smtp_outcome)rcpt->outcome) {
    case SMTP_ACCEPTED:
        e->type = "delivered";
        e->failure = NULL;
        DELIVER_COUNT(d, delivered, 1);
        end_done(d, j, e);
        break;
    case SMTP_REJECTED:
        e->type = "bounced";
        DELIVER_COUNT(d, bounced, 1);
        if (rcpt->failure == SMTP_FAILURE_BAD_MAILBOX) {
            suppression_learn(d, j, rcpt->code, e->enhanced, e->text);
        }
        end_done(d, j, e);
        break;
    case SMTP_AMBIGUOUS:
        end_ambiguous(d, j, e, rcpt);
        break;
    case SMTP_DEFERRED:
    case SMTP_NOT_TRIED: /* too often: counted after all */
    case SMTP_UNDECIDED:
        e->type = "deferred";
        if (end_deferred(d, j, e, rcpt)) {
            DELIVER_COUNT(d, deferred, 1);
        }
        break;
    }
}

void outcome_of(struct deliver *d, struct job *j, const struct transaction *t, size_t index)
{
    const struct smtp_rcpt *rcpt = &t->rcpts[index];
    struct event_pair pairs[RECORD_PAIRS_MAX];
    struct event e;

    event_of_job(d, j, &e, pairs);
    event_of_conn(t->conn, &e);
    e.text = smtp_rcpt_text(&t->txn, rcpt);
    e.bytes = t->txn.bytes;
    e.times.mail_us = t->txn.t_mail_us > 0 ? t->txn.t_mail_us : -1;
    e.times.dot_us = t->txn.t_dot_us > 0 ? t->txn.t_dot_us : -1;
    end_by(d, j, &e, rcpt);
}

void outcome_of_second(struct deliver *d, struct job *j, const struct path *p)
{
    const struct second *s = j->second;
    struct event_pair pairs[RECORD_PAIRS_MAX];
    struct event e;

    if (forget_lost(d, j)) {
        return;
    }
    event_of_job(d, j, &e, pairs);
    e.site = slice_cstr(p->site->key);
    e.source = slice_cstr(p->source->name);
    e.mx = slice_cstr(s->host);
    e.ip = slice_cstr(s->ip);
    e.text = slice_of(s->text, s->text_len);
    struct smtp_rcpt answer = s->answer;
    if (answer.outcome == SMTP_REJECTED) {
        answer.outcome =
            SMTP_DEFERRED; /* the first one lacks something; the second was not asked */
    }
    end_by(d, j, &e, &answer);
}

void outcome_bounce(struct deliver *d, struct job *j, enum smtp_stage stage,
                    enum smtp_failure failure, struct slice enhanced, struct slice text)
{
    struct event_pair pairs[RECORD_PAIRS_MAX];
    struct event e;

    if (forget_lost(d, j)) {
        return;
    }
    event_of_job(d, j, &e, pairs);
    e.type = "bounced";
    e.attempt++;
    e.stage = smtp_stage_name(stage);
    e.failure = smtp_failure_name(failure);
    e.enhanced = enhanced;
    e.text = text;
    DELIVER_COUNT(d, bounced, 1);
    end_done(d, j, &e);
}

bool outcome_expire(struct deliver *d, struct job *j)
{
    struct event_pair pairs[RECORD_PAIRS_MAX];
    struct event e;

    if (forget_lost(d, j)) {
        return true;
    }
    if (deliver_expiry_wall(d) < job_expires_wall_us(j, d->conf->expires)) {
        return false;
    }
    event_of_job(d, j, &e, pairs);
    e.type = "expired";
    e.attempt++; /* the attempt that is not made: the event's name stays its own */
    e.text = SLICE("not delivered within its time");
    DELIVER_COUNT(d, expired, 1);
    end_done(d, j, &e);
    return true;
}

void outcome_suppress(struct deliver *d, struct job *j, struct slice scope, struct slice reason)
{
    struct event_pair pairs[RECORD_PAIRS_MAX];
    struct buf text = BUF_EMPTY;
    struct event e;

    if (forget_lost(d, j)) {
        return;
    }
    event_of_job(d, j, &e, pairs);
    e.type = "suppressed";
    e.attempt++; /* as above */
    BUF_LIT(&text, "on the suppression list (");
    buf_puts(&text, scope);
    BUF_LIT(&text, ")");
    if (reason.len > 0) {
        BUF_LIT(&text, ": ");
        buf_puts(&text, reason);
    }
    e.text = buf_slice(&text);
    DELIVER_COUNT(d, suppressed, 1);
    end_done(d, j, &e);
    buf_fini(&text);
}

void outcome_cancel(struct deliver *d, struct job *j, struct slice order)
{
    struct event_pair pairs[RECORD_PAIRS_MAX];
    char text[ORDER_ID_MAX + 32];
    struct event e;

    if (forget_lost(d, j)) {
        return;
    }
    snprintf(text, sizeof(text), "cancelled by order " SLICE_FMT, SLICE_ARG(order));
    event_of_job(d, j, &e, pairs);
    e.type = "cancelled";
    e.attempt++; /* as for `expired` */
    e.text = slice_cstr(text);
    DELIVER_COUNT(d, cancelled, 1);
    queue_order_ended(d->queue, order);
    end_done(d, j, &e);
}

void outcome_set_aside(struct deliver *d, struct job *j, struct slice order)
{
    if (outcome_expire(d, j)) {
        return;
    }
    DELIVER_COUNT(d, set_aside, 1);
    queue_set_aside(d->queue, j->record.id, order);
    forget(d, j);
}

void outcome_postpone(struct deliver *d, struct job *j, int64_t wait_us)
{
    if (outcome_expire(d, j)) {
        return;
    }
    int64_t due_us = within_expiry(d, j, deliver_queue_wall(d) + wait_us);
    DELIVER_COUNT(d, returned, 1);
    queue_defer(d->queue, &j->record, j->record.bytes, due_us / 1000, SLICE_NONE);
    forget(d, j);
}

void outcome_park(struct deliver *d, struct job *j, struct slice site)
{
    if (outcome_expire(d, j)) {
        return;
    }
    /* A route is no place of its domain: mail for it by other ways must not follow there. */
    struct slice domain = j->record.via == JOB_VIA_ROUTE ? SLICE_NONE : j->record.domain;
    DELIVER_COUNT(d, parked, 1);
    queue_park(d->queue, j->record.id, j->record.lane, domain, site);
    forget(d, j);
}

void outcome_return(struct deliver *d, struct job *j)
{
    if (forget_lost(d, j)) {
        return;
    }
    DELIVER_COUNT(d, returned, 1);
    queue_return(d->queue, j->record.id, j->record.lane, SLICE_NONE);
    forget(d, j);
}

void outcome_site(struct deliver *d, struct slice site, bool works, enum smtp_stage stage,
                  enum smtp_failure failure, struct slice mx, struct slice ip, struct slice text)
{
    struct event e = {.type = "site", .wall_us = deliver_wall(d), .node = d->o.node_id};

    e.site = site;
    e.mx = mx;
    e.ip = ip;
    e.stage = smtp_stage_name(stage);
    e.state = works ? "up" : "down";
    e.failure = works ? NULL : smtp_failure_name(failure);
    e.text = text;
    e.times = EVENT_TIMES_NONE;
    queue_event(d->queue, event_line(d, &e));
}
