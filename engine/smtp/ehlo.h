/*
 * ehlo.h - what a server said it can do.
 *
 * Keywords are compared without case, unknown ones and malformed parameters are skipped:
 * a strange line costs an extension, never the session.
 */
#ifndef VOLLEY_SMTP_EHLO_H
#define VOLLEY_SMTP_EHLO_H

#include "engine/base/slice.h"

enum smtp_ext {
    SMTP_EXT_PIPELINING = 1 << 0,          /* RFC 2920 */
    SMTP_EXT_CHUNKING = 1 << 1,            /* RFC 3030 */
    SMTP_EXT_SIZE = 1 << 2,                /* RFC 1870 */
    SMTP_EXT_8BITMIME = 1 << 3,            /* RFC 6152 */
    SMTP_EXT_SMTPUTF8 = 1 << 4,            /* RFC 6531 */
    SMTP_EXT_ENHANCEDSTATUSCODES = 1 << 5, /* RFC 2034 */
    SMTP_EXT_STARTTLS = 1 << 6,            /* RFC 3207 */
    SMTP_EXT_DSN = 1 << 7,                 /* RFC 3461 */
    SMTP_EXT_AUTH = 1 << 8,                /* RFC 4954 */
    SMTP_EXT_LIMITS = 1 << 9,              /* RFC 9422 */
    SMTP_EXT_REQUIRETLS = 1 << 10,         /* RFC 8689 */
    SMTP_EXT_BINARYMIME = 1 << 11          /* RFC 3030; read, not used */
};

enum smtp_auth { SMTP_AUTH_PLAIN = 1 << 0, SMTP_AUTH_LOGIN = 1 << 1 };

struct smtp_ehlo {
    uint32_t ext;             /* SMTP_EXT_* */
    uint32_t auth;            /* SMTP_AUTH_*, of those offered the ones we speak */
    uint64_t size_max;        /* 0: no limit stated (RFC 1870 4) */
    uint32_t mail_max;        /* MAILMAX, messages on one connection; 0: not stated */
    uint32_t rcpt_max;        /* RCPTMAX, recipients of one transaction; 0: not stated */
    uint32_t rcpt_domain_max; /* RCPTDOMAINMAX; 0: not stated */
    uint16_t malformed;       /* lines with parameters that made no sense */
};

/* Reads the text of a 2xx reply to EHLO (lines separated by LF, the first one the server's
 * name); keywords in `ignore` (SMTP_EXT_*) count as not said. */
void smtp_ehlo_parse(struct smtp_ehlo *out, struct slice text, uint32_t ignore);

/* The first word of a greeting or EHLO reply: the server's own name. */
struct slice smtp_ehlo_name(struct slice text);

/* The bit for a keyword as configuration names it ("pipelining"); 0 when there is none. */
uint32_t smtp_ext_by_name(struct slice name);

#endif
