/*
 * sync_open.c - how a blocking client finds Redis, connects and logs in.
 */
#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "queue/finder.h"
#include "queue/resolve.h"
#include "queue/sync_private.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

/* For one of several that may be asked. */
enum { SEED_MS = FINDER_SEED_US / 1000 };

/* ---- the socket ---- */

static int connect_within(struct sync *s, const struct sockaddr *to, socklen_t len)
{
    s->fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0) {
        return sync_fail(s, err_from_errno(errno), strerror(errno));
    }
    if (to->sa_family != AF_UNIX) {
        int on = 1;
        setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
    if (connect(s->fd, to, len) == 0) {
        return 0;
    }
    if (errno != EINPROGRESS) {
        return sync_fail(s, err_from_errno(errno), strerror(errno));
    }
    struct pollfd p = {s->fd, POLLOUT, 0};
    int failed = 0;
    socklen_t failed_len = sizeof(failed);
    if (poll(&p, 1, s->timeout_ms) <= 0) {
        return sync_fail(s, ERR_TIMEOUT, "no connection in time");
    }
    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &failed, &failed_len);
    return failed == 0 ? 0 : sync_fail(s, err_from_errno(failed), strerror(failed));
}

static int connect_path(struct sync *s, const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};

    memcpy(to.sun_path, path, strlen(path) + 1);
    return connect_within(s, (const struct sockaddr *)&to, sizeof(to));
}

static int connect_place(struct sync *s, const struct place *place)
{
    union resolve_address to;
    socklen_t len;
    const char *why = "";
    int err = resolve_now(place->host, place->port, &to, &len, &why);

    return err == 0 ? connect_within(s, &to.any, len) : sync_fail(s, err, why);
}

static int handshake(struct sync *s, const struct redis_url *url, const struct place *place)
{
    int64_t until_us = sync_deadline(s);
    int err = 0;

    if (url->secure == NULL) {
        return sync_fail(s, ERR_TLS, "TLS was not prepared");
    }
    s->line = secure_line_new(url->secure, place->host, &s->wire);
    while (err == 0 && !secure_line_is_open(s->line)) {
        err = sync_exchange(s, false, until_us);
    }
    return err;
}

/* ---- logging in ---- */

/* One step of it. */
static int expect_no_error(struct sync *s, const struct slice *argv, size_t argc)
{
    const struct resp *reply;
    int err = sync_call(s, argv, argc, &reply);

    if (err == 0 && reply->type == RESP_ERROR) {
        bool loading = resp_is_error(reply, SLICE("LOADING"));
        return sync_fail(s, loading ? ERR_AGAIN : ERR_REFUSED, reply->text.ptr);
    }
    return err;
}

static int expect_master(struct sync *s)
{
    struct slice role = SLICE("ROLE");
    const struct resp *reply;
    int err = sync_call(s, &role, 1, &reply);

    if (err == 0 && !topology_is_master(reply)) {
        return sync_fail(s, ERR_AGAIN, "the server that the Sentinel named is no master now");
    }
    return err;
}

static int log_in(struct sync *s, const struct redis_url *url)
{
    struct slice auth[] = {SLICE("AUTH"), slice_cstr(url->user), slice_cstr(url->password)};
    struct buf db = BUF_EMPTY;
    int err = 0;

    if (url->password != NULL) {
        if (url->user == NULL) {
            auth[1] = auth[2];
        }
        err = expect_no_error(s, auth, url->user == NULL ? 2 : 3);
    }
    buf_putu(&db, url->db);
    if (err == 0 && url->db != 0) {
        struct slice argv[] = {SLICE("SELECT"), buf_slice(&db)};
        err = expect_no_error(s, argv, 2);
    }
    if (err == 0) {
        struct slice argv[] = {SLICE("PING")};
        err = expect_no_error(s, argv, 1);
    }
    buf_fini(&db);
    return err;
}

/* ---- one server ---- */

static struct sync *sync_new(int timeout_ms)
{
    struct sync *s = mem_zalloc(sizeof(*s));

    s->fd = -1;
    s->timeout_ms = timeout_ms;
    s->reader = resp_reader_new();
    return s;
}

/* To `place`, or (NULL) the path in `url`. */
static int server_open(struct sync *s, const struct redis_url *url, const struct place *place)
{
    int err = place == NULL ? connect_path(s, url->path) : connect_place(s, place);

    if (err == 0 && url->tls) {
        err = handshake(s, url, place);
    }
    return err == 0 ? log_in(s, url) : err;
}

/* ---- the master of several ---- */

/* Asks one seed who it is. */
static int seed_ask(struct sync *s, const struct redis_url *url, const struct place *seed,
                    struct place *master)
{
    bool sentinel = url->kind == REDIS_SENTINEL;
    struct redis_url seed_url;
    struct buf why = BUF_EMPTY;
    const struct resp *reply;

    redis_url_single(&seed_url, url, seed, sentinel);
    struct sync *asked = sync_new(s->timeout_ms < SEED_MS ? s->timeout_ms : SEED_MS);
    int err = server_open(asked, &seed_url, seed);
    if (err == 0) {
        finder_put_question(url, sync_begin(asked));
        sync_end(asked);
        err = sync_take(asked, &reply);
    }
    if (err != 0) {
        buf_puts(&why, slice_cstr(sync_error(asked)));
    } else {
        err = finder_read_answer(url, seed, reply, master, &why);
    }
    if (err != 0) {
        struct buf text = BUF_EMPTY;
        BUF_LIT(&text, "");
        buf_puts(&text, sentinel ? SLICE("Sentinel ") : SLICE("node "));
        place_put(&text, seed);
        buf_printf(&text, ": " SLICE_FMT, SLICE_ARG(buf_slice(&why)));
        buf_terminate(&text);
        sync_fail(s, err, text.ptr);
        buf_fini(&text);
    }
    buf_fini(&why);
    sync_close(asked);
    redis_url_fini(&seed_url);
    return err;
}

/* Back to before the connection, with what went wrong. */
static void server_drop(struct sync *s)
{
    if (s->fd >= 0) {
        close(s->fd);
    }
    s->fd = -1;
    s->sent = 0;
    s->pending = 0;
    secure_line_free(s->line);
    s->line = NULL;
    buf_reset(&s->out);
    buf_reset(&s->wire);
    resp_reader_free(s->reader);
    s->reader = resp_reader_new();
}

static int master_open(struct sync *s, const struct redis_url *url)
{
    struct place master;
    int err = ERR_NOTFOUND;

    for (size_t i = 0; i < url->seed_count && err != 0; i++) {
        server_drop(s);
        err = seed_ask(s, url, &url->seed[i], &master);
        if (err == 0) {
            err = server_open(s, url, &master);
        }
        if (err == 0 && url->kind == REDIS_SENTINEL) {
            err = expect_master(s);
        }
    }
    return err;
}

/* ---- opening and closing ---- */

struct sync *sync_open(const struct redis_url *url, int timeout_ms, int *err, struct buf *why)
{
    struct sync *s = sync_new(timeout_ms);

    if (url->kind == REDIS_SINGLE) {
        *err = server_open(s, url, url->path == NULL ? &url->seed[0] : NULL);
    } else {
        *err = master_open(s, url);
    }
    if (*err != 0) {
        BUF_LIT(why, "cannot use Redis at ");
        redis_url_put(why, url);
        buf_printf(why, ": %s", sync_error(s));
        sync_close(s);
        return NULL;
    }
    return s;
}

void sync_close(struct sync *s)
{
    if (s == NULL) {
        return;
    }
    if (s->fd >= 0) {
        close(s->fd);
    }
    secure_line_free(s->line);
    resp_reader_free(s->reader);
    buf_fini(&s->out);
    buf_fini(&s->wire);
    buf_fini(&s->plain);
    buf_fini(&s->error);
    mem_free(s);
}
