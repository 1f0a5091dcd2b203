/*
 * sample.c - how jobs are distributed: counting and showing.  Pure.
 */
#include "engine/cli/sample.h"
#include "engine/base/json.h"
#include "engine/base/mem.h"
#include "engine/cli/table.h"

#include <stdlib.h>
#include <string.h>

enum { DOMAINS_SHOWN = 10 };

static const struct {
    int64_t below_ms; /* 0: all that is left */
    const char *name;
} ages[SAMPLE_AGES] = {{60 * 1000, "under 1 min"},
                       {10 * 60 * 1000, "1 to 10 min"},
                       {3600 * 1000, "10 min to 1 h"},
                       {6 * 3600 * 1000, "1 to 6 h"},
                       {24 * 3600 * 1000, "6 h to 1 day"},
                       {(int64_t)48 * 3600 * 1000, "1 to 2 days"},
                       {0, "2 days or more"}};

static const struct {
    uint32_t up_to; /* 0 at the end: all that is left */
    const char *name;
} attempts[SAMPLE_ATTEMPTS] = {{0, "0"},      {1, "1"},        {2, "2"},
                               {5, "3 to 5"}, {10, "6 to 10"}, {UINT32_MAX, "11 or more"}};

void sample_init(struct sample *s)
{
    memset(s, 0, sizeof(*s));
    map_init(&s->domains);
}

void sample_fini(struct sample *s)
{
    struct map_node *node = map_next(&s->domains, NULL);

    while (node != NULL) {
        struct sample_domain *domain = CONTAINER_OF(node, struct sample_domain, node);
        node = map_next(&s->domains, node);
        mem_free(domain->name);
        mem_free(domain);
    }
    map_fini(&s->domains);
}

static void add_domain(struct sample *s, struct slice name)
{
    struct map_node *node = map_find(&s->domains, name);

    if (node == NULL) {
        if (s->domains.count >= SAMPLE_DOMAINS_MAX) {
            return;
        }
        struct sample_domain *domain = mem_zalloc(sizeof(*domain));
        domain->name = slice_dup(name);
        node = &domain->node;
        map_insert(&s->domains, node, slice_of(domain->name, name.len));
    }
    CONTAINER_OF(node, struct sample_domain, node)->count++;
}

void sample_add(struct sample *s, const struct filter *filter, struct slice record, int64_t now_ms)
{
    struct job_record r;
    size_t age = 0, tried = 0;

    s->taken++;
    if (record_decode(&r, record) != 0) {
        s->unreadable++;
        return;
    }
    if (!filter_takes_job(filter, &r)) {
        return;
    }
    s->matched++;
    while (ages[age].below_ms != 0 && now_ms - r.created_ms >= ages[age].below_ms) {
        age++;
    }
    while (r.attempts > attempts[tried].up_to) {
        tried++;
    }
    s->ages[age]++;
    s->attempts[tried]++;
    add_domain(s, r.domain);
}

/* ---- shown ---- */

static double share_of(const struct sample *s, uint64_t count)
{
    return s->matched > 0 ? 100.0 * (double)count / (double)s->matched : 0;
}

/* What `count` of the sample stands for. */
static uint64_t estimate(const struct sample *s, uint64_t count)
{
    return s->taken > 0 ? (uint64_t)((double)count * (double)s->population / (double)s->taken + 0.5)
                        : 0;
}

static int by_count(const void *a, const void *b)
{
    const struct sample_domain *x = *(const struct sample_domain *const *)a;
    const struct sample_domain *y = *(const struct sample_domain *const *)b;

    return x->count != y->count ? (x->count < y->count ? 1 : -1) : strcmp(x->name, y->name);
}

static const struct sample_domain **sorted(const struct sample *s)
{
    const struct sample_domain **all = mem_array(s->domains.count + 1, sizeof(*all));
    size_t n = 0;

    MAP_EACH (node, &s->domains) {
        all[n++] = CONTAINER_OF(node, struct sample_domain, node);
    }
    qsort(all, n, sizeof(*all), by_count);
    return all;
}

static void put_row(struct table *t, const struct sample *s, const char *name, uint64_t count)
{
    struct buf text = BUF_EMPTY;

    table_put_count(&text, estimate(s, count));
    table_cell(t, slice_cstr(name));
    table_cellf(t, "%.1f %%", share_of(s, count));
    table_cellf(t, "about " SLICE_FMT, SLICE_ARG(buf_slice(&text)));
    buf_fini(&text);
}

static void begin(struct buf *out, struct table *t, const char *what)
{
    buf_putc(out, '\n');
    table_init(t, "lrr");
    table_cell(t, slice_cstr(what));
    table_cell(t, SLICE("share"));
    table_cell(t, SLICE("jobs"));
}

static void end(struct buf *out, struct table *t)
{
    table_put(out, t, 0);
    table_fini(t);
}

void sample_put_text(struct buf *out, const struct sample *s)
{
    const struct sample_domain **domain = sorted(s);
    struct table t;

    BUF_LIT(out, "sampled: ");
    table_put_count(out, s->taken);
    BUF_LIT(out, " of ");
    table_put_count(out, s->population);
    BUF_LIT(out, " jobs, ");
    table_put_count(out, s->matched);
    BUF_LIT(out, " of them match; shares and numbers are estimates\n");
    begin(out, &t, "age");
    for (size_t i = 0; i < SAMPLE_AGES; i++) {
        put_row(&t, s, ages[i].name, s->ages[i]);
    }
    end(out, &t);
    begin(out, &t, "attempts");
    for (size_t i = 0; i < SAMPLE_ATTEMPTS; i++) {
        put_row(&t, s, attempts[i].name, s->attempts[i]);
    }
    end(out, &t);
    begin(out, &t, "domain");
    for (size_t i = 0; i < s->domains.count && i < DOMAINS_SHOWN; i++) {
        put_row(&t, s, domain[i]->name, domain[i]->count);
    }
    end(out, &t);
    if (s->domains.count > DOMAINS_SHOWN) {
        buf_printf(out, "... and %zu more domains in the sample\n",
                   s->domains.count - DOMAINS_SHOWN);
    }
    if (s->unreadable > 0) {
        table_put_count(out, s->unreadable);
        BUF_LIT(out, " records in the sample cannot be read\n");
    }
    mem_free(domain);
}

void sample_put_json(struct buf *out, const struct sample *s)
{
    const struct sample_domain **domain = sorted(s);

    json_object_open(out);
    json_put_bool(out, "sampled", true);
    json_put_u64(out, "population", s->population);
    json_put_u64(out, "taken", s->taken);
    json_put_u64(out, "matched", s->matched);
    json_put_u64(out, "unreadable", s->unreadable);
    json_key(out, "ages");
    json_object_open(out);
    for (size_t i = 0; i < SAMPLE_AGES; i++) {
        json_put_u64(out, ages[i].name, s->ages[i]);
    }
    json_object_close(out);
    json_key(out, "attempts");
    json_object_open(out);
    for (size_t i = 0; i < SAMPLE_ATTEMPTS; i++) {
        json_put_u64(out, attempts[i].name, s->attempts[i]);
    }
    json_object_close(out);
    json_put_u64(out, "domain_count", s->domains.count);
    json_key(out, "domains");
    json_object_open(out);
    for (size_t i = 0; i < s->domains.count && i < DOMAINS_SHOWN; i++) {
        json_key_slice(out, slice_cstr(domain[i]->name));
        json_u64(out, domain[i]->count);
    }
    json_object_close(out);
    json_object_close(out);
    buf_putc(out, '\n');
    mem_free(domain);
}
