/*
 * program.h - what a letter is compiled into (private to engine/message).
 *
 * A letter is a list of steps: first those of the header block, the empty line included,
 * then those of the body.  A fixed step holds its bytes in both forms; where no line begins
 * with a dot, both point at the same bytes.  What the other steps make is alike in both
 * forms, because neither a header field of ours nor quoted-printable nor base64 of ours ever
 * begins a line with a dot; and a fixed step behind one of them starts at the beginning of a
 * line, or with CRLF.  So the two forms of a copy never disagree about a dot.
 */
#ifndef VOLLEY_MESSAGE_PROGRAM_H
#define VOLLEY_MESSAGE_PROGRAM_H

#include "engine/message/letter.h"
#include "engine/message/template.h"

enum step_kind { STEP_FIXED, STEP_FIELD, STEP_DATE, STEP_MESSAGE_ID, STEP_TEXT };

/* How a field's text is written: see field.c. */
enum field_kind {
    FIELD_TEXT,   /* unstructured: encoded words where needed */
    FIELD_BOXES,  /* a list of mailboxes */
    FIELD_TOKENS, /* ASCII; values are percent-encoded where a URI could not hold them */
};

struct mailbox {
    struct template name;
    struct template addr;
};

struct field {
    struct slice name;
    size_t line; /* in the source, for messages */
    enum field_kind kind;
    bool is_from;
    struct template text; /* unless FIELD_BOXES */
    struct mailbox *box;
    size_t box_count;
};

enum coding { CODING_QP, CODING_BASE64 };

/* Fixed text of a personal part, encoded beforehand.
 *
 * Quoted-printable: the first `head` bytes are encoded for each copy, because the column
 * they start at depends on the value before them; then a line begins, and ready[0] follows.
 * Base64: the head is the 0, 1 or 2 bytes that fill up the carry, and ready[head] follows. */
struct stretch {
    size_t head;
    struct slice ready[3];
    size_t ready_text[3]; /* how many bytes of the text are in ready[] */
    char blank;           /* quoted-printable: owed at its end */
    size_t column[3];     /* where its last line ends */
};

struct text_part {
    enum coding coding;
    bool html;
    bool line_end; /* the part ends the letter: it ends with CRLF */
    struct template text;
};

struct step {
    enum step_kind kind;
    struct slice raw; /* STEP_FIXED */
    struct slice dotted;
    const struct field *field;    /* STEP_FIELD */
    const struct text_part *part; /* STEP_TEXT */
};

struct letter {
    size_t refs;
    struct arena arena;
    struct names names;
    struct step *step;
    size_t step_count;
    size_t head_steps; /* how many of them make the header block */
    bool strict;
    bool personal;
    bool body_fixed;
    bool needs_8bit;
    bool own_from;     /* From is made by placeholders */
    struct slice from; /* empty when placeholders make it */
    struct slice from_domain;
};

/* The values of one copy, by slot. */
struct values {
    const struct slice *value; /* clean UTF-8 with CRLF line ends; NULL pointer: missing */
    const struct names *names;
    bool strict;
};

/* The value of a node, or its default; ERR_INVALID when a strict letter misses it. */
int values_get(const struct values *values, const struct node *node, struct slice *out,
               struct buf *error);

/* The section's nodes are to be shown. */
bool values_show(const struct values *values, const struct node *section);

/* ---- field.c: header fields ---- */

/* Compiles the field (unfolded, decoded text).  0 or an error with a fault against `text`. */
int field_compile(struct slice name, struct slice text, const struct template_rules *rules,
                  struct letter *letter, struct field *out, struct template_fault *fault);

bool field_is_fixed(const struct field *field);

/* Where something stands in a buffer that may still move. */
struct span {
    size_t at;
    size_t len;
};

/* Appends the finished field with its CRLF; nothing when all its mailboxes came out empty.
 * *domain is set for From: where its domain stands in `out`.  0 or an error. */
int field_render(const struct field *field, const struct values *values, struct buf *out,
                 struct buf *scratch, struct span *domain, struct buf *error);

/* ---- part.c: body parts with placeholders ---- */

/* Encodes the fixed stretches of the part. */
void part_compile(struct text_part *part, struct arena *arena);

/* Where a part's pieces go: bytes of this copy, and shared ones. */
struct part_sink {
    struct buf *own;
    void (*share)(struct part_sink *sink, struct slice ready);
};

int part_render(const struct text_part *part, const struct values *values, struct part_sink *sink,
                struct buf *scratch, struct buf *error);

#endif
