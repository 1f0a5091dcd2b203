/*
 * address.c - RFC 5321 mailboxes, with RFC 6531 where letters go beyond ASCII.
 *
 * Each reader returns NULL or the fault as a phrase for people.
 */
#include "engine/smtp/address.h"

#include "engine/base/err.h"
#include "engine/base/utf8.h"

#include <arpa/inet.h>
#include <string.h>

static bool is_alnum(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* RFC 5322 3.2.3 */
static bool is_atext(unsigned char c)
{
    return is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* The length of a character beyond ASCII at the front, or 0.  C1 controls and the line and
 * paragraph separators (U+2028, U+2029) are valid UTF-8, but nobody's name. */
static size_t wide_char(struct slice s)
{
    size_t len = utf8_valid_prefix(s);
    const unsigned char *p = (const unsigned char *)s.ptr;

    if (len < 2 || (len == 2 && p[0] == 0xc2 && p[1] < 0xa0) ||
        (len == 3 && p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9))) {
        return 0;
    }
    return len;
}

/* ---- local part ---- */

static const char *dot_string_fault(struct slice local, bool *wide)
{
    bool at_start = true;

    while (local.len > 0) {
        unsigned char c = (unsigned char)local.ptr[0];
        size_t len = 1;

        if (c == '.') {
            if (at_start || local.len == 1) {
                return "dots before the @ must stand between other characters: remove the dot, or "
                       "write the part before the @ in quotes";
            }
        } else if (c >= 0x80) {
            len = wide_char(local);
            if (len == 0) {
                return "the part before the @ is not valid UTF-8";
            }
            *wide = true;
        } else if (!is_atext(c)) {
            return "a character before the @ is not allowed there: write the part before the @ in "
                   "quotes, or correct it";
        }
        at_start = c == '.';
        local = slice_from(local, len);
    }
    return NULL;
}

/* RFC 5321 4.1.2: quotes around any printable character and the space, '"' and '\' escaped. */
static const char *quoted_fault(struct slice local, bool *wide)
{
    struct slice s;

    if (local.len < 2 || local.ptr[local.len - 1] != '"') {
        return "a quote before the @ is not closed";
    }
    for (s = slice_of(local.ptr + 1, local.len - 2); s.len > 0;) {
        unsigned char c = (unsigned char)s.ptr[0];
        size_t len = 1;

        if (c == '\\') {
            len = 2;
            c = s.len > 1 ? (unsigned char)s.ptr[1] : '\0';
        } else if (c == '"') {
            return "a quote inside the quoted part before the @ needs a backslash";
        } else if (c >= 0x80) {
            len = wide_char(s);
            *wide = true;
        }
        if (len == 0 || c < ' ' || c == 0x7f || (len == 2 && s.ptr[0] == '\\' && c > '~')) {
            return "the quoted part before the @ has a character that is not allowed";
        }
        s = slice_from(s, len);
    }
    return NULL;
}

/* ---- domain ---- */

static const char *label_fault(struct slice label, bool *wide)
{
    if (label.len == 0) {
        return "the domain has two dots in a row, or a dot at its start or end";
    }
    if (label.len > SMTP_LABEL_MAX && utf8_is_ascii(label)) {
        return "a part of the domain is longer than 63 characters";
    }
    if (label.ptr[0] == '-' || label.ptr[label.len - 1] == '-') {
        return "a part of the domain starts or ends with a hyphen";
    }
    while (label.len > 0) {
        unsigned char c = (unsigned char)label.ptr[0];
        size_t len = c < 0x80 ? 1 : wide_char(label);

        /* '_' is in no host name, yet such domains do receive mail. */
        if (len == 0 || (c < 0x80 && !is_alnum(c) && c != '-' && c != '_')) {
            return "the domain has a character that domains do not have";
        }
        *wide = *wide || c >= 0x80;
        label = slice_from(label, len);
    }
    return NULL;
}

static const char *name_fault(struct slice domain, bool *wide)
{
    struct slice label = SLICE_NONE;
    bool digits = true;

    while (slice_next(&domain, '.', &label)) {
        const char *fault = label_fault(label, wide);
        if (fault != NULL) {
            return fault;
        }
    }
    for (size_t i = 0; i < label.len; i++) {
        digits = digits && label.ptr[i] >= '0' && label.ptr[i] <= '9';
    }
    /* No top-level domain is a number (RFC 3696 2): this is an IP address. */
    return digits ? "an IP address as domain needs square brackets: user@[192.0.2.1]" : NULL;
}

/* RFC 5321 4.1.3; other tags than IPv6 were never registered. */
static const char *literal_fault(struct slice domain, struct smtp_address *out)
{
    static const struct slice tag = {"IPv6:", 5};
    char text[INET6_ADDRSTRLEN + 1];

    if (domain.ptr[domain.len - 1] != ']') {
        return "the square bracket of the address literal is not closed";
    }
    struct slice inner = slice_of(domain.ptr + 1, domain.len - 2);
    bool six = slice_istarts(inner, tag);

    if (six) {
        inner = slice_from(inner, tag.len);
    }
    if (inner.len < sizeof(text) && slice_find(inner, '\0') == inner.len) {
        memcpy(text, inner.len > 0 ? inner.ptr : "", inner.len);
        text[inner.len] = '\0';
        if (inet_pton(six ? AF_INET6 : AF_INET, text, out->ip) == 1) {
            out->kind = six ? SMTP_DOMAIN_IPV6 : SMTP_DOMAIN_IPV4;
            return NULL;
        }
    }
    return "the address literal is neither [192.0.2.1] nor [IPv6:2001:db8::1]";
}

static int fail(const char **why, int err, const char *phrase)
{
    if (why != NULL) {
        *why = phrase;
    }
    return err;
}

int smtp_domain_parse(struct slice text, struct smtp_address *out, const char **why)
{
    const char *fault;

    *out = (struct smtp_address){.domain = text};
    if (text.len == 0) {
        return fail(why, ERR_INVALID, "the domain is missing: write name@example.com");
    }
    if (text.len > SMTP_DOMAIN_MAX) {
        return fail(why, ERR_LIMIT, "the domain is longer than 255 characters");
    }
    fault = text.ptr[0] == '[' ? literal_fault(text, out) : name_fault(text, &out->utf8_domain);
    return fault != NULL ? fail(why, ERR_INVALID, fault) : 0;
}

/* Where the local part ends: the last @, as none may stand in a domain. */
static size_t at_sign(struct slice text)
{
    for (size_t i = text.len; i > 0; i--) {
        if (text.ptr[i - 1] == '@') {
            return i - 1;
        }
    }
    return text.len;
}

int smtp_address_parse(struct slice text, struct smtp_address *out, const char **why)
{
    size_t at = at_sign(text);
    struct slice local = slice_of(text.ptr, at);
    bool wide = false;

    *out = (struct smtp_address){0};
    if (text.len == 0) {
        return fail(why, ERR_INVALID, "the address is empty: write name@example.com");
    }
    if (at == text.len) {
        return fail(why, ERR_INVALID, "there is no @: write name@example.com");
    }
    if (at == 0) {
        return fail(why, ERR_INVALID, "nothing stands before the @: write name@example.com");
    }
    if (local.len > SMTP_LOCAL_MAX) {
        return fail(why, ERR_LIMIT, "the part before the @ is longer than 64 characters");
    }
    const char *fault =
        local.ptr[0] == '"' ? quoted_fault(local, &wide) : dot_string_fault(local, &wide);
    if (fault != NULL) {
        return fail(why, ERR_INVALID, fault);
    }
    int err = smtp_domain_parse(slice_from(text, at + 1), out, why);
    if (err == 0 && text.len > SMTP_ADDRESS_MAX) {
        err = fail(why, ERR_LIMIT, "the address is longer than 254 characters");
    }
    out->local = local;
    out->quoted = local.ptr[0] == '"';
    out->utf8_local = wide;
    return err;
}

struct slice smtp_address_domain(const struct smtp_address *a, char out[SMTP_DOMAIN_MAX + 1])
{
    slice_lower(out, a->domain);
    out[a->domain.len] = '\0';
    return slice_of(out, a->domain.len);
}
