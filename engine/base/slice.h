/*
 * slice.h - a borrowed run of bytes.
 *
 * The bytes belong to somebody else and need not end with NUL.  An empty slice may have a
 * NULL pointer.  Comparison of protocol words is ASCII only: locale never plays a part.
 */
#ifndef VOLLEY_BASE_SLICE_H
#define VOLLEY_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slice {
    const char *ptr;
    size_t len;
};

#define SLICE(literal) ((struct slice){(literal), sizeof(literal) - 1})
#define SLICE_NONE     ((struct slice){NULL, 0})
#define SLICE_FMT      "%.*s" /* with SLICE_ARG, for printf-like functions */
#define SLICE_ARG(s)   ((int)(s).len), ((s).ptr != NULL ? (s).ptr : "")

static inline struct slice slice_of(const char *ptr, size_t len)
{
    return (struct slice){ptr, len};
}

/* The slice over a NUL-terminated string; NULL gives an empty one. */
struct slice slice_cstr(const char *cstr);

bool slice_eq(struct slice a, struct slice b);
bool slice_ieq(struct slice a, struct slice b); /* ASCII case ignored */
bool slice_starts(struct slice s, struct slice prefix);
bool slice_istarts(struct slice s, struct slice prefix);
bool slice_iends(struct slice s, struct slice suffix);
int slice_cmp(struct slice a, struct slice b); /* memcmp order, the shorter first */

/* Without leading and trailing space, tab, CR and LF. */
struct slice slice_trim(struct slice s);

/* What stands from `from` (clamped to the length) to the end. */
struct slice slice_from(struct slice s, size_t from);

/* Offset of the first `c`, or s.len. */
size_t slice_find(struct slice s, char c);

/* Takes the part before the next `sep` off *rest into *part and returns true; false when
 * *rest is used up (its pointer is NULL then).  "a,,b" gives "a", "", "b"; "" gives "". */
bool slice_next(struct slice *rest, char sep, struct slice *part);

/* A decimal number without sign that fills the whole slice.  0, or ERR_INVALID / ERR_RANGE
 * (does not fit uint64_t). */
int slice_u64(struct slice s, uint64_t *out);

/* A copy with a NUL behind it; the caller frees it with mem_free(). */
char *slice_dup(struct slice s);

/* Lower-cases ASCII letters from src into dst (same length). */
void slice_lower(char *dst, struct slice src);

#endif
