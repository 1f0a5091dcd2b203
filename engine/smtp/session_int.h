/*
 * session_int.h - what the files of the session share.
 *
 *     session.c        life: begin, submit, events, deadlines
 *     session_end.c    how it ends, and for whom that means what
 *     session_send.c   what may be written now
 *     session_flight.c how it is laid out for one write
 *     session_reply.c  what a reply means for the session: greeting to READY, QUIT
 *     session_mail.c   what a reply means for a transaction: MAIL to the final dot
 *     txn.c            a transaction by itself: rounds, results, texts
 *
 * A transaction is sent in rounds.  Nearly always there is one; a round more follows when
 * recipients are left that were not refused: 452 "too many", LIMITS, or an envelope behind a
 * body that the server would not hear.
 */
#ifndef VOLLEY_SMTP_SESSION_INT_H
#define VOLLEY_SMTP_SESSION_INT_H

#include "engine/smtp/session.h"

enum smtp_phase {
    SMTP_PHASE_HELLO,     /* greeting, EHLO, STARTTLS, AUTH: one command at a time */
    SMTP_PHASE_HANDSHAKE, /* TLS; the owner's */
    SMTP_PHASE_READY,
    SMTP_PHASE_GOODBYE, /* the end is decided, QUIT is to be written */
    SMTP_PHASE_OVER
};

enum smtp_todo {
    SMTP_TODO_NONE,
    SMTP_TODO_EHLO,
    SMTP_TODO_HELO,
    SMTP_TODO_STARTTLS,
    SMTP_TODO_AUTH
};

/* Where the sender stands in a transaction. */
enum smtp_step {
    SMTP_STEP_MAIL,
    SMTP_STEP_RCPT,
    SMTP_STEP_DATA,  /* DATA or BDAT is next */
    SMTP_STEP_WAIT,  /* DATA is out: for 354 */
    SMTP_STEP_BODY,  /* content is next, or goes on */
    SMTP_STEP_EMPTY, /* 354, but nobody to send to: a lone dot is next */
    SMTP_STEP_SENT   /* nothing more in this round */
};

enum smtp_txn_flag {
    SMTP_TXN_MAIL_OK = 1 << 0,
    SMTP_TXN_MAIL_BAD = 1 << 1,
    SMTP_TXN_FULL = 1 << 2,    /* "too many recipients": add no more in this round */
    SMTP_TXN_AHEAD = 1 << 3,   /* its MAIL went out before its predecessor was answered ... */
    SMTP_TXN_AGAIN = 1 << 4,   /* ... and was refused for it: go again, alone */
    SMTP_TXN_AGAIN2 = 1 << 5,  /* that is what this round is */
    SMTP_TXN_SUSPECT = 1 << 6, /* refused for it or for good: this round tells */
    SMTP_TXN_WRITTEN = 1 << 7, /* the end of the content was handed out */
    SMTP_TXN_CLEARED = 1 << 8, /* its end was answered: no RSET is needed behind it */
    SMTP_TXN_TRIED = 1 << 9,   /* MAIL was answered, in whichever round */
    SMTP_TXN_UTF8 = 1 << 10    /* needs SMTPUTF8 */
};

enum smtp_rcpt_at {
    SMTP_AT_START, /* to be sent in this round or a later one */
    SMTP_AT_SENT,
    SMTP_AT_TAKEN, /* 2xx to RCPT */
    SMTP_AT_LATER  /* "too many", or 503 for the company: another round */
};

enum { SMTP_TEXTS_MAX = 65536 }; /* of one transaction */

/* ---- FIFO ---- */

static inline uint32_t smtp_fifo_count(const struct smtp_session *s)
{
    return s->fifo_tail - s->fifo_head;
}

static inline const struct smtp_expect *smtp_fifo_oldest(const struct smtp_session *s)
{
    return &s->fifo[s->fifo_head % SMTP_FIFO_CAP];
}

static inline const struct smtp_expect *smtp_fifo_newest(const struct smtp_session *s)
{
    return &s->fifo[(s->fifo_tail - 1) % SMTP_FIFO_CAP];
}

/* ---- transactions of a session ---- */

static inline struct smtp_txn *smtp_txn_at(const struct smtp_session *s, uint32_t counter)
{
    return s->slots[counter % SMTP_DEPTH_MAX];
}

#define SMTP_EACH_TXN(s, at) for (uint32_t at = (s)->txn_head; at != (s)->txn_tail; at++)

/* ---- session.c ---- */

/* Events other than TXN_DONE: bits in `events`, told in this order. */
enum { SMTP_TELL_STARTTLS = 1 << 0, SMTP_TELL_READY = 1 << 1, SMTP_TELL_END = 1 << 2 };

/* How many transactions may be inside when envelopes go ahead. */
unsigned smtp_session_depth_ahead(const struct smtp_session *s);

/* The transaction the sender is at, or NULL. */
struct smtp_txn *smtp_session_sending(const struct smtp_session *s);

/* Puts a transaction, all decided, on the list of those done. */
void smtp_session_finish(struct smtp_session *s, struct smtp_txn *txn);

/* ---- session_end.c ---- */

/* What brought the end, for smtp_session_over(). */
struct smtp_trouble {
    enum smtp_end_reason reason;
    enum smtp_cause cause;
    enum smtp_stage stage;
    int err;
    const struct smtp_reply *reply; /* NULL: none */
    const char *text;               /* without a reply */
    struct smtp_txn *txn;           /* the one the reply was for, or NULL */
};

/* Ends the session now; every transaction inside gets its outcomes. */
void smtp_session_over(struct smtp_session *s, const struct smtp_trouble *t);

/* The same before READY, but politely: QUIT goes out first. */
void smtp_session_decline(struct smtp_session *s, const struct smtp_trouble *t);

/* Out of step: no reply at all (NULL), or one that cannot be for what was asked. */
void smtp_session_garbage(struct smtp_session *s, enum smtp_stage stage,
                          const struct smtp_reply *reply);

/* No further MAIL on this connection; what was not begun goes back. */
void smtp_session_unsafe(struct smtp_session *s);

/* Ends the session if it has said good-bye and nothing else is left. */
void smtp_session_check_quit(struct smtp_session *s);

/* The session's position bits for a fact. */
unsigned smtp_session_position(const struct smtp_session *s);

/* ---- session_reply.c, session_mail.c ---- */

enum smtp_class {
    SMTP_CLASS_OK,      /* 2xx */
    SMTP_CLASS_MORE,    /* 3xx */
    SMTP_CLASS_TEMP,    /* 4xx, but */
    SMTP_CLASS_CLOSING, /* 421 */
    SMTP_CLASS_PERM     /* 5xx */
};

struct smtp_answer {
    struct smtp_expect to;
    const struct smtp_reply *reply;
    enum smtp_class class;
    int64_t now_us;
};

void smtp_session_reply(struct smtp_session *s, const struct smtp_reply *reply, int64_t now_us);

/* The reply can not be for this command. */
void smtp_session_mismatch(struct smtp_session *s, const struct smtp_answer *a);

void smtp_on_mail(struct smtp_session *s, const struct smtp_answer *a);
void smtp_on_rcpt(struct smtp_session *s, const struct smtp_answer *a);
void smtp_on_data(struct smtp_session *s, const struct smtp_answer *a);
void smtp_on_dot(struct smtp_session *s, const struct smtp_answer *a);
void smtp_on_empty(struct smtp_session *s, const struct smtp_answer *a);
void smtp_on_bdat(struct smtp_session *s, const struct smtp_answer *a);

/* ---- txn.c ---- */

/* Checks a transaction against what the server offers and what is safe to send; decides the
 * recipients that fail. */
void smtp_txn_check(const struct smtp_session *s, struct smtp_txn *txn);

/* A text kept in the transaction, for the recipients it concerns. */
struct smtp_text {
    uint32_t at;
    uint16_t len;
};
struct smtp_text smtp_txn_keep(struct smtp_txn *txn, struct slice text);
struct smtp_text smtp_txn_keep_reply(struct smtp_txn *txn, const struct smtp_reply *reply);

/* Gives one undecided recipient what `fact` means for it.  With `later` in the verdict it
 * stays undecided and stands at SMTP_AT_LATER. */
struct smtp_verdict smtp_rcpt_decide(struct smtp_txn *txn, struct smtp_rcpt *rcpt,
                                     const struct smtp_fact *fact, struct smtp_text text);

/* The same for all undecided ones that stand at `at`. */
enum { SMTP_AT_ANY = 0xff };
struct smtp_verdict smtp_txn_decide(struct smtp_txn *txn, unsigned at, const struct smtp_fact *fact,
                                    struct smtp_text text);

/* NOT_TRIED for all that are undecided: nothing went wrong with them. */
void smtp_txn_give_back(struct smtp_txn *txn);

/* Gets a transaction ready for its next round. */
void smtp_txn_rewind(struct smtp_txn *txn);

/* The next recipient to be sent in this round, from `from` on; rcpt_count when none is. */
size_t smtp_txn_next_rcpt(const struct smtp_txn *txn, size_t from);

/* The fact of a reply: code, and enhanced code as events show it. */
struct smtp_fact smtp_fact_of(enum smtp_stage stage, const struct smtp_reply *reply,
                              unsigned position);

#endif
