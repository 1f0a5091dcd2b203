/*
 * conn_int.h - between conn.c and conn_open.c.
 */
#ifndef VOLLEY_DELIVER_CONN_INT_H
#define VOLLEY_DELIVER_CONN_INT_H

#include "engine/deliver/conn.h"

/* ---- conn.c ---- */

extern const struct wire_ops conn_wire_ops;

void conn_timer_fired(struct timer *t, int64_t now_us);

/* Its host, or NULL when that is no longer in the set. */
struct host *conn_host(struct conn *c);

/* No connection came about: the host's fault, or our own.  It is not counted any more. */
void conn_failed_to_open(struct conn *c, int err);

void conn_free(struct conn *c);

/* ---- conn_open.c ---- */

/* It has not connected for a while: the other family is called as well, when there is one. */
void conn_race(struct conn *c);

/* One of two that race ends: the other goes on for both. */
void conn_concede(struct conn *c);

/* One of two that race stands: the other one ends. */
void conn_win(struct conn *c);

#endif
