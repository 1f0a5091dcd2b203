/*
 * schedule.c - when a job may be sent: not before its time, and in its window.
 */
#include "engine/deliver/schedule.h"

#include "engine/base/err.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/deliver/core.h"
#include "engine/deliver/outcome.h"
#include "throttle/window.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    KEPT_MAX = 500,  /* windows, and zones: dropped all together beyond that */
    EARLY_MS = 2000, /* our view of Redis' clock may lag so far behind */
    PATH_LEN = 512,
};

static const int64_t second_us = 1000000;
static const int64_t look_again_us = INT64_C(60) * 1000000;
static const int64_t never_us = INT64_C(366) * 86400 * 1000000; /* it expires before */

enum zone_state { ZONE_HERE, ZONE_UNKNOWN, ZONE_NO_DATABASE };

struct zone_entry {
    struct map_node node;
    struct zone zone;
    enum zone_state state;
    char name[];
};

/* A window as jobs name it. */
struct window_entry {
    struct map_node node;
    struct window window;
    const struct zone_entry *zone; /* NULL: UTC */
    bool broken;
    struct buf why; /* then */
    char text[];
};

/* ---- zones ---- */

static const char *database(void)
{
    const char *directory = getenv("TZDIR");

    return directory != NULL && directory[0] == '/' ? directory : "/usr/share/zoneinfo";
}

/* The bytes of a small file; ERR_NOTFOUND when it cannot be had. */
static int read_file(const char *path, struct buf *out)
{
    ssize_t got = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        return ERR_NOTFOUND;
    }
    buf_reserve(out, ZONE_BYTES_MAX + 1);
    while (out->len <= ZONE_BYTES_MAX &&
           (got = read(fd, out->ptr + out->len, ZONE_BYTES_MAX + 1 - out->len)) > 0) {
        out->len += (size_t)got;
    }
    close(fd);
    return got == 0 ? 0 : ERR_NOTFOUND;
}

static enum zone_state zone_load(struct zone *z, struct slice name)
{
    struct buf bytes = BUF_EMPTY;
    char path[PATH_LEN];
    int len = snprintf(path, sizeof(path), "%s/" SLICE_FMT, database(), SLICE_ARG(name));
    enum zone_state state = ZONE_UNKNOWN;

    if (len < (int)sizeof(path) && read_file(path, &bytes) == 0 &&
        zone_parse(z, buf_slice(&bytes)) == 0) {
        state = ZONE_HERE;
    } else if (access(database(), X_OK) != 0) {
        state = ZONE_NO_DATABASE;
    }
    buf_fini(&bytes);
    return state;
}

static const struct zone_entry *zone_get(struct deliver *d, struct slice name)
{
    struct map_node *node = map_find(&d->zones, name);

    if (node != NULL) {
        return CONTAINER_OF(node, struct zone_entry, node);
    }
    struct zone_entry *e = mem_zalloc(sizeof(*e) + name.len);
    memcpy(e->name, name.ptr, name.len);
    e->state = zone_load(&e->zone, name);
    map_insert(&d->zones, &e->node, slice_of(e->name, name.len));
    return e;
}

/* ---- windows ---- */

void schedule_free(struct deliver *d)
{
    struct map_node *node;

    while ((node = map_next(&d->windows, NULL)) != NULL) {
        struct window_entry *e = CONTAINER_OF(node, struct window_entry, node);
        map_remove(&d->windows, node);
        buf_fini(&e->why);
        mem_free(e);
    }
    while ((node = map_next(&d->zones, NULL)) != NULL) {
        struct zone_entry *e = CONTAINER_OF(node, struct zone_entry, node);
        map_remove(&d->zones, node);
        zone_fini(&e->zone);
        mem_free(e);
    }
}

static void window_read(struct deliver *d, struct window_entry *e, struct slice text)
{
    if (window_parse(&e->window, text, &e->why) != 0) {
        e->broken = true;
        return;
    }
    if (e->window.zone.len > 0) {
        e->zone = zone_get(d, e->window.zone);
        if (e->zone->state == ZONE_UNKNOWN) {
            e->broken = true;
            buf_printf(&e->why,
                       "no time zone \"" SLICE_FMT
                       "\" is known; write a name such as Europe/Berlin",
                       SLICE_ARG(e->window.zone));
        }
    }
}

static struct window_entry *window_get(struct deliver *d, struct slice text)
{
    if (d->windows.count >= KEPT_MAX || d->zones.count >= KEPT_MAX ||
        deliver_now(d) >= d->zones_until_us) {
        schedule_free(d); /* from time to time too: the database may be renewed */
        d->zones_until_us = deliver_now(d) + look_again_us;
    }
    struct map_node *node = map_find(&d->windows, text);
    if (node != NULL) {
        return CONTAINER_OF(node, struct window_entry, node);
    }
    struct window_entry *e = mem_zalloc(sizeof(*e) + text.len);
    memcpy(e->text, text.ptr, text.len);
    window_read(d, e, slice_of(e->text, text.len));
    map_insert(&d->windows, &e->node, slice_of(e->text, text.len));
    return e;
}

/* ---- asking ---- */

/* Rounded up to the second in which it opens. */
static int64_t window_opens(const struct window_entry *e, int64_t wall_us)
{
    const struct zone *z = e->zone != NULL ? &e->zone->zone : NULL;
    int64_t now_s = wall_us / second_us, open_s;

    if (e->zone != NULL && e->zone->state == ZONE_NO_DATABASE) {
        return wall_us + look_again_us;
    }
    open_s = window_next(&e->window, z, now_s);
    if (open_s == INT64_MAX) {
        return wall_us + never_us;
    }
    return open_s == now_s ? wall_us : open_s * second_us;
}

int64_t schedule_next(struct deliver *d, const struct job_record *r, int64_t wall_us)
{
    if (r->not_before_ms * 1000 > wall_us) {
        wall_us = r->not_before_ms * 1000;
    }
    if (r->window.len > 0) {
        const struct window_entry *e = window_get(d, r->window);
        if (!e->broken) {
            wall_us = window_opens(e, wall_us);
        }
    }
    return wall_us;
}

/* Promotion brings jobs back by Redis' own clock, of which ours is a guess: a job that is a
 * little early by ours is due. */
static bool too_early(const struct deliver *d, const struct job *j)
{
    return j->record.not_before_ms > deliver_queue_wall(d) / 1000 + EARLY_MS;
}

bool schedule_open(struct deliver *d, const struct job *j)
{
    int64_t wall_us = deliver_queue_wall(d);

    return j->record.window.len == 0 || schedule_next(d, &j->record, wall_us) <= wall_us;
}

static void complain_database(struct deliver *d)
{
    if (deliver_now(d) >= d->zones_complain_us) {
        d->zones_complain_us = deliver_now(d) + look_again_us;
        log_error("there are no time zones below %s: jobs with a window wait; install tzdata",
                  database());
    }
}

bool schedule_hold(struct deliver *d, struct job *j)
{
    int64_t wall_us = deliver_queue_wall(d);

    if (too_early(d, j)) {
        outcome_postpone(d, j, schedule_next(d, &j->record, wall_us) - wall_us);
        return true;
    }
    if (j->record.window.len == 0) {
        return false;
    }
    const struct window_entry *e = window_get(d, j->record.window);
    if (e->broken) {
        outcome_bounce(d, j, SMTP_STAGE_CONNECT, SMTP_FAILURE_CONFIG, SLICE("5.3.5"),
                       buf_slice(&e->why));
        return true;
    }
    int64_t opens_us = window_opens(e, wall_us);
    if (opens_us <= wall_us) {
        return false;
    }
    if (e->zone != NULL && e->zone->state == ZONE_NO_DATABASE) {
        complain_database(d);
    }
    outcome_postpone(d, j, opens_us - wall_us);
    return true;
}
