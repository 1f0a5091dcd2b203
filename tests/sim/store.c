/*
 * store.c - a model of what Redis holds.
 */
#include "tests/sim/store.h"

#include "engine/base/clock.h"
#include "engine/base/panic.h"
#include "tests/sim/scene.h"
#include "tests/sim/world.h"

#include <stdio.h>
#include <string.h>

struct store store;

void store_init(void)
{
    memset(&store, 0, sizeof(store));
    list_init(&store.due);
    store.life = 1;
}

int64_t store_wall_ms(void)
{
    return clock_wall_us() / 1000;
}

struct store_list *store_list_find(struct slice name)
{
    for (size_t i = 0; i < store.list_count; i++) {
        if (slice_eq(slice_cstr(store.lists[i].name), name)) {
            return &store.lists[i];
        }
    }
    return NULL;
}

static struct store_list *list_get(struct slice name)
{
    struct store_list *l = store_list_find(name);

    if (l == NULL) {
        ASSERT(store.list_count < STORE_LISTS_MAX && name.len < sizeof(l->name));
        l = &store.lists[store.list_count++];
        memcpy(l->name, name.ptr, name.len);
        list_init(&l->jobs);
    }
    return l;
}

void store_put(struct rcpt *r, struct slice list, bool front)
{
    struct store_list *l = list_get(list);

    list_remove(&r->link);
    if (front) {
        list_prepend(&l->jobs, &r->link);
    } else {
        list_append(&l->jobs, &r->link);
    }
    r->place = PLACE_LIST;
    if (l->count++ == 0) {
        l->change = world_number();
        scene_bell(list);
    }
}

static void put_into_intake(struct rcpt *r)
{
    char name[256];
    int len = snprintf(name, sizeof(name), "in:%s", r->lane);

    store_put(r, slice_of(name, (size_t)len), false);
}

void store_submit(struct rcpt *r)
{
    char name[400];
    const char *site = store.mapped[r->domain];

    r->submitted_us = world.now_us;
    if (site[0] == '\0') {
        put_into_intake(r);
        return;
    }
    int len = snprintf(name, sizeof(name), "bin:%s:%s", r->lane, site);
    store_put(r, slice_of(name, (size_t)len), false);
}

static void unmap(const struct rcpt *r)
{
    store.mapped[r->domain][0] = '\0';
}

size_t store_claim(struct slice list, uint64_t life, size_t jobs, struct rcpt **out)
{
    struct store_list *l = store_list_find(list);
    size_t count = 0;

    while (l != NULL && count < jobs && l->count > 0) {
        struct rcpt *r = CONTAINER_OF(list_first(&l->jobs), struct rcpt, link);
        list_remove(&r->link);
        l->count--;
        r->place = PLACE_OWNED;
        r->life = life;
        out[count++] = r;
        if (l->count == 0 && l->name[0] == 'b') {
            unmap(r);
        }
    }
    return count;
}

bool store_owned(const struct rcpt *r, uint64_t life)
{
    return r->place == PLACE_OWNED && r->life == life;
}

void store_done(struct rcpt *r)
{
    r->place = PLACE_DONE;
}

void store_defer(struct rcpt *r, struct slice record, int64_t due_ms)
{
    buf_reset(&r->record);
    buf_puts(&r->record, record);
    r->due_ms = due_ms;
    r->place = PLACE_DUE;
    list_append(&store.due, &r->link);
}

void store_promote(void)
{
    int64_t now_ms = store_wall_ms();

    if (store.away) {
        return;
    }
    LIST_EACH_SAFE (link, &store.due) {
        struct rcpt *r = CONTAINER_OF(link, struct rcpt, link);
        if (r->due_ms <= now_ms) {
            put_into_intake(r);
        }
    }
}

void store_take_over(uint64_t life)
{
    for (unsigned i = 0; i < people_count; i++) {
        struct rcpt *r = people[i];
        if (store_owned(r, life)) {
            trace("%s: taken over", r->id);
            put_into_intake(r);
        }
    }
}

void store_leave(void)
{
    if (!store.away) {
        trace("redis is away");
        store.away = true;
        store.away_since_us = world.now_us;
    }
}

void store_return(void)
{
    if (store.away) {
        trace("redis is back");
        store.away = false;
        store.away_us += world.now_us - store.away_since_us;
    }
}

unsigned store_open(void)
{
    unsigned open = 0;

    for (unsigned i = 0; i < people_count; i++) {
        open += people[i]->place != PLACE_DONE;
    }
    return open;
}
