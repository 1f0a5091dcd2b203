/*
 * library.c - the Redis Functions that are the queue.
 *
 * The Lua files are put into the program as they stand.  Which files make a library, and in
 * which order, is said here: see common.lua for how they fit together.
 */
#include "queue/library.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"

#include <limits.h>
#include <string.h>

/* Raised with every change of the Lua text that engines or submitters can notice. */
enum { LIBRARY_VERSION = 1 };

#define EMBED(name)                                                  \
    __asm__(".pushsection .rodata\n"                                 \
            "queue_lua_" #name ": .incbin \"queue/" #name ".lua\"\n" \
            "queue_lua_" #name "_end: .byte 0\n"                     \
            ".popsection\n");                                        \
    extern const char queue_lua_##name[], queue_lua_##name##_end[]

EMBED(common);
EMBED(fields);
EMBED(letter);
EMBED(share);
EMBED(partition);
EMBED(job);
EMBED(batch);
EMBED(order);
EMBED(suppress);
EMBED(submit);
EMBED(node);
EMBED(claim);
EMBED(outcome);
EMBED(takeover);
EMBED(due);
EMBED(retention);
EMBED(sweep);
EMBED(engine);

struct part {
    const char *start;
    const char *end;
};

#define PART(name)                               \
    {                                            \
        queue_lua_##name, queue_lua_##name##_end \
    }

enum { PARTS_MAX = 16 };

static const struct {
    const char *name;
    struct part parts[PARTS_MAX];
} libraries[LIBRARY_COUNT] = {
    [LIBRARY_PUBLIC] = {"volley",
                        {PART(common), PART(fields), PART(letter), PART(share), PART(partition),
                         PART(job), PART(batch), PART(order), PART(suppress), PART(submit)}},
    [LIBRARY_ENGINE] = {"volley_1",
                        {PART(common), PART(node), PART(claim), PART(outcome), PART(takeover),
                         PART(due), PART(retention), PART(sweep), PART(engine)}},
};

const char *library_name(unsigned which)
{
    ASSERT(which < LIBRARY_COUNT);
    return libraries[which].name;
}

unsigned library_version(void)
{
    return LIBRARY_VERSION;
}

void library_put_source(unsigned which, struct buf *out)
{
    buf_printf(out, "#!lua name=%s\n-- volley library version %d\n", library_name(which),
               LIBRARY_VERSION);
    for (size_t i = 0; i < PARTS_MAX; i++) {
        const struct part *part = &libraries[which].parts[i];
        if (part->start != NULL) {
            buf_put(out, part->start, (size_t)(part->end - part->start));
        }
    }
}

/* ---- deciding ---- */

unsigned library_version_of(struct slice source)
{
    static const struct slice mark = {"-- volley library version ", 26};
    struct slice line;
    uint64_t version = 0;

    if (slice_next(&source, '\n', &line) && slice_next(&source, '\n', &line) &&
        slice_starts(line, mark)) {
        if (slice_u64(slice_from(line, mark.len), &version) != 0) {
            version = 0;
        }
    }
    return version <= UINT_MAX ? (unsigned)version : UINT_MAX;
}

/* Whether ours has to be loaded, by the answer to FUNCTION LIST ... WITHCODE: one library,
 * as a flat list of names and values. */
static bool load_needed(unsigned which, const struct resp *list)
{
    struct buf ours = BUF_EMPTY;
    struct slice loaded = SLICE_NONE;

    if (list->type == RESP_ARRAY && list->count > 0 && list->items[0].type == RESP_ARRAY) {
        const struct resp *fields = &list->items[0];
        for (size_t i = 0; i + 1 < fields->count; i += 2) {
            if (slice_eq(fields->items[i].text, SLICE("library_code"))) {
                loaded = fields->items[i + 1].text;
            }
        }
    }
    library_put_source(which, &ours);
    unsigned version = library_version_of(loaded);
    /* The same version with another text is a developer's build: his is the newer one. */
    bool needed = version < LIBRARY_VERSION ||
                  (version == LIBRARY_VERSION && !slice_eq(loaded, buf_slice(&ours)));
    buf_fini(&ours);
    return needed;
}

int library_judge(const struct resp *reply, struct buf *why)
{
    if (reply->type != RESP_ERROR) {
        return 0;
    }
    if (slice_starts(reply->text, SLICE("ERR unknown command")) ||
        slice_starts(reply->text, SLICE("ERR unknown subcommand"))) {
        BUF_LIT(why, "this Redis is older than version 7 and has no functions; install "
                     "redis-server 7 or newer, or Valkey");
        return ERR_INVALID;
    }
    if (resp_is_error(reply, SLICE("NOPERM"))) {
        BUF_LIT(why, "the Redis user may not load functions; grant it +function +fcall: ");
        buf_puts(why, reply->text);
        return ERR_INVALID;
    }
    BUF_LIT(why, "Redis refuses the function library: ");
    buf_puts(why, reply->text);
    /* Full, loading, read-only replica: these pass. */
    return slice_starts(reply->text, SLICE("ERR")) ? ERR_INVALID : ERR_AGAIN;
}

static void put_list(unsigned which, struct buf *out)
{
    struct slice argv[] = {SLICE("FUNCTION"), SLICE("LIST"), SLICE("LIBRARYNAME"),
                           slice_cstr(library_name(which)), SLICE("WITHCODE")};

    resp_put_command(out, argv, sizeof(argv) / sizeof(argv[0]));
}

static void put_load(unsigned which, struct buf *out)
{
    struct buf source = BUF_EMPTY;

    library_put_source(which, &source);
    struct slice argv[] = {SLICE("FUNCTION"), SLICE("LOAD"), SLICE("REPLACE"), buf_slice(&source)};
    resp_put_command(out, argv, sizeof(argv) / sizeof(argv[0]));
    buf_fini(&source);
}

/* ---- blocking ---- */

static int step_sync(struct sync *s, const struct resp **reply, struct buf *why)
{
    sync_end(s);
    int err = sync_take(s, reply);
    if (err != 0) {
        buf_puts(why, slice_cstr(sync_error(s)));
        return err;
    }
    return library_judge(*reply, why);
}

int library_ensure_sync(struct sync *s, struct buf *why)
{
    for (unsigned which = 0; which < LIBRARY_COUNT; which++) {
        const struct resp *reply;
        put_list(which, sync_begin(s));
        int err = step_sync(s, &reply, why);
        if (err == 0 && load_needed(which, reply)) {
            put_load(which, sync_begin(s));
            err = step_sync(s, &reply, why);
        }
        if (err != 0) {
            return err;
        }
    }
    return 0;
}

/* ---- asynchronous ---- */

struct ensure {
    struct redis *redis;
    library_done_fn *done;
    void *ctx;
    unsigned which;
};

static void ensure_list(struct ensure *e);

static void ensure_end(struct ensure *e, int err, const char *why)
{
    library_done_fn *done = e->done;
    void *ctx = e->ctx;

    mem_free(e);
    done(ctx, err, why);
}

/* Ends with an error when there is one. */
static bool ensure_failed(struct ensure *e, int err, const struct resp *reply)
{
    struct buf why = BUF_EMPTY;

    if (err == 0) {
        err = library_judge(reply, &why);
    } else {
        buf_puts(&why, slice_cstr(err_name(err)));
    }
    buf_terminate(&why);
    if (err != 0) {
        ensure_end(e, err, why.ptr);
    }
    buf_fini(&why);
    return err != 0;
}

static void ensure_next(struct ensure *e)
{
    e->which++;
    if (e->which == LIBRARY_COUNT) {
        ensure_end(e, 0, "");
    } else {
        ensure_list(e);
    }
}

static void on_loaded(void *ctx, int err, const struct resp *reply)
{
    if (!ensure_failed(ctx, err, reply)) {
        ensure_next(ctx);
    }
}

static void on_list(void *ctx, int err, const struct resp *reply)
{
    struct ensure *e = ctx;

    if (ensure_failed(e, err, reply)) {
        return;
    }
    if (load_needed(e->which, reply)) {
        put_load(e->which, redis_begin(e->redis));
        redis_end(e->redis, 0, on_loaded, e);
    } else {
        ensure_next(e);
    }
}

static void ensure_list(struct ensure *e)
{
    put_list(e->which, redis_begin(e->redis));
    redis_end(e->redis, 0, on_list, e);
}

void library_ensure(struct redis *r, library_done_fn *done, void *ctx)
{
    struct ensure *e = mem_zalloc(sizeof(*e));

    *e = (struct ensure){.redis = r, .done = done, .ctx = ctx};
    ensure_list(e);
}
