/*
 * net_socket.c - the simulated network: descriptors, connecting, closing, and the backend that
 * engine/io finds where it opens epoll.
 */
#include "tests/sim/net_private.h"

#include "engine/base/err.h"
#include "engine/base/panic.h"
#include "engine/io/socket.h"
#include "tests/sim/hosts.h"
#include "tests/sim/server.h"
#include "tests/sim/world.h"

/* Descriptors of links start here; below are the process' own. */
enum { FD_BASE = 1 << 20 };

int __wrap_socket_open(int family, const struct sockaddr *source, socklen_t source_len);
int __wrap_socket_error(int fd);
bool __wrap_socket_was_reset(int fd);
void __wrap_socket_set_nodelay(int fd);
int __wrap_shutdown(int fd, int how);
int __wrap_close(int fd);
int __real_close(int fd);

static struct io *ios[WORLD_WORKERS_MAX];

void net_worker(struct io *io, unsigned worker)
{
    ios[worker] = io;
}

unsigned net_worker_of(const struct io *io)
{
    for (unsigned w = 0; w < WORLD_WORKERS_MAX; w++) {
        if (ios[w] == io) {
            return w;
        }
    }
    PANIC("an io that belongs to no worker");
}

size_t net_index(int fd)
{
    ASSERT(fd >= FD_BASE && (size_t)(fd - FD_BASE) < net_count());
    return (size_t)(fd - FD_BASE);
}

static struct link *link_of(int fd)
{
    return net_link(net_index(fd));
}

int __wrap_socket_open(int family, const struct sockaddr *source, socklen_t source_len)
{
    (void)family;
    (void)source;
    (void)source_len;
    if (hosts_local_error()) {
        trace("no socket: out of descriptors");
        return ERR_LIMIT;
    }
    return FD_BASE + (int)net_new()->id;
}

int __wrap_socket_error(int fd)
{
    (void)fd;
    return 0;
}

bool __wrap_socket_was_reset(int fd)
{
    return link_of(fd)->reset;
}

void __wrap_socket_set_nodelay(int fd)
{
    (void)fd;
}

/* ---- connecting ---- */

static void connected(void *ctx, int64_t err)
{
    struct link *l = ctx;
    struct io_stream *s = l->stream;

    if (s == NULL || l->given_up) {
        return;
    }
    if (err == 0) {
        l->open = true;
        trace("link %u: open", l->id);
        server_greet(l->server);
    }
    stream_opened(s, (int)err);
}

static int net_connect(struct io_stream *s, socklen_t len)
{
    struct link *l = link_of(s->fd);
    int64_t in_us;
    int err;

    l->stream = s;
    l->worker = net_worker_of(s->io);
    enum hosts_call call = hosts_call(l, (const struct sockaddr *)&s->to, len, &in_us, &err);
    if (call == HOSTS_FAILS_AT_ONCE) {
        s->open_err = (int8_t)err;
        slot_later(s->io, s->slot, LATER_OPEN);
    } else if (call == HOSTS_ANSWERS) {
        world_at(in_us, WORLD_IN_TICK, l->worker, connected, l, err);
    }
    return 0;
}

static void net_cancel(struct io_stream *s)
{
    link_of(s->fd)->given_up = true;
}

/* ---- the end ---- */

static void cut_write(void *ctx, int64_t arg)
{
    struct link *l = ctx;
    struct io_stream *s = l->stream;

    (void)arg;
    if (s != NULL && s->inflight > 0) {
        s->inflight--;
        l->blocked = false;
        stream_written(s, ERR_CLOSED);
    }
}

int __wrap_shutdown(int fd, int how)
{
    struct link *l = link_of(fd);

    if (l->reset) {
        return -1;
    }
    net_client_fin(l);
    if (how == SHUT_RDWR) {
        world_at(0, WORLD_IN_TICK, l->worker, cut_write, l, 0);
    }
    return 0;
}

int __wrap_close(int fd)
{
    if (fd < FD_BASE) {
        return __real_close(fd);
    }
    struct link *l = link_of(fd);
    if (l->stream != NULL && l->stream->inflight > 0) {
        world_fail("link %u: closed under a write", l->id);
    }
    net_client_fin(l);
    l->stream = NULL;
    trace("link %u: closed by us", l->id);
    return 0;
}

/* ---- the backend ---- */

static void net_free(struct io *io)
{
    (void)io;
}

static void net_wait(struct io *io, int64_t wait_us)
{
    (void)io; /* the clock was moved before: see run.c */
    (void)wait_us;
}

static void net_dispatch(struct io *io)
{
    world_run_ready(net_worker_of(io), WORLD_IN_TICK);
}

static int no_attach(struct io_stream *s)
{
    (void)s;
    PANIC("nothing here adopts sockets");
}

static int no_listen(struct io_listener *l)
{
    (void)l;
    PANIC("nothing here listens");
}

static void no_listen_stop(struct io_listener *l)
{
    (void)l;
}

static int no_watch(struct io_watch *w)
{
    (void)w;
    PANIC("nothing here watches descriptors");
}

static void no_watch_change(struct io_watch *w, unsigned before)
{
    (void)w;
    (void)before;
}

static void no_watch_stop(struct io_watch *w)
{
    (void)w;
}

static const struct backend net_backend = {
    .kind = IO_EPOLL,
    .free = net_free,
    .wait = net_wait,
    .dispatch = net_dispatch,
    .attach = no_attach,
    .connect = net_connect,
    .cancel = net_cancel,
    .read_start = net_stream_read_start,
    .read_more = net_stream_read_more,
    .read_stop = net_stream_read_stop,
    .write = net_stream_write,
    .listen = no_listen,
    .listen_stop = no_listen_stop,
    .watch = no_watch,
    .watch_change = no_watch_change,
    .watch_stop = no_watch_stop,
};

int __wrap_epoll_open(struct io *io)
{
    io->backend = &net_backend;
    return 0;
}
