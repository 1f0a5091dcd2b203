/*
 * refusal.h - why io_uring was refused, and what to do about it.
 *
 * The kernel says no with one errno for many causes.  refusal_look() gathers what tells them
 * apart, refusal_explain() decides; the latter is pure.
 */
#ifndef VOLLEY_IO_REFUSAL_H
#define VOLLEY_IO_REFUSAL_H

#include "engine/base/buf.h"

struct refusal {
    int errno_value;
    int sysctl;       /* kernel.io_uring_disabled: 0, 1, 2; -1 where the kernel has no such */
    int seccomp;      /* Seccomp of /proc/self/status: 0 none, 1 strict, 2 filter; -1 unknown */
    uint64_t memlock; /* RLIMIT_MEMLOCK in bytes; UINT64_MAX: unlimited */
};

struct refusal refusal_look(int errno_value);

/* Appends one sentence without a full stop: the cause, then the cure. */
void refusal_explain(struct buf *out, const struct refusal *r);

#endif
