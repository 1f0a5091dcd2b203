/*
 * figures.c - what is in a queue, in numbers.
 */
#include "engine/cli/figures.h"
#include "engine/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- groups ---- */

static void pile_add(struct figures_pile *pile, bool bin, uint64_t jobs, int64_t created_ms)
{
    *(bin ? &pile->parked : &pile->waiting) += jobs;
    pile->lists++;
    if (created_ms > 0 && (pile->oldest_ms == 0 || created_ms < pile->oldest_ms)) {
        pile->oldest_ms = created_ms;
    }
}

static struct figures_pile *group_pile(struct map *groups, struct slice name, size_t max,
                                       struct figures_group *others)
{
    struct map_node *node = map_find(groups, name);

    if (node == NULL && groups->count >= max) {
        return &others->pile;
    }
    if (node == NULL) {
        struct figures_group *group = mem_zalloc(sizeof(*group));
        group->name = slice_dup(name);
        node = &group->node;
        map_insert(groups, node, slice_of(group->name, name.len));
    }
    return &CONTAINER_OF(node, struct figures_group, node)->pile;
}

static void groups_fini(struct map *groups)
{
    struct map_node *node = map_next(groups, NULL);

    while (node != NULL) {
        struct figures_group *group = CONTAINER_OF(node, struct figures_group, node);
        node = map_next(groups, node);
        mem_free(group->name);
        mem_free(group);
    }
    map_fini(groups);
}

static uint64_t pile_jobs(const struct figures_pile *pile)
{
    return pile->waiting + pile->parked;
}

static int by_jobs(const void *a, const void *b)
{
    const struct figures_group *x = *(const struct figures_group *const *)a;
    const struct figures_group *y = *(const struct figures_group *const *)b;
    uint64_t in_x = pile_jobs(&x->pile), in_y = pile_jobs(&y->pile);

    return in_x != in_y ? (in_x < in_y ? 1 : -1) : strcmp(x->name, y->name);
}

const struct figures_group **figures_sorted(const struct map *groups, size_t *count)
{
    const struct figures_group **sorted = mem_array(groups->count + 1, sizeof(*sorted));

    *count = 0;
    MAP_EACH (node, groups) {
        sorted[(*count)++] = CONTAINER_OF(node, struct figures_group, node);
    }
    qsort(sorted, *count, sizeof(*sorted), by_jobs);
    return sorted;
}

/* ---- lists ---- */

/* When the record at a list's head was submitted; 0: there is none, or it cannot be read. */
static int64_t created_of(const struct resp *reply)
{
    struct job_record r;

    if (reply->type != RESP_STRING || record_decode(&r, reply->text) != 0) {
        return 0;
    }
    return r.created_ms;
}

static void add_list(struct figures *f, const struct list_name *name, uint64_t jobs, int64_t ms)
{
    if (jobs == 0) { /* emptied since the index was read */
        return;
    }
    pile_add(&f->class[name->class].pile, name->bin, jobs, ms);
    pile_add(group_pile(&f->lanes, name->lane, FIGURES_LANES_MAX, &f->other_lanes), name->bin, jobs,
             ms);
    if (name->bin) {
        pile_add(group_pile(&f->sites, name->site, FIGURES_SITES_MAX, &f->other_sites), true, jobs,
                 ms);
    }
}

/* Length and head of each list in `names` ("name\n" ...). */
static int read_lists(struct figures *f, struct desk *d, struct slice names)
{
    const struct resp *reply;
    struct slice rest = names, name;
    struct list_name parsed;
    int code = -1;

    while (slice_next(&rest, '\n', &name) && name.len > 0) {
        desk_ask(d, "LLEN", name, NULL, 0);
        desk_ask(d, "LINDEX", name, DESK_ARGS(SLICE("0")));
    }
    rest = names;
    while (code < 0 && slice_next(&rest, '\n', &name) && name.len > 0) {
        int64_t jobs = 0;
        code = desk_take(d, &reply);
        bool wrong = code < 0 && (reply->type == RESP_ERROR || resp_int(reply, &jobs) != 0);
        code = code < 0 ? desk_take(d, &reply) : code;
        if (code < 0 && wrong) {
            desk_complain(d, "%s" SLICE_FMT " is no list: something else writes there",
                          d->keys.base, SLICE_ARG(name));
        } else if (code < 0 && list_name_parse(&parsed, name) == 0) {
            add_list(f, &parsed, (uint64_t)jobs, created_of(reply));
        }
    }
    return code;
}

/* Takes the names out of a page of the index and remembers the last change number. */
static void take_names(struct figures *f, const struct resp *page, struct buf *names,
                       struct buf *after)
{
    struct list_name parsed;

    buf_reset(names);
    for (size_t i = 0; i + 1 < page->count; i += 2) {
        struct slice name = page->items[i].text;
        if (list_name_parse(&parsed, name) == 0) {
            buf_puts(names, name);
            buf_putc(names, '\n');
        } else {
            f->unknown_lists++;
        }
        buf_reset(after);
        buf_putc(after, '(');
        buf_puts(after, page->items[i + 1].text);
    }
}

/* The index of lists, in steps by change number. */
static int read_index(struct figures *f, struct desk *d)
{
    char limit[DESK_NUMBER_MAX];
    struct buf after = BUF_EMPTY, names = BUF_EMPTY;
    const struct resp *page;
    size_t count = DESK_STEP;
    int code = -1;

    BUF_LIT(&after, "-inf");
    while (code < 0 && count >= DESK_STEP) {
        desk_ask(d, "ZRANGEBYSCORE", SLICE("bins"),
                 DESK_ARGS(buf_slice(&after), SLICE("+inf"), SLICE("WITHSCORES"), SLICE("LIMIT"),
                           SLICE("0"), desk_number(limit, DESK_STEP)));
        code = desk_take(d, &page);
        if (code < 0 && page->type != RESP_ARRAY) {
            desk_complain(d, "%sbins is no sorted set: something else writes there", d->keys.base);
            break;
        }
        if (code < 0) {
            count = page->count / 2;
            take_names(f, page, &names, &after);
            code = read_lists(f, d, buf_slice(&names));
        }
    }
    buf_fini(&after);
    buf_fini(&names);
    return code;
}

/* ---- due ---- */

static void complain_of(struct desk *d, const char *rest, const struct resp *reply)
{
    desk_complain(d, "%s%s: " SLICE_FMT, d->keys.base, rest, SLICE_ARG(reply->text));
}

static int take_due(struct figures *f, struct desk *d, unsigned c)
{
    struct figures_class *class = &f->class[c];
    const struct resp *reply;
    int64_t value = 0;
    char rest[16];

    snprintf(rest, sizeof(rest), "due:%s", job_class_name(c));
    int code = desk_take(d, &reply);
    if (code < 0 && reply->type == RESP_ERROR) {
        complain_of(d, rest, reply);
    } else if (code < 0 && resp_int(reply, &value) == 0) {
        class->due += (uint64_t)value;
    }
    code = code < 0 ? desk_take(d, &reply) : code;
    if (code < 0 && resp_int(reply, &value) == 0) {
        class->due_now += (uint64_t)value;
    }
    code = code < 0 ? desk_take(d, &reply) : code;
    if (code < 0 && reply->type == RESP_ARRAY && reply->count == 2) {
        int64_t due_ms = desk_score_ms(&reply->items[1]);
        if (class->next_due_ms == 0 || due_ms < class->next_due_ms) {
            class->next_due_ms = due_ms;
        }
    }
    return code;
}

static int read_due(struct figures *f, struct desk *d)
{
    char now[DESK_NUMBER_MAX], rest[16];
    int code = -1;

    for (unsigned c = 0; c < JOB_CLASSES; c++) {
        snprintf(rest, sizeof(rest), "due:%s", job_class_name(c));
        desk_ask(d, "ZCARD", slice_cstr(rest), NULL, 0);
        desk_ask(d, "ZCOUNT", slice_cstr(rest),
                 DESK_ARGS(SLICE("-inf"), desk_number(now, (uint64_t)f->now_ms)));
        desk_ask(d, "ZRANGE", slice_cstr(rest),
                 DESK_ARGS(SLICE("0"), SLICE("0"), SLICE("WITHSCORES")));
    }
    for (unsigned c = 0; code < 0 && c < JOB_CLASSES; c++) {
        code = take_due(f, d, c);
    }
    return code;
}

/* ---- nodes ---- */

static void add_life(struct figures *f, struct slice name, struct slice value)
{
    uint64_t lease_ms = 0;
    size_t blank = slice_find(value, ' ');

    if (f->life_count == FIGURES_LIVES_MAX || name.len > 200) {
        return;
    }
    if (slice_u64(slice_of(value.ptr, blank), &lease_ms) != 0) {
        lease_ms = 0;
    }
    f->life = mem_realloc(f->life, (f->life_count + 1) * sizeof(*f->life));
    f->life[f->life_count++] = (struct figures_life){
        .name = slice_dup(name),
        .holder = slice_dup(slice_from(value, blank + 1)),
        .lease_ms = lease_ms <= INT64_MAX ? desk_sane_ms((int64_t)lease_ms) : 0,
    };
}

static int read_lives(struct figures *f, struct desk *d)
{
    struct buf cursor = BUF_EMPTY;
    const struct resp *reply;
    int code = -1;

    BUF_LIT(&cursor, "0");
    do {
        desk_ask(d, "HSCAN", SLICE("nodes"), DESK_ARGS(buf_slice(&cursor)));
        code = desk_take(d, &reply);
        if (code < 0 && (reply->type != RESP_ARRAY || reply->count != 2)) {
            complain_of(d, "nodes", reply);
            break;
        }
        if (code < 0) {
            const struct resp *pairs = &reply->items[1];
            for (size_t i = 0; i + 1 < pairs->count; i += 2) {
                add_life(f, pairs->items[i].text, pairs->items[i + 1].text);
            }
            buf_reset(&cursor);
            buf_puts(&cursor, reply->items[0].text);
        }
    } while (code < 0 && !slice_eq(buf_slice(&cursor), SLICE("0")));
    buf_fini(&cursor);
    return code;
}

/* Fields of an owned hash that are no jobs begin with a '#': queue/node.lua.  They are few, and
 * Redis filters them. */
static int count_marks(struct desk *d, struct slice key, uint64_t *marks)
{
    struct buf cursor = BUF_EMPTY;
    const struct resp *page;
    int code = -1;

    BUF_LIT(&cursor, "0");
    do {
        desk_ask(d, "HSCAN", key,
                 DESK_ARGS(buf_slice(&cursor), SLICE("MATCH"), SLICE("#*"), SLICE("COUNT"),
                           SLICE("500")));
        code = desk_take(d, &page);
        if (code >= 0 || page->type != RESP_ARRAY || page->count != 2) {
            break;
        }
        *marks += page->items[1].count / 2;
        buf_reset(&cursor);
        buf_puts(&cursor, page->items[0].text);
    } while (!slice_eq(buf_slice(&cursor), SLICE("0")));
    buf_fini(&cursor);
    return code;
}

static int read_owned(struct figures *f, struct desk *d, struct figures_life *life)
{
    const struct resp *reply;
    char rest[256];
    int64_t fields = 0;
    uint64_t marks = 0;

    snprintf(rest, sizeof(rest), "owned:%s", life->name);
    desk_ask(d, "HLEN", slice_cstr(rest), NULL, 0);
    int code = desk_take(d, &reply);
    if (code < 0 && (reply->type == RESP_ERROR || resp_int(reply, &fields) != 0)) {
        complain_of(d, rest, reply);
    }
    if (code < 0 && fields > 0) {
        code = count_marks(d, slice_cstr(rest), &marks);
    }
    life->jobs = (uint64_t)fields > marks ? (uint64_t)fields - marks : 0;
    f->owned += life->jobs;
    return code;
}

static int read_nodes(struct figures *f, struct desk *d)
{
    size_t before = f->life_count;
    int code = read_lives(f, d);

    for (size_t i = before; code < 0 && i < f->life_count; i++) {
        code = read_owned(f, d, &f->life[i]);
    }
    return code;
}

/* ---- all ---- */

void figures_fini(struct figures *f)
{
    groups_fini(&f->lanes);
    groups_fini(&f->sites);
    for (size_t i = 0; i < f->life_count; i++) {
        mem_free(f->life[i].name);
        mem_free(f->life[i].holder);
    }
    for (size_t i = 0; i < f->consumer_count; i++) {
        mem_free(f->consumers[i].name);
    }
    mem_free(f->life);
    mem_free(f->consumers);
}

int figures_read(struct figures *f, struct desk *d)
{
    memset(f, 0, sizeof(*f));
    map_init(&f->lanes);
    map_init(&f->sites);
    int code = desk_now_ms(d, &f->now_ms);
    code = code < 0 ? figures_read_server(f, d) : code;
    for (unsigned p = 0; code < 0 && p < d->partitions; p++) {
        desk_partition(d, p);
        code = figures_read_meta(f, d);
        code = code < 0 ? read_index(f, d) : code;
        code = code < 0 ? read_due(f, d) : code;
        code = code < 0 ? read_nodes(f, d) : code;
        code = code < 0 ? figures_read_events(f, d) : code;
    }
    desk_partition(d, 0);
    return code;
}
