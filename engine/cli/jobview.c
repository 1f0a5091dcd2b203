/*
 * jobview.c - a queued job as a row, and as JSON.
 */
#include "engine/cli/jobview.h"
#include "engine/base/json.h"
#include "engine/cli/desk.h"
#include "engine/smtp/stage.h"
#include "engine/smtp/verdict.h"

#include <stdio.h>

struct slice job_place_who(const struct job_place *place)
{
    struct list_name list;

    switch (place->state) {
    case JOB_PARKED:
        return list_name_parse(&list, place->source) == 0 ? list.site : SLICE_NONE;
    case JOB_OWNED:
    case JOB_HELD:
        return slice_from(place->source, slice_find(place->source, ':') + 1);
    case JOB_WAITING:
    case JOB_DUE:
    case JOB_STATES:
        break;
    }
    return SLICE_NONE;
}

/* ---- rows ---- */

void jobview_init(struct table *t)
{
    static const char *const heads[] = {"id",       "to",  "class", "tenant", "campaign",
                                        "attempts", "age", "state", "where"};

    table_init(t, "lllllrrll");
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        table_cell(t, slice_cstr(heads[i]));
    }
}

static void put_where(struct table *t, const struct job_place *place, int64_t now_ms)
{
    struct buf text = BUF_EMPTY;

    if (place->state == JOB_DUE && place->due_ms <= now_ms) {
        BUF_LIT(&text, "now");
    } else if (place->state == JOB_DUE) {
        BUF_LIT(&text, "in ");
        desk_put_age(&text, place->due_ms - now_ms);
    } else {
        buf_puts(&text, job_place_who(place));
    }
    table_cell(t, buf_slice(&text));
    buf_fini(&text);
}

void jobview_row(struct table *t, const struct job_record *r, const struct job_place *place,
                 int64_t now_ms)
{
    struct buf age = BUF_EMPTY;

    desk_put_age(&age, now_ms > r->created_ms ? now_ms - r->created_ms : 0);
    table_cell(t, r->id);
    table_cell(t, r->to);
    table_cell(t, slice_cstr(job_class_name((enum job_class)r->class)));
    table_cell(t, r->tenant);
    table_cell(t, r->campaign);
    table_cellf(t, "%u", r->attempts);
    table_cell(t, buf_slice(&age));
    table_cell(t, slice_cstr(job_state_name(place->state)));
    put_where(t, place, now_ms);
    buf_fini(&age);
}

void jobview_broken_row(struct table *t, struct slice record, const struct job_place *place)
{
    struct slice id = record_peek_id(record);

    table_cell(t, id.len > 0 ? id : SLICE("?"));
    table_cellf(t, "(cannot be read, %zu bytes)", record.len);
    for (unsigned i = 0; i < 5; i++) {
        table_cell(t, SLICE_NONE);
    }
    table_cell(t, slice_cstr(job_state_name(place->state)));
    table_cell(t, place->source);
}

/* ---- JSON ---- */

static void put_place_json(struct buf *out, const struct job_place *place)
{
    static const char *const who[JOB_STATES] = {
        [JOB_PARKED] = "site", [JOB_OWNED] = "node", [JOB_HELD] = "order"};

    json_put_cstr(out, "state", job_state_name(place->state));
    if (who[place->state] != NULL) {
        json_put_str(out, who[place->state], job_place_who(place));
    }
    if (place->state == JOB_DUE) {
        json_put_i64(out, "due_ms", place->due_ms);
    }
    json_put_str(out, "key", place->source);
}

static void put_text(struct buf *out, const char *name, struct slice value)
{
    if (value.len > 0) {
        json_put_str(out, name, value);
    }
}

static void put_number(struct buf *out, const char *name, int64_t value)
{
    if (value != 0) {
        json_put_i64(out, name, value);
    }
}

static void put_pairs_json(struct buf *out, const struct job_record *r, enum record_tag tag,
                           const char *name)
{
    struct slice key, value;
    uint32_t at = 0;
    bool any = false;

    while (record_pair_next(r, tag, &at, &key, &value)) {
        if (!any) {
            json_key(out, name);
            json_object_open(out);
        }
        any = true;
        json_key_slice(out, key);
        json_str(out, value);
    }
    if (any) {
        json_object_close(out);
    }
}

/* Numbers in a record are anybody's. */
const char *jobview_stage(uint8_t stage)
{
    return stage < SMTP_STAGE_COUNT ? smtp_stage_name((enum smtp_stage)stage) : "?";
}

const char *jobview_failure(uint8_t failure)
{
    return failure < SMTP_FAILURE_COUNT ? smtp_failure_name((enum smtp_failure)failure) : "?";
}

static void put_history_json(struct buf *out, const struct job_record *r)
{
    json_key(out, "history");
    json_array_open(out);
    for (size_t i = 0; i < record_outcome_count(r); i++) {
        struct record_outcome o = record_outcome_at(r, i);
        json_object_open(out);
        json_put_i64(out, "time_ms", o.time_ms);
        json_put_cstr(out, "stage", jobview_stage(o.stage));
        put_number(out, "code", o.code);
        json_put_cstr(out, "failure", jobview_failure(o.failure));
        json_object_close(out);
    }
    json_array_close(out);
}

static void put_whole_json(struct buf *out, const struct job_record *r)
{
    put_text(out, "retry", r->retry);
    put_number(out, "max_attempts", r->max_attempts);
    put_text(out, "window", r->window);
    put_text(out, "tls", r->tls);
    put_text(out, "dsn_notify", r->dsn_notify);
    put_text(out, "dsn_ret", r->dsn_ret);
    put_text(out, "dsn_envid", r->dsn_envid);
    put_text(out, "unsubscribe", r->unsubscribe);
    put_text(out, "feedback_id", r->feedback_id);
    put_text(out, "verp", r->verp);
    put_pairs_json(out, r, RECORD_VAR, "vars");
    put_pairs_json(out, r, RECORD_EXTRA, "x");
    put_history_json(out, r);
}

void jobview_put_json(struct buf *out, const struct job_record *r, const struct job_place *place,
                      bool whole)
{
    static const char *const via[] = {"pool", "source", "route"};

    json_object_open(out);
    json_put_str(out, "id", r->id);
    json_put_str(out, "to", r->to);
    if (r->has_from) {
        json_put_str(out, "from", r->from);
    }
    json_put_cstr(out, "class", job_class_name((enum job_class)r->class));
    json_put_str(out, via[r->via], r->pool);
    json_put_str(out, "tenant", r->tenant);
    put_text(out, "campaign", r->campaign);
    put_text(out, "tags", r->tags);
    put_text(out, "message", r->message);
    put_text(out, "idempotency_key", r->key);
    json_put_i64(out, "created_ms", r->created_ms);
    put_number(out, "not_before_ms", r->not_before_ms);
    put_number(out, "expires_ms", r->expires_ms);
    json_put_u64(out, "attempts", r->attempts);
    put_number(out, "last_attempt_ms", r->last_attempt_ms);
    put_place_json(out, place);
    if (whole) {
        put_whole_json(out, r);
    }
    json_object_close(out);
}

void jobview_put_broken_json(struct buf *out, struct slice record, const struct job_place *place)
{
    json_object_open(out);
    json_put_str(out, "id", record_peek_id(record));
    json_put_bool(out, "unreadable", true);
    json_put_u64(out, "bytes", record.len);
    put_place_json(out, place);
    json_object_close(out);
}
