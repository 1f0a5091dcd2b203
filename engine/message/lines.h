/*
 * lines.h - line ends, line lengths and dots.
 *
 * A letter on the wire has CRLF and nothing else that a receiver could take for the end of
 * a line: a lone CR or LF next to a dot is how letters are smuggled (CVE-2023-51764).
 */
#ifndef VOLLEY_MESSAGE_LINES_H
#define VOLLEY_MESSAGE_LINES_H

#include "engine/base/buf.h"

enum { LINE_LEN_MAX = 998 }; /* without CRLF (RFC 5322 2.1.1) */

/* Appends the text with every CRLF, lone CR and lone LF as CRLF. */
void lines_normalise(struct buf *out, struct slice text);

/* How many CRLF; `text` is normalised, as below. */
size_t lines_count(struct slice text);

/* The length of the longest line, without its CRLF. */
size_t lines_longest(struct slice text);

/* Some line begins with a dot; `at_start` says whether the first byte begins a line. */
bool lines_have_dot(struct slice text, bool at_start);

/* Appends the text with a second dot before every dot that begins a line (RFC 5321 4.5.2). */
void lines_stuff(struct buf *out, struct slice text, bool at_start);

/* Takes the next line with its CRLF (the last may lack it) off *rest; false at the end. */
bool lines_next(struct slice *rest, struct slice *line);

/* The line without its CRLF. */
struct slice lines_bare(struct slice line);

#endif
