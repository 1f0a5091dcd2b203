/*
 * words_table.c - what the words of a refusal say: reading the table.
 */
#include "engine/smtp/words_int.h"

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/units.h"

#include <string.h>

struct smtp_words *smtp_words_new(void)
{
    return mem_zalloc(sizeof(struct smtp_words));
}

void smtp_words_free(struct smtp_words *w)
{
    if (w == NULL) {
        return;
    }
    for (size_t i = 0; i < w->count; i++) {
        mem_free(w->rules[i].text);
    }
    mem_free(w->rules);
    mem_free(w);
}

size_t smtp_words_count(const struct smtp_words *w)
{
    return w->count;
}

/* ---- a line ---- */

static int wrong(struct buf *why, const char *what, struct slice word)
{
    buf_printf(why, "\"" SLICE_FMT "\" %s", SLICE_ARG(word), what);
    return ERR_INVALID;
}

/* The next word of a line; empty at its end. */
static struct slice take_word(struct slice *line)
{
    size_t at = 0, end;

    while (at < line->len && (line->ptr[at] == ' ' || line->ptr[at] == '\t')) {
        at++;
    }
    end = at;
    while (end < line->len && line->ptr[end] != ' ' && line->ptr[end] != '\t') {
        end++;
    }
    struct slice word = slice_of(line->ptr + at, end - at);
    *line = slice_from(*line, end);
    return word;
}

/* "421", "55x", "4xx": from lo to hi. */
static bool read_code(struct slice word, uint16_t *lo, uint16_t *hi)
{
    unsigned low = 0, high = 0;
    bool open = false;

    for (size_t i = 0; i < word.len; i++) {
        bool any = word.ptr[i] == 'x' && i > 0;
        open = open || any;
        if (!any && (open || word.ptr[i] < '0' || word.ptr[i] > '9')) {
            return false;
        }
        low = low * 10 + (any ? 0 : (unsigned)(word.ptr[i] - '0'));
        high = high * 10 + (any ? 9 : (unsigned)(word.ptr[i] - '0'));
    }
    *lo = (uint16_t)low;
    *hi = (uint16_t)high;
    return word.len == 3 && low >= 400 && high <= 599;
}

static int read_codes(struct words_rule *r, struct slice word, struct buf *why)
{
    struct slice rest = word, part;

    if (slice_eq(word, SLICE("any"))) {
        return 0;
    }
    while (slice_next(&rest, ',', &part)) {
        if (r->code_count == WORDS_CODES_MAX) {
            return wrong(why, "are too many codes; write a second line", word);
        }
        if (!read_code(part, &r->codes[r->code_count].lo, &r->codes[r->code_count].hi)) {
            return wrong(why, "is no code of a refusal; write 421, 45x, 5xx or any", part);
        }
        r->code_count++;
    }
    return 0;
}

static int read_stages(struct words_rule *r, struct slice word, struct buf *why)
{
    struct slice rest = word, part;

    if (slice_eq(word, SLICE("any"))) {
        r->stages = (1u << SMTP_STAGE_COUNT) - 1;
        return 0;
    }
    while (slice_next(&rest, ',', &part)) {
        unsigned stage = 0;
        while (stage < SMTP_STAGE_COUNT &&
               !slice_eq(part, slice_cstr(smtp_stage_name((enum smtp_stage)stage)))) {
            stage++;
        }
        if (stage == SMTP_STAGE_COUNT) {
            return wrong(why, "is no stage; write banner, ehlo, mail, rcpt, data, dot or any",
                         part);
        }
        r->stages |= 1u << stage;
    }
    return 0;
}

/* ---- the pattern ---- */

static bool add_atom(struct words_rule *r, enum words_kind kind, struct slice text)
{
    if (kind == WORDS_TEXT && text.len == 0) {
        return true;
    }
    if (r->atom_count == WORDS_ATOMS_MAX) {
        return false;
    }
    r->atoms[r->atom_count++] = (struct words_atom){kind, text};
    return true;
}

static int read_pattern(struct words_rule *r, struct slice quoted, struct buf *why)
{
    static const struct slice time = {"{time}", 6};
    struct slice text;
    size_t from = 0, at = 0;
    bool room = true, something = false;

    r->text = mem_alloc(quoted.len + 1);
    slice_lower(r->text, quoted);
    text = slice_of(r->text, quoted.len);
    while (at < text.len && room) {
        bool is_time = slice_starts(slice_from(text, at), time);
        if (!is_time && text.ptr[at] != '*') {
            something = true;
            at++;
            continue;
        }
        room = add_atom(r, WORDS_TEXT, slice_of(text.ptr + from, at - from)) &&
               add_atom(r, is_time ? WORDS_TIME : WORDS_ANY, SLICE_NONE);
        at += is_time ? time.len : 1;
        from = at;
    }
    room = room && add_atom(r, WORDS_TEXT, slice_from(text, from));
    if (!room) {
        return wrong(why, "has too many parts", quoted);
    }
    return something
               ? 0
               : wrong(why, "would fit everything; write words that stand in the reply", quoted);
}

/* Takes "..." off the line. */
static int take_quoted(struct slice *line, struct slice *out, struct buf *why)
{
    struct slice rest = slice_trim(*line);

    if (rest.len == 0 || rest.ptr[0] != '"') {
        return wrong(why, "is not in quotes; the words come third, as in \"greylist\"", rest);
    }
    rest = slice_from(rest, 1);
    size_t end = slice_find(rest, '"');
    if (end == rest.len) {
        return wrong(why, "has no closing quote", rest);
    }
    *out = slice_of(rest.ptr, end);
    *line = slice_from(rest, end + 1);
    return 0;
}

/* ---- meanings ---- */

static const struct {
    const char *word;
    unsigned answers;
    int value;
} meanings[] = {
    {"defer", WORDS_OUTCOME, WORDS_DEFER},
    {"bounce", WORDS_OUTCOME, WORDS_BOUNCE},
    {"later", WORDS_OUTCOME, WORDS_LATER},
    {"host=stay", WORDS_HOST, SMTP_HOST_OK},
    {"host=next", WORDS_HOST, SMTP_HOST_NEXT},
    {"site=ok", WORDS_SITE, SMTP_SITE_OK},
    {"site=slow", WORDS_SITE, SMTP_SITE_SLOW},
    {"site=hold", WORDS_SITE, SMTP_SITE_HOLD},
    {"retry=said", WORDS_RETRY, 0},
};

static void set_meaning(struct words_meaning *m, unsigned answers, int value)
{
    m->answers |= answers;
    switch (answers) {
    case WORDS_OUTCOME:
        m->outcome = (enum words_outcome)value;
        break;
    case WORDS_HOST:
        m->host = (enum smtp_host_fate)value;
        break;
    case WORDS_SITE:
        m->site = (enum smtp_site_fate)value;
        break;
    default:
        m->retry_us = 0;
        break;
    }
}

static bool read_failure(struct words_meaning *m, struct slice word)
{
    for (int f = SMTP_FAILURE_NONE + 1; f < SMTP_FAILURE_COUNT; f++) {
        if (slice_eq(word, slice_cstr(smtp_failure_name((enum smtp_failure)f)))) {
            m->answers |= WORDS_FAILURE;
            m->failure = (enum smtp_failure)f;
            return true;
        }
    }
    return false;
}

static int read_meaning(struct words_rule *r, struct slice word, struct buf *why)
{
    struct words_meaning *m = &r->then;
    int64_t us;

    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
        if (slice_eq(word, slice_cstr(meanings[i].word))) {
            set_meaning(m, meanings[i].answers, meanings[i].value);
            return 0;
        }
    }
    if (slice_starts(word, SLICE("retry="))) {
        if (units_duration(slice_from(word, 6), &us) != 0 || us <= 0 || us > SMTP_WORDS_RETRY_US) {
            return wrong(why, "is no time to wait; write retry=5m, at most retry=1d, or retry=said",
                         word);
        }
        m->answers |= WORDS_RETRY;
        m->retry_us = us;
        return 0;
    }
    return read_failure(m, word)
               ? 0
               : wrong(why,
                       "is no meaning; write a failure class, defer, bounce, later, retry=, "
                       "host= or site=",
                       word);
}

static bool says_time(const struct words_rule *r)
{
    for (size_t i = 0; i < r->atom_count; i++) {
        if (r->atoms[i].kind == WORDS_TIME) {
            return true;
        }
    }
    return false;
}

static int read_rule(struct words_rule *r, struct slice line, struct buf *why)
{
    struct slice quoted, word;
    int err = read_codes(r, take_word(&line), why);

    err = err != 0 ? err : read_stages(r, take_word(&line), why);
    err = err != 0 ? err : take_quoted(&line, &quoted, why);
    err = err != 0 ? err : read_pattern(r, quoted, why);
    while (err == 0 && (word = take_word(&line)).len > 0 && word.ptr[0] != '#') {
        err = read_meaning(r, word, why);
    }
    if (err == 0 && r->then.answers == 0) {
        return wrong(why, "has no meaning behind it", quoted);
    }
    if (err == 0 && (r->then.answers & WORDS_RETRY) != 0 && r->then.retry_us == 0 &&
        !says_time(r)) {
        return wrong(why, "has no {time} for retry=said", quoted);
    }
    return err;
}

static int add_line(struct smtp_words *w, struct slice line, struct buf *why)
{
    struct words_rule rule = {0};
    int err;

    if (line.len > SMTP_WORDS_LINE_MAX || memchr(line.ptr, '\0', line.len) != NULL) {
        return wrong(why, "is no line of a table: too long, or not text", SLICE_NONE);
    }
    if (w->count == SMTP_WORDS_RULES_MAX) {
        return wrong(why, "and what follows are too many lines", line);
    }
    err = read_rule(&rule, line, why);
    if (err != 0) {
        mem_free(rule.text);
        return err;
    }
    if ((w->count & (w->count - 1)) == 0) {
        size_t cap = w->count > 0 ? w->count * 2 : 1;
        w->rules = mem_realloc(w->rules, cap * sizeof(w->rules[0]));
    }
    w->rules[w->count++] = rule;
    return 0;
}

int smtp_words_add(struct smtp_words *w, struct slice table, unsigned *line, struct buf *why)
{
    struct slice text;

    *line = 0;
    while (slice_next(&table, '\n', &text)) {
        ++*line;
        text = slice_trim(text);
        if (text.len > 0 && text.ptr[0] != '#') {
            int err = add_line(w, text, why);
            if (err != 0) {
                return err;
            }
        }
    }
    return 0;
}
