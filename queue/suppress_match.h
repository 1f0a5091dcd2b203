/*
 * suppress_match.h - what the entries of an address say about a job.  Pure.
 *
 * An entry is a line "scope TAB reason TAB since TAB expiry" (queue/suppress.lua).  It comes
 * from Redis, where others may write: a line that is none says nothing.
 */
#ifndef VOLLEY_QUEUE_SUPPRESS_MATCH_H
#define VOLLEY_QUEUE_SUPPRESS_MATCH_H

#include "engine/base/slice.h"

struct suppress_hit {
    struct slice scope;  /* "all", "bulk", "campaign:<name>"; points into the text */
    struct slice reason; /* may be empty */
};

/* Whether one of the entries in `text` is in force at now_s (unix) for mail of this kind. */
bool suppress_match(struct slice text, bool bulk, struct slice campaign, int64_t now_s,
                    struct suppress_hit *hit);

#endif
