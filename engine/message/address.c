/*
 * address.c - mail addresses: one of SMTP's, and lists of them in header fields.
 */
#include "engine/message/address.h"
#include "engine/base/err.h"
#include "engine/base/utf8.h"
#include "engine/message/words.h"

#include <string.h>

/* RFC 5321 4.5.3.1 */
enum { LOCAL_MAX = 64, DOMAIN_MAX = 255, LABEL_MAX = 63, ADDRESS_MAX = 254 };

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_atext(char c)
{
    return is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* ---- one address of SMTP's ---- */

static const char *dot_string_fault(struct slice local)
{
    struct slice atom;

    while (slice_next(&local, '.', &atom)) {
        if (atom.len == 0) {
            return "a dot stands first, last or next to another before the @";
        }
        for (size_t i = 0; i < atom.len; i++) {
            if (!is_atext(atom.ptr[i])) {
                return "a character before the @ is not allowed there";
            }
        }
    }
    return NULL;
}

static const char *quoted_local_fault(struct slice local)
{
    for (size_t i = 1; i + 1 < local.len; i++) {
        if (local.ptr[i] == '\\') {
            i++;
        } else if (local.ptr[i] == '"') {
            return "a quote ends before the @";
        }
        if (i + 1 >= local.len || local.ptr[i] < ' ' || local.ptr[i] > '~') {
            return "the quoted part before the @ is broken";
        }
    }
    return local.len >= 2 && local.ptr[local.len - 1] == '"' ? NULL : "a quote is left open";
}

static const char *local_fault(struct slice local)
{
    if (local.len == 0) {
        return "nothing stands before the @";
    }
    if (local.len > LOCAL_MAX) {
        return "more than 64 characters before the @";
    }
    return local.ptr[0] == '"' ? quoted_local_fault(local) : dot_string_fault(local);
}

static const char *label_fault(struct slice label)
{
    if (label.len == 0) {
        return "the domain has an empty label";
    }
    if (label.len > LABEL_MAX) {
        return "a label of the domain has more than 63 characters";
    }
    if (label.ptr[0] == '-' || label.ptr[label.len - 1] == '-') {
        return "a label of the domain begins or ends with a hyphen";
    }
    for (size_t i = 0; i < label.len; i++) {
        if (!is_alnum(label.ptr[i]) && label.ptr[i] != '-') {
            return "the domain has a character that domains do not have";
        }
    }
    return NULL;
}

/* [192.0.2.1], [IPv6:2001:db8::1]: the shape only; who connects reads the number. */
static const char *literal_fault(struct slice domain)
{
    if (domain.len < 4 || domain.ptr[domain.len - 1] != ']') {
        return "the address literal is not closed";
    }
    for (size_t i = 1; i + 1 < domain.len; i++) {
        if (!is_alnum(domain.ptr[i]) && strchr(".:", domain.ptr[i]) == NULL) {
            return "the address literal has a wrong character";
        }
    }
    return NULL;
}

static const char *domain_fault(struct slice domain)
{
    struct slice label;

    if (domain.len == 0) {
        return "nothing stands behind the @";
    }
    if (domain.len > DOMAIN_MAX) {
        return "the domain has more than 255 characters";
    }
    if (domain.ptr[0] == '[') {
        return literal_fault(domain);
    }
    while (slice_next(&domain, '.', &label)) {
        const char *fault = label_fault(label);
        if (fault != NULL) {
            return fault;
        }
    }
    return NULL;
}

/* The last @ outside quotes: a quoted local part may hold one. */
static size_t find_at(struct slice text)
{
    size_t from = 0;

    if (text.len > 0 && text.ptr[0] == '"') {
        for (from = 1; from < text.len && text.ptr[from] != '"'; from++) {
            from += text.ptr[from] == '\\' ? 1 : 0;
        }
    }
    return from < text.len ? from + slice_find(slice_from(text, from), '@') : text.len;
}

static const char *address_fault(struct slice text, struct address *out)
{
    if (text.len == 0) {
        return "it is empty";
    }
    if (!utf8_is_ascii(text)) {
        return "it is not ASCII; write the domain in its xn-- form, a local part beyond ASCII "
               "(SMTPUTF8) cannot be sent to";
    }
    if (text.len > ADDRESS_MAX) {
        return "it has more than 254 characters";
    }
    size_t at = find_at(text);

    if (at >= text.len) {
        return "there is no @ in it";
    }
    out->local = slice_of(text.ptr, at);
    out->domain = slice_from(text, at + 1);
    const char *fault = local_fault(out->local);
    return fault != NULL ? fault : domain_fault(out->domain);
}

int address_parse(struct slice text, struct address *out, const char **why)
{
    const char *fault = address_fault(text, out);

    if (fault != NULL) {
        *why = fault;
        return ERR_INVALID;
    }
    return 0;
}

/* ---- lists in header fields ---- */

static size_t skip_quoted(struct slice text)
{
    size_t i = 1;

    while (i < text.len && text.ptr[i] != '"') {
        i += text.ptr[i] == '\\' ? 2 : 1;
    }
    return i < text.len ? i + 1 : text.len;
}

static size_t skip_comment(struct slice text)
{
    size_t depth = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\\') {
            i++;
        } else if (text.ptr[i] == '(') {
            depth++;
        } else if (text.ptr[i] == ')' && --depth == 0) {
            return i + 1;
        }
    }
    return text.len;
}

static size_t skip_tag(struct slice text)
{
    const char *end = text.len > 2 ? memmem(text.ptr, text.len, "}}", 2) : NULL;

    if (end == NULL) {
        return text.len;
    }
    size_t len = (size_t)(end - text.ptr) + 2;
    return len < text.len && text.ptr[len] == '}' ? len + 1 : len;
}

/* The length of the thing at the front: a quoted string, a comment, a tag, an angle with
 * what it holds, or one byte. */
static size_t token_len(struct slice text)
{
    if (slice_starts(text, SLICE("{{"))) {
        return skip_tag(text);
    }
    if (text.ptr[0] == '"') {
        return skip_quoted(text);
    }
    if (text.ptr[0] == '(') {
        return skip_comment(text);
    }
    if (text.ptr[0] == '<') {
        size_t i = 1;
        while (i < text.len && text.ptr[i] != '>') {
            struct slice rest = slice_from(text, i);
            bool tag = slice_starts(rest, SLICE("{{"));
            i += tag ? skip_tag(rest) : text.ptr[i] == '"' ? skip_quoted(rest) : 1;
        }
        return i < text.len ? i + 1 : text.len;
    }
    return 1;
}

bool address_next(struct slice *rest, struct slice *mailbox)
{
    while (rest->len > 0) {
        size_t at = 0;
        while (at < rest->len && rest->ptr[at] != ',') {
            at += token_len(slice_from(*rest, at));
        }
        *mailbox = slice_trim(slice_of(rest->ptr, at));
        *rest = slice_from(*rest, at + 1);
        if (mailbox->len > 0) {
            return true;
        }
    }
    return false;
}

static int unquote(struct buf *out, struct slice token, const char **why)
{
    if (token.len < 2 || token.ptr[token.len - 1] != '"') {
        *why = "a quote is left open";
        return ERR_INVALID;
    }
    for (size_t i = 1; i + 1 < token.len; i++) {
        bool tag_escape = slice_starts(slice_from(token, i), SLICE("\\{{"));
        if (token.ptr[i] == '\\' && !tag_escape && i + 2 < token.len) {
            i++;
        }
        buf_putc(out, token.ptr[i]);
    }
    return 0;
}

/* The address inside angles, without a source route of old (RFC 5321 appendix C). */
static int angle_take(struct slice token, struct slice *addr, const char **why)
{
    if (token.len < 2 || token.ptr[token.len - 1] != '>') {
        *why = "\"<\" is left open";
        return ERR_INVALID;
    }
    *addr = slice_trim(slice_of(token.ptr + 1, token.len - 2));
    return 0;
}

int address_split(struct slice mailbox, struct buf *name, struct slice *addr, const char **why)
{
    size_t name_start = name->len;
    bool angle = false;
    bool comment = false;

    for (size_t at = 0, len = 0; at < mailbox.len; at += len) {
        struct slice token = slice_from(mailbox, at);
        int err = 0;
        len = token_len(token);
        token.len = len;
        if (token.ptr[0] == '"') {
            err = unquote(name, token, why);
        } else if (token.ptr[0] == '<') {
            err = angle ? ERR_INVALID : angle_take(token, addr, why);
            *why = angle ? "two addresses without a comma between them" : *why;
            angle = true;
        } else if (token.ptr[0] == '(') {
            comment = true;
        } else if ((token.ptr[0] == ':' || token.ptr[0] == ';') && !angle) {
            *why = "groups of addresses are not supported";
            err = ERR_INVALID;
        } else {
            buf_puts(name, token);
        }
        if (err != 0) {
            return err;
        }
    }
    if (!angle) { /* a bare address: what was gathered is it, unless it had quotes in it */
        struct slice bare = slice_trim(slice_from(buf_slice(name), name_start));
        struct slice found =
            slice_of(mailbox.ptr, comment ? slice_find(mailbox, '(') : mailbox.len);
        found = slice_trim(found);
        *addr = found.len > 0 ? found : bare;
        name->len = name_start;
    }
    return 0;
}

void address_put_name(struct buf *out, struct slice name)
{
    struct words w = {.out = out, .fresh = true};

    words_put_phrase(&w, name);
}
