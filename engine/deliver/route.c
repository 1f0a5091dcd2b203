/*
 * route.c - the hosts of a route, which names them.
 *
 * A smarthost is an address or a name with A and AAAA records; no MX is asked for it.  The
 * order of the list is the order of preference.
 */
#include "engine/base/mem.h"
#include "engine/deliver/core.h"
#include "engine/deliver/destination.h"
#include "engine/deliver/outcome.h"

#include <string.h>

enum { WAITING_MAX = 256 }; /* jobs for one route in memory while its hosts are looked up */

static const int64_t fail_wait_us = INT64_C(60) * 1000000;
static const int64_t full_wait_us = INT64_C(30) * 1000000;

struct route_question {
    struct dns_query query;
    struct route_lookup *lookup;
    size_t host; /* in route->hosts */
};

struct route_waiter {
    struct list link;
    struct job *job;
    const struct conf_source *source;
};

struct route_lookup {
    struct deliver *d;
    struct site *site;
    struct hosts fresh;
    struct list waiting; /* struct route_waiter */
    uint32_t waiting_count;
    size_t pending;
    uint32_t ttl_s;
    size_t question_count;
    struct route_question question[]; /* A and AAAA of each host that is a name */
};

static void add_endpoint(struct hosts *set, const struct conf_endpoint *e, size_t preference)
{
    struct sockaddr_storage address;
    socklen_t len = host_endpoint(e, &address);

    hosts_add(set, slice_cstr(e->host), (const struct sockaddr *)&address, len,
              (uint32_t)preference);
}

bool route_hosts_ready(struct deliver *d, struct site *s)
{
    struct hosts fresh;

    (void)d;
    if (s->lookup != NULL) {
        return false;
    }
    for (size_t i = 0; i < s->route->hosts.count; i++) {
        if (!s->route->hosts.items[i].is_address) {
            return false;
        }
    }
    hosts_init(&fresh);
    for (size_t i = 0; i < s->route->hosts.count; i++) {
        add_endpoint(&fresh, &s->route->hosts.items[i], i);
    }
    site_set_hosts(s, &fresh, INT64_MAX);
    return true;
}

static void lookup_free(struct route_lookup *l)
{
    l->site->lookup = NULL;
    hosts_fini(&l->fresh);
    mem_free(l);
}

static void lookup_done(struct route_lookup *l)
{
    struct deliver *d = l->d;
    struct site *s = l->site;
    bool found = l->fresh.count > 0;
    struct list waiting;

    if (found) {
        site_set_hosts(s, &l->fresh, deliver_now(d) + (int64_t)l->ttl_s * 1000000);
    } else {
        outcome_site(d, slice_cstr(s->key), false, SMTP_STAGE_DNS, SMTP_FAILURE_CONFIG,
                     slice_cstr(s->route->hosts.items[0].host), SLICE_NONE,
                     SLICE("no host of the route has an address"));
    }
    list_init(&waiting);
    list_splice(&waiting, &l->waiting);
    d->resolving -= l->waiting_count;
    lookup_free(l);
    LIST_EACH_SAFE (link, &waiting) {
        struct route_waiter *w = CONTAINER_OF(link, struct route_waiter, link);
        struct job *j = w->job;
        const struct conf_source *source = w->source;
        list_remove(&w->link);
        mem_free(w);
        if (found || s->hosts.count > 0) {
            destination_arrive(d, j, s, source);
        } else {
            outcome_postpone(d, j, fail_wait_us);
        }
    }
}

static void add_answer(struct route_lookup *l, size_t host, const struct dns_answer *answer)
{
    for (size_t i = 0; i < answer->count; i++) {
        struct mx_address address = {.bytes_count = answer->record[i].family_bytes};
        struct sockaddr_storage sa;
        memcpy(address.bytes, answer->record[i].address, sizeof(address.bytes));
        const struct conf_endpoint *e = &l->site->route->hosts.items[host];
        socklen_t len = mx_address_sockaddr(&address, e->port, &sa);
        hosts_add(&l->fresh, slice_cstr(e->host), (const struct sockaddr *)&sa, len,
                  (uint32_t)host);
    }
    if (answer->count > 0 && answer->ttl_s < l->ttl_s) {
        l->ttl_s = answer->ttl_s;
    }
}

static void on_answer(struct dns_query *q, struct dns_answer *answer)
{
    struct route_question *question = CONTAINER_OF(q, struct route_question, query);
    struct route_lookup *l = question->lookup;

    add_answer(l, question->host, answer);
    l->pending--;
    if (l->pending == 0) {
        lookup_done(l);
    }
}

static bool family_wanted(const struct deliver *d, enum dns_type type)
{
    return d->conf->dns_families != (type == DNS_A ? CONF_FAMILIES_IPV6 : CONF_FAMILIES_IPV4);
}

static void lookup_start(struct deliver *d, struct site *s)
{
    static const enum dns_type types[] = {DNS_A, DNS_AAAA};
    size_t hosts = s->route->hosts.count;
    struct route_lookup *l = mem_zalloc(sizeof(*l) + 2 * hosts * sizeof(struct route_question));

    l->d = d;
    l->site = s;
    l->ttl_s = 3600;
    hosts_init(&l->fresh);
    list_init(&l->waiting);
    s->lookup = l;
    for (size_t i = 0; i < hosts; i++) {
        const struct conf_endpoint *e = &s->route->hosts.items[i];
        if (e->is_address) {
            add_endpoint(&l->fresh, e, i);
            continue;
        }
        for (size_t t = 0; t < 2; t++) {
            if (!family_wanted(d, types[t])) {
                continue;
            }
            struct route_question *q = &l->question[l->question_count++];
            q->lookup = l;
            q->host = i;
            l->pending++;
            dns_ask(d->resolver, &q->query, slice_cstr(e->host), types[t], on_answer);
        }
    }
}

void route_hosts_wait(struct deliver *d, struct site *s, struct job *j,
                      const struct conf_source *source)
{
    if (s->lookup == NULL) {
        lookup_start(d, s);
    }
    if (s->lookup->waiting_count == WAITING_MAX) {
        outcome_postpone(d, j, full_wait_us);
        return;
    }
    struct route_waiter *w = mem_zalloc(sizeof(*w));
    w->job = j;
    w->source = source;
    list_append(&s->lookup->waiting, &w->link);
    s->lookup->waiting_count++;
    d->resolving++;
}

void route_close(struct site *s)
{
    struct route_lookup *l = s->lookup;

    if (l == NULL) {
        return;
    }
    for (size_t i = 0; i < l->question_count; i++) {
        dns_cancel(&l->question[i].query);
    }
    LIST_EACH_SAFE (link, &l->waiting) {
        struct route_waiter *w = CONTAINER_OF(link, struct route_waiter, link);
        list_remove(&w->link);
        outcome_return(l->d, w->job);
        mem_free(w);
    }
    l->d->resolving -= l->waiting_count;
    lookup_free(l);
}
