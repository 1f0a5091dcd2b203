/*
 * finder.c - plans by domain: mx.h over the resolver, cached.
 *
 * A domain that is being looked up has a `search` with its waiters; one that was has a
 * `found` with its plan.  Both are keyed by the domain as DNS knows it, so "Bücher.example"
 * and its A-label are one.  Address literals and what is no domain need no question; their
 * plans are made at once, told in the next tick, and not kept.
 */
#include "engine/dns/finder.h"

#include "engine/base/mem.h"
#include "engine/base/panic.h"
#include "engine/dns/idna.h"

#include <string.h>

struct found {
    struct map_node node; /* the key is the plan's domain */
    struct list lru;
    struct mx_plan *plan;
};

struct mx_search {
    struct map_node node; /* the key is the build's domain */
    struct mx_finder *finder;
    struct mx_build *build;
    struct list waiters;
    struct list asks;
    bool urgent;
};

/* One question of a search. */
struct ask {
    struct dns_query query;
    struct list link;
    struct mx_search *search;
    uint32_t id;
};

struct mx_finder {
    struct dns_resolver *resolver;
    struct mx_options options;
    struct map searches;
    struct map plans;
    struct list lru; /* of plans; front: the least recently used */
    size_t plans_max;
    struct list ready; /* lookups that have their plan */
    struct timer soon;
    struct buf scratch;
    bool calling;
};

/* ---- plans ---- */

static struct found *found_by(struct mx_finder *f, struct slice domain)
{
    struct map_node *node = map_find(&f->plans, domain);

    return node != NULL ? CONTAINER_OF(node, struct found, node) : NULL;
}

static void found_drop(struct mx_finder *f, struct found *found)
{
    map_remove(&f->plans, &found->node);
    list_remove(&found->lru);
    mx_plan_unref(found->plan);
    mem_free(found);
}

static void plan_keep(struct mx_finder *f, struct mx_plan *plan)
{
    struct found *found = found_by(f, plan->domain);

    if (found != NULL) {
        found_drop(f, found);
    } else if (f->plans.count >= f->plans_max) {
        found_drop(f, CONTAINER_OF(list_first(&f->lru), struct found, lru));
    }
    found = mem_zalloc(sizeof(*found));
    found->plan = mx_plan_ref(plan);
    list_init(&found->lru);
    list_append(&f->lru, &found->lru);
    map_insert(&f->plans, &found->node, found->plan->domain);
}

/* The domain as a key, in f->scratch; empty when it has none. */
static struct slice domain_key(struct mx_finder *f, struct slice domain)
{
    buf_reset(&f->scratch);
    if (idna_to_ascii(domain, &f->scratch) < 0) {
        buf_reset(&f->scratch);
    }
    return buf_slice(&f->scratch);
}

static struct mx_plan *plan_by_key(struct mx_finder *f, struct slice key)
{
    struct found *found = key.len > 0 ? found_by(f, key) : NULL;

    if (found == NULL) {
        return NULL;
    }
    if (io_now_us(dns_resolver_io(f->resolver)) >= found->plan->expires_us) {
        found_drop(f, found);
        return NULL;
    }
    list_remove(&found->lru);
    list_append(&f->lru, &found->lru);
    return mx_plan_ref(found->plan);
}

struct mx_plan *mx_finder_cached(struct mx_finder *f, struct slice domain)
{
    return plan_by_key(f, domain_key(f, domain));
}

void mx_finder_forget(struct mx_finder *f, struct slice domain)
{
    struct slice key = domain_key(f, domain);
    struct found *found = key.len > 0 ? found_by(f, key) : NULL;

    if (found != NULL) {
        found_drop(f, found);
    }
}

void mx_finder_self(struct mx_finder *f, const struct slice *names, size_t count)
{
    f->options.self = names;
    f->options.self_count = count;
}

size_t mx_finder_count(const struct mx_finder *f)
{
    return f->plans.count;
}

/* ---- telling ---- */

static void ready_put(struct mx_finder *f, struct mx_lookup *l, struct mx_plan *plan)
{
    struct io *io = dns_resolver_io(f->resolver);

    l->plan = plan;
    list_append(&f->ready, &l->link);
    if (!timer_armed(&f->soon)) {
        wheel_arm(io_wheel(io), &f->soon, io_now_us(io));
    }
}

/* Only what is ready now; see resolver.c. */
static void soon_fire(struct timer *timer, int64_t now_us)
{
    struct mx_finder *f = CONTAINER_OF(timer, struct mx_finder, soon);
    struct list batch;
    struct list *first;

    (void)now_us;
    list_init(&batch);
    list_splice(&batch, &f->ready);
    f->calling = true;
    while ((first = list_first(&batch)) != NULL) {
        struct mx_lookup *l = CONTAINER_OF(first, struct mx_lookup, link);
        struct mx_plan *plan = l->plan;

        list_remove(first);
        l->plan = NULL;
        l->finder = NULL;
        l->on_plan(l, plan);
        mx_plan_unref(plan);
    }
    f->calling = false;
}

/* ---- searches ---- */

static void search_free(struct mx_search *s)
{
    struct list *first;

    while ((first = list_first(&s->asks)) != NULL) {
        struct ask *ask = CONTAINER_OF(first, struct ask, link);

        dns_cancel(&ask->query);
        list_remove(first);
        mem_free(ask);
    }
    map_remove(&s->finder->searches, &s->node);
    mx_build_free(s->build);
    mem_free(s);
}

static void search_end(struct mx_search *s)
{
    struct mx_finder *f = s->finder;
    struct mx_plan *plan = mx_build_plan(s->build, io_now_us(dns_resolver_io(f->resolver)));
    struct list *first;

    plan_keep(f, plan);
    while ((first = list_first(&s->waiters)) != NULL) {
        struct mx_lookup *l = CONTAINER_OF(first, struct mx_lookup, link);

        list_remove(first);
        l->search = NULL;
        ready_put(f, l, mx_plan_ref(plan));
    }
    mx_plan_unref(plan);
    search_free(s);
}

static void search_go_on(struct mx_search *s);

static void ask_answered(struct dns_query *q, struct dns_answer *answer)
{
    struct ask *ask = CONTAINER_OF(q, struct ask, query);
    struct mx_search *s = ask->search;

    mx_build_answer(s->build, ask->id, answer, q->ttl_s);
    list_remove(&ask->link);
    mem_free(ask);
    search_go_on(s);
}

static void search_go_on(struct mx_search *s)
{
    struct mx_question question;

    while (mx_build_ask(s->build, &question)) {
        struct ask *ask = mem_zalloc(sizeof(*ask));

        ask->search = s;
        ask->id = question.id;
        list_init(&ask->link);
        list_append(&s->asks, &ask->link);
        dns_ask(s->finder->resolver, &ask->query, question.name, question.type, ask_answered);
        if (s->urgent) {
            dns_hurry(&ask->query);
        }
    }
    if (mx_build_done(s->build)) {
        search_end(s);
    }
}

/* The search for a domain under way, or a new one that has asked its first question. */
static struct mx_search *search_open(struct mx_finder *f, struct slice key, struct mx_build *build)
{
    struct map_node *node = map_find(&f->searches, key);
    struct mx_search *s;

    if (node != NULL) {
        mx_build_free(build);
        return CONTAINER_OF(node, struct mx_search, node);
    }
    s = mem_zalloc(sizeof(*s));
    s->finder = f;
    s->build = build;
    list_init(&s->waiters);
    list_init(&s->asks);
    map_insert(&f->searches, &s->node, mx_build_domain(build));
    search_go_on(s);
    return s;
}

void mx_find(struct mx_finder *f, struct mx_lookup *l, struct slice domain,
             void (*on_plan)(struct mx_lookup *l, const struct mx_plan *plan))
{
    struct slice key = domain_key(f, domain);
    struct mx_plan *plan = plan_by_key(f, key);
    struct mx_build *build;

    list_init(&l->link);
    l->finder = f;
    l->on_plan = on_plan;
    l->plan = NULL;
    l->search = NULL;
    if (plan != NULL) {
        ready_put(f, l, plan);
        return;
    }
    build = mx_build_new(domain, &f->options);
    if (mx_build_done(build)) {
        ready_put(f, l, mx_build_plan(build, io_now_us(dns_resolver_io(f->resolver))));
        mx_build_free(build);
        return;
    }
    l->search = search_open(f, key, build);
    list_append(&l->search->waiters, &l->link);
}

void mx_find_hurry(struct mx_lookup *l)
{
    if (l->search == NULL || l->search->urgent) {
        return;
    }
    l->search->urgent = true;
    LIST_EACH (link, &l->search->asks) {
        dns_hurry(&CONTAINER_OF(link, struct ask, link)->query);
    }
}

void mx_find_cancel(struct mx_lookup *l)
{
    if (l->finder != NULL) {
        list_remove(&l->link);
        mx_plan_unref(l->plan);
        l->plan = NULL;
        l->finder = NULL;
        l->search = NULL;
    }
}

/* ---- start and end ---- */

struct mx_finder *mx_finder_new(struct dns_resolver *resolver,
                                const struct mx_finder_options *options)
{
    struct mx_finder *f = mem_zalloc(sizeof(*f));

    f->resolver = resolver;
    f->options = options->mx;
    f->plans_max = options->plans_max > 0 ? options->plans_max : 65536;
    map_init(&f->searches);
    map_init(&f->plans);
    list_init(&f->lru);
    list_init(&f->ready);
    timer_init(&f->soon, soon_fire);
    return f;
}

static void lookups_forget(struct list *lookups)
{
    struct list *first;

    while ((first = list_first(lookups)) != NULL) {
        mx_find_cancel(CONTAINER_OF(first, struct mx_lookup, link));
    }
}

void mx_finder_free(struct mx_finder *f)
{
    struct map_node *node;
    struct list *first;

    ASSERT(!f->calling);
    wheel_disarm(io_wheel(dns_resolver_io(f->resolver)), &f->soon);
    lookups_forget(&f->ready);
    while ((node = map_next(&f->searches, NULL)) != NULL) {
        struct mx_search *s = CONTAINER_OF(node, struct mx_search, node);

        lookups_forget(&s->waiters);
        search_free(s);
    }
    while ((first = list_first(&f->lru)) != NULL) {
        found_drop(f, CONTAINER_OF(first, struct found, lru));
    }
    map_fini(&f->searches);
    map_fini(&f->plans);
    buf_fini(&f->scratch);
    mem_free(f);
}
