/*
 * outlet.h - the delay line between a session and its socket.
 *
 * Bytes go in with the time at which they may leave; what leaves keeps its order.  So latency
 * is emulated without holding anybody up: answers to a flight are ready at once and wait here.
 * Dribbling, gluing and the end of the connection stand in the same line.  Pure: times are
 * arguments.
 */
#ifndef VOLLEY_BENCH_OUTLET_H
#define VOLLEY_BENCH_OUTLET_H

#include "bench/server.h"

enum outlet_kind {
    OUTLET_BYTES,
    OUTLET_DRIBBLE, /* bytes, one at a time */
    OUTLET_CLOSE,
    OUTLET_RESET,
    OUTLET_STALL
};

struct outlet_piece {
    enum outlet_kind kind;
    bool held;      /* waits for the next bytes, or for its time */
    int64_t due_us; /* never before that of the piece in front */
    int64_t gap_us; /* OUTLET_DRIBBLE */
    size_t len;
};

struct outlet {
    struct buf bytes; /* of all pieces */
    struct outlet_piece *piece;
    size_t first, count, cap; /* pieces are piece[first..first+count) */
};

void outlet_init(struct outlet *o);
void outlet_fini(struct outlet *o);
bool outlet_empty(const struct outlet *o);

/* Appends a piece that may leave at due_us. */
void outlet_put(struct outlet *o, const struct outlet_piece *piece, struct slice bytes);

/* Takes what may leave now: appends bytes to *out and returns OUTLET_BYTES, or returns how the
 * connection is to end (once the bytes before it were taken).  False when nothing is due; then
 * *next_us is when to ask again (INT64_MAX: never).  One dribbled byte at a time. */
bool outlet_take(struct outlet *o, int64_t now_us, struct buf *out, enum outlet_kind *kind,
                 int64_t *next_us);

/* Puts a session's output, `bytes` with its marks, in line: it may leave at due_us at the
 * earliest.  The caller has seen to SERVER_MARK_PAUSE and SERVER_MARK_TLS. */
void outlet_put_marked(struct outlet *o, struct slice bytes, const struct server_mark *mark,
                       size_t marks, int64_t due_us);

#endif
