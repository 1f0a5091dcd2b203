/*
 * floor.h - what sending must cost at least: the bytes of a run, and nothing but I/O.
 *
 * A loop that writes prepared messages over a number of connections and counts the lines that
 * come back.  No queue, no sessions, no limits, no events: what an engine needs beyond this is
 * its own doing.  Runs on the calling thread.
 */
#ifndef VOLLEY_BENCH_FLOOR_H
#define VOLLEY_BENCH_FLOOR_H

#include "bench/address.h"
#include "engine/io/io.h"

enum floor_mode {
    FLOOR_DATA,     /* MAIL RCPT DATA in one flight, the text in the next: two round trips */
    FLOOR_MESSAGES, /* the next envelope behind the text: one round trip */
    FLOOR_CHUNKING  /* MAIL RCPT BDAT LAST, `depth` of them in flight */
};

enum { FLOOR_DEPTH_MAX = 64, FLOOR_CONNECTIONS_MAX = 20000 };

struct floor_options {
    struct address to;
    enum io_backend io;
    enum floor_mode mode;
    uint64_t messages;
    uint64_t size; /* of a message as it travels, at least 200 */
    unsigned connections;
    unsigned depth;
    uint64_t domains;   /* recipients are spread over so many */
    int64_t timeout_us; /* without any progress; 0: 30 s */
};

struct floor_result {
    uint64_t messages; /* answered with 250 */
    uint64_t bytes;    /* written */
    int64_t span_us;   /* from the first MAIL to the last answer */
    int64_t cpu_user_us, cpu_sys_us;
    uint64_t enters; /* system calls of the I/O loop */
    enum io_backend io;
};

/* 0, or -1 with a message in *error (a refusal by the server, a lost connection, ...). */
int floor_run(const struct floor_options *options, struct floor_result *result, struct buf *error);

/* A message of `size` bytes with lines of 76 characters and CRLF at its end. */
void floor_put_message(struct buf *out, uint64_t size);

#endif
