/*
 * recover.h - the outcome of a letter that a crash of the engine left without a reply.
 */
#ifndef VOLLEY_DELIVER_RECOVER_H
#define VOLLEY_DELIVER_RECOVER_H

#include "conf/conf.h"
#include "engine/base/rng.h"
#include "queue/replay.h"

struct recover {
    const struct conf *conf; /* `ambiguous`, `retry`, `expires`, `events`; borrowed */
    struct slice node_id;
    int events_fd; /* the file of events, or -1 */
    struct rng rng;
};

/* replay_ops.on_unanswered; `ctx` is a struct recover. */
void recover_unanswered(void *ctx, const struct journal_entry *dot, const struct job_record *record,
                        struct replay_outcome *out);

#endif
