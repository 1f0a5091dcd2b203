/*
 * cache.c - DNS answers by (name, type), bounded.
 *
 * The key is the type in two bytes and the name.  Entries that are pending are not in the
 * LRU list, so eviction never meets them; how many there can be is bounded by who asks.
 */
#include "engine/dns/cache.h"

#include "engine/base/mem.h"
#include "engine/base/panic.h"

#include <string.h>

enum { KEY_MAX = 2 + DNS_NAME_MAX + 1 };

static size_t or_default(size_t value, size_t usual)
{
    return value > 0 ? value : usual;
}

void dns_cache_init(struct dns_cache *c, const struct dns_cache_options *options)
{
    struct dns_cache_options *o = &c->options;

    memset(c, 0, sizeof(*c));
    map_init(&c->map);
    list_init(&c->lru);
    *o = *options;
    o->entries_max = or_default(o->entries_max, 65536);
    o->ttl_min_s = (uint32_t)or_default(o->ttl_min_s, 60);
    o->ttl_max_s = (uint32_t)or_default(o->ttl_max_s, 86400);
    o->negative_max_s = (uint32_t)or_default(o->negative_max_s, 900);
    o->tempfail_s = (uint32_t)or_default(o->tempfail_s, 30);
    o->stale_max_s = (uint32_t)or_default(o->stale_max_s, 86400);
}

static void entry_free(struct dns_cache *c, struct dns_cache_entry *e)
{
    ASSERT(list_empty(&e->waiters));
    map_remove(&c->map, &e->node);
    list_remove(&e->lru);
    dns_answer_unref(e->answer);
    mem_free(e);
}

void dns_cache_fini(struct dns_cache *c)
{
    struct map_node *node = map_next(&c->map, NULL);

    while (node != NULL) {
        struct map_node *next = map_next(&c->map, node);

        entry_free(c, CONTAINER_OF(node, struct dns_cache_entry, node));
        node = next;
    }
    map_fini(&c->map);
}

static struct slice key_make(char out[KEY_MAX], struct slice name, enum dns_type type)
{
    if (name.len > 0 && name.ptr[name.len - 1] == '.') {
        name.len--;
    }
    ASSERT(name.len <= DNS_NAME_MAX);
    out[0] = (char)((unsigned)type >> 8);
    out[1] = (char)((unsigned)type & 255);
    slice_lower(out + 2, name);
    return slice_of(out, 2 + name.len);
}

static struct dns_cache_entry *entry_find(struct dns_cache *c, struct slice key)
{
    struct map_node *node = map_find(&c->map, key);

    return node != NULL ? CONTAINER_OF(node, struct dns_cache_entry, node) : NULL;
}

struct dns_answer *dns_cache_get(struct dns_cache *c, struct slice name, enum dns_type type,
                                 int64_t now_us, uint32_t *left_s)
{
    char key[KEY_MAX];
    struct dns_cache_entry *e = entry_find(c, key_make(key, name, type));

    if (e == NULL || e->answer == NULL || now_us >= e->expires_us) {
        c->misses++;
        return NULL;
    }
    c->hits++;
    *left_s = (uint32_t)((e->expires_us - now_us) / 1000000);
    if (!e->pending) {
        list_remove(&e->lru);
        list_append(&c->lru, &e->lru);
    }
    return dns_answer_ref(e->answer);
}

static struct dns_cache_entry *entry_new(struct dns_cache *c, struct slice key, enum dns_type type)
{
    struct list *oldest = list_first(&c->lru);
    struct dns_cache_entry *e;

    if (c->map.count >= c->options.entries_max && oldest != NULL) {
        entry_free(c, CONTAINER_OF(oldest, struct dns_cache_entry, lru));
        c->evictions++;
    }
    e = mem_zalloc(sizeof(*e) + key.len);
    memcpy(e->key, key.ptr, key.len);
    e->name = slice_of(e->key + 2, key.len - 2);
    e->type = type;
    list_init(&e->lru);
    list_init(&e->waiters);
    map_insert(&c->map, &e->node, slice_of(e->key, key.len));
    return e;
}

struct dns_cache_entry *dns_cache_open(struct dns_cache *c, struct slice name, enum dns_type type,
                                       bool *ask)
{
    char key_bytes[KEY_MAX];
    struct slice key = key_make(key_bytes, name, type);
    struct dns_cache_entry *e = entry_find(c, key);

    if (e == NULL) {
        e = entry_new(c, key, type);
    }
    *ask = !e->pending;
    e->pending = true;
    list_remove(&e->lru);
    return e;
}

uint32_t dns_cache_ttl(const struct dns_cache *c, const struct dns_answer *answer)
{
    const struct dns_cache_options *o = &c->options;
    uint32_t ttl_s = answer->ttl_s;
    uint32_t most = o->ttl_max_s;

    switch (answer->status) {
    case DNS_TEMPFAIL:
        return o->tempfail_s;
    case DNS_NODATA:
    case DNS_NXDOMAIN:
        most = o->negative_max_s;
        break;
    case DNS_FOUND:
        break;
    }
    if (answer->stale) {
        return o->tempfail_s;
    }
    if (ttl_s < o->ttl_min_s) {
        ttl_s = o->ttl_min_s;
    }
    return ttl_s < most ? ttl_s : most;
}

/* The old answer, marked stale; one that is marked already stays as it is. */
static struct dns_answer *answer_as_stale(const struct dns_answer *old)
{
    struct dns_answer *copy = dns_answer_copy(old);

    copy->stale = true;
    return copy;
}

static bool answer_is_knowledge(const struct dns_answer *a)
{
    return a != NULL && a->status != DNS_TEMPFAIL;
}

struct dns_answer *dns_cache_close(struct dns_cache *c, struct dns_cache_entry *e,
                                   struct dns_answer *answer, int64_t now_us)
{
    struct dns_answer *kept = dns_answer_ref(answer);

    ASSERT(e->pending && list_empty(&e->waiters));
    if (answer->status == DNS_TEMPFAIL && answer_is_knowledge(e->answer) &&
        now_us < e->stale_until_us) {
        dns_answer_unref(kept);
        kept = e->answer->stale ? dns_answer_ref(e->answer) : answer_as_stale(e->answer);
        c->stales++;
    }
    dns_answer_unref(e->answer);
    e->answer = kept;
    e->expires_us = now_us + (int64_t)dns_cache_ttl(c, kept) * 1000000;
    if (!kept->stale) {
        e->stale_until_us = e->expires_us + (int64_t)c->options.stale_max_s * 1000000;
    }
    e->pending = false;
    list_append(&c->lru, &e->lru);
    return dns_answer_ref(kept);
}
