/*
 * jobview.h - a queued job for people and for programs.  Pure.
 */
#ifndef VOLLEY_CLI_JOBVIEW_H
#define VOLLEY_CLI_JOBVIEW_H

#include "engine/cli/filter.h"
#include "engine/cli/table.h"

/* Where a job is. */
struct job_place {
    enum job_state state;
    struct slice source; /* "in:...", "bin:...", "due:high", "owned:<life>", "held:<order>" */
    int64_t due_ms;      /* of JOB_DUE */
};

/* The site of a bin, the life that owns it, the order that holds it; empty for other states. */
struct slice job_place_who(const struct job_place *place);

/* Names for the numbers in a record's history; "?" when there is none. */
const char *jobview_stage(uint8_t stage);
const char *jobview_failure(uint8_t failure);

/* A table of jobs: jobview_head() once, then a row for each. */
void jobview_init(struct table *t);
void jobview_row(struct table *t, const struct job_record *r, const struct job_place *place,
                 int64_t now_ms);
/* A row for a record that cannot be decoded. */
void jobview_broken_row(struct table *t, struct slice record, const struct job_place *place);

/* An object; `whole` with merge values, history and overrides. */
void jobview_put_json(struct buf *out, const struct job_record *r, const struct job_place *place,
                      bool whole);
void jobview_put_broken_json(struct buf *out, struct slice record, const struct job_place *place);

/* All there is, a line each. */
void jobview_put_text(struct buf *out, const struct job_record *r, const struct job_place *place,
                      int64_t now_ms);

#endif
