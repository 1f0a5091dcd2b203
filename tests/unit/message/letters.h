/*
 * letters.h - what the tests of letters share: compile, render, flatten, and a strict look.
 */
#ifndef VOLLEY_TEST_MESSAGE_LETTERS_H
#define VOLLEY_TEST_MESSAGE_LETTERS_H

#include "engine/base/mem.h"
#include "engine/message/letter.h"

#include <string.h>

static inline void flatten(struct buf *out, const struct letter_form *form)
{
    out->len = 0;
    for (size_t i = 0; i < form->count; i++) {
        buf_put(out, form->iov[i].iov_base, form->iov[i].iov_len);
    }
}

/* What a server does with DATA: the inverse of dot-stuffing, written without a look at ours.
 * false when the end is not exactly one CRLF "." CRLF, or anything stands behind it. */
static inline bool undot(struct slice dotted, struct buf *out)
{
    bool line_start = true;

    out->len = 0;
    for (size_t i = 0; i < dotted.len; i++) {
        char c = dotted.ptr[i];
        if (line_start && c == '.') {
            if (i + 2 < dotted.len && dotted.ptr[i + 1] == '\r' && dotted.ptr[i + 2] == '\n') {
                return i + 3 == dotted.len;
            }
            i++;
            if (i == dotted.len) {
                return false;
            }
            c = dotted.ptr[i];
        }
        buf_putc(out, c);
        line_start = c == '\n';
    }
    return false;
}

/* NULL when the bytes may be sent: CRLF only, no NUL, lines of at most 998 bytes, a header
 * block of ASCII whose lines are fields or continuations. */
static inline const char *wire_fault(struct slice raw)
{
    size_t line = 0;
    bool header = true;

    for (size_t i = 0; i < raw.len; i++) {
        unsigned char c = (unsigned char)raw.ptr[i];
        if (c == '\0') {
            return "NUL";
        }
        if (c == '\n' && (i == 0 || raw.ptr[i - 1] != '\r')) {
            return "lone LF";
        }
        if (c == '\r' && (i + 1 == raw.len || raw.ptr[i + 1] != '\n')) {
            return "lone CR";
        }
        if (header && c >= 0x80) {
            return "8-bit header";
        }
        if (header && line == 0 && c != '\r' && c != '\n' && c != ' ' && c != '\t') {
            size_t colon = slice_find(slice_from(raw, i), ':');
            size_t lf = slice_find(slice_from(raw, i), '\n');
            if (colon > lf) {
                return "a header line that is no field";
            }
        }
        if (c == '\n') {
            header = header && line > 0;
            line = 0;
        } else if (c != '\r' && ++line > 998) {
            return "a line of more than 998 bytes";
        }
    }
    if (header) {
        return "no empty line";
    }
    return raw.len >= 2 && raw.ptr[raw.len - 1] == '\n' ? NULL : "no CRLF at the end";
}

/* The copy's two forms say the same, and their figures are right. */
static inline const char *copy_fault(const struct letter_copy *copy)
{
    struct buf raw = BUF_EMPTY;
    struct buf dotted = BUF_EMPTY;
    struct buf plain = BUF_EMPTY;
    const char *fault = NULL;

    flatten(&raw, &copy->raw);
    flatten(&dotted, &copy->dotted);
    if (raw.len != copy->raw.len || dotted.len != copy->dotted.len) {
        fault = "a length is wrong";
    } else if (copy->raw.count > LETTER_IOV_MAX || copy->dotted.count > LETTER_IOV_MAX) {
        fault = "too many iovecs";
    } else if (!undot(buf_slice(&dotted), &plain)) {
        fault = "the dotted form ends wrongly";
    } else if (!slice_eq(buf_slice(&plain), buf_slice(&raw))) {
        fault = "the dotted form without dots is not the raw one";
    } else if (copy->raw.head_len < 4 ||
               memcmp(raw.ptr + copy->raw.head_len - 4, "\r\n\r\n", 4) != 0) {
        fault = "the header block does not end with the empty line";
    } else {
        fault = wire_fault(buf_slice(&raw));
    }
    buf_fini(&raw);
    buf_fini(&dotted);
    buf_fini(&plain);
    return fault;
}

#endif
