/*
 * map.h - an intrusive hash table with byte-string keys.
 *
 * The owner embeds a struct map_node and keeps the key's bytes alive while the node is in.
 * Keys come from strangers (domains, host names), so they are hashed with SipHash-2-4 under
 * a key drawn once a process: nobody outside can aim at one bucket.
 */
#ifndef VOLLEY_BASE_MAP_H
#define VOLLEY_BASE_MAP_H

#include "engine/base/list.h"
#include "engine/base/slice.h"

struct map_node {
    struct map_node *next;
    struct slice key; /* borrowed from the owner */
    uint64_t hash;
};

struct map {
    struct map_node **bucket;
    size_t bucket_count; /* a power of two, or 0 before the first insertion */
    size_t count;
};

void map_init(struct map *m);
void map_fini(struct map *m); /* frees the buckets; the nodes are their owners' business */

/* The node with this key, or NULL. */
struct map_node *map_find(const struct map *m, struct slice key);

/* Inserts a node whose key is not in the map yet (asserted). */
void map_insert(struct map *m, struct map_node *node, struct slice key);

/* Takes out a node that is in the map. */
void map_remove(struct map *m, struct map_node *node);

/* Walks all nodes in no particular order; start with NULL.  The map must not grow meanwhile;
 * to remove while walking, fetch the next node first. */
struct map_node *map_next(const struct map *m, const struct map_node *node);

#define MAP_EACH(node, m) \
    for (struct map_node *node = map_next((m), NULL); node != NULL; node = map_next((m), node))

/* The process-wide keyed hash; also picks the home worker of a site. */
uint64_t map_hash(struct slice key);

/* SipHash-2-4 (Aumasson and Bernstein, 2012) with an explicit 128-bit key. */
uint64_t map_siphash(struct slice data, const uint64_t key[2]);

#endif
