/*
 * dotstuff.h - the transparency of RFC 5321 4.5.2.
 *
 * Here, and not in engine/smtp, because engine/message prepares the dotted form once per
 * letter and knows nothing of sessions.  The content must have CRLF line ends already; a
 * dot behind a lone CR or LF is stuffed as well, because receivers exist that take it for
 * the start of a line (CVE-2023-51764): a dot too many is a blemish, one too few ends the
 * letter.
 */
#ifndef VOLLEY_BASE_DOTSTUFF_H
#define VOLLEY_BASE_DOTSTUFF_H

#include "engine/base/buf.h"
#include "engine/base/slice.h"

/* Where the last chunk ended.  Start from DOTSTUFF_START. */
struct dotstuff {
    char last;   /* the last byte seen */
    char before; /* and the one before it */
};

#define DOTSTUFF_START ((struct dotstuff){'\n', '\r'})

/* Appends a chunk with its dots doubled. */
void dotstuff_put(struct dotstuff *d, struct buf *out, struct slice chunk);

/* Appends CRLF, unless the content ended with it, and the final dot: ".\r\n". */
void dotstuff_end(struct dotstuff *d, struct buf *out);

/* Whole content at once, terminator included. */
void dotstuff_whole(struct buf *out, struct slice content);

#endif
