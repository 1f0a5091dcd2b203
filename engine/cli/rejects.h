/*
 * rejects.h - rows of a list that cannot be sent: shown, counted, kept.
 */
#ifndef VOLLEY_CLI_REJECTS_H
#define VOLLEY_CLI_REJECTS_H

#include "engine/cli/progress.h"

#include <stdio.h>

enum { REJECTS_SHOWN_MAX = 20 };

struct rejects {
    const char *list;          /* the name of the list, for messages */
    FILE *file;                /* all of them as CSV, or NULL */
    struct progress *progress; /* cleared before a line is written */
    uint64_t count;
};

/* `path` may be NULL; `again` adds to the file instead of replacing it.  0 or ERR_*. */
int rejects_open(struct rejects *r, const char *list, const char *path, bool again,
                 struct progress *progress);
void rejects_add(struct rejects *r, uint64_t line, struct slice what);
/* Says how many were not shown; 0, or an error when the file could not be written. */
int rejects_close(struct rejects *r);

#endif
