/*
 * names.c - the name servers of the simulated world.
 */
#include "tests/sim/names.h"

#include "engine/base/mem.h"
#include "engine/base/panic.h"
#include "engine/dns/answer.h"
#include "engine/dns/transport.h"
#include "tests/sim/hosts.h"
#include "tests/sim/net.h"
#include "tests/sim/world.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct zone zones[NAMES_ZONES_MAX];
static unsigned zone_count;

/* ---- zones ---- */

static void draw_hosts(struct zone *z, unsigned hosts)
{
    z->mx_count = 1 + (unsigned)draw(NAMES_MX_MAX);
    for (unsigned i = 0; i < z->mx_count; i++) {
        z->host[i] = (unsigned)draw(hosts);
        z->preference[i] = 10 * (1 + (unsigned)draw(3));
    }
}

void names_make(unsigned count, unsigned hosts)
{
    ASSERT(count <= NAMES_ZONES_MAX);
    memset(zones, 0, sizeof(zones));
    zone_count = count;
    for (unsigned i = 0; i < count; i++) {
        struct zone *z = &zones[i];
        z->kind = chance(90) ? ZONE_MX : (enum zone_kind)draw(ZONE_KINDS);
        z->ttl_s = (uint32_t)draw_between(1, 600);
        draw_hosts(z, hosts);
        if (chance(15)) {
            z->fails_from_us = world.now_us + draw_between(0, 200) * 1000000;
            z->fails_until_us = z->fails_from_us + draw_between(1, 300) * 1000000;
            z->never_answers = chance(50);
        }
    }
}

unsigned names_count(void)
{
    return zone_count;
}

struct zone *names_zone(unsigned i)
{
    ASSERT(i < zone_count);
    return &zones[i];
}

void names_change(void)
{
    unsigned i = (unsigned)draw(zone_count);

    if (!names_innocent(i)) { /* those stay as they are */
        trace("zone %u changes", i);
        zones[i].changed = true;
        draw_hosts(&zones[i], hosts_count());
    }
}

void names_heal(void)
{
    for (unsigned i = 0; i < zone_count; i++) {
        zones[i].fails_until_us = 0;
    }
}

bool names_innocent(unsigned zone)
{
    const struct zone *z = names_zone(zone);

    for (unsigned i = 0; i < z->mx_count; i++) {
        /* Host 1 and the first domains are in rules (scene_conf.c), which share hosts. */
        if (!hosts_at(z->host[i])->innocent || z->host[i] == 1 || zone <= 2) {
            return false;
        }
    }
    return z->kind == ZONE_MX && z->fails_until_us == 0 && !z->changed;
}

/* ---- answers ---- */

static struct dns_answer *answer_mx(const struct zone *z, struct slice name)
{
    char *text;
    struct dns_answer *a;

    if (z->kind == ZONE_NXDOMAIN) {
        return dns_answer_new(DNS_NXDOMAIN, DNS_MX, name, SLICE_NONE);
    }
    size_t count = z->kind == ZONE_NULL_MX ? 1 : z->mx_count;
    a = dns_answer_alloc(DNS_FOUND, DNS_MX, count, name.len + count * 40, &text);
    a->name = dns_text_put(&text, name);
    a->ttl_s = z->ttl_s;
    a->count = count;
    for (size_t i = 0; i < z->mx_count && z->kind == ZONE_MX; i++) {
        a->record[i].preference = (uint16_t)z->preference[i];
        a->record[i].data = dns_text_put(&text, slice_cstr(hosts_at(z->host[i])->name));
    }
    return a;
}

static struct dns_answer *answer_a(const struct sim_host *h, struct slice name)
{
    char *text;
    struct dns_answer *a = dns_answer_alloc(DNS_FOUND, DNS_A, 1, name.len, &text);

    a->name = dns_text_put(&text, name);
    a->ttl_s = 300;
    a->count = 1;
    a->record[0].family_bytes = 4;
    inet_pton(AF_INET, h->ip, a->record[0].address);
    return a;
}

static struct dns_answer *answer(struct slice name, enum dns_type type)
{
    unsigned long i = name.len > 2 ? strtoul(name.ptr + (name.ptr[0] == 'd' ? 1 : 2), NULL, 10) : 0;

    if (name.len > 0 && name.ptr[0] == 'd' && i < zone_count) {
        const struct zone *z = &zones[i];
        if (world.now_us >= z->fails_from_us && world.now_us < z->fails_until_us) {
            return dns_answer_new(DNS_TEMPFAIL, type, name, SLICE("SERVFAIL"));
        }
        if (type == DNS_MX) {
            return answer_mx(z, name);
        }
    }
    if (slice_starts(name, SLICE("mx")) && i < hosts_count() && type == DNS_A) {
        return answer_a(hosts_at((unsigned)i), name);
    }
    return dns_answer_new(DNS_NODATA, type, name, SLICE_NONE);
}

/* ---- in place of the transport ---- */

struct dns_transport {
    struct io *io;
    unsigned worker;
    void (*on_done)(void *arg);
    void *arg;
    struct list sent;
    struct list done;
    size_t inflight;
    bool closed;
    void (*on_closed)(void *arg);
    void *closed_arg;
    struct dns_transport *next; /* freed at the end of the world */
};

static struct dns_transport *transports;

struct dns_transport *dns_transport_new(struct io *io, const struct dns_transport_options *options,
                                        struct buf *error)
{
    struct dns_transport *t = mem_zalloc(sizeof(*t));

    (void)error;
    t->io = io;
    t->worker = net_worker_of(io);
    t->on_done = options->on_done;
    t->arg = options->arg;
    list_init(&t->sent);
    list_init(&t->done);
    t->next = transports;
    transports = t;
    return t;
}

static void land(void *ctx, int64_t number)
{
    struct dns_transport *t = ctx;

    if (t->closed) {
        return;
    }
    LIST_EACH_SAFE (link, &t->sent) {
        struct dns_flight *f = CONTAINER_OF(link, struct dns_flight, link);
        if (f->id == (uint16_t)number) {
            f->answer = answer(f->name, f->type);
            list_remove(link);
            list_append(&t->done, link);
            t->inflight--;
        }
    }
    t->on_done(t->arg);
}

void dns_transport_send(struct dns_transport *t, struct dns_flight *f)
{
    int64_t in_us = draw_between(50, chance(10) ? 900000 : 30000);

    f->transport = t;
    f->id = (uint16_t)world_number();
    list_append(&t->sent, &f->link);
    t->inflight++;
    world_at(chance(3) && !hosts_healed() ? draw_between(1, 40) * 1000000 : in_us, WORLD_IN_TICK,
             t->worker, land, t, f->id);
}

size_t dns_transport_inflight(const struct dns_transport *t)
{
    return t->inflight;
}

struct dns_flight *dns_transport_take(struct dns_transport *t)
{
    struct list *first = list_first(&t->done);

    if (first == NULL) {
        return NULL;
    }
    list_remove(first);
    return CONTAINER_OF(first, struct dns_flight, link);
}

static void gone(void *ctx, int64_t arg)
{
    struct dns_transport *t = ctx;

    (void)arg;
    if (t->on_closed != NULL) {
        t->on_closed(t->closed_arg);
    }
}

void dns_transport_close(struct dns_transport *t, void (*on_closed)(void *arg), void *arg)
{
    t->closed = true;
    t->on_closed = on_closed;
    t->closed_arg = arg;
    list_splice(&t->done, &t->sent);
    world_at(draw_between(0, 500), WORLD_IN_TICK, t->worker, gone, t, 0);
}

void names_fini(void)
{
    while (transports != NULL) {
        struct dns_transport *t = transports;
        transports = t->next;
        mem_free(t);
    }
}
