/*
 * ehlo.c - what a server said it can do.
 */
#include "engine/smtp/ehlo.h"

#include "engine/base/err.h"

static const struct {
    struct slice name;
    uint32_t ext;
} keywords[] = {
    {{"PIPELINING", 10}, SMTP_EXT_PIPELINING},
    {{"CHUNKING", 8}, SMTP_EXT_CHUNKING},
    {{"SIZE", 4}, SMTP_EXT_SIZE},
    {{"8BITMIME", 8}, SMTP_EXT_8BITMIME},
    {{"SMTPUTF8", 8}, SMTP_EXT_SMTPUTF8},
    {{"ENHANCEDSTATUSCODES", 19}, SMTP_EXT_ENHANCEDSTATUSCODES},
    {{"STARTTLS", 8}, SMTP_EXT_STARTTLS},
    {{"DSN", 3}, SMTP_EXT_DSN},
    {{"AUTH", 4}, SMTP_EXT_AUTH},
    {{"LIMITS", 6}, SMTP_EXT_LIMITS},
    {{"REQUIRETLS", 10}, SMTP_EXT_REQUIRETLS},
    {{"BINARYMIME", 10}, SMTP_EXT_BINARYMIME},
};

uint32_t smtp_ext_by_name(struct slice name)
{
    for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++) {
        if (slice_ieq(name, keywords[i].name)) {
            return keywords[i].ext;
        }
    }
    return 0;
}

/* The next word of a line: separated by blanks, however many. */
static bool next_word(struct slice *rest, struct slice *word)
{
    size_t len = 0;

    *rest = slice_trim(*rest);
    while (len < rest->len && rest->ptr[len] != ' ' && rest->ptr[len] != '\t') {
        len++;
    }
    *word = slice_of(rest->ptr, len);
    *rest = slice_from(*rest, len);
    return len > 0;
}

struct slice smtp_ehlo_name(struct slice text)
{
    struct slice line = SLICE_NONE, word = SLICE_NONE;

    if (slice_next(&text, '\n', &line)) {
        next_word(&line, &word);
    }
    return word;
}

/* RFC 1870 4: no parameter, or 0, states no limit.  What is no number states none either. */
static void read_size(struct smtp_ehlo *e, struct slice params)
{
    struct slice word;
    uint64_t value;

    if (!next_word(&params, &word)) {
        return;
    }
    if (slice_u64(word, &value) != 0) {
        e->malformed++;
        return;
    }
    e->size_max = value;
}

static void read_auth(struct smtp_ehlo *e, struct slice params)
{
    struct slice word;

    while (next_word(&params, &word)) {
        if (slice_ieq(word, SLICE("PLAIN"))) {
            e->auth |= SMTP_AUTH_PLAIN;
        } else if (slice_ieq(word, SLICE("LOGIN"))) {
            e->auth |= SMTP_AUTH_LOGIN;
        }
    }
}

/* RFC 9422 4: NAME=VALUE words; a limit of zero would forbid what it limits. */
static void read_limits(struct smtp_ehlo *e, struct slice params)
{
    struct slice word;

    while (next_word(&params, &word)) {
        size_t at = slice_find(word, '=');
        struct slice name = slice_of(word.ptr, at);
        uint64_t value;
        uint32_t *limit = slice_ieq(name, SLICE("MAILMAX"))         ? &e->mail_max
                          : slice_ieq(name, SLICE("RCPTMAX"))       ? &e->rcpt_max
                          : slice_ieq(name, SLICE("RCPTDOMAINMAX")) ? &e->rcpt_domain_max
                                                                    : NULL;
        if (limit == NULL) {
            continue;
        }
        if (slice_u64(slice_from(word, at + 1), &value) != 0 || value == 0 || value > UINT32_MAX) {
            e->malformed++;
            continue;
        }
        *limit = (uint32_t)value;
    }
}

static void read_line(struct smtp_ehlo *e, struct slice line, uint32_t ignore)
{
    struct slice word;

    if (!next_word(&line, &word)) {
        return;
    }
    uint32_t ext = smtp_ext_by_name(word);
    struct slice glued = SLICE_NONE;

    /* "AUTH=LOGIN PLAIN" comes from servers that pleased an old client. */
    if (ext == 0 && slice_istarts(word, SLICE("AUTH="))) {
        ext = SMTP_EXT_AUTH;
        glued = slice_from(word, 5);
    }
    ext &= ~ignore;
    e->ext |= ext;
    if (ext == SMTP_EXT_SIZE) {
        read_size(e, line);
    } else if (ext == SMTP_EXT_AUTH) {
        read_auth(e, glued);
        read_auth(e, line);
    } else if (ext == SMTP_EXT_LIMITS) {
        read_limits(e, line);
    }
}

void smtp_ehlo_parse(struct smtp_ehlo *out, struct slice text, uint32_t ignore)
{
    struct slice line;

    *out = (struct smtp_ehlo){0};
    if (!slice_next(&text, '\n', &line)) {
        return;
    }
    while (slice_next(&text, '\n', &line)) {
        read_line(out, line, ignore);
    }
}
