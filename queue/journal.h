/*
 * journal.h - what is on the wire and what was said to it, in files that survive the engine.
 *
 * Plain writes, one for each tick and in front of the bytes they are about: the kernel keeps
 * what a killed process wrote, so nothing waits for the disk.  (Host power takes the last
 * seconds with it, as it does with Redis' own file unless that syncs always.)
 *
 * Each worker has two segment files, "<worker>.a" and "<worker>.b", written in turn and in
 * place; a segment may be overwritten when Redis has every outcome in it.  What is on the
 * wire at that moment is noted again in the next one (`on_switch`).  So the files stay small
 * and old entries mean nothing: replay.h has what is read from them after a crash.
 *
 * A disk that fails is told about once; delivery goes on, and the journal is tried again
 * later.
 */
#ifndef VOLLEY_QUEUE_JOURNAL_H
#define VOLLEY_QUEUE_JOURNAL_H

#include "queue/journal_entry.h"

enum {
    JOURNAL_SEGMENT = 4 * 1024 * 1024,      /* at which the other file is taken, if it can be */
    JOURNAL_SEGMENT_MAX = 64 * 1024 * 1024, /* at which it is taken in any case */
    JOURNAL_AGAIN_US = 60 * 1000 * 1000,    /* after an error of the disk */
};

struct journal;

struct journal_options {
    const char *directory; /* exists; copied */
    unsigned worker;
    size_t segment; /* bytes; 0: JOURNAL_SEGMENT */
    /* A segment begins: put (journal_put) the DOT entries of all that is on the wire. */
    void (*on_switch)(void *ctx);
    void *ctx;
};

/* No file is touched before the first journal_flush() with something to write. */
struct journal *journal_new(const struct journal_options *options);

/* `over`: nothing of this journal is left to be replayed, and its files go, if it wrote any. */
void journal_free(struct journal *j, bool over);

/* Gathers an entry. */
void journal_put(struct journal *j, const struct journal_entry *e);

/* Writes what is gathered; afterwards it outlives the process.  Of the outcomes given so far,
 * numbered from 0 to `next` - 1, Redis has those below `floor`. */
void journal_flush(struct journal *j, uint64_t floor, uint64_t next, int64_t now_us);

#endif
