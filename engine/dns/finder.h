/*
 * finder.h - plans by domain: mx.h over the resolver, cached.
 *
 * One a thread.  The same domain looked up by many is resolved once.  Callbacks come in a
 * later tick, never from inside mx_find().
 */
#ifndef VOLLEY_DNS_FINDER_H
#define VOLLEY_DNS_FINDER_H

#include "engine/dns/mx.h"
#include "engine/dns/resolver.h"

struct mx_finder;

struct mx_finder_options {
    struct mx_options mx; /* what it points to must outlive the finder */
    size_t plans_max;     /* in the cache; 0: 65536 */
};

struct mx_lookup {
    struct list link;
    struct mx_finder *finder; /* set while the plan is awaited */
    struct mx_search *search; /* while it runs */
    /* `plan` is borrowed for the call; mx_plan_ref() keeps it. */
    void (*on_plan)(struct mx_lookup *l, const struct mx_plan *plan);
    struct mx_plan *plan;
};

/* `resolver` is borrowed and must be closed after the finder was freed. */
struct mx_finder *mx_finder_new(struct dns_resolver *resolver,
                                const struct mx_finder_options *options);
void mx_finder_free(struct mx_finder *f); /* lookups under way are forgotten, not called */

/* The plan when it is in the cache and still good (a reference for the caller), or NULL. */
struct mx_plan *mx_finder_cached(struct mx_finder *f, struct slice domain);

/* Looks a domain up (cache first); on_plan follows exactly once unless cancelled. */
void mx_find(struct mx_finder *f, struct mx_lookup *l, struct slice domain,
             void (*on_plan)(struct mx_lookup *l, const struct mx_plan *plan));
void mx_find_cancel(struct mx_lookup *l); /* harmless when nothing is awaited */

/* Makes a lookup that was started urgent: its questions go first (resolver.h). */
void mx_find_hurry(struct mx_lookup *l);

/* Drops a plan, so that the next lookup asks again: none of its hosts could be reached and
 * it may have changed.  Answers of the resolver's cache that are still good stay. */
void mx_finder_forget(struct mx_finder *f, struct slice domain);

/* Our own host names from now on (mx.h), which must outlive the finder or be replaced. */
void mx_finder_self(struct mx_finder *f, const struct slice *names, size_t count);

size_t mx_finder_count(const struct mx_finder *f);

#endif
