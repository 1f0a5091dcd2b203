/*
 * address.h - socket addresses as people write them.
 *
 * "127.0.0.1:2525", "[::1]:2525", "localhost:2525", "*:2525" and ":2525" (any address),
 * "unix:/run/sink" or "/run/sink".
 */
#ifndef VOLLEY_BENCH_ADDRESS_H
#define VOLLEY_BENCH_ADDRESS_H

#include "engine/base/buf.h"

#include <sys/socket.h>

struct address {
    struct sockaddr_storage to;
    socklen_t len;
};

/* 0, or ERR_INVALID with a message in *error. */
int address_parse(struct slice text, struct address *out, struct buf *error);

void address_put(struct buf *out, const struct sockaddr *addr, socklen_t len);

#endif
