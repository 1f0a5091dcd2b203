/*
 * base64.h - base64 (RFC 2045 6.8) in lines of at most 76 characters.
 *
 * The encoder is a flow: fed piece by piece, it carries up to two bytes that do not fill a
 * group of three yet.  Lines may be shorter than 76 in the middle, which decoders ignore, so
 * stretches encoded beforehand fit in wherever the carry is empty.
 */
#ifndef VOLLEY_MESSAGE_BASE64_H
#define VOLLEY_MESSAGE_BASE64_H

#include "engine/base/buf.h"

enum { B64_COLUMN_MAX = 76 };

struct b64_flow {
    struct buf *out;
    size_t column;
    size_t carry_len; /* 0..2 */
    unsigned char carry[3];
};

void b64_put(struct b64_flow *flow, struct slice bytes);

/* Writes out the carry with padding; the flow may not be fed again. */
void b64_finish(struct b64_flow *flow);

/* Goes to the start of a line unless it is there; harmless within base64. */
void b64_break(struct b64_flow *flow);

/* Base64 on one line, as encoded words want it. */
void b64_put_line(struct buf *out, struct slice bytes);

/* Appends the decoded bytes; whatever is not of the alphabet is skipped (RFC 2045 6.8). */
void b64_decode(struct buf *out, struct slice text);

#endif
