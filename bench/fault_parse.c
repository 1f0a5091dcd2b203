/*
 * fault_parse.c - scripted faults: reading rules, what stands before the colon.
 */
#include "bench/fault_impl.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/suggest.h"
#include "engine/base/units.h"

#include <stdlib.h>
#include <string.h>

enum { RULES_MAX = 1000, TEXT_MAX = 4096 };

/* ---- the words ---- */

const struct args_pair fault_help_when[] = {
    {"connect", "The banner."},
    {"ehlo, helo, starttls", "The answer to that command."},
    {"mail, rcpt, data, bdat", "Likewise; bdat is the answer to each chunk."},
    {"body", "Within a message, see at=."},
    {"dot", "The answer to a whole message, by DATA or BDAT."},
    {"rset, noop, vrfy, quit", "The answer to that command."},
    {"any", "All of these but body."},
    {0},
};

const struct args_pair fault_help_conditions[] = {
    {"to=PATTERN", "A recipient: *@example.org, ann@*, or a domain alone: *.example."},
    {"from=PATTERN", "The sender, likewise."},
    {"nth=N", "Only the N-th time that all else fits."},
    {"first=N, after=N", "Only the first N times; only after N times."},
    {"every=N", "Every N-th time."},
    {"per=connection", "Those are counted for each connection alone."},
    {"p=SHARE", "With this probability: 5% or 0.05 (see --seed)."},
    {"message=N", "The N-th message of its connection."},
    {"connection=N", "The N-th connection."},
    {"tls=yes, tls=no", "Under TLS, or not."},
    {"at=SIZE", "For body: when so many bytes of it have come."},
    {0},
};

bool fault_say(struct buf *error, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    buf_vprintf(error, fmt, args);
    va_end(args);
    return false;
}

static void suggest_in(struct suggest *s, const struct args_pair *rows)
{
    for (; rows->term != NULL; rows++) {
        struct slice terms = slice_cstr(rows->term), term;
        while (slice_next(&terms, ',', &term)) {
            term = slice_trim(term);
            term.len = slice_find(term, ' ');
            term.len = slice_find(term, '=');
            suggest_offer(s, term);
        }
    }
}

bool fault_unknown(struct buf *error, const char *what, struct slice word,
                   const struct args_pair *rows)
{
    struct suggest s;

    suggest_init(&s, word);
    suggest_in(&s, rows);
    if (s.best.len > 0) {
        return fault_say(error, "unknown %s '" SLICE_FMT "', did you mean '" SLICE_FMT "'?", what,
                         SLICE_ARG(word), SLICE_ARG(s.best));
    }
    return fault_say(error, "unknown %s '" SLICE_FMT "'; see --help under 'Rules'", what,
                     SLICE_ARG(word));
}

/* ---- when ---- */

static bool read_when(struct fault_rule *rule, struct slice words, struct buf *error)
{
    struct slice word;

    while (slice_next(&words, ',', &word)) {
        uint32_t bits = 0;
        word = slice_trim(word);
        for (int v = 0; v < SERVER_OTHER; v++) {
            if (slice_ieq(word, slice_cstr(server_verb_name((enum server_verb)v)))) {
                bits = 1u << v;
            }
        }
        if (slice_ieq(word, SLICE("any"))) {
            bits = ((1u << SERVER_OTHER) - 1) & ~(1u << SERVER_BODY);
        }
        if (bits == 0) {
            return fault_unknown(error, "stage", word, fault_help_when);
        }
        rule->verbs |= bits;
    }
    return true;
}

/* ---- conditions ---- */

static bool read_count(struct slice key, struct slice value, uint64_t *out, struct buf *error)
{
    if (slice_u64(value, out) == 0 && *out > 0) {
        return true;
    }
    return fault_say(error, SLICE_FMT "= needs a number from 1, not '" SLICE_FMT "'",
                     SLICE_ARG(key), SLICE_ARG(value));
}

static bool read_share(struct slice value, double *out, struct buf *error)
{
    char *text = slice_dup(value), *end;
    double share = strtod(text, &end);
    bool percent = *end == '%';

    if (percent) {
        share /= 100;
        end++;
    }
    bool good = value.len > 0 && *end == '\0' && share >= 0 && share <= 1;
    mem_free(text);
    if (!good) {
        return fault_say(error, "p= needs a share such as 5%% or 0.05, not '" SLICE_FMT "'",
                         SLICE_ARG(value));
    }
    *out = share;
    return true;
}

static bool read_pattern(struct slice value, struct slice *out, struct buf *error)
{
    if (value.len == 0) {
        return fault_say(error, "a pattern is empty; write to=*@example.org or to=example.org");
    }
    mem_free((void *)out->ptr);
    *out = slice_of(slice_dup(value), value.len);
    return true;
}

static bool read_yes(struct slice value, bool *yes, bool *no, struct buf *error)
{
    *yes = slice_ieq(value, SLICE("yes"));
    *no = slice_ieq(value, SLICE("no"));
    return *yes || *no ? true : fault_say(error, "tls= needs yes or no");
}

static bool read_at(struct slice value, uint64_t *at, struct buf *error)
{
    if (units_bytes(value, at) == 0 && *at > 0) {
        return true;
    }
    return fault_say(error, "at= needs a size such as 5000 or 64KB, not '" SLICE_FMT "'",
                     SLICE_ARG(value));
}

static bool read_condition(struct fault_rules *rules, struct fault_rule *rule, struct slice word,
                           struct buf *error)
{
    struct slice key = slice_of(word.ptr, slice_find(word, '='));
    struct slice value = slice_from(word, key.len + 1);
    const struct {
        struct slice name;
        uint64_t *target;
    } counts[] = {
        {SLICE("nth"), &rule->nth},         {SLICE("first"), &rule->first},
        {SLICE("after"), &rule->after},     {SLICE("every"), &rule->every},
        {SLICE("message"), &rule->message}, {SLICE("connection"), &rule->connection},
    };

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        if (slice_ieq(key, counts[i].name)) {
            return read_count(key, value, counts[i].target, error);
        }
    }
    if (slice_ieq(key, SLICE("to"))) {
        return read_pattern(value, &rule->to, error);
    }
    if (slice_ieq(key, SLICE("from"))) {
        return read_pattern(value, &rule->from, error);
    }
    if (slice_ieq(key, SLICE("p"))) {
        return read_share(value, &rule->share, error);
    }
    if (slice_ieq(key, SLICE("at"))) {
        return read_at(value, &rule->verdict.body_at, error);
    }
    if (slice_ieq(key, SLICE("tls"))) {
        return read_yes(value, &rule->tls_only, &rule->plain_only, error);
    }
    if (slice_ieq(word, SLICE("per=connection"))) {
        rule->slot = rule->by_connection ? rule->slot : rules->slots++;
        rule->by_connection = true;
        return true;
    }
    return fault_unknown(error, "condition", key, fault_help_conditions);
}

/* ---- rules ---- */

static bool read_rule(struct fault_rules *rules, struct fault_rule *rule, struct slice text,
                      struct buf *error)
{
    struct slice head = slice_of(text.ptr, slice_find(text, ':')), word = SLICE_NONE;

    if (head.len == text.len) {
        return fault_say(error, "a rule is WHEN [CONDITION]... : ACTION, as in "
                                "'rcpt to=*@example.org: reply 451 4.7.1 Try later'");
    }
    text = slice_from(text, head.len + 1);
    head = slice_trim(head);
    slice_next(&head, ' ', &word);
    if (!read_when(rule, word, error)) {
        return false;
    }
    while (slice_next(&head, ' ', &word)) {
        if (word.len > 0 && !read_condition(rules, rule, word, error)) {
            return false;
        }
    }
    if (rule->verdict.body_at > 0 && rule->verbs != 1u << SERVER_BODY) {
        return fault_say(error, "at= belongs to body alone: 'body at=5000: close'");
    }
    return fault_read_actions(rule, text, error);
}

int fault_rules_add(struct fault_rules *rules, struct slice text, struct buf *error)
{
    struct fault_rule *rule = mem_zalloc(sizeof(*rule));

    rule->share = 1;
    rules->rule = mem_realloc(rules->rule, (rules->count + 1) * sizeof(rules->rule[0]));
    rules->rule[rules->count++] = rule;
    if (rules->count > RULES_MAX || text.len > TEXT_MAX) {
        fault_say(error, "rules are limited to %d, and each to %d bytes", RULES_MAX, TEXT_MAX);
        return ERR_INVALID;
    }
    if (!read_rule(rules, rule, slice_trim(text), error)) {
        return ERR_INVALID;
    }
    rules->verbs |= rule->verbs;
    return 0;
}

int fault_rules_add_text(struct fault_rules *rules, const char *name, struct slice text,
                         struct buf *error)
{
    struct slice line;
    unsigned number = 0;

    while (slice_next(&text, '\n', &line)) {
        struct buf why = BUF_EMPTY;
        number++;
        line = slice_trim(line);
        if (line.len == 0 || line.ptr[0] == '#') {
            continue;
        }
        int err = fault_rules_add(rules, line, &why);
        if (err != 0) {
            buf_printf(error, "%s:%u: " SLICE_FMT, name, number, SLICE_ARG(buf_slice(&why)));
        }
        buf_fini(&why);
        if (err != 0) {
            return err;
        }
    }
    return 0;
}
