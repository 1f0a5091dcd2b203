/*
 * finder.c - asking who is master.
 *
 * Each seed is asked on a connection of its own, a struct redis that leads to a single server:
 * name lookup, TLS and log-in are the same.  It is closed after the answer or the first fault.
 */
#include "queue/finder.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "queue/redis.h"

#include <stdio.h>
#include <string.h>

enum { WHY_MAX = 256 };

struct finder {
    struct io *io;
    const struct redis_url *url;
    finder_fn *done;
    void (*closed)(void *ctx); /* canceled */
    void *ctx;
    size_t seed; /* asked now */
    size_t left; /* seeds after it */
    struct redis *redis;
    bool closing;
    struct timer limit;
    int err;
    struct place master;
    char why[WHY_MAX];
};

/* ---- question and answer ---- */

void finder_put_question(const struct redis_url *url, struct buf *out)
{
    if (url->kind == REDIS_SENTINEL) {
        struct slice argv[] = {SLICE("SENTINEL"), SLICE("GET-MASTER-ADDR-BY-NAME"),
                               slice_cstr(url->master)};
        resp_put_command(out, argv, 3);
    } else {
        struct slice argv[] = {SLICE("CLUSTER"), SLICE("SLOTS")};
        resp_put_command(out, argv, 2);
    }
}

int finder_read_answer(const struct redis_url *url, const struct place *seed,
                       const struct resp *reply, struct place *master, struct buf *why)
{
    int err;

    if (reply->type == RESP_ERROR) {
        buf_puts(why, reply->text);
        err = ERR_REFUSED;
    } else if (url->kind == REDIS_SENTINEL) {
        err = topology_read_master(reply, master);
        if (err == ERR_NOTFOUND) {
            buf_printf(why, "it watches no master named %s", url->master);
        }
    } else {
        unsigned slot = url->suppression ? topology_slot(SLICE("suppress:{list}:"))
                                         : topology_partition_slot(url->partition);
        err = topology_read_slot(reply, slot, seed, master);
        if (err == ERR_NOTFOUND && url->suppression) {
            buf_printf(why, "no node serves slot %u of the suppression list", slot);
        } else if (err == ERR_NOTFOUND) {
            buf_printf(why, "no node serves slot %u of partition %u", slot, url->partition);
        }
    }
    if (err == ERR_PROTO) {
        BUF_LIT(why, "its answer cannot be read");
    }
    return err;
}

/* ---- one seed after the other ---- */

static void seed_ask(struct finder *f);

static void finder_end(struct finder *f)
{
    finder_fn *done = f->done;
    void (*closed)(void *ctx) = f->closed;
    void *ctx = f->ctx;
    int err = f->err;
    struct place master = f->master;
    char why[WHY_MAX];

    memcpy(why, f->why, sizeof(why));
    mem_free(f);
    if (closed != NULL) {
        closed(ctx);
    } else {
        done(ctx, err, &master, why);
    }
}

/* Done with this seed, well or not. */
static void seed_close(struct finder *f, int err, struct slice why)
{
    if (f->closing) {
        return;
    }
    f->closing = true;
    f->err = err;
    if (err != 0) {
        struct buf text = BUF_EMPTY;
        place_put(&text, &f->url->seed[f->seed]);
        snprintf(f->why, sizeof(f->why), "%s " SLICE_FMT ": " SLICE_FMT,
                 f->url->kind == REDIS_SENTINEL ? "Sentinel" : "node", SLICE_ARG(buf_slice(&text)),
                 SLICE_ARG(why));
        buf_fini(&text);
    }
    wheel_disarm(io_wheel(f->io), &f->limit);
    redis_close(f->redis);
}

static void on_answer(void *ctx, int err, const struct resp *reply)
{
    struct finder *f = ctx;
    struct buf why = BUF_EMPTY;

    if (err != 0) {
        return; /* on_down, or we have closed it */
    }
    err = finder_read_answer(f->url, &f->url->seed[f->seed], reply, &f->master, &why);
    seed_close(f, err, buf_slice(&why));
    buf_fini(&why);
}

static void on_up(void *ctx)
{
    struct finder *f = ctx;

    if (!f->closing) {
        finder_put_question(f->url, redis_begin(f->redis));
        redis_end(f->redis, 0, on_answer, f);
    }
}

static void on_down(void *ctx, int err, const char *why)
{
    seed_close(ctx, err, slice_cstr(why));
}

static void on_limit(struct timer *t, int64_t now_us)
{
    (void)now_us;
    seed_close(CONTAINER_OF(t, struct finder, limit), ERR_TIMEOUT, SLICE("no answer in time"));
}

static void on_closed(void *ctx)
{
    struct finder *f = ctx;

    f->redis = NULL;
    if (f->err == 0 || f->left == 0 || f->closed != NULL) {
        finder_end(f);
        return;
    }
    f->left--;
    f->seed = (f->seed + 1) % f->url->seed_count;
    seed_ask(f);
}

static const struct redis_ops redis_ops = {
    .on_up = on_up, .on_down = on_down, .on_closed = on_closed};

static void seed_ask(struct finder *f)
{
    struct redis_url url;

    redis_url_single(&url, f->url, &f->url->seed[f->seed], f->url->kind == REDIS_SENTINEL);
    f->closing = false;
    f->redis = redis_new(f->io, &url, &redis_ops, f);
    wheel_arm(io_wheel(f->io), &f->limit, io_now_us(f->io) + FINDER_SEED_US);
    redis_url_fini(&url);
}

struct finder *finder_start(struct io *io, const struct redis_url *url, size_t first,
                            finder_fn *done, void *ctx)
{
    struct finder *f = mem_zalloc(sizeof(*f));

    ASSERT(url->kind != REDIS_SINGLE && url->seed_count > 0);
    f->io = io;
    f->url = url;
    f->done = done;
    f->ctx = ctx;
    f->seed = first % url->seed_count;
    f->left = url->seed_count - 1;
    timer_init(&f->limit, on_limit);
    seed_ask(f);
    return f;
}

void finder_cancel(struct finder *f, void (*closed)(void *ctx))
{
    f->closed = closed;
    seed_close(f, ERR_CANCELED, SLICE("canceled"));
}
