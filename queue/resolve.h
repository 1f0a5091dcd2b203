/*
 * resolve.h - the address of the host that Redis runs on.
 *
 * By the system's resolver, because the name may stand in /etc/hosts or come from a container
 * runtime.  getaddrinfo() blocks, so a name (not an address) is looked up by a short-lived
 * thread.
 */
#ifndef VOLLEY_QUEUE_RESOLVE_H
#define VOLLEY_QUEUE_RESOLVE_H

#include "engine/io/io.h"

#include <netinet/in.h>

union resolve_address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_storage storage;
};

struct resolve;

/* `why` is for people, valid during the call; len is 0 when err is not. */
typedef void resolve_fn(void *ctx, int err, const union resolve_address *address, socklen_t len,
                        const char *why);

/* An IP address as text: fills in and returns its length, or 0 when it is a name. */
socklen_t resolve_numeric(const char *host, unsigned port, union resolve_address *out);

/* Blocks.  0 or ERR_*, with *why a static text. */
int resolve_now(const char *host, unsigned port, union resolve_address *out, socklen_t *len,
                const char **why);

/* Looks a name up; `done` is called once from the loop.  NULL when no thread could be made:
 * no callback comes then. */
struct resolve *resolve_start(struct io *io, const char *host, unsigned port, resolve_fn *done,
                              void *ctx);
/* No callback will come; `closed` does, soon, after which the loop holds nothing of it.  The
 * thread, if it still waits for a name server, ends by itself. */
void resolve_cancel(struct resolve *r, void (*closed)(void *ctx));

#endif
