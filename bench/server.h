/*
 * server.h - one receiving SMTP session, without I/O.
 *
 * Bytes of the client go in, bytes for the client and events come out.  volley-sink runs it
 * over sockets; unit tests and the simulator run it over arrays with a clock of their own.
 *
 *     server_init -> server_start -> { server_feed }* -> server_lost -> server_fini
 *
 * Output.  Answers are appended to `out`.  Whatever is more than "write these bytes" (wait,
 * write byte by byte, start TLS, close) is a mark at an offset into `out`.  The owner takes
 * bytes and marks whenever he likes and then calls server_taken().  Usually there are no marks.
 *
 * Input.  Pipelining is followed to the letter of RFC 2920: the input is consumed to its end,
 * and all answers stand in `out` together.  What a client must not do (write ahead of an answer
 * that it has to see, end lines with a bare LF, ...) is answered and counted.  Memory is bounded
 * whatever the client sends: one command line, one envelope, and content only when asked for.
 *
 * Policy is not built in: before a positive answer goes out, a hook may put another one in its
 * place or add mischief to it (fault.h, magic.h; models of providers come the same way).
 */
#ifndef VOLLEY_BENCH_SERVER_H
#define VOLLEY_BENCH_SERVER_H

#include "bench/scan.h"
#include "bench/sink_stats.h"
#include "engine/base/buf.h"

enum server_verb {
    SERVER_CONNECT, /* the banner */
    SERVER_EHLO,
    SERVER_HELO,
    SERVER_STARTTLS,
    SERVER_MAIL,
    SERVER_RCPT,
    SERVER_DATA,
    SERVER_BDAT,
    SERVER_BODY, /* asked when a body begins; takes effect at server_verdict.body_at */
    SERVER_DOT,  /* the answer to a whole message, by DATA or BDAT */
    SERVER_RSET,
    SERVER_NOOP,
    SERVER_VRFY,
    SERVER_QUIT,
    SERVER_OTHER, /* unknown commands: not asked for */
    SERVER_VERBS
};

const char *server_verb_name(enum server_verb verb); /* "connect", "ehlo", ... */

enum server_keep { SERVER_KEEP_NOTHING, SERVER_KEEP_HEADER, SERVER_KEEP_ALL };

/* What may differ from server to server.  One for all sessions, unchanged while they live. */
struct server_options {
    struct slice hostname;
    bool pipelining, chunking, starttls, eightbitmime, smtputf8, size, dsn, enhanced;
    bool refuse_ahead;           /* refuse an envelope that came behind a body in one read, as
                                    Haraka does */
    bool refuse_starttls;        /* offered, but answered 454 */
    uint64_t size_max;           /* of a message; 0: SERVER_SIZE_MAX */
    uint64_t recipients_max;     /* of a transaction; 0: SERVER_RECIPIENTS_MAX */
    uint64_t messages_max;       /* of a connection; 0: no limit */
    bool messages_close;         /* at that limit close without a word (else 421) */
    enum server_keep keep;       /* what server_message.content shall hold */
    const char *const *keywords; /* more lines for EHLO, ended by NULL; or NULL */
};

enum {
    SERVER_LINE_MAX = 4096,              /* a command line; RFC 5321 4.5.3.1.4 asks for 512 */
    SERVER_ADDRESS_MAX = 1024,           /* a path, UTF-8 included */
    SERVER_RECIPIENTS_MAX = 1000,        /* unless options say otherwise */
    SERVER_SIZE_MAX = 100 * 1024 * 1024, /* likewise */
    SERVER_HEADER_MAX = 64 * 1024,
    SERVER_ERRORS_MAX = 100,  /* bad commands without a message between, then 421 */
    SERVER_HELD_MAX = 1 << 30 /* copies of content in all sessions of a thread */
};

/* ---- what comes out ---- */

enum server_mark_kind {
    SERVER_MARK_DELAY,   /* what follows is to be written `value` us later than otherwise */
    SERVER_MARK_HOLD,    /* wait for more output, but not over `value` us */
    SERVER_MARK_DRIBBLE, /* what follows goes byte by byte, `value` us apart */
    SERVER_MARK_BULK,    /* the end of that */
    SERVER_MARK_PAUSE,   /* read nothing for `value` us */
    SERVER_MARK_TLS,     /* write what is before, then the TLS handshake begins */
    SERVER_MARK_CLOSE,   /* write what is before, then close */
    SERVER_MARK_RESET,   /* the same with RST */
    SERVER_MARK_STALL    /* write what is before, then neither read nor write any more */
};

struct server_mark {
    enum server_mark_kind kind;
    size_t offset; /* into `out` */
    int64_t value;
};

/* ---- what may be decided ---- */

enum server_then { SERVER_THEN_GO_ON, SERVER_THEN_CLOSE, SERVER_THEN_RESET, SERVER_THEN_STALL };

/* All zero: the usual answer.  Slices are borrowed until the hook is called again. */
struct server_verdict {
    struct slice reply; /* in place of the usual answer; several lines are parted by '\n', and all
                           get the code of the first */
    struct slice ahead; /* an answer nobody asked for, before the other one; lines likewise */
    struct slice raw;   /* bytes as they are, before the answer, or in its place when `mute` */
    bool mute;          /* no answer */
    enum server_then then;
    int64_t delay_us;
    int64_t hold_us;
    int64_t pause_us;
    bool dribble;
    int64_t dribble_us;
    uint64_t read_rate; /* from now on read at most so many bytes a second; 0: as before */
    uint64_t body_at;   /* SERVER_BODY: act when so many bytes of the body have come */
};

struct server;

struct server_message {
    struct slice from;
    uint64_t recipients;  /* server_rcpt_next() tells which */
    uint64_t bytes;       /* as it travelled, terminator included */
    struct slice content; /* dots unstuffed; as much as options.keep says */
    uint32_t found;       /* SCAN_* */
    bool chunked;
    bool tls;
    uint64_t connection;
    uint64_t number; /* on this connection, from 1 */
    uint64_t id;     /* as told to the client in "queued as" */
};

struct server_hooks {
    /* Bits of server_verb: where decide() wants to be asked. */
    uint32_t verbs;
    /* `to` is the recipient in question for SERVER_RCPT, else empty.  Fills in *verdict (all
     * zero before) and returns true, or returns false for the usual answer. */
    bool (*decide)(void *ctx, struct server *s, enum server_verb verb, struct slice to,
                   int64_t now_us, struct server_verdict *verdict);
    /* A message was accepted; everything is valid during the call.  May be NULL. */
    void (*accepted)(void *ctx, struct server *s, const struct server_message *m, int64_t now_us);
};

/* ---- the session ---- */

enum server_state {
    SERVER_COMMAND,
    SERVER_IN_DATA, /* within the text after 354 */
    SERVER_IN_BDAT, /* within the octets of a chunk */
    SERVER_OVER     /* a close, reset or stall was said; input is dropped */
};

struct server {
    const struct server_options *options;
    const struct server_hooks *hooks; /* NULL: none */
    void *ctx;                        /* of the hooks */
    struct sink_stats *stats;
    uint64_t connection; /* number of this connection, for hooks and events */
    uint64_t read_rate;  /* bytes a second the owner should read at most; 0: no limit */

    struct buf out;
    struct server_mark *mark;
    size_t marks, marks_cap;

    /* The rest is the session's own. */
    enum server_state state;
    bool extended; /* EHLO, not HELO */
    bool greeted;
    bool tls;
    bool mail;    /* within a transaction */
    bool spoiled; /* a BDAT failed: nothing but RSET helps (RFC 3030 2) */
    bool chunked; /* this transaction uses BDAT */
    bool body8, utf8;
    bool line_skip;    /* dropping the rest of an overlong line */
    bool answered;     /* the body was answered before its end */
    bool last;         /* this chunk is the last */
    bool swallow;      /* this chunk is dropped */
    bool starved;      /* SERVER_HELD_MAX was reached */
    bool refused;      /* by the banner: nothing but QUIT helps (RFC 5321 3.1) */
    bool mail_refused; /* RCPT and DATA that follow a refused MAIL are no fault of the client */
    bool unsent;       /* an answer that must be waited for is not on the wire yet */
    bool after_dot;    /* the input at hand continues behind a message */
    bool header_over;
    uint8_t content_tail; /* of the last two bytes kept: 1 after CR, 2 after CRLF */
    uint32_t errors;
    uint32_t recipients, recipients_refused;
    uint32_t from_len;
    uint64_t messages;
    uint64_t next_id;
    uint64_t body_len;
    uint64_t chunk_left;
    uint64_t held;              /* of stats->held */
    struct server_verdict body; /* pending SERVER_BODY verdict; body_at 0: none */
    struct scan scan;
    struct buf line;     /* the beginning of a command line, when it came in pieces */
    struct buf envelope; /* sender, then each recipient behind its length in two bytes */
    struct buf content;
};

/* Checks nothing; the options, hooks and counters are borrowed until server_fini(). */
void server_init(struct server *s, const struct server_options *options,
                 const struct server_hooks *hooks, void *ctx, struct sink_stats *stats,
                 uint64_t connection);
void server_fini(struct server *s);

/* Puts the banner into `out`. */
void server_start(struct server *s, int64_t now_us);

/* Puts a refusal ("421 ...") into `out` instead, and closes. */
void server_refuse(struct server *s, struct slice reply);

/* Reads the client's bytes.  Returns how many were used: fewer than given only when the rest
 * belongs to the TLS handshake (a SERVER_MARK_TLS was set). */
size_t server_feed(struct server *s, struct slice in, int64_t now_us);

/* The last mark is SERVER_MARK_TLS. */
bool server_tls_follows(const struct server *s);

/* The handshake is done: the session starts anew (RFC 3207 4.2). */
void server_tls_started(struct server *s);

/* The owner has taken `out` and the marks. */
void server_taken(struct server *s);

/* All that was taken is on the wire. */
static inline void server_sent(struct server *s)
{
    s->unsent = false;
}

/* The connection is gone: counts what was interrupted. */
void server_lost(struct server *s);

struct slice server_sender(const struct server *s);

/* Walks the recipients of the current transaction; start with *at == 0.  False at the end. */
bool server_rcpt_next(const struct server *s, size_t *at, struct slice *rcpt);

/* True while a message or a transaction is going on. */
bool server_busy(const struct server *s);

#endif
