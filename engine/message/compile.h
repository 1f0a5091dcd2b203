/*
 * compile.h - from the bytes of a letter to its steps (private to engine/message).
 */
#ifndef VOLLEY_MESSAGE_COMPILE_H
#define VOLLEY_MESSAGE_COMPILE_H

#include "engine/message/content.h"
#include "engine/message/program.h"

enum { COMPILE_PARTS_MAX = 1000, COMPILE_DEPTH_MAX = 20, COMPILE_MERGED_MAX = 64 };

struct compiler {
    struct letter *letter;
    struct letter_options options;
    struct slice source; /* the letter with CRLF line ends; all parsing borrows from it */
    struct buf fixed;    /* bytes of the step being gathered */
    struct buf steps;    /* struct step */
    size_t parts;
    size_t merged; /* parts with placeholders */
    struct buf *error;
};

/* Says "line N: ..." for a place in the source; returns err. */
int compile_fault(const struct compiler *c, int err, const char *at, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
int compile_fault_line(const struct compiler *c, int err, size_t line, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
size_t compile_line(const struct compiler *c, const char *at);

/* Closes the fixed bytes gathered in c->fixed into a step. */
void compile_flush(struct compiler *c);

/* Adds a step that differs by recipient. */
void compile_step(struct compiler *c, struct step step);

/* ---- fields.c ---- */

/* What is done to the MIME fields of a part. */
struct field_edits {
    const char *encoding; /* the new Content-Transfer-Encoding, or NULL */
    bool utf8_type;       /* charset=utf-8 */
};

/* Writes the fields of one header block, without the empty line.  `top`: the letter's own. */
int compile_fields(struct compiler *c, const struct header *header, const struct content *content,
                   const struct field_edits *edits, bool top);

/* ---- body.c ---- */

/* The letter's own header and body. */
int compile_letter(struct compiler *c);

#endif
