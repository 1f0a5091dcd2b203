/*
 * json.h - writing JSON into a buf.
 *
 * A few appenders, no tree: events are written a hundred thousand a second.  Strings may
 * hold anything; bytes that are not UTF-8 become U+FFFD, so a line always parses.  The
 * writer puts the commas: it looks at the last byte written.
 */
#ifndef VOLLEY_BASE_JSON_H
#define VOLLEY_BASE_JSON_H

#include "engine/base/buf.h"

void json_object_open(struct buf *b);
void json_object_close(struct buf *b);
void json_array_open(struct buf *b);
void json_array_close(struct buf *b);

/* "key": inside an object, with the comma before it where one is due; `key` is a plain
 * identifier of ours and is not escaped. */
void json_key(struct buf *b, const char *key);
void json_key_slice(struct buf *b, struct slice key); /* any bytes: escaped */

/* A value: in an array, or right behind json_key(). */
void json_str(struct buf *b, struct slice s);
void json_u64(struct buf *b, uint64_t value);
void json_i64(struct buf *b, int64_t value);
void json_bool(struct buf *b, bool value);
void json_null(struct buf *b);

/* key and value in one. */
void json_put_str(struct buf *b, const char *key, struct slice s);
void json_put_cstr(struct buf *b, const char *key, const char *s);
void json_put_u64(struct buf *b, const char *key, uint64_t value);
void json_put_i64(struct buf *b, const char *key, int64_t value);
void json_put_bool(struct buf *b, const char *key, bool value);

#endif
