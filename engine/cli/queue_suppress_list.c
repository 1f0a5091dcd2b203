/*
 * queue_suppress_list.c - `volley queue suppress list|export`: what is on the list, in steps.
 */
#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "engine/cli/csv.h"
#include "engine/cli/queue_suppress.h"
#include "engine/cli/table.h"

#include <stdio.h>
#include <string.h>

#define TARGET(member) .target = offsetof(struct suppress_options, member)

enum { PAGE = 500, ENTRIES_SHOWN_MAX = 100000 };

static const char *const list_description[] = {
    "With addresses: the entries that concern them, of all tenants, or of --tenant and everybody. "
    "Without: the entries of one tenant's list, a page at a time, in no particular order.",
    NULL};

static const struct args_option list_options[] = {
    {.name = "tenant",
     .kind = ARGS_TEXT,
     .value = "NAME",
     TARGET(tenant),
     .help = "Whose list; * is everybody's. Default: * for a page."},
    {.name = "tenants",
     .kind = ARGS_FLAG,
     TARGET(tenants),
     .help = "Who has a list, and how many addresses are on it."},
    {.name = "limit",
     .letter = 'n',
     .kind = ARGS_COUNT,
     .value = "N",
     .min = 1,
     .max = ENTRIES_SHOWN_MAX,
     TARGET(limit),
     .help = "About how many entries are on a page. Default: 50."},
    {.name = "cursor",
     .kind = ARGS_TEXT,
     .value = "CURSOR",
     TARGET(cursor),
     .help = "Goes on where a page before ended."},
    DESK_JSON_OPTION,
    DESK_OPTIONS,
    {0}};

const struct args_command queue_suppress_list_command = {
    .name = "volley queue suppress list",
    .summary = "show who is on the list, or why an address is",
    .synopsis = "[ADDRESS]... [--tenant NAME] [OPTION]...",
    .description = list_description,
    .options = list_options,
    .operands_max = 100,
    .operand = "ADDRESS",
};

static const char *const export_description[] = {
    "Writes the whole list as CSV on standard output: to, tenant, scope, reason, since, expires. "
    "import reads it back. What is there throughout is written at least once; what comes or goes "
    "meanwhile may be written or not.",
    NULL};

static const struct args_option export_options[] = {
    {.name = "tenant",
     .kind = ARGS_TEXT,
     .value = "NAME",
     TARGET(tenant),
     .help = "Only this tenant's list; * is everybody's. Default: all."},
    DESK_OPTIONS,
    {0}};

const struct args_command queue_suppress_export_command = {
    .name = "volley queue suppress export",
    .summary = "write the list as CSV",
    .synopsis = "[--tenant NAME] [OPTION]...",
    .description = export_description,
    .options = export_options,
};

/* ---- entries ---- */

/* One answer's entries, in the form that is wanted. */
struct entries {
    struct desk *desk;
    struct table *table; /* NULL: JSON, */
    bool csv;            /* or CSV */
    uint64_t count;
};

static void put_day(struct buf *out, int64_t unix_s)
{
    char text[CLOCK_RFC3339_LEN + 1];

    if (unix_s > 0) {
        clock_format(text, unix_s * 1000000);
        buf_printf(out, "%.19sZ", text);
    }
}

static void put_csv(struct buf *out, const struct suppress_entry *e)
{
    csv_put_field(out, e->to);
    buf_putc(out, ',');
    csv_put_field(out, e->tenant);
    buf_putc(out, ',');
    csv_put_field(out, e->scope);
    buf_putc(out, ',');
    csv_put_field(out, e->reason);
    buf_putc(out, ',');
    put_day(out, e->since_s);
    buf_putc(out, ',');
    put_day(out, e->expires_s);
    BUF_LIT(out, "\r\n");
}

static void put_json(struct buf *out, const struct suppress_entry *e)
{
    json_object_open(out);
    json_put_str(out, "to", e->to);
    json_put_str(out, "tenant", e->tenant);
    json_put_str(out, "scope", e->scope);
    json_put_str(out, "reason", e->reason);
    json_put_i64(out, "since", e->since_s);
    json_put_i64(out, "expires", e->expires_s);
    json_object_close(out);
}

static void put_row(struct table *t, const struct suppress_entry *e)
{
    struct buf since = BUF_EMPTY, expires = BUF_EMPTY;

    desk_put_time(&since, e->since_s * 1000);
    if (e->expires_s > 0) {
        desk_put_time(&expires, e->expires_s * 1000);
    } else {
        BUF_LIT(&expires, "never");
    }
    table_cell(t, e->to);
    table_cell(t, e->tenant);
    table_cell(t, e->scope);
    table_cell(t, buf_slice(&since));
    table_cell(t, buf_slice(&expires));
    table_cell(t, e->reason);
    buf_fini(&since);
    buf_fini(&expires);
}

static void take_entries(struct entries *to, const struct resp *reply, size_t first)
{
    struct suppress_entry e;

    for (size_t i = first; i < reply->count; i++) {
        if (!queue_suppress_entry(&e, &reply->items[i])) {
            continue;
        }
        to->count++;
        if (to->csv) {
            put_csv(&to->desk->out, &e);
        } else if (to->table != NULL) {
            put_row(to->table, &e);
        } else {
            put_json(&to->desk->out, &e);
        }
    }
}

/* One step through a tenant's list; *cursor goes on, and is "0" at the end. */
static int step(struct entries *to, struct slice tenant, struct buf *cursor, uint64_t about)
{
    char count[DESK_NUMBER_MAX];
    const struct resp *reply;

    queue_suppress_ask(to->desk, "list",
                       DESK_ARGS(tenant, buf_slice(cursor), desk_number(count, about)));
    int code = desk_take_good(to->desk, &reply);
    if (code < 0 && (reply->type != RESP_ARRAY || reply->count == 0)) {
        desk_say(to->desk, "an answer that makes no sense");
        code = ARGS_EXIT_FAILED;
    }
    if (code < 0) {
        buf_reset(cursor);
        buf_puts(cursor, reply->items[0].text);
        take_entries(to, reply, 1);
    }
    return code;
}

static bool at_end(const struct buf *cursor)
{
    return slice_eq(buf_slice(cursor), SLICE("0"));
}

/* ---- list ---- */

static int find(struct entries *to, const struct suppress_options *o,
                const struct args_list *addresses)
{
    struct buf *out =
        queue_suppress_begin(to->desk, "find", 2 * addresses->count + (o->tenant != NULL ? 2 : 0));
    const struct resp *reply;

    if (o->tenant != NULL) {
        resp_put_arg(out, SLICE("tenant"));
        resp_put_arg(out, slice_cstr(o->tenant));
    }
    for (size_t i = 0; i < addresses->count; i++) {
        resp_put_arg(out, SLICE("to"));
        resp_put_arg(out, slice_cstr(addresses->items[i]));
    }
    sync_end(to->desk->redis);
    int code = desk_take_good(to->desk, &reply);
    if (code < 0) {
        take_entries(to, reply, 0);
    }
    return code;
}

static int list(struct desk *d, const struct suppress_options *o, const struct args_list *addresses)
{
    static const char *const heads[] = {"to", "tenant", "scope", "since", "expires", "reason"};
    struct buf cursor = BUF_EMPTY;
    struct table table;
    struct entries to = {.desk = d, .table = d->json ? NULL : &table};
    int code = -1;

    table_init(&table, "llllll");
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        table_cell(&table, slice_cstr(heads[i]));
    }
    if (d->json) {
        json_object_open(&d->out);
        json_key(&d->out, "entries");
        json_array_open(&d->out);
    }
    buf_puts(&cursor, o->cursor != NULL ? slice_cstr(o->cursor) : SLICE("0"));
    if (addresses->count > 0) {
        code = find(&to, o, addresses);
        buf_reset(&cursor);
        BUF_LIT(&cursor, "0");
    } else {
        do { /* HSCAN gives few at a time where many have ended */
            uint64_t left = o->limit - to.count;
            code = step(&to, slice_cstr(o->tenant != NULL ? o->tenant : "*"), &cursor,
                        left < PAGE ? left : PAGE);
        } while (code < 0 && !at_end(&cursor) && to.count < o->limit);
    }
    if (code >= 0) {
        buf_reset(&d->out);
    } else if (d->json) {
        json_array_close(&d->out);
        if (!at_end(&cursor)) {
            json_put_str(&d->out, "cursor", buf_slice(&cursor));
        }
        json_object_close(&d->out);
        buf_putc(&d->out, '\n');
    } else {
        table_put(&d->out, &table, 0);
        if (!at_end(&cursor)) {
            buf_printf(&d->out, "to go on: --cursor " SLICE_FMT "\n",
                       SLICE_ARG(buf_slice(&cursor)));
        }
    }
    table_fini(&table);
    buf_fini(&cursor);
    return code;
}

/* ---- tenants ---- */

/* Names of one step of those who have a list, as lines "number name"; *cursor goes on. */
static int tenants_step(struct desk *d, struct buf *names, struct buf *cursor)
{
    const struct resp *reply;

    queue_suppress_ask(d, "tenants", DESK_ARGS(buf_slice(cursor)));
    int code = desk_take_good(d, &reply);
    buf_reset(names);
    buf_reset(cursor);
    for (size_t i = 1; code < 0 && i + 1 < reply->count; i += 2) {
        int64_t number = 0;
        (void)resp_int(&reply->items[i + 1], &number);
        buf_printf(names, "%lld " SLICE_FMT "\n", (long long)number,
                   SLICE_ARG(reply->items[i].text));
    }
    buf_puts(cursor, code < 0 && reply->count > 0 ? reply->items[0].text : SLICE("0"));
    return code;
}

static int list_tenants(struct desk *d)
{
    struct buf names = BUF_EMPTY, cursor = BUF_EMPTY;
    struct slice rest, line;
    int code = -1;

    BUF_LIT(&cursor, "0");
    if (d->json) {
        json_object_open(&d->out);
        json_key(&d->out, "tenants");
        json_object_open(&d->out);
    }
    do {
        code = tenants_step(d, &names, &cursor);
        rest = buf_slice(&names);
        while (code < 0 && slice_next(&rest, '\n', &line) && line.len > 0) {
            size_t blank = slice_find(line, ' ');
            uint64_t number = 0;
            (void)slice_u64(slice_of(line.ptr, blank), &number);
            if (d->json) {
                json_key_slice(&d->out, slice_from(line, blank + 1));
                json_u64(&d->out, number);
            } else {
                buf_puts(&d->out, slice_from(line, blank + 1));
                buf_printf(&d->out, " %llu\n", (unsigned long long)number);
            }
        }
    } while (code < 0 && !at_end(&cursor));
    if (code < 0 && d->json) {
        json_object_close(&d->out);
        json_object_close(&d->out);
        buf_putc(&d->out, '\n');
    }
    buf_fini(&names);
    buf_fini(&cursor);
    return code;
}

int cmd_queue_suppress_list(int argc, char **argv)
{
    struct suppress_options o = {.limit = 50};
    struct args_list addresses = {NULL, 0};
    struct desk d;
    int code = args_main(&queue_suppress_list_command, argc, argv, &o, &addresses);

    if (code < 0 && (o.tenants + (addresses.count > 0) + (o.cursor != NULL)) > 1) {
        code =
            args_usage_error(&queue_suppress_list_command, "give addresses, --cursor or --tenants");
    }
    if (code < 0) {
        code = desk_open(&d, &queue_suppress_list_command, &o.desk);
        if (code < 0) {
            code = o.tenants ? list_tenants(&d) : list(&d, &o, &addresses);
        }
        code = desk_close(&d, code);
    }
    args_list_fini(&addresses);
    return code;
}

/* ---- export ---- */

static int export_tenant(struct entries *to, struct slice tenant)
{
    struct buf cursor = BUF_EMPTY;
    int code = -1;

    BUF_LIT(&cursor, "0");
    do {
        code = step(to, tenant, &cursor, PAGE);
        code = code < 0 ? desk_print(to->desk) : code;
    } while (code < 0 && !at_end(&cursor));
    buf_fini(&cursor);
    return code;
}

static int export_all(struct desk *d, const char *tenant)
{
    struct entries to = {.desk = d, .csv = true};
    struct buf names = BUF_EMPTY, cursor = BUF_EMPTY;
    struct slice rest, line;
    int code = -1;

    BUF_LIT(&d->out, "to,tenant,scope,reason,since,expires\r\n");
    BUF_LIT(&cursor, "0");
    if (tenant != NULL) {
        code = export_tenant(&to, slice_cstr(tenant));
    } else {
        do {
            code = tenants_step(d, &names, &cursor);
            rest = buf_slice(&names);
            while (code < 0 && slice_next(&rest, '\n', &line) && line.len > 0) {
                code = export_tenant(&to, slice_from(line, slice_find(line, ' ') + 1));
            }
        } while (code < 0 && !at_end(&cursor));
    }
    buf_fini(&names);
    buf_fini(&cursor);
    return code;
}

int cmd_queue_suppress_export(int argc, char **argv)
{
    struct suppress_options o = {.tenant = NULL};
    struct desk d;
    int code = args_main(&queue_suppress_export_command, argc, argv, &o, NULL);

    if (code < 0) {
        code = desk_open(&d, &queue_suppress_export_command, &o.desk);
        code = code < 0 ? export_all(&d, o.tenant) : code;
        code = desk_close(&d, code);
    }
    return code;
}
