/*
 * cache.h - DNS answers by (name, type), bounded.
 *
 * Pure: time is an argument.  The least recently used entry goes first when the cache is
 * full.  An entry with a question on its way (`pending`) collects waiters, so a question is
 * asked once however many want to know; such entries are never evicted.  A refresh that
 * fails keeps the old answer for a while (RFC 8767).
 */
#ifndef VOLLEY_DNS_CACHE_H
#define VOLLEY_DNS_CACHE_H

#include "engine/base/map.h"
#include "engine/dns/packet.h"

struct dns_cache_options {
    size_t entries_max;      /* 0: 65536 */
    uint32_t ttl_min_s;      /* 0: 60 */
    uint32_t ttl_max_s;      /* 0: 86400 */
    uint32_t negative_max_s; /* 0: 900 */
    uint32_t tempfail_s;     /* 0: 30 */
    uint32_t stale_max_s;    /* how long an answer outlives its time when refreshing it
                                fails; 0: 86400 */
};

struct dns_cache_entry {
    struct map_node node;
    struct list lru;
    struct list waiters;       /* of the asker's making; empty unless pending */
    struct dns_answer *answer; /* NULL until the first one came */
    int64_t expires_us;
    int64_t stale_until_us;
    void *flight; /* the asker's, while pending */
    bool pending;
    enum dns_type type;
    struct slice name; /* lower case */
    char key[];
};

struct dns_cache {
    struct map map;
    struct list lru; /* front: the least recently used */
    struct dns_cache_options options;
    uint64_t hits, misses, stales, evictions;
};

void dns_cache_init(struct dns_cache *c, const struct dns_cache_options *options);
void dns_cache_fini(struct dns_cache *c); /* no waiters may be left */

/* The answer when it is still good (a reference for the caller), and for how many seconds
 * more; else NULL. */
struct dns_answer *dns_cache_get(struct dns_cache *c, struct slice name, enum dns_type type,
                                 int64_t now_us, uint32_t *left_s);

/* The entry for a question that has to be asked, made when there is none.  *ask tells the
 * caller whether to ask (it becomes pending) or whether somebody did already. */
struct dns_cache_entry *dns_cache_open(struct dns_cache *c, struct slice name, enum dns_type type,
                                       bool *ask);

/* The answer came (borrowed; its own reference is taken).  Returns a reference to what is to
 * be told to the waiters: the same, or the old one marked stale when the new one failed.
 * The entry is no longer pending; the caller moves the waiters away before. */
struct dns_answer *dns_cache_close(struct dns_cache *c, struct dns_cache_entry *e,
                                   struct dns_answer *answer, int64_t now_us);

/* Seconds that an answer got now may be used: its TTL within the limits. */
uint32_t dns_cache_ttl(const struct dns_cache *c, const struct dns_answer *answer);

#endif
