/*
 * words.h - text in header fields: folding (RFC 5322 2.2.3) and encoded words (RFC 2047).
 *
 * Whatever the text, what is written is printable ASCII in lines of at most 998 bytes, each
 * but the first beginning with a space: a value cannot end the field it stands in.
 */
#ifndef VOLLEY_MESSAGE_WORDS_H
#define VOLLEY_MESSAGE_WORDS_H

#include "engine/base/buf.h"

/* A header field being written. */
struct words {
    struct buf *out;
    size_t column;
    size_t blanks; /* owed before the next word */
    bool fresh;    /* nothing stands behind the field's name yet */
    bool coded;    /* an encoded word stands on this line */
};

/* Writes "Name:"; the value follows. */
void words_begin(struct words *w, struct buf *out, struct slice name);
void words_end(struct words *w); /* writes CRLF */

/* Unstructured text in UTF-8, encoded where it needs to be.  Control characters count as
 * blanks; blanks at both ends go. */
void words_put_text(struct words *w, struct slice text);

/* A display name: atoms, a quoted string, or encoded words (RFC 2047 5 (3)). */
void words_put_phrase(struct words *w, struct slice text);

/* ASCII that may be folded at blanks only.  0, or ERR_LIMIT when a word fits no line. */
int words_put_plain(struct words *w, struct slice text);

/* A blank (or a new line) before what comes next, unless nothing was written yet. */
void words_blank(struct words *w);

/* An address that address_parse() accepted, in angles or bare; never broken up. */
void words_put_address(struct words *w, struct slice addr, bool angles);

/* Appends the text with encoded words decoded to UTF-8.  Those in a charset other than UTF-8,
 * US-ASCII and ISO-8859-1 stay as they are. */
void words_decode(struct buf *out, struct slice text);

#endif
