/*
 * scan.h - one pass over the bytes of a message.
 *
 * Finds the end of data (RFC 5321 4.1.1.4: CRLF "." CRLF and nothing else) and, in the same
 * pass, everything that a careful receiver would object to.  64 bytes are turned into one
 * bit mask for each byte that matters, and every rule is a few operations on masks; so the
 * sink can look at each byte of every message and still not be the bottleneck of a run.
 *
 * A message may arrive in any pieces: the masks of the last bytes are carried over.
 */
#ifndef VOLLEY_BENCH_SCAN_H
#define VOLLEY_BENCH_SCAN_H

#include "engine/base/slice.h"

/* What a message was found to contain; bits of scan.found. */
enum scan_finding {
    SCAN_BARE_LF = 1 << 0,   /* LF without CR before it */
    SCAN_BARE_CR = 1 << 1,   /* CR without LF behind it */
    SCAN_SMUGGLE = 1 << 2,   /* a "." between line ends other than CRLF: a server that takes bare
                                ones for line ends would see the message end there
                                (CVE-2023-51764 and its relatives) */
    SCAN_LONG_LINE = 1 << 3, /* more than 998 octets before CRLF (RFC 5321 4.5.3.1.6) */
    SCAN_NUL = 1 << 4,
    SCAN_8BIT = 1 << 5 /* an octet over 127; fine where BODY=8BITMIME was said */
};

enum { SCAN_LINE_MAX = 998 };

struct scan {
    /* The masks of what was read, the newest byte in the highest bit. */
    uint64_t cr, lf, dot;
    uint64_t line_len; /* octets since the last LF */
    uint32_t found;
};

/* Before the first byte of a message: it starts behind the CRLF of the DATA command, so that
 * "." CRLF at once is an empty message. */
void scan_init(struct scan *s);

/* Reads on until the end of data or of `in`.  Returns how many bytes belong to the message,
 * terminator included; *end tells whether it was seen.  With `dotted` false (BDAT, where the
 * length says it all) there is no terminator and no smuggling to look for. */
size_t scan_body(struct scan *s, struct slice in, bool dotted, bool *end);

/* A CR or LF may be left hanging when a BDAT message ends. */
void scan_finish(struct scan *s);

#endif
