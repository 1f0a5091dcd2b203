/*
 * store.c - the memory of one configuration.
 *
 * Pieces are few and small, so each is an allocation of its own: tools that watch memory see an
 * overrun of any of them.
 */
#include "conf/private.h"
#include "engine/base/mem.h"

#include <string.h>

struct chunk {
    struct list link;
    _Alignas(16) char bytes[];
};

void conf_store_init(struct conf_store *store)
{
    list_init(&store->chunks);
}

void conf_store_fini(struct conf_store *store)
{
    LIST_EACH_SAFE (node, &store->chunks) {
        mem_free(CONTAINER_OF(node, struct chunk, link));
    }
    list_init(&store->chunks);
}

void *conf_store_take(struct conf_store *store, size_t count, size_t size)
{
    size_t bytes;

    ASSERT(!__builtin_mul_overflow(count, size, &bytes) && bytes < SIZE_MAX / 2);
    struct chunk *chunk = mem_zalloc(sizeof(*chunk) + bytes);
    list_append(&store->chunks, &chunk->link);
    return chunk->bytes;
}

const char *conf_store_text(struct conf_store *store, struct slice text)
{
    char *copy = conf_store_take(store, text.len + 1, 1);

    if (text.len > 0) {
        memcpy(copy, text.ptr, text.len);
    }
    return copy;
}
