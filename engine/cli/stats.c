/*
 * stats.c - figures of a queue, for people.
 */
#include "engine/cli/stats.h"
#include "engine/base/mem.h"
#include "engine/cli/table.h"

#include <stdio.h>
#include <string.h>

static void cell_count(struct table *t, uint64_t value)
{
    struct buf text = BUF_EMPTY;

    table_put_count(&text, value);
    table_cell(t, buf_slice(&text));
    buf_fini(&text);
}

static void cell_age(struct table *t, int64_t ms)
{
    struct buf text = BUF_EMPTY;

    desk_put_age(&text, ms);
    table_cell(t, buf_slice(&text));
    buf_fini(&text);
}

static void cells(struct table *t, const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        table_cell(t, slice_cstr(texts[i]));
    }
}

#define HEADS(t, ...)                              \
    cells((t), (const char *const[]){__VA_ARGS__}, \
          sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static void end_table(struct buf *out, struct table *t)
{
    buf_putc(out, '\n');
    table_put(out, t, 0);
    table_fini(t);
}

static int64_t age_of(const struct figures *f, const struct figures_pile *pile)
{
    return pile->oldest_ms > 0 ? (f->now_ms > pile->oldest_ms ? f->now_ms - pile->oldest_ms : 0)
                               : -1;
}

/* ---- classes ---- */

static void put_due_time(struct table *t, const struct figures *f, int64_t next_ms)
{
    struct buf text = BUF_EMPTY;

    if (next_ms == 0) {
        BUF_LIT(&text, "-");
    } else if (next_ms <= f->now_ms) {
        BUF_LIT(&text, "now");
    } else {
        BUF_LIT(&text, "in ");
        desk_put_age(&text, next_ms - f->now_ms);
    }
    table_cell(t, buf_slice(&text));
    buf_fini(&text);
}

static void put_classes(struct buf *out, const struct figures *f)
{
    struct table t;
    struct figures_class all = {.due = 0};

    table_init(&t, "lrrrrrr");
    HEADS(&t, "class", "waiting", "parked", "due", "due now", "next due", "oldest");
    for (unsigned c = 0; c < JOB_CLASSES; c++) {
        const struct figures_class *class = &f->class[c];
        table_cell(&t, slice_cstr(job_class_name(c)));
        cell_count(&t, class->pile.waiting);
        cell_count(&t, class->pile.parked);
        cell_count(&t, class->due);
        cell_count(&t, class->due_now);
        put_due_time(&t, f, class->next_due_ms);
        cell_age(&t, age_of(f, &class->pile));
        all.pile.waiting += class->pile.waiting;
        all.pile.parked += class->pile.parked;
        all.due += class->due;
    }
    buf_putc(out, '\n');
    table_put_count(out, all.pile.waiting + all.pile.parked + all.due + f->owned + f->held);
    BUF_LIT(out, " jobs: ");
    table_put_count(out, all.pile.waiting);
    BUF_LIT(out, " waiting, ");
    table_put_count(out, all.pile.parked);
    BUF_LIT(out, " parked, ");
    table_put_count(out, all.due);
    BUF_LIT(out, " due, ");
    table_put_count(out, f->owned);
    BUF_LIT(out, " owned, ");
    table_put_count(out, f->held);
    BUF_LIT(out, " held\n");
    end_table(out, &t);
}

/* ---- lanes and sites ---- */

static void put_more(struct buf *out, size_t count, uint64_t top, const char *what)
{
    if (count > top) {
        BUF_LIT(out, "... and ");
        table_put_count(out, count - top);
        buf_printf(out, " more %s; --top shows more\n", what);
    }
}

static void put_lanes(struct buf *out, const struct figures *f, uint64_t top)
{
    size_t count;
    const struct figures_group **lane = figures_sorted(&f->lanes, &count);
    struct table t;

    table_init(&t, "lllrrr");
    HEADS(&t, "class", "pool", "tenant", "waiting", "parked", "oldest");
    for (size_t i = 0; i < count && i < top; i++) {
        struct slice rest = slice_cstr(lane[i]->name), word;
        for (unsigned w = 0; w < 3; w++) {
            word = SLICE_NONE;
            slice_next(&rest, ':', &word);
            table_cell(&t, word);
        }
        cell_count(&t, lane[i]->pile.waiting);
        cell_count(&t, lane[i]->pile.parked);
        cell_age(&t, age_of(f, &lane[i]->pile));
    }
    if (count > 0) {
        end_table(out, &t);
        put_more(out, count, top, "lanes");
    } else {
        table_fini(&t);
    }
    mem_free(lane);
}

static void put_sites(struct buf *out, const struct figures *f, uint64_t top)
{
    size_t count;
    const struct figures_group **site = figures_sorted(&f->sites, &count);
    struct table t;

    table_init(&t, "lrrr");
    HEADS(&t, "site", "parked", "bins", "oldest");
    for (size_t i = 0; i < count && i < top; i++) {
        table_cell(&t, slice_cstr(site[i]->name));
        cell_count(&t, site[i]->pile.parked);
        cell_count(&t, site[i]->pile.lists);
        cell_age(&t, age_of(f, &site[i]->pile));
    }
    if (count > 0) {
        end_table(out, &t);
        put_more(out, count, top, "sites");
    } else {
        table_fini(&t);
    }
    mem_free(site);
}

/* ---- nodes, events, the server ---- */

static void put_nodes(struct buf *out, const struct figures *f)
{
    struct table t;
    struct buf text = BUF_EMPTY;

    if (f->life_count == 0) {
        BUF_LIT(out, "\nno engine is registered\n");
        return;
    }
    table_init(&t, "lrll");
    HEADS(&t, "node", "owned", "lease", "where");
    for (size_t i = 0; i < f->life_count; i++) {
        const struct figures_life *life = &f->life[i];
        int64_t left_ms = life->lease_ms - f->now_ms;
        table_cell(&t, slice_cstr(life->name));
        cell_count(&t, life->jobs);
        buf_reset(&text);
        if (life->lease_ms == 0) {
            BUF_LIT(&text, "ended");
        } else {
            BUF_LIT(&text, "ends in ");
            if (left_ms < 0) {
                buf_reset(&text);
                BUF_LIT(&text, "over for ");
                left_ms = -left_ms;
            }
            desk_put_age(&text, left_ms);
        }
        table_cell(&t, buf_slice(&text));
        table_cell(&t, slice_cstr(life->holder));
    }
    end_table(out, &t);
    buf_fini(&text);
}

static void put_events(struct buf *out, const struct figures *f)
{
    struct table t;

    BUF_LIT(out, "\nevents: ");
    table_put_count(out, f->event_entries);
    BUF_LIT(out, " entries of up to 100");
    if (f->event_first_ms > 0) {
        BUF_LIT(out, ", from ");
        desk_put_time(out, f->event_first_ms);
        BUF_LIT(out, " to ");
        desk_put_time(out, f->event_last_ms);
    }
    buf_putc(out, '\n');
    if (f->consumer_count == 0) {
        return;
    }
    table_init(&t, "lrr");
    HEADS(&t, "consumer group", "behind", "pending");
    for (size_t i = 0; i < f->consumer_count; i++) {
        const struct figures_consumers *c = &f->consumers[i];
        table_cell(&t, slice_cstr(c->name));
        if (c->lag >= 0) {
            cell_count(&t, (uint64_t)c->lag);
        } else {
            table_cell(&t, SLICE("?"));
        }
        cell_count(&t, (uint64_t)c->pending);
    }
    end_table(out, &t);
}

static void put_server(struct buf *out, const struct figures *f)
{
    uint64_t limit = f->max_memory > 0 ? f->max_memory : f->maxmemory / 10 * 9;

    buf_printf(out, "Redis %s, %s: ", f->redis_version[0] != '\0' ? f->redis_version : "(?)",
               f->role[0] != '\0' ? f->role : "?");
    desk_put_bytes(out, f->used_memory);
    if (f->maxmemory > 0) {
        BUF_LIT(out, " of ");
        desk_put_bytes(out, f->maxmemory);
    } else {
        BUF_LIT(out, ", no maxmemory");
    }
    if (limit > 0) {
        BUF_LIT(out, "; new jobs are refused from ");
        desk_put_bytes(out, limit);
    }
    if (f->max_jobs > 0) {
        buf_puts(out, slice_cstr(limit > 0 ? " or " : "; new jobs are refused from "));
        table_put_count(out, f->max_jobs);
        BUF_LIT(out, " jobs");
    }
    buf_putc(out, '\n');
    if (f->maxmemory > 0 && f->policy[0] != '\0' && strcmp(f->policy, "noeviction") != 0) {
        buf_printf(
            out, "warning: maxmemory-policy is %s: a full Redis throws jobs away; set noeviction\n",
            f->policy);
    }
    if (!f->aof && f->redis_version[0] != '\0') {
        BUF_LIT(out, "warning: appendonly is off: a crash of Redis loses jobs\n");
    }
}

static void put_rest(struct buf *out, const struct figures *f)
{
    if (f->has_suppressed && f->suppressed > 0) {
        BUF_LIT(out, "suppressed: ");
        table_put_count(out, f->suppressed);
        BUF_LIT(out, " addresses\n");
    }
    if (f->broken > 0) {
        BUF_LIT(out, "broken: ");
        table_put_count(out, f->broken);
        BUF_LIT(out, " records that nobody could read stand aside in the key broken\n");
    }
    if (f->unknown_lists > 0) {
        BUF_LIT(out, "unknown: ");
        table_put_count(out, f->unknown_lists);
        BUF_LIT(out, " names in the index are no lists of this version\n");
    }
}

void stats_put_text(struct buf *out, const struct figures *f, const struct order_list *orders,
                    const struct stats_options *o)
{
    put_server(out, f);
    put_classes(out, f);
    put_lanes(out, f, o->top);
    put_sites(out, f, o->top);
    put_nodes(out, f);
    if (orders->count > 0) {
        buf_putc(out, '\n');
        order_list_put_text(out, orders, f->now_ms);
    }
    put_events(out, f);
    put_rest(out, f);
}
