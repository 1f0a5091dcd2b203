/*
 * template.h - text with {{placeholders}}, parsed.
 *
 * The result is a flat list of nodes in the order of the text; a section says how many of
 * the nodes behind it are its own.  The language is described in letter.h.
 */
#ifndef VOLLEY_MESSAGE_TEMPLATE_H
#define VOLLEY_MESSAGE_TEMPLATE_H

#include "engine/message/arena.h"

enum { TEMPLATE_TAGS_MAX = 20000, TEMPLATE_DEPTH_MAX = 16 };

/* The names used in a letter; a value's place in all tables is its slot. */
enum { SLOT_TO, SLOT_ID, SLOT_CAMPAIGN, SLOT_FIRST };

struct name {
    struct slice text;
    bool required; /* shown somewhere without a default */
};

struct names {
    struct name *name; /* LETTER_NAMES_MAX + SLOT_FIRST of them */
    size_t count;
    size_t tags; /* in the whole letter */
};

void names_init(struct names *names, struct arena *arena);

enum node_kind { NODE_TEXT, NODE_VALUE, NODE_IF, NODE_UNLESS };

struct node {
    uint8_t kind;
    bool raw;                      /* NODE_VALUE: not escaped */
    uint16_t slot;                 /* all but NODE_TEXT */
    uint32_t inside;               /* NODE_IF, NODE_UNLESS: how many nodes the section has */
    struct slice text;             /* NODE_TEXT: the text; NODE_VALUE: the default */
    const struct stretch *stretch; /* NODE_TEXT in a body part: its encoded form */
};

struct template
{
    struct node *node;
    size_t count;
};

struct template_rules {
    bool literal;    /* nothing is a tag */
    bool raw;        /* {{{name}}} is allowed */
    bool standalone; /* a section tag alone on its line takes the line with it */
};

struct template_fault {
    size_t at; /* offset into the text */
    char what[200];
};

/* Parses `text`, which must stay (it is the letter's).  0, or ERR_INVALID / ERR_LIMIT with
 * *fault filled. */
int template_parse(struct slice text, const struct template_rules *rules, struct names *names,
                   struct arena *arena, struct template *out, struct template_fault *fault);

/* Only literal text. */
bool template_is_fixed(const struct template *t);

/* The text may hold tags: "{{" is in it. */
bool template_suspected(struct slice text);

/* There is a tag that would parse, such as "{{name}}" or "{{#name}}". */
bool template_certain(struct slice text);

#endif
