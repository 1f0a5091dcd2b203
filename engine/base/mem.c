/*
 * mem.c - allocation that does not fail.
 */
#include "engine/base/mem.h"
#include "engine/base/panic.h"

#include <stdlib.h>
#include <string.h>

static void *mem_checked(void *ptr, size_t size)
{
    if (ptr == NULL && size > 0) {
        PANIC("out of memory: %zu bytes asked for", size);
    }
    return ptr;
}

void *mem_alloc(size_t size)
{
    return mem_checked(malloc(size), size);
}

void *mem_zalloc(size_t size)
{
    return mem_checked(calloc(1, size), size);
}

void *mem_array(size_t count, size_t size)
{
    return mem_checked(calloc(count, size), count * size);
}

void *mem_realloc(void *ptr, size_t size)
{
    return mem_checked(realloc(ptr, size), size);
}

char *mem_dup(const void *ptr, size_t len)
{
    char *copy = mem_alloc(len + 1);

    if (len > 0) {
        memcpy(copy, ptr, len);
    }
    copy[len] = '\0';
    return copy;
}

void mem_free(void *ptr)
{
    free(ptr);
}
