/*
 * site.c - where mail for many domains really goes, and the paths to it.
 */
#include "engine/deliver/site.h"

#include "engine/base/mem.h"
#include "engine/base/panic.h"
#include "engine/deliver/conn.h"
#include "engine/deliver/core.h"
#include "engine/deliver/destination.h"
#include "engine/deliver/letters.h"
#include "engine/deliver/local.h"

#include <string.h>

enum {
    CAPACITY_MIN = 4,         /* a lane may keep so many jobs in memory, if not too many do */
    CAPACITY_NEW = 64,        /* before a path has shown its speed */
    CAPACITY_WINDOW_MS = 500, /* else what it sends in this time */
    RATE_SHIFT = 2,           /* weight of the newest second: 1/4 */
    TXN_SHIFT = 3,            /* weight of the newest transaction: 1/8 */
    SECOND_US = 1000000,
    BINS_REST_US = 50 * 1000, /* what lanes hold lasts for longer; see CAPACITY_WINDOW_MS */
    BINS_REST_DOUBLINGS = 5,
};

static const int64_t path_idle_us = INT64_C(60) * SECOND_US;

static void path_timer_fired(struct timer *t, int64_t now_us)
{
    (void)now_us;
    path_wake(CONTAINER_OF(t, struct path, timer));
}

struct site *site_find(struct deliver *d, struct slice key)
{
    struct map_node *node = map_find(&d->sites, key);

    return node != NULL ? CONTAINER_OF(node, struct site, node) : NULL;
}

struct site *site_get(struct deliver *d, struct slice key)
{
    struct site *s = site_find(d, key);

    if (s != NULL) {
        return s;
    }
    ASSERT(key.len < SITE_KEY_MAX);
    s = mem_zalloc(sizeof(*s));
    memcpy(s->key, key.ptr, key.len);
    s->d = d;
    hosts_init(&s->hosts);
    list_init(&s->sources);
    list_init(&s->paths);
    map_insert(&d->sites, &s->node, slice_of(s->key, key.len));
    return s;
}

void site_overflow(struct site *s, enum lane_class class, int64_t now_us)
{
    struct site_credit *credit = &s->credit[class];

    if (now_us >= credit->rest_until_us) {
        credit->rest_until_us = now_us + (BINS_REST_US << credit->overflows);
        credit->overflows += credit->overflows < BINS_REST_DOUBLINGS;
    }
}

void site_takes(struct site *s, enum lane_class class)
{
    s->credit[class].overflows = 0;
}

/* Replaces a reference. */
static void conf_take(const struct conf **to, const struct conf *conf)
{
    if (*to != conf) {
        const struct conf *old = *to;
        *to = conf_ref(conf);
        conf_unref((struct conf *)old);
    }
}

static struct hosts_want hosts_wanted(const struct conf *conf, const struct conf_source *source)
{
    struct hosts_want want = {conf_source_family(source), AF_UNSPEC};

    if (conf->dns_families == CONF_FAMILIES_PREFER_IPV4) {
        want.prefer = AF_INET;
    } else if (conf->dns_families == CONF_FAMILIES_PREFER_IPV6) {
        want.prefer = AF_INET6;
    }
    return want;
}

static void path_configure(struct path *p)
{
    struct site *s = p->site;
    struct deliver *d = s->d;
    const struct conf_source *source = conf_source_find(d->conf, slice_cstr(p->source->name));

    if (source == NULL) {
        return;
    }
    p->source = source;
    p->limits = conf_limits_for(d->conf, s->rule, source);
    p->pair->source = source;
    p->want = hosts_wanted(d->conf, source);
    limiter_scope_change(&p->pair->scope, p->limits, deliver_now(d));
    conf_take(&p->conf, d->conf);
    hosts_limit(&s->hosts, p->limits->connections_per_host);
    path_wake(p);
}

void site_bind(struct site *s, const struct conf_site *rule, const struct conf_route *route)
{
    const struct conf *conf = s->d->conf;

    if (s->conf == conf && s->rule == rule && s->route == route) {
        return;
    }
    s->rule = rule;
    s->route = route;
    if (!list_empty(&s->paths)) { /* before the old configuration, where they are, goes */
        limiter_scope_change(&s->total, conf_limits_total(conf, rule), deliver_now(s->d));
    }
    conf_take(&s->conf, conf);
    LIST_EACH (link, &s->paths) {
        path_configure(CONTAINER_OF(link, struct path, site_link));
    }
}

void site_set_hosts(struct site *s, struct hosts *fresh, int64_t expire_us)
{
    if (s->hosts.count == 0) { /* equal hosts are not called in the same order by all nodes */
        s->hosts.turn = (uint32_t)rng_below(&s->d->rng, HOSTS_MAX);
    }
    hosts_renew(&s->hosts, fresh);
    s->hosts_expire_us = expire_us;
    LIST_EACH (link, &s->paths) {
        const struct path *p = CONTAINER_OF(link, struct path, site_link);
        hosts_limit(&s->hosts, p->limits->connections_per_host);
    }
}

static void site_configure(struct site *s)
{
    const struct conf *conf = s->d->conf;
    const struct conf_site *rule =
        s->rule != NULL ? conf_site_find(conf, slice_cstr(s->rule->name)) : NULL;
    const struct conf_route *route =
        s->route != NULL ? conf_route_find(conf, slice_cstr(s->route->name)) : NULL;

    route_close(s); /* its questions and waiting jobs hang on the old configuration */
    if ((s->rule != NULL && rule == NULL) || (s->route != NULL && route == NULL)) {
        return;
    }
    site_bind(s, rule, route);
    s->hosts_expire_us = 0;
}

/* Takes what waits in the lanes of a site to the end of `jobs`. */
static void site_unload(struct site *s, struct list *jobs)
{
    LIST_EACH (link, &s->paths) {
        struct path *p = CONTAINER_OF(link, struct path, site_link);
        for (int class = 0; class < LANE_CLASSES; class ++) {
            LIST_EACH_SAFE (waiting, &p->lane[class]) {
                path_drop(p, CONTAINER_OF(waiting, struct job, link));
                list_append(jobs, waiting);
            }
        }
    }
}

/* An idle connection was opened under other limits, or for a site that has no work any more. */
static void quit_idle(struct deliver *d)
{
    LIST_EACH_SAFE (link, &d->idle_conns) {
        conn_quit(CONTAINER_OF(link, struct conn, idle_link));
    }
}

void site_configure_all(struct deliver *d)
{
    struct list jobs;

    list_init(&jobs);
    MAP_EACH (node, &d->sites) {
        site_configure(CONTAINER_OF(node, struct site, node));
        site_unload(CONTAINER_OF(node, struct site, node), &jobs);
    }
    quit_idle(d);
    LIST_EACH_SAFE (link, &jobs) {
        struct job *j = CONTAINER_OF(link, struct job, link);
        list_remove(link);
        stored_unref(j->stored); /* comes from the cache again, on whatever worker it ends */
        j->stored = NULL;
        destination_route(d, j);
    }
}

/* The limits of the pair, with one path more. */
static struct site_source *pair_get(struct site *s, const struct conf_source *source,
                                    const struct limits *limits)
{
    LIST_EACH (link, &s->sources) {
        struct site_source *pair = CONTAINER_OF(link, struct site_source, link);
        if (pair->source == source) {
            pair->paths++;
            return pair;
        }
    }
    struct site_source *pair = mem_zalloc(sizeof(*pair));
    pair->source = source;
    pair->paths = 1;
    limiter_scope_init(&pair->scope, limits, deliver_now(s->d));
    list_append(&s->sources, &pair->link);
    return pair;
}

static void pair_put(struct site_source *pair)
{
    pair->paths--;
    if (pair->paths == 0) {
        list_remove(&pair->link);
        mem_free(pair);
    }
}

struct path *site_path(struct site *s, const struct conf_source *source, enum smtp_tls_level tls)
{
    struct deliver *d = s->d;

    LIST_EACH (link, &s->paths) {
        struct path *p = CONTAINER_OF(link, struct path, site_link);
        if (p->source == source && p->tls == tls) {
            return p;
        }
    }
    struct path *p = mem_zalloc(sizeof(*p));
    p->site = s;
    conf_take(&p->conf, d->conf);
    p->source = source;
    p->tls = tls;
    p->want = hosts_wanted(d->conf, source);
    p->limits = conf_limits_for(d->conf, s->rule, source);
    p->txn_us = PATH_TXN_GUESS_US;
    p->idle_since_us = deliver_now(d);
    p->rate_from_us = deliver_now(d);
    p->pair = pair_get(s, source, p->limits);
    if (list_empty(&s->paths)) {
        limiter_scope_init(&s->total, conf_limits_total(d->conf, s->rule), deliver_now(d));
    }
    for (int class = 0; class < LANE_CLASSES; class ++) {
        list_init(&p->lane[class]);
    }
    list_init(&p->ready);
    list_init(&p->elsewhere);
    list_init(&p->ready_second);
    list_init(&p->run_link);
    list_init(&p->idle_link);
    list_init(&p->room_link);
    timer_init(&p->timer, path_timer_fired);
    list_append(&s->paths, &p->site_link);
    list_append(&d->idle_paths, &p->idle_link);
    hosts_limit(&s->hosts, p->limits->connections_per_host);
    return p;
}

uint32_t path_waiting(const struct path *p)
{
    return p->waiting[LANE_HIGH] + p->waiting[LANE_NORMAL] + p->waiting[LANE_BULK];
}

void path_scopes(struct path *p, struct limiter_scope *row[PATH_SCOPES])
{
    row[0] = &p->pair->scope;
    row[1] = &p->site->total;
}

bool path_over_limit(struct path *p)
{
    struct limiter_scope *row[PATH_SCOPES];

    path_scopes(p, row);
    for (size_t i = 0; i < PATH_SCOPES; i++) {
        const struct slots *slots = &row[i]->connections;
        if (slots->limit > 0 && slots->used > slots->limit) {
            return true;
        }
    }
    return false;
}

/* A path with jobs in its lanes is not idle; several figures hang on how many there are. */
static void path_counted(struct path *p, struct job *j)
{
    struct deliver *d = p->site->d;

    if (path_waiting(p) == 0) {
        d->waiting_paths++;
        list_remove(&p->idle_link);
    }
    p->waiting[job_lane(j)]++;
    d->blocked += p->blocked;
    j->path = p;
}

void path_put(struct path *p, struct job *j)
{
    path_counted(p, j);
    list_append(&p->lane[job_lane(j)], &j->link);
}

void path_put_back(struct path *p, struct job *j)
{
    path_counted(p, j);
    list_prepend(&p->lane[job_lane(j)], &j->link);
    path_wake(p);
}

void path_drop(struct path *p, struct job *j)
{
    ASSERT(j->path == p && p->waiting[job_lane(j)] > 0);
    list_remove(&j->link);
    j->path = NULL;
    p->waiting[job_lane(j)]--;
    p->site->d->blocked -= p->blocked;
    if (path_waiting(p) == 0) {
        p->site->d->waiting_paths--;
        path_rest(p);
    }
}

void path_unblock(struct path *p)
{
    if (p->blocked) {
        p->blocked = false;
        p->blocked_until_us = 0;
        p->site->d->blocked -= path_waiting(p);
    }
}

void path_block(struct path *p, int64_t until_us)
{
    path_unblock(p);
    p->blocked = true;
    p->blocked_until_us = until_us;
    p->site->d->blocked += path_waiting(p);
}

void path_rest(struct path *p)
{
    struct deliver *d = p->site->d;

    if (path_waiting(p) == 0 && p->connections == 0 && list_empty(&p->idle_link)) {
        p->idle_since_us = deliver_now(d);
        list_append(&d->idle_paths, &p->idle_link);
    }
}

void path_wake(struct path *p)
{
    if (list_empty(&p->run_link)) {
        list_append(&p->site->d->runnable, &p->run_link);
    }
}

void site_wake(struct site *s)
{
    LIST_EACH (link, &s->paths) {
        struct path *p = CONTAINER_OF(link, struct path, site_link);
        if (path_waiting(p) > 0 || p->elsewhere_count > 0) {
            path_wake(p);
        }
    }
}

/* Brings the transactions-a-second mean up to now. */
static void path_rate_roll(struct path *p, int64_t now_us)
{
    int64_t seconds = (now_us - p->rate_from_us) / SECOND_US;

    if (seconds <= 0) {
        return;
    }
    p->rate_last = p->rate_last == 0 ? p->rate_count
                                     : p->rate_last - (p->rate_last >> RATE_SHIFT) +
                                           (p->rate_count >> RATE_SHIFT);
    if (seconds > 3) {
        p->rate_last = 0; /* it stood still: what it did before says little */
    }
    p->rate_count = 0;
    p->rate_from_us = now_us;
}

void path_count(struct path *p, int64_t us, int64_t now_us)
{
    p->txn_us += (us - p->txn_us) >> TXN_SHIFT;
    p->moved_us = now_us;
    path_rate_roll(p, now_us);
    p->rate_count++;
}

/* What the stated rate lets through in the window. */
static uint32_t capacity_of_rate(const struct rate *rate)
{
    if (rate->count == 0) {
        return UINT32_MAX;
    }
    uint64_t events = rate->count * (CAPACITY_WINDOW_MS * 1000ULL) / (uint64_t)rate->period_us;
    return events < UINT32_MAX ? (uint32_t)events : UINT32_MAX;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

uint32_t path_capacity(const struct path *p, int64_t now_us)
{
    const struct deliver *d = p->site->d;
    uint32_t share = DELIVER_BLOCKED_MAX / (d->waiting_paths > 0 ? d->waiting_paths : 1);
    uint32_t jobs =
        p->rate_last > 0 || p->rate_count > CAPACITY_NEW
            ? (uint32_t)((uint64_t)(p->rate_last + p->rate_count) * CAPACITY_WINDOW_MS / 1000)
            : CAPACITY_NEW;
    int64_t up_us;

    if (hosts_all_down(&p->site->hosts, &p->want, now_us, &up_us)) {
        return 0;
    }
    if (p->connections == 0 && local_until_us(d, p->source) > now_us) {
        return 0;
    }
    if (!p->site->proven && p->site->down) {
        return 1; /* it was down and is probed with one */
    }
    if (p->blocked_until_us > now_us && d->blocked >= DELIVER_BLOCKED_MAX) {
        return 0; /* enough waits here for one limit or another: Redis is the place to wait */
    }
    if (jobs < CAPACITY_NEW) {
        jobs = CAPACITY_NEW;
    }
    jobs = least(jobs, capacity_of_rate(&p->limits->rate));
    jobs = least(jobs, capacity_of_rate(&p->site->total.limits->rate));
    jobs = least(jobs, share);
    return jobs > CAPACITY_MIN ? jobs : least(CAPACITY_MIN, share > 0 ? share : 1);
}

static void path_free(struct path *p)
{
    struct deliver *d = p->site->d;

    ASSERT(path_waiting(p) == 0 && p->connections == 0 && list_empty(&p->ready));
    wheel_disarm(io_wheel(d->o.io), &p->timer);
    list_remove(&p->run_link);
    list_remove(&p->idle_link);
    list_remove(&p->room_link);
    list_remove(&p->site_link);
    pair_put(p->pair);
    conf_unref((struct conf *)p->conf);
    mem_free(p);
}

static void site_free(struct site *s)
{
    ASSERT(list_empty(&s->paths));
    hosts_fini(&s->hosts);
    map_remove(&s->d->sites, &s->node);
    conf_unref((struct conf *)s->conf);
    mem_free(s);
}

/* Forgetting it could break no limit: the next letter might go at once anyhow. */
static bool path_forgettable(struct path *p, int64_t now_us)
{
    struct limiter_scope *row[PATH_SCOPES];
    int64_t up_us;

    path_scopes(p, row);
    return p->awaited == 0 && limiter_send_ask(row, PATH_SCOPES, now_us).go &&
           !hosts_all_down(&p->site->hosts, &p->want, now_us, &up_us);
}

void site_reap(struct deliver *d, int64_t now_us)
{
    LIST_EACH_SAFE (link, &d->idle_paths) {
        struct path *p = CONTAINER_OF(link, struct path, idle_link);
        struct site *s = p->site;
        if (now_us - p->idle_since_us < path_idle_us) {
            break;
        }
        if (path_forgettable(p, now_us)) {
            path_free(p);
            if (list_empty(&s->paths) && s->lookup == NULL) {
                site_free(s);
            }
        } else {
            p->idle_since_us = now_us;
            list_remove(&p->idle_link);
            list_append(&d->idle_paths, &p->idle_link);
        }
    }
}

void site_free_all(struct deliver *d)
{
    struct map_node *node;

    while ((node = map_next(&d->sites, NULL)) != NULL) {
        struct site *s = CONTAINER_OF(node, struct site, node);
        LIST_EACH_SAFE (link, &s->paths) {
            path_free(CONTAINER_OF(link, struct path, site_link));
        }
        site_free(s);
    }
}
