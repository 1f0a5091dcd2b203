/*
 * stats.h - figures of a queue, for people and for programs.  Pure.
 */
#ifndef VOLLEY_CLI_STATS_H
#define VOLLEY_CLI_STATS_H

#include "engine/cli/figures.h"
#include "engine/cli/order_list.h"

struct stats_options {
    struct desk_options desk;
    uint64_t top; /* lanes and sites shown */
};

void stats_put_text(struct buf *out, const struct figures *f, const struct order_list *orders,
                    const struct stats_options *o);
void stats_put_json(struct buf *out, const struct figures *f, const struct order_list *orders,
                    const struct stats_options *o);

#endif
