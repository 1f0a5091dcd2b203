/*
 * recover.c - the outcome of a letter that a crash of the engine left without a reply.
 *
 * It is the one that outcome.c gives when the connection breaks there, said by the next life
 * of the engine: `ambiguous` of the configuration decides.
 */
#include "engine/deliver/recover.h"

#include "engine/base/clock.h"
#include "engine/deliver/of_record.h"
#include "engine/smtp/verdict.h"

#include <unistd.h>

/* What is known without the record, for a job that another engine has by now. */
static void event_of_dot(struct event *e, const struct journal_entry *dot)
{
    uint64_t rcpt = 0;

    e->times = EVENT_TIMES_NONE;
    e->id = dot->id;
    if (dot->id.len > RECORD_JOB_LEN) {
        e->id.len = RECORD_JOB_LEN;
        (void)slice_u64(slice_from(dot->id, RECORD_JOB_LEN + 1), &rcpt);
    }
    e->rcpt = (uint32_t)rcpt;
    e->to = dot->to;
}

static void put_line(const struct recover *c, const struct event *e, struct buf *out)
{
    if (c->conf->events.attempts == CONF_ATTEMPTS_FINAL && !e->final) {
        return;
    }
    event_put(out, e);
    if (c->events_fd >= 0 && write(c->events_fd, out->ptr, out->len) < 0) {
        /* Told when the engine writes its next ones. */
    }
    out->len--; /* without the newline */
}

void recover_unanswered(void *ctx, const struct journal_entry *dot, const struct job_record *record,
                        struct replay_outcome *out)
{
    struct recover *c = ctx;
    struct event_pair pairs[RECORD_PAIRS_MAX];
    struct event e = {.type = "ambiguous", .wall_us = clock_wall_us(), .node = c->node_id};
    struct record_outcome outcome = {
        .time_ms = dot->wall_us / 1000, .stage = SMTP_STAGE_DOT, .failure = SMTP_FAILURE_NETWORK};

    if (record != NULL) {
        event_of_record(&e, record, pairs);
    } else {
        event_of_dot(&e, dot);
    }
    e.attempt = dot->attempt;
    e.stage = smtp_stage_name(SMTP_STAGE_DOT);
    e.failure = smtp_failure_name(SMTP_FAILURE_NETWORK);
    e.text = SLICE("the engine ended before the reply came");
    e.site = dot->site;
    e.mx = dot->mx;
    e.ip = dot->ip;
    e.source = dot->source;
    out->again = record != NULL && c->conf->ambiguous == CONF_AMBIGUOUS_RETRY;
    if (out->again && retry_of_record(record, c->conf, e.attempt, 0, &c->rng, e.wall_us,
                                      &e.next_wall_us) == RETRY_EXHAUSTED) {
        e.type = "expired";
        e.next_wall_us = 0;
        out->again = false;
    }
    e.final = record != NULL && !out->again;
    if (out->again) {
        record_put_deferred(&out->record, record, e.attempt, &outcome);
        out->due_ms = e.next_wall_us / 1000;
    }
    put_line(c, &e, &out->event);
}
