/*
 * conn_open.c - opening a connection: what it is told, where it comes from, and the race of
 * two families (conn.h).
 */
#include "engine/deliver/conn_int.h"
#include "engine/base/mem.h"
#include "engine/deliver/core.h"

#include <string.h>

static const int64_t slow_us = INT64_C(600) * 1000000;

static void conn_configure(struct conn *c, const struct path *p, const struct host *h)
{
    const struct conf *conf = c->d->conf;
    const struct conf_timeouts *t = &conf->timeouts;
    struct smtp_config *config = &c->config;

    c->conf = conf_ref(p->conf);
    smtp_config_init(config, slice_cstr(p->source->ehlo));
    config->tls = p->tls;
    if (config->tls == SMTP_TLS_MAY && h->tls_off_until_us > c->opened_us) {
        config->tls = SMTP_TLS_NONE;
    }
    config->pipeline = (enum smtp_pipeline)p->limits->pipeline;
    config->depth = p->limits->pipeline_depth;
    config->helo_only = h->helo_until_us > c->opened_us;
    config->no_bdat = h->no_bdat_until_us > c->opened_us;
    config->words = c->conf->words;
    config->own_name_ok = conf->sink.address.host != NULL;
    if (p->site->route != NULL && p->site->route->auth.user != NULL) {
        /* Not always the path's: that of a source which is gone stays behind at a reload. */
        c->route_conf = conf_ref(p->site->conf);
        config->auth_user = slice_cstr(p->site->route->auth.user);
        config->auth_password = slice_cstr(p->site->route->auth.password);
    }
    config->timeout_us[SMTP_VERB_GREETING] = t->banner;
    config->timeout_us[SMTP_VERB_EHLO] = t->ehlo;
    config->timeout_us[SMTP_VERB_HELO] = t->ehlo;
    config->timeout_us[SMTP_VERB_STARTTLS] = t->tls;
    config->timeout_us[SMTP_VERB_AUTH] = t->auth;
    config->timeout_us[SMTP_VERB_MAIL] = t->mail;
    config->timeout_us[SMTP_VERB_RCPT] = t->rcpt;
    config->timeout_us[SMTP_VERB_DATA] = t->data;
    config->timeout_us[SMTP_VERB_DOT] = t->dot;
    config->timeout_us[SMTP_VERB_BDAT] = t->dot;
    config->timeout_us[SMTP_VERB_QUIT] = t->quit;
    config->handshake_us = t->tls;
    config->block_us = t->body;
}

static struct conn *conn_new(struct path *p, struct host *h)
{
    struct deliver *d = p->site->d;
    struct conn *c = mem_zalloc(sizeof(*c));

    c->d = d;
    c->path = p;
    c->host = mem_dup(h->name, strlen(h->name));
    memcpy(&c->address, &h->address, h->address_len);
    c->address_len = h->address_len;
    memcpy(c->ip, h->ip, sizeof(c->ip));
    c->opened_us = deliver_now(d);
    c->connect_us = -1;
    c->tls_us = -1;
    c->idle_until_us = INT64_MAX;
    list_init(&c->ready_link);
    list_init(&c->idle_link);
    list_init(&c->flush_link);
    list_init(&c->shelf_link);
    list_init(&c->sending);
    list_init(&c->lent);
    timer_init(&c->timer, conn_timer_fired);
    list_append(&d->conns, &c->link);
    d->conn_count++;
    d->open_parts++;
    conn_configure(c, p, h);
    return c;
}

/* 0, or the error for which no callback will come. */
static int conn_call(struct conn *c)
{
    const union conf_address *source = conf_source_address(c->path->source, c->address.ss_family);
    struct io_connect_options options = {.timeout_us = c->d->conf->timeouts.connect};

    if (source != NULL) {
        options.source = &source->sa;
        options.source_len =
            source->sa.sa_family == AF_INET ? sizeof(source->in4) : sizeof(source->in6);
    }
    return wire_open(&c->wire, c->d->o.io, &conn_wire_ops, (const struct sockaddr *)&c->address,
                     c->address_len, &options);
}

/* ---- the race ---- */

/* One of two that race ends: the other goes on for both. */
void conn_concede(struct conn *c)
{
    struct host *h = conn_host(c);

    if (h != NULL) {
        slots_release(&h->connections);
    }
    c->rival->rival = NULL;
    c->rival = NULL;
    c->path = NULL;
}

/* It has not connected for a while: the other family is called as well, when there is one. */
void conn_race(struct conn *c)
{
    struct deliver *d = c->d;
    struct host *h = conn_host(c), *other;

    if (c->over || c->rival != NULL || h == NULL || d->draining || d->conn_count >= d->conns_max) {
        return;
    }
    other = hosts_rival(&c->path->site->hosts, &c->path->want, h, deliver_now(d));
    if (other == NULL) {
        return;
    }
    struct conn *rival = conn_new(c->path, other);
    slots_take(&other->connections);
    rival->rival = c;
    rival->second = c->second;
    c->rival = rival;
    DELIVER_COUNT(d, connects, 1);
    int err = conn_call(rival);
    if (err != 0) {
        conn_failed_to_open(rival, err);
        conn_free(rival);
    }
}

/* The loser's family comes second for a while, unless it merely started second. */
void conn_win(struct conn *c)
{
    struct conn *loser = c->rival;
    struct host *h = conn_host(loser);

    if (h != NULL && loser->opened_us < c->opened_us) {
        h->slow_until_us = deliver_now(c->d) + slow_us;
    }
    loser->over = true;
    conn_concede(loser);
    wire_close(&loser->wire);
}

void conn_open(struct path *p, struct host *h, bool second)
{
    struct conn *c = conn_new(p, h);

    c->second = second;
    p->second_conns += second;
    p->connections++;
    p->opening++;
    p->moved_us = c->opened_us;
    list_remove(&p->idle_link);
    DELIVER_COUNT(c->d, connections, 1);
    DELIVER_COUNT(c->d, connects, 1);
    int err = conn_call(c);
    if (err != 0) {
        conn_failed_to_open(c, err);
        conn_free(c);
    } else if (hosts_rival(&p->site->hosts, &p->want, h, c->opened_us) != NULL) {
        wheel_arm(io_wheel(c->d->o.io), &c->timer, c->opened_us + CONN_RACE_US);
    }
}
