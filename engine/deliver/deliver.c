/*
 * deliver.c - from claimed jobs to outcomes: what one worker does.
 */
#include "engine/deliver/deliver.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/base/panic.h"
#include "engine/deliver/conn.h"
#include "engine/deliver/core.h"
#include "engine/deliver/destination.h"
#include "engine/deliver/intake.h"
#include "engine/deliver/letters.h"
#include "engine/deliver/local.h"
#include "engine/deliver/obey.h"
#include "engine/deliver/outcome.h"
#include "engine/deliver/pump.h"
#include "engine/deliver/schedule.h"
#include "engine/deliver/suppression.h"
#include "engine/deliver/transaction.h"

#include <stdlib.h>

static const int64_t second_us = 1000000;
static const int64_t reap_every_us = 1000000;
static const int64_t queue_drain_us = INT64_C(5) * 1000000;

/* ---- the queue speaks ---- */

static void on_up(void *ctx)
{
    struct deliver *d = ctx;

    d->up = true;
    d->claim_not_before_us = 0;
    letters_resume(d);
    queue_discover(d->queue);
}

static void on_down(void *ctx)
{
    struct deliver *d = ctx;

    d->up = false;
}

static void on_list(void *ctx, struct slice name)
{
    intake_list(ctx, name);
}

static void on_record(void *ctx, size_t want, const struct job_record *record)
{
    intake_record(ctx, want, record);
}

static void on_claimed(void *ctx, int err, const struct queue_got *got, size_t count)
{
    intake_claimed(ctx, err, got, count);
}

static void on_lost(void *ctx, struct queue_hold *hold)
{
    struct deliver *d = ctx;
    struct job *j = CONTAINER_OF(hold, struct job, hold);

    j->held = false;
    j->lost = true;
    if (j->path != NULL && !j->sending && !list_empty(&j->link) && j->stored != NULL) {
        path_drop(j->path, j);
        (void)outcome_expire(d, j); /* frees it: it is lost */
    }
    /* Elsewhere it is noticed at its next step. */
}

static void on_orders(void *ctx)
{
    intake_reprieve(ctx);
    obey_all(ctx);
}

static enum sweep_decision on_sweep(void *ctx, const struct sweep_place *place,
                                    const struct job_record *record)
{
    return obey_sweep(ctx, place, record);
}

static void on_swept(void *ctx, const struct sweep_place *place, const struct job_record *record)
{
    obey_swept(ctx, place, record);
}

static void deliver_free(struct deliver *d);

static void on_queue_closed(void *ctx)
{
    struct deliver *d = ctx;

    d->queue = NULL;
    deliver_part_closed(d);
}

static const struct queue_ops queue_ops = {
    .on_up = on_up,
    .on_down = on_down,
    .on_list = on_list,
    .on_record = on_record,
    .on_claimed = on_claimed,
    .on_lost = on_lost,
    .on_closed = on_queue_closed,
    .on_orders = on_orders,
    .on_sweep = on_sweep,
    .on_swept = on_swept,
};

/* ---- lanes ---- */

void path_add(struct deliver *d, struct path *p, struct job *j)
{
    if (d->draining) {
        outcome_return(d, j);
        return;
    }
    if (obey(d, j, slice_cstr(p->site->key))) {
        return;
    }
    if (p->waiting[job_lane(j)] >= path_capacity(p, deliver_now(d))) {
        site_overflow(p->site, job_lane(j), deliver_now(d));
        outcome_park(d, j, slice_cstr(p->site->key));
        return;
    }
    site_takes(p->site, job_lane(j));
    path_put(p, j);
    path_wake(p);
}

/* ---- life ---- */

static void reap_fired(struct timer *t, int64_t now_us)
{
    struct deliver *d = CONTAINER_OF(t, struct deliver, reap_timer);

    site_reap(d, now_us);
    wheel_arm(io_wheel(d->o.io), t, now_us + reap_every_us);
}

void deliver_cut(struct deliver *d)
{
    if (d->conn_count == 0) {
        return;
    }
    log_warn("%zu connections did not end in time and are cut", d->conn_count);
    LIST_EACH_SAFE (link, &d->conns) {
        conn_abort(CONTAINER_OF(link, struct conn, link));
    }
}

/* The tick that follows does the work. */
static void cull_fired(struct timer *t, int64_t now_us)
{
    (void)t;
    (void)now_us;
}

static void drain_fired(struct timer *t, int64_t now_us)
{
    (void)now_us;
    deliver_cut(CONTAINER_OF(t, struct deliver, drain_timer));
}

static bool needs_dns(const struct conf *conf)
{
    return conf->sink.address.host == NULL || conf->sink.dns;
}

static void put_servers(struct buf *b, const struct conf *conf)
{
    for (size_t i = 0; i < conf->dns_servers.count; i++) {
        const struct conf_endpoint *e = &conf->dns_servers.items[i];
        bool v6 = slice_find(slice_cstr(e->host), ':') < slice_cstr(e->host).len;
        buf_printf(b, "%s%s%s%s:%u", i > 0 ? "," : "", v6 ? "[" : "", e->host, v6 ? "]" : "",
                   e->port);
    }
    buf_terminate(b);
}

static enum mx_family mx_family_of(const struct conf *conf)
{
    return conf->dns_families == CONF_FAMILIES_IPV4   ? MX_V4_ONLY
           : conf->dns_families == CONF_FAMILIES_IPV6 ? MX_V6_ONLY
                                                      : MX_BOTH;
}

/* An MX by one of our names, or one that a source gives in EHLO, would be ourselves. */
static void names_set(struct deliver *d)
{
    const struct conf *conf = d->conf;
    struct slice *names = mem_array(1 + conf->sources.count, sizeof(*names));
    size_t count = 0;

    names[count++] = slice_cstr(conf->hostname);
    for (size_t i = 0; i < conf->sources.count; i++) {
        names[count++] = slice_cstr(conf->sources.items[i].ehlo);
    }
    if (d->finder != NULL) {
        mx_finder_self(d->finder, names, count);
    }
    mem_free(d->self);
    d->self = names;
    d->self_count = count;
}

static int open_dns(struct deliver *d, struct buf *why)
{
    struct buf servers = BUF_EMPTY;
    struct mx_finder_options finder = {.mx = {.family = mx_family_of(d->conf)}};

    put_servers(&servers, d->conf);
    struct dns_resolver_options options = {.servers = servers.len > 0 ? servers.ptr : NULL};
    d->resolver = dns_resolver_new(d->o.io, &options, why);
    buf_fini(&servers);
    if (d->resolver == NULL) {
        return -1;
    }
    d->open_parts++;
    finder.mx.allow_loopback = d->conf->sink.address.host != NULL;
    finder.mx.refuse_literals = !d->conf->dns_literals;
    d->finder = mx_finder_new(d->resolver, &finder);
    names_set(d);
    return 0;
}

static void init_lists(struct deliver *d)
{
    map_init(&d->lists);
    map_init(&d->domains);
    map_init(&d->letters);
    map_init(&d->sites);
    map_init(&d->windows);
    map_init(&d->zones);
    map_init(&d->shelves);
    map_init(&d->local_troubles);
    list_init(&d->roomless);
    list_init(&d->list_order);
    list_init(&d->doomed);
    list_init(&d->domain_order);
    list_init(&d->letter_order);
    list_init(&d->unchecked);
    list_init(&d->checks);
    list_init(&d->runnable);
    list_init(&d->idle_paths);
    list_init(&d->unflushed);
    list_init(&d->outgoing);
    list_init(&d->idle_conns);
    list_init(&d->conns);
    list_init(&d->transactions);
    timer_init(&d->reap_timer, reap_fired);
    timer_init(&d->drain_timer, drain_fired);
    timer_init(&d->cull_timer, cull_fired);
}

static void open_tls(struct deliver *d)
{
    struct tls_client_options options = {0};

    d->tls_sessions = tls_sessions_new(0);
    options.sessions = d->tls_sessions;
    d->tls_any = tls_context_new_client(&options);
    if (d->o.trust != NULL) {
        options.trust = d->o.trust;
        d->tls_verifying = tls_context_new_client(&options);
    }
}

static void on_journal_switch(void *ctx)
{
    conn_note_all(ctx);
}

static struct journal *open_journal(struct deliver *d)
{
    struct journal_options options = {
        .directory = d->o.journal, .worker = d->o.worker, .on_switch = on_journal_switch, .ctx = d};

    return d->o.journal != NULL ? journal_new(&options) : NULL;
}

static void clocks_read(struct deliver *d)
{
    d->wall_offset_us = clock_wall_us() - deliver_now(d);
    if (!node_clock(d->o.node, &d->queue_offset_us, &d->expiry_offset_us)) {
        d->queue_offset_us = d->wall_offset_us;
        d->expiry_offset_us = d->wall_offset_us;
    }
}

struct deliver *deliver_new(const struct deliver_options *options, struct buf *why)
{
    struct deliver *d = mem_zalloc(sizeof(*d));

    d->o = *options;
    d->conf = conf_ref(options->conf);
    d->conns_max = DELIVER_CONNECTIONS_MAX;
    rng_seed_os(&d->rng);
    init_lists(d);
    clocks_read(d);
    d->rate_from_us = deliver_now(d);
    open_tls(d);
    if (needs_dns(d->conf) || d->conf->routes.count > 0) {
        if (open_dns(d, why) != 0) {
            deliver_free(d);
            return NULL;
        }
    }
    struct queue_options queue = {
        .journal = open_journal(d),
        .io = d->o.io,
        .url = d->o.url,
        .prefix = slice_cstr(d->conf->queue.prefix),
        .node = d->o.node,
        .worker = d->o.worker,
        .ops = &queue_ops,
        .ctx = d,
    };
    d->queue = queue_new(&queue, why);
    if (d->queue == NULL) {
        journal_free(queue.journal, false);
        deliver_free(d);
        return NULL;
    }
    d->open_parts++;
    suppression_open(d);
    wheel_arm(io_wheel(d->o.io), &d->reap_timer, deliver_now(d) + reap_every_us);
    return d;
}

static void deliver_free(struct deliver *d)
{
    site_free_all(d);
    letters_free(d);
    intake_free(d);
    transaction_free_spare(d);
    map_fini(&d->lists);
    map_fini(&d->domains);
    map_fini(&d->letters);
    map_fini(&d->sites);
    schedule_free(d);
    map_fini(&d->windows);
    map_fini(&d->zones);
    map_fini(&d->shelves);
    local_free(d);
    mem_free(d->self);
    tls_context_free(d->tls_any);
    tls_context_free(d->tls_verifying);
    tls_sessions_free(d->tls_sessions);
    buf_fini(&d->scratch);
    buf_fini(&d->record);
    buf_fini(&d->event_lines);
    conf_unref((struct conf *)d->conf);
    mem_free(d);
}

/* ---- ending ---- */

static void on_resolver_closed(void *arg)
{
    deliver_part_closed(arg);
}

/* Ends in steps, each when the one before is over: connections, queue and resolver, memory. */
void deliver_part_closed(struct deliver *d)
{
    d->open_parts--;
    if (!d->draining) {
        return;
    }
    if (d->conn_count == 0 && !d->closing) {
        d->closing = true;
        wheel_disarm(io_wheel(d->o.io), &d->drain_timer);
        outcome_flush_events(d);
        if (d->resolver != NULL) {
            mx_finder_free(d->finder);
            dns_resolver_close(d->resolver, on_resolver_closed, d);
        }
        suppress_close(d->suppress);
        queue_close(d->queue, queue_drain_us);
        return;
    }
    if (d->closing && d->open_parts == 0) {
        void (*on_closed)(void *ctx) = d->o.on_closed;
        void *ctx = d->o.ctx;
        deliver_free(d);
        on_closed(ctx);
    }
}

void deliver_close(struct deliver *d, int64_t drain_us)
{
    ASSERT(!d->draining);
    d->draining = true;
    wheel_disarm(io_wheel(d->o.io), &d->reap_timer);
    wheel_disarm(io_wheel(d->o.io), &d->cull_timer);
    destination_close(d);
    MAP_EACH (node, &d->sites) {
        route_close(CONTAINER_OF(node, struct site, node));
    }
    suppression_return(d);
    letters_return(d);
    pump_return_all(d);
    wheel_arm(io_wheel(d->o.io), &d->drain_timer, deliver_now(d) + drain_us);
    d->open_parts++; /* this call: so that a drain without connections ends below */
    LIST_EACH_SAFE (link, &d->conns) {
        conn_quit(CONTAINER_OF(link, struct conn, link));
    }
    deliver_part_closed(d);
}

/* ---- work ---- */

void deliver_take(struct deliver *d, struct mailbox_node *parcels)
{
    while (parcels != NULL) {
        struct job *j = CONTAINER_OF(parcels, struct job, parcel);
        parcels = parcels->next;
        if (d->closing || j->lost || !queue_hold_take(d->queue, &j->hold)) {
            /* The queue is closed, and the end of the node returns it; or it is not ours any
             * more; or this worker has the job already: somebody doubled it in Redis. */
            job_free(j);
            continue;
        }
        j->held = true;
        deliver_job_in(d, j);
        if (d->draining) {
            outcome_return(d, j);
        } else {
            destination_route(d, j);
        }
    }
}

void deliver_configure(struct deliver *d, const struct conf *conf)
{
    const struct conf *old = d->conf;

    d->conf = conf_ref(conf);
    names_set(d);
    site_configure_all(d);
    conf_unref((struct conf *)old);
}

void deliver_bell(struct deliver *d, struct slice list)
{
    if (!d->draining) {
        queue_bell(d->queue, list);
    }
}

void deliver_count(struct deliver *d)
{
    d->rate_count++;
}

static void rate_roll(struct deliver *d)
{
    int64_t now_us = deliver_now(d);

    if (now_us - d->rate_from_us >= second_us / 4) {
        d->rate_last = d->rate_count * (uint64_t)second_us / (uint64_t)(now_us - d->rate_from_us);
        d->rate_count = 0;
        d->rate_from_us = now_us;
    }
}

/* Writes what connections have to say, once the journal has it.  A process that was stopped, or
 * cut off from Redis, for longer than its lease says nothing more about its letters: others
 * have them by now.  It may wake up in the middle of a tick, so the clock is read anew. */
static void flush(struct deliver *d)
{
    bool ours = node_owns(d->o.node, clock_mono_us());
    struct list *link;

    LIST_EACH_SAFE (at, &d->unflushed) {
        struct conn *c = CONTAINER_OF(at, struct conn, flush_link);
        if (ours || list_empty(&c->sending)) {
            conn_gather(c);
        } else {
            conn_abort(c);
        }
    }
    if (d->queue != NULL) {
        queue_note_flush(d->queue);
    }
    while ((link = list_first(&d->outgoing)) != NULL) {
        conn_write(CONTAINER_OF(link, struct conn, flush_link));
    }
}

int64_t deliver_tick(struct deliver *d)
{
    clocks_read(d);
    rate_roll(d);
    pump_runnable(d);
    intake_claim(d);
    suppression_flush(d);
    if (d->event_lines.len > 0) {
        outcome_flush_events(d); /* first: what the journal knows is in the file */
    }
    flush(d);
    return list_empty(&d->runnable) && list_empty(&d->unflushed) ? -1 : 0;
}

const struct deliver_stats *deliver_stats(const struct deliver *d)
{
    return &d->stats;
}
