/*
 * record.h - what the sink keeps of the messages it accepted.
 *
 * Files in a maildir, JSON lines, the last few messages in memory, and counts of identifiers.
 * Shared by the threads of the sink; each hands in its own buf of event lines.
 */
#ifndef VOLLEY_BENCH_RECORD_H
#define VOLLEY_BENCH_RECORD_H

#include "bench/ids.h"
#include "bench/server.h"

enum { RECORD_KEEP_MAX = 1000 };

struct record_options {
    const char *store;     /* a maildir, made when it is not there; or NULL */
    const char *events;    /* file of JSON lines, appended to; "-" is standard output; or NULL */
    const char *count_ids; /* "rcpt", "Message-ID" or "Message-ID+rcpt"; or NULL */
    uint64_t keep_last;
    bool digest; /* CRC-32 of the content into the events */
};

struct record;

/* NULL with a message in *error when a file or directory cannot be made. */
struct record *record_new(const struct record_options *options, struct buf *error);
void record_free(struct record *r); /* NULL is fine */

/* How much of each message record_message() wants to see. */
enum server_keep record_needs(const struct record *r);

/* False when there is nothing to do for a message at all. */
bool record_wanted(const struct record *r);

/* Takes note of a message; its event is appended to *lines. */
void record_message(struct record *r, const struct server *s, const struct server_message *m,
                    struct buf *lines);

/* Writes the lines out and empties the buf. */
void record_flush(struct record *r, struct buf *lines);

struct ids *record_ids(struct record *r); /* NULL when none are counted */

/* The messages kept last, the oldest first. */
void record_put_last_text(struct record *r, struct buf *out);
void record_put_last_json(struct record *r, struct buf *out); /* an array */

/* CRC-32 as in zlib, gzip and PNG. */
uint32_t record_crc32(struct slice data);

#endif
