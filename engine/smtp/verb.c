/*
 * verb.c - what the client can say, and what RFC 2920 and 5321 allow around it.
 */
#include "engine/smtp/verb.h"

#include "engine/base/panic.h"

#define SECONDS(n) ((int64_t)(n)*1000000)
#define MINUTES(n) SECONDS((n)*60)

/* Times are those of RFC 5321 4.5.3.2 where it names one; the session's own commands take
 * the five minutes of MAIL.  A server that has nothing to do for RSET and still does not
 * answer is gone; QUIT is a courtesy. */
static const struct smtp_verb_info verbs[SMTP_VERB_COUNT] = {
    /*                      name        stage              timeout      may_follow last */
    [SMTP_VERB_GREETING] = {"GREETING", SMTP_STAGE_BANNER, MINUTES(5), false, true},
    [SMTP_VERB_EHLO] = {"EHLO", SMTP_STAGE_EHLO, MINUTES(5), false, true},
    [SMTP_VERB_HELO] = {"HELO", SMTP_STAGE_EHLO, MINUTES(5), false, true},
    [SMTP_VERB_STARTTLS] = {"STARTTLS", SMTP_STAGE_TLS, MINUTES(5), false, true},
    [SMTP_VERB_AUTH] = {"AUTH", SMTP_STAGE_AUTH, MINUTES(5), false, true},
    [SMTP_VERB_MAIL] = {"MAIL", SMTP_STAGE_MAIL, MINUTES(5), true, false},
    [SMTP_VERB_RCPT] = {"RCPT", SMTP_STAGE_RCPT, MINUTES(5), true, false},
    [SMTP_VERB_DATA] = {"DATA", SMTP_STAGE_DATA, MINUTES(2), true, true},
    [SMTP_VERB_DOT] = {"DOT", SMTP_STAGE_DOT, MINUTES(10), true, false},
    [SMTP_VERB_EMPTY] = {"EMPTY", SMTP_STAGE_DOT, MINUTES(10), true, false},
    [SMTP_VERB_BDAT] = {"BDAT", SMTP_STAGE_DOT, MINUTES(10), true, false},
    [SMTP_VERB_RSET] = {"RSET", SMTP_STAGE_MAIL, SECONDS(20), true, false},
    [SMTP_VERB_QUIT] = {"QUIT", SMTP_STAGE_DOT, SECONDS(5), true, true},
};

const struct smtp_verb_info *smtp_verb(enum smtp_verb verb)
{
    ASSERT(verb < SMTP_VERB_COUNT);
    return &verbs[verb];
}
