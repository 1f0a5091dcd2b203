/*
 * journal_read.h - what journals left behind by a crash still mean.
 *
 * Of all that stands in them, only this counts: the last word on each job, and of outcomes
 * only those that Redis may not have.
 */
#ifndef VOLLEY_QUEUE_JOURNAL_READ_H
#define VOLLEY_QUEUE_JOURNAL_READ_H

#include "queue/journal_entry.h"

struct journal_read;

/* Reads the files in `directory`, which is made if need be.  Never NULL: what cannot be read is
 * logged. */
struct journal_read *journal_read(const char *directory);
void journal_read_free(struct journal_read *r);

/* DOT, DONE and DEFER entries; those of one life mostly stand together. */
size_t journal_read_count(const struct journal_read *r);
const struct journal_entry *journal_read_at(const struct journal_read *r, size_t i);

/* Removes the files: everything in them was told. */
void journal_read_remove(struct journal_read *r);

/* One worker's segments, for tests: what `count` (0 to 2) files hold.  The bytes are borrowed. */
struct journal_read *journal_read_bytes(const struct slice *files, size_t count);

#endif
