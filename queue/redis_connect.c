/*
 * redis_connect.c - where a connection leads to: who is master, his address, the greeting, and
 * the doubt when an answer takes long.
 */
#include "engine/base/err.h"
#include "queue/redis_private.h"

#include <stdio.h>
#include <string.h>
#include <sys/un.h>

enum { SUSPECT_AGAIN_US = 1000 * 1000 };

/* ---- greeting ---- */

static void greeting_answer(void *ctx, int err, const struct resp *reply)
{
    struct redis *r = ctx;

    if (err == 0 && reply->type == RESP_ERROR) {
        bool refused = resp_is_error(reply, SLICE("WRONGPASS")) ||
                       resp_is_error(reply, SLICE("NOAUTH")) ||
                       resp_is_error(reply, SLICE("NOPERM"));
        redis_fail(r, refused ? ERR_REFUSED : ERR_AGAIN, reply->text.ptr);
    }
}

/* A Sentinel may be behind the times, or its news ahead of the promotion. */
static void greeting_role(void *ctx, int err, const struct resp *reply)
{
    struct redis *r = ctx;

    greeting_answer(ctx, err, reply);
    if (err == 0 && reply->type != RESP_ERROR && !topology_is_master(reply)) {
        redis_fail(r, ERR_AGAIN, "the server that the Sentinel named is no master now");
    }
}

static void greeting_done(void *ctx, int err, const struct resp *reply)
{
    struct redis *r = ctx;

    if (err != 0 || reply->type == RESP_ERROR) {
        greeting_answer(ctx, err, reply);
        return;
    }
    r->state = REDIS_READY;
    r->up_since_us = io_now_us(r->io);
    r->ops->on_up(r->ctx);
}

static void greeting_put(struct redis *r, const struct slice *argv, size_t argc,
                         redis_reply_fn *done)
{
    resp_put_command(redis_output(r), argv, argc);
    redis_call_add(r, REDIS_CONNECT_US, done, r);
}

void redis_greet(struct redis *r)
{
    char db[16];

    r->state = REDIS_GREETING;
    if (r->url.password != NULL) {
        struct slice argv[] = {SLICE("AUTH"), slice_cstr(r->url.user), slice_cstr(r->url.password)};
        if (r->url.user == NULL) {
            argv[1] = argv[2];
        }
        greeting_put(r, argv, r->url.user == NULL ? 2 : 3, greeting_answer);
    }
    if (r->url.db != 0) {
        int len = snprintf(db, sizeof(db), "%u", r->url.db);
        struct slice argv[] = {SLICE("SELECT"), slice_of(db, (size_t)len)};
        greeting_put(r, argv, 2, greeting_answer);
    }
    if (r->url.kind == REDIS_SENTINEL) {
        struct slice role[] = {SLICE("ROLE")};
        greeting_put(r, role, 1, greeting_role);
    }
    /* Answered with an error while Redis loads its data. */
    struct slice ping[] = {SLICE("PING")};
    greeting_put(r, ping, 1, greeting_done);
}

/* ---- the address ---- */

static void stream_open(struct redis *r, const struct sockaddr *to, socklen_t len)
{
    int err = redis_stream_open(r, to, len);

    if (err != 0) {
        redis_fail(r, err, err_name(err));
    }
}

static void on_resolved(void *ctx, int err, const union resolve_address *address, socklen_t len,
                        const char *why)
{
    struct redis *r = ctx;
    char text[REDIS_WHY_MAX];

    r->resolve = NULL;
    if (err != 0) {
        snprintf(text, sizeof(text), "host %s: %s", r->place.host, why);
        redis_fail(r, err, text);
        return;
    }
    stream_open(r, &address->any, len);
}

/* To r->place. */
static void place_connect(struct redis *r)
{
    union resolve_address address;
    socklen_t len = resolve_numeric(r->place.host, r->place.port, &address);

    if (len > 0) {
        stream_open(r, &address.any, len);
        return;
    }
    r->state = REDIS_RESOLVING;
    r->resolve = resolve_start(r->io, r->place.host, r->place.port, on_resolved, r);
    if (r->resolve == NULL) {
        redis_fail(r, ERR_LIMIT, "no descriptor left for the lookup of its name");
    }
}

static void on_found(void *ctx, int err, const struct place *master, const char *why)
{
    struct redis *r = ctx;

    r->finder = NULL;
    if (err != 0) {
        redis_fail(r, err, why);
        return;
    }
    r->place = *master;
    place_connect(r);
}

void redis_connect(struct redis *r)
{
    if (r->url.path != NULL) {
        struct sockaddr_un to = {.sun_family = AF_UNIX};
        memcpy(to.sun_path, r->url.path, strlen(r->url.path) + 1);
        stream_open(r, (const struct sockaddr *)&to, sizeof(to));
    } else if (r->url.tls && r->url.secure == NULL) {
        r->state = REDIS_CONNECTING;
        redis_fail(r, ERR_TLS, "TLS was not prepared");
    } else if (r->url.kind == REDIS_SINGLE) {
        r->place = r->url.seed[0];
        place_connect(r);
    } else if (r->told) {
        r->told = false; /* should it not be there, others are asked the next time */
        place_connect(r);
    } else {
        r->state = REDIS_ASKING;
        r->finder = finder_start(r->io, &r->url, r->next_seed++, on_found, r);
    }
}

/* ---- doubt ---- */

/* A host that died with its machine does not close the connection: the answer just does not
 * come.  Whoever has been made master meanwhile, the others know. */
static void on_doubt_answered(void *ctx, int err, const struct place *master, const char *why)
{
    struct redis *r = ctx;
    char text[REDIS_WHY_MAX];

    (void)why;
    r->finder = NULL;
    if (err == 0 && !place_eq(master, &r->place)) {
        snprintf(text, sizeof(text), "it does not answer, and %s:%u is the master now",
                 master->host, master->port);
        r->place = *master;
        r->told = true;
        redis_fail(r, ERR_AGAIN, text);
        return;
    }
    wheel_arm(io_wheel(r->io), &r->suspect, io_now_us(r->io) + SUSPECT_AGAIN_US);
}

static void on_suspect(struct timer *t, int64_t now_us)
{
    struct redis *r = CONTAINER_OF(t, struct redis, suspect);
    const struct redis_call *call = redis_call_oldest(r);

    if (r->state != REDIS_READY || call == NULL) {
        return; /* the next call begins anew */
    }
    if (now_us - call->since_us < r->patience_us) {
        wheel_arm(io_wheel(r->io), t, call->since_us + r->patience_us);
    } else if (r->finder == NULL) {
        r->finder = finder_start(r->io, &r->url, r->next_seed++, on_doubt_answered, r);
    }
}

void redis_suspect(struct redis *r)
{
    if (r->url.kind != REDIS_SINGLE && !timer_armed(&r->suspect) && r->finder == NULL) {
        wheel_arm(io_wheel(r->io), &r->suspect, io_now_us(r->io) + r->patience_us);
    }
}

void redis_connect_init(struct redis *r)
{
    timer_init(&r->suspect, on_suspect);
}
