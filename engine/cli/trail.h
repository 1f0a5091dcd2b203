/*
 * trail.h - the events of one job, from the end of the stream backwards.
 */
#ifndef VOLLEY_CLI_TRAIL_H
#define VOLLEY_CLI_TRAIL_H

#include "engine/cli/desk.h"

enum { TRAIL_MAX = 200 }; /* events kept */

struct trail {
    char **line; /* JSON objects, the latest first */
    size_t count;
    uint64_t looked; /* entries */
    bool cut;        /* more entries reach back to the job's time */
};

void trail_init(struct trail *t);
void trail_fini(struct trail *t);

/* Looks through at most `entries` entries, and not further back than the job is old.  -1, or the
 * exit code. */
int trail_read(struct trail *t, struct desk *d, struct slice id, int64_t created_ms,
               uint64_t entries);

void trail_put_text(struct buf *out, const struct trail *t);
void trail_put_json(struct buf *out, const struct trail *t); /* members of an object */

/* ---- the pure part ---- */

/* The value of a member of an event: text without its quotes (escapes stay), or a number.
 * Empty when there is none. */
struct slice trail_field(struct slice line, const char *name);

#endif
