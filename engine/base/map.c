/*
 * map.c - an intrusive hash table with byte-string keys.
 *
 * Chained buckets, doubled when there is more than one node a bucket on average.  A site or
 * a domain is looked up once a job, so the walk matters more than the insertion.
 */
#include "engine/base/map.h"
#include "engine/base/mem.h"
#include "engine/base/panic.h"
#include "engine/base/rng.h"

#include <pthread.h>
#include <string.h>

enum { MAP_BUCKETS_MIN = 16 };

static uint64_t process_key[2];
static pthread_once_t process_key_once = PTHREAD_ONCE_INIT;

static void process_key_draw(void)
{
    struct rng rng;

    rng_seed_os(&rng);
    process_key[0] = rng_next(&rng);
    process_key[1] = rng_next(&rng);
}

static inline uint64_t rotate_left(uint64_t v, unsigned bits)
{
    return (v << bits) | (v >> (64 - bits));
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate_left(v[1], 13) ^ v[0];
    v[0] = rotate_left(v[0], 32);
    v[2] += v[3];
    v[3] = rotate_left(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate_left(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate_left(v[1], 17) ^ v[2];
    v[2] = rotate_left(v[2], 32);
}

static inline void sip_absorb(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    sip_round(v);
    v[0] ^= word;
}

static uint64_t load_le64(const char *ptr)
{
    uint64_t word;

    memcpy(&word, ptr, sizeof(word));
    return word;
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "SipHash words are little-endian");

uint64_t map_siphash(struct slice data, const uint64_t key[2])
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575ULL, key[1] ^ 0x646f72616e646f6dULL,
                     key[0] ^ 0x6c7967656e657261ULL, key[1] ^ 0x7465646279746573ULL};
    size_t at = 0;

    for (; at + 8 <= data.len; at += 8) {
        sip_absorb(v, load_le64(data.ptr + at));
    }
    uint64_t last = (uint64_t)(data.len & 0xff) << 56;
    for (unsigned i = 0; at + i < data.len; i++) {
        last |= (uint64_t)(unsigned char)data.ptr[at + i] << (8 * i);
    }
    sip_absorb(v, last);
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++) {
        sip_round(v);
    }
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t map_hash(struct slice key)
{
    pthread_once(&process_key_once, process_key_draw);
    return map_siphash(key, process_key);
}

void map_init(struct map *m)
{
    *m = (struct map){NULL, 0, 0};
}

void map_fini(struct map *m)
{
    mem_free(m->bucket);
    map_init(m);
}

static struct map_node **map_slot(const struct map *m, uint64_t hash)
{
    return &m->bucket[hash & (m->bucket_count - 1)];
}

struct map_node *map_find(const struct map *m, struct slice key)
{
    if (m->count == 0) {
        return NULL;
    }
    uint64_t hash = map_hash(key);
    for (struct map_node *node = *map_slot(m, hash); node != NULL; node = node->next) {
        if (node->hash == hash && slice_eq(node->key, key)) {
            return node;
        }
    }
    return NULL;
}

static void map_resize(struct map *m, size_t bucket_count)
{
    struct map wider = {mem_array(bucket_count, sizeof(struct map_node *)), bucket_count, m->count};

    for (size_t i = 0; i < m->bucket_count; i++) {
        struct map_node *node = m->bucket[i];
        while (node != NULL) {
            struct map_node *next = node->next;
            struct map_node **slot = map_slot(&wider, node->hash);
            node->next = *slot;
            *slot = node;
            node = next;
        }
    }
    mem_free(m->bucket);
    *m = wider;
}

void map_insert(struct map *m, struct map_node *node, struct slice key)
{
    ASSERT(map_find(m, key) == NULL);
    if (m->count >= m->bucket_count) {
        map_resize(m, m->bucket_count > 0 ? m->bucket_count * 2 : MAP_BUCKETS_MIN);
    }
    node->key = key;
    node->hash = map_hash(key);
    struct map_node **slot = map_slot(m, node->hash);
    node->next = *slot;
    *slot = node;
    m->count++;
}

void map_remove(struct map *m, struct map_node *node)
{
    struct map_node **link = map_slot(m, node->hash);

    while (*link != node) {
        ASSERT(*link != NULL);
        link = &(*link)->next;
    }
    *link = node->next;
    node->next = NULL;
    m->count--;
}

struct map_node *map_next(const struct map *m, const struct map_node *node)
{
    size_t at = 0;

    if (m->count == 0) {
        return NULL;
    }
    if (node != NULL) {
        if (node->next != NULL) {
            return node->next;
        }
        at = (node->hash & (m->bucket_count - 1)) + 1;
    }
    for (; at < m->bucket_count; at++) {
        if (m->bucket[at] != NULL) {
            return m->bucket[at];
        }
    }
    return NULL;
}
