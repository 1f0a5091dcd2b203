/*
 * jobview_text.c - all there is to know of a queued job, for people.
 */
#include "engine/cli/desk.h"
#include "engine/cli/jobview.h"

static void row(struct table *t, const char *name, struct slice value)
{
    if (value.len > 0) {
        table_cell(t, slice_cstr(name));
        table_cell(t, value);
    }
}

static void row_time(struct table *t, const char *name, int64_t ms, int64_t now_ms)
{
    struct buf text = BUF_EMPTY;

    if (ms != 0) {
        desk_put_time(&text, ms);
        buf_puts(&text, slice_cstr(ms > now_ms ? " (in " : " ("));
        desk_put_age(&text, ms > now_ms ? ms - now_ms : now_ms - ms);
        buf_puts(&text, slice_cstr(ms > now_ms ? ")" : " ago)"));
        row(t, name, buf_slice(&text));
    }
    buf_fini(&text);
}

static void row_number(struct table *t, const char *name, uint64_t value)
{
    if (value > 0) {
        table_cell(t, slice_cstr(name));
        table_cellf(t, "%llu", (unsigned long long)value);
    }
}

static void put_state(struct table *t, const struct job_place *place, int64_t now_ms)
{
    static const char *const says[JOB_STATES] = {
        [JOB_WAITING] = "waiting in an intake",
        [JOB_PARKED] = "parked for site ",
        [JOB_DUE] = "due later",
        [JOB_OWNED] = "owned by node ",
        [JOB_HELD] = "held by order ",
    };
    struct buf text = BUF_EMPTY;

    buf_puts(&text, slice_cstr(says[place->state]));
    buf_puts(&text, job_place_who(place));
    row(t, "state", buf_slice(&text));
    row(t, "key", place->source);
    if (place->state == JOB_DUE) {
        row_time(t, "due", place->due_ms, now_ms);
    }
    buf_fini(&text);
}

static void put_pairs(struct table *t, const struct job_record *r, enum record_tag tag,
                      const char *prefix)
{
    struct buf name = BUF_EMPTY;
    struct slice key, value;
    uint32_t at = 0;

    while (record_pair_next(r, tag, &at, &key, &value)) {
        buf_reset(&name);
        buf_printf(&name, "%s" SLICE_FMT, prefix, SLICE_ARG(key));
        table_cell(t, buf_slice(&name));
        table_cell(t, value);
    }
    buf_fini(&name);
}

static void put_history(struct buf *out, const struct job_record *r)
{
    struct buf when = BUF_EMPTY;
    struct table t;

    if (record_outcome_count(r) == 0) {
        return;
    }
    table_init(&t, "llrll");
    table_cell(&t, SLICE("attempt ended"));
    table_cell(&t, SLICE("stage"));
    table_cell(&t, SLICE("code"));
    table_cell(&t, SLICE("enhanced"));
    table_cell(&t, SLICE("failure"));
    for (size_t i = 0; i < record_outcome_count(r); i++) {
        struct record_outcome o = record_outcome_at(r, i);
        buf_reset(&when);
        desk_put_time(&when, o.time_ms);
        table_cell(&t, buf_slice(&when));
        table_cell(&t, slice_cstr(jobview_stage(o.stage)));
        table_cellf(&t, "%u", o.code);
        table_cellf(&t, "%u.%u.%u", o.code / 100, o.enhanced[0], o.enhanced[1]);
        table_cell(&t, slice_cstr(jobview_failure(o.failure)));
    }
    buf_putc(out, '\n');
    table_put(out, &t, 0);
    table_fini(&t);
    buf_fini(&when);
}

void jobview_put_text(struct buf *out, const struct job_record *r, const struct job_place *place,
                      int64_t now_ms)
{
    static const char *const via[] = {"pool", "source", "route"};
    struct table t;

    table_init(&t, "ll");
    row(&t, "id", r->id);
    row(&t, "to", r->to);
    put_state(&t, place, now_ms);
    if (r->has_from) {
        row(&t, "from", r->from.len > 0 ? r->from : SLICE("<>"));
    }
    row(&t, "class", slice_cstr(job_class_name((enum job_class)r->class)));
    row(&t, via[r->via], r->pool);
    row(&t, "tenant", r->tenant);
    row(&t, "campaign", r->campaign);
    row(&t, "tags", r->tags);
    row(&t, "message", r->own_body ? SLICE("its own") : r->message);
    row(&t, "idempotency key", r->key);
    row_time(&t, "submitted", r->created_ms, now_ms);
    row_time(&t, "not before", r->not_before_ms, now_ms);
    row_time(&t, "expires", r->expires_ms, now_ms);
    table_cell(&t, SLICE("attempts"));
    table_cellf(&t, "%u", r->attempts);
    row_number(&t, "max attempts", r->max_attempts);
    row_time(&t, "last attempt", r->last_attempt_ms, now_ms);
    row(&t, "retry", r->retry);
    row(&t, "window", r->window);
    row(&t, "tls", r->tls);
    row(&t, "dsn.notify", r->dsn_notify);
    row(&t, "dsn.ret", r->dsn_ret);
    row(&t, "dsn.envid", r->dsn_envid);
    row(&t, "unsubscribe", r->unsubscribe);
    row(&t, "feedback_id", r->feedback_id);
    row(&t, "verp", r->verp);
    put_pairs(&t, r, RECORD_VAR, "v:");
    put_pairs(&t, r, RECORD_EXTRA, "x:");
    table_put(out, &t, 0);
    table_fini(&t);
    put_history(out, r);
}
