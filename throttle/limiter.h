/*
 * limiter.h - may it go now, and if not: until when, and because of which line?
 *
 * What an act (opening a connection, sending a letter) has to satisfy is a row of scopes:
 * (site, source), the site's total, tenant, campaign, all.  One function looks at all of them
 * and decides; the same function, asked without taking, answers "why is it waiting".
 *
 *     struct limiter_scope *row[] = {&lane->scope, &site->total, all};
 *     struct limiter_verdict v = limiter_send(row, 3, 1, letter_len, now_us);
 *     if (!v.go) { wheel_arm(w, &lane->timer, v.until_us); }
 *
 * After a send, ask again at once while there is more to send: asking is what tells the
 * buckets that work is waiting (gcra.h).  Connections taken are given back with
 * limiter_disconnect() and the same row.
 */
#ifndef VOLLEY_THROTTLE_LIMITER_H
#define VOLLEY_THROTTLE_LIMITER_H

#include "throttle/gcra.h"
#include "throttle/limits.h"
#include "throttle/slots.h"

#include <stddef.h>

/* The running state of one scope.  Embedded in its owner (a lane, a site). */
struct limiter_scope {
    const struct limits *limits; /* borrowed; must outlive the scope or be changed first */
    struct gcra rate;
    struct gcra connection_rate;
    struct gcra bytes_rate;
    struct slots connections;
};

/* `until_us` of a verdict that no time ends: a connection has to be given back first. */
#define LIMITER_NO_TIME INT64_MAX

struct limiter_verdict {
    bool go;
    int64_t until_us;   /* ask again then; LIMITER_NO_TIME: when a slot is given back */
    enum limit_key key; /* which limit it waits for: the one that holds longest */
    const struct limiter_scope *scope; /* whose; NULL for connections_per_host */
    const char *origin; /* where that limit was written (limits.h); NULL when unknown */
};

void limiter_scope_init(struct limiter_scope *s, const struct limits *limits, int64_t now_us);

/* Takes over new limits after a reload, without a burst; slots in use stay in use. */
void limiter_scope_change(struct limiter_scope *s, const struct limits *limits, int64_t now_us);

/* May a letter of `bytes` to `recipients` go now?  limiter_send() also counts it when it may.
 * limiter_send_ask() changes nothing. */
struct limiter_verdict limiter_send(struct limiter_scope *const *scopes, size_t count,
                                    uint64_t recipients, uint64_t bytes, int64_t now_us);
struct limiter_verdict limiter_send_ask(struct limiter_scope *const *scopes, size_t count,
                                        int64_t now_us);

/* May a connection be opened now?  `host` holds the slots of the address it goes to, or NULL;
 * `keep` connections stay free in every scope whose limit is at least 2 (slots.h). */
struct limiter_verdict limiter_connect(struct limiter_scope *const *scopes, size_t count,
                                       struct slots *host, uint32_t keep, int64_t now_us);
struct limiter_verdict limiter_connect_ask(struct limiter_scope *const *scopes, size_t count,
                                           const struct slots *host, uint32_t keep, int64_t now_us);
void limiter_disconnect(struct limiter_scope *const *scopes, size_t count, struct slots *host);

#endif
