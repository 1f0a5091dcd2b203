/*
 * queue_suppress.c - `volley queue suppress`: addresses that get no mail; adding and removing.
 */
#include "engine/cli/queue_suppress.h"
#include "engine/base/json.h"
#include "engine/base/mem.h"
#include "engine/cli/queue.h"

#include <inttypes.h>

#define TARGET(member) .target = offsetof(struct suppress_options, member)

static const char *const description[] = {
    "Addresses that get no mail: for one tenant or for all, of all kinds, of bulk, or of a "
    "campaign, for ever or for a time. Engines look an address up just before its letter would "
    "go; a job that waits ends as `suppressed` when its turn comes.",
    "Upper and lower case are the same. The list is one for the whole queue.", NULL};

static const struct args_pair overview_examples[] = {
    {"volley queue suppress add ann@example.org --reason \"asked by telephone\"",
     "No more mail to her:"},
    {"volley queue suppress import unsubscribed.csv --tenant acme", "A list from elsewhere:"},
    {"volley queue suppress export > all.csv", "All there is:"},
    {NULL, NULL}};

const struct args_command queue_suppress_command = {
    .name = "volley queue suppress",
    .summary = "addresses that get no mail: add, remove, list, import, export",
    .synopsis = "COMMAND [OPTION]...",
    .description = description,
    .examples = overview_examples,
    .see_also = "volley-queue(1)",
};

/* ---- asking ---- */

struct buf *queue_suppress_begin(struct desk *d, const char *name, size_t args)
{
    struct buf *out = sync_begin(d->redis);
    struct buf text = BUF_EMPTY;

    resp_put_count(out, 4 + args);
    resp_put_arg(out, SLICE("FCALL"));
    buf_printf(&text, "volley_suppress_%s", name);
    resp_put_arg(out, buf_slice(&text));
    resp_put_u64(out, 1);
    buf_reset(&text);
    buf_printf(&text, "%s:suppress:{list}:meta", d->conf->queue.prefix);
    resp_put_arg(out, buf_slice(&text));
    buf_fini(&text);
    return out;
}

void queue_suppress_ask(struct desk *d, const char *name, const struct slice *args, size_t count)
{
    struct buf *out = queue_suppress_begin(d, name, count);

    for (size_t i = 0; i < count; i++) {
        resp_put_arg(out, args[i]);
    }
    sync_end(d->redis);
}

size_t queue_suppress_shared(const struct suppress_options *o, struct slice *args)
{
    const struct {
        const char *name, *value;
    } fields[] = {
        {"tenant", o->tenant}, {"scope", o->scope}, {"reason", o->reason}, {"expires", o->expires}};
    size_t n = 0;

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (fields[i].value != NULL) {
            args[n++] = slice_cstr(fields[i].name);
            args[n++] = slice_cstr(fields[i].value);
        }
    }
    ASSERT(n <= QUEUE_SUPPRESS_SHARED_MAX);
    return n;
}

bool queue_suppress_entry(struct suppress_entry *e, const struct resp *reply)
{
    if (reply->type != RESP_ARRAY || reply->count != 6 ||
        resp_int(&reply->items[4], &e->since_s) != 0 || e->since_s < 0 ||
        resp_int(&reply->items[5], &e->expires_s) != 0 || e->expires_s < 0) {
        return false;
    }
    e->since_s = desk_sane_ms(e->since_s > INT64_MAX / 1000 ? INT64_MAX : e->since_s * 1000) / 1000;
    e->expires_s =
        desk_sane_ms(e->expires_s > INT64_MAX / 1000 ? INT64_MAX : e->expires_s * 1000) / 1000;
    e->tenant = reply->items[0].text;
    e->to = reply->items[1].text;
    e->scope = reply->items[2].text;
    e->reason = reply->items[3].text;
    return true;
}

/* ---- add and remove ---- */

enum { STEP = 500 }; /* addresses in a call */

static const struct args_option add_options[] = {
    {.name = "tenant",
     .kind = ARGS_TEXT,
     .value = "NAME",
     TARGET(tenant),
     .help = "Whose mail is meant; * is everybody's. Default: *."},
    {.name = "scope",
     .kind = ARGS_TEXT,
     .value = "SCOPE",
     TARGET(scope),
     .help = "all, bulk or campaign:NAME. Default: all."},
    {.name = "reason",
     .kind = ARGS_TEXT,
     .value = "TEXT",
     TARGET(reason),
     .help = "Shown in events."},
    {.name = "expires",
     .kind = ARGS_TEXT,
     .value = "WHEN",
     TARGET(expires),
     .help = "A time, or a duration from now such as 90d. Default: never."},
    DESK_JSON_OPTION,
    DESK_OPTIONS,
    {0}};

static const struct args_option remove_options[] = {
    {.name = "tenant",
     .kind = ARGS_TEXT,
     .value = "NAME",
     TARGET(tenant),
     .help = "Of whose list; * is everybody's. Default: *."},
    {.name = "scope",
     .kind = ARGS_TEXT,
     .value = "SCOPE",
     TARGET(scope),
     .help = "Only the entry of this scope. Default: all of the address."},
    DESK_JSON_OPTION,
    DESK_OPTIONS,
    {0}};

static const char *const add_description[] = {
    "Adds entries for addresses. An entry that lasts longer already stays as it is.", NULL};

static const char *const remove_description[] = {
    "Takes entries of addresses away: mail to them goes out again.", NULL};

static const struct args_command add_command = {
    .name = "volley queue suppress add",
    .summary = "no more mail to an address",
    .synopsis = "ADDRESS... [OPTION]...",
    .description = add_description,
    .options = add_options,
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .operand = "ADDRESS",
};

static const struct args_command remove_command = {
    .name = "volley queue suppress remove",
    .summary = "mail to an address goes out again",
    .synopsis = "ADDRESS... [OPTION]...",
    .description = remove_description,
    .options = remove_options,
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .operand = "ADDRESS",
};

static int change(struct desk *d, const char *name, const struct suppress_options *o,
                  const struct args_list *addresses, int64_t *changed)
{
    struct slice *args =
        mem_array(QUEUE_SUPPRESS_SHARED_MAX + 2 * (size_t)STEP, sizeof(struct slice));
    size_t shared = queue_suppress_shared(o, args);
    const struct resp *reply;
    int code = -1;

    for (size_t at = 0; code < 0 && at < addresses->count; at += STEP) {
        size_t n = shared;
        int64_t count = 0;
        for (size_t i = at; i < addresses->count && i < at + STEP; i++) {
            args[n++] = SLICE("to");
            args[n++] = slice_cstr(addresses->items[i]);
        }
        queue_suppress_ask(d, name, args, n);
        code = desk_take_good(d, &reply);
        *changed += code < 0 && resp_int(reply, &count) == 0 ? count : 0;
    }
    mem_free(args);
    return code;
}

static int change_main(const struct args_command *command, const char *name, int argc, char **argv)
{
    struct suppress_options o = {.tenant = NULL};
    struct args_list addresses = {NULL, 0};
    bool adds = command == &add_command;
    int64_t changed = 0;
    struct desk d;
    int code = args_main(command, argc, argv, &o, &addresses);

    if (code >= 0) {
        args_list_fini(&addresses);
        return code;
    }
    code = desk_open(&d, command, &o.desk);
    code = code < 0 ? change(&d, name, &o, &addresses, &changed) : code;
    if (code < 0 && d.json) {
        json_object_open(&d.out);
        json_put_i64(&d.out, adds ? "added" : "removed", changed);
        json_object_close(&d.out);
        buf_putc(&d.out, '\n');
    } else if (code < 0) {
        buf_printf(&d.out, "%" PRId64 " %s\n", changed,
                   adds ? "new or longer than before" : "removed");
    }
    args_list_fini(&addresses);
    return desk_close(&d, code);
}

static int cmd_add(int argc, char **argv)
{
    return change_main(&add_command, "add", argc, argv);
}

static int cmd_remove(int argc, char **argv)
{
    return change_main(&remove_command, "remove", argc, argv);
}

const struct command queue_suppress_commands[] = {
    {"add", &add_command, cmd_add, NULL},
    {"remove", &remove_command, cmd_remove, NULL},
    {"list", &queue_suppress_list_command, cmd_queue_suppress_list, NULL},
    {"import", &queue_suppress_import_command, cmd_queue_suppress_import, NULL},
    {"export", &queue_suppress_export_command, cmd_queue_suppress_export, NULL},
    {NULL, NULL, NULL, NULL},
};
