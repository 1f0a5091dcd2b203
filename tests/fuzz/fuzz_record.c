/* modules: queue io base */
/*
 * fuzz_record.c - any bytes as a record of the queue.
 *
 * Never a crash or a read outside; what decodes lies inside the bytes, and survives a deferral
 * with everything but its history unchanged.
 */
#include "queue/record.h"

#include <stdlib.h>
#include <string.h>

static void inside(struct slice part, struct slice whole)
{
    if (part.len > 0 && (part.ptr < whole.ptr || part.ptr + part.len > whole.ptr + whole.len)) {
        abort();
    }
}

static void look(const struct job_record *r, struct slice bytes)
{
    const struct slice parts[] = {
        r->id,          r->job,         r->lane,    r->pool,       r->tenant,  r->to,
        r->domain,      r->from,        r->message, r->campaign,   r->tags,    r->retry,
        r->window,      r->key,         r->tls,     r->dsn_notify, r->dsn_ret, r->dsn_envid,
        r->unsubscribe, r->feedback_id, r->verp,    r->outcomes};
    static const enum record_tag pairs[] = {RECORD_VAR, RECORD_EXTRA};

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        inside(parts[i], bytes);
    }
    for (size_t i = 0; i < 2; i++) {
        struct slice name, value;
        uint32_t at = 0;
        while (record_pair_next(r, pairs[i], &at, &name, &value)) {
            inside(name, bytes);
            inside(value, bytes);
        }
    }
    for (size_t i = 0; i < record_outcome_count(r); i++) {
        (void)record_outcome_at(r, i);
    }
}

static void defer(const struct job_record *r)
{
    struct record_outcome outcome = {.time_ms = 1767225600000, .code = 451, .stage = 3};
    struct buf out = BUF_EMPTY;
    struct job_record again;

    record_put_deferred(&out, r, r->attempts + 1, &outcome);
    if (out.len <= RECORD_LEN_MAX) {
        if (record_decode(&again, buf_slice(&out)) != 0 || !slice_eq(again.to, r->to) ||
            !slice_eq(again.message, r->message) || again.expires_ms != r->expires_ms ||
            again.last_attempt_ms != outcome.time_ms || record_outcome_count(&again) == 0) {
            abort();
        }
        look(&again, buf_slice(&out));
    }
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of((const char *)data, size);
    struct job_record record;

    inside(record_peek_id(bytes), bytes);
    if (record_decode(&record, bytes) == 0) {
        look(&record, bytes);
        defer(&record);
    }
    return 0;
}
