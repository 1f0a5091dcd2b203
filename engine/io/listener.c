/*
 * listener.c - accepting, the same over both backends.
 */
#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/io/backend.h"
#include "engine/io/socket.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { FAILED_PAUSE_US = 100 * 1000 };

static void resume(struct timer *t, int64_t now_us)
{
    struct io_listener *l = CONTAINER_OF(t, struct io_listener, timer);

    (void)now_us;
    if (l->io->backend->listen(l) != 0) {
        wheel_arm(&l->io->wheel, &l->timer, clock_mono_us() + FAILED_PAUSE_US);
    }
}

int io_listen(struct io *io, struct io_listener *l, int fd)
{
    l->io = io;
    l->fd = fd;
    l->inflight = 0;
    timer_init(&l->timer, resume);
    socket_set_nodelay(fd); /* accepted sockets inherit it */
    l->slot = slot_take(io, SLOT_LISTENER, l);
    int err = io->backend->listen(l);
    if (err != 0) {
        slot_release(io, l->slot);
        return err;
    }
    l->state = HANDLE_OPEN;
    return 0;
}

void listener_accepted(struct io_listener *l, int fd, const struct sockaddr *peer)
{
    struct sockaddr_storage storage;
    socklen_t len = sizeof(storage);

    if (l->state != HANDLE_OPEN) {
        close(fd);
        return;
    }
    if (peer == NULL) {
        memset(&storage, 0, sizeof(storage));
        /* Fails for a connection that is dead already; reading from it will tell. */
        getpeername(fd, (struct sockaddr *)&storage, &len);
        peer = (const struct sockaddr *)&storage;
    }
    l->on_accept(l, fd, peer);
}

/* The connection that was to be accepted is at fault, and the next one may be fine
 * (accept(2), "Error handling"). */
static bool is_of_connection(int errno_value)
{
    switch (errno_value) {
    case ECONNABORTED:
    case EINTR:
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
        return true;
    default:
        return false;
    }
}

bool listener_failed(struct io_listener *l, int errno_value)
{
    if (is_of_connection(errno_value)) {
        return true;
    }
    if (l->state == HANDLE_OPEN) {
        log_warn("accepting connections pauses for %d ms: %s", FAILED_PAUSE_US / 1000,
                 strerror(errno_value));
        wheel_arm(&l->io->wheel, &l->timer, clock_mono_us() + FAILED_PAUSE_US);
    }
    return false;
}

void io_listener_close(struct io_listener *l)
{
    if (l->state == HANDLE_OPEN) {
        l->state = HANDLE_CLOSING;
        wheel_disarm(&l->io->wheel, &l->timer);
        l->io->backend->listen_stop(l);
        listener_settle(l);
    }
}

void listener_settle(struct io_listener *l)
{
    if (l->state == HANDLE_CLOSING && l->inflight == 0) {
        slot_later(l->io, l->slot, LATER_CLOSE);
    }
}

void listener_later(struct io_listener *l, unsigned what)
{
    if ((what & LATER_CLOSE) != 0) {
        slot_release(l->io, l->slot);
        close(l->fd);
        l->fd = -1;
        l->state = HANDLE_NONE;
        if (l->on_close != NULL) {
            l->on_close(l);
        }
    }
}
