/*
 * arena.c - memory that lives and dies with its letter.
 */
#include "engine/message/arena.h"
#include "engine/base/mem.h"

#include <string.h>

enum { ARENA_BLOCK = 4000, ARENA_ALIGN = 16 };

struct arena_block {
    struct arena_block *next;
    size_t used;
    size_t cap;
    _Alignas(ARENA_ALIGN) char bytes[];
};

void arena_init(struct arena *arena)
{
    *arena = (struct arena){NULL, 0};
}

void arena_fini(struct arena *arena)
{
    while (arena->block != NULL) {
        struct arena_block *next = arena->block->next;
        mem_free(arena->block);
        arena->block = next;
    }
    arena->bytes = 0;
}

/* Large pieces get a block to themselves, put behind the newest one so that its room for
 * small pieces stays in use. */
static struct arena_block *block_new(struct arena *arena, size_t size)
{
    size_t cap = size > ARENA_BLOCK / 4 ? size : ARENA_BLOCK;
    struct arena_block *block = mem_alloc(sizeof(*block) + cap);

    block->used = 0;
    block->cap = cap;
    arena->bytes += sizeof(*block) + cap;
    if (cap != ARENA_BLOCK && arena->block != NULL) {
        block->next = arena->block->next;
        arena->block->next = block;
    } else {
        block->next = arena->block;
        arena->block = block;
    }
    return block;
}

static void *arena_bytes(struct arena *arena, size_t size)
{
    size_t rounded = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    struct arena_block *block = arena->block;

    if (block == NULL || block->cap - block->used < rounded) {
        block = block_new(arena, rounded);
    }
    void *out = block->bytes + block->used;
    block->used += rounded;
    return out;
}

void *arena_take(struct arena *arena, size_t size)
{
    void *out = arena_bytes(arena, size);

    memset(out, 0, size);
    return out;
}

struct slice arena_keep(struct arena *arena, struct slice bytes)
{
    if (bytes.len == 0) {
        return SLICE("");
    }
    char *out = arena_bytes(arena, bytes.len);

    memcpy(out, bytes.ptr, bytes.len);
    return slice_of(out, bytes.len);
}
