/*
 * of_record.c - what a job's record says to its events and to its next attempt.
 */
#include "engine/deliver/of_record.h"

#include "engine/base/units.h"
#include "engine/deliver/job.h"

enum { WAITS_MAX = 32 };

void event_of_record(struct event *e, const struct job_record *r,
                     struct event_pair pairs[RECORD_PAIRS_MAX])
{
    uint32_t at = 0;

    e->id = r->job;
    e->rcpt = r->rcpt;
    e->to = r->to;
    e->has_from = r->has_from;
    e->from = r->from;
    e->tenant = r->tenant;
    e->campaign = r->campaign;
    e->tags = r->tags;
    e->message = r->message;
    e->job_class = slice_cstr(job_class_name((enum job_class)r->class));
    e->asked_class = r->asked_high ? job_class_name(JOB_HIGH) : NULL;
    e->pool = r->via == JOB_VIA_POOL ? r->pool : SLICE_NONE;
    e->x = pairs;
    e->x_count = 0;
    while (
        e->x_count < RECORD_PAIRS_MAX &&
        record_pair_next(r, RECORD_EXTRA, &at, &pairs[e->x_count].name, &pairs[e->x_count].value)) {
        e->x_count++;
    }
    e->attempt = r->attempts;
    e->times = EVENT_TIMES_NONE;
    e->times.queue_us = e->wall_us - r->created_ms * 1000;
}

/* Reads "5m,10m,1h" of a job; 0 entries when there is none. */
static size_t waits_of_record(const struct job_record *r, int64_t waits[WAITS_MAX])
{
    struct slice rest = r->retry.len > 0 ? r->retry : SLICE_NONE, part;
    size_t count = 0;

    while (count < WAITS_MAX && slice_next(&rest, ',', &part)) {
        if (units_duration(slice_trim(part), &waits[count]) == 0 && waits[count] > 0) {
            count++;
        }
    }
    return count;
}

enum retry_verdict retry_of_record(const struct job_record *r, const struct conf *conf,
                                   uint32_t attempt, int64_t server_wait_us, struct rng *rng,
                                   int64_t wall_us, int64_t *due_us)
{
    int64_t waits[WAITS_MAX];
    struct retry_plan plan = {.waits_us = waits,
                              .wait_count = waits_of_record(r, waits),
                              .max_attempts = r->max_attempts};

    plan.expires_wall_us = record_expires_wall_us(r, conf->expires);
    if (plan.wait_count == 0) {
        plan.waits_us = conf->retry.items;
        plan.wait_count = conf->retry.count;
    }
    return retry_after(&plan, attempt, server_wait_us, rng, wall_us, due_us);
}
