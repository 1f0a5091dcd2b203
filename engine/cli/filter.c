/*
 * filter.c - which jobs a command is about.
 */
#include "engine/cli/filter.h"

const char *job_state_name(enum job_state state)
{
    static const char *const names[JOB_STATES] = {"waiting", "parked", "due", "owned", "held"};

    ASSERT(state < JOB_STATES);
    return names[state];
}

static bool same(const char *wanted, struct slice value)
{
    return wanted == NULL || slice_eq(slice_cstr(wanted), value);
}

bool filter_takes_state(const struct filter *f, enum job_state state)
{
    /* Only bins say their site; a job elsewhere has none yet. */
    return (f->state == FILTER_ANY || f->state == (int)state) &&
           (f->site == NULL || state == JOB_PARKED);
}

bool filter_takes_list(const struct filter *f, const struct list_name *list)
{
    return filter_takes_state(f, list->bin ? JOB_PARKED : JOB_WAITING) &&
           (f->class == FILTER_ANY || f->class == (int)list->class) &&
           same(f->tenant, list->tenant) && same(f->pool, list->pool) &&
           (!list->bin || same(f->site, list->site));
}

/* Whether `tag` is one of "a,b,c". */
static bool has_tag(const char *tag, struct slice tags)
{
    struct slice one;

    while (slice_next(&tags, ',', &one)) {
        if (slice_eq(slice_cstr(tag), slice_trim(one))) {
            return true;
        }
    }
    return false;
}

bool filter_takes_job(const struct filter *f, const struct job_record *r)
{
    return (f->class == FILTER_ANY || f->class == (int)r->class) && same(f->tenant, r->tenant) &&
           same(f->pool, r->pool) && same(f->campaign, r->campaign) &&
           (f->domain == NULL || slice_ieq(slice_cstr(f->domain), r->domain)) &&
           (f->tag == NULL || has_tag(f->tag, r->tags));
}

bool filter_looks_into_jobs(const struct filter *f)
{
    return f->campaign != NULL || f->domain != NULL || f->tag != NULL;
}
