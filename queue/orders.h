/*
 * orders.h - orders as an engine knows them: which jobs are to be paused, held, cancelled.
 *
 * A copy of the hash `orders`, read again whenever its version changes (queue_orders.c).  Lua
 * checks what is placed there (order.lua); others may write to Redis as well, so what cannot be
 * understood is left out, with a warning.
 *
 * Pure.  Times are Redis' own and the loop's: an order that is over by now says nothing.
 */
#ifndef VOLLEY_QUEUE_ORDERS_H
#define VOLLEY_QUEUE_ORDERS_H

#include "queue/keys.h"
#include "queue/record.h"
#include "queue/resp.h"

enum { ORDERS_MAX = 256, ORDER_ID_MAX = 64 };

/* The later one comes first where several speak of a job. */
enum order_kind { ORDER_LIFTED, ORDER_RETRY, ORDER_PAUSE, ORDER_HOLD, ORDER_CANCEL };

struct order {
    struct slice id;
    enum order_kind kind;
    int64_t until_us; /* of the loop's clock; INT64_MAX: for good */
    struct slice campaign, tenant, domain, site, class, tag; /* empty: any */
    bool whole_lists; /* names of lists say all that it asks for: they are just not claimed */
};

struct orders {
    struct order *items;
    size_t count;
    uint64_t version; /* in Redis; 0: none was ever placed */
    uint32_t change;  /* grows with every change here */
    char *text;       /* what the slices point into */
};

void orders_init(struct orders *o);
void orders_fini(struct orders *o);

/* Takes the answer of volley_1_orders.  0, or ERR_PROTO: it has another form. */
int orders_read(struct orders *o, const struct resp *reply, int64_t now_us);

/* The order that has the last word on a job of this site (empty: not known yet), or NULL.  Lifted
 * ones and retries are not among them. */
const struct order *orders_match(const struct orders *o, const struct job_record *r,
                                 struct slice site, int64_t now_us);

/* A retry that speaks of the job, or NULL. */
const struct order *orders_retry(const struct orders *o, const struct job_record *r,
                                 struct slice site, int64_t now_us);

/* Whether a whole list is paused, and no job of it is to be claimed. */
bool orders_pause_list(const struct orders *o, const struct list_name *name, int64_t now_us);

bool order_over(const struct order *order, int64_t now_us);

#endif
