/*
 * library.h - the Redis Functions that are the queue.
 *
 * Two libraries live in Redis: `volley` with the calls for submitters (volley_submit,
 * volley_submit_batch, volley_store), and `volley_1` with those of engines of record format
 * 1.  Their text is part of the program.  Loading is idempotent: a library of the same or a
 * newer version is left alone, so five engines can be upgraded one by one.
 */
#ifndef VOLLEY_QUEUE_LIBRARY_H
#define VOLLEY_QUEUE_LIBRARY_H

#include "engine/base/buf.h"
#include "queue/redis.h"
#include "queue/sync.h"

enum { LIBRARY_PUBLIC, LIBRARY_ENGINE, LIBRARY_COUNT };

/* The names "volley" and "volley_1", and the text for FUNCTION LOAD (appended to *out). */
const char *library_name(unsigned which);
void library_put_source(unsigned which, struct buf *out);
unsigned library_version(void);
/* The version in the text of a loaded library; 0 when there is none. */
unsigned library_version_of(struct slice source);
/* What an answer to FUNCTION means.  0 or ERR_*, with a sentence for people in *why. */
int library_judge(const struct resp *reply, struct buf *why);

/* Loads what is missing or older.  `done` gets 0, or ERR_* with a sentence for people (Redis
 * before 7, no permission, out of memory); ERR_INVALID: no use to try again. */
typedef void library_done_fn(void *ctx, int err, const char *why);
void library_ensure(struct redis *r, library_done_fn *done, void *ctx);

/* The same on a blocking connection.  0 or ERR_*, with the sentence appended to *why. */
int library_ensure_sync(struct sync *s, struct buf *why);

#endif
