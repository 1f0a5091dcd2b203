/*
 * finish.c - what no table can say: references between parts, and what follows from what.
 */
#include "conf/private.h"
#include "engine/base/suggest.h"

#include <string.h>

void conf_index(struct conf *conf, struct map *map, const char *name, const void *item)
{
    struct conf_entry *entry = conf_store_take(&conf->own->store, 1, sizeof(*entry));

    entry->item = item;
    map_insert(map, &entry->node, slice_cstr(name));
}

static void check_address6(struct conf *conf, const struct conf_source *s,
                           struct conf_problems *problems)
{
    struct conf_place at = conf_place_of(conf, &s->address6);
    int family = s->address6.sa.sa_family;

    if (family != AF_UNSPEC && family != AF_INET6) {
        conf_problem(problems, at.line, at.column, "sources.%s.address6 must be an IPv6 address",
                     s->name);
    } else if (family == AF_INET6 && s->address.sa.sa_family == AF_INET6) {
        conf_problem(problems, at.line, at.column,
                     "sources.%s has an IPv6 address already; make the IPv4 one its `address`",
                     s->name);
    }
}

static void finish_sources(struct conf *conf, struct conf_problems *problems)
{
    if (conf->sources.count == 0) {
        conf->sources.items = conf_store_take(&conf->own->store, 1, sizeof(conf->sources.items[0]));
        conf->sources.items[0].name = "default";
        conf->sources.count = 1;
    }
    for (size_t i = 0; i < conf->sources.count; i++) {
        struct conf_source *s = &conf->sources.items[i];
        s->index = i;
        if (s->ehlo == NULL) {
            s->ehlo = conf->hostname;
        }
        check_address6(conf, s, problems);
        conf_index(conf, &conf->own->sources, s->name, s);
    }
}

/* A pool of all sources in equal parts, for jobs that name none. */
static void add_default_pool(struct conf *conf)
{
    size_t count = conf->pools.count;
    struct conf_store *store = &conf->own->store;
    struct conf_pool *pools = conf_store_take(store, count + 1, sizeof(*pools));

    if (count > 0) {
        memcpy(pools, conf->pools.items, count * sizeof(*pools));
        for (size_t i = 0; i < count; i++) {
            struct conf_place at = conf_place_of(conf, &conf->pools.items[i]);
            conf_place_note(conf, &pools[i], at.line, at.column);
        }
    }
    pools[count].name = "default";
    pools[count].members.items =
        conf_store_take(store, conf->sources.count, sizeof(pools->members.items[0]));
    pools[count].members.count = conf->sources.count;
    for (size_t i = 0; i < conf->sources.count; i++) {
        pools[count].members.items[i].name = conf->sources.items[i].name;
        pools[count].members.items[i].weight = 1;
    }
    conf->pools.items = pools;
    conf->pools.count = count + 1;
}

static void finish_member(struct conf *conf, struct conf_pool *pool, struct conf_pool_member *m,
                          struct conf_problems *problems)
{
    m->source = conf_source_find(conf, slice_cstr(m->name));
    pool->weight_sum += m->weight;
    if (m->source == NULL) {
        struct conf_place at = conf_place_of(conf, m);
        struct suggest s;
        suggest_init(&s, slice_cstr(m->name));
        for (size_t i = 0; i < conf->sources.count; i++) {
            suggest_offer(&s, slice_cstr(conf->sources.items[i].name));
        }
        conf_problem(problems, at.line, at.column,
                     "pools.%s.%s is not the name of a source" SLICE_FMT SLICE_FMT
                     "; sources are defined under sources:",
                     pool->name, m->name, SLICE_ARG(slice_cstr(s.best.len > 0 ? ", perhaps " : "")),
                     SLICE_ARG(s.best));
    }
}

static void finish_pools(struct conf *conf, struct conf_problems *problems)
{
    bool has_default = false;

    for (size_t i = 0; i < conf->pools.count; i++) {
        has_default |= strcmp(conf->pools.items[i].name, "default") == 0;
    }
    if (!has_default) {
        add_default_pool(conf);
    }
    for (size_t i = 0; i < conf->pools.count; i++) {
        struct conf_pool *pool = &conf->pools.items[i];
        if (pool->members.count == 0) {
            struct conf_place at = conf_place_of(conf, pool);
            conf_problem(problems, at.line, at.column,
                         "pools.%s has no source; write {SOURCE: WEIGHT}", pool->name);
        }
        for (size_t k = 0; k < pool->members.count; k++) {
            finish_member(conf, pool, &pool->members.items[k], problems);
        }
        conf_index(conf, &conf->own->pools, pool->name, pool);
    }
}

/* Nothing that stays on this machine can be listened to on the way. */
static bool all_loopback(const struct conf_route *route)
{
    for (size_t i = 0; i < route->hosts.count; i++) {
        struct slice host = slice_cstr(route->hosts.items[i].host);
        if (!route->hosts.items[i].is_address ||
            !(slice_starts(host, SLICE("127.")) || slice_eq(host, SLICE("::1")))) {
            return false;
        }
    }
    return true;
}

static void finish_route(struct conf *conf, struct conf_route *route,
                         struct conf_problems *problems)
{
    struct conf_place at = conf_place_of(conf, route);

    if (conf_place_of(conf, &route->tls).line == 0) {
        route->tls = conf->tls_level;
        /* RFC 4954 4: a password does not cross the net in clear. */
        if (route->auth.user != NULL && route->tls < CONF_TLS_ENCRYPT) {
            route->tls = CONF_TLS_ENCRYPT;
        }
    }
    if (route->hosts.count == 0) {
        conf_problem(problems, at.line, at.column,
                     "routes.%s.hosts is empty; write [\"smtp.example.net:587\"]", route->name);
    }
    if ((route->auth.user == NULL) != (route->auth.password_file == NULL)) {
        conf_problem(problems, at.line, at.column,
                     "routes.%s.auth needs both user and password_file", route->name);
    }
    if (route->auth.user != NULL && route->tls < CONF_TLS_ENCRYPT && !all_loopback(route)) {
        conf_problem(problems, at.line, at.column,
                     "routes.%s logs in, so its tls must be encrypt or verify", route->name);
    }
    conf_index(conf, &conf->own->routes, route->name, route);
}

static void finish_dns(struct conf *conf, struct conf_problems *problems)
{
    for (size_t i = 0; i < conf->dns_servers.count; i++) {
        const struct conf_endpoint *server = &conf->dns_servers.items[i];
        if (!server->is_address) {
            struct conf_place at = conf_place_of(conf, server);
            conf_problem(problems, at.line, at.column,
                         "dns.servers: %s must be an IP address, names cannot be looked up here",
                         server->host);
        }
    }
}

/* A sink given as a group without an address would silently send for real. */
static void finish_sink(struct conf *conf, struct conf_problems *problems)
{
    struct conf_place at = conf_place_of(conf, &conf->sink.dns);

    if (conf->sink.dns && conf->sink.address.host == NULL) {
        conf_problem(problems, at.line, at.column,
                     "sink has no address; write sink: {address: 127.0.0.1:2525, dns: true}");
    }
}

void conf_finish(struct conf *conf, const char *hostname, struct conf_problems *problems)
{
    if (conf->hostname == NULL) {
        conf->hostname = conf_store_text(&conf->own->store, slice_cstr(hostname));
    }
    if (conf->retry.count == 0) {
        struct conf_place at = conf_place_of(conf, &conf->retry);
        conf_problem(problems, at.line, at.column, "retry is empty; write [5m, 30m, 2h]");
    }
    finish_sources(conf, problems);
    finish_pools(conf, problems);
    for (size_t i = 0; i < conf->routes.count; i++) {
        finish_route(conf, &conf->routes.items[i], problems);
    }
    finish_dns(conf, problems);
    finish_sink(conf, problems);
    conf_finish_limits(conf, problems);
}
