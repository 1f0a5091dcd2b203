/*
 * stats_json.c - figures of a queue, for programs.
 */
#include "engine/base/json.h"
#include "engine/base/mem.h"
#include "engine/cli/stats.h"

static void put_pile(struct buf *out, const struct figures_pile *pile)
{
    json_put_u64(out, "waiting", pile->waiting);
    json_put_u64(out, "parked", pile->parked);
    json_put_u64(out, "lists", pile->lists);
    if (pile->oldest_ms > 0) {
        json_put_i64(out, "oldest_ms", pile->oldest_ms);
    }
}

static void put_totals(struct buf *out, const struct figures *f)
{
    uint64_t waiting = 0, parked = 0, due = 0;

    for (unsigned c = 0; c < JOB_CLASSES; c++) {
        waiting += f->class[c].pile.waiting;
        parked += f->class[c].pile.parked;
        due += f->class[c].due;
    }
    json_key(out, "jobs");
    json_object_open(out);
    json_put_u64(out, "all", waiting + parked + due + f->owned + f->held);
    json_put_u64(out, "waiting", waiting);
    json_put_u64(out, "parked", parked);
    json_put_u64(out, "due", due);
    json_put_u64(out, "owned", f->owned);
    json_put_u64(out, "held", f->held);
    json_object_close(out);
}

static void put_classes(struct buf *out, const struct figures *f)
{
    json_key(out, "classes");
    json_object_open(out);
    for (unsigned c = 0; c < JOB_CLASSES; c++) {
        const struct figures_class *class = &f->class[c];
        json_key(out, job_class_name(c));
        json_object_open(out);
        put_pile(out, &class->pile);
        json_put_u64(out, "due", class->due);
        json_put_u64(out, "due_now", class->due_now);
        if (class->next_due_ms > 0) {
            json_put_i64(out, "next_due_ms", class->next_due_ms);
        }
        json_object_close(out);
    }
    json_object_close(out);
}

/* An array of lanes or sites, and how many there are in all. */
static void put_groups(struct buf *out, const struct map *groups, const char *name, uint64_t top)
{
    size_t count;
    const struct figures_group **group = figures_sorted(groups, &count);
    static const char *const words[] = {"class", "pool", "tenant"};
    bool lanes = name[0] == 'l';

    json_put_u64(out, lanes ? "lane_count" : "site_count", count);
    json_key(out, name);
    json_array_open(out);
    for (size_t i = 0; i < count && i < top; i++) {
        struct slice rest = slice_cstr(group[i]->name), word;
        json_object_open(out);
        for (unsigned w = 0; lanes && w < 3 && slice_next(&rest, ':', &word); w++) {
            json_put_str(out, words[w], word);
        }
        if (!lanes) {
            json_put_str(out, "site", rest);
        }
        put_pile(out, &group[i]->pile);
        json_object_close(out);
    }
    json_array_close(out);
    mem_free(group);
}

static void put_nodes(struct buf *out, const struct figures *f)
{
    json_key(out, "nodes");
    json_array_open(out);
    for (size_t i = 0; i < f->life_count; i++) {
        const struct figures_life *life = &f->life[i];
        json_object_open(out);
        json_put_cstr(out, "life", life->name);
        json_put_cstr(out, "where", life->holder);
        json_put_cstr(out, "lease",
                      life->lease_ms == 0          ? "ended"
                      : life->lease_ms < f->now_ms ? "over"
                                                   : "alive");
        json_put_i64(out, "lease_ends_ms", life->lease_ms);
        json_put_u64(out, "owned", life->jobs);
        json_object_close(out);
    }
    json_array_close(out);
}

static void put_events(struct buf *out, const struct figures *f)
{
    json_key(out, "events");
    json_object_open(out);
    json_put_u64(out, "entries", f->event_entries);
    if (f->event_first_ms > 0) {
        json_put_i64(out, "first_ms", f->event_first_ms);
        json_put_i64(out, "last_ms", f->event_last_ms);
    }
    json_key(out, "groups");
    json_array_open(out);
    for (size_t i = 0; i < f->consumer_count; i++) {
        json_object_open(out);
        json_put_cstr(out, "name", f->consumers[i].name);
        if (f->consumers[i].lag >= 0) {
            json_put_i64(out, "lag", f->consumers[i].lag);
        }
        json_put_i64(out, "pending", f->consumers[i].pending);
        json_object_close(out);
    }
    json_array_close(out);
    json_object_close(out);
}

static void put_server(struct buf *out, const struct figures *f)
{
    json_key(out, "redis");
    json_object_open(out);
    json_put_cstr(out, "version", f->redis_version);
    json_put_cstr(out, "role", f->role);
    json_put_u64(out, "used_memory", f->used_memory);
    json_put_u64(out, "maxmemory", f->maxmemory);
    json_put_cstr(out, "maxmemory_policy", f->policy);
    json_put_bool(out, "appendonly", f->aof);
    json_object_close(out);
    json_key(out, "limits");
    json_object_open(out);
    json_put_u64(out, "max_jobs", f->max_jobs);
    json_put_u64(out, "max_memory", f->max_memory > 0 ? f->max_memory : f->maxmemory / 10 * 9);
    json_object_close(out);
}

void stats_put_json(struct buf *out, const struct figures *f, const struct order_list *orders,
                    const struct stats_options *o)
{
    json_object_open(out);
    json_put_i64(out, "now_ms", f->now_ms);
    put_server(out, f);
    put_totals(out, f);
    json_put_u64(out, "submitted", f->submitted);
    json_put_u64(out, "ended", f->ended);
    put_classes(out, f);
    put_groups(out, &f->lanes, "lanes", o->top);
    put_groups(out, &f->sites, "sites", o->top);
    put_nodes(out, f);
    if (orders->known) {
        json_key(out, "orders");
        order_list_put_json(out, orders);
    }
    put_events(out, f);
    if (f->has_suppressed) {
        json_put_u64(out, "suppressed", f->suppressed);
    }
    json_put_u64(out, "broken", f->broken);
    json_put_u64(out, "unknown_lists", f->unknown_lists);
    json_object_close(out);
    buf_putc(out, '\n');
}
