/*
 * arena.h - memory that lives and dies with its letter.
 *
 * A letter is made of many small things that all go at once; none is ever freed alone.
 */
#ifndef VOLLEY_MESSAGE_ARENA_H
#define VOLLEY_MESSAGE_ARENA_H

#include "engine/base/slice.h"

struct arena_block;

struct arena {
    struct arena_block *block; /* the newest first */
    size_t bytes;              /* taken from the allocator in all */
};

void arena_init(struct arena *arena);
void arena_fini(struct arena *arena);

/* Zeroed memory, aligned for anything; never NULL. */
void *arena_take(struct arena *arena, size_t size);

/* A copy of the bytes. */
struct slice arena_keep(struct arena *arena, struct slice bytes);

#endif
