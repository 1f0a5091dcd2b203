/*
 * sync.c - a small blocking Redis client for commands and tests.
 *
 * A non-blocking socket and poll(): with a pipeline both directions move at once, so that
 * Redis' answers cannot fill up behind our unsent commands.
 */
#include "queue/sync.h"
#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "queue/resolve.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum { READ_LEN = 65536 };

struct sync {
    int fd;
    int timeout_ms;
    struct buf out;
    size_t sent;
    size_t pending;
    struct resp_reader *reader;
    struct buf error;
    char in[READ_LEN];
};

static int fail(struct sync *s, int err, const char *text)
{
    buf_reset(&s->error);
    buf_puts(&s->error, slice_cstr(text));
    buf_terminate(&s->error);
    return err;
}

/* Sends what fits. */
static int send_some(struct sync *s)
{
    while (s->sent < s->out.len) {
        ssize_t n = send(s->fd, s->out.ptr + s->sent, s->out.len - s->sent, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EAGAIN) {
                return 0;
            }
            if (errno == EINTR) {
                continue;
            }
            return fail(s, err_from_errno(errno), strerror(errno));
        }
        s->sent += (size_t)n;
    }
    buf_reset(&s->out);
    s->sent = 0;
    return 0;
}

static int receive_some(struct sync *s)
{
    ssize_t n = recv(s->fd, s->in, sizeof(s->in), 0);

    if (n > 0) {
        return resp_reader_feed(s->reader, slice_of(s->in, (size_t)n));
    }
    if (n == 0) {
        return fail(s, ERR_CLOSED, "Redis closed the connection");
    }
    return errno == EAGAIN || errno == EINTR ? 0 : fail(s, err_from_errno(errno), strerror(errno));
}

/* Moves bytes until something was received (or, `all_sent`, until nothing waits to leave). */
static int exchange(struct sync *s, bool all_sent, int64_t until_us)
{
    for (;;) {
        int err = send_some(s);
        if (err != 0 || (all_sent && s->out.len == 0)) {
            return err;
        }
        struct pollfd p = {s->fd, (short)(POLLIN | (s->out.len > 0 ? POLLOUT : 0)), 0};
        int64_t left_ms = (until_us - clock_mono_us()) / 1000;
        int ready = poll(&p, 1, left_ms > 0 ? (int)left_ms : 0);
        if (ready == 0) {
            return fail(s, ERR_TIMEOUT, "no answer in time");
        }
        if (ready > 0 && (p.revents & ~POLLOUT) != 0) {
            err = receive_some(s);
            if (err != 0 || !all_sent) {
                return err;
            }
        }
    }
}

static int64_t deadline(const struct sync *s)
{
    return clock_mono_us() + (int64_t)s->timeout_ms * 1000;
}

struct buf *sync_begin(struct sync *s)
{
    return &s->out;
}

void sync_end(struct sync *s)
{
    s->pending++;
}

void sync_add(struct sync *s, const struct slice *argv, size_t argc)
{
    resp_put_command(sync_begin(s), argv, argc);
    sync_end(s);
}

int sync_flush(struct sync *s)
{
    return exchange(s, true, deadline(s));
}

int sync_take(struct sync *s, const struct resp **reply)
{
    int64_t until_us = deadline(s);

    ASSERT(s->pending > 0);
    for (;;) {
        const char *why = "";
        int got = resp_reader_next(s->reader, reply, &why);
        if (got == 1) {
            s->pending--;
            return 0;
        }
        int err = got < 0 ? fail(s, got, why) : exchange(s, false, until_us);
        if (err != 0) {
            return err;
        }
    }
}

size_t sync_pending(const struct sync *s)
{
    return s->pending;
}

int sync_call(struct sync *s, const struct slice *argv, size_t argc, const struct resp **reply)
{
    ASSERT(s->pending == 0);
    sync_add(s, argv, argc);
    return sync_take(s, reply);
}

const char *sync_error(const struct sync *s)
{
    return s->error.len > 0 ? s->error.ptr : "";
}

/* ---- opening ---- */

static int connect_within(struct sync *s, const struct sockaddr *to, socklen_t len)
{
    s->fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0) {
        return fail(s, err_from_errno(errno), strerror(errno));
    }
    if (to->sa_family != AF_UNIX) {
        int on = 1;
        setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
    if (connect(s->fd, to, len) == 0) {
        return 0;
    }
    if (errno != EINPROGRESS) {
        return fail(s, err_from_errno(errno), strerror(errno));
    }
    struct pollfd p = {s->fd, POLLOUT, 0};
    int failed = 0;
    socklen_t failed_len = sizeof(failed);
    if (poll(&p, 1, s->timeout_ms) <= 0) {
        return fail(s, ERR_TIMEOUT, "no connection in time");
    }
    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &failed, &failed_len);
    return failed == 0 ? 0 : fail(s, err_from_errno(failed), strerror(failed));
}

static int connect_url(struct sync *s, const struct redis_url *url)
{
    if (url->path != NULL) {
        struct sockaddr_un to = {.sun_family = AF_UNIX};
        memcpy(to.sun_path, url->path, strlen(url->path) + 1);
        return connect_within(s, (const struct sockaddr *)&to, sizeof(to));
    }
    union resolve_address to;
    socklen_t len;
    const char *why = "";
    int err = resolve_now(url->host, url->port, &to, &len, &why);
    return err == 0 ? connect_within(s, &to.any, len) : fail(s, err, why);
}

/* One step of logging in. */
static int expect_no_error(struct sync *s, const struct slice *argv, size_t argc)
{
    const struct resp *reply;
    int err = sync_call(s, argv, argc, &reply);

    if (err == 0 && reply->type == RESP_ERROR) {
        bool loading = resp_is_error(reply, SLICE("LOADING"));
        return fail(s, loading ? ERR_AGAIN : ERR_REFUSED, reply->text.ptr);
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

struct sync *sync_open(const struct redis_url *url, int timeout_ms, int *err, struct buf *why)
{
    struct sync *s = mem_zalloc(sizeof(*s));

    s->fd = -1;
    s->timeout_ms = timeout_ms;
    s->reader = resp_reader_new();
    *err = connect_url(s, url);
    if (*err == 0) {
        *err = log_in(s, url);
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
    resp_reader_free(s->reader);
    buf_fini(&s->out);
    buf_fini(&s->error);
    mem_free(s);
}
