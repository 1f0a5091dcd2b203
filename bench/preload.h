/*
 * preload.h - fills a queue with jobs, as a submitter in any language would.
 *
 * Speaks to Redis on a unix socket by itself: stores one letter and submits jobs that name it,
 * with volley_submit_batch, many calls in flight.  The library must be loaded.
 */
#ifndef VOLLEY_BENCH_PRELOAD_H
#define VOLLEY_BENCH_PRELOAD_H

#include "engine/base/buf.h"

struct preload_options {
    const char *socket;
    uint64_t jobs;
    uint64_t domains; /* recipients u<n>@d<n mod domains>.example */
    const char *job_class;
    struct slice letter;
};

/* False with a message in *error. */
bool preload_run(const struct preload_options *options, struct buf *error);

/* One command of words parted by spaces; its answer, or the error, is appended to *answer as
 * text, elements of arrays on lines of their own.  False when Redis cannot be reached or says
 * no. */
bool preload_command(const char *socket, const char *command, struct buf *answer);

#endif
