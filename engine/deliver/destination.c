/*
 * destination.c - from a job to its path: which source, which site, which hosts.
 *
 * Three ways lead to a site.  A route names its hosts in the configuration.  A sink takes
 * everything (then the site is the provider rule that matches the domain, or else the domain
 * itself, and no DNS is asked).  Else the domain's MX hosts decide: a provider rule, or the
 * normalised set of their names.
 *
 * A site belongs to its home worker, found by hashing its key; jobs of other workers' sites
 * are handed over before anything is fetched for them.
 */
#include "engine/deliver/destination.h"

#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/base/panic.h"
#include "engine/deliver/core.h"
#include "engine/deliver/local.h"
#include "engine/deliver/outcome.h"
#include "engine/deliver/suppression.h"

#include <stdio.h>
#include <string.h>

enum { SMTP_PORT = 25, DOMAINS_MAX = 20000 };

/* Jobs in memory that wait for names: together (for `high` alone the last quarter), and for one
 * domain.  Others come back later: they would only wait here too. */
enum { RESOLVING_MAX = 4096, RESOLVING_USUAL = 3072, RESOLVING_DOMAIN = 256 };

static const int64_t postpone_us_min = INT64_C(30) * 1000000;
static const int64_t postpone_us_max = INT64_C(900) * 1000000;

/* A domain whose plan is awaited, or whose lookup failed last time. */
struct domain {
    struct map_node node;
    struct list order_link;
    struct deliver *d;
    struct mx_lookup lookup;
    struct list waiting; /* jobs */
    uint32_t waiting_count;
    int64_t asked_us;
    bool asking;
    bool failing;
    char name[];
};

/* ---- source ---- */

/* A number that goes with the job, in every process: FNV-1a. */
static uint64_t lot_of(const struct job *j)
{
    uint64_t lot = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < j->record.id.len; i++) {
        lot = (lot ^ (unsigned char)j->record.id.ptr[i]) * UINT64_C(0x100000001b3);
    }
    return lot ^ lot >> 32;
}

/* Drawn by the job, so that each of its attempts comes from the same source: greylisting waits
 * for just that (RFC 6647).  Sources that cannot open connections now are passed over while
 * there are others. */
static const struct conf_source *source_of_pool(struct deliver *d, const struct conf_pool *pool,
                                                const struct job *j)
{
    const struct conf_pool_member *members = pool->members.items;
    uint64_t usable = 0, at;
    bool any;

    for (size_t i = 0; i < pool->members.count; i++) {
        bool rests = local_until_us(d, members[i].source) > deliver_now(d);
        usable += rests ? 0 : members[i].weight;
    }
    any = usable == 0;
    at = lot_of(j) % (any ? pool->weight_sum : usable);
    for (size_t i = 0; i < pool->members.count; i++) {
        if (!any && local_until_us(d, members[i].source) > deliver_now(d)) {
            continue;
        }
        if (at < members[i].weight) {
            return members[i].source;
        }
        at -= members[i].weight;
    }
    PANIC("weights of pool %s do not add up", pool->name);
}

bool destination_has_source(const struct deliver *d, enum job_via via, struct slice name)
{
    if (via == JOB_VIA_SOURCE) {
        const struct conf_source *source = conf_source_find(d->conf, name);
        return source != NULL && local_until_us(d, source) <= deliver_now(d);
    }
    const struct conf_pool *p =
        conf_pool_find(d->conf, via == JOB_VIA_ROUTE ? SLICE("default") : name);
    for (size_t i = 0; p != NULL && i < p->members.count; i++) {
        if (local_until_us(d, p->members.items[i].source) <= deliver_now(d)) {
            return true;
        }
    }
    return false;
}

/* The source a job goes out by; NULL when its pool, source or route is not configured. */
static const struct conf_source *source_of(struct deliver *d, const struct job *j,
                                           const struct conf_route **route)
{
    struct slice name = j->record.pool;

    *route = NULL;
    switch ((enum job_via)j->record.via) {
    case JOB_VIA_SOURCE:
        return conf_source_find(d->conf, name);
    case JOB_VIA_ROUTE:
        *route = conf_route_find(d->conf, name);
        if (*route == NULL) {
            return NULL;
        }
        name = SLICE("default");
        break;
    case JOB_VIA_POOL:
        break;
    }
    const struct conf_pool *pool = conf_pool_find(d->conf, name);
    return pool != NULL ? source_of_pool(d, pool, j) : NULL;
}

static void refuse_unknown_name(struct deliver *d, struct job *j)
{
    static const char *const via[] = {"pool", "source", "route"};
    char text[160];

    snprintf(text, sizeof(text), "%s \"" SLICE_FMT "\" is not in this engine's configuration",
             via[j->record.via], SLICE_ARG(j->record.pool));

    /* Another node may know it, or a reload may bring it back: it waits, and expires. */
    log_warn("job " SLICE_FMT ": %s; it waits", SLICE_ARG(j->record.id), text);
    outcome_postpone(d, j, postpone_us_max);
}

/* ---- site ---- */

static bool is_home(const struct deliver *d, struct slice key, unsigned *home)
{
    *home = d->o.workers > 1 ? (unsigned)(map_hash(key) % d->o.workers) : d->o.worker;
    return *home == d->o.worker;
}

bool destination_is_home(const struct deliver *d, struct slice site)
{
    unsigned home;

    return is_home(d, site, &home);
}

/* Gives the job to the worker its site is at home on; false when that is this one. */
static bool handed_over(struct deliver *d, struct job *j, struct slice key)
{
    unsigned home;

    if (is_home(d, key, &home)) {
        return false;
    }
    if (j->held) {
        queue_hold_drop(d->queue, &j->hold);
        j->held = false;
    }
    deliver_job_out(d, j);
    d->o.hand_over(d->o.ctx, home, &j->parcel);
    return true;
}

/* The job's own wish, else the route's, else the general level. */
static enum smtp_tls_level tls_level(const struct deliver *d, const struct job *j,
                                     const struct conf_route *route)
{
    static const char *const names[] = {
        [SMTP_TLS_NONE] = "none",
        [SMTP_TLS_MAY] = "may",
        [SMTP_TLS_ENCRYPT] = "encrypt",
        [SMTP_TLS_VERIFY] = "verify",
    };
    int conf_level = route != NULL ? route->tls : d->conf->tls_level;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (slice_eq(j->record.tls, slice_cstr(names[i]))) {
            return (enum smtp_tls_level)i;
        }
    }
    return (enum smtp_tls_level)conf_level;
}

_Static_assert((int)CONF_TLS_NONE == (int)SMTP_TLS_NONE && (int)CONF_TLS_MAY == (int)SMTP_TLS_MAY &&
                   (int)CONF_TLS_ENCRYPT == (int)SMTP_TLS_ENCRYPT,
               "levels count alike");

void destination_arrive(struct deliver *d, struct job *j, struct site *s,
                        const struct conf_source *source)
{
    struct path *p = site_path(s, source, tls_level(d, j, s->route));

    if (suppression_fresh(d, j)) {
        letters_attach(d, j, p);
    } else {
        suppression_check(d, j, p);
    }
}

static void site_set_sink(struct deliver *d, struct site *s, struct slice name)
{
    struct sockaddr_storage address;
    struct hosts fresh;

    if (s->hosts.count > 0 && s->hosts_expire_us == INT64_MAX) {
        return;
    }
    hosts_init(&fresh);
    hosts_add(&fresh, name, (const struct sockaddr *)&address,
              host_endpoint(&d->conf->sink.address, &address), 0);
    site_set_hosts(s, &fresh, INT64_MAX);
}

static void site_set_plan(struct deliver *d, struct site *s, const struct mx_plan *plan)
{
    struct hosts fresh;

    hosts_init(&fresh);
    for (size_t i = 0; i < plan->host_count; i++) {
        const struct mx_host *host = &plan->host[i];
        for (size_t a = 0; a < host->address_count; a++) {
            struct sockaddr_storage address;
            socklen_t len;
            if (d->conf->sink.address.host != NULL) {
                len = host_endpoint(&d->conf->sink.address, &address);
            } else {
                len = mx_address_sockaddr(&plan->address[host->address_first + a], SMTP_PORT,
                                          &address);
            }
            hosts_add(&fresh, host->name, (const struct sockaddr *)&address, len, host->preference);
        }
    }
    site_set_hosts(s, &fresh, plan->expires_us);
}

/* A site key of at most SITE_KEY_MAX - 1 bytes for a domain of up to 255. */
static struct slice domain_key(struct slice domain, char out[SITE_KEY_MAX])
{
    static const uint64_t fixed_key[2] = {0x766f6c6c65790001ULL, 0x766f6c6c65790002ULL};

    if (domain.len < SITE_KEY_MAX) {
        return domain;
    }
    /* The same on every node, so not under the process' own hash key. */
    int len = snprintf(out, SITE_KEY_MAX, "%.*s-%016llx", SITE_KEY_MAX - 20, domain.ptr,
                       (unsigned long long)map_siphash(domain, fixed_key));
    return slice_of(out, (size_t)len);
}

/* The rule of the provider, or else the domain itself. */
static struct slice sink_key(const struct deliver *d, struct slice domain, char space[SITE_KEY_MAX],
                             const struct conf_site **rule)
{
    struct conf_site_facts facts = {.domain = domain};

    *rule = conf_site_for(d->conf, &facts);
    return *rule != NULL ? slice_cstr((*rule)->name) : domain_key(domain, space);
}

static void route_to_sink(struct deliver *d, struct job *j, const struct conf_source *source)
{
    const struct conf_site *rule;
    char space[SITE_KEY_MAX];
    struct slice key = sink_key(d, j->record.domain, space, &rule);

    if (handed_over(d, j, key)) {
        return;
    }
    struct site *s = site_get(d, key);
    site_bind(s, rule, NULL);
    site_set_sink(d, s, SLICE("sink"));
    destination_arrive(d, j, s, source);
}

/* ---- MX ---- */

static void refuse_plan(struct deliver *d, struct job *j, const struct mx_plan *plan)
{
    outcome_bounce(d, j, SMTP_STAGE_DNS, SMTP_FAILURE_BAD_DOMAIN, slice_cstr(plan->enhanced),
                   plan->text);
}

/* The age of a job decides how long it rests: an eighth of it, within bounds. */
static int64_t postpone_for(const struct deliver *d, const struct job *j)
{
    int64_t wait_us = (deliver_queue_wall(d) - j->record.created_ms * 1000) / 8;

    wait_us = wait_us < postpone_us_min ? postpone_us_min : wait_us;
    return wait_us > postpone_us_max ? postpone_us_max : wait_us;
}

static struct slice plan_key(const struct deliver *d, const struct mx_plan *plan,
                             const struct conf_site **rule)
{
    struct slice mx[MX_HOSTS_MAX];
    struct conf_site_facts facts = {.domain = plan->domain, .mx = mx};

    for (; facts.mx_count < plan->host_count; facts.mx_count++) {
        mx[facts.mx_count] = plan->host[facts.mx_count].name;
    }
    *rule = conf_site_for(d->conf, &facts);
    return *rule != NULL ? slice_cstr((*rule)->name) : plan->site;
}

static void follow_plan(struct deliver *d, struct job *j, const struct mx_plan *plan)
{
    const struct conf_route *route;
    const struct conf_source *source = source_of(d, j, &route);
    const struct conf_site *rule;

    if (source == NULL) {
        refuse_unknown_name(d, j);
        return;
    }
    if (plan->verdict != MX_OK) {
        if (plan->permanent) {
            refuse_plan(d, j, plan);
        } else {
            outcome_postpone(d, j, postpone_for(d, j));
        }
        return;
    }
    struct slice key = plan_key(d, plan, &rule);
    if (!destination_is_home(d, key)) {
        /* Its home follows this plan: by one of its own, of another age, it might send the job
         * back, and so to and fro until both forget theirs. */
        j->plan = mx_plan_ref(plan);
        (void)handed_over(d, j, key);
        return;
    }
    struct site *s = site_get(d, key);
    site_bind(s, rule, NULL);
    if (s->hosts.count == 0 || deliver_now(d) >= s->hosts_expire_us) {
        site_set_plan(d, s, plan);
    }
    destination_arrive(d, j, s, source);
}

static void domain_free(struct domain *dom)
{
    list_remove(&dom->order_link);
    map_remove(&dom->d->domains, &dom->node);
    mem_free(dom);
}

/* One `site` event when the lookup of a domain starts to fail, one when it works again. */
static void domain_report(struct domain *dom, const struct mx_plan *plan)
{
    bool failing = plan->verdict != MX_OK && !plan->permanent;

    if (failing != dom->failing) {
        dom->failing = failing;
        outcome_site(dom->d, slice_cstr(dom->name), !failing, SMTP_STAGE_DNS,
                     SMTP_FAILURE_BAD_DOMAIN, SLICE_NONE, SLICE_NONE, plan->text);
    }
}

static void on_plan(struct mx_lookup *l, const struct mx_plan *plan)
{
    struct domain *dom = CONTAINER_OF(l, struct domain, lookup);
    struct deliver *d = dom->d;
    struct list waiting;

    list_init(&waiting);
    list_splice(&waiting, &dom->waiting);
    dom->asking = false;
    d->resolving -= dom->waiting_count;
    dom->waiting_count = 0;
    domain_report(dom, plan);
    LIST_EACH_SAFE (link, &waiting) {
        struct job *j = CONTAINER_OF(link, struct job, link);
        list_remove(&j->link);
        j->dns_us = deliver_now(d) - dom->asked_us;
        follow_plan(d, j, plan);
    }
    if (!dom->failing) {
        domain_free(dom);
    }
}

/* Keeps the memory of failing domains bounded. */
static void domains_trim(struct deliver *d)
{
    LIST_EACH_SAFE (link, &d->domain_order) {
        struct domain *dom = CONTAINER_OF(link, struct domain, order_link);
        if (d->domains.count < DOMAINS_MAX) {
            break;
        }
        if (!dom->asking) {
            domain_free(dom);
        }
    }
}

static struct domain *domain_find(struct deliver *d, struct slice name)
{
    struct map_node *node = map_find(&d->domains, name);

    return node != NULL ? CONTAINER_OF(node, struct domain, node) : NULL;
}

static struct domain *domain_get(struct deliver *d, struct slice name)
{
    struct domain *dom = domain_find(d, name);

    if (dom == NULL) {
        domains_trim(d);
        dom = mem_zalloc(sizeof(*dom) + name.len + 1);
        dom->d = d;
        list_init(&dom->waiting);
        memcpy(dom->name, name.ptr, name.len);
        map_insert(&d->domains, &dom->node, slice_of(dom->name, name.len));
        list_append(&d->domain_order, &dom->order_link);
    }
    return dom;
}

/* Whether this job may wait in memory for the plan of its domain. */
static bool may_wait(struct deliver *d, const struct job *j)
{
    uint32_t most = j->record.class == JOB_HIGH ? RESOLVING_MAX : RESOLVING_USUAL;
    const struct domain *dom = domain_find(d, j->record.domain);

    return d->resolving < most && (dom == NULL || dom->waiting_count < RESOLVING_DOMAIN);
}

static void route_by_mx(struct deliver *d, struct job *j)
{
    struct slice name = j->record.domain;
    struct mx_plan *plan = j->plan != NULL ? j->plan : mx_finder_cached(d->finder, name);

    j->plan = NULL;
    if (plan != NULL) {
        follow_plan(d, j, plan);
        mx_plan_unref(plan);
        return;
    }
    if (!may_wait(d, j)) {
        outcome_postpone(d, j, postpone_for(d, j));
        return;
    }
    struct domain *dom = domain_get(d, name);
    if (!dom->asking) {
        dom->asking = true;
        dom->asked_us = deliver_now(d);
        mx_find(d->finder, &dom->lookup, slice_cstr(dom->name), on_plan);
    }
    list_append(&dom->waiting, &j->link);
    dom->waiting_count++;
    d->resolving++;
    if (j->record.class == JOB_HIGH) {
        mx_find_hurry(&dom->lookup);
    }
}

/* ---- the decision ---- */

static void route_by_name(struct deliver *d, struct job *j, const struct conf_route *route,
                          const struct conf_source *source)
{
    char key[SITE_KEY_MAX];
    int len = snprintf(key, sizeof(key), "route=%s", route->name);

    if (handed_over(d, j, slice_of(key, (size_t)len))) {
        return;
    }
    struct site *s = site_get(d, slice_of(key, (size_t)len));
    site_bind(s, NULL, route);
    if (s->hosts.count == 0 || deliver_now(d) >= s->hosts_expire_us) {
        if (d->conf->sink.address.host != NULL) {
            site_set_sink(d, s, slice_cstr(route->hosts.items[0].host));
        } else if (!route_hosts_ready(d, s)) {
            route_hosts_wait(d, s, j, source);
            return;
        }
    }
    destination_arrive(d, j, s, source);
}

void destination_route(struct deliver *d, struct job *j)
{
    const struct conf_route *route;
    const struct conf_source *source = source_of(d, j, &route);

    if (source == NULL) {
        refuse_unknown_name(d, j);
    } else if (route != NULL) {
        route_by_name(d, j, route, source);
    } else if (d->conf->sink.address.host != NULL && !d->conf->sink.dns) {
        route_to_sink(d, j, source);
    } else {
        route_by_mx(d, j);
    }
}

static struct slice guess_by_mx(struct deliver *d, const struct job_record *r,
                                char space[SITE_KEY_MAX])
{
    struct mx_plan *plan = mx_finder_cached(d->finder, r->domain);
    struct slice key = SLICE_NONE;
    const struct conf_site *rule;

    if (plan != NULL && plan->verdict == MX_OK) {
        struct slice found = plan_key(d, plan, &rule);
        if (found.len < SITE_KEY_MAX) {
            memcpy(space, found.ptr, found.len);
            key = slice_of(space, found.len);
        }
    }
    mx_plan_unref(plan);
    return key;
}

struct slice destination_guess(struct deliver *d, const struct job_record *r,
                               char space[SITE_KEY_MAX])
{
    const struct conf_site *rule;

    if (r->via == JOB_VIA_ROUTE) {
        int len = snprintf(space, SITE_KEY_MAX, "route=" SLICE_FMT, SLICE_ARG(r->pool));
        return slice_of(space, (size_t)len);
    }
    if (d->conf->sink.address.host != NULL && !d->conf->sink.dns) {
        return sink_key(d, r->domain, space, &rule);
    }
    return guess_by_mx(d, r, space);
}

void destination_close(struct deliver *d)
{
    struct map_node *node;

    while ((node = map_next(&d->domains, NULL)) != NULL) {
        struct domain *dom = CONTAINER_OF(node, struct domain, node);
        mx_find_cancel(&dom->lookup);
        LIST_EACH_SAFE (link, &dom->waiting) {
            struct job *j = CONTAINER_OF(link, struct job, link);
            list_remove(&j->link);
            outcome_return(d, j);
        }
        d->resolving -= dom->waiting_count;
        domain_free(dom);
    }
}
