/*
 * slice.c - a borrowed run of bytes.
 */
#include "engine/base/slice.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"

#include <string.h>

static inline unsigned char ascii_lower(char c)
{
    unsigned char u = (unsigned char)c;

    return (u >= 'A' && u <= 'Z') ? (unsigned char)(u | 0x20) : u;
}

static bool bytes_ieq(const char *a, const char *b, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (ascii_lower(a[i]) != ascii_lower(b[i])) {
            return false;
        }
    }
    return true;
}

struct slice slice_cstr(const char *cstr)
{
    return slice_of(cstr, cstr != NULL ? strlen(cstr) : 0);
}

bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool slice_ieq(struct slice a, struct slice b)
{
    return a.len == b.len && bytes_ieq(a.ptr, b.ptr, a.len);
}

bool slice_starts(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && slice_eq(slice_of(s.ptr, prefix.len), prefix);
}

bool slice_istarts(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && bytes_ieq(s.ptr, prefix.ptr, prefix.len);
}

bool slice_iends(struct slice s, struct slice suffix)
{
    return s.len >= suffix.len && bytes_ieq(s.ptr + (s.len - suffix.len), suffix.ptr, suffix.len);
}

int slice_cmp(struct slice a, struct slice b)
{
    size_t shared = a.len < b.len ? a.len : b.len;
    int order = shared > 0 ? memcmp(a.ptr, b.ptr, shared) : 0;

    if (order != 0) {
        return order;
    }
    return (a.len > b.len) - (a.len < b.len);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice slice_trim(struct slice s)
{
    while (s.len > 0 && is_blank(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.ptr[s.len - 1])) {
        s.len--;
    }
    return s;
}

struct slice slice_from(struct slice s, size_t from)
{
    if (from >= s.len) {
        return SLICE_NONE;
    }
    return slice_of(s.ptr + from, s.len - from);
}

size_t slice_find(struct slice s, char c)
{
    const char *at = s.len > 0 ? memchr(s.ptr, c, s.len) : NULL;

    return at != NULL ? (size_t)(at - s.ptr) : s.len;
}

bool slice_next(struct slice *rest, char sep, struct slice *part)
{
    if (rest->ptr == NULL) {
        return false;
    }
    size_t at = slice_find(*rest, sep);

    *part = slice_of(rest->ptr, at);
    *rest = at < rest->len ? slice_of(rest->ptr + at + 1, rest->len - at - 1) : SLICE_NONE;
    return true;
}

int slice_u64(struct slice s, uint64_t *out)
{
    uint64_t value = 0;

    if (s.len == 0) {
        return ERR_INVALID;
    }
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9') {
            return ERR_INVALID;
        }
        if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(s.ptr[i] - '0'), &value)) {
            return ERR_RANGE;
        }
    }
    *out = value;
    return 0;
}

char *slice_dup(struct slice s)
{
    return mem_dup(s.ptr, s.len);
}

void slice_lower(char *dst, struct slice src)
{
    for (size_t i = 0; i < src.len; i++) {
        dst[i] = (char)ascii_lower(src.ptr[i]);
    }
}
