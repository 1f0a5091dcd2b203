/*
 * err.c - names of errors, and the border to errno.
 */
#include "engine/base/err.h"

#include <errno.h>

const char *err_name(int err)
{
    if (err == 0) {
        return "ok";
    }
    switch ((enum err)err) {
    case ERR_INVALID:
        return "invalid";
    case ERR_RANGE:
        return "out of range";
    case ERR_LIMIT:
        return "over a limit";
    case ERR_NOTFOUND:
        return "not found";
    case ERR_EXISTS:
        return "exists already";
    case ERR_AGAIN:
        return "try again";
    case ERR_TIMEOUT:
        return "timed out";
    case ERR_CLOSED:
        return "connection closed";
    case ERR_REFUSED:
        return "refused";
    case ERR_UNREACH:
        return "unreachable";
    case ERR_PROTO:
        return "protocol error";
    case ERR_TLS:
        return "TLS failure";
    case ERR_IO:
        return "input/output error";
    case ERR_CANCELED:
        return "canceled";
    case ERR_NOADDR:
        return "local address not available";
    }
    return "unknown error";
}

int err_from_errno(int errno_value)
{
    switch (errno_value) {
    case 0:
        return 0;
    case ECONNREFUSED:
    case EPERM:
    case EACCES:
        return ERR_REFUSED;
    case ECONNRESET:
    case EPIPE:
    case ENOTCONN:
    case ECONNABORTED:
        return ERR_CLOSED;
    case ETIMEDOUT:
    case ETIME:
        return ERR_TIMEOUT;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
        return ERR_UNREACH;
    case EADDRNOTAVAIL:
        return ERR_NOADDR;
    case ECANCELED:
        return ERR_CANCELED;
    case EAGAIN:
    case EINTR:
    case EBUSY:
        return ERR_AGAIN;
    case ENOENT:
        return ERR_NOTFOUND;
    case EEXIST:
    case EADDRINUSE:
        return ERR_EXISTS;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case ENOSPC:
        return ERR_LIMIT;
    case EINVAL:
        return ERR_INVALID;
    default:
        return ERR_IO;
    }
}
