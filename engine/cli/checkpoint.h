/*
 * checkpoint.h - how far a sending has come, kept in a file beside the list.
 *
 * A small text file of "name value" lines, replaced as a whole (written aside, fsync, rename),
 * so that it is never half written.  After the end it stays and says so: the same command
 * given again sends nothing twice.
 */
#ifndef VOLLEY_CLI_CHECKPOINT_H
#define VOLLEY_CLI_CHECKPOINT_H

#include "engine/base/buf.h"

enum { CHECKPOINT_ID_MAX = 64 };

struct checkpoint {
    bool done;
    char sending[CHECKPOINT_ID_MAX + 1]; /* by which Redis knows the parts */
    char message[CHECKPOINT_ID_MAX + 1];
    char digest[CHECKPOINT_ID_MAX + 1]; /* of list, letter and options */
    uint64_t part;                      /* parts up to this one were taken */
    uint64_t offset;                    /* of the row behind them */
    uint64_t line;
    uint64_t taken; /* rows */
    uint64_t bad;
    int64_t started_us; /* wall time */
    int64_t updated_us;
};

/* 0; ERR_NOTFOUND: there is none; ERR_INVALID: not a checkpoint; or the system's error. */
int checkpoint_read(const char *path, struct checkpoint *out);

/* 0 or the system's error; the old one stays then. */
int checkpoint_write(const char *path, const struct checkpoint *checkpoint);

/* ---- the pure part ---- */

void checkpoint_put(struct buf *out, const struct checkpoint *checkpoint);
int checkpoint_parse(struct slice text, struct checkpoint *out);

#endif
