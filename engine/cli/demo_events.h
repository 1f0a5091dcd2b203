/*
 * demo_events.h - reading the events of the demonstration as they are written.
 */
#ifndef VOLLEY_CLI_DEMO_EVENTS_H
#define VOLLEY_CLI_DEMO_EVENTS_H

#include "engine/base/buf.h"

struct demo_events {
    int fd;
    struct buf rest;  /* of a line that is not complete */
    struct buf times; /* int64_t: microseconds from submission to 250, one a delivery */
    uint64_t delivered;
    uint64_t deferred;
    uint64_t failed; /* bounced or expired */
};

/* Opens the file, which the engine has made by now.  0 or ERR_*. */
int demo_events_open(struct demo_events *e, const char *path);
void demo_events_close(struct demo_events *e);

/* Reads what was written since. */
void demo_events_read(struct demo_events *e);

/* The time that `share` (0..1) of the deliveries did not exceed; 0 without any. */
int64_t demo_events_percentile(struct demo_events *e, double share);

#endif
