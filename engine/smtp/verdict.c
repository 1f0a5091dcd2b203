/*
 * verdict.c - one table that says what a failure means.
 *
 * Two questions, each answered by the first row that matches: what happens now (fates), and
 * why it went wrong, as events and limits see it (reasons).  They are apart because the
 * first hangs on where in the dialogue it happened, the second on the enhanced code.
 *
 * Sources: RFC 3463 and the registry it began for enhanced codes, RFC 5321 4.2 for plain
 * ones.  Where providers use a code in their own way the row says so.
 */
#include "engine/smtp/verdict.h"

#include "engine/base/panic.h"

/* ---- how a row matches ---- */

struct codes {
    uint16_t lo, hi;
};

struct subject {
    int16_t subject; /* -1: any; 0 also where no enhanced code was said */
    uint16_t detail_lo, detail_hi;
};

struct match {
    unsigned causes;
    unsigned stages;
    struct codes codes;
    struct subject enhanced;
    unsigned position; /* SMTP_POS_* that must all hold */
};

#define CAUSE(name) (1u << SMTP_CAUSE_##name)
#define AT(name)    (1u << SMTP_STAGE_##name)
#define ANYWHERE    (~0u)
#define SETUP       (AT(DNS) | AT(CONNECT) | AT(BANNER) | AT(EHLO))
#define REPLY       CAUSE(REPLY)
#define LOCAL       CAUSE(LOCAL)
#define BROKEN      (CAUSE(CLOSED) | CAUSE(TIMEOUT) | CAUSE(GARBAGE))
#define CODE(n)  \
    {            \
        (n), (n) \
    }
#define CODES(lo, hi) \
    {                 \
        (lo), (hi)    \
    }
#define ANY_CODE \
    {            \
        0, 999   \
    }
#define TEMP     \
    {            \
        400, 499 \
    }
#define PERM     \
    {            \
        500, 599 \
    }
#define X(s, d)       \
    {                 \
        (s), (d), (d) \
    }
#define XS(s, lo, hi)   \
    {                   \
        (s), (lo), (hi) \
    }
#define X_ALL(s)     \
    {                \
        (s), 0, 9999 \
    }
#define X_ANY       \
    {               \
        -1, 0, 9999 \
    }
#define ALWAYS     0
#define WHEN(name) SMTP_POS_##name

static bool matches(const struct match *m, const struct smtp_fact *f)
{
    return (m->causes & (1u << f->cause)) != 0 && (m->stages & (1u << f->stage)) != 0 &&
           f->code >= m->codes.lo && f->code <= m->codes.hi &&
           (f->position & m->position) == m->position &&
           (m->enhanced.subject < 0 || (m->enhanced.subject == f->enhanced.subject &&
                                        f->enhanced.detail >= m->enhanced.detail_lo &&
                                        f->enhanced.detail <= m->enhanced.detail_hi));
}

/* ---- what happens now ---- */

#define GO(o, c, h, s)                                        \
    {                                                         \
        SMTP_##o, SMTP_CONN_##c, SMTP_HOST_##h, SMTP_SITE_##s \
    }

static const struct {
    struct match when;
    struct {
        enum smtp_outcome outcome;
        enum smtp_conn_fate conn;
        enum smtp_host_fate host;
        enum smtp_site_fate site;
    } then;
} fates[] = {
    /* The usual case first. */
    {{REPLY, ~AT(BODY), CODES(200, 299), X_ANY, ALWAYS}, GO(ACCEPTED, KEEP, OK, OK)},

    /* The connection broke.  RFC 1047: the end was written, and nobody knows what the server
     * made of it. */
    {{BROKEN, ANYWHERE, ANY_CODE, X_ANY, WHEN(WRITTEN)}, GO(AMBIGUOUS, DROP, NEXT, OK)},
    {{BROKEN, ANYWHERE, ANY_CODE, X_ANY, WHEN(MAIL)}, GO(DEFERRED, DROP, NEXT, OK)},
    /* A connection that had worked and that the server gave up: nobody's fault. */
    {{CAUSE(CLOSED), ANYWHERE, ANY_CODE, X_ANY, WHEN(WARM)}, GO(NOT_TRIED, DROP, OK, OK)},
    {{BROKEN, ANYWHERE, ANY_CODE, X_ANY, ALWAYS}, GO(NOT_TRIED, DROP, DOWN, OK)},
    {{CAUSE(TLS) | CAUSE(LOOP), ANYWHERE, ANY_CODE, X_ANY, ALWAYS}, GO(NOT_TRIED, DROP, DOWN, OK)},

    {{CAUSE(AUTH), ANYWHERE, ANY_CODE, X_ANY, ALWAYS}, GO(NOT_TRIED, DROP, DOWN, HOLD)},

    /* We ourselves, by what EHLO said, before anything was sent.  A size limit is the
     * site's, an address is wrong everywhere; extensions differ from host to host. */
    {{LOCAL, ANYWHERE, CODES(552, 553), X_ALL(3), ALWAYS}, GO(REJECTED, KEEP, OK, OK)},
    {{LOCAL, ANYWHERE, PERM, X_ALL(1), ALWAYS}, GO(REJECTED, KEEP, OK, OK)},
    {{LOCAL, ANYWHERE, PERM, X_ALL(5), ALWAYS}, GO(REJECTED, KEEP, OK, OK)},
    {{LOCAL, ANYWHERE, PERM, X_ANY, ALWAYS}, GO(REJECTED, KEEP, NEXT, OK)},
    {{LOCAL, ANYWHERE, TEMP, X_ANY, ALWAYS}, GO(DEFERRED, KEEP, OK, OK)},
    {{LOCAL, ANYWHERE, ANY_CODE, X_ANY, ALWAYS}, GO(NOT_TRIED, KEEP, OK, OK)},

    /* Refused before any transaction: no recipient's business.  That goes for 5xx in the
     * greeting too: it means "not you, not now" more often than "never". */
    {{REPLY, SETUP | AT(TLS) | AT(AUTH), CODE(421), X_ANY, ALWAYS}, GO(NOT_TRIED, DROP, DOWN, OK)},
    {{REPLY, AT(AUTH), PERM, X_ANY, ALWAYS}, GO(NOT_TRIED, LEAVE, DOWN, HOLD)},
    {{REPLY, SETUP | AT(TLS) | AT(AUTH), ANY_CODE, X_ANY, ALWAYS}, GO(NOT_TRIED, LEAVE, DOWN, OK)},

    /* 421: the server closes.  It works in order, so what stands behind the command that was
     * answered so was not looked at. */
    {{REPLY, ANYWHERE, ANY_CODE, X_ANY, WHEN(BEHIND)}, GO(NOT_TRIED, DROP, OK, OK)},
    /* To MAIL, on a connection that had worked: its idle time or count ran out just as we
     * wrote.  4.7.x there is no such thing but a limit. */
    {{REPLY, AT(MAIL), CODE(421), X_ALL(0), WHEN(WARM)}, GO(NOT_TRIED, DROP, OK, OK)},
    {{REPLY, AT(MAIL), CODE(421), X_ALL(3), WHEN(WARM)}, GO(NOT_TRIED, DROP, OK, OK)},
    {{REPLY, AT(MAIL), CODE(421), X_ALL(4), WHEN(WARM)}, GO(NOT_TRIED, DROP, OK, OK)},
    {{REPLY, ANYWHERE, CODE(421), X_ANY, ALWAYS}, GO(DEFERRED, DROP, NEXT, OK)},

    /* In the middle of the content: the server will not read the rest as content. */
    {{REPLY, AT(BODY), PERM, X_ANY, ALWAYS}, GO(REJECTED, DROP, OK, OK)},
    {{REPLY, AT(BODY), ANY_CODE, X_ANY, ALWAYS}, GO(DEFERRED, DROP, NEXT, OK)},

    /* "Not understood" and "out of sequence" are never about a recipient: one of us two is
     * confused, and the connection is not used again. */
    {{REPLY, AT(DOT), CODES(500, 503), X_ANY, ALWAYS}, GO(DEFERRED, DROP, NEXT, OK)},
    {{REPLY, ANYWHERE, CODE(500), X_ANY, ALWAYS}, GO(DEFERRED, LEAVE, NEXT, OK)},
    {{REPLY, ANYWHERE, CODES(502, 503), X_ANY, ALWAYS}, GO(DEFERRED, LEAVE, NEXT, OK)},
    /* A bad parameter; with a subject of addresses it is a plain refusal. */
    {{REPLY, ANYWHERE, CODE(501), X_ALL(1), ALWAYS}, GO(REJECTED, KEEP, OK, OK)},
    {{REPLY, ANYWHERE, CODE(501), X_ANY, ALWAYS}, GO(REJECTED, LEAVE, OK, OK)},
    {{REPLY, ANYWHERE, CODE(504), X_ANY, ALWAYS}, GO(REJECTED, LEAVE, OK, OK)},
    {{REPLY, ANYWHERE, CODE(555), X_ANY, ALWAYS}, GO(REJECTED, LEAVE, OK, OK)},
    /* TLS or AUTH is wanted first (RFC 3207 4, RFC 4954 6): for the operator to mend. */
    {{REPLY, ANYWHERE, CODE(530), X_ANY, ALWAYS}, GO(DEFERRED, LEAVE, NEXT, HOLD)},
    {{REPLY, ANYWHERE, CODES(534, 538), X_ANY, ALWAYS}, GO(DEFERRED, LEAVE, NEXT, HOLD)},

    /* 552 to RCPT is to be read as 452 (RFC 5321 4.5.3.1.10), unless it is the mailbox that
     * is full.  (With recipients accepted before it: see too_many below.) */
    {{REPLY, AT(RCPT), CODE(552), X_ALL(0), ALWAYS}, GO(DEFERRED, KEEP, OK, OK)},
    {{REPLY, AT(RCPT), CODE(552), X(5, 3), ALWAYS}, GO(DEFERRED, KEEP, OK, OK)},

    /* A refusal of the envelope for now may be one host's; of the content, hardly. */
    {{REPLY, AT(MAIL) | AT(RCPT), TEMP, X_ANY, ALWAYS}, GO(DEFERRED, KEEP, NEXT, OK)},
    {{REPLY, ANYWHERE, TEMP, X_ANY, ALWAYS}, GO(DEFERRED, KEEP, OK, OK)},
    {{REPLY, ANYWHERE, PERM, X_ANY, ALWAYS}, GO(REJECTED, KEEP, OK, OK)},
    /* 3xx where nothing is left to be sent. */
    {{ANYWHERE, ANYWHERE, ANY_CODE, X_ANY, ALWAYS}, GO(DEFERRED, DROP, NEXT, OK)},
};

/* "Too many recipients": the ones already accepted go now, this one in a transaction of its
 * own.  PowerMTA and Exim send 452 4.5.3, older servers a bare 452 or 552. */
static const struct match too_many[] = {
    {REPLY, AT(RCPT), CODE(452), X_ALL(0), WHEN(TAKEN)},
    {REPLY, AT(RCPT), CODE(552), X_ALL(0), WHEN(TAKEN)},
    {REPLY, AT(RCPT), TEMP, X(5, 3), WHEN(TAKEN)},
    {REPLY, AT(RCPT), CODE(552), X(5, 3), WHEN(TAKEN)},
};

/* ---- why it went wrong ---- */

#define WHY(f, s) SMTP_FAILURE_##f, SMTP_SITE_##s

static const struct {
    struct match when;
    enum smtp_failure failure;
    enum smtp_site_fate site;
} reasons[] = {
    {{REPLY, ANYWHERE, CODES(200, 299), X_ANY, ALWAYS}, WHY(NONE, OK)},
    {{CAUSE(CLOSED) | CAUSE(TIMEOUT), ANYWHERE, ANY_CODE, X_ANY, ALWAYS}, WHY(NETWORK, OK)},
    {{CAUSE(GARBAGE), ANYWHERE, ANY_CODE, X_ANY, ALWAYS}, WHY(OTHER, OK)},
    {{CAUSE(TLS), ANYWHERE, ANY_CODE, X_ANY, ALWAYS}, WHY(TLS, OK)},
    {{CAUSE(AUTH), ANYWHERE, ANY_CODE, X_ANY, ALWAYS}, WHY(AUTH, OK)},
    {{CAUSE(LOOP), ANYWHERE, ANY_CODE, X_ANY, ALWAYS}, WHY(CONFIG, OK)},
    {{LOCAL, ANYWHERE, CODE(0), X_ANY, ALWAYS}, WHY(NONE, OK)},

    {{REPLY, AT(AUTH), ANY_CODE, X_ANY, ALWAYS}, WHY(AUTH, OK)},
    {{REPLY, AT(TLS), ANY_CODE, X_ANY, ALWAYS}, WHY(TLS, OK)},
    {{REPLY, ANYWHERE, CODE(530), X_ANY, WHEN(CLEAR)}, WHY(TLS, OK)},
    {{REPLY, ANYWHERE, CODE(530), X_ANY, ALWAYS}, WHY(AUTH, OK)},
    {{REPLY, ANYWHERE, CODES(534, 538), X_ANY, ALWAYS}, WHY(AUTH, OK)},

    /* x.1: addresses.  At MAIL the address is ours. */
    {{REPLY | LOCAL, AT(MAIL), ANY_CODE, X_ALL(1), ALWAYS}, WHY(CONFIG, OK)},
    {{REPLY | LOCAL, ANYWHERE, ANY_CODE, X(1, 1), ALWAYS}, WHY(BAD_MAILBOX, OK)},
    {{REPLY | LOCAL, ANYWHERE, ANY_CODE, X(1, 2), ALWAYS}, WHY(BAD_DOMAIN, OK)},
    {{REPLY | LOCAL, ANYWHERE, ANY_CODE, XS(1, 3, 4), ALWAYS}, WHY(BAD_MAILBOX, OK)},
    {{REPLY | LOCAL, ANYWHERE, ANY_CODE, X(1, 6), ALWAYS}, WHY(BAD_MAILBOX, OK)},
    {{REPLY | LOCAL, ANYWHERE, ANY_CODE, XS(1, 7, 8), ALWAYS}, WHY(CONFIG, OK)},
    {{REPLY | LOCAL, ANYWHERE, ANY_CODE, X(1, 10), ALWAYS}, WHY(BAD_DOMAIN, OK)}, /* RFC 7505 */

    /* x.2: mailboxes.  4.2.0 is what greylisting says in Postfix's voice, 4.2.1 Gmail's "too
     * many letters to this user". */
    {{REPLY, ANYWHERE, TEMP, X(2, 0), ALWAYS}, WHY(POLICY, OK)},
    {{REPLY, ANYWHERE, TEMP, X(2, 1), ALWAYS}, WHY(RATE, OK)},
    {{REPLY, ANYWHERE, PERM, XS(2, 0, 1), ALWAYS}, WHY(BAD_MAILBOX, OK)},
    {{REPLY, ANYWHERE, ANY_CODE, X(2, 2), ALWAYS}, WHY(FULL, OK)},
    {{REPLY, ANYWHERE, ANY_CODE, X(2, 3), ALWAYS}, WHY(CONTENT, OK)},

    /* x.3: the mail system; x.4: the way to it. */
    {{REPLY | LOCAL, ANYWHERE, ANY_CODE, X(3, 4), ALWAYS}, WHY(CONTENT, OK)},
    {{REPLY, ANYWHERE, ANY_CODE, X(3, 5), ALWAYS}, WHY(CONFIG, OK)},
    {{REPLY, ANYWHERE, PERM, X(4, 4), ALWAYS}, WHY(BAD_DOMAIN, OK)},
    {{REPLY, ANYWHERE, ANY_CODE, X(4, 6), ALWAYS}, WHY(CONFIG, OK)},
    /* 550 5.4.1 is how Microsoft refuses recipients it does not know, and others a relay:
     * too unsure for a verdict on the mailbox. */
    {{REPLY, ANYWHERE, PERM, X_ALL(4), ALWAYS}, WHY(OTHER, OK)},
    {{REPLY, ANYWHERE, TEMP, X_ALL(4), ALWAYS}, WHY(NETWORK, OK)},

    /* x.5: the protocol; x.6: the content. */
    {{REPLY | LOCAL, ANYWHERE, ANY_CODE, X(5, 3), ALWAYS}, WHY(RATE, OK)},
    {{REPLY | LOCAL, ANYWHERE, ANY_CODE, X_ALL(6), ALWAYS}, WHY(CONTENT, OK)},

    /* x.7: security and policy. */
    {{REPLY, ANYWHERE, ANY_CODE, XS(7, 8, 9), ALWAYS}, WHY(AUTH, OK)},
    {{REPLY, ANYWHERE, ANY_CODE, XS(7, 10, 11), ALWAYS}, WHY(TLS, OK)},
    {{REPLY, ANYWHERE, ANY_CODE, XS(7, 13, 15), ALWAYS}, WHY(AUTH, OK)},
    {{REPLY, ANYWHERE, ANY_CODE, XS(7, 20, 24), ALWAYS}, WHY(AUTH, OK)}, /* DKIM, SPF: RFC 7372 */
    {{REPLY, ANYWHERE, ANY_CODE, X(7, 25), ALWAYS}, WHY(CONFIG, OK)},    /* reverse DNS */
    {{REPLY, ANYWHERE, ANY_CODE, X(7, 26), ALWAYS}, WHY(AUTH, OK)},
    {{REPLY, ANYWHERE, ANY_CODE, X(7, 27), ALWAYS}, WHY(CONFIG, OK)}, /* our domain's null MX */
    {{REPLY, ANYWHERE, ANY_CODE, X(7, 28), ALWAYS}, WHY(RATE, SLOW)}, /* mail flood */
    {{REPLY, ANYWHERE, ANY_CODE, X(7, 29), ALWAYS}, WHY(AUTH, OK)},
    {{REPLY | LOCAL, ANYWHERE, ANY_CODE, X(7, 30), ALWAYS}, WHY(TLS, OK)}, /* RFC 8689 */
    /* Microsoft's own range: 4.7.5xx..6xx "server busy", 5.7.5xx..7xx "your IP is blocked". */
    {{REPLY, ANYWHERE, TEMP, XS(7, 500, 999), ALWAYS}, WHY(RATE, SLOW)},
    {{REPLY, ANYWHERE, PERM, XS(7, 500, 999), ALWAYS}, WHY(REPUTATION, SLOW)},
    {{REPLY, ANYWHERE, CODE(421), X_ALL(7), ALWAYS}, WHY(RATE, SLOW)},
    {{REPLY, ANYWHERE, TEMP, X(7, 0), ALWAYS}, WHY(RATE, SLOW)},
    {{REPLY, SETUP, PERM, X_ALL(7), ALWAYS}, WHY(REPUTATION, SLOW)},
    {{REPLY, ANYWHERE, ANY_CODE, X_ALL(7), ALWAYS}, WHY(POLICY, OK)},

    /* No enhanced code, or one that says nothing. */
    {{REPLY, SETUP, CODE(421), X_ANY, ALWAYS}, WHY(RATE, SLOW)},
    {{REPLY, AT(EHLO), PERM, X_ALL(5), ALWAYS}, WHY(CONFIG, OK)},    /* our name displeases */
    {{REPLY, SETUP, CODE(521), X_ANY, ALWAYS}, WHY(BAD_DOMAIN, OK)}, /* RFC 7504 */
    {{REPLY, SETUP, PERM, X_ANY, ALWAYS}, WHY(REPUTATION, SLOW)},
    {{REPLY, ANYWHERE, CODE(556), X_ANY, ALWAYS}, WHY(BAD_DOMAIN, OK)}, /* RFC 7504 */
    {{REPLY, AT(RCPT), CODE(551), X_ANY, ALWAYS}, WHY(BAD_MAILBOX, OK)},
    {{REPLY, AT(RCPT), CODE(552), X_ANY, ALWAYS}, WHY(FULL, OK)},
    {{REPLY | LOCAL, ANYWHERE, CODE(552), X_ANY, ALWAYS}, WHY(CONTENT, OK)},
    {{REPLY, AT(BODY) | AT(DOT), CODE(550), X_ANY, ALWAYS}, WHY(CONTENT, OK)},
    {{REPLY, AT(BODY) | AT(DOT), CODE(554), X_ANY, ALWAYS}, WHY(CONTENT, OK)},
    /* A bare 550 to RCPT may be an unknown user or a blocklist: only words can tell, and a
     * list cleaned of good addresses by mistake is worse than one with bad ones. */
    {{ANYWHERE, ANYWHERE, ANY_CODE, X_ANY, ALWAYS}, WHY(OTHER, OK)},
};

static bool is_too_many(const struct smtp_fact *fact)
{
    for (size_t i = 0; i < sizeof(too_many) / sizeof(too_many[0]); i++) {
        if (matches(&too_many[i], fact)) {
            return true;
        }
    }
    return false;
}

struct smtp_verdict smtp_verdict_of(const struct smtp_fact *fact)
{
    size_t fate = 0, reason = 0;

    ASSERT(fact->cause < SMTP_CAUSE_COUNT && fact->stage < SMTP_STAGE_COUNT);
    ASSERT(fact->code <= 999);
    /* The last row of each table matches everything. */
    while (!matches(&fates[fate].when, fact)) {
        fate++;
    }
    while (!matches(&reasons[reason].when, fact)) {
        reason++;
    }
    struct smtp_verdict v = {
        .outcome = fates[fate].then.outcome,
        .failure = reasons[reason].failure,
        .conn = fates[fate].then.conn,
        .host = fates[fate].then.host,
        .site = fates[fate].then.site,
    };
    v.later = v.outcome == SMTP_DEFERRED && v.conn == SMTP_CONN_KEEP && is_too_many(fact);

    if (reasons[reason].site > v.site) {
        v.site = reasons[reason].site;
    }
    return v;
}

const char *smtp_outcome_name(enum smtp_outcome outcome)
{
    switch (outcome) {
    case SMTP_UNDECIDED:
        return "undecided";
    case SMTP_ACCEPTED:
        return "accepted";
    case SMTP_DEFERRED:
        return "deferred";
    case SMTP_REJECTED:
        return "rejected";
    case SMTP_NOT_TRIED:
        return "not-tried";
    case SMTP_AMBIGUOUS:
        return "ambiguous";
    }
    PANIC("outcome %d", outcome);
}

const char *smtp_failure_name(enum smtp_failure failure)
{
    static const char *const names[SMTP_FAILURE_COUNT] = {
        [SMTP_FAILURE_NONE] = "",
        [SMTP_FAILURE_BAD_MAILBOX] = "bad-mailbox",
        [SMTP_FAILURE_BAD_DOMAIN] = "bad-domain",
        [SMTP_FAILURE_FULL] = "full",
        [SMTP_FAILURE_POLICY] = "policy",
        [SMTP_FAILURE_REPUTATION] = "reputation",
        [SMTP_FAILURE_CONTENT] = "content",
        [SMTP_FAILURE_RATE] = "rate",
        [SMTP_FAILURE_AUTH] = "auth",
        [SMTP_FAILURE_TLS] = "tls",
        [SMTP_FAILURE_NETWORK] = "network",
        [SMTP_FAILURE_CONFIG] = "config",
        [SMTP_FAILURE_OTHER] = "other",
    };

    ASSERT(failure < SMTP_FAILURE_COUNT);
    return names[failure];
}
