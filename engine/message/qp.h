/*
 * qp.h - quoted-printable (RFC 2045 6.7) of text.
 *
 * The encoder is a flow: it is fed piece by piece and remembers the column, so fixed and
 * personal pieces can follow each other.  Lines have at most 76 characters.  A blank at the
 * end of a piece waits for what follows: at the end of a line it has to be =20.  No line
 * begins with a dot, so the dotted form equals the raw one, or with two hyphens, so no value
 * can look like a boundary.
 */
#ifndef VOLLEY_MESSAGE_QP_H
#define VOLLEY_MESSAGE_QP_H

#include "engine/base/buf.h"

struct qp_flow {
    struct buf *out;
    size_t column;
    char blank; /* owed: a space or a tab; else 0 */
};

/* Encodes text with CRLF line ends. */
void qp_put(struct qp_flow *flow, struct slice text);

/* Goes to the start of a line by a soft break, unless it is there already. */
void qp_break(struct qp_flow *flow);

/* Writes out the blank owed: nothing follows. */
void qp_finish(struct qp_flow *flow);

/* Appends the decoded bytes.  Lenient as RFC 2045 advises: an "=" that begins nothing stands
 * for itself, white space at the end of a line goes. */
void qp_decode(struct buf *out, struct slice text);

#endif
