/*
 * reply.h - incremental SMTP reply parser.
 *
 * Bytes go in as they arrive, cut anywhere; complete replies come out one per call, because
 * pipelined replies arrive many to a packet.  Tolerant where peers are known to differ (lone
 * LF, a code without text, no space behind the code, other codes on the lines of one reply),
 * strict where tolerance would shift replies against commands: what does not start with
 * three digits, the first of them 2..5, is BAD, and the connection can not be trusted from
 * there on.
 *
 * A parser owns two small buffers, for a line cut in two and for the text of a reply of
 * several lines; a reply that arrives whole on one line touches neither.
 */
#ifndef VOLLEY_SMTP_REPLY_H
#define VOLLEY_SMTP_REPLY_H

#include "engine/base/buf.h"
#include "engine/base/slice.h"

enum {
    SMTP_REPLY_LINE_MAX = 2048,   /* RFC 5321 4.5.3.1.5 says 512; peers send more */
    SMTP_REPLY_LINES_MAX = 128,   /* of one reply */
    SMTP_REPLY_BYTES_MAX = 65536, /* of one reply, line ends included */
    SMTP_REPLY_KEEP_MAX = 4096,   /* what is kept of the text of one reply */
    SMTP_TEXT_MAX = 512           /* of a text made for people by smtp_reply_print() */
};

/* RFC 3463.  class 0: none was said. */
struct smtp_enhanced {
    uint8_t class;
    uint16_t subject;
    uint16_t detail;
};

enum { SMTP_ENHANCED_LEN = 12 }; /* "5.123.1234" and a NUL fit */

struct smtp_reply {
    uint16_t code;                 /* 200..599; that of the last line where they differ */
    struct smtp_enhanced enhanced; /* only when its class is that of the code (RFC 2034 4) */
    bool mixed;                    /* the lines did not agree on the code */
    struct slice text;             /* without codes, lines separated by LF, as the peer sent it */
};

enum smtp_parse { SMTP_PARSE_MORE, SMTP_PARSE_DONE, SMTP_PARSE_BAD };

struct smtp_reply_parser {
    struct buf line; /* a line whose end has not come */
    struct buf text; /* of the earlier lines of this reply */
    uint32_t bytes;
    uint16_t lines;
    uint16_t code;
    bool mixed;
    bool bad;
};

void smtp_reply_init(struct smtp_reply_parser *p);
void smtp_reply_fini(struct smtp_reply_parser *p);

/* Takes bytes off the front of *in up to the end of a reply.  DONE: *out is set; its text
 * borrows from the bytes given or from the parser, until the next call.  MORE: *in is used
 * up.  BAD: the peer does not speak SMTP; every later call says so too. */
enum smtp_parse smtp_reply_next(struct smtp_reply_parser *p, struct slice *in,
                                struct smtp_reply *out);

/* Forgets an unfinished reply and gives buffers back (after STARTTLS, when idle). */
void smtp_reply_reset(struct smtp_reply_parser *p);

/* Is part of a reply waiting for its rest? */
bool smtp_reply_partial(const struct smtp_reply_parser *p);

/* Appends the text for people and logs, at most SMTP_TEXT_MAX bytes: lines joined by a
 * space, an enhanced code that repeats the reply's own left out, control characters and
 * what is not UTF-8 replaced by '?'. */
void smtp_reply_print(const struct smtp_reply *reply, struct buf *out);

/* The enhanced code at the front of a line of text, or class 0.  *rest is what follows. */
struct smtp_enhanced smtp_enhanced_parse(struct slice text, struct slice *rest);

/* Writes "5.1.1" and a NUL, or an empty string for none. */
void smtp_enhanced_format(char out[SMTP_ENHANCED_LEN], struct smtp_enhanced e);

#endif
