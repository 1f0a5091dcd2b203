/*
 * suggest.h - "did you mean …?"
 *
 * One measure of likeness for everything that people type: options, commands, configuration
 * keys, names of pools and routes.  A suggestion that is not close is worse than none, so a
 * candidate must share most of the word.
 */
#ifndef VOLLEY_BASE_SUGGEST_H
#define VOLLEY_BASE_SUGGEST_H

#include "engine/base/slice.h"

enum { SUGGEST_WORD_MAX = 64 }; /* longer words are never like another */

/* Keeps the best of the candidates it was offered; embed or put it on the stack. */
struct suggest {
    struct slice word;
    struct slice best; /* borrowed from the caller of suggest_offer(); empty: nothing is close */
    size_t distance;   /* of `best`; more than any acceptable one while `best` is empty */
};

void suggest_init(struct suggest *s, struct slice word);
/* Candidates of the same distance: the first one offered wins. */
void suggest_offer(struct suggest *s, struct slice candidate);

/* The edits (insert, delete, replace a character, swap two neighbours) that turn one word
 * into the other, ASCII case and '-' against '_' ignored; SIZE_MAX when either is longer than
 * SUGGEST_WORD_MAX. */
size_t suggest_distance(struct slice a, struct slice b);

#endif
