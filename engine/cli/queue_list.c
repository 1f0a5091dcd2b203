/*
 * queue_list.c - `volley queue list`: jobs, a page at a time.
 */
#include "engine/base/json.h"
#include "engine/cli/jobview.h"
#include "engine/cli/order_list.h"
#include "engine/cli/queue.h"
#include "engine/cli/sample.h"
#include "engine/cli/walk.h"

#include <string.h>

struct list_options {
    struct desk_options desk;
    struct filter filter;
    uint64_t limit, scan, sample;
    const char *cursor;
    bool orders;
};

#define TARGET(member) .target = offsetof(struct list_options, member)

static const char *const description[] = {
    "Lists jobs, a page at a time: those in lists in the order in which the lists were begun, then "
    "due ones by time, then what nodes own and what orders hold.",
    "Behind a page that is not the last comes a cursor; --cursor goes on there. The queue works "
    "meanwhile: a job that moves may come twice or not at all.",
    "With --sample it shows instead how old the jobs are, how often they were tried and where they "
    "go, estimated from some of them. With --orders it lists the orders.",
    NULL};

static const struct args_option options[] = {
    {.name = "limit",
     .letter = 'n',
     .kind = ARGS_COUNT,
     .value = "N",
     .min = 1,
     .max = 100000,
     TARGET(limit),
     .help = "Jobs on a page. Default: 20."},
    {.name = "cursor",
     .kind = ARGS_TEXT,
     .value = "CURSOR",
     TARGET(cursor),
     .help = "Goes on where a page before ended."},
    {.name = "scan",
     .kind = ARGS_COUNT,
     .value = "N",
     .min = 1,
     .max = UINT64_C(1000000000000),
     TARGET(scan),
     .help = "Looks at no more than this many jobs, and says where to go on. Default: 100000."},
    {.name = "sample",
     .kind = ARGS_COUNT,
     .value = "N",
     .min = 10,
     .max = 100000,
     TARGET(sample),
     .help = "Shows distributions, estimated from N jobs taken here and there."},
    {.name = "orders",
     .kind = ARGS_FLAG,
     TARGET(orders),
     .help = "Lists the orders instead of jobs."},
    DESK_JSON_OPTION,

    {.heading = "Which jobs"},
    {.name = "state",
     .kind = ARGS_CHOICE,
     .value = "waiting|parked|due|owned|held",
     TARGET(filter.state),
     .help = "Only those in an intake, parked for a site, due later, owned by a node, or held by "
             "an order."},
    {.name = "class",
     .kind = ARGS_CHOICE,
     .value = "high|normal|bulk",
     TARGET(filter.class),
     .help = "Only those of this class."},
    {.name = "tenant",
     .kind = ARGS_TEXT,
     .value = "NAME",
     TARGET(filter.tenant),
     .help = "Only those of this tenant."},
    {.name = "pool",
     .kind = ARGS_TEXT,
     .value = "NAME",
     TARGET(filter.pool),
     .help = "Only those of this pool, source or route."},
    {.name = "site",
     .kind = ARGS_TEXT,
     .value = "SITE",
     TARGET(filter.site),
     .help = "Only those parked for this site."},
    {.name = "campaign",
     .kind = ARGS_TEXT,
     .value = "NAME",
     TARGET(filter.campaign),
     .help = "Only those of this campaign."},
    {.name = "tag",
     .kind = ARGS_TEXT,
     .value = "NAME",
     TARGET(filter.tag),
     .help = "Only those with this tag."},
    {.name = "domain",
     .kind = ARGS_TEXT,
     .value = "DOMAIN",
     TARGET(filter.domain),
     .help = "Only those to recipients at this domain."},
    DESK_OPTIONS,
    {0}};

static const struct args_pair exit_codes[] = {
    {"0", "listed"},
    {"1", "something could not be read; the rest is listed"},
    {"2", "bad usage or configuration"},
    {"75", "Redis is away"},
    {0}};

static const struct args_pair examples[] = {
    {"volley queue list --state due --class bulk --limit 100", "Deferred bulk jobs:"},
    {"volley queue list --site google --sample 2000", "What waits for a site:"},
    {"volley queue list --orders", "The orders in force:"},
    {0}};

const struct args_command queue_list_command = {
    .name = "volley queue list",
    .summary = "list jobs, how they are distributed, or orders",
    .synopsis = "[--limit N] [--cursor CURSOR] [OPTION]...",
    .description = description,
    .options = options,
    .exit_codes = exit_codes,
    .examples = examples,
    .see_also = "volley-queue-stats(1), volley-queue-show(1)",
};

/* A page while it is made. */
struct listing {
    struct desk *desk;
    const struct list_options *o;
    struct table table;
    int64_t now_ms;
    uint64_t shown, looked, unreadable;
    bool more; /* `next` goes on */
    struct walk_cursor next;
};

static void take_item(struct listing *l, const struct walk_page *page, const struct walk_item *item)
{
    struct job_place place = {
        .state = page->state, .source = slice_cstr(page->source), .due_ms = item->due_ms};
    struct job_record r;
    bool readable = record_decode(&r, item->record) == 0;

    l->looked++;
    l->unreadable += readable ? 0 : 1;
    if (readable ? !filter_takes_job(&l->o->filter, &r) : filter_looks_into_jobs(&l->o->filter)) {
        return;
    }
    l->shown++;
    if (l->desk->json && readable) {
        jobview_put_json(&l->desk->out, &r, &place, false);
    } else if (l->desk->json) {
        jobview_put_broken_json(&l->desk->out, item->record, &place);
    } else if (readable) {
        jobview_row(&l->table, &r, &place, l->now_ms);
    } else {
        jobview_broken_row(&l->table, item->record, &place);
    }
}

static int fill(struct listing *l, struct walk *w)
{
    int code = -1;

    while (code < 0 && !l->more && w->cursor.part != WALK_END) {
        code = walk_step(w);
        for (size_t i = 0; code < 0 && i < w->page.count && !l->more; i++) {
            take_item(l, &w->page, &w->page.item[i]);
            if (l->shown == l->o->limit || l->looked == l->o->scan) {
                l->more = true;
                l->next = walk_place(&w->page, i + 1);
            }
        }
    }
    return code;
}

static void put_end_text(struct listing *l)
{
    struct buf *out = &l->desk->out;

    table_put(out, &l->table, 0);
    if (l->shown == 0) {
        BUF_LIT(out, "no job");
        buf_puts(out, slice_cstr(l->more ? " so far\n" : "\n"));
    }
    if (l->more) {
        table_put_count(out, l->looked);
        BUF_LIT(out, " jobs looked at; to go on: --cursor ");
        walk_cursor_put(out, &l->next);
        buf_putc(out, '\n');
    }
}

static void put_end_json(struct listing *l)
{
    struct buf *out = &l->desk->out, cursor = BUF_EMPTY;

    json_array_close(out);
    json_put_u64(out, "looked_at", l->looked);
    json_put_u64(out, "unreadable", l->unreadable);
    if (l->more) {
        walk_cursor_put(&cursor, &l->next);
        json_put_str(out, "cursor", buf_slice(&cursor));
    }
    json_object_close(out);
    buf_putc(out, '\n');
    buf_fini(&cursor);
}

static int list_jobs(struct desk *d, const struct list_options *o, const struct walk_cursor *start)
{
    struct listing l = {.desk = d, .o = o};
    struct walk w;
    int code = desk_now_ms(d, &l.now_ms);

    walk_init(&w, d, &o->filter, start);
    jobview_init(&l.table);
    if (d->json) {
        json_object_open(&d->out);
        json_key(&d->out, "jobs");
        json_array_open(&d->out);
    }
    code = code < 0 ? fill(&l, &w) : code;
    if (code >= 0) {
        buf_reset(&d->out); /* half a page is none */
    } else if (d->json) {
        put_end_json(&l);
    } else {
        put_end_text(&l);
    }
    table_fini(&l.table);
    walk_fini(&w);
    return code;
}

static int list_orders(struct desk *d)
{
    struct order_list orders;
    int64_t now_ms;
    int code = desk_now_ms(d, &now_ms);

    order_list_init(&orders);
    code = code < 0 ? order_list_read(&orders, d) : code;
    if (code < 0 && !orders.known) {
        desk_say(d, "this Redis does not have Volley's functions: volley run brings them, and so "
                    "does volley queue library --load");
        code = ARGS_EXIT_FAILED;
    } else if (code < 0 && d->json) {
        json_object_open(&d->out);
        json_key(&d->out, "orders");
        order_list_put_json(&d->out, &orders);
        json_object_close(&d->out);
        buf_putc(&d->out, '\n');
    } else if (code < 0 && orders.count == 0) {
        BUF_LIT(&d->out, "no order\n");
    } else if (code < 0) {
        order_list_put_text(&d->out, &orders, now_ms);
    }
    order_list_fini(&orders);
    return code;
}

int cmd_queue_list(int argc, char **argv)
{
    struct list_options o = {
        .filter = {.state = FILTER_ANY, .class = FILTER_ANY}, .limit = 20, .scan = 100000};
    struct walk_cursor start;
    struct desk d;
    int code = args_main(&queue_list_command, argc, argv, &o, NULL);

    if (code < 0 && o.cursor != NULL && walk_cursor_parse(&start, slice_cstr(o.cursor)) != 0) {
        code = args_usage_error(&queue_list_command,
                                "--cursor: \"%s\" is not what a page ended with", o.cursor);
    }
    if (code < 0 && o.sample > 0 && (o.cursor != NULL || o.orders)) {
        code = args_usage_error(&queue_list_command, "--sample stands without --cursor, --orders");
    }
    if (code >= 0) {
        return code;
    }
    code = desk_open(&d, &queue_list_command, &o.desk);
    if (code < 0 && o.orders) {
        code = list_orders(&d);
    } else if (code < 0 && o.sample > 0) {
        code = sample_show(&d, &o.filter, o.sample);
    } else if (code < 0) {
        code = list_jobs(&d, &o, o.cursor != NULL ? &start : NULL);
    }
    return desk_close(&d, code);
}
