/*
 * redis_private.h - the inside of struct redis, shared by the files redis*.c.
 */
#ifndef VOLLEY_QUEUE_REDIS_PRIVATE_H
#define VOLLEY_QUEUE_REDIS_PRIVATE_H

#include "engine/base/rng.h"
#include "queue/finder.h"
#include "queue/redis.h"
#include "queue/resolve.h"

enum { REDIS_CONNECT_US = 10 * 1000 * 1000, REDIS_WHY_MAX = 320 };

enum redis_state {
    REDIS_WAITING,    /* for the time of the next try */
    REDIS_ASKING,     /* who is master */
    REDIS_RESOLVING,  /* the name of its host */
    REDIS_CONNECTING, /* and TLS */
    REDIS_GREETING,   /* AUTH, SELECT, ROLE, PING are on their way */
    REDIS_READY,
    REDIS_CLOSING, /* stream and finder are */
};

struct redis_call {
    redis_reply_fn *done;
    void *ctx;
    int64_t deadline_us;
    int64_t since_us;
};

struct redis {
    struct io *io;
    struct io_stream stream;
    const struct redis_ops *ops;
    void *ctx;
    struct redis_url url;
    enum redis_state state;
    bool ending;      /* redis_close() was called */
    bool stream_open; /* on_close has to come */

    struct place place; /* the server connected to */
    bool told;          /* `place` is what a MOVED said: nobody needs to be asked */
    size_t next_seed;   /* to be asked first the next time */
    struct finder *finder;
    struct resolve *resolve;

    struct secure_line *line; /* NULL: no TLS */
    struct buf plain_out;     /* TLS: commands that wait to be encrypted */
    struct buf plain_in;      /* TLS: what was decrypted; empty between reads */
    struct iovec sending;     /* the write in flight */
    struct buf wire[2];
    unsigned gather;          /* wire[gather] is appended to; the other one is in flight or empty */
    struct redis_call *calls; /* a ring: oldest at head */
    size_t call_head;
    size_t call_count;
    size_t call_cap; /* a power of two */
    struct resp_reader *reader;
    struct timer flush;
    struct timer deadline;
    struct timer retry;
    struct timer suspect; /* asks whether another one is master by now */
    int64_t patience_us;
    int64_t backoff_us;
    int64_t up_since_us;
    struct rng rng;
    char why[REDIS_WHY_MAX]; /* what broke it */
};

/* redis.c */
struct redis_call *redis_call_oldest(struct redis *r); /* NULL: none waits */
struct redis_call redis_call_take(struct redis *r);
void redis_call_add(struct redis *r, int64_t timeout_us, redis_reply_fn *done, void *ctx);
struct buf *redis_output(struct redis *r); /* what commands are appended to */
void redis_fail(struct redis *r, int err, const char *why);
void redis_settle(struct redis *r); /* CLOSING: goes on when all parts of it are closed */

/* redis_connect.c */
void redis_connect(struct redis *r); /* begins the next try */
void redis_suspect(struct redis *r); /* arms the timer that asks after the master */
void redis_connect_init(struct redis *r);

/* redis_stream.c */
int redis_stream_open(struct redis *r, const struct sockaddr *to, socklen_t len);
void redis_stream_write(struct redis *r); /* what was gathered, unless a write is in flight */
void redis_greet(struct redis *r);        /* redis_connect.c: the stream is open */

#endif
