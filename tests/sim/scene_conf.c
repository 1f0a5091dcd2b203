/*
 * scene_conf.c - configurations that fit a scene.
 */
#include "tests/sim/scene.h"

#include "engine/base/panic.h"
#include "tests/sim/hosts.h"
#include "tests/sim/world.h"

#include <stdio.h>

static void put_limits(struct buf *b, const char *indent)
{
    static const char *const rates[] = {"unlimited", "100/s", "20/s", "600/m burst 10", "1000/s"};
    static const char *const pipelines[] = {"auto",     "auto",     "off",
                                            "commands", "messages", "chunking"};

    buf_printf(b, "%sconnections: %u\n", indent, 1 + (unsigned)draw(chance(50) ? 3 : 20));
    buf_printf(b, "%srate: %s\n", indent, rates[draw(5)]);
    buf_printf(b, "%smessages_per_connection: %u\n", indent,
               1 + (unsigned)draw(chance(50) ? 4 : 100));
    buf_printf(b, "%srecipients_per_transaction: %u\n", indent,
               chance(50) ? 1 : 1 + (unsigned)draw(20));
    buf_printf(b, "%spipeline: %s\n", indent, pipelines[draw(6)]);
    buf_printf(b, "%spipeline_depth: %u\n", indent, 1 + (unsigned)draw(4));
    if (chance(30)) {
        buf_printf(b, "%sconnections_per_host: %u\n", indent, 1 + (unsigned)draw(3));
    }
    if (chance(20)) {
        buf_printf(b, "%sconnection_rate: %u/s\n", indent, 1 + (unsigned)draw(20));
    }
    if (chance(20)) {
        buf_printf(b, "%sconnection_age: %us\n", indent, 1 + (unsigned)draw(30));
    }
}

static void put_rules(struct buf *b)
{
    BUF_LIT(b, "limits:\n  default:\n");
    put_limits(b, "    ");
    if (chance(50)) {
        BUF_LIT(b, "  slow:\n    match: {domains: [d0.test, d1.test]}\n");
        put_limits(b, "    ");
        if (chance(50)) {
            buf_printf(b, "    total: {connections: %u, rate: %u/s}\n", 2 + (unsigned)draw(4),
                       1 + (unsigned)draw(50));
        }
    }
    if (chance(50)) {
        BUF_LIT(b, "  big:\n    match: {mx: [mx1.hosts.test], domains: [d2.test]}\n");
        put_limits(b, "    ");
    }
}

static void put_routes(struct buf *b, bool full)
{
    if (scene.routes == 0) {
        return;
    }
    unsigned skipped = full || chance(60) ? scene.routes : (unsigned)draw(scene.routes);
    if (scene.routes == 1 && skipped == 0) {
        return;
    }
    BUF_LIT(b, "routes:\n");
    for (unsigned i = 0; i < scene.routes; i++) {
        if (i == skipped) {
            continue;
        }
        buf_printf(b, "  r%u:\n    hosts: [", i);
        for (unsigned k = 0; k < scene.route_host_count[i]; k++) {
            const struct sim_host *h = hosts_at(scene.route_hosts[i][k]);
            buf_printf(b, "%s\"%s:%u\"", k > 0 ? ", " : "", i % 2 == 0 ? h->ip : h->name, h->port);
        }
        BUF_LIT(b, "]\n");
    }
}

static void put_conf(struct buf *b, bool full)
{
    static const char *const ambiguous[] = {"retry", "retry", "assume-delivered", "give-up"};
    bool both = full || chance(70);

    BUF_LIT(b, "hostname: mta.sim.test\nsources:\n  a: {ehlo: a.sim.test}\n");
    if (both) {
        BUF_LIT(b, "  b: {ehlo: b.sim.test}\npools:\n  default: {a: 1, b: 1}\n");
    } else {
        BUF_LIT(b, "pools:\n  default: {a: 1}\n");
    }
    put_rules(b);
    put_routes(b, full);
    buf_printf(b, "retry: [%us, %us, %us]\n", 1 + (unsigned)draw(20), 10 + (unsigned)draw(60),
               30 + (unsigned)draw(200));
    buf_printf(b, "expires: %llds\n", (long long)(scene.expires_us / 1000000));
    buf_printf(b, "tls: {level: %s}\n", chance(50) ? "none" : "may");
    buf_printf(b, "ambiguous: %s\n", ambiguous[draw(4)]);
    if (scene.kind == SCENE_SINK) {
        BUF_LIT(b, "sink: 127.0.0.1:2525\n");
    } else {
        BUF_LIT(b, "dns: {servers: [127.0.0.1]}\n");
    }
}

struct conf *scene_conf(bool full)
{
    struct buf text = BUF_EMPTY;
    struct conf_problems problems;

    put_conf(&text, full);
    struct conf *conf = conf_load_bytes("sim.yaml", buf_slice(&text), "mta.sim.test", &problems);
    trace("configuration:\n" SLICE_FMT, SLICE_ARG(buf_slice(&text)));
    if (conf == NULL) {
        struct buf why = BUF_EMPTY;
        conf_problems_put(&why, &problems);
        PANIC("configuration: " SLICE_FMT, SLICE_ARG(buf_slice(&why)));
    }
    conf_problems_fini(&problems);
    buf_fini(&text);
    return conf;
}
