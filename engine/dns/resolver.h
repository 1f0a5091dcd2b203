/*
 * resolver.h - asking name servers, on one thread's loop.
 *
 * c-ares is the transport (retries, several servers, TCP after truncation); packets and
 * cache are ours.  Rules that callers can lean on:
 *   - on_answer is never called from inside dns_ask(), and never twice;
 *   - questions asked from on_answer are sent after it returned, some a tick, so a flood of
 *     answers cannot hold up the loop;
 *   - the same question asked by many is sent once; at most inflight_max are on their way,
 *     the others wait in line.  Urgent ones have a line of their own that goes first, and an
 *     eighth of inflight_max to themselves: servers that do not answer cannot hold them up.
 * The AD bit is believed only when every server is on loopback or trust_ad is set.
 */
#ifndef VOLLEY_DNS_RESOLVER_H
#define VOLLEY_DNS_RESOLVER_H

#include "engine/dns/cache.h"
#include "engine/io/io.h"

struct dns_resolver;

struct dns_resolver_options {
    const char *servers;   /* "127.0.0.1:5353,[::1]:53,192.0.2.1"; NULL: /etc/resolv.conf */
    unsigned inflight_max; /* 0: 1000 */
    unsigned timeout_ms;   /* of the first try; doubles with each; 0: 2000 */
    unsigned tries;        /* per server; 0: 3 */
    bool trust_ad;
    struct dns_cache_options cache;
};

/* The caller's part of a question, embedded in its owner; also the token to cancel it. */
struct dns_query {
    struct list link;
    struct dns_resolver *resolver; /* set while the answer is awaited */
    /* `answer` is borrowed for the call; take a reference to keep it. */
    void (*on_answer)(struct dns_query *q, struct dns_answer *answer);
    struct dns_answer *answer;
    struct dns_cache_entry *entry; /* while it is on its way or in line */
    uint32_t ttl_s;                /* in on_answer: how long the answer may be used from now */
};

struct dns_stats {
    uint64_t asked;     /* questions by callers */
    uint64_t sent;      /* questions to servers */
    uint64_t tempfails; /* of those */
    uint64_t hits;      /* answered from the cache */
    uint64_t stales;    /* answered past their time, as servers failed */
    uint64_t joined;    /* shared a question on its way */
    size_t inflight;
    size_t queued;
    size_t entries; /* in the cache */
};

/* NULL with a text in *error: no usable server, a bad server list. */
struct dns_resolver *dns_resolver_new(struct io *io, const struct dns_resolver_options *options,
                                      struct buf *error);

/* Ends it: no on_answer is called any more, and `on_closed` (may be NULL) when its sockets
 * are gone, some ticks later; the memory is freed then.  Not from inside on_answer. */
void dns_resolver_close(struct dns_resolver *r, void (*on_closed)(void *arg), void *arg);

/* Asks; on_answer follows, in a later tick at the earliest.  `name` is copied. */
void dns_ask(struct dns_resolver *r, struct dns_query *q, struct slice name, enum dns_type type,
             void (*on_answer)(struct dns_query *q, struct dns_answer *answer));

/* Makes a question urgent that was asked; harmless when nothing is awaited. */
void dns_hurry(struct dns_query *q);

/* A fresh answer from the cache (a reference for the caller), or NULL. */
struct dns_answer *dns_cached(struct dns_resolver *r, struct slice name, enum dns_type type);

/* on_answer will not be called; harmless when nothing is awaited (zeroed or answered). */
void dns_cancel(struct dns_query *q);

struct io *dns_resolver_io(struct dns_resolver *r);
void dns_resolver_stats(const struct dns_resolver *r, struct dns_stats *stats);

#endif
