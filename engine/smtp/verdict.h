/*
 * verdict.h - one table that says what a failure means.
 *
 * The session says what happened (struct smtp_fact); the verdict says what that means for
 * the recipient, the connection, the host and the site.  Codes only: what must be read from
 * the words of a reply is data, see words.h.
 */
#ifndef VOLLEY_SMTP_VERDICT_H
#define VOLLEY_SMTP_VERDICT_H

#include "engine/smtp/reply.h"
#include "engine/smtp/stage.h"

/* What became of a recipient.  Every recipient of a transaction gets exactly one. */
enum smtp_outcome {
    SMTP_UNDECIDED, /* never seen by the owner after the transaction's end */
    SMTP_ACCEPTED,  /* the server took responsibility: 2xx to the final dot or BDAT LAST */
    SMTP_DEFERRED,  /* not now; counts as an attempt */
    SMTP_REJECTED,  /* never */
    SMTP_NOT_TRIED, /* MAIL was not answered for it: goes back, no attempt is counted */
    SMTP_AMBIGUOUS  /* the end was written, no reply came (RFC 1047) */
};

/* The field `failure` of events. */
enum smtp_failure {
    SMTP_FAILURE_NONE,
    SMTP_FAILURE_BAD_MAILBOX,
    SMTP_FAILURE_BAD_DOMAIN,
    SMTP_FAILURE_FULL,
    SMTP_FAILURE_POLICY,
    SMTP_FAILURE_REPUTATION,
    SMTP_FAILURE_CONTENT,
    SMTP_FAILURE_RATE,
    SMTP_FAILURE_AUTH,
    SMTP_FAILURE_TLS,
    SMTP_FAILURE_NETWORK,
    SMTP_FAILURE_CONFIG,
    SMTP_FAILURE_OTHER,
    SMTP_FAILURE_COUNT
};

enum smtp_conn_fate {
    SMTP_CONN_KEEP,
    SMTP_CONN_LEAVE, /* in step, but no further transaction: QUIT */
    SMTP_CONN_DROP   /* out of step or being closed: nothing more is written */
};

enum smtp_host_fate {
    SMTP_HOST_OK,
    SMTP_HOST_NEXT, /* another host of the site may do better with these recipients */
    SMTP_HOST_DOWN  /* leave this host alone for a while */
};

enum smtp_site_fate {
    SMTP_SITE_OK,
    SMTP_SITE_SLOW, /* it says, or shows, that we are too fast or not welcome */
    SMTP_SITE_HOLD  /* no delivery can work before somebody acts (AUTH refused, TLS missing) */
};

enum smtp_cause {
    SMTP_CAUSE_REPLY,   /* `code` and `enhanced` say */
    SMTP_CAUSE_CLOSED,  /* the peer ended the connection, or it broke */
    SMTP_CAUSE_TIMEOUT, /* no reply, or the peer stopped to take our bytes */
    SMTP_CAUSE_GARBAGE, /* replies out of step or not SMTP */
    SMTP_CAUSE_TLS,     /* the handshake failed, or TLS is required and not offered */
    SMTP_CAUSE_AUTH,    /* AUTH is configured and not offered, or only in the clear */
    SMTP_CAUSE_LOOP,    /* we talk to ourselves */
    SMTP_CAUSE_LOCAL,   /* ours, before anything was sent: `code` is what we made up */
    SMTP_CAUSE_COUNT
};

enum smtp_position {
    SMTP_POS_TAKEN = 1 << 0,   /* an earlier recipient of this transaction was accepted */
    SMTP_POS_WARM = 1 << 1,    /* a transaction was completed on this connection before */
    SMTP_POS_CLEAR = 1 << 2,   /* no TLS on this connection */
    SMTP_POS_MAIL = 1 << 3,    /* MAIL was answered for this transaction */
    SMTP_POS_WRITTEN = 1 << 4, /* the end of the content was handed out for writing */
    SMTP_POS_BEHIND = 1 << 5   /* not the transaction the reply was for: one behind it */
};

struct smtp_fact {
    enum smtp_cause cause;
    enum smtp_stage stage;
    uint16_t code; /* 0 without a reply */
    struct smtp_enhanced enhanced;
    unsigned position; /* SMTP_POS_* */
};

struct smtp_verdict {
    enum smtp_outcome outcome;
    enum smtp_failure failure;
    enum smtp_conn_fate conn;
    enum smtp_host_fate host;
    enum smtp_site_fate site;
    bool later;       /* too many recipients: goes again in a transaction of its own */
    int64_t retry_us; /* not before so long; 0: nothing was said (by words alone) */
};

/* Total: every fact has a verdict. */
struct smtp_verdict smtp_verdict_of(const struct smtp_fact *fact);

const char *smtp_outcome_name(enum smtp_outcome outcome); /* "accepted", "not-tried", ... */
const char *smtp_failure_name(enum smtp_failure failure); /* "bad-mailbox"; none: "" */

#endif
