/*
 * scene.c - what a seed stands for: who is there, what is submitted, and what happens when.
 */
#include "tests/sim/scene.h"

#include "tests/sim/hosts.h"
#include "tests/sim/names.h"
#include "tests/sim/queue_private.h"
#include "tests/sim/run.h"
#include "tests/sim/world.h"

#include <stdio.h>
#include <string.h>

enum { S = 1000000 };

struct scene scene;

/* ---- recipients ---- */

static enum fate draw_fate(void)
{
    uint64_t n = draw(100);

    return n < 70   ? FATE_GOOD
           : n < 80 ? FATE_BAD
           : n < 88 ? FATE_GREY
           : n < 94 ? FATE_FULL
                    : FATE_SPAM;
}

static bool route_innocent(unsigned route)
{
    for (unsigned i = 0; i < scene.route_host_count[route]; i++) {
        if (!hosts_at(scene.route_hosts[route][i])->innocent) {
            return false;
        }
    }
    return true;
}

/* By which way: fills in the lane, and whether everybody on it is innocent. */
static void draw_way(struct rcpt *r, enum job_class class)
{
    bool by_route = scene.kind == SCENE_ROUTES || (scene.kind == SCENE_MIXED && chance(40));
    const char *tenant = chance(50) ? "acme" : "other";

    if (by_route) {
        unsigned route = (unsigned)draw(scene.routes);
        snprintf(r->lane, sizeof(r->lane), "%s:route=r%u:%s", job_class_name(class), route, tenant);
        r->innocent = route_innocent(route);
        return;
    }
    const char *pool = chance(70) ? "default" : chance(50) ? "source=a" : "source=b";
    snprintf(r->lane, sizeof(r->lane), "%s:%s:%s", job_class_name(class), pool, tenant);
    r->innocent = scene.kind == SCENE_SINK ? hosts_at(0)->innocent : names_innocent(r->domain);
}

static void submit(void *ctx, int64_t arg)
{
    struct rcpt *r = ctx;
    static const enum job_class classes[] = {JOB_HIGH, JOB_NORMAL, JOB_NORMAL, JOB_BULK, JOB_BULK};
    enum job_class class = classes[draw(5)];

    (void)arg;
    if (store.away) {
        world_at(S, WORLD_OUTSIDE, 0, submit, r, 0);
        return;
    }
    r->domain = (unsigned)draw(scene.domains);
    r->letter = (unsigned)draw(sim_letter_count);
    r->own_body = chance(15);
    r->fate = draw_fate();
    r->patience = (unsigned)draw_between(1, 3);
    r->suppressed = store.suppress_number > 0 && chance(10);
    snprintf(r->to, sizeof(r->to), "r%u@d%u.test", r->index, r->domain);
    draw_way(r, class);
    record_put_head(&r->record, slice_cstr(r->id), class, r->own_body, slice_cstr(r->lane),
                    slice_cstr(r->to), store_wall_ms());
    if (!r->own_body) {
        record_put_text(&r->record, RECORD_MESSAGE, slice_cstr(sim_letters[r->letter].id));
    }
    if (chance(20)) {
        record_put_text(&r->record, RECORD_DSN_NOTIFY, SLICE("failure"));
    }
    trace("%s: submitted for %s by %s, letter %u, fate %d, %s", r->id, r->to, r->lane, r->letter,
          (int)r->fate, r->innocent ? "innocent" : "not so");
    store_submit(r);
}

/* ---- what happens ---- */

static void promote(void *ctx, int64_t arg)
{
    (void)ctx;
    (void)arg;
    store_promote();
    if (!scene.over) {
        world_at(S, WORLD_OUTSIDE, 0, promote, NULL, 0);
    }
}

static void look(void *ctx, int64_t arg)
{
    (void)ctx;
    (void)arg;
    queues_look();
}

static void redis_returns(void *ctx, int64_t arg)
{
    (void)ctx;
    (void)arg;
    store_return();
}

static void redis_leaves(void *ctx, int64_t for_us)
{
    (void)ctx;
    if (!hosts_healed()) {
        store_leave();
        world_at(draw_between(0, 1000), WORLD_IN_TICK, 0, look, NULL, 0);
        world_at(for_us, WORLD_OUTSIDE, 0, redis_returns, NULL, 0);
    }
}

static void doubt(void *ctx, int64_t for_us)
{
    (void)ctx;
    store.doubt = for_us > 0 && !hosts_healed();
    trace("the lease is %s", store.doubt ? "in doubt" : "sure");
    if (store.doubt) {
        world_at(for_us, WORLD_OUTSIDE, 0, doubt, NULL, 0);
    }
}

static void take_over(void *ctx, int64_t life)
{
    (void)ctx;
    store_take_over((uint64_t)life);
}

static void new_life(void *ctx, int64_t arg)
{
    (void)ctx;
    (void)arg;
    if (hosts_healed() || run_draining()) {
        return;
    }
    trace("a new life");
    people_owned_lost(store.life);
    world_at(draw_between(0, 5 * S), WORLD_OUTSIDE, 0, take_over, NULL, (int64_t)store.life);
    store.life++;
}

static void reload(void *ctx, int64_t arg)
{
    (void)ctx;
    (void)arg;
    if (!hosts_healed()) {
        scene.names_taken = true;
        run_configure(NULL, 0);
    }
}

static void drain(void *ctx, int64_t drain_us)
{
    (void)ctx;
    if (hosts_healed()) {
        return;
    }
    scene.cut = true;
    run_close(NULL, drain_us);
    if (chance(30)) {
        world_at(draw_between(0, drain_us), WORLD_AFTER, 0, run_cut, NULL, 0);
    }
}

static void list_touched(void *ctx, int64_t arg)
{
    (void)ctx;
    (void)arg;
    store.suppress_number++;
}

static void zone_changes(void *ctx, int64_t arg)
{
    (void)ctx;
    (void)arg;
    if (!hosts_healed()) {
        names_change();
    }
}

static void letter_comes(void *ctx, int64_t arg)
{
    (void)arg;
    ((struct sim_letter *)ctx)->missing = false;
}

static void heal(void *ctx, int64_t arg)
{
    (void)ctx;
    (void)arg;
    hosts_heal();
    names_heal();
    store_return();
    store.doubt = false;
    if (scene.names_taken) {
        run_configure(NULL, 1);
    }
}

static void ring(void *ctx, int64_t list)
{
    (void)ctx;
    unsigned w = (unsigned)draw(scene.workers);

    if (run_deliver(w) != NULL) {
        deliver_bell(run_deliver(w), list < 0 ? SLICE_NONE : slice_cstr(store.lists[list].name));
    }
}

void scene_bell(struct slice list)
{
    const struct store_list *l = store_list_find(list);

    if (chance(70)) {
        world_at(draw_between(10, 2000), WORLD_AFTER, (unsigned)draw(scene.workers), ring, NULL,
                 chance(90) ? l - store.lists : -1);
    }
}

/* ---- the scene ---- */

static void draw_routes(unsigned hosts)
{
    scene.routes =
        scene.kind == SCENE_ROUTES || scene.kind == SCENE_MIXED ? 1 + (unsigned)draw(4) : 0;
    for (unsigned i = 0; i < scene.routes; i++) {
        scene.route_host_count[i] = 1 + (unsigned)draw(3);
        for (unsigned k = 0; k < scene.route_host_count[i]; k++) {
            scene.route_hosts[i][k] = (unsigned)draw(hosts);
        }
    }
}

static int64_t some_time(void)
{
    return draw_between(0, scene.heal_us - world.now_us);
}

static void draw_events(void)
{
    for (uint64_t n = chance(40) ? draw(5) : 0; n > 0; n--) {
        world_at(some_time(), WORLD_AFTER, 0, reload, NULL, 0);
    }
    for (uint64_t n = chance(40) ? draw(4) : 0; n > 0; n--) {
        world_at(some_time(), WORLD_OUTSIDE, 0, redis_leaves, NULL,
                 draw_between(1000, chance(30) ? 60 * S : 2 * S));
    }
    for (uint64_t n = chance(20) ? draw(3) : 0; n > 0; n--) {
        world_at(some_time(), WORLD_OUTSIDE, 0, doubt, NULL, draw_between(1000, 20 * S));
    }
    for (uint64_t n = chance(15) ? draw(3) : 0; n > 0; n--) {
        world_at(some_time(), WORLD_OUTSIDE, 0, new_life, NULL, 0);
    }
    for (uint64_t n = chance(50) ? draw(6) : 0; n > 0 && scene.kind >= SCENE_MX; n--) {
        world_at(some_time(), WORLD_OUTSIDE, 0, zone_changes, NULL, 0);
    }
    for (uint64_t n = store.suppress_number > 0 ? draw(6) : 0; n > 0; n--) {
        world_at(some_time(), WORLD_OUTSIDE, 0, list_touched, NULL, 0);
    }
    if (chance(25)) {
        world_at(some_time(), WORLD_AFTER, 0, drain, NULL, draw_between(0, 30 * S));
    }
}

static void draw_people(void)
{
    unsigned count = 1 + (unsigned)draw(chance(10) ? PEOPLE_MAX : chance(50) ? 20 : 80);
    int64_t span_us = chance(50) ? S : scene.heal_us - world.now_us;

    for (unsigned i = 0; i < count; i++) {
        world_at(draw_between(0, span_us), WORLD_OUTSIDE, 0, submit, people_add(), 0);
    }
}

void scene_make(void)
{
    memset(&scene, 0, sizeof(scene));
    scene.kind = (enum scene_kind)draw(SCENE_KINDS);
    scene.workers = chance(60) ? 1 : 2;
    scene.level = (unsigned)draw(5);
    scene.heal_us = world.now_us + draw_between(10, 400) * S;
    scene.expires_us = draw_between(1800, 7200) * S;
    scene.horizon_us = scene.heal_us + scene.expires_us + INT64_C(3600) * S;
    scene.domains = 1 + (unsigned)draw(DOMAINS_MAX_SIM);
    bool sink = scene.kind == SCENE_SINK;
    unsigned hosts = sink ? 1 : 1 + (unsigned)draw(12);
    hosts_make(hosts, sink ? "127.0.0.1" : NULL, 2525);
    names_make(scene.domains, hosts);
    draw_routes(hosts);
    letters_make(1 + (unsigned)draw(4));
    store.suppress_number = chance(30) ? 1 : 0;
    draw_people();
    if (scene.level > 1) {
        draw_events();
    }
    if (scene.level == 0) {
        hosts_heal();
        names_heal();
    } else {
        world_at(scene.heal_us - world.now_us, WORLD_AFTER, 0, heal, NULL, 0);
    }
    if (chance(10)) {
        sim_letters[0].missing = true;
        world_at(draw_between(0, 120 * S), WORLD_OUTSIDE, 0, letter_comes, &sim_letters[0], 0);
    }
    world_at(S, WORLD_OUTSIDE, 0, promote, NULL, 0);
}
