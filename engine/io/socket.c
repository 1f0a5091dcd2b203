/*
 * socket.c - making sockets.
 */
#include "engine/io/socket.h"
#include "engine/base/err.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

void socket_set_nodelay(int fd)
{
    int on = 1;

    /* SMTP is a dialogue of short lines: Nagle's algorithm would hold each second one back
     * until the peer's delayed acknowledgement. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

int socket_open(int family, const struct sockaddr *source, socklen_t source_len)
{
    int on = 1, err;

    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return err_from_errno(errno);
    }
    if (family != AF_UNIX) {
        socket_set_nodelay(fd);
    }
    if (source != NULL) {
        /* Without it bind() takes a port for itself alone, and one source address is limited
         * to 28,000 connections in all instead of to each destination. */
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
        if (bind(fd, source, source_len) != 0) {
            err = err_from_errno(errno);
            close(fd);
            return err;
        }
    }
    return fd;
}

int socket_error(int fd)
{
    int value = 0;
    socklen_t len = sizeof(value);

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &len) != 0) {
        return errno;
    }
    return value;
}

bool socket_was_reset(int fd)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);

    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_state == TCP_CLOSE;
}
