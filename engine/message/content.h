/*
 * content.h - what a part says about its bytes (RFC 2045).
 */
#ifndef VOLLEY_MESSAGE_CONTENT_H
#define VOLLEY_MESSAGE_CONTENT_H

#include "engine/message/header.h"

enum content_encoding {
    CONTENT_7BIT, /* also when nothing is said */
    CONTENT_8BIT,
    CONTENT_BINARY,
    CONTENT_QP,
    CONTENT_BASE64,
    CONTENT_UNKNOWN,
};

struct content {
    const struct header_field *type_field; /* NULL: not there */
    const struct header_field *encoding_field;
    struct slice type;          /* unfolded value of Content-Type; empty when it is not there */
    struct slice media;         /* "text/plain" */
    struct slice charset;       /* empty when not given */
    struct slice boundary;      /* of a multipart */
    struct slice charset_param; /* "charset=x" within type, for replacing it */
    enum content_encoding encoding;
    bool attachment;
};

/* Reads the fields; `fallback` is the media type of a part that does not name one. */
void content_read(const struct header *header, struct slice fallback, struct arena *arena,
                  struct content *out);

bool content_is_text(const struct content *content);
bool content_is_html(const struct content *content);
bool content_is_multipart(const struct content *content);

/* Its bytes are not ours to touch: signed, encrypted, or a letter inside the letter. */
bool content_is_opaque(const struct content *content);

/* UTF-8 text may be put into it: the charset is UTF-8 or US-ASCII, or not given. */
bool content_takes_utf8(const struct content *content);

/* Appends the decoded bytes of a body. */
void content_decode(struct buf *out, enum content_encoding encoding, struct slice body);

/* Appends a Content-Type value with charset=utf-8. */
void content_put_utf8_type(struct buf *out, const struct content *content);

#endif
