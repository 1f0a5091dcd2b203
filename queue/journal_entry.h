/*
 * journal_entry.h - what the journal says, as bytes.  Pure.
 *
 * A segment is a head and entries one behind the other, written over what a former segment
 * left in the same file.  The head has a generation, and the checksum of every entry starts
 * from it: the first entry whose sum is wrong is where the segment ends, be it torn, stale or
 * zeros.  Numbers are little-endian.
 */
#ifndef VOLLEY_QUEUE_JOURNAL_ENTRY_H
#define VOLLEY_QUEUE_JOURNAL_ENTRY_H

#include "engine/base/buf.h"

enum journal_kind {
    JOURNAL_DOT = 1, /* the end of the letter is about to leave: a reply may make it delivered */
    JOURNAL_UNDO,    /* it did not count: the server has refused it, or it never left */
    JOURNAL_DONE,    /* the outcome that was given: the job is over ... */
    JOURNAL_DEFER,   /* ... or comes back later */
    JOURNAL_FLOOR    /* Redis has the outcomes with a smaller `serial` than this */
};

/* Fields that a kind does not have are zero. */
struct journal_entry {
    enum journal_kind kind;
    struct slice life; /* that owns the job: all but FLOOR */
    struct slice id;   /* "id.n": all but FLOOR */
    struct slice name; /* read only: life and id in one, unequal for unequal ones */
    uint64_t serial;   /* DONE, DEFER, FLOOR */
    /* DOT */
    uint32_t attempt;
    int64_t wall_us;
    struct slice to, site, mx, ip, source;
    /* DONE, DEFER */
    struct slice event; /* without newline; may be empty */
    /* DEFER */
    int64_t due_ms;
    struct slice record; /* the new one */
};

enum { JOURNAL_HEAD_LEN = 24 };

void journal_head_put(struct buf *out, uint64_t generation);

/* Takes the head off the front of *rest.  0, or ERR_INVALID: no segment (of this format). */
int journal_head_take(struct slice *rest, uint64_t *generation);

void journal_entry_put(struct buf *out, uint64_t generation, const struct journal_entry *e);

/* Takes the next entry off *rest; its slices point there.  False at the end. */
bool journal_entry_take(struct slice *rest, uint64_t generation, struct journal_entry *e);

#endif
