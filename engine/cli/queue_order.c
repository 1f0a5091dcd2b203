/*
 * queue_order.c - `volley queue pause|resume|cancel|retry`: what is to become of jobs.
 *
 * An order is placed in Redis (queue/order.lua); engines obey it within a second, and walk what
 * nobody claims.  Without an engine it waits there until one runs.
 */
#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "engine/base/rng.h"
#include "engine/base/units.h"
#include "engine/cli/order_list.h"
#include "engine/cli/progress.h"
#include "engine/cli/queue.h"
#include "engine/cli/signals.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct order_options {
    struct desk_options desk;
    const char *campaign, *tenant, *domain, *site, *tag, *id;
    int class;
    int64_t for_us, wait_us;
    bool all, aside;
};

/* A range is only looked at when it has an end. */
#define FOR_MAX_US (UINT64_C(3650) * 86400 * 1000000)

#define TARGET(member) .target = offsetof(struct order_options, member)

/* ---- tables ---- */

#define MATCH_OPTIONS                                                                   \
    {.heading = "Which jobs; several options mean all of them"},                        \
        {.name = "campaign",                                                            \
         .kind = ARGS_TEXT,                                                             \
         .value = "NAME",                                                               \
         TARGET(campaign),                                                              \
         .help = "Those of this campaign."},                                            \
        {.name = "tenant",                                                              \
         .kind = ARGS_TEXT,                                                             \
         .value = "NAME",                                                               \
         TARGET(tenant),                                                                \
         .help = "Those of this tenant."},                                              \
        {.name = "domain",                                                              \
         .kind = ARGS_TEXT,                                                             \
         .value = "DOMAIN",                                                             \
         TARGET(domain),                                                                \
         .help = "Those to recipients at this domain."},                                \
        {.name = "site",                                                                \
         .kind = ARGS_TEXT,                                                             \
         .value = "SITE",                                                               \
         TARGET(site),                                                                  \
         .help = "Those that go to this site."},                                        \
        {.name = "class",                                                               \
         .kind = ARGS_CHOICE,                                                           \
         .value = "high|normal|bulk",                                                   \
         TARGET(class),                                                                 \
         .help = "Those of this class."},                                               \
        {.name = "tag",                                                                 \
         .kind = ARGS_TEXT,                                                             \
         .value = "NAME",                                                               \
         TARGET(tag),                                                                   \
         .help = "Those with this tag."},                                               \
    {                                                                                   \
        .name = "all", .kind = ARGS_FLAG, TARGET(all), .help = "All jobs of the queue." \
    }

#define ID_OPTION                                                                              \
    {                                                                                          \
        .name = "id", .kind = ARGS_TEXT, .value = "NAME", TARGET(id),                          \
        .help = "A name for the order; placed again under it, it is the same order. Default: " \
                "one is made."                                                                 \
    }

#define WAIT_OPTION(text)                                                            \
    {                                                                                \
        .name = "wait", .kind = ARGS_DURATION, .value = "DURATION", TARGET(wait_us), \
        .max = UINT64_C(86400) * 30 * 1000000, .help = text                          \
    }

static const struct args_pair exit_codes[] = {
    {"0", "the order is in force, or lifted"},
    {"1", "Redis refused it, or --wait ended before it was done"},
    {"2", "bad usage or configuration"},
    {"75", "Redis is away, or cannot take it now; nothing was changed"},
    {0}};

static const char *const pause_description[] = {
    "Jobs that match are not sent any more, those that are queued and those that come later, until "
    "volley queue resume or for the time that --for says. All engines obey within a second; "
    "letters on the wire are finished. Their time to expire goes on.",
    "Without --aside jobs stay where they are, or go aside where they would be in the way of "
    "others; with it all of them go aside.",
    NULL};

static const struct args_option pause_options[] = {
    {.name = "for",
     .kind = ARGS_DURATION,
     .value = "DURATION",
     .min = 1000000,
     .max = FOR_MAX_US,
     TARGET(for_us),
     .help = "Ends by itself after so long, as in 24h. Default: when it is resumed."},
    {.name = "aside",
     .kind = ARGS_FLAG,
     TARGET(aside),
     .help = "Moves the jobs out of their lists: the order `hold`."},
    ID_OPTION,
    WAIT_OPTION("Shows for so long how many jobs stand aside."),
    DESK_JSON_OPTION,
    MATCH_OPTIONS,
    DESK_OPTIONS,
    {0}};

static const struct args_pair pause_examples[] = {
    {"volley queue pause --campaign march", "Stops a campaign:"},
    {"volley queue pause --domain example.org --for 2h", "Leaves a domain alone for two hours:"},
    {0}};

const struct args_command queue_pause_command = {
    .name = "volley queue pause",
    .summary = "keep jobs from being sent",
    .synopsis = "MATCH... [--for DURATION] [OPTION]...",
    .description = pause_description,
    .options = pause_options,
    .exit_codes = exit_codes,
    .examples = pause_examples,
    .see_also = "volley-queue-resume(1), volley-queue-list(1)",
};

static const char *const resume_description[] = {
    "Lifts the order of that id, of whatever kind, or each pause that says exactly the same of "
    "which jobs it means. Jobs that stood aside come back in order.",
    NULL};

static const struct args_option resume_options[] = {
    WAIT_OPTION("Waits at most so long until all jobs are back; it takes a running engine."),
    DESK_JSON_OPTION,
    MATCH_OPTIONS,
    DESK_OPTIONS,
    {0}};

static const struct args_pair resume_examples[] = {
    {"volley queue list --orders", "Which orders there are:"},
    {"volley queue resume o7", "Lifts one:"},
    {"volley queue resume --campaign march", "What `pause --campaign march` stopped goes on:"},
    {0}};

const struct args_command queue_resume_command = {
    .name = "volley queue resume",
    .summary = "lift a pause, or another order",
    .synopsis = "ORDER | MATCH... [OPTION]...",
    .description = resume_description,
    .options = resume_options,
    .operands_max = 1,
    .operand = "ORDER",
    .exit_codes = exit_codes,
    .examples = resume_examples,
    .see_also = "volley-queue-pause(1), volley-queue-list(1)",
};

static const char *const cancel_description[] = {
    "Ends jobs that match, each with a final event of type `cancelled`: those that are queued, and "
    "those that come while the order is in force. Letters on the wire are finished.",
    "It cannot be undone; volley queue resume ORDER keeps it from what is not cancelled yet.",
    NULL};

static const struct args_option cancel_options[] = {
    {.name = "for",
     .kind = ARGS_DURATION,
     .value = "DURATION",
     .min = 1000000,
     .max = FOR_MAX_US,
     TARGET(for_us),
     .help = "How long it is in force. Default: 24h."},
    ID_OPTION,
    WAIT_OPTION("Shows for so long how many jobs it has ended."),
    DESK_JSON_OPTION,
    MATCH_OPTIONS,
    DESK_OPTIONS,
    {0}};

static const struct args_pair cancel_examples[] = {
    {"volley queue cancel --campaign march --wait 1m", "Takes a campaign back:"}, {0}};

const struct args_command queue_cancel_command = {
    .name = "volley queue cancel",
    .summary = "end jobs without sending them",
    .synopsis = "MATCH... [--for DURATION] [OPTION]...",
    .description = cancel_description,
    .options = cancel_options,
    .exit_codes = exit_codes,
    .examples = cancel_examples,
    .see_also = "volley-queue-pause(1), volley-queue-list(1)",
};

static const char *const retry_description[] = {
    "Jobs that match and were deferred are tried again at once, once over all that waits. Jobs "
    "that are not to be sent before a certain time keep it.",
    NULL};

static const struct args_option retry_options[] = {
    ID_OPTION,        WAIT_OPTION("Shows for so long how many jobs came back."),
    DESK_JSON_OPTION, MATCH_OPTIONS,
    DESK_OPTIONS,     {0}};

static const struct args_pair retry_examples[] = {
    {"volley queue retry --domain example.org", "A receiver works again:"}, {0}};

const struct args_command queue_retry_command = {
    .name = "volley queue retry",
    .summary = "try deferred jobs again now",
    .synopsis = "MATCH... [OPTION]...",
    .description = retry_description,
    .options = retry_options,
    .exit_codes = exit_codes,
    .examples = retry_examples,
    .see_also = "volley-queue-list(1)",
};

/* ---- giving an order ---- */

enum { PAIRS_MAX = 24, POLL_MS = 250, ID_MAX = 64 };

/* The arguments of a function: names and values. */
struct order_args {
    struct slice item[PAIRS_MAX];
    size_t count;
    struct buf duration;
};

static void put_pair(struct order_args *a, const char *name, const char *value)
{
    if (value != NULL) {
        ASSERT(a->count + 2 <= PAIRS_MAX);
        a->item[a->count++] = slice_cstr(name);
        a->item[a->count++] = slice_cstr(value);
    }
}

static void put_matchers(struct order_args *a, const struct order_options *o)
{
    static const char *const classes[] = {"high", "normal", "bulk"};

    put_pair(a, "campaign", o->campaign);
    put_pair(a, "tenant", o->tenant);
    put_pair(a, "domain", o->domain);
    put_pair(a, "site", o->site);
    put_pair(a, "class", o->class >= 0 ? classes[o->class] : NULL);
    put_pair(a, "tag", o->tag);
    put_pair(a, "all", o->all ? "yes" : NULL);
}

/* What is to be done, by which of the commands. */
struct ordering {
    struct desk *desk;
    const char *kind; /* NULL: orders are lifted */
    const struct order_options *o;
    char id[ID_MAX + 1]; /* of the order; the first of several that were lifted */
    struct buf lifted;   /* "o1 o2" */
};

static void keep_id(struct ordering *g, struct slice id)
{
    if (g->id[0] == '\0' && id.len <= ID_MAX) {
        memcpy(g->id, id.ptr, id.len);
        g->id[id.len] = '\0';
    }
}

static int place(struct ordering *g)
{
    struct order_args a = {.count = 0};
    const struct resp *reply;
    uint64_t random;
    int code = -1;

    if (g->o->id != NULL) {
        keep_id(g, slice_cstr(g->o->id));
    } else if (g->desk->partitions > 1) { /* the same order in all of them */
        rng_os(&random, sizeof(random));
        snprintf(g->id, sizeof(g->id), "c%016" PRIx64, random);
    }
    put_pair(&a, "kind", g->kind);
    put_matchers(&a, g->o);
    if (g->o->for_us > 0) {
        units_put_duration(&a.duration, g->o->for_us);
        a.item[a.count++] = SLICE("for");
        a.item[a.count++] = buf_slice(&a.duration);
    }
    put_pair(&a, "id", g->id[0] != '\0' ? g->id : NULL);
    for (unsigned p = 0; code < 0 && p < g->desk->partitions; p++) {
        desk_partition(g->desk, p);
        desk_ask_function(g->desk, "volley_order", a.item, a.count);
        code = desk_take_good(g->desk, &reply);
        if (code < 0) {
            keep_id(g, reply->text);
        }
    }
    buf_fini(&a.duration);
    return code;
}

/* `text` is "id: no order ..." or "order: no pause or hold ...", or what is wrong with a name. */
static int nothing_to_lift(struct ordering *g, struct slice text)
{
    static const struct slice functions = {"; volley_orders lists them", 26};
    bool none = slice_starts(text, SLICE("id: no order ")) || slice_starts(text, SLICE("order: "));

    if (none && slice_iends(text, functions)) {
        text.len -= functions.len;
    }
    desk_say(g->desk, SLICE_FMT "%s", SLICE_ARG(text),
             none ? "; volley queue list --orders shows those there are" : "");
    return none ? ARGS_EXIT_FAILED : ARGS_EXIT_USAGE;
}

static int lift(struct ordering *g, const char *id)
{
    struct order_args a = {.count = 0};
    const struct resp *reply;
    int code = -1;

    put_pair(&a, "id", id);
    put_matchers(&a, g->o);
    for (unsigned p = 0; code < 0 && p < g->desk->partitions; p++) {
        desk_partition(g->desk, p);
        desk_ask_function(g->desk, "volley_resume", a.item, a.count);
        code = desk_take(g->desk, &reply);
        if (code < 0 && resp_is_error(reply, SLICE("VOLLEYBAD"))) {
            code = nothing_to_lift(g, slice_from(reply->text, sizeof("VOLLEYBAD")));
        } else if (code < 0 && reply->type == RESP_ERROR) {
            code = desk_refused(g->desk, reply);
        }
        for (size_t i = 0; code < 0 && p == 0 && i < reply->count; i++) {
            keep_id(g, reply->items[i].text);
            buf_printf(&g->lifted, "%s" SLICE_FMT, g->lifted.len > 0 ? " " : "",
                       SLICE_ARG(reply->items[i].text));
        }
    }
    return code;
}

/* ---- watching ---- */

/* Whether nothing more will come of it. */
static bool is_over(const struct ordering *g, const struct order_row *row)
{
    return row == NULL || (g->kind != NULL && strcmp(row->state, "in-force") != 0);
}

static int watch(struct ordering *g)
{
    int64_t until_us = clock_mono_us() + g->o->wait_us;
    struct progress progress;
    struct order_list orders;
    bool over = false;
    int code = -1;

    progress_init(&progress, STDERR_FILENO, false, clock_mono_us());
    while (code < 0 && !over && !signals_came() && clock_mono_us() < until_us) {
        order_list_init(&orders);
        code = order_list_read(&orders, g->desk);
        const struct order_row *row = order_list_find(&orders, slice_cstr(g->id));
        over = code < 0 && is_over(g, row);
        if (code < 0 && !over) {
            bool ends = strcmp(row->kind, "cancel") == 0 || strcmp(row->kind, "retry") == 0;
            struct progress_state state = {.title = row->kind,
                                           .unit = ends ? "jobs" : "jobs aside",
                                           .count = ends ? row->ended : row->held,
                                           .share = -1};
            progress_update(&progress, &state, clock_mono_us());
            poll(NULL, 0, POLL_MS);
        }
        order_list_fini(&orders);
    }
    progress_clear(&progress);
    if (code < 0 && g->kind == NULL && !over) {
        desk_say(g->desk, "jobs are still on their way back; an engine has to run for that");
        code = ARGS_EXIT_FAILED;
    }
    return code;
}

/* ---- what came of it ---- */

static void put_result(struct ordering *g, const struct order_list *orders, int64_t now_ms)
{
    struct buf *out = &g->desk->out;
    const struct order_row *row = order_list_find(orders, slice_cstr(g->id));

    if (g->desk->json && row != NULL) {
        order_row_put_json(out, row);
        buf_putc(out, '\n');
    } else if (g->desk->json) {
        json_object_open(out);
        json_put_cstr(out, "id", g->id);
        json_put_cstr(out, "state", "gone");
        json_object_close(out);
        buf_putc(out, '\n');
    } else if (g->kind == NULL) {
        buf_printf(out, "lifted: " SLICE_FMT "\n", SLICE_ARG(buf_slice(&g->lifted)));
    } else if (row != NULL) {
        struct order_list one = {.row = (struct order_row *)row, .count = 1};
        order_list_put_text(out, &one, now_ms);
    } else {
        buf_printf(out, "order %s is done\n", g->id);
    }
}

static int result(struct ordering *g)
{
    struct order_list orders;
    int64_t now_ms = 0;
    int code = desk_now_ms(g->desk, &now_ms);

    order_list_init(&orders);
    code = code < 0 ? order_list_read(&orders, g->desk) : code;
    if (code < 0) {
        put_result(g, &orders, now_ms);
    }
    order_list_fini(&orders);
    return code;
}

static bool has_matcher(const struct order_options *o)
{
    return o->campaign != NULL || o->tenant != NULL || o->domain != NULL || o->site != NULL ||
           o->tag != NULL || o->class >= 0 || o->all;
}

static int run(const struct args_command *command, const char *kind, int argc, char **argv)
{
    struct order_options o = {.class = -1};
    struct args_list operands = {NULL, 0};
    struct desk d;
    bool lifts = kind == NULL;
    int code = args_main(command, argc, argv, &o, lifts ? &operands : NULL);
    const char *id = operands.count > 0 ? operands.items[0] : NULL;

    if (code < 0 && lifts && (id != NULL) == has_matcher(&o)) {
        code = args_usage_error(command, "give the ORDER's id, or which jobs it means");
    } else if (code < 0 && !lifts && !has_matcher(&o)) {
        code = args_usage_error(command, "say which jobs: --campaign, --tenant, --domain, --site, "
                                         "--class, --tag, or --all");
    }
    if (code >= 0) {
        args_list_fini(&operands);
        return code;
    }
    struct ordering g = {.desk = &d, .kind = o.aside ? "hold" : kind, .o = &o};
    if (o.wait_us > 0) { /* before the order is known to anybody who waits for it */
        signals_catch();
    }
    code = desk_open(&d, command, &o.desk);
    if (code < 0) {
        code = lifts ? lift(&g, id) : place(&g);
    }
    if (code < 0 && o.wait_us > 0) {
        code = watch(&g);
    }
    code = code < 0 ? result(&g) : code;
    buf_fini(&g.lifted);
    args_list_fini(&operands);
    return desk_close(&d, code);
}

int cmd_queue_pause(int argc, char **argv)
{
    return run(&queue_pause_command, "pause", argc, argv);
}

int cmd_queue_resume(int argc, char **argv)
{
    return run(&queue_resume_command, NULL, argc, argv);
}

int cmd_queue_cancel(int argc, char **argv)
{
    return run(&queue_cancel_command, "cancel", argc, argv);
}

int cmd_queue_retry(int argc, char **argv)
{
    return run(&queue_retry_command, "retry", argc, argv);
}
