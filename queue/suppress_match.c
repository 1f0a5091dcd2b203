/*
 * suppress_match.c - what the entries of an address say about a job.
 */
#include "queue/suppress_match.h"

static bool scope_covers(struct slice scope, bool bulk, struct slice campaign)
{
    static const struct slice of_campaign = {"campaign:", 9};

    if (slice_eq(scope, SLICE("all"))) {
        return true;
    }
    if (slice_eq(scope, SLICE("bulk"))) {
        return bulk;
    }
    return campaign.len > 0 && slice_starts(scope, of_campaign) &&
           slice_eq(slice_from(scope, of_campaign.len), campaign);
}

bool suppress_match(struct slice text, bool bulk, struct slice campaign, int64_t now_s,
                    struct suppress_hit *hit)
{
    struct slice line, since, expiry;
    uint64_t expires_s;

    while (slice_next(&text, '\n', &line)) {
        if (slice_next(&line, '\t', &hit->scope) && slice_next(&line, '\t', &hit->reason) &&
            slice_next(&line, '\t', &since) && slice_next(&line, '\t', &expiry) &&
            slice_u64(expiry, &expires_s) == 0 && (expires_s == 0 || expires_s > (uint64_t)now_s) &&
            scope_covers(hit->scope, bulk, campaign)) {
            return true;
        }
    }
    return false;
}
