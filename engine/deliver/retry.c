/*
 * retry.c - when to try a recipient again.
 */
#include "engine/deliver/retry.h"

#include "engine/base/panic.h"

enum { JITTER_PERCENT = 10 };

static const int64_t site_backoff_us_min = INT64_C(30) * 1000000;
static const int64_t site_backoff_us_max = INT64_C(900) * 1000000;

static int64_t jittered(int64_t wait_us, struct rng *rng)
{
    int64_t spread_us = wait_us / 100 * JITTER_PERCENT;

    if (spread_us == 0) {
        return wait_us;
    }
    return wait_us - spread_us + (int64_t)rng_below(rng, 2 * (uint64_t)spread_us + 1);
}

enum retry_verdict retry_after(const struct retry_plan *plan, uint32_t attempt,
                               int64_t server_wait_us, struct rng *rng, int64_t now_wall_us,
                               int64_t *due_wall_us)
{
    ASSERT(attempt > 0 && plan->wait_count > 0);
    if (plan->max_attempts > 0 && attempt >= plan->max_attempts) {
        return RETRY_EXHAUSTED;
    }
    size_t step = attempt - 1 < plan->wait_count ? attempt - 1 : plan->wait_count - 1;
    int64_t wait_us = jittered(plan->waits_us[step], rng);
    if (wait_us < server_wait_us) {
        wait_us = server_wait_us;
    }
    *due_wall_us = now_wall_us + wait_us;
    if (plan->expires_wall_us > 0 && *due_wall_us > plan->expires_wall_us) {
        *due_wall_us = plan->expires_wall_us;
    }
    return RETRY_LATER;
}

int64_t retry_site_backoff_us(uint32_t failures)
{
    int64_t wait_us = site_backoff_us_min;

    for (uint32_t i = 1; i < failures && wait_us < site_backoff_us_max; i++) {
        wait_us *= 2;
    }
    return wait_us < site_backoff_us_max ? wait_us : site_backoff_us_max;
}
