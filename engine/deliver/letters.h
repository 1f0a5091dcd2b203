/*
 * letters.h - stored messages, fetched and compiled once, shared by the jobs that send them.
 *
 * Bounded by memory; the least recently used letter without jobs goes first.  A job that
 * waits for its letter stands in the entry's list.
 */
#ifndef VOLLEY_DELIVER_LETTERS_H
#define VOLLEY_DELIVER_LETTERS_H

#include "engine/deliver/job.h"
#include "engine/message/letter.h"

struct deliver;

enum {
    LETTERS_BYTES_MAX = 64 * 1024 * 1024, /* of compiled letters, per worker */
    LETTERS_MISSING_MAX_S = 15 * 60,      /* a job waits so long for a message to appear */
};

/* A compiled letter with the envelope sender it was stored with; shared by its jobs. */
struct stored {
    unsigned refs;
    struct letter *letter;
    struct slice from; /* may be empty: the null sender */
    char from_text[];
};

void stored_unref(struct stored *s); /* NULL is fine */

/* Redis is back: asks again for what could not be asked. */
void letters_resume(struct deliver *d);

/* Returns the jobs that wait to the queue. */
void letters_return(struct deliver *d);

/* Drops everything; no fetch is under way any more (the queue is closed). */
void letters_free(struct deliver *d);

#endif
