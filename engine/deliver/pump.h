/*
 * pump.h - keeping a path busy: as many connections as it can use, each with work, and never
 * more than its limits allow.
 */
#ifndef VOLLEY_DELIVER_PUMP_H
#define VOLLEY_DELIVER_PUMP_H

#include "engine/deliver/site.h"
#include "engine/smtp/verdict.h"

/* Gives work to ready connections, opens further ones, parks what cannot go soon. */
void pump_path(struct path *p);

/* All paths that asked for it (path_wake) in this tick. */
void pump_runnable(struct deliver *d);

/* A connection is gone altogether: the next path that waits for its place may have it. */
void pump_place_free(struct deliver *d);

/* A host of the site failed, or works; tells of the site's change where it is one. */
void pump_host_failed(struct site *s, const struct host *h, enum smtp_stage stage,
                      enum smtp_failure failure, struct slice text);
void pump_host_works(struct site *s, const struct host *h);

/* Returns everything that waits in lanes to the queue. */
void pump_return_all(struct deliver *d);

/* Looks at the path again then; LIMITER_NO_TIME: not for this. */
void pump_at(struct path *p, int64_t due_us);

#endif
