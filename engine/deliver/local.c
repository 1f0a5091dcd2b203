/*
 * local.c - trouble of our own with opening connections.
 */
#include "engine/deliver/local.h"

#include "engine/base/err.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/deliver/core.h"

#include <string.h>

static const int64_t rest_us_min = INT64_C(1) * 1000000;
static const int64_t rest_us_max = INT64_C(60) * 1000000;

/* Kept by the source's name, which survives a reload; the empty name is the whole process. */
struct local_trouble {
    struct map_node node;
    int64_t rest_us;
    int64_t until_us;
    char name[];
};

bool local_is_error(int err)
{
    return err == ERR_LIMIT || err == ERR_NOADDR || err == ERR_EXISTS;
}

/* A lack of descriptors hits every source. */
static struct slice name_of(const struct conf_source *source, int err)
{
    return err == ERR_LIMIT ? SLICE_NONE : slice_cstr(source->name);
}

static struct local_trouble *trouble_find(const struct deliver *d, struct slice name)
{
    struct map_node *node = map_find(&d->local_troubles, name);

    return node != NULL ? CONTAINER_OF(node, struct local_trouble, node) : NULL;
}

static struct local_trouble *trouble_get(struct deliver *d, struct slice name)
{
    struct local_trouble *t = trouble_find(d, name);

    if (t == NULL) {
        t = mem_zalloc(sizeof(*t) + name.len + 1);
        if (name.len > 0) {
            memcpy(t->name, name.ptr, name.len);
        }
        t->rest_us = rest_us_min / 2;
        map_insert(&d->local_troubles, &t->node, slice_of(t->name, name.len));
    }
    return t;
}

static void trouble_end(struct deliver *d, struct local_trouble *t)
{
    map_remove(&d->local_troubles, &t->node);
    mem_free(t);
}

static void explain(const struct deliver *d, const struct conf_source *source, int err,
                    int64_t rest_us)
{
    long long rest_s = (long long)(rest_us / 1000000);

    if (err == ERR_LIMIT) {
        log_warn("no connection can be opened: this process is out of descriptors or memory with "
                 "%zu connections; raise LimitNOFILE= of the service or `ulimit -n`; next try in "
                 "%lld s",
                 d->conn_count, rest_s);
    } else if (source->address.sa.sa_family != AF_UNSPEC) {
        log_warn("source %s: no connection can be opened from its address: it is not on this "
                 "machine, or its ports are used up; see `ip address`, correct "
                 "sources.%s.address, or widen net.ipv4.ip_local_port_range; next try in %lld s",
                 source->name, source->name, rest_s);
    } else {
        log_warn("source %s: no connection can be opened: this machine's ports are used up; widen "
                 "net.ipv4.ip_local_port_range or send from more addresses; next try in %lld s",
                 source->name, rest_s);
    }
}

void local_failed(struct deliver *d, const struct conf_source *source, int err)
{
    struct local_trouble *t = trouble_get(d, name_of(source, err));

    if (t->until_us > deliver_now(d)) {
        return; /* several that fail together are one failure */
    }
    t->rest_us = t->rest_us * 2 < rest_us_max ? t->rest_us * 2 : rest_us_max;
    t->until_us = deliver_now(d) + t->rest_us;
    explain(d, source, err, t->rest_us);
}

void local_works(struct deliver *d, const struct conf_source *source)
{
    if (d->local_troubles.count == 0) {
        return;
    }
    struct local_trouble *all = trouble_find(d, SLICE_NONE);
    struct local_trouble *own = trouble_find(d, slice_cstr(source->name));

    if (all != NULL && all->until_us <= deliver_now(d)) {
        log_info("connections can be opened again");
        trouble_end(d, all);
    }
    if (own != NULL && own->until_us <= deliver_now(d)) {
        log_info("source %s can be used again", source->name);
        trouble_end(d, own);
    }
}

int64_t local_until_us(const struct deliver *d, const struct conf_source *source)
{
    int64_t until_us = INT64_MIN;

    if (d->local_troubles.count == 0) {
        return until_us;
    }
    const struct local_trouble *all = trouble_find(d, SLICE_NONE);
    const struct local_trouble *own = trouble_find(d, slice_cstr(source->name));
    if (all != NULL && all->until_us > deliver_now(d)) {
        until_us = all->until_us;
    }
    if (own != NULL && own->until_us > deliver_now(d) && own->until_us > until_us) {
        until_us = own->until_us;
    }
    return until_us;
}

void local_free(struct deliver *d)
{
    struct map_node *node;

    while ((node = map_next(&d->local_troubles, NULL)) != NULL) {
        trouble_end(d, CONTAINER_OF(node, struct local_trouble, node));
    }
    map_fini(&d->local_troubles);
}
