/*
 * queue_library.c - `volley queue library`: the functions that are the queue, in Redis and here.
 */
#include "engine/base/err.h"
#include "engine/base/json.h"
#include "engine/base/mem.h"
#include "engine/cli/desk.h"
#include "engine/cli/queue.h"
#include "engine/cli/table.h"
#include "queue/library.h"

#include <string.h>

struct library_options {
    struct desk_options desk;
    bool load, check, version;
};

#define TARGET(member) .target = offsetof(struct library_options, member)

static const char *const description[] = {
    "Shows which libraries of functions Redis has for the queue, and whether they are those of "
    "this program. `volley` has the calls of submitters; `volley_<format>` those of engines of a "
    "record format, and two formats may stand side by side while engines are upgraded.",
    "volley run and volley send load what is missing or older by themselves. A newer library is "
    "never replaced.",
    NULL};

static const struct args_option options[] = {
    {.name = "load", .kind = ARGS_FLAG, TARGET(load), .help = "Loads what is missing or older."},
    {.name = "check",
     .kind = ARGS_FLAG,
     TARGET(check),
     .help = "Exits with 1 unless Redis has at least what this program brings."},
    {.name = "formats",
     .kind = ARGS_FLAG,
     TARGET(version),
     .help = "Prints what this program brings, and does not ask Redis."},
    DESK_JSON_OPTION,
    DESK_OPTIONS,
    {0}};

static const struct args_pair exit_codes[] = {
    {"0", "done"},
    {"1", "Redis refused, or --check found something missing or older"},
    {"2", "bad usage or configuration"},
    {"75", "Redis is away, or cannot take it now (a replica, full, loading)"},
    {0}};

static const struct args_pair examples[] = {
    {"volley queue library --load --redis redis://127.0.0.1:6379/0",
     "Before the first engine runs, so that applications can submit:"},
    {0}};

const struct args_command queue_library_command = {
    .name = "volley queue library",
    .summary = "show or load the queue's functions in Redis",
    .synopsis = "[--load | --check | --formats] [OPTION]...",
    .description = description,
    .options = options,
    .exit_codes = exit_codes,
    .examples = examples,
    .see_also = "volley-run(1), volley-queue(1)",
};

enum { LOADED_MAX = 64 };

/* A library in Redis. */
struct loaded {
    char name[32];
    unsigned version;   /* 0: unknown */
    uint64_t functions; /* that it offers */
    bool ours;          /* the very text of this program */
};

struct found {
    struct loaded item[LOADED_MAX];
    size_t count;
};

static const struct resp *field_of(const struct resp *fields, struct slice name)
{
    for (size_t i = 0; i + 1 < fields->count; i += 2) {
        if (slice_eq(fields->items[i].text, name)) {
            return &fields->items[i + 1];
        }
    }
    return NULL;
}

static bool is_ours(struct slice name, struct slice code)
{
    bool same = false;

    for (unsigned which = 0; which < LIBRARY_COUNT && !same; which++) {
        struct buf source = BUF_EMPTY;
        library_put_source(which, &source);
        same =
            slice_eq(name, slice_cstr(library_name(which))) && slice_eq(code, buf_slice(&source));
        buf_fini(&source);
    }
    return same;
}

static void take_library(struct found *found, const struct resp *fields)
{
    const struct resp *name = field_of(fields, SLICE("library_name"));
    const struct resp *code = field_of(fields, SLICE("library_code"));
    const struct resp *functions = field_of(fields, SLICE("functions"));

    if (found->count == LOADED_MAX || name == NULL || code == NULL || name->text.len > 31) {
        return;
    }
    struct loaded *l = &found->item[found->count++];
    *l = (struct loaded){.version = library_version_of(code->text),
                         .functions = functions != NULL ? functions->count : 0,
                         .ours = is_ours(name->text, code->text)};
    memcpy(l->name, name->text.ptr, name->text.len);
}

static int read_libraries(struct desk *d, struct found *found)
{
    const struct resp *reply;

    desk_ask_plain(d, DESK_ARGS(SLICE("FUNCTION"), SLICE("LIST"), SLICE("LIBRARYNAME"),
                                SLICE("volley*"), SLICE("WITHCODE")));
    int code = desk_take(d, &reply);
    if (code < 0 && reply->type == RESP_ERROR) {
        struct buf why = BUF_EMPTY;
        int err = library_judge(reply, &why);
        desk_say(d, SLICE_FMT, SLICE_ARG(buf_slice(&why)));
        buf_fini(&why);
        return err == ERR_INVALID ? ARGS_EXIT_FAILED : ARGS_EXIT_TEMPORARY;
    }
    for (size_t i = 0; code < 0 && reply->type == RESP_ARRAY && i < reply->count; i++) {
        take_library(found, &reply->items[i]);
    }
    return code;
}

static const struct loaded *loaded_find(const struct found *found, const char *name)
{
    for (size_t i = 0; i < found->count; i++) {
        if (slice_eq(slice_cstr(found->item[i].name), slice_cstr(name))) {
            return &found->item[i];
        }
    }
    return NULL;
}

static bool is_missing(const struct found *found, unsigned which)
{
    const struct loaded *l = loaded_find(found, library_name(which));

    return l == NULL || l->version < library_version();
}

static const char *state_of(const struct loaded *l)
{
    bool known = false;

    for (unsigned which = 0; which < LIBRARY_COUNT; which++) {
        known = known || slice_eq(slice_cstr(l->name), slice_cstr(library_name(which)));
    }
    if (!known) {
        return "of another format";
    }
    if (l->ours) {
        return "as in this program";
    }
    return l->version > library_version()   ? "newer than this program"
           : l->version < library_version() ? "older than this program"
                                            : "of another build";
}

static void put_text(struct buf *out, const struct found *found)
{
    struct table t;

    table_init(&t, "lrrl");
    table_cell(&t, SLICE("library"));
    table_cell(&t, SLICE("version"));
    table_cell(&t, SLICE("functions"));
    table_cell(&t, SLICE("state"));
    for (size_t i = 0; i < found->count; i++) {
        const struct loaded *l = &found->item[i];
        table_cell(&t, slice_cstr(l->name));
        table_cellf(&t, "%u", l->version);
        table_cellf(&t, "%llu", (unsigned long long)l->functions);
        table_cell(&t, slice_cstr(state_of(l)));
    }
    for (unsigned which = 0; which < LIBRARY_COUNT; which++) {
        if (loaded_find(found, library_name(which)) == NULL) {
            table_cell(&t, slice_cstr(library_name(which)));
            table_cell(&t, SLICE("-"));
            table_cell(&t, SLICE("-"));
            table_cell(&t, SLICE("missing; --load brings it"));
        }
    }
    table_put(out, &t, 0);
    table_fini(&t);
}

static void put_brings(struct buf *out, bool json)
{
    if (!json) {
        buf_printf(out, "volley " VOLLEY_VERSION ": record format %d, library version %u (",
                   RECORD_FORMAT, library_version());
        for (unsigned which = 0; which < LIBRARY_COUNT; which++) {
            buf_printf(out, "%s%s", which > 0 ? ", " : "", library_name(which));
        }
        BUF_LIT(out, ")\n");
        return;
    }
    json_put_u64(out, "format", RECORD_FORMAT);
    json_put_u64(out, "version", library_version());
}

static void put_json(struct buf *out, const struct found *found, bool whole)
{
    json_object_open(out);
    put_brings(out, true);
    if (found != NULL) {
        json_put_bool(out, "complete", whole);
        json_key(out, "libraries");
        json_array_open(out);
        for (size_t i = 0; i < found->count; i++) {
            json_object_open(out);
            json_put_cstr(out, "name", found->item[i].name);
            json_put_u64(out, "version", found->item[i].version);
            json_put_u64(out, "functions", found->item[i].functions);
            json_put_cstr(out, "state", state_of(&found->item[i]));
            json_object_close(out);
        }
        json_array_close(out);
    }
    json_object_close(out);
    buf_putc(out, '\n');
}

static int load(struct desk *d)
{
    struct buf why = BUF_EMPTY;
    int err = library_ensure_sync(d->redis, &why);

    if (err != 0) {
        desk_say(d, SLICE_FMT, SLICE_ARG(buf_slice(&why)));
    }
    buf_fini(&why);
    return err == 0 ? -1 : err == ERR_INVALID ? ARGS_EXIT_FAILED : ARGS_EXIT_TEMPORARY;
}

static int look(struct desk *d, const struct library_options *o)
{
    struct found *found = mem_zalloc(sizeof(*found));
    bool whole = true;
    int code = o->load ? load(d) : -1;

    code = code < 0 ? read_libraries(d, found) : code;
    for (unsigned which = 0; which < LIBRARY_COUNT; which++) {
        whole = whole && !is_missing(found, which);
    }
    if (code < 0 && d->json) {
        put_json(&d->out, found, whole);
    } else if (code < 0) {
        put_text(&d->out, found);
    }
    mem_free(found);
    return code < 0 && o->check && !whole ? ARGS_EXIT_FAILED : code;
}

int cmd_queue_library(int argc, char **argv)
{
    struct library_options o = {.load = false};
    struct desk d;
    int code = args_main(&queue_library_command, argc, argv, &o, NULL);

    if (code < 0 && o.load + o.check + o.version > 1) {
        code = args_usage_error(&queue_library_command, "give one of --load, --check, --formats");
    }
    if (code >= 0) {
        return code;
    }
    if (o.version) { /* before anything is opened */
        d = (struct desk){.command = &queue_library_command};
        if (o.desk.json) {
            put_json(&d.out, NULL, false);
        } else {
            put_brings(&d.out, false);
        }
        return desk_close(&d, -1);
    }
    code = desk_open(&d, &queue_library_command, &o.desk);
    code = code < 0 ? look(&d, &o) : code;
    return desk_close(&d, code);
}
