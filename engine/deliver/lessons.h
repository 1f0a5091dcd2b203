/*
 * lessons.h - carries what sessions find out to the site they belong to, and back.
 *
 * The rules are learned.h's; this is where they meet connections and Redis.
 */
#ifndef VOLLEY_DELIVER_LESSONS_H
#define VOLLEY_DELIVER_LESSONS_H

struct conn;
struct transaction;

/* After a transaction is submitted: tells the session whether the next may go ahead of it. */
void lessons_tell(struct conn *c);

/* After a transaction, before its jobs are settled. */
void lessons_of_transaction(struct conn *c, const struct transaction *t);

/* When the session is over, before the connection leaves its path. */
void lessons_of_session(struct conn *c);

#endif
