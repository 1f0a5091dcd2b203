/*
 * header.h - the header block of a letter or of a part, split into fields.
 */
#ifndef VOLLEY_MESSAGE_HEADER_H
#define VOLLEY_MESSAGE_HEADER_H

#include "engine/base/buf.h"
#include "engine/message/arena.h"

struct header_field {
    struct slice name;
    struct slice value; /* behind the colon, folded as it came, without the last CRLF */
    struct slice whole; /* all of it, with the last CRLF */
    bool plain;         /* may be sent as it is: printable ASCII, lines short enough */
};

struct header {
    struct header_field *field;
    size_t count;
    bool ended; /* by an empty line; else by the end of the text */
};

struct header_fault {
    struct slice at; /* the line that is wrong */
    const char *what;
};

/* Splits text with CRLF line ends; *body is what stands behind the empty line.  All slices
 * borrow from `text`.  0, ERR_INVALID or ERR_LIMIT with *fault. */
int header_parse(struct slice text, struct arena *arena, struct header *out, struct slice *body,
                 struct header_fault *fault);

/* The first field of that name, or NULL. */
const struct header_field *header_find(const struct header *header, struct slice name);

/* Appends a value on one line. */
void header_unfold(struct buf *out, struct slice value);

#endif
