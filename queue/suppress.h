/*
 * suppress.h - the suppression list as one worker asks it.
 *
 * The list belongs to no partition, so it has a connection of its own.  Every 250 ms the list's
 * number is read, one small command: no number means that the list is empty, and then nothing
 * more is ever asked.  A number that grew means that somebody was added: what was asked before
 * has to be asked again, unless it was less than 250 ms ago.  So an addition holds within half a
 * second and what an answer takes, and a list into which a stream of addresses flows costs a
 * job no more than two questions.
 *
 * While Redis is away the last number known holds: who asks again waits.
 *
 * One a worker; nothing here blocks.
 */
#ifndef VOLLEY_QUEUE_SUPPRESS_H
#define VOLLEY_QUEUE_SUPPRESS_H

#include "engine/io/io.h"
#include "queue/redis.h"

enum {
    SUPPRESS_POLL_US = 250 * 1000,
    SUPPRESS_ASK_MAX = 200,    /* addresses in a question */
    SUPPRESS_ADDS_MAX = 10000, /* additions that wait for Redis */
};

struct suppress;

/* When something was asked last; zero: never. */
struct suppress_mark {
    uint64_t number; /* of the list, then */
    int64_t at_us;
};

struct suppress_ops {
    /* The list is known, or Redis is back: what could not be asked can be asked now. */
    void (*on_ready)(void *ctx);
    void (*on_closed)(void *ctx); /* after suppress_close(): the memory is gone */
};

struct suppress_options {
    struct io *io;
    const struct redis_url *url;
    struct slice prefix;
    const struct suppress_ops *ops;
    void *ctx;
};

struct suppress *suppress_new(const struct suppress_options *options);

/* Waits for additions under way, at most a second. */
void suppress_close(struct suppress *s);

/* Whether nothing has to be asked: the list is empty, or as it was at the mark, or the mark is
 * quite new. */
bool suppress_fresh(const struct suppress *s, const struct suppress_mark *mark, int64_t now_us);

/* Called twice for each question, for everybody's list and then for the tenant's: `reply` is an
 * array with an item for each address, a string of entries (suppress_match.h) or nil.  err: the
 * question was not answered; one call then, with `last`. */
typedef void suppress_reply_fn(void *ctx, int err, const struct resp *reply, bool last);

/* Asks for addresses (in lower case) in the list of everybody and of a tenant.  Sets the mark for
 * all of them.  0, or ERR_AGAIN while it cannot be asked: no callback then. */
int suppress_ask(struct suppress *s, struct slice tenant, const struct slice *addresses,
                 size_t count, struct suppress_mark *mark, suppress_reply_fn *done, void *ctx);

/* Adds an address with the scope `all`; in the background, and once Redis is there.
 * expires_s: from now; 0: never. */
void suppress_add(struct suppress *s, struct slice tenant, struct slice address,
                  struct slice reason, uint64_t expires_s);

#endif
