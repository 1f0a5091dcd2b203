/*
 * utf8.h - is it UTF-8?
 */
#ifndef VOLLEY_BASE_UTF8_H
#define VOLLEY_BASE_UTF8_H

#include "engine/base/slice.h"

/* Length in bytes (1..4) of the well-formed sequence at the front (Unicode table 3-7: no
 * overlong forms, no surrogates, nothing above U+10FFFF), or 0. */
size_t utf8_valid_prefix(struct slice s);

/* The whole slice is well formed. */
bool utf8_valid(struct slice s);

/* No byte has its high bit set. */
bool utf8_is_ascii(struct slice s);

#endif
