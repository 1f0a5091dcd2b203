/*
 * job.c - one claimed recipient in the worker's memory.
 */
#include "engine/deliver/job.h"

#include "engine/base/mem.h"
#include "engine/base/panic.h"
#include "engine/deliver/elsewhere.h"
#include "engine/deliver/letters.h"
#include "engine/dns/mx.h"

#include <string.h>

_Static_assert((int)LANE_HIGH == (int)JOB_HIGH && (int)LANE_BULK == (int)JOB_BULK,
               "lanes and record classes count alike");

struct job *job_new(const struct job_record *record, int64_t now_us)
{
    struct slice bytes = record->bytes;
    struct job *j = mem_alloc(sizeof(*j) + bytes.len);

    memset(j, 0, sizeof(*j));
    memcpy(j->bytes, bytes.ptr, bytes.len);
    list_init(&j->link);
    j->claimed_us = now_us;
    j->dns_us = -1;
    ASSERT(record_decode(&j->record, slice_of(j->bytes, bytes.len)) == 0);
    return j;
}

void job_free(struct job *j)
{
    ASSERT(!j->held && list_empty(&j->link));
    elsewhere_forget(j);
    stored_unref(j->stored);
    mx_plan_unref(j->plan);
    mem_free(j);
}

enum lane_class job_lane(const struct job *j)
{
    return (enum lane_class)j->record.class;
}

int64_t record_expires_wall_us(const struct job_record *r, int64_t default_us)
{
    int64_t from_ms = r->not_before_ms > r->created_ms ? r->not_before_ms : r->created_ms;

    return r->expires_ms > 0 ? r->expires_ms * 1000 : from_ms * 1000 + default_us;
}

int64_t job_expires_wall_us(const struct job *j, int64_t default_us)
{
    return record_expires_wall_us(&j->record, default_us);
}
