/*
 * watch.c - readiness of foreign descriptors, the same over both backends.
 */
#include "engine/io/backend.h"

#include <poll.h>

int io_watch_add(struct io *io, struct io_watch *w, int fd, unsigned events)
{
    w->io = io;
    w->fd = fd;
    w->events = events;
    w->inflight = 0;
    w->slot = slot_take(io, SLOT_WATCH, w);
    w->state = HANDLE_OPEN;
    int err = io->backend->watch(w);
    if (err != 0) {
        slot_release(io, w->slot);
        w->state = HANDLE_NONE;
    }
    return err;
}

void io_watch_change(struct io_watch *w, unsigned events)
{
    if (w->state == HANDLE_OPEN && w->events != events) {
        unsigned before = w->events;
        w->events = events;
        w->io->backend->watch_change(w, before);
    }
}

void io_watch_remove(struct io_watch *w)
{
    if (w->state == HANDLE_OPEN) {
        w->state = HANDLE_CLOSING;
        w->io->backend->watch_stop(w);
        watch_settle(w);
    }
}

void watch_ready(struct io_watch *w, unsigned events)
{
    /* What is no longer asked for may have been on its way; errors always count. */
    events &= w->events | POLLERR | POLLHUP | POLLNVAL;
    if (w->state == HANDLE_OPEN && w->events != 0 && events != 0) {
        w->on_ready(w, events);
    }
}

void watch_settle(struct io_watch *w)
{
    if (w->state == HANDLE_CLOSING && w->inflight == 0) {
        slot_later(w->io, w->slot, LATER_CLOSE);
    }
}

void watch_later(struct io_watch *w, unsigned what)
{
    if ((what & LATER_CLOSE) != 0) {
        slot_release(w->io, w->slot);
        w->state = HANDLE_NONE;
        if (w->on_close != NULL) {
            w->on_close(w);
        }
    }
}
