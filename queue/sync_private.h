/*
 * sync_private.h - the inside of struct sync, shared by sync.c and sync_open.c.
 */
#ifndef VOLLEY_QUEUE_SYNC_PRIVATE_H
#define VOLLEY_QUEUE_SYNC_PRIVATE_H

#include "queue/sync.h"

enum { SYNC_READ_LEN = 65536 };

struct sync {
    int fd;
    int timeout_ms;
    struct secure_line *line; /* NULL: no TLS */
    struct buf out;           /* commands */
    struct buf wire;          /* TLS: what they were encrypted to */
    struct buf plain;         /* TLS: what was decrypted */
    size_t sent;              /* of what leaves: `out`, or with TLS `wire` */
    size_t pending;
    struct resp_reader *reader;
    struct buf error;
    char in[SYNC_READ_LEN];
};

/* Notes what went wrong; returns err. */
int sync_fail(struct sync *s, int err, const char *text);

/* Moves bytes until something was received (or, `all_sent`, until nothing waits to leave). */
int sync_exchange(struct sync *s, bool all_sent, int64_t until_us);
int64_t sync_deadline(const struct sync *s); /* of what begins now */

#endif
