/*
 * address.h - RFC 5321 mailboxes, with RFC 6531 where letters go beyond ASCII.
 *
 * What passes here is safe to put between the angle brackets of MAIL and RCPT: no control
 * characters, no line ends, balanced quotes, lengths within RFC 5321 4.5.3.1.
 */
#ifndef VOLLEY_SMTP_ADDRESS_H
#define VOLLEY_SMTP_ADDRESS_H

#include "engine/base/slice.h"

enum {
    SMTP_LOCAL_MAX = 64,    /* RFC 5321 4.5.3.1.1 */
    SMTP_DOMAIN_MAX = 255,  /* RFC 5321 4.5.3.1.2 */
    SMTP_ADDRESS_MAX = 254, /* RFC 5321 4.5.3.1.3: a path has 256, two are the brackets */
    SMTP_LABEL_MAX = 63     /* RFC 1035 2.3.4 */
};

enum smtp_domain_kind { SMTP_DOMAIN_NAME, SMTP_DOMAIN_IPV4, SMTP_DOMAIN_IPV6 };

/* Borrows from the text it was parsed from. */
struct smtp_address {
    struct slice local;  /* as written, with its quotes */
    struct slice domain; /* as written; a literal with its brackets */
    enum smtp_domain_kind kind;
    bool quoted;      /* the local part is a quoted string */
    bool utf8_local;  /* needs SMTPUTF8 */
    bool utf8_domain; /* U-labels: A-labels serve where the local part is ASCII (RFC 6531 3.2) */
    uint8_t ip[16];   /* of a literal, network order; 4 or 16 bytes */
};

/* Reads `local@domain`, nothing before or behind it, no brackets around it.  0, ERR_INVALID
 * or ERR_LIMIT (too long); then *why (may be NULL) is a static phrase that names the fault
 * and the cure, fit to follow the address and a colon. */
int smtp_address_parse(struct slice text, struct smtp_address *out, const char **why);

/* A bare domain or literal, under the same rules. */
int smtp_domain_parse(struct slice text, struct smtp_address *out, const char **why);

/* Writes the domain with ASCII letters in lower case and a NUL (domain.len + 1 bytes are
 * used).  Returns what was written, without the NUL. */
struct slice smtp_address_domain(const struct smtp_address *a, char out[SMTP_DOMAIN_MAX + 1]);

#endif
