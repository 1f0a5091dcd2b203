/*
 * intake.c - what to ask Redis for: credit for intakes and bins.
 */
#include "engine/deliver/intake.h"

#include "engine/base/err.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/deliver/core.h"
#include "engine/deliver/destination.h"
#include "engine/deliver/obey.h"
#include "engine/deliver/local.h"
#include "engine/deliver/outcome.h"
#include "engine/deliver/schedule.h"

#include <string.h>

enum {
    CLAIM_SMALL = 32,
    LOOK_MAX = 256,          /* lists looked at for one claim */
    UNKNOWN_SITE_CREDIT = 4, /* of a bin whose site is not in memory: enough to learn it */
    HIGH_PERCENT = 90,
    NORMAL_PERCENT = 80,         /* of what high leaves */
    CLAIM_BYTES_MAX = 8 << 20,   /* of all records; each list gives one at least */
    CLAIM_AGAIN_US = 100 * 1000, /* after an error */
    DOOMED_PERCENT = 90,         /* of an answer */
    DOOMED_MIN = 10,             /* jobs in it that say something */
    CULL_US = 10 * 1000,         /* between claims from doomed lists: 20,000 jobs a second */
};

struct list_entry {
    struct map_node node;
    struct list order_link; /* in deliver->list_order: asked least recently first */
    struct list_name name;
    struct list doomed_link; /* in deliver->doomed: orders or expiry end nearly all that it gives */
    uint32_t asked;          /* jobs asked for and not here yet */
    char text[];
};

/* What is wanted, being gathered. */
struct claim {
    struct list_entry *entry[QUEUE_CLAIM_LISTS_MAX];
    struct site_credit *site[QUEUE_CLAIM_LISTS_MAX]; /* NULL: an intake, or not in memory */
    uint32_t credit[QUEUE_CLAIM_LISTS_MAX];          /* most that this list may give */
    uint32_t given[QUEUE_CLAIM_LISTS_MAX];
    size_t count;
};

void intake_list(struct deliver *d, struct slice name)
{
    struct list_name parsed;

    if (map_find(&d->lists, name) != NULL) {
        return;
    }
    if (list_name_parse(&parsed, name) != 0) {
        log_warn("Redis names a list that is none: " SLICE_FMT, SLICE_ARG(name));
        return;
    }
    if (parsed.bin && !destination_is_home(d, parsed.site)) {
        return; /* its home worker hears of it too */
    }
    struct list_entry *e = mem_zalloc(sizeof(*e) + name.len + 1);
    memcpy(e->text, name.ptr, name.len);
    (void)list_name_parse(&e->name, slice_of(e->text, name.len));
    map_insert(&d->lists, &e->node, slice_of(e->text, name.len));
    list_init(&e->doomed_link);
    /* In front: a list that just became non-empty may be a password reset. */
    list_prepend(&d->list_order, &e->order_link);
}

static void entry_free(struct deliver *d, struct list_entry *e)
{
    map_remove(&d->lists, &e->node);
    list_remove(&e->order_link);
    list_remove(&e->doomed_link);
    mem_free(e);
}

void intake_free(struct deliver *d)
{
    struct map_node *node;

    while ((node = map_next(&d->lists, NULL)) != NULL) {
        entry_free(d, CONTAINER_OF(node, struct list_entry, node));
    }
}

/* ---- credit ---- */

/* What a class may fill of any memory: the rest is for those above it. */
static const uint32_t class_percent[] = {[JOB_HIGH] = 100, [JOB_NORMAL] = 90, [JOB_BULK] = 80};

/* Jobs that may be on their way before this class gets no more. */
static uint32_t memory_for(const struct deliver *d, enum job_class class)
{
    uint64_t target = d->rate_last / 2;

    target = target < DELIVER_JOBS_MIN ? DELIVER_JOBS_MIN : target;
    target = target > DELIVER_JOBS_MAX ? DELIVER_JOBS_MAX : target;
    return (uint32_t)(target * class_percent[class] / 100);
}

/* Jobs that count for that: those that we could bring to a connection as fast as we work.  Not
 * those that wait for the world (a name, a limit, the reply of a server): a thousand slow sites
 * would end all claiming, and who stands behind them in the intake would wait for them. */
static uint32_t held(const struct deliver *d)
{
    return d->jobs - d->resolving - d->blocked - d->sending + d->claiming;
}

static uint32_t less(uint32_t from, uint32_t what)
{
    return from > what ? from - what : 0;
}

/* The paths there are rest for their sources' sake, and another source could take the jobs. */
static bool other_source(const struct deliver *d, const struct list_entry *e, const struct site *s)
{
    int64_t up_us;

    LIST_EACH (link, &s->paths) {
        const struct path *p = CONTAINER_OF(link, struct path, site_link);
        if (local_until_us(d, p->source) <= deliver_now(d)) {
            return false;
        }
    }
    return !hosts_all_down(&s->hosts, NULL, deliver_now(d), &up_us) &&
           destination_has_source(d, e->name.via, e->name.pool);
}

/* What all bins of a site and class may give together. */
static uint32_t bins_credit(struct deliver *d, const struct list_entry *e, const struct site *s)
{
    uint32_t credit = 0;

    if (deliver_now(d) < s->credit[e->name.class].rest_until_us) {
        return 0;
    }
    LIST_EACH (link, &s->paths) {
        const struct path *p = CONTAINER_OF(link, struct path, site_link);
        uint32_t capacity = path_capacity(p, deliver_now(d));
        uint32_t waiting = p->waiting[e->name.class] + p->awaited;
        credit += less(capacity, waiting);
    }
    if (credit == 0 && d->local_troubles.count > 0 && other_source(d, e, s)) {
        credit = UNKNOWN_SITE_CREDIT;
    }
    return less(credit, s->credit[e->name.class].asked);
}

static struct site *entry_site(struct deliver *d, const struct list_entry *e)
{
    struct site *s = e->name.bin ? site_find(d, e->name.site) : NULL;

    return s == NULL || list_empty(&s->paths) ? NULL : s;
}

static bool paused(struct deliver *d, const struct list_entry *e)
{
    return orders_pause_list(queue_orders(d->queue), &e->name, deliver_now(d));
}

static uint32_t entry_credit(struct deliver *d, const struct list_entry *e, const struct site *s)
{
    uint32_t all = DELIVER_MEMORY_MAX / 100 * class_percent[e->name.class];
    uint32_t room = less(all, d->jobs + d->claiming);
    uint32_t credit = less(memory_for(d, e->name.class), held(d));

    if (!list_empty(&e->doomed_link) || paused(d, e)) {
        return 0;
    }
    credit = credit < room ? credit : room;
    if (credit > 0 && e->name.bin) {
        uint32_t bin = s != NULL ? bins_credit(d, e, s) : less(UNKNOWN_SITE_CREDIT, e->asked);
        credit = bin < credit ? bin : credit;
    }
    return credit < QUEUE_CLAIM_JOBS_MAX ? credit : QUEUE_CLAIM_JOBS_MAX;
}

/* The bins of a site draw on one credit.  Each has the same part of it, the one that was asked
 * least recently first: when there is one place, they take it by turns.  What one cannot use
 * is asked from the others next time. */
static void share_sites(struct claim *claim)
{
    for (size_t i = 0; i < claim->count; i++) {
        if (claim->site[i] != NULL) {
            claim->site[i]->left = claim->credit[i];
            claim->site[i]->lists = 0;
        }
    }
    for (size_t i = 0; i < claim->count; i++) {
        if (claim->site[i] != NULL) {
            claim->site[i]->lists++;
        }
    }
    for (size_t i = 0; i < claim->count; i++) {
        struct site_credit *site = claim->site[i];
        if (site != NULL) {
            uint32_t part = (site->left + site->lists - 1) / site->lists;
            claim->credit[i] = part < claim->credit[i] ? part : claim->credit[i];
            site->left -= claim->credit[i];
            site->lists--;
        }
    }
}

/* Those that can take nothing (bins of sites that are down, paused lists) go to the end: a
 * thousand of them must not stand before the others for ever. */
static void gather(struct deliver *d, struct claim *claim)
{
    struct list idle;
    size_t looked = 0;

    list_init(&idle);
    LIST_EACH_SAFE (link, &d->list_order) {
        struct list_entry *e = CONTAINER_OF(link, struct list_entry, order_link);
        struct site *s = entry_site(d, e);
        uint32_t credit = entry_credit(d, e, s);
        if (credit == 0) {
            list_remove(link);
            list_append(&idle, link);
        }
        if (credit > 0) {
            claim->site[claim->count] = s != NULL ? &s->credit[e->name.class] : NULL;
            claim->entry[claim->count] = e;
            claim->credit[claim->count] = credit;
            claim->given[claim->count++] = 0;
        }
        if (claim->count == QUEUE_CLAIM_LISTS_MAX || ++looked == LOOK_MAX) {
            break;
        }
    }
    list_splice(&d->list_order, &idle);
    share_sites(claim);
}

/* Gives up to `share` jobs of credit to the lists of a class, equally; returns what is left. */
static uint32_t deal(struct claim *claim, enum job_class class, uint32_t share)
{
    bool dealt = true;

    while (share > 0 && dealt) {
        uint32_t open = 0;
        for (size_t i = 0; i < claim->count; i++) {
            open += claim->entry[i]->name.class == class && claim->given[i] < claim->credit[i];
        }
        uint32_t each = open > 0 ? (share + open - 1) / open : 0;
        dealt = false;
        for (size_t i = 0; i < claim->count && share > 0; i++) {
            uint32_t more = claim->credit[i] - claim->given[i];
            if (claim->entry[i]->name.class != class || more == 0) {
                continue;
            }
            more = more < each ? more : each;
            more = more < share ? more : share;
            claim->given[i] += more;
            share -= more;
            dealt = true;
        }
    }
    return share;
}

static bool has_class(const struct claim *claim, enum job_class class)
{
    for (size_t i = 0; i < claim->count; i++) {
        if (claim->entry[i]->name.class == class) {
            return true;
        }
    }
    return false;
}

static void deal_all(struct claim *claim)
{
    uint32_t left = QUEUE_CLAIM_JOBS_MAX;
    bool others = has_class(claim, JOB_NORMAL) || has_class(claim, JOB_BULK);
    uint32_t high = others ? left * HIGH_PERCENT / 100 : left;

    left = left - high + deal(claim, JOB_HIGH, high);
    uint32_t normal = has_class(claim, JOB_BULK) ? left * NORMAL_PERCENT / 100 : left;
    left = left - normal + deal(claim, JOB_NORMAL, normal);
    left = deal(claim, JOB_BULK, left);
    /* What bulk could not use flows back up. */
    left = deal(claim, JOB_NORMAL, left);
    (void)deal(claim, JOB_HIGH, left);
}

/* Claims from a list of which nearly all is ended at once: these jobs never wait in memory, so
 * they need none; and a million that were cancelled take their minute, not the time that as many
 * letters would.  Beside the other claims, which go on as if the list were not there. */
static void cull(struct deliver *d)
{
    struct list *link = list_first(&d->doomed);
    int64_t now_us = deliver_now(d);

    if (link == NULL || d->cull != 0 || now_us < d->cull_not_before_us) {
        return;
    }
    struct list_entry *e = CONTAINER_OF(link, struct list_entry, doomed_link);
    list_remove(link);
    list_append(&d->doomed, link); /* the next one next time */
    struct queue_want want = {e->node.key, QUEUE_CLAIM_JOBS_MAX, CLAIM_BYTES_MAX};
    if (!paused(d, e) && queue_claim(d->queue, &want, 1) == 0) {
        d->cull = ++d->claims_made;
        d->cull_not_before_us = now_us + CULL_US;
        wheel_arm(io_wheel(d->o.io), &d->cull_timer, d->cull_not_before_us);
    }
}

void intake_reprieve(struct deliver *d)
{
    struct list *link;

    while ((link = list_first(&d->doomed)) != NULL) {
        list_remove(link);
    }
}

/* Makes one claim; false when there is nothing to ask for, or no further claim can be made. */
static bool claim_once(struct deliver *d)
{
    struct queue_want wants[QUEUE_CLAIM_LISTS_MAX];
    struct claim claim = {.count = 0};
    uint32_t asked = 0;
    size_t count = 0;

    gather(d, &claim);
    deal_all(&claim);
    for (size_t i = 0; i < claim.count; i++) {
        asked += claim.given[i];
    }
    if (asked < CLAIM_SMALL && d->claiming > 0) {
        return false; /* it can wait for what is under way, and then be a larger one */
    }
    for (size_t i = 0; i < claim.count; i++) {
        if (claim.given[i] > 0) {
            struct list_entry *e = claim.entry[i];
            uint32_t bytes = (uint32_t)((uint64_t)CLAIM_BYTES_MAX * claim.given[i] / asked);
            wants[count++] = (struct queue_want){e->node.key, claim.given[i], bytes};
            list_remove(&e->order_link);
            list_append(&d->list_order, &e->order_link);
        }
    }
    if (count == 0 || queue_claim(d->queue, wants, count) != 0) {
        return false;
    }
    for (size_t i = 0; i < claim.count; i++) {
        claim.entry[i]->asked += claim.given[i];
        if (claim.site[i] != NULL) {
            claim.site[i]->asked += claim.given[i];
        }
    }
    d->claims_made++;
    d->claiming += asked;
    return true;
}

void intake_claim(struct deliver *d)
{
    if (deliver_now(d) < d->claim_not_before_us) {
        return;
    }
    if (d->up && !d->draining && queue_backlog(d->queue) <= DELIVER_OUTCOMES_MAX / 2 &&
        queue_may_start(d->queue)) {
        cull(d);
    }
    while (d->up && !d->draining && held(d) < memory_for(d, JOB_HIGH) &&
           d->jobs + d->claiming < DELIVER_MEMORY_MAX && d->job_bytes < DELIVER_JOB_BYTES_MAX &&
           queue_backlog(d->queue) <= DELIVER_OUTCOMES_MAX && queue_may_start(d->queue) &&
           claim_once(d)) {}
}

/* ---- what came ---- */

void intake_record(struct deliver *d, size_t want, const struct job_record *record)
{
    struct job *j = job_new(record, deliver_now(d));

    deliver_job_in(d, j);
    DELIVER_COUNT(d, claimed, 1);
    j->held = queue_hold_add(d->queue, &j->hold, j->record.id);
    if (d->draining) {
        outcome_return(d, j); /* claimed before, answered only now */
    } else if (obey(d, j, SLICE_NONE)) {
        d->obeyed[want]++;
    } else if (!schedule_hold(d, j)) {
        destination_route(d, j);
    }
}

static void forget_asked(struct deliver *d)
{
    d->claiming = 0;
    MAP_EACH (node, &d->lists) {
        CONTAINER_OF(node, struct list_entry, node)->asked = 0;
    }
    MAP_EACH (node, &d->sites) {
        struct site *s = CONTAINER_OF(node, struct site, node);
        memset(s->credit, 0, sizeof(s->credit));
    }
}

/* The site may be another than when it was asked, or new: then less was asked of it. */
static void site_answered(struct deliver *d, const struct queue_got *got)
{
    struct list_name name;

    if (list_name_parse(&name, got->list) == 0 && name.bin) {
        struct site *s = site_find(d, name.site);
        if (s != NULL) {
            s->credit[name.class].asked = less(s->credit[name.class].asked, got->wanted);
        }
    }
}

/* What became of the jobs says how to ask for more of them. */
static void judge_list(struct deliver *d, struct list_entry *e, const struct queue_got *got,
                       uint32_t obeyed)
{
    if (got->jobs >= DOOMED_MIN && obeyed * 100 >= got->jobs * DOOMED_PERCENT) {
        if (list_empty(&e->doomed_link)) {
            list_append(&d->doomed, &e->doomed_link);
        }
    } else if (got->jobs > 0) {
        list_remove(&e->doomed_link);
    }
}

void intake_claimed(struct deliver *d, int err, const struct queue_got *got, size_t count)
{
    bool culled = ++d->claims_ended == d->cull;
    uint32_t obeyed[QUEUE_CLAIM_LISTS_MAX];

    memcpy(obeyed, d->obeyed, sizeof(obeyed));
    memset(d->obeyed, 0, sizeof(d->obeyed));
    if (culled) {
        d->cull = 0;
    }
    if (err != 0) {
        forget_asked(d);
        /* What fails at once would be asked again at once; the queue's own tick comes later. */
        d->claim_not_before_us = deliver_now(d) + CLAIM_AGAIN_US;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct map_node *node = map_find(&d->lists, got[i].list);
        struct list_entry *e = node != NULL ? CONTAINER_OF(node, struct list_entry, node) : NULL;
        if (!culled) {
            d->claiming = less(d->claiming, got[i].wanted);
            site_answered(d, &got[i]);
        }
        if (e != NULL) {
            e->asked = culled ? e->asked : less(e->asked, got[i].wanted);
            judge_list(d, e, &got[i], obeyed[i]);
            if (got[i].left == 0) {
                entry_free(d, e);
            }
        }
    }
}
