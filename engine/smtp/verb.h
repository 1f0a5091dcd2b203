/*
 * verb.h - what the client can say, and what RFC 2920 and 5321 allow around it.
 *
 * The greeting is a verb too: a reply that is expected without a command.
 */
#ifndef VOLLEY_SMTP_VERB_H
#define VOLLEY_SMTP_VERB_H

#include "engine/smtp/stage.h"

#include <stdbool.h>
#include <stdint.h>

enum smtp_verb {
    SMTP_VERB_GREETING,
    SMTP_VERB_EHLO,
    SMTP_VERB_HELO,
    SMTP_VERB_STARTTLS,
    SMTP_VERB_AUTH,
    SMTP_VERB_MAIL,
    SMTP_VERB_RCPT,
    SMTP_VERB_DATA,
    SMTP_VERB_DOT,   /* the end of a message sent by DATA */
    SMTP_VERB_EMPTY, /* a lone dot after an unwanted 354: its reply means nothing */
    SMTP_VERB_BDAT,  /* always LAST: one chunk is the whole message */
    SMTP_VERB_RSET,
    SMTP_VERB_QUIT,
    SMTP_VERB_COUNT
};

struct smtp_verb_info {
    const char *name;      /* as in a trace: "MAIL", "DOT" */
    enum smtp_stage stage; /* where a failure of its reply is reported */
    int64_t timeout_us;    /* default wait for its reply, RFC 5321 4.5.3.2 */
    bool may_follow;       /* may be sent while earlier replies are outstanding */
    bool must_be_last;     /* nothing may follow before its reply (RFC 2920 3.1) */
};

/* Never NULL for a verb below SMTP_VERB_COUNT. */
const struct smtp_verb_info *smtp_verb(enum smtp_verb verb);

#endif
