/*
 * refusal.c - why io_uring was refused, and what to do about it.
 */
#include "engine/io/refusal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* The single digit behind `label` in a file of /proc, or -1. */
static int read_digit(const char *path, const char *label)
{
    char text[4096];

    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0) {
        return -1;
    }
    text[n] = '\0';
    const char *at = strstr(text, label);
    if (at == NULL) {
        return -1;
    }
    at += strlen(label);
    at += strspn(at, " \t");
    return *at >= '0' && *at <= '9' ? *at - '0' : -1;
}

struct refusal refusal_look(int errno_value)
{
    struct refusal r = {.errno_value = errno_value, .memlock = UINT64_MAX};
    struct rlimit limit;

    r.sysctl = read_digit("/proc/sys/kernel/io_uring_disabled", "");
    r.seccomp = read_digit("/proc/self/status", "\nSeccomp:");
    if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
        r.memlock = limit.rlim_cur;
    }
    return r;
}

static void explain_seccomp(struct buf *out)
{
    BUF_LIT(out,
            "a seccomp filter blocks it, as the default profile of container engines does; run "
            "the container with a profile that allows io_uring_setup, io_uring_enter and "
            "io_uring_register (for example --security-opt seccomp=FILE)");
}

static void explain_no_permission(struct buf *out, const struct refusal *r)
{
    if (r->sysctl == 2) {
        BUF_LIT(out, "kernel.io_uring_disabled is 2; allow it with "
                     "\"sysctl -w kernel.io_uring_disabled=0\"");
    } else if (r->sysctl == 1) {
        BUF_LIT(out, "kernel.io_uring_disabled is 1; allow it with "
                     "\"sysctl -w kernel.io_uring_disabled=0\", or put the user into the group "
                     "that kernel.io_uring_group names");
    } else if (r->seccomp == 2) {
        explain_seccomp(out);
    } else {
        BUF_LIT(out, "permission denied; look for a rule of SELinux, AppArmor or another security "
                     "module against io_uring");
    }
}

static void explain_no_memory(struct buf *out, const struct refusal *r)
{
    if (r->memlock == UINT64_MAX) {
        BUF_LIT(out, "the kernel is out of memory for its rings; free some, or take fewer workers");
        return;
    }
    buf_printf(out,
               "locked memory is limited to %llu KB, and each worker's rings count towards it; set "
               "LimitMEMLOCK=infinity in the service file (or \"ulimit -l unlimited\")",
               (unsigned long long)(r->memlock / 1024));
}

void refusal_explain(struct buf *out, const struct refusal *r)
{
    switch (r->errno_value) {
    case EPERM:
    case EACCES:
        explain_no_permission(out, r);
        break;
    case ENOMEM:
        explain_no_memory(out, r);
        break;
    case ENOSYS:
        if (r->seccomp == 2) {
            explain_seccomp(out);
        } else {
            BUF_LIT(out,
                    "this kernel is built without it, or is older than 5.19; install a newer one");
        }
        break;
    case EINVAL:
        BUF_LIT(out, "this kernel's io_uring lacks what is needed; install Linux 5.19 or newer");
        break;
    case EMFILE:
    case ENFILE:
        BUF_LIT(out, "too many open files; raise LimitNOFILE (or \"ulimit -n\")");
        break;
    default:
        buf_printf(out, "%s", strerror(r->errno_value));
        break;
    }
}
