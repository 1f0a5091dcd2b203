/*
 * sending.h - putting a mailing into the queue, and going on where it was interrupted.
 */
#ifndef VOLLEY_CLI_SENDING_H
#define VOLLEY_CLI_SENDING_H

#include "conf/conf.h"
#include "engine/cli/checkpoint.h"
#include "engine/cli/follow.h"
#include "engine/cli/mailing.h"

/* Checks every row without submitting, or shows the first letters.  The exit code. */
int sending_dry_run(struct mailing *m);
int sending_preview(struct mailing *m);

/* Submits, and follows when asked to.  The exit code. */
int sending_run(struct mailing *m, const struct conf *conf);

/* What came of it. */
struct sending_result {
    bool looked;                          /* only a look: nothing was submitted */
    uint64_t good, bad;                   /* rows, over all runs of the sending */
    uint64_t good_now;                    /* of this run */
    int64_t ms;                           /* of this run */
    const struct checkpoint *checkpoint;  /* NULL: only a look */
    const struct follow_counts *outcomes; /* NULL: not followed */
};

/* Prints it on standard output as the options say. */
void sending_report(const struct send_options *options, const struct sending_result *result);

#endif
