/*
 * rig.h - one worker's delivery on a loop of the test, over a queue that only notes.
 *
 * Jobs are put into the lanes by rig_job(), and the queue (noting_queue.h) counts what became of
 * them.
 */
#ifndef VOLLEY_TEST_DELIVER_RIG_H
#define VOLLEY_TEST_DELIVER_RIG_H

#include "tests/unit/deliver/mta.h"
#include "tests/unit/deliver/noting_queue.h"

#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/deliver/conn.h"
#include "engine/deliver/core.h"
#include "engine/deliver/destination.h"
#include "engine/deliver/local.h"

enum { RIG_AWAIT_US = 20 * 1000 * 1000 };

struct rig {
    struct io *io;
    struct conf *conf;
    struct deliver *d;
    struct queue queue;
    unsigned jobs;
    bool closed;
};

/* Ticks until the condition holds. */
#define RIG_AWAIT(r, cond)                                   \
    do {                                                     \
        int64_t rig_end_us = clock_mono_us() + RIG_AWAIT_US; \
        while (!(cond)) {                                    \
            if (clock_mono_us() > rig_end_us) {              \
                fail_msg("waited in vain for: %s", #cond);   \
            }                                                \
            rig_tick(r);                                     \
        }                                                    \
    } while (0)

/* ---- life ---- */

static inline struct conf *rig_conf(const char *yaml)
{
    struct conf_problems problems;
    struct conf *conf = conf_load_bytes("t.yaml", slice_cstr(yaml), "engine.test", &problems);
    struct buf text = BUF_EMPTY;

    conf_problems_put(&text, &problems);
    buf_terminate(&text);
    if (conf == NULL) {
        fail_msg("%s", text.ptr);
    }
    buf_fini(&text);
    conf_problems_fini(&problems);
    return conf;
}

static inline void rig_on_closed(void *ctx)
{
    ((struct rig *)ctx)->closed = true;
}

/* `yaml` is the configuration, without `sink`: everything goes to loopback by rig_site(). */
static inline bool rig_open(struct rig *r, enum io_backend backend, const char *yaml)
{
    struct buf why = BUF_EMPTY, text = BUF_EMPTY;
    int err = 0;

    memset(r, 0, sizeof(*r));
    noting_queue = &r->queue;
    r->io = io_new(&(struct io_options){.backend = backend}, &err);
    if (r->io == NULL) {
        print_message("not run: this machine has no io_uring (%s)\n", err_name(err));
        return false;
    }
    buf_printf(&text, "sink: 127.0.0.1:9\n%s", yaml);
    buf_terminate(&text);
    r->conf = rig_conf(text.ptr);
    buf_fini(&text);
    struct deliver_options options = {.io = r->io,
                                      .conf = r->conf,
                                      .node_id = SLICE("node"),
                                      .workers = 1,
                                      .events_fd = -1,
                                      .on_closed = rig_on_closed,
                                      .ctx = r};
    r->d = deliver_new(&options, &why);
    assert_non_null(r->d);
    return true;
}

static inline void rig_tick(struct rig *r)
{
    io_tick(r->io, 5000);
    noting_queue_tick(&r->queue);
    if (!r->closed) {
        (void)deliver_tick(r->d);
        assert_true(r->closed || r->d->conn_count <= r->d->conns_max);
    }
}

/* Ends delivery, which cuts what is on the wire after `drain_us`. */
static inline void rig_drain(struct rig *r, int64_t drain_us)
{
    deliver_close(r->d, drain_us);
    RIG_AWAIT(r, r->closed);
    r->d = NULL;
}

/* After the servers were closed. */
static inline void rig_close(struct rig *r)
{
    if (!r->closed) {
        rig_drain(r, 100000);
    }
    buf_fini(&r->queue.events);
    buf_fini(&r->queue.sites);
    conf_unref(r->conf);
    io_free(r->io);
}

/* ---- sites and jobs ---- */

/* A site with one host for each address, all of one preference and name. */
struct rig_address {
    const struct sockaddr_storage *address;
    socklen_t len;
};

static inline void rig_hosts(struct site *s, const struct rig_address *at, size_t count)
{
    struct hosts fresh;

    hosts_init(&fresh);
    for (size_t i = 0; i < count; i++) {
        hosts_add(&fresh, SLICE("mx.test"), (const struct sockaddr *)at[i].address, at[i].len, 10);
    }
    site_set_hosts(s, &fresh, INT64_MAX);
}

static inline struct site *rig_site(struct rig *r, const char *key, const struct mta *m)
{
    struct site *s = site_get(r->d, slice_cstr(key));

    site_bind(s, NULL, NULL);
    rig_hosts(s, &(struct rig_address){&m->address, m->address_len}, 1);
    return s;
}

/* A job for the site, by a source ("default": the only one) and a level of TLS ("" : as
 * configured). */
static inline void rig_job(struct rig *r, struct site *s, const char *source, const char *tls)
{
    char id[RECORD_ID_LEN_MAX + 1], to[SITE_KEY_MAX + 2];
    struct buf b = BUF_EMPTY;
    struct job_record record;

    snprintf(id, sizeof(id), "0123456789abcdefghjkmn%04u.1", ++r->jobs % 10000);
    snprintf(to, sizeof(to), "u@%s", s->key);
    record_put_head(&b, slice_cstr(id), JOB_NORMAL, false, SLICE("normal:default:default"),
                    slice_cstr(to), clock_wall_us() / 1000);
    record_put_text(&b, RECORD_MESSAGE, SLICE("m"));
    if (tls[0] != '\0') {
        record_put_text(&b, RECORD_TLS, slice_cstr(tls));
    }
    assert_int_equal(record_decode(&record, buf_slice(&b)), 0);
    struct job *j = job_new(&record, deliver_now(r->d));
    buf_fini(&b);
    j->held = true;
    deliver_job_in(r->d, j);
    destination_arrive(r->d, j, s, conf_source_find(r->d->conf, slice_cstr(source)));
}

static inline struct path *rig_path(struct site *s)
{
    assert_false(list_empty(&s->paths));
    return CONTAINER_OF(list_first(&s->paths), struct path, site_link);
}

/* Connections that the path, the site's total and its hosts believe to be open: all the same. */
static inline unsigned rig_slots(struct site *s)
{
    unsigned paths = 0, pairs = 0, hosts = 0;

    LIST_EACH (link, &s->paths) {
        paths += CONTAINER_OF(link, struct path, site_link)->connections;
    }
    LIST_EACH (link, &s->sources) {
        pairs += CONTAINER_OF(link, struct site_source, link)->scope.connections.used;
    }
    for (size_t i = 0; i < s->hosts.count; i++) {
        hosts += s->hosts.host[i].connections.used;
    }
    assert_int_equal(paths, pairs);
    assert_int_equal(paths, s->total.connections.used);
    assert_int_equal(paths, hosts);
    return paths;
}

#endif
