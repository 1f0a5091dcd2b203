/*
 * event.h - one outcome as a line of JSON.  Pure.
 *
 * The same line goes to the Redis stream and to the file; its fields are the contract with
 * every program that reads them (README, "Events").  What is unknown is left out: a reader
 * never has to tell an empty string from "we do not know".
 */
#ifndef VOLLEY_DELIVER_EVENT_H
#define VOLLEY_DELIVER_EVENT_H

#include "engine/base/buf.h"

enum { EVENT_VERSION = 1, EVENT_TEXT_MAX = 512 };

struct event_pair {
    struct slice name;
    struct slice value;
};

/* How long the steps of an attempt took, in microseconds; negative: did not happen. */
struct event_times {
    int64_t queue_us, dns_us, connect_us, tls_us, mail_us, dot_us;
};

#define EVENT_TIMES_NONE ((struct event_times){-1, -1, -1, -1, -1, -1})

struct event {
    const char *type;  /* delivered deferred bounced expired cancelled suppressed ambiguous site */
    bool final;        /* the last word on this recipient */
    const char *state; /* of a site: "up" or "down"; NULL for other types */
    int64_t wall_us;
    struct slice node;
    /* The job. */
    struct slice id; /* without recipient number */
    uint32_t rcpt;
    struct slice to, from, tenant, campaign, tags /* comma separated */, message, job_class, pool;
    const char *asked_class; /* NULL: the one it has */
    bool has_from;           /* the empty reverse-path is a value: <> */
    const struct event_pair *x;
    size_t x_count;
    /* What was said. */
    const char *failure; /* NULL: none */
    uint32_t attempt;
    const char *stage; /* NULL: none */
    int code;          /* 0: no reply */
    struct slice enhanced, text;
    int64_t next_wall_us; /* 0: no further attempt */
    /* Where. */
    struct slice site, mx, ip, source;
    struct slice tls_version, tls_cipher; /* empty: in the clear */
    bool tls_verified;
    uint64_t bytes; /* 0: nothing was sent */
    struct event_times times;
};

/* Appends the line, with its newline. */
void event_put(struct buf *b, const struct event *e);

#endif
