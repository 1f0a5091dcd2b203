/*
 * reuse.c - idle connections, open to every path that would call the same host the same way.
 */
#include "engine/deliver/reuse.h"

#include "engine/base/mem.h"
#include "engine/base/panic.h"
#include "engine/deliver/conn.h"
#include "engine/deliver/core.h"
#include "engine/deliver/pump.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* The idle connections of one key. */
struct reuse_shelf {
    struct map_node node;
    struct list conns; /* conn->shelf_link; the one used last is at the front */
    char key[];
};

static unsigned port_of(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET6) {
        return ntohs(((const struct sockaddr_in6 *)(const void *)address)->sin6_port);
    }
    return ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
}

static struct slice make_key(char out[REUSE_KEY_MAX], const struct path *p, const char *host,
                             const char *ip, unsigned port)
{
    int len =
        snprintf(out, REUSE_KEY_MAX, "%s %s %u source=%s tls=%d pipeline=%d/%u conf=%p route=%p",
                 host, ip, port, p->source->name, (int)p->tls, p->limits->pipeline,
                 p->limits->pipeline_depth, (const void *)p->conf, (const void *)p->site->route);

    return slice_of(out, len < REUSE_KEY_MAX ? (size_t)len : REUSE_KEY_MAX - 1);
}

void reuse_offer(struct conn *c)
{
    char text[REUSE_KEY_MAX];

    if (!list_empty(&c->shelf_link) || c->path->conf != c->conf) {
        return; /* opened under a configuration that was replaced: not for others */
    }
    struct slice key = make_key(text, c->path, c->host, c->ip, port_of(&c->address));
    struct map_node *node = map_find(&c->d->shelves, key);
    struct reuse_shelf *shelf = node != NULL ? CONTAINER_OF(node, struct reuse_shelf, node) : NULL;
    if (shelf == NULL) {
        shelf = mem_alloc(sizeof(*shelf) + key.len);
        memcpy(shelf->key, key.ptr, key.len);
        list_init(&shelf->conns);
        map_insert(&c->d->shelves, &shelf->node, slice_of(shelf->key, key.len));
    }
    c->shelf = shelf;
    list_prepend(&shelf->conns, &c->shelf_link);
}

void reuse_withdraw(struct conn *c)
{
    if (list_empty(&c->shelf_link)) {
        return;
    }
    list_remove(&c->shelf_link);
    if (list_empty(&c->shelf->conns)) {
        map_remove(&c->d->shelves, &c->shelf->node);
        mem_free(c->shelf);
    }
    c->shelf = NULL;
}

static struct conn *find(struct path *p, const struct host *h)
{
    char text[REUSE_KEY_MAX];
    struct map_node *node =
        map_find(&p->site->d->shelves, make_key(text, p, h->name, h->ip, port_of(&h->address)));

    if (node == NULL) {
        return NULL;
    }
    struct reuse_shelf *shelf = CONTAINER_OF(node, struct reuse_shelf, node);
    LIST_EACH (link, &shelf->conns) {
        struct conn *c = CONTAINER_OF(link, struct conn, shelf_link);
        if (c->path != p && path_waiting(c->path) == 0) {
            return c;
        }
    }
    return NULL;
}

bool reuse_offered(struct path *p, const struct host *h)
{
    return find(p, h) != NULL;
}

void reuse_take(struct path *p, struct host *h)
{
    struct conn *c = find(p, h);

    ASSERT(c != NULL);
    conn_move(c, p);
    host_works(h);
    pump_host_works(p->site, h);
}
