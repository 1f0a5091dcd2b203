/*
 * obey.c - orders and expiry, applied to jobs.
 */
#include "engine/deliver/obey.h"

#include "engine/base/panic.h"
#include "engine/deliver/conn.h"
#include "engine/deliver/core.h"
#include "engine/deliver/destination.h"
#include "engine/deliver/outcome.h"

/* ---- in memory ---- */

/* Paused lists are not claimed from, so there a job can wait where it came from.  Anywhere else it
 * would stand in the way of those behind it. */
static void pause_job(struct deliver *d, struct job *j, const struct order *order,
                      struct slice site)
{
    if (!order->whole_lists) {
        outcome_set_aside(d, j, order->id);
    } else if (order->site.len > 0) {
        outcome_park(d, j, site);
    } else {
        outcome_return(d, j);
    }
}

bool obey(struct deliver *d, struct job *j, struct slice site)
{
    const struct orders *orders = queue_orders(d->queue);
    const struct order *order;

    if (outcome_expire(d, j)) {
        return true;
    }
    j->orders_change = orders->change;
    order = orders->count > 0 ? orders_match(orders, &j->record, site, deliver_now(d)) : NULL;
    if (order == NULL) {
        return false;
    }
    switch (order->kind) {
    case ORDER_CANCEL:
        outcome_cancel(d, j, order->id);
        break;
    case ORDER_HOLD:
        outcome_set_aside(d, j, order->id);
        break;
    case ORDER_PAUSE:
        pause_job(d, j, order, site);
        break;
    case ORDER_RETRY:
    case ORDER_LIFTED:
        PANIC("an order of kind %d says what becomes of a job", (int)order->kind);
    }
    return true;
}

bool obey_fresh(const struct deliver *d, const struct job *j)
{
    return j->orders_change == queue_orders(d->queue)->change;
}

static void obey_path(struct deliver *d, struct path *p)
{
    struct slice site = slice_cstr(p->site->key);

    for (int class = 0; class < LANE_CLASSES; class ++) {
        LIST_EACH_SAFE (link, &p->lane[class]) {
            struct job *j = CONTAINER_OF(link, struct job, link);
            const struct orders *orders = queue_orders(d->queue);
            if (orders_match(orders, &j->record, site, deliver_now(d)) != NULL) {
                path_drop(p, j);
                (void)obey(d, j, site);
            }
        }
    }
    path_rest(p);
}

void obey_all(struct deliver *d)
{
    if (queue_orders(d->queue)->count == 0) {
        return;
    }
    LIST_EACH_SAFE (link, &d->conns) {
        conn_withdraw(CONTAINER_OF(link, struct conn, link));
    }
    MAP_EACH (node, &d->sites) {
        struct site *s = CONTAINER_OF(node, struct site, node);
        LIST_EACH (link, &s->paths) {
            obey_path(d, CONTAINER_OF(link, struct path, site_link));
        }
    }
}

/* ---- what nobody claims ---- */

/* The site of a record: its bin says it, else what is known without asking anybody. */
static struct slice swept_site(struct deliver *d, const struct sweep_place *place,
                               const struct job_record *r, char space[SITE_KEY_MAX])
{
    return place->where == SWEEP_LIST && place->list.bin ? place->list.site
                                                         : destination_guess(d, r, space);
}

enum sweep_decision obey_sweep(struct deliver *d, const struct sweep_place *place,
                               const struct job_record *record)
{
    const struct orders *orders = queue_orders(d->queue);
    int64_t now_us = deliver_now(d), wall_us = deliver_queue_wall(d);
    char space[SITE_KEY_MAX];

    if (deliver_expiry_wall(d) >= record_expires_wall_us(record, d->conf->expires)) {
        return SWEEP_TAKE;
    }
    if (orders->count == 0) {
        return SWEEP_LEAVE;
    }
    struct slice site = swept_site(d, place, record, space);
    const struct order *order = orders_match(orders, record, site, now_us);
    if (order != NULL && order->kind == ORDER_CANCEL) {
        return SWEEP_TAKE;
    }
    switch (place->where) {
    case SWEEP_HELD:
        return SWEEP_LEAVE;
    case SWEEP_DUE:
        /* A pause leaves it where it is, with its time: it is met again when it is due. */
        return record->not_before_ms * 1000 <= wall_us &&
                       orders_retry(orders, record, site, now_us) != NULL
                   ? SWEEP_RETRY
                   : SWEEP_LEAVE;
    case SWEEP_LIST:
        return order != NULL && (order->kind == ORDER_HOLD || !order->whole_lists) ? SWEEP_TAKE
                                                                                   : SWEEP_LEAVE;
    }
    PANIC("no such place: %d", (int)place->where);
}

void obey_swept(struct deliver *d, const struct sweep_place *place, const struct job_record *record)
{
    struct job *j = job_new(record, deliver_now(d));
    char space[SITE_KEY_MAX];

    deliver_job_in(d, j);
    DELIVER_COUNT(d, claimed, 1);
    j->held = queue_hold_add(d->queue, &j->hold, j->record.id);
    if (obey(d, j, swept_site(d, place, &j->record, space))) {
        return;
    }
    /* The order was lifted in this moment. */
    int64_t wait_us = j->record.not_before_ms * 1000 - deliver_queue_wall(d);
    if (wait_us > 0) {
        outcome_postpone(d, j, wait_us);
    } else {
        outcome_return(d, j);
    }
}
