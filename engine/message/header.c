/*
 * header.c - the header block of a letter or of a part, split into fields.
 */
#include "engine/message/header.h"
#include "engine/base/err.h"
#include "engine/message/lines.h"

#include <string.h>

enum { HEADER_BYTES_MAX = 256 * 1024, HEADER_FIELDS_MAX = 1000, HEADER_NAME_MAX = 76 };

static const char *name_fault(struct slice name)
{
    if (name.len == 0) {
        return "a header field without a name";
    }
    if (name.len > HEADER_NAME_MAX) {
        return "a header field's name has more than 76 characters";
    }
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] <= ' ' || name.ptr[i] > '~') { /* RFC 5322 3.6.8, and char is signed */
            return "not a header field; write \"Name: value\", and an empty line behind the "
                   "last one";
        }
    }
    return name.ptr[0] == '.' ? "a header field's name begins with a dot" : NULL;
}

/* A line of blanks only inside a field would be taken for the end of the block by some. */
static bool is_plain(struct slice whole)
{
    struct slice line;

    while (lines_next(&whole, &line)) {
        struct slice bare = lines_bare(line);
        if (bare.len > LINE_LEN_MAX || slice_trim(bare).len == 0) {
            return false;
        }
        for (size_t i = 0; i < bare.len; i++) {
            if ((bare.ptr[i] < ' ' && bare.ptr[i] != '\t') || bare.ptr[i] > '~') {
                return false;
            }
        }
    }
    return true;
}

/* Takes one field with its continuation lines. */
static const char *field_take(struct slice *rest, struct header_field *out)
{
    struct slice start = *rest;
    struct slice line, more;

    lines_next(rest, &line);
    size_t len = line.len;
    size_t colon = slice_find(line, ':');

    if (colon == line.len) {
        return "not a header field; write \"Name: value\", and an empty line behind the last one";
    }
    struct slice name = slice_trim(slice_of(line.ptr, colon));
    const char *fault = name_fault(name);
    if (fault != NULL) {
        return fault;
    }
    while (rest->len > 0 && (rest->ptr[0] == ' ' || rest->ptr[0] == '\t')) {
        lines_next(rest, &more);
        len += more.len;
    }
    out->name = name;
    out->whole = slice_of(start.ptr, len);
    out->value = lines_bare(slice_from(out->whole, colon + 1));
    /* "Name : value" is obsolete (RFC 5322 4.5.8), and a last line may lack its CRLF */
    out->plain = name.len == colon && out->whole.ptr[len - 1] == '\n' && is_plain(out->whole);
    return NULL;
}

int header_parse(struct slice text, struct arena *arena, struct header *out, struct slice *body,
                 struct header_fault *fault)
{
    struct buf fields = BUF_EMPTY;
    struct slice rest = text;
    int err = 0;

    *out = (struct header){.count = 0};
    *fault = (struct header_fault){.at = text};
    while (err == 0 && rest.len > 0 && !slice_starts(rest, SLICE("\r\n"))) {
        struct header_field field;
        fault->at = rest;
        fault->what = field_take(&rest, &field);
        err = fault->what != NULL ? ERR_INVALID : 0;
        if (err == 0 &&
            (++out->count > HEADER_FIELDS_MAX || text.len - rest.len > HEADER_BYTES_MAX)) {
            fault->what = "the header is larger than 256 KB or has more than 1000 fields";
            err = ERR_LIMIT;
        }
        buf_put(&fields, &field, sizeof(field));
    }
    if (err == 0) {
        out->field = arena_take(arena, fields.len);
        if (fields.len > 0) {
            memcpy(out->field, fields.ptr, fields.len);
        }
        out->ended = rest.len > 0;
        *body = slice_from(rest, 2);
    }
    buf_fini(&fields);
    return err;
}

const struct header_field *header_find(const struct header *header, struct slice name)
{
    for (size_t i = 0; i < header->count; i++) {
        if (slice_ieq(header->field[i].name, name)) {
            return &header->field[i];
        }
    }
    return NULL;
}

void header_unfold(struct buf *out, struct slice value)
{
    struct slice line;

    while (lines_next(&value, &line)) {
        buf_puts(out, lines_bare(line));
    }
}
