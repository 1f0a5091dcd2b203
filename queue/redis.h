/*
 * redis.h - one asynchronous connection to Redis on an engine/io loop.
 *
 * It leads to the master that holds the keys of one partition: of a single Redis, of what
 * Sentinels watch, or of a Cluster.  Who that is is asked anew for each connection; an answer
 * that says "not here" (MOVED, READONLY) breaks it like any other fault.
 *
 * Commands go out in order and are answered in order.  What is queued during one tick leaves
 * in one write; one write is in flight while the next is gathered.  The connection is made
 * at once and made again for ever, with back-off, until redis_close().
 *
 * When it breaks, every command that waits for its answer gets its callback with an error:
 * whether Redis did it is unknown then, and the caller has to know how to ask.  Commands can
 * be given only while it is up (redis_up()).  Callbacks never run inside the call that gives
 * the command, and may give further commands.
 */
#ifndef VOLLEY_QUEUE_REDIS_H
#define VOLLEY_QUEUE_REDIS_H

#include "engine/base/buf.h"
#include "engine/io/io.h"
#include "queue/redis_url.h"
#include "queue/resp.h"

enum {
    REDIS_TIMEOUT_US = 30 * 1000 * 1000, /* for a command that names none */
    REDIS_PATIENCE_US = 2 * 1000 * 1000,
};

struct redis;

struct redis_ops {
    void (*on_up)(void *ctx); /* connected, logged in, data loaded */
    /* It was up and broke, or could not be made; `why` is for people. */
    void (*on_down)(void *ctx, int err, const char *why);
    void (*on_closed)(void *ctx); /* after redis_close(): the memory is gone */
};

/* `reply` is valid during the call, and NULL exactly when err is not 0.  An error that Redis
 * answered is a reply (RESP_ERROR), not an err. */
typedef void redis_reply_fn(void *ctx, int err, const struct resp *reply);

/* `ops` stays the caller's; the URL is copied. */
struct redis *redis_new(struct io *io, const struct redis_url *url, const struct redis_ops *ops,
                        void *ctx);
void redis_close(struct redis *r); /* pending commands fail with ERR_CANCELED; on_closed follows */
bool redis_up(const struct redis *r);
size_t redis_pending(const struct redis *r); /* commands that wait for an answer */
/* How long an answer may take before it is asked whether another one is the master by now
 * (Sentinel and Cluster); REDIS_PATIENCE_US unless said, more for commands that block. */
void redis_set_patience(struct redis *r, int64_t patience_us);
/* Where it leads to, while it is up; NULL for a unix socket. */
const struct place *redis_place(const struct redis *r);
const struct redis_url *redis_address(const struct redis *r); /* as given */
/* Breaks the connection and makes it again (a broken invariant). */
void redis_reset(struct redis *r, int err, const char *why);

/* Gives a command; asserts that the connection is up.  `timeout_us` 0 takes
 * REDIS_TIMEOUT_US; a deadline that passes breaks the connection. */
void redis_command(struct redis *r, const struct slice *argv, size_t argc, int64_t timeout_us,
                   redis_reply_fn *done, void *ctx);

/* The same for hot commands: redis_begin() gives the output buffer, to which the caller
 * appends exactly one command with resp_put_*(), then redis_end(). */
struct buf *redis_begin(struct redis *r);
void redis_end(struct redis *r, int64_t timeout_us, redis_reply_fn *done, void *ctx);

#endif
