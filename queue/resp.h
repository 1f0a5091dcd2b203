/*
 * resp.h - what Redis answers, as a small tree.
 *
 * Replies are read by hiredis' redisReader into an arena of ours that is emptied for each
 * reply: no allocation per element, and hiredis stays inside resp.c.  RESP2 only.
 */
#ifndef VOLLEY_QUEUE_RESP_H
#define VOLLEY_QUEUE_RESP_H

#include "engine/base/buf.h"
#include "engine/base/slice.h"

enum resp_type { RESP_NIL, RESP_STATUS, RESP_STRING, RESP_ERROR, RESP_INTEGER, RESP_ARRAY };

struct resp {
    enum resp_type type;
    size_t count;             /* RESP_ARRAY */
    const struct resp *items; /* RESP_ARRAY; count of them */
    int64_t integer;          /* RESP_INTEGER */
    struct slice text;        /* RESP_STATUS, RESP_STRING, RESP_ERROR; with a NUL behind it */
};

struct resp_reader;

struct resp_reader *resp_reader_new(void);
void resp_reader_free(struct resp_reader *r);

/* Adds bytes from the socket; they are copied. */
int resp_reader_feed(struct resp_reader *r, struct slice data);

/* 1: *reply is the next one, valid until the next call on this reader; 0: more bytes are
 * needed; ERR_PROTO: the stream is broken (*why says how, until the reader is freed). */
int resp_reader_next(struct resp_reader *r, const struct resp **reply, const char **why);

/* ---- writing commands ---- */

/* One whole command, by hiredis. */
void resp_put_command(struct buf *out, const struct slice *argv, size_t argc);

/* Piece by piece, straight into the output: the count, then that many arguments. */
void resp_put_count(struct buf *out, size_t argc);
void resp_put_arg(struct buf *out, struct slice arg);
void resp_put_u64(struct buf *out, uint64_t value);

/* ---- reading the tree ---- */

bool resp_is_ok(const struct resp *r);                       /* +OK */
bool resp_is_error(const struct resp *r, struct slice word); /* -WORD ... */
/* The integer, or the decimal number in a string; 0 or ERR_INVALID. */
int resp_int(const struct resp *r, int64_t *out);

#endif
