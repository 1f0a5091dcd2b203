/*
 * learned.h - what a site has shown about itself, and what may be tried with it.  Pure.
 *
 * `pipeline: auto` begins with what every server takes: one transaction at a time.  Only
 * after LEARNED_CLEAN transactions in a row that went well may envelopes run ahead of the
 * replies before them, as a trial: a server that minds refuses the envelope, which then goes
 * again the ordinary way.  A refusal is kept for seven days, in Redis, for all nodes.  A
 * connection that breaks with an envelope ahead counts against the trial too, but only for
 * an hour and only while the site has not shown that it takes them: lines break anyway.
 *
 * The number of recipients a site takes at a time (452) is kept for an hour, in memory.
 *
 * A mode named in the configuration (`pipeline: commands`) is used as it is: none of this is
 * asked then.  Times are wall time in microseconds, as they outlive the process.
 */
#ifndef VOLLEY_DELIVER_LEARNED_H
#define VOLLEY_DELIVER_LEARNED_H

#include <stdbool.h>
#include <stdint.h>

enum {
    LEARNED_CLEAN = 20, /* transactions before a trial, and for it to count as passed */
};

#define LEARNED_REFUSED_US (INT64_C(7) * 86400 * 1000000)
#define LEARNED_BROKEN_US  (INT64_C(3600) * 1000000)
#define LEARNED_RCPT_US    (INT64_C(3600) * 1000000)

enum learned_memory {
    LEARNED_UNASKED, /* whether other nodes were refused is not known ... */
    LEARNED_ASKED,   /* ... but was asked for ... */
    LEARNED_KNOWN    /* ... and is known: `ahead_off_us` says it */
};

struct learned {
    int64_t ahead_off_us; /* nothing goes ahead until then */
    int64_t rcpt_until_us;
    uint32_t rcpt_max; /* recipients of a transaction */
    uint8_t clean;     /* transactions in a row that went well, up to LEARNED_CLEAN */
    uint8_t ahead;     /* those of them that had gone ahead, likewise */
    uint8_t memory;    /* enum learned_memory */
};

/* How a transaction ended. */
enum learned_end {
    LEARNED_ACCEPTED, /* the server said 2xx to its content */
    LEARNED_REFUSED,  /* it said something else, in step */
    LEARNED_BROKE     /* the connection broke or got out of step */
};

/* A transaction ended; `ahead`: its envelope went out before its predecessor was answered. */
void learned_transaction(struct learned *l, enum learned_end end, bool ahead, int64_t now_us);

/* Envelopes that went ahead are refused here.  True when that is news, to be kept for other
 * nodes until l->ahead_off_us. */
bool learned_refused(struct learned *l, int64_t now_us);

/* True once when a trial is near: ask what other nodes know and tell it to learned_told(). */
bool learned_asks(struct learned *l);

/* What was kept: until when nothing may go ahead; 0: nothing is known; negative: could not
 * be asked, another time. */
void learned_told(struct learned *l, int64_t ahead_off_us);

/* May the next envelope go ahead of replies? */
bool learned_may_go_ahead(const struct learned *l, int64_t now_us);

/* The site took `max` recipients and no more (0 is ignored). */
void learned_rcpt_limit(struct learned *l, uint32_t max, int64_t now_us);

/* How many recipients a transaction may have, of `wanted`. */
uint32_t learned_rcpt_max(const struct learned *l, uint32_t wanted, int64_t now_us);

#endif
