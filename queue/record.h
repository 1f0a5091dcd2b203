/*
 * record.h - one queued recipient, as bytes in Redis and as fields here.
 *
 * A record is written by the Redis library at submission (queue/common.lua), read in place by
 * the engine, and written again with its history when it is deferred.  It never holds a body.
 *
 *     u8  format (RECORD_FORMAT)
 *     u8  flags: bits 0-1 class; bit 2 the body is the job's own (body:<job>); bit 3 it asked to be
 *         high, and its tenant had no more of that (share.lua)
 *     u8  length, "id.n"               26 characters, a dot, the recipient's number
 *     u8  length, "class:pool:tenant"  the lane: what follows "in:" in the intake's key
 *     u8  length, recipient            domain in lower case
 *     u48 submitted at, unix ms, little endian as all numbers here
 *     then to the end: u8 tag, u16 length, value
 *
 * The head is what the Lua functions read, so it is cheap to reach from there.  Tags that are
 * unknown are carried along.  A record comes from Redis, where others may write: decoding
 * checks every length and refuses what it cannot use, and never reads outside the bytes.
 */
#ifndef VOLLEY_QUEUE_RECORD_H
#define VOLLEY_QUEUE_RECORD_H

#include "engine/base/buf.h"
#include "engine/base/slice.h"

enum {
    RECORD_FORMAT = 1,
    RECORD_JOB_LEN = 26,     /* a job id */
    RECORD_ID_LEN_MAX = 31,  /* "id.n", n up to 1000 */
    RECORD_LEN_MAX = 65535,  /* a whole record */
    RECORD_OUTCOMES_MAX = 8, /* recent outcomes kept in the history */
};

enum job_class { JOB_HIGH, JOB_NORMAL, JOB_BULK, JOB_CLASSES };

enum job_via { JOB_VIA_POOL, JOB_VIA_SOURCE, JOB_VIA_ROUTE };

/* Tags of format 1.  Numbers are for ever. */
enum record_tag {
    RECORD_FROM = 1,         /* text; empty: the null sender */
    RECORD_MESSAGE = 2,      /* id of the stored message */
    RECORD_CAMPAIGN = 3,     /* name */
    RECORD_TAGS = 4,         /* names with commas between */
    RECORD_VAR = 5,          /* u8 length, name, value: one merge value; repeated */
    RECORD_EXTRA = 6,        /* the same for x:<name> */
    RECORD_EXPIRES = 7,      /* u48 unix ms */
    RECORD_NOT_BEFORE = 8,   /* u48 unix ms */
    RECORD_MAX_ATTEMPTS = 9, /* u16 */
    RECORD_RETRY = 10,       /* durations with commas between */
    RECORD_WINDOW = 11,      /* text as submitted */
    RECORD_KEY = 12,         /* idempotency key */
    RECORD_TLS = 13,         /* none, may, encrypt, verify */
    RECORD_DSN_NOTIFY = 14,  /* never, or of success,failure,delay */
    RECORD_DSN_RET = 15,     /* full, hdrs */
    RECORD_DSN_ENVID = 16,   /* text */
    RECORD_UNSUBSCRIBE = 17, /* URL */
    RECORD_FEEDBACK_ID = 18, /* text */
    RECORD_VERP = 19,        /* on, off */
    RECORD_HISTORY = 20,     /* see struct record_outcome */
};

/* What became of one attempt; 12 bytes in the history. */
struct record_outcome {
    int64_t time_ms;
    uint16_t code; /* SMTP reply code, 0 when there was none */
    uint8_t stage; /* the engine's enums, opaque here */
    uint8_t failure;
    uint8_t enhanced[2]; /* subject and detail of x.y.z; the class is that of the code */
};

/* All slices point into `bytes`; an absent field is an empty slice or 0. */
struct job_record {
    struct slice bytes;
    struct slice id;  /* "id.n": field in `owned`, `rcpt` in events */
    struct slice job; /* the 26 characters of it */
    struct slice lane;
    struct slice pool; /* or source, or route: see via */
    struct slice tenant;
    struct slice to;
    struct slice domain; /* of `to`, lower case */
    struct slice from;
    struct slice message;
    struct slice campaign;
    struct slice tags;
    struct slice retry;
    struct slice window;
    struct slice key;
    struct slice tls;
    struct slice dsn_notify;
    struct slice dsn_ret;
    struct slice dsn_envid;
    struct slice unsubscribe;
    struct slice feedback_id;
    struct slice verp;
    struct slice outcomes; /* read with record_outcome_at() */
    int64_t created_ms;
    int64_t expires_ms;    /* 0: created + the configuration's `expires` */
    int64_t not_before_ms; /* 0: none */
    int64_t last_attempt_ms;
    uint32_t rcpt;         /* n of id.n */
    uint32_t attempts;     /* counted ones so far */
    uint32_t max_attempts; /* 0: the configuration's */
    uint32_t tag_start;    /* offset of the first tag */
    uint8_t class;         /* enum job_class */
    uint8_t via;           /* enum job_via */
    bool asked_high;       /* and is normal */
    bool own_body;         /* body:<job> instead of msg:<message> */
    bool has_from;         /* false: the stored message's sender */
};

/* Reads `bytes` in place.  0, or ERR_INVALID (broken) or ERR_RANGE (another format). */
int record_decode(struct job_record *r, struct slice bytes);

/* "id.n" of bytes that need not be a record in anything else, as the Lua functions read it;
 * empty when they have none. */
struct slice record_peek_id(struct slice bytes);

/* The next merge value (RECORD_VAR) or x: field (RECORD_EXTRA).  Start with *at = 0; false at
 * the end. */
bool record_pair_next(const struct job_record *r, enum record_tag tag, uint32_t *at,
                      struct slice *name, struct slice *value);

size_t record_outcome_count(const struct job_record *r);
struct record_outcome record_outcome_at(const struct job_record *r, size_t i); /* oldest first */

/* Appends the record again with its history brought up to date: `attempts` counted so far,
 * `outcome` behind the earlier ones (the oldest falls out).  For a deferral. */
void record_put_deferred(struct buf *out, const struct job_record *r, uint32_t attempts,
                         const struct record_outcome *outcome);

/* Writing records outside Redis (tests, bench).  The head, then any number of tags. */
void record_put_head(struct buf *out, struct slice id, enum job_class class, bool own_body,
                     struct slice lane, struct slice to, int64_t created_ms);
void record_put_text(struct buf *out, enum record_tag tag, struct slice value);
void record_put_time(struct buf *out, enum record_tag tag, int64_t ms);
void record_put_number(struct buf *out, enum record_tag tag, uint16_t value);
void record_put_pair(struct buf *out, enum record_tag tag, struct slice name, struct slice value);

const char *job_class_name(enum job_class class); /* "high", "normal", "bulk" */
/* "high", "normal" or "bulk"; false when it is none of them. */
bool job_class_parse(struct slice name, enum job_class *out);

#endif
