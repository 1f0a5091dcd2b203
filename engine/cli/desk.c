/*
 * desk.c - what the commands of `volley queue` have in common.
 */
#include "engine/cli/desk.h"
#include "engine/base/err.h"
#include "engine/cli/where.h"

#include <stdio.h>
#include <string.h>

enum { TIMEOUT_MS = 15000 };

static void say(const struct desk *d, const char *fmt, va_list args) PRINTF_LIKE(2, 0);

static void say(const struct desk *d, const char *fmt, va_list args)
{
    fprintf(stderr, "%s: ", d->command->name);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
}

void desk_say(const struct desk *d, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    say(d, fmt, args);
    va_end(args);
}

void desk_complain(struct desk *d, const char *fmt, ...)
{
    va_list args;

    d->complaints++;
    va_start(args, fmt);
    say(d, fmt, args);
    va_end(args);
}

/* ---- opening and closing ---- */

static int load_conf(struct desk *d, const char *path)
{
    struct conf_problems problems;

    d->conf = conf_load(path, &problems);
    if (d->conf == NULL) { /* warnings are for who runs the engine */
        struct buf text = BUF_EMPTY;
        conf_problems_put(&text, &problems);
        fprintf(stderr, SLICE_FMT, SLICE_ARG(buf_slice(&text)));
        buf_fini(&text);
    }
    conf_problems_fini(&problems);
    return d->conf != NULL ? -1 : ARGS_EXIT_USAGE;
}

/* A name or password that is wrong will be wrong later too. */
static bool will_stay(struct slice why)
{
    static const char *const words[] = {"WRONGPASS", "NOAUTH", "NOPERM", "invalid password",
                                        "DB index"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (memmem(why.ptr, why.len, words[i], strlen(words[i])) != NULL) {
            return true;
        }
    }
    return false;
}

static int connect_redis(struct desk *d)
{
    struct buf why = BUF_EMPTY;
    int err = 0, code = -1;

    d->redis = sync_open(&d->url, TIMEOUT_MS, &err, &why);
    if (d->redis == NULL) {
        bool own = d->redis_option == NULL && strcmp(d->conf->queue.redis, "embedded") == 0;
        desk_say(
            d, SLICE_FMT "%s", SLICE_ARG(buf_slice(&why)),
            own ? "; it is the engine's own and runs with it: start volley run, or restart it; or "
                  "say where the queue is with --redis URL or -c FILE"
                : "");
        code = will_stay(buf_slice(&why)) ? ARGS_EXIT_FAILED : ARGS_EXIT_TEMPORARY;
    }
    buf_fini(&why);
    return code;
}

int desk_open(struct desk *d, const struct args_command *command, const struct desk_options *o)
{
    struct buf why = BUF_EMPTY;

    *d = (struct desk){.command = command, .redis_option = o->redis, .json = o->json};
    int code = load_conf(d, o->config);
    if (code >= 0) {
        return code;
    }
    d->partitions = d->conf->queue.partitions;
    desk_partition(d, 0);
    if (where_redis(d->conf, o->redis, &d->url, &why) != 0) {
        desk_say(d, SLICE_FMT, SLICE_ARG(buf_slice(&why)));
        code = ARGS_EXIT_USAGE;
    }
    buf_fini(&why);
    return code < 0 ? connect_redis(d) : code;
}

int desk_print(struct desk *d)
{
    bool ok = fwrite(d->out.ptr, 1, d->out.len, stdout) == d->out.len && fflush(stdout) == 0;

    buf_reset(&d->out);
    if (!ok) {
        desk_say(d, "the result could not be written");
    }
    return ok ? -1 : ARGS_EXIT_FAILED;
}

int desk_close(struct desk *d, int code)
{
    if (d->out.len > 0) {
        int printed = desk_print(d);
        code = printed >= 0 ? printed : code;
    }
    sync_close(d->redis);
    redis_url_fini(&d->url);
    conf_unref(d->conf);
    buf_fini(&d->out);
    if (code < 0) {
        code = d->complaints > 0 ? ARGS_EXIT_FAILED : ARGS_EXIT_OK;
    }
    return code;
}

void desk_partition(struct desk *d, unsigned partition)
{
    int err = keys_init(&d->keys, slice_cstr(d->conf->queue.prefix), partition);

    ASSERT(err == 0); /* the configuration was checked */
}

/* ---- asking ---- */

void desk_ask_plain(struct desk *d, const struct slice *argv, size_t argc)
{
    sync_add(d->redis, argv, argc);
}

void desk_ask(struct desk *d, const char *command, struct slice rest, const struct slice *more,
              size_t count)
{
    struct buf *out = sync_begin(d->redis);

    resp_put_count(out, 2 + count);
    resp_put_arg(out, slice_cstr(command));
    keys_put_arg(out, &d->keys, rest);
    for (size_t i = 0; i < count; i++) {
        resp_put_arg(out, more[i]);
    }
    sync_end(d->redis);
}

void desk_ask_function(struct desk *d, const char *name, const struct slice *args, size_t count)
{
    struct buf *out = sync_begin(d->redis);

    resp_put_count(out, 4 + count);
    resp_put_arg(out, SLICE("FCALL"));
    resp_put_arg(out, slice_cstr(name));
    resp_put_u64(out, 1);
    keys_put_arg(out, &d->keys, SLICE("meta"));
    for (size_t i = 0; i < count; i++) {
        resp_put_arg(out, args[i]);
    }
    sync_end(d->redis);
}

int desk_take(struct desk *d, const struct resp **reply)
{
    if (sync_take(d->redis, reply) != 0) {
        desk_say(d, "Redis went away: %s", sync_error(d->redis));
        return ARGS_EXIT_TEMPORARY;
    }
    return -1;
}

int desk_refused(struct desk *d, const struct resp *reply)
{
    static const char *const passing[] = {"VOLLEYFULL", "OOM",         "LOADING",    "BUSY",
                                          "TRYAGAIN",   "CLUSTERDOWN", "MASTERDOWN", "MISCONF",
                                          "NOREPLICAS", "MOVED",       "ASK"};

    if (slice_starts(reply->text, SLICE("ERR Function not found")) ||
        slice_starts(reply->text, SLICE("ERR unknown command"))) {
        desk_say(d, "this Redis does not have Volley's functions: volley run brings them, and so "
                    "does volley queue library --load");
        return ARGS_EXIT_FAILED;
    }
    if (resp_is_error(reply, SLICE("READONLY"))) {
        desk_say(d, "this Redis is a read-only replica: ask the one that it follows");
        return ARGS_EXIT_TEMPORARY;
    }
    if (resp_is_error(reply, SLICE("VOLLEYBAD"))) {
        desk_say(d, SLICE_FMT, SLICE_ARG(slice_from(reply->text, sizeof("VOLLEYBAD"))));
        return ARGS_EXIT_USAGE;
    }
    desk_say(d, "Redis answered: " SLICE_FMT, SLICE_ARG(reply->text));
    for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++) {
        if (resp_is_error(reply, slice_cstr(passing[i]))) {
            return ARGS_EXIT_TEMPORARY;
        }
    }
    return ARGS_EXIT_FAILED;
}

int desk_take_good(struct desk *d, const struct resp **reply)
{
    int code = desk_take(d, reply);

    return code < 0 && (*reply)->type == RESP_ERROR ? desk_refused(d, *reply) : code;
}

struct slice desk_number(char text[DESK_NUMBER_MAX], uint64_t value)
{
    int len = snprintf(text, DESK_NUMBER_MAX, "%llu", (unsigned long long)value);

    return slice_of(text, (size_t)len);
}

int desk_now_ms(struct desk *d, int64_t *now_ms)
{
    const struct resp *reply;
    int64_t seconds = 0, micros = 0;

    desk_ask_plain(d, DESK_ARGS(SLICE("TIME")));
    int code = desk_take_good(d, &reply);
    if (code < 0 &&
        (reply->type != RESP_ARRAY || reply->count != 2 ||
         resp_int(&reply->items[0], &seconds) != 0 || resp_int(&reply->items[1], &micros) != 0)) {
        desk_say(d, "what answers there is no Redis");
        code = ARGS_EXIT_FAILED;
    }
    *now_ms = seconds * 1000 + micros / 1000;
    return code;
}
