/*
 * elsewhere.c - a second host for recipients that the first one did not want now.
 */
#include "engine/deliver/elsewhere.h"

#include "engine/base/mem.h"
#include "engine/deliver/conn.h"
#include "engine/deliver/core.h"
#include "engine/deliver/local.h"
#include "engine/deliver/outcome.h"
#include "engine/deliver/pump.h"
#include "engine/deliver/transaction.h"

#include <string.h>

/* Beyond so many at a time the trouble is hardly one host's. */
enum { WAITING_MAX = 256 };

static const int64_t wait_us = INT64_C(15) * 1000000;

/* ---- which host ---- */

static bool is_first(const struct second *s, const struct sockaddr_storage *address,
                     socklen_t address_len)
{
    return s->address_len == address_len && memcmp(&s->address, address, address_len) == 0;
}

/* One that is healthy at `now_us`; INT64_MAX: or will be. */
static struct host *other_host(struct path *p, const struct second *s, int64_t now_us)
{
    return hosts_other(&p->site->hosts, &p->want, slice_cstr(s->host),
                       (const struct sockaddr *)&s->address, s->address_len, now_us);
}

static struct conn *other_of(struct list *ready, const struct second *s)
{
    LIST_EACH (link, ready) {
        struct conn *c = CONTAINER_OF(link, struct conn, ready_link);
        if (!is_first(s, &c->address, c->address_len)) {
            return c;
        }
    }
    return NULL;
}

static struct conn *other_conn(struct path *p, const struct second *s)
{
    struct conn *c = other_of(&p->ready_second, s);

    return c != NULL ? c : other_of(&p->ready, s);
}

/* ---- in and out ---- */

/* What all hosts of a site are sure to say alike is no reason to ask another one. */
static bool is_hosts_business(const struct smtp_rcpt *r)
{
    bool refused = r->outcome == SMTP_DEFERRED || r->outcome == SMTP_REJECTED;

    return refused && r->host == SMTP_HOST_NEXT && r->site == SMTP_SITE_OK &&
           r->failure != SMTP_FAILURE_RATE && r->failure != SMTP_FAILURE_FULL &&
           r->failure != SMTP_FAILURE_REPUTATION;
}

static struct second *remember(const struct transaction *t, size_t index)
{
    const struct conn *c = t->conn;
    struct slice text = smtp_rcpt_text(&t->txn, &t->rcpts[index]);
    struct second *s = mem_zalloc(sizeof(*s));

    s->answer = t->rcpts[index];
    s->until_us = deliver_now(c->d) + wait_us;
    s->address = c->address;
    s->address_len = c->address_len;
    s->host = mem_dup(c->host, strlen(c->host));
    memcpy(s->ip, c->ip, sizeof(s->ip));
    s->text_len = (uint16_t)text.len;
    memcpy(s->text, text.ptr != NULL ? text.ptr : "", text.len);
    return s;
}

void elsewhere_forget(struct job *j)
{
    if (j->second != NULL) {
        mem_free(j->second->host);
        mem_free(j->second);
        j->second = NULL;
    }
}

static void leave(struct path *p, struct job *j)
{
    list_remove(&j->link);
    p->awaited--;
    p->elsewhere_count--;
}

bool elsewhere_take(struct job *j, struct transaction *t, size_t index)
{
    struct smtp_rcpt *r = &t->rcpts[index];
    struct path *p = t->conn->path;
    struct deliver *d = p->site->d;
    /* What this host lacks another may have: not bounced before one was asked. */
    bool lacking = r->outcome == SMTP_REJECTED;

    if (!is_hosts_business(r) || j->second != NULL || j->lost) {
        return false;
    }
    j->second = remember(t, index);
    bool any = other_host(p, j->second, INT64_MAX) != NULL;
    bool now = other_host(p, j->second, deliver_now(d)) != NULL;
    if (!now || d->draining || (!lacking && p->elsewhere_count >= WAITING_MAX)) {
        elsewhere_forget(j);
        r->outcome = lacking && any ? SMTP_DEFERRED : r->outcome;
        return false;
    }
    list_append(&p->elsewhere, &j->link);
    p->awaited++;
    p->elsewhere_count++;
    path_wake(p);
    return true;
}

bool elsewhere_stands(struct job *j, const struct transaction *t, size_t index)
{
    const struct smtp_rcpt *r = &t->rcpts[index];
    bool ours = r->outcome == SMTP_REJECTED && r->cause == SMTP_CAUSE_LOCAL &&
                j->second->answer.outcome == SMTP_DEFERRED;

    if (r->outcome != SMTP_NOT_TRIED && !ours) {
        return false;
    }
    outcome_of_second(t->conn->d, j, t->conn->path);
    return true;
}

/* ---- the pump ---- */

static bool send_job(struct path *p, struct job *j, struct conn *c)
{
    struct deliver *d = p->site->d;
    struct limiter_scope *row[PATH_SCOPES];

    path_scopes(p, row);
    struct limiter_verdict v = limiter_send(row, PATH_SCOPES, 1, 0, deliver_now(d));
    if (!v.go) {
        pump_at(p, v.until_us);
        return false;
    }
    leave(p, j);
    struct transaction *t = transaction_of(p, j);
    if (t != NULL) {
        conn_submit(c, t);
    }
    return true;
}

/* Asks for a connection to another host; false when there is none to be had at all. */
static bool connect_other(struct path *p, struct job *j)
{
    struct deliver *d = p->site->d;
    struct limiter_scope *row[PATH_SCOPES];
    int64_t now_us = deliver_now(d);
    struct host *h = other_host(p, j->second, now_us);

    if (h == NULL || local_until_us(d, p->source) > now_us || d->conn_count >= d->conns_max) {
        return false;
    }
    if (p->opening > 0 || p->second_conns > 0) {
        return true;
    }
    path_scopes(p, row);
    struct limiter_verdict v = limiter_connect(row, PATH_SCOPES, &h->connections,
                                               job_lane(j) == LANE_BULK ? 1 : 0, now_us);
    if (v.go) {
        conn_open(p, h, true);
    } else {
        pump_at(p, v.until_us);
    }
    return true;
}

static void give_up(struct path *p, struct job *j)
{
    leave(p, j);
    outcome_of_second(p->site->d, j, p);
}

void elsewhere_pump(struct path *p)
{
    int64_t now_us = deliver_now(p->site->d);

    LIST_EACH_SAFE (link, &p->elsewhere) {
        struct job *j = CONTAINER_OF(link, struct job, link);
        struct conn *c = other_conn(p, j->second);
        if (j->lost || now_us >= j->second->until_us) {
            give_up(p, j);
        } else if (p->site->d->doubt) {
            continue;
        } else if (c != NULL) {
            if (!send_job(p, j, c)) {
                break; /* a limit: those that wait still have their end */
            }
        } else if (!connect_other(p, j)) {
            give_up(p, j);
        }
    }
    if (!list_empty(&p->elsewhere)) {
        pump_at(p, CONTAINER_OF(list_first(&p->elsewhere), struct job, link)->second->until_us);
    }
}

void elsewhere_end(struct path *p)
{
    LIST_EACH_SAFE (link, &p->elsewhere) {
        give_up(p, CONTAINER_OF(link, struct job, link));
    }
}
