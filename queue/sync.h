/*
 * sync.h - a small blocking Redis client for commands and tests.
 *
 * Not for the engine, whose threads never wait.  Commands may be pipelined: append any
 * number with sync_add(), then take their replies in order with sync_take().
 */
#ifndef VOLLEY_QUEUE_SYNC_H
#define VOLLEY_QUEUE_SYNC_H

#include "engine/base/buf.h"
#include "queue/redis.h"
#include "queue/resp.h"

struct sync;

/* Connects, logs in, selects the database.  NULL with *err (ERR_REFUSED, ERR_TIMEOUT, ...)
 * and a sentence appended to *why.  timeout_ms holds for connecting and for each reply. */
struct sync *sync_open(const struct redis_url *url, int timeout_ms, int *err, struct buf *why);
void sync_close(struct sync *s); /* NULL is fine */

/* Appends a command to what leaves with the next sync_take() or sync_flush(). */
void sync_add(struct sync *s, const struct slice *argv, size_t argc);
/* For large commands: append one command to this buffer with resp_put_*(), then count it. */
struct buf *sync_begin(struct sync *s);
void sync_end(struct sync *s);

/* Sends what is gathered.  0 or ERR_*. */
int sync_flush(struct sync *s);

/* The next reply in order; valid until the next call.  An error that Redis answered is a
 * reply (RESP_ERROR).  0 or ERR_*: the connection is of no use any more then. */
int sync_take(struct sync *s, const struct resp **reply);
size_t sync_pending(const struct sync *s); /* replies still to come */

/* One command and its reply; nothing may be pending. */
int sync_call(struct sync *s, const struct slice *argv, size_t argc, const struct resp **reply);

/* What went wrong last, for people. */
const char *sync_error(const struct sync *s);

#endif
