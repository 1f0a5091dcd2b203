/*
 * words.c - what the words of a refusal say: finding them.
 *
 * A pattern is a row of pieces between `*`, each a row of atoms: text and {time}.  Pieces are
 * looked for from left to right, each behind the one before it, at the first place where it
 * fits: with nothing but `*` between them that finds a match whenever there is one.
 */
#include "engine/smtp/words_int.h"

#include "engine/base/mem.h"
#include "engine/base/panic.h"
#include "engine/base/units.h"

#include <string.h>

/* ---- a time in words ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return c >= 'a' && c <= 'z';
}

/* At most six digits: more is no time that anybody means.  Bytes used, or 0. */
static size_t take_number(struct slice s, int64_t *out)
{
    size_t len = 0;

    *out = 0;
    while (len < s.len && is_digit(s.ptr[len])) {
        *out = len < 6 ? *out * 10 + (s.ptr[len] - '0') : *out;
        len++;
    }
    return len <= 6 ? len : 0;
}

/* "minutes", " min.", "h": seconds of one.  Bytes used; 0: no unit. */
static size_t take_unit(struct slice s, int64_t *seconds)
{
    static const struct {
        const char *name;
        int64_t seconds;
    } units[] = {
        {"s", 1},     {"sec", 1},     {"secs", 1},     {"second", 1},  {"seconds", 1},
        {"m", 60},    {"min", 60},    {"mins", 60},    {"minute", 60}, {"minutes", 60},
        {"h", 3600},  {"hr", 3600},   {"hrs", 3600},   {"hour", 3600}, {"hours", 3600},
        {"d", 86400}, {"day", 86400}, {"days", 86400},
    };
    size_t at = s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '-') ? 1 : 0, end = at;

    while (end < s.len && is_letter(s.ptr[end])) {
        end++;
    }
    struct slice word = slice_of(s.ptr + at, end - at);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (slice_eq(word, slice_cstr(units[i].name))) {
            *seconds = units[i].seconds;
            return end;
        }
    }
    return 0;
}

/* "00:05:00" and "05:00", behind the first number. */
static size_t take_clock(struct slice s, int64_t first, int64_t *seconds)
{
    int64_t part, total = first;
    size_t at = 0, parts = 0;

    while (parts < 2 && at + 2 < s.len && s.ptr[at] == ':' && is_digit(s.ptr[at + 1]) &&
           is_digit(s.ptr[at + 2])) {
        (void)take_number(slice_of(s.ptr + at + 1, 2), &part);
        total = total * 60 + part;
        at += 3;
        parts++;
    }
    *seconds = total;
    return at;
}

/* A number alone is no time: it may be a session's or an address's.  Bytes used, or 0: no time
 * stands here. */
static size_t take_time(struct slice s, int64_t *us)
{
    int64_t number, seconds = 0;
    size_t len = take_number(s, &number), more;

    if (len == 0) {
        return 0;
    }
    more = take_clock(slice_from(s, len), number, &seconds);
    if (more == 0) {
        more = take_unit(slice_from(s, len), &seconds);
        seconds *= more > 0 ? number : 0;
    }
    *us = seconds * 1000000;
    return more > 0 ? len + more : 0;
}

/* ---- patterns ---- */

/* Matches atoms [from, to) right at the start of `text`: true with the bytes used. */
static bool fits_here(const struct words_rule *r, size_t from, size_t to, struct slice text,
                      size_t *used, int64_t *said_us)
{
    size_t at = 0;

    for (size_t i = from; i < to; i++) {
        const struct words_atom *a = &r->atoms[i];
        struct slice rest = slice_from(text, at);
        size_t len = a->text.len;
        if (a->kind == WORDS_TIME) {
            len = take_time(rest, said_us);
            if (len == 0) {
                return false;
            }
        } else if (len > rest.len || memcmp(rest.ptr, a->text.ptr, len) != 0) {
            return false;
        }
        at += len;
    }
    *used = at;
    return true;
}

/* The first place where a piece fits: where it ends, or false. */
static bool find_piece(const struct words_rule *r, size_t from, size_t to, struct slice text,
                       size_t *end, int64_t *said_us)
{
    const struct words_atom *first = &r->atoms[from];

    for (size_t at = 0; at < text.len; at++) {
        size_t used;
        if (first->kind == WORDS_TEXT) {
            const char *hit =
                memmem(text.ptr + at, text.len - at, first->text.ptr, first->text.len);
            if (hit == NULL) {
                return false;
            }
            at = (size_t)(hit - text.ptr);
        }
        if (fits_here(r, from, to, slice_from(text, at), &used, said_us)) {
            *end = at + used;
            return true;
        }
    }
    return false;
}

static bool found(const struct words_rule *r, struct slice text, int64_t *said_us)
{
    size_t from = 0, end;

    while (from < r->atom_count) {
        size_t to = from;
        while (to < r->atom_count && r->atoms[to].kind != WORDS_ANY) {
            to++;
        }
        if (to > from) {
            if (!find_piece(r, from, to, text, &end, said_us)) {
                return false;
            }
            text = slice_from(text, end);
        }
        from = to + 1;
    }
    return true;
}

static bool code_fits(const struct words_rule *r, uint16_t code)
{
    for (size_t i = 0; i < r->code_count; i++) {
        if (code >= r->codes[i].lo && code <= r->codes[i].hi) {
            return true;
        }
    }
    return r->code_count == 0;
}

/* ---- reading ---- */

/* Takes over the answers to questions that are still open. */
static void answer(struct words_meaning *m, const struct words_rule *r, int64_t said_us)
{
    unsigned fresh = r->then.answers & ~m->answers;

    m->failure = (fresh & WORDS_FAILURE) != 0 ? r->then.failure : m->failure;
    m->outcome = (fresh & WORDS_OUTCOME) != 0 ? r->then.outcome : m->outcome;
    m->host = (fresh & WORDS_HOST) != 0 ? r->then.host : m->host;
    m->site = (fresh & WORDS_SITE) != 0 ? r->then.site : m->site;
    if ((fresh & WORDS_RETRY) != 0) {
        m->retry_us = r->then.retry_us > 0 ? r->then.retry_us : said_us + SMTP_WORDS_SLACK_US;
    }
    m->answers |= fresh;
}

/* Ends an address, whatever else may stand in one. */
static bool is_border(char c)
{
    return strchr(" <>()[]\"',;:", c) != NULL;
}

/* Addresses that are repeated in a reply are somebody's choice of words, not the server's. */
static void blank_addresses(char *text, size_t len)
{
    for (size_t at = 0; at < len; at++) {
        if (text[at] != '@') {
            continue;
        }
        for (size_t i = at; i > 0 && !is_border(text[i - 1]); i--) {
            text[i - 1] = ' ';
        }
        while (at < len && !is_border(text[at])) {
            text[at++] = ' ';
        }
    }
}

static void read_words(const struct smtp_words *w, const struct smtp_fact *fact, struct slice text,
                       struct words_meaning *m)
{
    char lower[SMTP_TEXT_MAX];
    size_t len = text.len < sizeof(lower) ? text.len : sizeof(lower);

    slice_lower(lower, slice_of(text.ptr, len));
    blank_addresses(lower, len);
    for (size_t i = 0; i < w->count; i++) {
        const struct words_rule *r = &w->rules[i];
        int64_t said_us = 0;
        if ((r->then.answers & ~m->answers) != 0 && (r->stages & (1u << fact->stage)) != 0 &&
            code_fits(r, fact->code) && found(r, slice_of(lower, len), &said_us)) {
            answer(m, r, said_us);
        }
    }
}

static bool in_transaction(const struct smtp_fact *fact)
{
    return fact->stage >= SMTP_STAGE_MAIL;
}

/* Who is refused at the door goes back uncounted whatever is said there. */
static void change_outcome(struct smtp_verdict *v, const struct smtp_fact *fact,
                           const struct words_meaning *m)
{
    bool taken = (fact->position & SMTP_POS_TAKEN) != 0;

    if (!in_transaction(fact)) {
        return;
    }
    switch ((enum words_outcome)m->outcome) {
    case WORDS_DEFER:
        v->outcome = SMTP_DEFERRED;
        break;
    case WORDS_BOUNCE:
        v->outcome = SMTP_REJECTED;
        v->later = false;
        break;
    case WORDS_LATER:
        v->outcome = SMTP_DEFERRED;
        v->later = fact->stage == SMTP_STAGE_RCPT && taken && v->conn == SMTP_CONN_KEEP;
        break;
    }
}

struct smtp_verdict smtp_words_verdict(const struct smtp_words *w, const struct smtp_fact *fact,
                                       struct slice text)
{
    struct smtp_verdict v = smtp_verdict_of(fact);
    struct words_meaning m = {0};
    bool refused = v.outcome == SMTP_DEFERRED || v.outcome == SMTP_REJECTED ||
                   (v.outcome == SMTP_NOT_TRIED && !in_transaction(fact));

    if (w == NULL || fact->cause != SMTP_CAUSE_REPLY || fact->code < 400 || !refused) {
        return v;
    }
    read_words(w, fact, text, &m);
    if ((m.answers & WORDS_FAILURE) != 0) {
        v.failure = m.failure;
    }
    if ((m.answers & WORDS_OUTCOME) != 0) {
        change_outcome(&v, fact, &m);
    }
    if ((m.answers & WORDS_HOST) != 0 && v.host != SMTP_HOST_DOWN) {
        v.host = m.host;
    }
    if ((m.answers & WORDS_SITE) != 0) {
        v.site = m.site;
    }
    if ((m.answers & WORDS_RETRY) != 0 && v.outcome == SMTP_DEFERRED) {
        v.retry_us = m.retry_us < SMTP_WORDS_RETRY_US ? m.retry_us : SMTP_WORDS_RETRY_US;
    }
    return v;
}
