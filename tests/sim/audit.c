/*
 * audit.c - figures that the engine keeps twice must agree.
 */
#include "tests/sim/audit.h"

#include "engine/deliver/conn.h"
#include "engine/deliver/core.h"
#include "tests/sim/scene.h"
#include "tests/sim/world.h"

#include <string.h>

static bool goes_to(const struct conn *c, const struct host *h)
{
    return c->address_len == h->address_len &&
           memcmp(&c->address, &h->address, h->address_len) == 0 && strcmp(c->host, h->name) == 0;
}

static uint32_t connections_of(const struct deliver *d, const struct path *p)
{
    uint32_t count = 0;

    LIST_EACH (link, &d->conns) {
        count += CONTAINER_OF(link, struct conn, link)->path == p;
    }
    return count;
}

static void audit_host(const struct deliver *d, const struct site *s, const struct host *h)
{
    uint32_t count = 0;

    LIST_EACH (link, &d->conns) {
        const struct conn *c = CONTAINER_OF(link, struct conn, link);
        count += c->path != NULL && c->path->site == s && goes_to(c, h);
    }
    if (count != h->connections.used) {
        world_fail("site %s: host %s has %u connections and counts %u", s->key, h->ip, count,
                   h->connections.used);
    }
}

static uint32_t audit_path(const struct deliver *d, const struct path *p)
{
    uint32_t count = connections_of(d, p);

    if (count != p->connections) {
        world_fail("site %s: a path has %u connections and counts %u", p->site->key, count,
                   p->connections);
    }
    for (int class = 0; class < LANE_CLASSES; class ++) {
        uint32_t waiting = 0;
        LIST_EACH (link, &p->lane[class]) {
            waiting++;
        }
        if (waiting != p->waiting[class]) {
            world_fail("site %s: %u jobs wait in a lane that counts %u", p->site->key, waiting,
                       p->waiting[class]);
        }
    }
    return count;
}

static void audit_limit(const struct site *s, const struct limiter_scope *scope, uint32_t count)
{
    if (scope->connections.used != count) {
        world_fail("site %s: %u connections, its limit counts %u", s->key, count,
                   scope->connections.used);
    }
    if (scene.reloads == 0 && scope->limits->connections > 0 &&
        count > scope->limits->connections) {
        world_fail("site %s: %u connections, %u are allowed", s->key, count,
                   scope->limits->connections);
    }
}

static void audit_site(const struct deliver *d, const struct site *s)
{
    uint32_t all = 0;

    for (size_t i = 0; i < s->hosts.count; i++) {
        audit_host(d, s, &s->hosts.host[i]);
    }
    LIST_EACH (at, &s->sources) {
        const struct site_source *pair = CONTAINER_OF(at, struct site_source, link);
        uint32_t count = 0;
        LIST_EACH (link, &s->paths) {
            const struct path *p = CONTAINER_OF(link, struct path, site_link);
            count += p->pair == pair ? audit_path(d, p) : 0;
        }
        audit_limit(s, &pair->scope, count);
        all += count;
    }
    if (!list_empty(&s->paths)) {
        audit_limit(s, &s->total, all);
    }
}

void audit(const struct deliver *d)
{
    MAP_EACH (node, &d->sites) {
        audit_site(d, CONTAINER_OF(node, struct site, node));
    }
}
