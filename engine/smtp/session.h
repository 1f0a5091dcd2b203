/*
 * session.h - the client side of one SMTP connection, without any I/O.
 *
 * Bytes and the time go in, bytes and events come out; nothing calls back.  The owner's loop:
 *
 *     session_init             when the connection stands (the greeting's clock starts)
 *     feed | tls_up | sent | eof | expire | submit | quit      something happened
 *     while (session_event) ...                                what it meant
 *     n = session_output -> write n iovecs whole -> sent       what to write now
 *     arm a timer for session_deadline_us
 *
 * Every command written pushes {verb, transaction, recipient} on a FIFO of expected replies;
 * every complete reply pops one.  All sending is decided in smtp_session_output(): replies
 * only change what may be sent next, so course corrections happen after the receiver caught
 * up, and pipelining over recipients and over transactions is one piece of code.
 *
 * Invariants
 * - A transaction is the session's from submit() until its TXN_DONE event; by then every
 *   recipient has exactly one outcome, and ACCEPTED only where its own final dot or BDAT LAST
 *   was answered 2xx.
 * - END is the last event and comes once.  Nothing is output after the reason for END
 *   happened, and all transactions come back before it.
 * - A reply that no command waits for, or bytes that are no reply, end the session
 *   (SMTP_END_GARBAGE, 421 apart): a shifted reply could make a lost letter look accepted.
 * - Memory: sizeof(struct smtp_session), the commands of one flight (about 4 KB at most), and
 *   a reply cut in two (6 KB at most); smtp_session_trim() gives buffers back.
 */
#ifndef VOLLEY_SMTP_SESSION_H
#define VOLLEY_SMTP_SESSION_H

#include "engine/base/buf.h"
#include "engine/smtp/ehlo.h"
#include "engine/smtp/reply.h"
#include "engine/smtp/stage.h"
#include "engine/smtp/verb.h"
#include "engine/smtp/words.h"

#include <sys/uio.h>

enum {
    SMTP_DEPTH_MAX = 16,      /* transactions in one session at a time */
    SMTP_RCPT_MAX = 1000,     /* recipients of one transaction */
    SMTP_FIFO_CAP = 128,      /* replies expected at a time; a power of two */
    SMTP_FLIGHT_MAX = 262144, /* bytes of one smtp_session_output() */
    SMTP_IOV_MIN = 8          /* the least `max` smtp_session_output() takes */
};

/* ---- configuration: shared by sessions, outlives them, not changed under them ---- */

enum smtp_tls_level {
    SMTP_TLS_NONE,    /* STARTTLS is not used */
    SMTP_TLS_MAY,     /* used when offered; in clear when not, or when refused */
    SMTP_TLS_ENCRYPT, /* required */
    SMTP_TLS_VERIFY   /* required; the owner verifies, and reports failure as ERR_TLS */
};

enum smtp_pipeline {
    SMTP_PIPELINE_AUTO,     /* commands; one BDAT flight where offered; deeper with go_ahead */
    SMTP_PIPELINE_OFF,      /* one command at a time */
    SMTP_PIPELINE_COMMANDS, /* MAIL RCPT... DATA | body (RFC 2920) */
    SMTP_PIPELINE_MESSAGES, /* the same, the next envelope behind the body */
    SMTP_PIPELINE_CHUNKING  /* MAIL RCPT... BDAT LAST body, `depth` of them in flight */
};

struct smtp_config {
    struct slice ehlo_name; /* FQDN or address literal */
    enum smtp_tls_level tls;
    enum smtp_pipeline pipeline;
    unsigned depth;         /* pipeline_depth, 1..SMTP_DEPTH_MAX; for chunking */
    bool go_ahead;          /* AUTO may try `messages` or deeper chunking with this site */
    bool no_bdat;           /* learned: CHUNKING is offered and does not work */
    bool helo_only;         /* learned: the server hangs up on EHLO */
    bool own_name_ok;       /* a peer of our own name is no loop (sink) */
    bool send_8bit_anyway;  /* 8-bit content to servers without 8BITMIME, instead of 5.6.3 */
    bool auth_in_clear;     /* AUTH without TLS (loopback tests) */
    bool quit_wait;         /* END only after the reply to QUIT, or the peer's FIN */
    uint32_t ignore;        /* SMTP_EXT_* treated as not offered */
    struct slice auth_user; /* empty: no AUTH */
    struct slice auth_password;
    const struct smtp_words *words;      /* what texts of refusals mean; NULL: codes alone say */
    int64_t timeout_us[SMTP_VERB_COUNT]; /* for each reply */
    int64_t handshake_us;                /* TLS handshake */
    int64_t block_us;                    /* for one flight of bytes to be taken ... */
    uint64_t rate_min;                   /* ... or flight / rate_min, if that is longer; bytes/s */
};

/* Fills in the defaults: RFC 5321 4.5.3.2 timeouts, TLS_MAY, PIPELINE_AUTO, depth 2. */
void smtp_config_init(struct smtp_config *config, struct slice ehlo_name);

/* ---- a transaction: the owner's memory, the session's from submit to TXN_DONE ---- */

struct smtp_rcpt {
    struct slice address; /* as parsed by smtp_address_parse(), domain as A-labels if need be */
    struct slice dsn;     /* "NOTIFY=NEVER ORCPT=rfc822;..." or empty; sent where DSN is offered */

    /* The result; read it at TXN_DONE. */
    uint8_t outcome;               /* enum smtp_outcome */
    uint8_t failure;               /* enum smtp_failure */
    uint8_t stage;                 /* enum smtp_stage: where it was decided */
    uint8_t cause;                 /* enum smtp_cause; LOCAL: the reply is ours */
    uint8_t host;                  /* enum smtp_host_fate */
    uint8_t site;                  /* enum smtp_site_fate */
    uint16_t code;                 /* 0 without a reply */
    uint32_t retry_s;              /* the server wants to wait so long; 0: it did not say */
    struct smtp_enhanced enhanced; /* as said, or x.0.0 (5.5.0 for other than 2, 4, 5) */

    /* Private. */
    uint8_t at;
    uint16_t text_len;
    uint32_t text_at;
};

/* Content, in the forms that can be sent; both stay valid and unchanged until TXN_DONE (and
 * while its event says `lent`). */
struct smtp_content {
    const struct iovec *dotted; /* for DATA: dot-stuffed, with the final CRLF.CRLF; required */
    size_t dotted_count;
    uint64_t dotted_len;
    const struct iovec
        *raw; /* for BDAT: the same octets unstuffed, without a terminator; or NULL */
    size_t raw_count;
    uint64_t raw_len;
};

struct smtp_txn {
    /* Set by the owner. */
    void *owner;
    struct slice mail_from;  /* empty: <> */
    struct slice dsn;        /* "RET=HDRS ENVID=..." or empty; sent where DSN is offered */
    struct smtp_rcpt *rcpts; /* 1..SMTP_RCPT_MAX */
    size_t rcpt_count;
    struct smtp_content content;
    bool needs_8bit; /* the content has bytes over 127 */
    bool needs_utf8; /* header fields go beyond ASCII (addresses: seen by the session) */
    bool needs_requiretls;

    /* Results. */
    int64_t t_mail_us; /* MAIL handed out until its reply; 0 when there was none */
    int64_t t_dot_us;  /* end of content handed out until its reply; 0 when there was none */
    uint64_t bytes;    /* octets of content handed out, repeats included */
    bool went_ahead;   /* its envelope went out before its predecessor was answered */
    bool sent_bdat;
    struct buf text; /* of replies; smtp_txn_reset() empties, smtp_txn_fini() frees it */

    /* Private. */
    struct smtp_txn *next;
    const struct smtp_words *words;
    int64_t mail_at_us;
    int64_t end_at_us;
    uint64_t body_left;
    size_t body_iov;
    size_t body_off;
    uint32_t flight;  /* the write that carries its bytes last */
    uint32_t domains; /* at least as many as the round has */
    uint16_t next_rcpt;
    uint16_t last_rcpt;
    uint16_t sent_rcpts; /* in this round */
    uint16_t taken;      /* recipients accepted at RCPT in this round */
    uint16_t waiting;    /* replies outstanding */
    uint16_t decided;
    uint16_t decided_before; /* at the start of this round */
    uint16_t flags;
    uint8_t step;
};

void smtp_txn_init(struct smtp_txn *txn);  /* all zero, empty text */
void smtp_txn_reset(struct smtp_txn *txn); /* as init, but keeps the text's memory for reuse */
void smtp_txn_fini(struct smtp_txn *txn);

/* What the server said to this recipient (or what we say), <= SMTP_TEXT_MAX printable bytes;
 * valid until the transaction is reset. */
struct slice smtp_rcpt_text(const struct smtp_txn *txn, const struct smtp_rcpt *rcpt);

/* The end of its content was handed out and not answered: whatever we hear or do not hear, it
 * may be delivered.  Another round begins by unsaying it. */
bool smtp_txn_is_written(const struct smtp_txn *txn);
/* And to this recipient, whom nobody has refused so far. */
bool smtp_rcpt_is_at_stake(const struct smtp_txn *txn, const struct smtp_rcpt *rcpt);

/* ---- events ---- */

enum smtp_event_type {
    SMTP_EVENT_STARTTLS, /* start the handshake now; then smtp_session_tls_up() or _eof(ERR_TLS) */
    SMTP_EVENT_READY,    /* EHLO, TLS and AUTH are done: transactions may be submitted */
    SMTP_EVENT_TXN_DONE, /* `txn` is the owner's again */
    SMTP_EVENT_END       /* over; see smtp_session_end(); close the connection */
};

struct smtp_event {
    enum smtp_event_type type;
    struct smtp_txn *txn;
    /* TXN_DONE after the session broke with a write in flight: that write may still read this
     * transaction's content, which must stay until the write (or the stream's close) is over.
     * Never set while the session goes on: such a TXN_DONE waits for smtp_session_sent(). */
    bool lent;
};

enum smtp_end_reason {
    SMTP_END_NONE,    /* not over */
    SMTP_END_QUIT,    /* we said good-bye: the owner asked, or for SMTP_LEARNED_PROTOCOL */
    SMTP_END_IDLE,    /* the peer closed, or said 421, while nothing was under way: harmless */
    SMTP_END_CLOSED,  /* the peer closed, or said 421, in the middle */
    SMTP_END_TIMEOUT, /* a reply did not come, or our bytes were not taken */
    SMTP_END_REFUSED, /* greeting, EHLO and HELO, or RSET refused */
    SMTP_END_CUT,     /* refused in the middle of content, or BDAT not understood */
    SMTP_END_TLS,     /* required and not to be had, or the handshake failed */
    SMTP_END_AUTH,    /* refused, or not offered */
    SMTP_END_LOOP,    /* the peer has our own name (RFC 5321 6.3) */
    SMTP_END_GARBAGE  /* out of step */
};

struct smtp_end {
    enum smtp_end_reason reason;
    enum smtp_stage stage;
    int err;       /* ERR_* where the reason was one */
    uint16_t code; /* of the reply that was the reason; 0: none was */
    struct smtp_enhanced enhanced;
    struct smtp_verdict verdict; /* for host and site; `outcome` says nothing here */
    struct slice text;           /* borrowed from the session */
};

/* What a session found out about its peer; keep it per site (or host) with an expiry. */
enum smtp_learned {
    SMTP_LEARNED_AHEAD_REFUSED = 1 << 0,    /* envelopes behind a body are refused */
    SMTP_LEARNED_NO_BDAT = 1 << 1,          /* CHUNKING is offered, BDAT is not understood */
    SMTP_LEARNED_HELO_ONLY = 1 << 2,        /* hung up on EHLO: come back with helo_only */
    SMTP_LEARNED_STARTTLS_REFUSED = 1 << 3, /* offered, then refused */
    SMTP_LEARNED_INJECTION = 1 << 4,  /* plaintext came behind the reply to STARTTLS; dropped */
    SMTP_LEARNED_RCPT_LIMIT = 1 << 5, /* 452: see smtp_session_rcpt_max() */
    SMTP_LEARNED_PROTOCOL = 1 << 6    /* said 500..504 to a command that is right */
};

/* ---- the session ---- */

struct smtp_expect {
    uint8_t verb;
    uint8_t slot;  /* of the transaction */
    uint16_t rcpt; /* its recipient, for RCPT */
};

/* All fields are private to engine/smtp. */
struct smtp_session {
    const struct smtp_config *config;
    struct smtp_reply_parser parser;
    struct smtp_ehlo ehlo;

    struct smtp_expect fifo[SMTP_FIFO_CAP];
    uint32_t fifo_head; /* counts pops; the difference to fifo_tail is what is outstanding */
    uint32_t fifo_tail;

    struct smtp_txn *slots[SMTP_DEPTH_MAX]; /* NULL: free, or done before its predecessors */
    uint32_t txn_head;                      /* oldest not done, and one past the newest, */
    uint32_t txn_tail;                      /* as counters: slot = counter % SMTP_DEPTH_MAX */
    uint32_t txn_send;                      /* the one to be sent next or being sent */
    struct smtp_txn *done_first;
    struct smtp_txn *done_last;

    struct buf commands; /* of the flight being written */
    size_t writing;      /* bytes handed out and not yet reported sent */
    uint32_t flight;
    int64_t write_by_us;
    int64_t since_us; /* the clock of the oldest outstanding reply */

    uint32_t mails;     /* MAIL commands on this connection */
    uint32_t completed; /* transactions whose end was answered */
    uint32_t rcpt_max;
    uint32_t learned;
    uint8_t phase;
    uint8_t todo; /* the session command to be sent next */
    uint8_t auth_step;
    uint8_t inside;     /* transactions submitted and not finished */
    uint8_t depth;      /* how many may be inside, by mode and by what was learned */
    uint8_t depth_full; /* by mode alone */
    uint8_t events;
    bool pipelining;
    bool bdat;
    bool tls_up;
    bool rset;      /* RSET must stand before the next MAIL ... */
    bool rset_wait; /* ... and be answered before it */
    bool again;     /* a transaction starts over once the FIFO is empty */
    bool quitting;  /* the owner asked: finish what is inside, then QUIT */
    bool unsafe;    /* no further MAIL; QUIT when the FIFO is empty */
    bool quit_sent;

    struct smtp_end end;
    struct buf end_text;
};

/* Starts a session on a connection that stands.  `config` is borrowed for its whole life. */
void smtp_session_init(struct smtp_session *s, const struct smtp_config *config, int64_t now_us);

/* Frees buffers.  Transactions still inside are forgotten, not reported. */
void smtp_session_fini(struct smtp_session *s);

/* Bytes from the peer, TLS taken off.  They are used up; after the STARTTLS event bytes are
 * the handshake's and are ignored here. */
void smtp_session_feed(struct smtp_session *s, struct slice data, int64_t now_us);

/* The handshake is finished.  Everything known from before is forgotten (RFC 3207 4.2).  For
 * implicit TLS (RFC 8314): call it right after init. */
void smtp_session_tls_up(struct smtp_session *s, int64_t now_us);

/* The stream ended: err 0 for the peer's FIN, else ERR_* (ERR_TLS for handshake or
 * verification trouble; once READY, broken TLS is a broken connection like any other). */
void smtp_session_eof(struct smtp_session *s, int err, int64_t now_us);

/* Gathers what should be written now into iov[0..max), max >= SMTP_IOV_MIN, and returns how
 * many are used; 0: nothing now.  The iovecs point into the session and into contents and
 * stay valid until smtp_session_sent() has accounted for all of their bytes; until then this
 * returns 0.  Timers of the commands start here. */
size_t smtp_session_output(struct smtp_session *s, struct iovec *iov, size_t max, int64_t now_us);

/* `bytes` of the last output were written (all at once, or in parts). */
void smtp_session_sent(struct smtp_session *s, size_t bytes, int64_t now_us);

/* When to call smtp_session_expire(); INT64_MAX: not at all.  Moves with every call. */
int64_t smtp_session_deadline_us(const struct smtp_session *s);

/* Ends the session if its deadline has passed. */
void smtp_session_expire(struct smtp_session *s, int64_t now_us);

/* How many transactions may be submitted now: 0 before READY and when leaving; else by mode
 * 1, 2 or up to depth, less those inside. */
unsigned smtp_session_room(const struct smtp_session *s);

/* Hands a transaction over; asserts that there is room, 1..SMTP_RCPT_MAX recipients and a
 * dotted content.  What the server can not take by its EHLO (SIZE, 8BITMIME, SMTPUTF8,
 * REQUIRETLS) and addresses that would break the protocol come back at once as TXN_DONE. */
void smtp_session_submit(struct smtp_session *s, struct smtp_txn *txn, int64_t now_us);

/* AUTO only: whether envelopes may go ahead from now on, as `config.go_ahead` said at the
 * start; ask for room after it.  What this session itself found out (SMTP_LEARNED_AHEAD_REFUSED)
 * stands against it. */
void smtp_session_go_ahead(struct smtp_session *s, bool yes);

/* Takes back the transaction that was submitted last, if no byte of it was handed out: it is the
 * owner's again, without an event and without outcomes.  NULL: it has begun, or came back already;
 * or there is none. */
struct smtp_txn *smtp_session_withdraw(struct smtp_session *s);

/* Finish what is inside, take nothing more, QUIT (pipelined behind the last dot), END. */
void smtp_session_quit(struct smtp_session *s, int64_t now_us);

/* The next event, or false.  Events come in order; TXN_DONE in the order of completion. */
bool smtp_session_event(struct smtp_session *s, struct smtp_event *out);

/* Ready, with nothing inside and nothing outstanding: may be parked, and reused. */
bool smtp_session_idle(const struct smtp_session *s);

/* Gives back buffers that are larger than the next letter is likely to need; for a session
 * that is idle.  Cheap enough to be called each time. */
void smtp_session_trim(struct smtp_session *s);

const struct smtp_ehlo *smtp_session_ehlo(const struct smtp_session *s);
bool smtp_session_is_tls(const struct smtp_session *s);
uint32_t smtp_session_learned(const struct smtp_session *s); /* enum smtp_learned bits */

/* Recipients this server takes in one transaction, by LIMITS or learned from 452; 0: not
 * known.  A transaction with more is split by the session itself. */
uint32_t smtp_session_rcpt_max(const struct smtp_session *s);

/* The stage the session is in, for "what is this connection doing". */
enum smtp_stage smtp_session_stage(const struct smtp_session *s);

/* Valid from the END event until fini. */
const struct smtp_end *smtp_session_end(const struct smtp_session *s);

const char *smtp_end_name(enum smtp_end_reason reason); /* "quit", "closed", ... */

#endif
