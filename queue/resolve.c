/*
 * resolve.c - the address of the host that Redis runs on.
 *
 * The thread writes its answer into memory that it shares with the loop, then rings an
 * eventfd.  Whoever of the two is done last frees that memory: a canceled lookup does not
 * keep the loop waiting for a name server.
 */
#include "queue/resolve.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/panic.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct resolve {
    struct io_watch watch; /* the loop's, as what follows */
    resolve_fn *done;
    void *ctx;
    void (*closed)(void *ctx); /* canceled */
    _Atomic int users;         /* loop and thread */
    int ring_fd;
    char *host;
    unsigned port;
    int err; /* from here on the thread's until it rings */
    socklen_t len;
    const char *why;
    union resolve_address address;
};

socklen_t resolve_numeric(const char *host, unsigned port, union resolve_address *out)
{
    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, host, &out->in.sin_addr) == 1) {
        out->in.sin_family = AF_INET;
        out->in.sin_port = htons((uint16_t)port);
        return sizeof(out->in);
    }
    if (inet_pton(AF_INET6, host, &out->in6.sin6_addr) == 1) {
        out->in6.sin6_family = AF_INET6;
        out->in6.sin6_port = htons((uint16_t)port);
        return sizeof(out->in6);
    }
    return 0;
}

int resolve_now(const char *host, unsigned port, union resolve_address *out, socklen_t *len,
                const char **why)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *found = NULL;
    char service[8];

    *len = resolve_numeric(host, port, out);
    if (*len > 0) {
        return 0;
    }
    snprintf(service, sizeof(service), "%u", port);
    int failed = getaddrinfo(host, service, &hints, &found);
    if (failed != 0 || found == NULL || found->ai_addrlen > sizeof(*out)) {
        *why = failed != 0 ? gai_strerror(failed) : "no address";
        return ERR_NOTFOUND;
    }
    memcpy(out, found->ai_addr, found->ai_addrlen);
    *len = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

static void resolve_leave(struct resolve *r)
{
    if (atomic_fetch_sub(&r->users, 1) == 1) {
        close(r->ring_fd);
        mem_free(r->host);
        mem_free(r);
    }
}

static void *resolve_run(void *arg)
{
    struct resolve *r = arg;
    uint64_t one = 1;

    r->err = resolve_now(r->host, r->port, &r->address, &r->len, &r->why);
    ssize_t written = write(r->ring_fd, &one, sizeof(one));
    ASSERT(written == sizeof(one)); /* an eventfd at 0 takes it */
    resolve_leave(r);
    return NULL;
}

static void on_watch_close(struct io_watch *w)
{
    struct resolve *r = CONTAINER_OF(w, struct resolve, watch);

    if (r->closed != NULL) {
        r->closed(r->ctx);
    } else {
        r->done(r->ctx, r->err, &r->address, r->err == 0 ? r->len : 0, r->why);
    }
    resolve_leave(r);
}

static void on_ready(struct io_watch *w, unsigned events)
{
    uint64_t rings;

    (void)events;
    if (read(w->fd, &rings, sizeof(rings)) == sizeof(rings)) {
        io_watch_remove(w);
    }
}

static bool thread_start(struct resolve *r)
{
    pthread_attr_t attr;
    pthread_t thread;

    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    int failed = pthread_create(&thread, &attr, resolve_run, r);
    pthread_attr_destroy(&attr);
    return failed == 0;
}

struct resolve *resolve_start(struct io *io, const char *host, unsigned port, resolve_fn *done,
                              void *ctx)
{
    struct resolve *r = mem_zalloc(sizeof(*r));

    r->done = done;
    r->ctx = ctx;
    r->port = port;
    r->host = mem_dup(host, strlen(host));
    r->why = "";
    r->ring_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r->watch.on_ready = on_ready;
    r->watch.on_close = on_watch_close;
    atomic_init(&r->users, 1);
    if (r->ring_fd < 0 || io_watch_add(io, &r->watch, r->ring_fd, POLLIN) != 0) {
        resolve_leave(r);
        return NULL;
    }
    atomic_store(&r->users, 2);
    if (!thread_start(r)) { /* the caller hears of it as of any other failure */
        uint64_t one = 1;
        r->err = ERR_LIMIT;
        r->why = "no thread for the lookup";
        ssize_t written = write(r->ring_fd, &one, sizeof(one));
        ASSERT(written == sizeof(one));
        resolve_leave(r);
    }
    return r;
}

void resolve_cancel(struct resolve *r, void (*closed)(void *ctx))
{
    r->closed = closed;
    io_watch_remove(&r->watch);
}
