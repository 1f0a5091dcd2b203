/*
 * conn.c - one connection: a wire, a session, and the transactions inside.
 *
 * Everything that happens to a connection ends in conn_turn(): it pulls what the session has
 * to say, then puts the connection where it belongs (ready, idle, over) and notes that there
 * may be something to write.  Writing itself waits for the end of the tick.
 */
#include "engine/deliver/conn_int.h"

#include "engine/base/err.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/base/panic.h"
#include "engine/deliver/core.h"
#include "engine/deliver/lessons.h"
#include "engine/deliver/local.h"
#include "engine/deliver/outcome.h"
#include "engine/deliver/pump.h"
#include "engine/deliver/reuse.h"
#include "engine/deliver/transaction.h"

#include <stdio.h>
#include <string.h>

static const int64_t tls_off_us = INT64_C(3600) * 1000000;
static const int64_t learned_us = INT64_C(7) * 86400 * 1000000;

static void conn_turn(struct conn *c);

static struct conn *conn_of(struct wire *w)
{
    return CONTAINER_OF(w, struct conn, wire);
}

struct host *conn_host(struct conn *c)
{
    return c->path == NULL ? NULL
                           : hosts_find(&c->path->site->hosts, slice_cstr(c->host),
                                        (const struct sockaddr *)&c->address, c->address_len);
}

/* ---- life ---- */

void conn_free(struct conn *c)
{
    struct deliver *d = c->d;

    LIST_EACH_SAFE (link, &c->lent) {
        list_remove(link);
        transaction_release(d, CONTAINER_OF(link, struct transaction, link));
    }
    wheel_disarm(io_wheel(d->o.io), &c->timer);
    list_remove(&c->link);
    list_remove(&c->flush_link);
    if (c->started) {
        smtp_session_fini(&c->session);
    }
    d->conn_count--;
    d->evicting -= c->evicted;
    pump_place_free(d);
    conf_unref((struct conf *)c->conf);
    conf_unref((struct conf *)c->route_conf);
    mem_free(c->host);
    mem_free(c);
    deliver_part_closed(d);
}

/* Takes the connection out of its path's figures. */
static void conn_leave(struct conn *c)
{
    struct path *p = c->path;
    struct host *h = conn_host(c);
    struct limiter_scope *row[PATH_SCOPES];

    reuse_withdraw(c);
    path_scopes(p, row);
    limiter_disconnect(row, PATH_SCOPES, h != NULL ? &h->connections : NULL);
    p->second_conns -= c->second;
    c->second = false;
    p->connections--;
    if (!c->ready) {
        p->opening--;
    }
    list_remove(&c->ready_link);
    list_remove(&c->idle_link);
    c->path = NULL;
    path_rest(p);
}

/* Its session is over, or never came. */
static void conn_uncount(struct conn *c)
{
    struct site *s = c->path->site;

    if (c->rival != NULL) {
        conn_concede(c);
        return;
    }

    conn_leave(c);
    atomic_fetch_sub_explicit(&c->d->stats.connections, 1, memory_order_relaxed);
    site_wake(s);
}

/* The host could not be used, for a reason of its own. */
static void conn_blame_host(struct conn *c, enum smtp_stage stage, enum smtp_failure failure,
                            struct slice text)
{
    struct path *p = c->path;
    struct host *h = conn_host(c);

    if (h == NULL) {
        return;
    }
    int64_t wait_us = host_failed(h, deliver_now(c->d));
    log_info("site %s: %s [%s] failed at %s, resting %lld s: " SLICE_FMT, p->site->key, h->name,
             h->ip, smtp_stage_name(stage), (long long)(wait_us / 1000000), SLICE_ARG(text));
    pump_host_failed(p->site, h, stage, failure, text);
}

/* A machine without IPv6 may have a way to a host and still no address to come from.  That is no
 * reason to rest a source which was given none: it has IPv4. */
static bool lacks_family(const struct conn *c, int err)
{
    return err == ERR_NOADDR && c->address.ss_family == AF_INET6 &&
           conf_source_address(c->path->source, AF_INET6) == NULL;
}

/* No connection came about: the host's fault, or our own. */
void conn_failed_to_open(struct conn *c, int err)
{
    if (local_is_error(err) && !lacks_family(c, err)) {
        local_failed(c->d, c->path->source, err);
    } else {
        conn_blame_host(c, SMTP_STAGE_CONNECT, SMTP_FAILURE_NETWORK, slice_cstr(err_name(err)));
    }
    c->over = true;
    conn_uncount(c);
}

/* ---- the session speaks ---- */

static void on_starttls(struct conn *c)
{
    struct deliver *d = c->d;
    struct host *h = conn_host(c);
    struct tls_stream_options options = {
        .host = slice_cstr(c->host),
        .session_key = slice_cstr(c->ip),
        .reduced_groups = h != NULL && h->tls_reduced,
    };

    struct tls_context *context = c->config.tls == SMTP_TLS_VERIFY ? d->tls_verifying : d->tls_any;

    c->secure_from_us = deliver_now(d);
    if (context == NULL) { /* no trust anchors on this machine: nothing can be verified */
        log_warn("site %s: TLS with %s cannot be verified: no trust anchors were found",
                 c->path->site->key, c->host);
        smtp_session_eof(&c->session, ERR_TLS, deliver_now(d));
        return;
    }
    wire_secure(&c->wire, context, &options);
}

static void on_ready(struct conn *c)
{
    struct path *p = c->path;
    struct host *h = conn_host(c);

    c->ready = true;
    p->opening--;
    /* A host that failed has to answer a MAIL before it is trusted again: greeting alone
     * would start its rest anew each time. */
    if (h != NULL && h->failures == 0) {
        pump_host_works(p->site, h);
    }
}

/* It answered a MAIL. */
static void conn_host_works(struct conn *c)
{
    struct host *h = conn_host(c);

    if (h != NULL && h->failures > 0) {
        host_works(h);
        pump_host_works(c->path->site, h);
    }
}

static void on_txn_done(struct conn *c, const struct smtp_event *event)
{
    struct transaction *t = event->txn->owner;
    struct path *p = c->path;

    lessons_of_transaction(c, t);
    path_count(p, deliver_now(c->d) - t->started_us, deliver_now(c->d));
    deliver_count(c->d);
    if (t->txn.t_mail_us > 0) {
        conn_host_works(c);
    }
    transaction_settle(t);
    list_remove(&t->link);
    if (event->lent) {
        list_append(&c->lent, &t->link);
    } else {
        transaction_release(c->d, t);
    }
    path_wake(p);
}

/* What the end of a session says of its host. */
static void on_end_of_session(struct conn *c)
{
    const struct smtp_end *end = smtp_session_end(&c->session);
    uint32_t learned = smtp_session_learned(&c->session);
    struct host *h = conn_host(c);

    if (h != NULL && (learned & SMTP_LEARNED_NO_BDAT) != 0) {
        h->no_bdat_until_us = deliver_now(c->d) + learned_us;
    }
    if (h != NULL && (learned & SMTP_LEARNED_HELO_ONLY) != 0 && !c->config.helo_only) {
        h->helo_until_us =
            deliver_now(c->d) + learned_us; /* not a failure: the next connection says HELO */
        return;
    }
    if (h != NULL && end->reason == SMTP_END_TLS && c->config.tls == SMTP_TLS_MAY) {
        /* Any certificate does and clear text would too: what failed is TLS itself.  First
         * with the short ClientHello, then without (smtp-client.md 8). */
        log_info("site %s: STARTTLS with %s [%s] failed, %s: " SLICE_FMT, c->path->site->key,
                 h->name, h->ip,
                 h->tls_reduced ? "in the clear for an hour" : "again with fewer key shares",
                 SLICE_ARG(end->text));
        if (h->tls_reduced) {
            h->tls_off_until_us = deliver_now(c->d) + tls_off_us;
        }
        h->tls_reduced = !h->tls_reduced;
        return;
    }
    if (end->verdict.host == SMTP_HOST_DOWN || end->verdict.site == SMTP_SITE_HOLD) {
        conn_blame_host(c, end->stage, end->verdict.failure, end->text);
    }
}

static void conn_over(struct conn *c)
{
    c->over = true;
    lessons_of_session(c);
    on_end_of_session(c);
    conn_uncount(c);
    wheel_disarm(io_wheel(c->d->o.io), &c->timer);
    list_remove(&c->flush_link);
    wire_close(&c->wire);
}

/* Puts the connection into the lists in which it belongs now. */
static void conn_place(struct conn *c)
{
    struct deliver *d = c->d;

    if (c->ready && path_over_limit(c->path)) {
        smtp_session_quit(&c->session, deliver_now(d));
    }
    bool room = c->ready && smtp_session_room(&c->session) > 0;
    bool idle = c->ready && smtp_session_idle(&c->session);

    if (room && list_empty(&c->ready_link)) {
        list_append(c->second ? &c->path->ready_second : &c->path->ready, &c->ready_link);
        path_wake(c->path);
    } else if (!room) {
        list_remove(&c->ready_link);
    }
    if (idle && list_empty(&c->idle_link)) {
        smtp_session_trim(&c->session);
        c->idle_until_us = deliver_now(d) + d->conf->timeouts.idle;
        list_append(&d->idle_conns, &c->idle_link);
        reuse_offer(c);
    } else if (!idle) {
        c->idle_until_us = INT64_MAX;
        list_remove(&c->idle_link);
        reuse_withdraw(c);
    }
}

/* The timer is moved lazily: to an earlier time at once, to a later one when it fires. */
static void conn_arm(struct conn *c)
{
    int64_t due_us = smtp_session_deadline_us(&c->session);

    if (c->idle_until_us < due_us) {
        due_us = c->idle_until_us;
    }
    if (due_us != INT64_MAX && (!timer_armed(&c->timer) || due_us < c->timer.due_us)) {
        wheel_arm(io_wheel(c->d->o.io), &c->timer, due_us);
    }
}

static void conn_turn(struct conn *c)
{
    struct smtp_event event;

    while (!c->over && smtp_session_event(&c->session, &event)) {
        switch (event.type) {
        case SMTP_EVENT_STARTTLS:
            on_starttls(c);
            break;
        case SMTP_EVENT_READY:
            on_ready(c);
            break;
        case SMTP_EVENT_TXN_DONE:
            on_txn_done(c, &event);
            break;
        case SMTP_EVENT_END:
            conn_over(c);
            break;
        }
    }
    if (c->over) {
        return;
    }
    conn_place(c);
    conn_arm(c);
    if (list_empty(&c->flush_link)) {
        list_append(&c->d->unflushed, &c->flush_link);
    }
}

void conn_timer_fired(struct timer *t, int64_t now_us)
{
    struct conn *c = CONTAINER_OF(t, struct conn, timer);

    if (!c->started) {
        conn_race(c);
        return;
    }
    if (now_us >= c->idle_until_us) {
        smtp_session_quit(&c->session, now_us);
        c->idle_until_us = INT64_MAX;
    } else if (now_us >= smtp_session_deadline_us(&c->session)) {
        smtp_session_expire(&c->session, now_us);
    }
    conn_turn(c);
}

/* ---- the wire speaks ---- */

static void on_open(struct wire *w, int err)
{
    struct conn *c = conn_of(w);
    int64_t now_us = deliver_now(c->d);

    c->connect_us = now_us - c->opened_us;
    if (err != 0) {
        conn_failed_to_open(c, err);
        wire_close(w);
        return;
    }
    local_works(c->d, c->path->source);
    if (c->rival != NULL) {
        conn_win(c);
    }
    smtp_session_init(&c->session, &c->config, now_us);
    c->started = true;
    conn_turn(c);
}

static void on_plain(struct wire *w, struct slice data)
{
    struct conn *c = conn_of(w);

    smtp_session_feed(&c->session, data, deliver_now(c->d));
    conn_turn(c);
}

static void on_secure(struct wire *w, int err)
{
    struct conn *c = conn_of(w);
    int64_t now_us = deliver_now(c->d);

    c->tls_us = now_us - c->secure_from_us;
    if (err == 0) {
        struct tls_info info;
        tls_stream_info(w->tls, &info);
        snprintf(c->tls_version, sizeof(c->tls_version), "%s", info.version);
        snprintf(c->tls_cipher, sizeof(c->tls_cipher), "%s", info.cipher);
        c->tls_verified = info.verified;
        smtp_session_tls_up(&c->session, now_us);
    } else {
        log_debug("TLS with %s [%s]: %s", c->host, c->ip, tls_stream_error(w->tls));
        smtp_session_eof(&c->session, ERR_TLS, now_us);
    }
    conn_turn(c);
}

static void on_written(struct wire *w, int err)
{
    struct conn *c = conn_of(w);

    /* A failed write shows as the end of the stream as well; that is where it is judged,
     * after what the peer said before. */
    if (err == 0) {
        smtp_session_sent(&c->session, c->writing, deliver_now(c->d));
        c->writing = 0;
        conn_turn(c);
    }
}

static void on_end(struct wire *w, int err)
{
    struct conn *c = conn_of(w);

    smtp_session_eof(&c->session, err, deliver_now(c->d));
    conn_turn(c);
}

static void on_close(struct wire *w)
{
    conn_free(conn_of(w));
}

const struct wire_ops conn_wire_ops = {
    .on_open = on_open,
    .on_plain = on_plain,
    .on_secure = on_secure,
    .on_written = on_written,
    .on_end = on_end,
    .on_close = on_close,
};

/* ---- orders ---- */

void conn_move(struct conn *c, struct path *p)
{
    struct site *from = c->path->site;

    conn_leave(c);
    site_wake(from);
    c->path = p;
    p->connections++;
    list_remove(&p->idle_link);
    conn_place(c);
}

void conn_submit(struct conn *c, struct transaction *t)
{
    const struct limits *limits = c->path->limits;

    t->conn = c;
    t->started_us = deliver_now(c->d);
    list_append(&c->sending, &t->link);
    c->messages++;
    smtp_session_submit(&c->session, &t->txn, t->started_us);
    lessons_tell(c); /* behind it: this may take the room away */
    bool spent =
        limits->messages_per_connection > 0 && c->messages >= limits->messages_per_connection;
    bool old = limits->connection_age > 0 && t->started_us - c->opened_us >= limits->connection_age;
    if (spent || old) {
        smtp_session_quit(&c->session, t->started_us);
    }
    conn_turn(c);
}

/* Whether orders that came after it was submitted stop one of its jobs. */
static bool transaction_stopped(const struct transaction *t)
{
    const struct path *p = t->conn->path;
    const struct deliver *d = p->site->d;
    struct slice site = slice_cstr(p->site->key);

    for (size_t i = 0; i < t->count; i++) {
        if (orders_match(queue_orders(d->queue), &t->jobs[i]->record, site, deliver_now(d)) !=
            NULL) {
            return true;
        }
    }
    return false;
}

void conn_withdraw(struct conn *c)
{
    struct smtp_txn *txn;
    bool stopped = false;

    if (!c->ready || c->over) {
        return;
    }
    LIST_EACH (link, &c->sending) {
        stopped = stopped || transaction_stopped(CONTAINER_OF(link, struct transaction, link));
    }
    while (stopped && (txn = smtp_session_withdraw(&c->session)) != NULL) {
        struct transaction *t = txn->owner;
        list_remove(&t->link);
        c->messages--;
        transaction_undo(t, c->path);
        path_wake(c->path);
    }
    if (stopped) {
        conn_turn(c);
    }
}

void conn_gather(struct conn *c)
{
    list_remove(&c->flush_link);
    if (c->over || !c->started || wire_writing(&c->wire) || c->wire.securing) {
        return;
    }
    c->iov_count = smtp_session_output(&c->session, c->iov, CONN_IOV_MAX, deliver_now(c->d));
    LIST_EACH (link, &c->sending) {
        transaction_note(CONTAINER_OF(link, struct transaction, link));
    }
    if (c->iov_count > 0) {
        list_append(&c->d->outgoing, &c->flush_link);
    } else {
        conn_arm(c);
    }
}

void conn_write(struct conn *c)
{
    list_remove(&c->flush_link);
    c->writing = 0;
    for (size_t i = 0; i < c->iov_count; i++) {
        c->writing += c->iov[i].iov_len;
    }
    DELIVER_COUNT(c->d, bytes, c->writing);
    wire_write(&c->wire, c->iov, c->iov_count);
    if (!c->over) {
        conn_arm(c);
    }
}

void conn_note_all(struct deliver *d)
{
    LIST_EACH (conn, &d->conns) {
        LIST_EACH (link, &CONTAINER_OF(conn, struct conn, link)->sending) {
            transaction_note_again(CONTAINER_OF(link, struct transaction, link));
        }
    }
}

void conn_quit(struct conn *c)
{
    if (!c->over && c->started) {
        smtp_session_quit(&c->session, deliver_now(c->d));
        conn_turn(c);
    } else if (!c->over) {
        conn_abort(c);
    }
}

void conn_abort(struct conn *c)
{
    if (c->over) {
        return;
    }
    if (c->started) {
        smtp_session_eof(&c->session, ERR_CANCELED, deliver_now(c->d));
        conn_turn(c);
    }
    if (!c->over) {
        c->over = true;
        conn_uncount(c);
        wire_close(&c->wire);
    }
}

bool conn_evict(struct deliver *d)
{
    struct list *oldest = list_first(&d->idle_conns);

    if (oldest == NULL) {
        return false;
    }
    struct conn *c = CONTAINER_OF(oldest, struct conn, idle_link);
    c->evicted = true;
    d->evicting++;
    conn_quit(c);
    return true;
}
