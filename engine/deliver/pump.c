/*
 * pump.c - keeping a path busy.
 *
 * How many connections?  Enough that what waits is sent within PUMP_CLEAR_US, by what a
 * transaction has been taking lately (Little's law): a near server that answers in a
 * millisecond needs one, a far one needs many.  The number at most doubles at a time, and a
 * site that has not answered yet gets a single probe.  When nothing ends for a second, one more
 * is opened: a letter that a server sits on must not hold up those behind it.
 */
#include "engine/deliver/pump.h"

#include "engine/base/log.h"
#include "engine/deliver/conn.h"
#include "engine/deliver/core.h"
#include "engine/deliver/elsewhere.h"
#include "engine/deliver/local.h"
#include "engine/deliver/outcome.h"
#include "engine/deliver/reuse.h"
#include "engine/deliver/transaction.h"

enum {
    PUMP_CLEAR_US = 200 * 1000,
    PUMP_SOON_US = 50 * 1000, /* when a slot is free again, nobody can tell */
    PUMP_STUCK_US = 1000 * 1000,
    EVICT_MAX = 16, /* at a time */
};

void pump_at(struct path *p, int64_t due_us)
{
    struct wheel *w = io_wheel(p->site->d->o.io);

    if (due_us != LIMITER_NO_TIME && (!timer_armed(&p->timer) || due_us < p->timer.due_us)) {
        wheel_arm(w, &p->timer, due_us);
    }
}

/* What waits is held up until then, at the earliest. */
static void held_up(struct path *p, int64_t until_us)
{
    int64_t soon_us = deliver_now(p->site->d) + PUMP_SOON_US;

    pump_at(p, until_us);
    path_block(p, until_us != LIMITER_NO_TIME ? until_us : soon_us);
}

/* True when the limits let the next letter go; otherwise the path's timer is set. */
static bool may_send(struct path *p, struct limiter_scope *row[PATH_SCOPES], int64_t now_us)
{
    struct limiter_verdict v = limiter_send_ask(row, PATH_SCOPES, now_us);

    if (!v.go) {
        /* Asked in earnest as well: that is what tells the buckets that work waits. */
        v = limiter_send(row, PATH_SCOPES, 1, 0, now_us);
        held_up(p, v.until_us);
    }
    return v.go;
}

/* Feeds ready connections; false when the limits stopped it. */
static bool pump_send(struct path *p)
{
    struct deliver *d = p->site->d;
    struct limiter_scope *row[PATH_SCOPES];
    int64_t now_us = deliver_now(d);
    struct list *link;

    path_scopes(p, row);
    while (path_waiting(p) > 0 && (link = list_first(&p->ready)) != NULL) {
        struct limiter_verdict v = limiter_send_ask(row, PATH_SCOPES, now_us);
        if (!v.go) {
            return may_send(p, row, now_us);
        }
        struct transaction *t = transaction_take(p);
        if (t == NULL) {
            return true;
        }
        v = limiter_send(row, PATH_SCOPES, 1, t->copy.raw.len, now_us);
        if (!v.go) {
            held_up(p, v.until_us);
            transaction_undo(t, p);
            return false;
        }
        transaction_fill(t, p);
        conn_submit(CONTAINER_OF(link, struct conn, ready_link), t);
    }
    if (path_waiting(p) > 0 && list_empty(&p->ready)) {
        struct limiter_verdict v = limiter_send_ask(row, PATH_SCOPES, now_us);
        if (!v.go) {
            path_block(p, v.until_us != LIMITER_NO_TIME ? v.until_us : now_us + PUMP_SOON_US);
        }
        return v.go || p->connections == 0;
    }
    return true;
}

/* Letters wait and none has ended for a while: those on the wire are stuck, and what they have
 * taken lately says nothing. */
static bool stuck(const struct path *p, int64_t now_us)
{
    return p->connections > 0 && p->opening == 0 && now_us - p->moved_us >= PUMP_STUCK_US;
}

static uint32_t connections_wanted(const struct path *p)
{
    uint64_t wanted =
        ((uint64_t)path_waiting(p) * (uint64_t)p->txn_us + PUMP_CLEAR_US - 1) / PUMP_CLEAR_US;
    uint64_t most = (uint64_t)p->connections * 2 + 1;

    if (!p->site->proven || wanted == 0) {
        return 1;
    }
    if (wanted <= p->connections && stuck(p, deliver_now(p->site->d))) {
        return p->connections + 1;
    }
    return (uint32_t)(wanted < most ? wanted : most);
}

/* Tells idle connections to go, one for each path that waits for a place. */
static void make_room(struct deliver *d)
{
    uint32_t wanted = 0;

    LIST_EACH (link, &d->roomless) {
        if (++wanted == EVICT_MAX) {
            break;
        }
    }
    while (d->evicting < wanted && conn_evict(d)) {}
}

/* A place among all connections of the worker.  When there is none the path waits: whoever
 * leaves one wakes it (conn.c). */
static bool room_for_one(struct path *p)
{
    struct deliver *d = p->site->d;

    if (d->conn_count < d->conns_max) {
        return true;
    }
    if (list_empty(&p->room_link)) {
        list_append(&d->roomless, &p->room_link);
    }
    pump_at(p, deliver_now(d) + PUMP_STUCK_US); /* whoever was woken may not have taken it */
    return false;
}

void pump_place_free(struct deliver *d)
{
    bool taken = false;

    while (!taken && !list_empty(&d->roomless)) {
        struct list *first = list_first(&d->roomless);
        struct path *p = CONTAINER_OF(first, struct path, room_link);
        list_remove(first);
        path_wake(p);
        taken = path_waiting(p) > 0;
    }
}

/* Nothing of our own stands in the way of a new connection; else the path is woken later. */
static bool may_open(struct path *p, int64_t now_us)
{
    int64_t local_us = local_until_us(p->site->d, p->source);

    if (local_us > now_us) {
        held_up(p, local_us);
        return false;
    }
    return room_for_one(p);
}

static void pump_connect(struct path *p)
{
    struct site *s = p->site;
    struct limiter_scope *row[PATH_SCOPES];
    int64_t now_us = deliver_now(s->d), up_us;
    bool bulk_only = p->waiting[LANE_HIGH] == 0 && p->waiting[LANE_NORMAL] == 0;

    path_scopes(p, row);
    while (path_waiting(p) > 0 && p->connections - p->second_conns < connections_wanted(p)) {
        if (!s->proven && p->opening > 0) {
            return;
        }
        struct host *h = hosts_pick(&s->hosts, &p->want, now_us, &up_us);
        if (h == NULL) {
            held_up(p, up_us);
            return;
        }
        bool reuse = reuse_offered(p, h);
        if (!reuse && !may_open(p, now_us)) {
            return;
        }
        struct limiter_verdict v =
            limiter_connect(row, PATH_SCOPES, &h->connections, bulk_only ? 1 : 0, now_us);
        if (!v.go) {
            held_up(p, v.until_us);
            return;
        }
        if (!reuse) {
            conn_open(p, h, false);
        } else {
            reuse_take(p, h);
            if (!pump_send(p)) {
                return;
            }
        }
    }
}

/* Sends what a path cannot use soon into its bin, the newest first. */
static void pump_park(struct path *p, uint32_t keep)
{
    struct deliver *d = p->site->d;

    for (int class = 0; class < LANE_CLASSES; class ++) {
        while (p->waiting[class] > keep) {
            struct job *j = CONTAINER_OF(p->lane[class].prev, struct job, link);
            path_drop(p, j);
            outcome_park(d, j, slice_cstr(p->site->key));
        }
    }
}

void pump_path(struct path *p)
{
    struct deliver *d = p->site->d;
    int64_t now_us = deliver_now(d), up_us;

    path_unblock(p);
    if (!d->draining) {
        elsewhere_pump(p);
    }
    if (d->draining || d->doubt || path_waiting(p) == 0) {
        return;
    }
    if (hosts_all_down(&p->site->hosts, &p->want, now_us, &up_us)) {
        pump_park(p, 0);
        return;
    }
    if (p->connections == 0 && local_until_us(d, p->source) > now_us) {
        pump_park(p, 0); /* another source may take it meanwhile */
        pump_at(p, local_until_us(d, p->source));
        return;
    }
    if (pump_send(p)) {
        pump_connect(p);
    }
    if (path_waiting(p) > 0 && p->connections > 0) {
        pump_at(p, p->moved_us + PUMP_STUCK_US > now_us ? p->moved_us + PUMP_STUCK_US
                                                        : now_us + PUMP_STUCK_US);
    }
    if (path_waiting(p) > 0) {
        if (!p->blocked && p->opening > 0 && p->opening == p->connections) {
            path_block(p, 0); /* nobody has answered yet */
        }
        uint32_t keep = path_capacity(p, now_us);
        pump_park(p, keep * 2);
    }
}

/* Who held back while the lease was in doubt goes on when it is sure again; the queue ticks often
 * enough for that. */
static void look_at_lease(struct deliver *d)
{
    bool doubted = d->doubt;

    d->doubt = !d->draining && !queue_may_send(d->queue);
    if (doubted && !d->doubt) {
        MAP_EACH (node, &d->sites) {
            site_wake(CONTAINER_OF(node, struct site, node));
        }
    }
}

void pump_runnable(struct deliver *d)
{
    struct list now;

    look_at_lease(d);
    /* Paths woken meanwhile are looked at in this tick as well, but only once more: a path
     * whose every connection fails at once must not spin. */
    for (int round = 0; round < 2; round++) {
        list_init(&now);
        list_splice(&now, &d->runnable);
        LIST_EACH_SAFE (link, &now) {
            list_remove(link);
            pump_path(CONTAINER_OF(link, struct path, run_link));
        }
    }
    make_room(d);
}

/* ---- the health of a site ---- */

void pump_host_failed(struct site *s, const struct host *h, enum smtp_stage stage,
                      enum smtp_failure failure, struct slice text)
{
    struct deliver *d = s->d;
    int64_t up_us;

    if (!hosts_all_down(&s->hosts, NULL, deliver_now(d), &up_us)) {
        return;
    }
    s->proven = false;
    if (!s->down) {
        s->down = true;
        log_warn("site %s is down, next try in %lld s: %s at %s: " SLICE_FMT, s->key,
                 (long long)((up_us - deliver_now(d)) / 1000000), h->ip, smtp_stage_name(stage),
                 SLICE_ARG(text));
        outcome_site(d, slice_cstr(s->key), false, stage, failure, slice_cstr(h->name),
                     slice_cstr(h->ip), text);
    }
    LIST_EACH (link, &s->paths) {
        struct path *p = CONTAINER_OF(link, struct path, site_link);
        pump_park(p, 0);
        pump_at(p, up_us);
    }
}

void pump_host_works(struct site *s, const struct host *h)
{
    s->proven = true;
    if (s->down) {
        s->down = false;
        log_info("site %s is up again, by %s [%s]", s->key, h->name, h->ip);
        outcome_site(s->d, slice_cstr(s->key), true, SMTP_STAGE_EHLO, SMTP_FAILURE_NONE,
                     slice_cstr(h->name), slice_cstr(h->ip), SLICE("works again"));
    }
}

void pump_return_all(struct deliver *d)
{
    MAP_EACH (node, &d->sites) {
        struct site *s = CONTAINER_OF(node, struct site, node);
        LIST_EACH (link, &s->paths) {
            struct path *p = CONTAINER_OF(link, struct path, site_link);
            elsewhere_end(p);
            for (int class = LANE_CLASSES - 1; class >= 0; class --) {
                while (p->waiting[class] > 0) {
                    struct job *j = CONTAINER_OF(p->lane[class].prev, struct job, link);
                    path_drop(p, j);
                    outcome_return(d, j);
                }
            }
        }
    }
}
