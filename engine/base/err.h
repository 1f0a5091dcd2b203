/*
 * err.h - the one set of error numbers.
 *
 * Functions that can fail return 0 or a negative ERR_*.  errno stays inside engine/io and
 * the few files that touch the file system: err_from_errno() turns it at the border.
 */
#ifndef VOLLEY_BASE_ERR_H
#define VOLLEY_BASE_ERR_H

enum err {
    ERR_INVALID = -1,   /* input breaks a rule of its format */
    ERR_RANGE = -2,     /* a number outside what is allowed */
    ERR_LIMIT = -3,     /* larger or more than a limit of ours */
    ERR_NOTFOUND = -4,  /* no such thing */
    ERR_EXISTS = -5,    /* there already, or held by another */
    ERR_AGAIN = -6,     /* not now; a later try may work */
    ERR_TIMEOUT = -7,   /* a deadline passed */
    ERR_CLOSED = -8,    /* the peer ended the connection */
    ERR_REFUSED = -9,   /* the peer or the kernel said no */
    ERR_UNREACH = -10,  /* no way to the peer */
    ERR_PROTO = -11,    /* the peer broke the protocol */
    ERR_TLS = -12,      /* TLS failed */
    ERR_IO = -13,       /* any other system error */
    ERR_CANCELED = -14, /* we ended it ourselves */
    ERR_NOADDR = -15    /* the local address is not ours, or has no free port */
};

/* A short lower-case English name, such as "timeout"; for 0 "ok". */
const char *err_name(int err);

/* The ERR_* for a positive errno value; 0 for 0. */
int err_from_errno(int errno_value);

#endif
