/*
 * sessions.c - sessions to resume, by key, bounded.
 *
 * A TLS 1.3 ticket is offered once: a second use would let an observer link the two
 * connections (RFC 8446 C.4), and servers may refuse it.  Servers send two as a rule, so a
 * few are kept for each key.  A TLS 1.2 session serves until it expires.
 */
#include "engine/tls/private.h"

#include "engine/base/map.h"
#include "engine/base/mem.h"

#include <string.h>

struct session_entry {
    struct map_node node;
    struct list lru;
    size_t count;
    SSL_SESSION *session[TLS_TICKETS_MAX]; /* oldest first */
    char key[];
};

struct tls_sessions {
    struct map map;
    struct list lru; /* front: the least recently used */
    size_t keys_max;
    size_t held;
};

struct tls_sessions *tls_sessions_new(size_t keys_max)
{
    struct tls_sessions *store = mem_zalloc(sizeof(*store));

    map_init(&store->map);
    list_init(&store->lru);
    store->keys_max = keys_max > 0 ? keys_max : 4096;
    return store;
}

static void entry_clear(struct tls_sessions *store, struct session_entry *e)
{
    for (size_t i = 0; i < e->count; i++) {
        SSL_SESSION_free(e->session[i]);
    }
    store->held -= e->count;
    e->count = 0;
}

static void entry_free(struct tls_sessions *store, struct session_entry *e)
{
    entry_clear(store, e);
    map_remove(&store->map, &e->node);
    list_remove(&e->lru);
    mem_free(e);
}

void tls_sessions_free(struct tls_sessions *store)
{
    struct list *first;

    if (store == NULL) {
        return;
    }
    while ((first = list_first(&store->lru)) != NULL) {
        entry_free(store, CONTAINER_OF(first, struct session_entry, lru));
    }
    map_fini(&store->map);
    mem_free(store);
}

size_t tls_sessions_count(const struct tls_sessions *store)
{
    return store->held;
}

static struct session_entry *entry_find(struct tls_sessions *store, struct slice key)
{
    struct map_node *node = map_find(&store->map, key);

    return node != NULL ? CONTAINER_OF(node, struct session_entry, node) : NULL;
}

static struct session_entry *entry_new(struct tls_sessions *store, struct slice key)
{
    struct session_entry *e = mem_zalloc(sizeof(*e) + key.len);

    if (store->map.count >= store->keys_max) {
        entry_free(store, CONTAINER_OF(list_first(&store->lru), struct session_entry, lru));
    }
    memcpy(e->key, key.ptr, key.len);
    list_init(&e->lru);
    map_insert(&store->map, &e->node, slice_of(e->key, key.len));
    return e;
}

void tls_sessions_put(struct tls_sessions *store, struct slice key, SSL_SESSION *session)
{
    struct session_entry *e = entry_find(store, key);

    if (e == NULL) {
        e = entry_new(store, key);
    }
    list_remove(&e->lru);
    list_append(&store->lru, &e->lru);
    if (!SSL_SESSION_should_be_single_use(session)) {
        entry_clear(store, e);
    } else if (e->count == TLS_TICKETS_MAX) {
        SSL_SESSION_free(e->session[0]);
        memmove(&e->session[0], &e->session[1], (TLS_TICKETS_MAX - 1) * sizeof(e->session[0]));
        e->count--;
        store->held--;
    }
    e->session[e->count++] = session;
    store->held++;
}

SSL_SESSION *tls_sessions_take(struct tls_sessions *store, struct slice key)
{
    struct session_entry *e = entry_find(store, key);
    SSL_SESSION *session;

    if (e == NULL) {
        return NULL;
    }
    ASSERT(e->count > 0);
    list_remove(&e->lru);
    list_append(&store->lru, &e->lru);
    session = e->session[e->count - 1];
    if (!SSL_SESSION_should_be_single_use(session)) {
        SSL_SESSION_up_ref(session);
        return session;
    }
    e->count--;
    store->held--;
    if (e->count == 0) {
        entry_free(store, e);
    }
    return session;
}

void tls_sessions_drop(struct tls_sessions *store, struct slice key)
{
    struct session_entry *e = entry_find(store, key);

    if (e != NULL) {
        entry_free(store, e);
    }
}
