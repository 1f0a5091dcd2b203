/*
 * where.c - where the queue's Redis is, for commands.
 */
#include "engine/cli/where.h"
#include "engine/base/mem.h"
#include "queue/embedded.h"

#include <string.h>

static int embedded_where(const struct conf *conf, struct redis_url *url, struct buf *why)
{
    const char *configured = conf->queue.state_directory;
    char *dir =
        configured != NULL ? mem_dup(configured, strlen(configured)) : embedded_default_dir();
    struct buf text = BUF_EMPTY;

    buf_printf(&text, "%s/%s", dir, EMBEDDED_SOCKET);
    int err = redis_url_parse(url, buf_slice(&text), why);
    buf_fini(&text);
    mem_free(dir);
    return err;
}

static int read_url(const struct conf *conf, const char *override, struct redis_url *url,
                    struct buf *why)
{
    const char *text = override != NULL ? override : conf->queue.redis;

    if (strcmp(text, "embedded") == 0) {
        return embedded_where(conf, url, why);
    }
    int err = redis_url_parse(url, slice_cstr(text), why);
    bool own = override == NULL; /* passwords of the file are for the Redis of the file */
    if (err == 0) {
        err = redis_url_open(url, own ? conf->queue.password : NULL,
                             own ? conf->queue.sentinel_password : NULL, why);
    }
    return err;
}

int where_redis(const struct conf *conf, const char *override, struct redis_url *url,
                struct buf *why)
{
    static const struct slice of_configuration = {"queue.redis: ", 13};
    struct buf text = BUF_EMPTY;
    int err = read_url(conf, override, url, &text);

    /* The mistake is where it was written. */
    if (override != NULL && slice_starts(buf_slice(&text), of_configuration)) {
        BUF_LIT(why, "--redis: ");
        buf_puts(why, slice_from(buf_slice(&text), of_configuration.len));
    } else {
        buf_puts(why, buf_slice(&text));
    }
    buf_fini(&text);
    return err;
}

bool where_check(const struct conf *conf, struct conf_problems *problems)
{
    struct redis_url url = {.path = NULL};
    struct buf why = BUF_EMPTY;
    int err = where_redis(conf, NULL, &url, &why);

    if (err != 0) {
        conf_problem_of(conf, problems, &conf->queue.redis, buf_slice(&why));
    }
    redis_url_fini(&url);
    buf_fini(&why);
    return err == 0;
}
