/*
 * order_list.h - the orders of a queue (queue/order.lua), read and shown.
 */
#ifndef VOLLEY_CLI_ORDER_LIST_H
#define VOLLEY_CLI_ORDER_LIST_H

#include "engine/cli/desk.h"
#include "engine/cli/table.h"

enum { ORDERS_SHOWN_MAX = 1000 };

struct order_row {
    char *id, *kind, *state;
    char *words; /* "campaign=march class=bulk" */
    int64_t created_ms, expires_ms;
    uint64_t held, ended;
};

/* Of all partitions: an order that is in several has their counts together. */
struct order_list {
    struct order_row *row;
    size_t count;
    bool known; /* false: this Redis has no functions to ask for them */
};

void order_list_init(struct order_list *o);
void order_list_fini(struct order_list *o);
/* -1, or the exit code. */
int order_list_read(struct order_list *o, struct desk *d);
const struct order_row *order_list_find(const struct order_list *o, struct slice id);

void order_list_put_text(struct buf *out, const struct order_list *o, int64_t now_ms);
void order_list_put_json(struct buf *out, const struct order_list *o); /* an array */
void order_row_put_json(struct buf *out, const struct order_row *row);

#endif
