/*
 * transaction.h - jobs on the wire: one mail transaction and its recipients.
 *
 * Made from the lanes of a path, lent to a session, taken apart into outcomes.  Jobs of one
 * letter that is the same for everybody share a transaction, up to the limit of the path;
 * their outcomes stay their own.  Spare ones are kept with their buffers.
 */
#ifndef VOLLEY_DELIVER_TRANSACTION_H
#define VOLLEY_DELIVER_TRANSACTION_H

#include "engine/deliver/job.h"
#include "engine/deliver/site.h"
#include "engine/message/letter.h"
#include "engine/smtp/session.h"

struct conn;

struct transaction {
    struct list link; /* in conn->sending, conn->lent or deliver->transactions */
    struct smtp_txn txn;
    struct conn *conn;
    struct letter_copy copy;
    struct job **jobs; /* count of them, as rcpts */
    struct smtp_rcpt *rcpts;
    size_t count;
    size_t cap;
    uint64_t noted;    /* what txn.bytes was when the journal was told of its end; 0: it was not */
    struct buf text;   /* parameters and A-labels the transaction points to */
    struct buf values; /* struct letter_value: of the job being rendered */
    int64_t started_us;
};

/* Makes the next transaction of a path: picks a class, takes its oldest job, finishes its
 * letter.  Jobs that turn out to be unsendable get their outcome on the way.  NULL when the
 * lanes are empty. */
struct transaction *transaction_take(struct path *p);

/* The same with this job alone, which stands in no lane; NULL: it was unsendable and is gone. */
struct transaction *transaction_of(struct path *p, struct job *j);

/* Adds further jobs that can share it, each of them admitted by the limits of the path. */
void transaction_fill(struct transaction *t, struct path *p);

/* Puts its jobs back in front of their lanes; nothing was sent. */
void transaction_undo(struct transaction *t, struct path *p);

/* After its session gave something to be written: tells the journal when the end of the letter
 * is in it, and when that did not count after all. */
void transaction_note(struct transaction *t);
/* Tells a journal that begins anew. */
void transaction_note_again(struct transaction *t);

/* Gives each of its jobs an outcome.  The transaction stays: its content may still be read by
 * a write in flight. */
void transaction_settle(struct transaction *t);

/* Keeps it for later. */
void transaction_release(struct deliver *d, struct transaction *t);
void transaction_free_spare(struct deliver *d);

#endif
