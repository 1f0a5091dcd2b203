/*
 * replay.h - what a crashed engine's journal says, told to Redis.
 *
 * Before the node registers again, while what its former life had claimed is still owned by
 * that life: outcomes that Redis has not heard of are given as they stand in the journal, and
 * letters that were sent whole without a reply get the outcome that the caller's policy says.
 * The rest goes back to the queue by takeover.h, as ever.
 *
 * A job that is not owned any more and whose life is untouched had its outcome recorded: it is
 * left alone.  When other engines have taken jobs of that life, its outcome is written as late.
 * All this may be broken off and begun again at any moment.
 */
#ifndef VOLLEY_QUEUE_REPLAY_H
#define VOLLEY_QUEUE_REPLAY_H

#include "queue/journal_entry.h"
#include "queue/keys.h"
#include "queue/record.h"
#include "queue/redis.h"

/* What on_unanswered() decides. */
struct replay_outcome {
    bool again;        /* deferred: comes back at due_ms as `record`; else it is over */
    struct buf event;  /* without newline */
    struct buf record; /* again: record_put_deferred() */
    int64_t due_ms;
};

struct replay_ops {
    /* The letter of `dot` was sent whole, and no reply was heard.  `record` is NULL when another
     * engine has the job: what is said then is written as late.  Fills in *out, which is empty. */
    void (*on_unanswered)(void *ctx, const struct journal_entry *dot,
                          const struct job_record *record, struct replay_outcome *out);
};

struct replay;

/* Reads the journals in `directory`, which is made if need be.  Never NULL; an unreadable
 * directory is logged and gives nothing to replay. */
struct replay *replay_load(const char *directory, const struct replay_ops *ops, void *ctx);
void replay_free(struct replay *r); /* NULL is fine */

/* True when nothing is left to be told; the files are gone then. */
bool replay_over(const struct replay *r);

/* Goes on telling.  `redis` is up, has the library, and outlives it: a break of the connection
 * ends it silently, to be begun again.  `done` follows otherwise; it is over then. */
void replay_start(struct replay *r, struct redis *redis, const struct keys *keys,
                  void (*done)(void *ctx), void *ctx);

struct replay_stats {
    uint64_t recorded;   /* outcomes given from the journal */
    uint64_t unanswered; /* letters without a reply */
    uint64_t late;       /* of jobs that others have by now */
    uint64_t refused;    /* by Redis, for good */
};

const struct replay_stats *replay_stats(const struct replay *r);

#endif
