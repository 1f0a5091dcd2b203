/*
 * resolver.c - asking name servers, on one thread's loop.
 *
 * A question goes one of three ways: the cache has the answer (the query joins `ready`),
 * somebody asks the same already (it joins the waiters of that cache entry), or a flight is
 * made for it, sent now or, beyond inflight_max, in line.  Answers move waiters to `ready`;
 * from there they are called one by one, never from inside dns_ask() or c-ares.
 */
#include "engine/dns/resolver.h"

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/panic.h"
#include "engine/dns/transport.h"

#include <string.h>

enum { INFLIGHT_USUAL = 1000, INFLIGHT_MOST = 16384, TIMEOUT_USUAL_MS = 2000, TRIES_USUAL = 3 };

/* A name server's socket holds some 250 questions before it drops, and what was dropped costs
 * a timeout.  So no more than this many are sent in one millisecond. */
enum { BURST_MAX = 64, BURST_US = 1000 };

struct flight {
    struct dns_flight f;
    struct dns_cache_entry *entry;
    bool urgent;
    bool sent;
    /* A server that does not follow CNAMEs to their end is asked again for where they led. */
    unsigned aliases; /* CNAMEs in the answers so far */
    char *target;     /* the name of the last question, when it is not the entry's */
    uint32_t ttl_s;   /* of the answers so far */
    bool unsafe;      /* one of them was not validated */
};

struct dns_resolver {
    struct io *io;
    struct dns_transport *transport;
    struct dns_cache cache;
    struct list ready; /* queries with their answer, to be called */
    struct list line;  /* flights that wait to be sent */
    struct list hurry; /* urgent ones, which go first */
    size_t line_len;   /* of both */
    size_t inflight_max;
    size_t usual_max; /* of these, for what is not urgent */
    int64_t burst_from_us;
    size_t burst; /* sent since then */
    struct timer soon;
    struct timer next_burst;
    bool calling;
    struct dns_stats stats;
};

static void ready_put(struct dns_resolver *r, struct dns_query *q, struct dns_answer *answer)
{
    q->answer = answer;
    list_append(&r->ready, &q->link);
    if (!timer_armed(&r->soon)) {
        wheel_arm(io_wheel(r->io), &r->soon, io_now_us(r->io));
    }
}

/* Calls what is ready now; what becomes ready meanwhile waits for the next tick, so that
 * callers who ask from their callbacks cannot keep us here. */
static void ready_call(struct dns_resolver *r)
{
    struct list batch;
    struct list *first;

    ASSERT(!r->calling);
    r->calling = true;
    list_init(&batch);
    list_splice(&batch, &r->ready);
    while ((first = list_first(&batch)) != NULL) {
        struct dns_query *q = CONTAINER_OF(first, struct dns_query, link);
        struct dns_answer *answer = q->answer;

        list_remove(first);
        q->answer = NULL;
        q->resolver = NULL;
        q->on_answer(q, answer);
        dns_answer_unref(answer);
    }
    r->calling = false;
}

/* May one more be sent now?  Once the burst is used up, a timer goes on with the line. */
static bool burst_take(struct dns_resolver *r)
{
    int64_t now_us = io_now_us(r->io);

    if (now_us - r->burst_from_us >= BURST_US) {
        r->burst_from_us = now_us;
        r->burst = 0;
    }
    if (r->burst == BURST_MAX) {
        if (!timer_armed(&r->next_burst)) {
            wheel_arm(io_wheel(r->io), &r->next_burst, r->burst_from_us + BURST_US);
        }
        return false;
    }
    r->burst++;
    return true;
}

static void line_send_one(struct dns_resolver *r, struct list *line, size_t inflight_max)
{
    struct list *first;

    while (dns_transport_inflight(r->transport) < inflight_max &&
           (first = list_first(line)) != NULL && burst_take(r)) {
        struct flight *flight = CONTAINER_OF(first, struct flight, f.link);

        list_remove(first);
        flight->sent = true;
        r->line_len--;
        r->stats.sent++;
        dns_transport_send(r->transport, &flight->f);
    }
}

static void line_send(struct dns_resolver *r)
{
    line_send_one(r, &r->hurry, r->inflight_max);
    line_send_one(r, &r->line, r->usual_max);
}

static void next_burst_fire(struct timer *timer, int64_t now_us)
{
    (void)now_us;
    line_send(CONTAINER_OF(timer, struct dns_resolver, next_burst));
}

static void flight_free(struct flight *flight)
{
    mem_free(flight->target);
    mem_free(flight);
}

/* The CNAMEs lead out of the answer: asks for what they lead to. */
static void flight_follow(struct dns_resolver *r, struct flight *flight)
{
    struct dns_answer *a = flight->f.answer;
    char *target = slice_dup(a->name);

    flight->ttl_s = a->ttl_s < flight->ttl_s ? a->ttl_s : flight->ttl_s;
    flight->unsafe |= !a->ad;
    flight->aliases += a->aliases;
    dns_answer_unref(a);
    flight->f.answer = NULL;
    mem_free(flight->target);
    flight->target = target;
    flight->f.name = slice_cstr(target);
    flight->sent = false;
    list_prepend(flight->urgent ? &r->hurry : &r->line, &flight->f.link);
    r->line_len++;
}

static bool may_follow(const struct flight *flight)
{
    const struct dns_answer *a = flight->f.answer;

    return a->open && flight->aliases + a->aliases <= DNS_CNAME_MAX && dns_name_valid(a->name);
}

/* The answer at the end of the CNAMEs holds as long as each of them, and is as safe. */
static void flight_sum(struct flight *flight)
{
    struct dns_answer *a = flight->f.answer;

    if (a->open || flight->aliases + a->aliases > DNS_CNAME_MAX) {
        flight->f.answer = dns_answer_new(DNS_TEMPFAIL, flight->f.type, flight->entry->name,
                                          SLICE("its CNAMEs lead nowhere or are more than 16"));
        dns_answer_unref(a);
    } else if (flight->target != NULL) {
        a->ttl_s = a->ttl_s < flight->ttl_s ? a->ttl_s : flight->ttl_s;
        a->ad = a->ad && !flight->unsafe;
    }
}

/* An answer came: into the cache, and to all who wait for it. */
static void flight_land(struct dns_resolver *r, struct flight *flight)
{
    struct list waiters;
    struct list *first;
    struct dns_answer *told;

    if (may_follow(flight)) {
        flight_follow(r, flight);
        return;
    }
    flight_sum(flight);
    list_init(&waiters);
    list_splice(&waiters, &flight->entry->waiters);
    flight->entry->flight = NULL;
    r->stats.tempfails += flight->f.answer->status == DNS_TEMPFAIL;
    told = dns_cache_close(&r->cache, flight->entry, flight->f.answer, io_now_us(r->io));
    while ((first = list_first(&waiters)) != NULL) {
        struct dns_query *q = CONTAINER_OF(first, struct dns_query, link);

        list_remove(first);
        q->entry = NULL;
        q->ttl_s = dns_cache_ttl(&r->cache, told);
        ready_put(r, q, dns_answer_ref(told));
    }
    dns_answer_unref(told);
    dns_answer_unref(flight->f.answer);
    flight_free(flight);
}

static void transport_done(void *arg)
{
    struct dns_resolver *r = arg;
    struct dns_flight *f;

    while ((f = dns_transport_take(r->transport)) != NULL) {
        flight_land(r, CONTAINER_OF(f, struct flight, f));
    }
    line_send(r);
    ready_call(r);
}

static void soon_fire(struct timer *timer, int64_t now_us)
{
    (void)now_us;
    ready_call(CONTAINER_OF(timer, struct dns_resolver, soon));
}

static unsigned within(unsigned value, unsigned usual, unsigned most)
{
    value = value > 0 ? value : usual;
    return value < most ? value : most;
}

struct dns_resolver *dns_resolver_new(struct io *io, const struct dns_resolver_options *options,
                                      struct buf *error)
{
    struct dns_resolver *r = mem_zalloc(sizeof(*r));
    struct dns_transport_options transport = {
        .servers = options->servers,
        .timeout_ms = within(options->timeout_ms, TIMEOUT_USUAL_MS, 60000),
        .tries = within(options->tries, TRIES_USUAL, 10),
        .trust_ad = options->trust_ad,
        .on_done = transport_done,
        .arg = r,
    };

    r->io = io;
    r->transport = dns_transport_new(io, &transport, error);
    if (r->transport == NULL) {
        mem_free(r);
        return NULL;
    }
    r->inflight_max = within(options->inflight_max, INFLIGHT_USUAL, INFLIGHT_MOST);
    r->usual_max = r->inflight_max - r->inflight_max / 8;
    dns_cache_init(&r->cache, &options->cache);
    list_init(&r->ready);
    list_init(&r->line);
    list_init(&r->hurry);
    timer_init(&r->soon, soon_fire);
    timer_init(&r->next_burst, next_burst_fire);
    r->burst_from_us = INT64_MIN / 2;
    return r;
}

static void list_forget(struct list *queries)
{
    struct list *first;

    while ((first = list_first(queries)) != NULL) {
        dns_cancel(CONTAINER_OF(first, struct dns_query, link));
    }
}

void dns_resolver_close(struct dns_resolver *r, void (*on_closed)(void *arg), void *arg)
{
    struct list *first;
    struct dns_flight *f;

    ASSERT(!r->calling);
    wheel_disarm(io_wheel(r->io), &r->soon);
    wheel_disarm(io_wheel(r->io), &r->next_burst);
    list_forget(&r->ready);
    list_splice(&r->line, &r->hurry);
    while ((first = list_first(&r->line)) != NULL) {
        struct flight *flight = CONTAINER_OF(first, struct flight, f.link);

        list_remove(first);
        list_forget(&flight->entry->waiters);
        flight_free(flight);
    }
    dns_transport_close(r->transport, on_closed, arg);
    while ((f = dns_transport_take(r->transport)) != NULL) {
        struct flight *flight = CONTAINER_OF(f, struct flight, f);

        list_forget(&flight->entry->waiters);
        dns_answer_unref(f->answer);
        flight_free(flight);
    }
    dns_cache_fini(&r->cache);
    mem_free(r);
}

void dns_ask(struct dns_resolver *r, struct dns_query *q, struct slice name, enum dns_type type,
             void (*on_answer)(struct dns_query *q, struct dns_answer *answer))
{
    struct dns_answer *answer;
    struct dns_cache_entry *entry;
    struct flight *flight;
    bool ask;

    r->stats.asked++;
    list_init(&q->link);
    q->resolver = r;
    q->on_answer = on_answer;
    q->answer = NULL;
    q->entry = NULL;
    if (name.len > DNS_NAME_MAX) {
        q->ttl_s = 0;
        ready_put(r, q, dns_answer_new(DNS_NXDOMAIN, type, name, SLICE("the name is too long")));
        return;
    }
    answer = dns_cache_get(&r->cache, name, type, io_now_us(r->io), &q->ttl_s);
    if (answer != NULL) {
        ready_put(r, q, answer);
        return;
    }
    entry = dns_cache_open(&r->cache, name, type, &ask);
    list_append(&entry->waiters, &q->link);
    q->entry = entry;
    if (!ask) {
        r->stats.joined++;
        return;
    }
    flight = mem_zalloc(sizeof(*flight));
    flight->entry = entry;
    entry->flight = flight;
    flight->ttl_s = UINT32_MAX;
    flight->f.name = entry->name;
    flight->f.type = type;
    list_append(&r->line, &flight->f.link);
    r->line_len++;
    line_send(r);
}

struct dns_answer *dns_cached(struct dns_resolver *r, struct slice name, enum dns_type type)
{
    uint32_t ttl_s;

    return name.len <= DNS_NAME_MAX ? dns_cache_get(&r->cache, name, type, io_now_us(r->io), &ttl_s)
                                    : NULL;
}

void dns_hurry(struct dns_query *q)
{
    struct flight *flight = q->entry != NULL ? q->entry->flight : NULL;

    if (flight != NULL && !flight->urgent) {
        flight->urgent = true;
        if (!flight->sent) {
            list_remove(&flight->f.link);
            list_append(&q->resolver->hurry, &flight->f.link);
            line_send(q->resolver);
        }
    }
}

void dns_cancel(struct dns_query *q)
{
    if (q->resolver != NULL) {
        list_remove(&q->link);
        q->entry = NULL;
        dns_answer_unref(q->answer);
        q->answer = NULL;
        q->resolver = NULL;
    }
}

struct io *dns_resolver_io(struct dns_resolver *r)
{
    return r->io;
}

void dns_resolver_stats(const struct dns_resolver *r, struct dns_stats *stats)
{
    *stats = r->stats;
    stats->hits = r->cache.hits;
    stats->stales = r->cache.stales;
    stats->inflight = dns_transport_inflight(r->transport);
    stats->queued = r->line_len;
    stats->entries = r->cache.map.count;
}
