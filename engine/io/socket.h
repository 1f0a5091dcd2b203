/*
 * socket.h - making sockets.
 *
 * Plain system calls on both backends: this is the cold path, and options of a socket that
 * io_uring made itself are awkward to set.
 */
#ifndef VOLLEY_IO_SOCKET_H
#define VOLLEY_IO_SOCKET_H

#include <stdbool.h>
#include <sys/socket.h>

/* A non-blocking stream socket, bound to `source` unless that is NULL.  The descriptor, or a
 * negative ERR_*. */
int socket_open(int family, const struct sockaddr *source, socklen_t source_len);

/* Small writes leave at once.  Harmless on sockets that are not TCP. */
void socket_set_nodelay(int fd);

/* The pending error of a socket, as a positive errno value. */
int socket_error(int fd);

/* A TCP connection that is over without a FIN of ours. */
bool socket_was_reset(int fd);

#endif
