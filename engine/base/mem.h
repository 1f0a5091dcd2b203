/*
 * mem.h - allocation that does not fail.
 *
 * Memory is bounded by limits that callers check before they allocate; running out all the
 * same is a wrong configuration of the machine, and the process stops (Postfix's mymalloc
 * rule).  So no caller carries an untested out-of-memory branch.
 */
#ifndef VOLLEY_BASE_MEM_H
#define VOLLEY_BASE_MEM_H

#include <stddef.h>

/* Each returns memory that the caller frees with mem_free(); never NULL. */
void *mem_alloc(size_t size);
void *mem_zalloc(size_t size);
void *mem_array(size_t count, size_t size); /* zeroed; stops on overflow of count * size */
void *mem_realloc(void *ptr, size_t size);
char *mem_dup(const void *ptr, size_t len); /* a copy with a NUL behind it */
void mem_free(void *ptr);                   /* NULL is fine */

#endif
