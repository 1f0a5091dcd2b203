/*
 * retry.h - when to try a recipient again.  Pure.
 *
 * design: `retry:` is a list of waits counted from the previous attempt; the last one
 * repeats; each is spread by +-10 % so that a batch that failed together does not come back
 * together.  RFC 5321 4.5.4.1 asks for at least 30 minutes between tries as a rule; the
 * shorter first waits of the default list meet greylisting (RFC 6647), which wants to see
 * the same sender again within minutes.
 */
#ifndef VOLLEY_DELIVER_RETRY_H
#define VOLLEY_DELIVER_RETRY_H

#include "engine/base/rng.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct retry_plan {
    const int64_t *waits_us; /* borrowed; at least one entry */
    size_t wait_count;
    uint32_t max_attempts;   /* 0: no limit but the expiry */
    int64_t expires_wall_us; /* 0: none */
};

enum retry_verdict {
    RETRY_LATER,    /* again at *due_wall_us */
    RETRY_EXHAUSTED /* max_attempts were made: final */
};

/* What follows failed attempt number `attempt` (counted from 1) that ended at now_wall_us.
 * `server_wait_us` > 0 is what the server asked for ("try again in 300 seconds") and takes
 * the place of a shorter listed wait.  A due time behind the expiry is moved onto it: the
 * job then comes back to be reported as expired at the right moment. */
enum retry_verdict retry_after(const struct retry_plan *plan, uint32_t attempt,
                               int64_t server_wait_us, struct rng *rng, int64_t now_wall_us,
                               int64_t *due_wall_us);

/* Back-off of a host or site that cannot be reached: 30 s after the first failure in a row
 * (counted from 1), doubling up to 15 minutes. */
int64_t retry_site_backoff_us(uint32_t failures);

#endif
