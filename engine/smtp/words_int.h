/*
 * words_int.h - a compiled table of words, shared by words.c (finding) and words_table.c (making).
 */
#ifndef VOLLEY_SMTP_WORDS_INT_H
#define VOLLEY_SMTP_WORDS_INT_H

#include "engine/smtp/words.h"

enum { WORDS_CODES_MAX = 8, WORDS_ATOMS_MAX = 16 };

enum words_kind { WORDS_TEXT, WORDS_TIME, WORDS_ANY };

struct words_atom {
    enum words_kind kind;
    struct slice text; /* in lower case; owned by the rule */
};

enum words_outcome { WORDS_DEFER, WORDS_BOUNCE, WORDS_LATER };

/* The questions a line may answer. */
enum {
    WORDS_FAILURE = 1 << 0,
    WORDS_OUTCOME = 1 << 1,
    WORDS_RETRY = 1 << 2,
    WORDS_HOST = 1 << 3,
    WORDS_SITE = 1 << 4
};

struct words_meaning {
    unsigned answers;
    enum smtp_failure failure;
    enum words_outcome outcome;
    enum smtp_host_fate host;
    enum smtp_site_fate site;
    int64_t retry_us; /* of a rule: 0 for what the words say */
};

struct words_rule {
    struct {
        uint16_t lo, hi;
    } codes[WORDS_CODES_MAX];
    size_t code_count; /* 0: any */
    unsigned stages;   /* 1 << enum smtp_stage */
    struct words_atom atoms[WORDS_ATOMS_MAX];
    size_t atom_count;
    char *text; /* what the atoms point into */
    struct words_meaning then;
};

struct smtp_words {
    struct words_rule *rules;
    size_t count;
};

#endif
