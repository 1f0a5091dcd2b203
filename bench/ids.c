/*
 * ids.c - counting how often each value was seen: open addressing over hashes.
 */
#include "bench/ids.h"
#include "engine/base/map.h"
#include "engine/base/mem.h"

#include <pthread.h>

enum { SLOTS_FIRST = 4096, SAMPLE_LEN_MAX = 256 };

struct ids {
    pthread_mutex_t lock;
    uint64_t *hash; /* 0: an empty slot */
    uint8_t *seen;
    size_t slots; /* a power of two */
    uint64_t distinct, duplicates;
    char *sample[IDS_SAMPLES_MAX];
    size_t samples;
};

struct ids *ids_new(void)
{
    struct ids *ids = mem_zalloc(sizeof(*ids));

    pthread_mutex_init(&ids->lock, NULL);
    ids->slots = SLOTS_FIRST;
    ids->hash = mem_array(ids->slots, sizeof(ids->hash[0]));
    ids->seen = mem_array(ids->slots, sizeof(ids->seen[0]));
    return ids;
}

void ids_free(struct ids *ids)
{
    if (ids == NULL) {
        return;
    }
    for (size_t i = 0; i < ids->samples; i++) {
        mem_free(ids->sample[i]);
    }
    mem_free(ids->hash);
    mem_free(ids->seen);
    pthread_mutex_destroy(&ids->lock);
    mem_free(ids);
}

static size_t find_slot(const struct ids *ids, uint64_t hash)
{
    size_t at = (size_t)hash & (ids->slots - 1);

    while (ids->hash[at] != 0 && ids->hash[at] != hash) {
        at = (at + 1) & (ids->slots - 1);
    }
    return at;
}

static void double_slots(struct ids *ids)
{
    struct ids old = *ids;

    ids->slots *= 2;
    ids->hash = mem_array(ids->slots, sizeof(ids->hash[0]));
    ids->seen = mem_array(ids->slots, sizeof(ids->seen[0]));
    for (size_t i = 0; i < old.slots; i++) {
        if (old.hash[i] != 0) {
            size_t at = find_slot(ids, old.hash[i]);
            ids->hash[at] = old.hash[i];
            ids->seen[at] = old.seen[i];
        }
    }
    mem_free(old.hash);
    mem_free(old.seen);
}

static void keep_sample(struct ids *ids, struct slice value)
{
    if (ids->samples < IDS_SAMPLES_MAX) {
        value.len = value.len < SAMPLE_LEN_MAX ? value.len : SAMPLE_LEN_MAX;
        ids->sample[ids->samples++] = slice_dup(value);
    }
}

unsigned ids_add(struct ids *ids, struct slice value)
{
    uint64_t hash = map_hash(value);
    unsigned seen;

    hash += hash == 0;
    pthread_mutex_lock(&ids->lock);
    size_t at = find_slot(ids, hash);
    if (ids->hash[at] == 0) {
        ids->hash[at] = hash;
        ids->seen[at] = 1;
        ids->distinct++;
        seen = 1;
        if (ids->distinct * 2 > ids->slots) {
            double_slots(ids);
        }
    } else {
        ids->duplicates++;
        seen = ids->seen[at] < UINT8_MAX ? ids->seen[at] + 1u : UINT8_MAX;
        ids->seen[at] = (uint8_t)seen;
        if (seen == 2) {
            keep_sample(ids, value);
        }
    }
    pthread_mutex_unlock(&ids->lock);
    return seen;
}

uint64_t ids_distinct(struct ids *ids)
{
    pthread_mutex_lock(&ids->lock);
    uint64_t count = ids->distinct;
    pthread_mutex_unlock(&ids->lock);
    return count;
}

uint64_t ids_duplicates(struct ids *ids)
{
    pthread_mutex_lock(&ids->lock);
    uint64_t count = ids->duplicates;
    pthread_mutex_unlock(&ids->lock);
    return count;
}

void ids_each_sample(struct ids *ids, void (*each)(void *ctx, struct slice value), void *ctx)
{
    pthread_mutex_lock(&ids->lock);
    for (size_t i = 0; i < ids->samples; i++) {
        each(ctx, slice_cstr(ids->sample[i]));
    }
    pthread_mutex_unlock(&ids->lock);
}
