/*
 * script.h - a dialogue file, read (format: tests/dialogue/README.md).
 */
#ifndef VOLLEY_TESTS_DIALOGUE_SCRIPT_H
#define VOLLEY_TESTS_DIALOGUE_SCRIPT_H

#include "engine/base/buf.h"
#include "engine/smtp/session.h"

enum {
    SCRIPT_STEPS_MAX = 1024,
    SCRIPT_TXNS_MAX = 24,
    SCRIPT_RCPTS_MAX = 300, /* of one transaction */
    SCRIPT_ITEMS_MAX = 8
};

enum step_kind {
    STEP_SERVER,   /* S: and S-: `bytes` come from the server */
    STEP_CLIENT,   /* C: `bytes` are expected from the client */
    STEP_CONTENT,  /* C*: `number` bytes of content, whatever they are */
    STEP_CLOSE,    /* the stream ends with `number` (0 or ERR_*) */
    STEP_TIMEOUT,  /* the deadline passes */
    STEP_WAIT,     /* `number` microseconds pass; no deadline may be among them */
    STEP_SECURE,   /* the handshake succeeds */
    STEP_QUIT,     /* the owner wants to leave */
    STEP_HOLD,     /* no transactions are submitted any more ... */
    STEP_GO,       /* ... or again: `number` of them, all by default */
    STEP_STALL,    /* writes are handed out and never end ... */
    STEP_SENT,     /* ... until here */
    STEP_DEADLINE, /* the deadline is `number` microseconds away */
    STEP_ROOM,     /* the session has room for `number` transactions */
};

struct step {
    enum step_kind kind;
    unsigned line;
    struct buf bytes;
    int64_t number;
};

/* What is expected of a recipient. */
struct expected {
    unsigned line; /* 0: nothing is */
    char outcome[16];
    char stage[16];
    unsigned code;
    char enhanced[SMTP_ENHANCED_LEN];
    char failure[16];
    char host[8];
    char site[8];
    struct buf text; /* part of what was said; empty: anything */
};

struct script_txn {
    struct buf from, dsn, dotted, raw;
    struct buf rcpt[SCRIPT_RCPTS_MAX], rcpt_dsn[SCRIPT_RCPTS_MAX];
    struct expected expected[SCRIPT_RCPTS_MAX];
    size_t rcpt_count;
    bool needs_8bit, needs_utf8, needs_requiretls, no_raw;
};

struct script {
    const char *path;
    struct smtp_config config;
    struct buf strings[4]; /* what the configuration borrows */
    struct buf items[SCRIPT_ITEMS_MAX];
    size_t item_count;
    struct script_txn txns[SCRIPT_TXNS_MAX];
    size_t txn_count;
    struct step steps[SCRIPT_STEPS_MAX];
    size_t step_count;
    unsigned end_line; /* of the line `end` or `open` */
    char end_reason[16], end_stage[16];
    unsigned end_code;
    uint32_t learned;
    char fault[256]; /* why it could not be read */
};

/* Reads a file; NULL when it cannot be opened.  A file with faults has `fault` set. */
struct script *script_read(const char *path);
void script_free(struct script *s);

#endif
