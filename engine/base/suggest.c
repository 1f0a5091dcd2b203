/*
 * suggest.c - "did you mean …?"
 *
 * The restricted Damerau-Levenshtein distance (optimal string alignment): swapped neighbours
 * are the commonest slip of a typist and count as one.
 */
#include "engine/base/suggest.h"

enum { PREFIX_MIN = 4 };

/* What people mistake for each other without noticing is the same character here. */
static char fold(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return (char)(c | 0x20);
    }
    return c == '-' ? '_' : c;
}

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;

    return least < c ? least : c;
}

size_t suggest_distance(struct slice a, struct slice b)
{
    /* Three rows of the usual table: this one, the one before, and the one before that. */
    size_t rows[3][SUGGEST_WORD_MAX + 1];

    if (a.len > SUGGEST_WORD_MAX || b.len > SUGGEST_WORD_MAX) {
        return SIZE_MAX;
    }
    for (size_t j = 0; j <= b.len; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a.len; i++) {
        size_t *row = rows[i % 3], *up = rows[(i + 2) % 3], *up2 = rows[(i + 1) % 3];
        char ca = fold(a.ptr[i - 1]);
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            char cb = fold(b.ptr[j - 1]);
            row[j] = min3(up[j] + 1, row[j - 1] + 1, up[j - 1] + (ca != cb));
            if (i > 1 && j > 1 && ca == fold(b.ptr[j - 2]) && fold(a.ptr[i - 2]) == cb) {
                size_t swapped = up2[j - 2] + 1;
                row[j] = swapped < row[j] ? swapped : row[j];
            }
        }
    }
    return rows[a.len % 3][b.len];
}

void suggest_init(struct suggest *s, struct slice word)
{
    s->word = word;
    s->best = SLICE_NONE;
    /* One slip in a short word, one for each three characters in a long one. */
    s->distance = (word.len < 6 ? 1 : word.len / 3) + 1;
}

void suggest_offer(struct suggest *s, struct slice candidate)
{
    size_t distance = suggest_distance(s->word, candidate);

    /* A word cut short is one slip: "password" for password_file. */
    if (distance > 1 && s->word.len >= PREFIX_MIN && slice_istarts(candidate, s->word)) {
        distance = 1;
    }
    if (distance < s->distance && distance < candidate.len) {
        s->distance = distance;
        s->best = candidate;
    }
}
