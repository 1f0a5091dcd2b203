/*
 * queue_stats.c - `volley queue stats`: what waits, where, since when.
 */
#include "engine/cli/figures.h"
#include "engine/cli/order_list.h"
#include "engine/cli/queue.h"
#include "engine/cli/stats.h"

#include <string.h>

static const char *const description[] = {
    "Shows how many jobs wait and where, and for how long the oldest has: by class, by lane "
    "(class, pool and tenant) and by site; what is due when; which node owns what; orders; the "
    "stream of events with its consumer groups; memory and limits.",
    "A job is waiting in the intake of its lane, parked in the bin of a site that cannot take it "
    "now, due at a later time (deferred or scheduled), owned by a node that is sending it, or held "
    "aside by an order.",
    "Counts are exact, and so are the ages of the jobs at the heads of lists. They are read one "
    "after another while the queue goes on.",
    NULL};

static const struct args_option options[] = {
    {.name = "top",
     .kind = ARGS_COUNT,
     .value = "N",
     .max = 1000000,
     .target = offsetof(struct stats_options, top),
     .help = "How many lanes and sites are shown, those with the most jobs first. Default: 10."},
    DESK_JSON_OPTION,
    DESK_OPTIONS,
    {0}};

static const struct args_pair exit_codes[] = {
    {"0", "shown"},
    {"1", "something could not be read; the rest is shown"},
    {"2", "bad usage or configuration"},
    {"75", "Redis is away"},
    {0}};

static const struct args_pair examples[] = {
    {"volley queue stats -c /etc/volley/volley.yaml", "The service's queue:"},
    {"volley queue stats --json | jq .jobs", "Totals, for a program:"},
    {0}};

const struct args_command queue_stats_command = {
    .name = "volley queue stats",
    .summary = "show what waits in the queue, where, and since when",
    .synopsis = "[--top N] [OPTION]...",
    .description = description,
    .options = options,
    .exit_codes = exit_codes,
    .examples = examples,
    .see_also = "volley-queue-list(1), volley-queue-show(1)",
};

int cmd_queue_stats(int argc, char **argv)
{
    struct stats_options o = {.top = 10};
    struct figures figures;
    struct order_list orders;
    struct desk d;
    int code = args_main(&queue_stats_command, argc, argv, &o, NULL);

    if (code >= 0) {
        return code;
    }
    memset(&figures, 0, sizeof(figures));
    order_list_init(&orders);
    code = desk_open(&d, &queue_stats_command, &o.desk);
    code = code < 0 ? figures_read(&figures, &d) : code;
    code = code < 0 ? order_list_read(&orders, &d) : code;
    if (code < 0 && d.json) {
        stats_put_json(&d.out, &figures, &orders, &o);
    } else if (code < 0) {
        redis_url_put(&d.out, &d.url);
        buf_printf(&d.out, ", %s\n", d.conf->queue.prefix);
        stats_put_text(&d.out, &figures, &orders, &o);
    }
    figures_fini(&figures);
    order_list_fini(&orders);
    return desk_close(&d, code);
}
