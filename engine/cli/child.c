/*
 * child.c - programs that a command starts and ends again.
 */
#include "engine/cli/child.h"

#include "engine/base/clock.h"
#include "engine/base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE_MAX_LEN = 4096, EXIT_NO_PROGRAM = 127 };

/* In the new process; does not return. */
static void become(char *const argv[], int log_fd, int out_fd, pid_t parent)
{
    sigset_t none;

    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) {
        _exit(EXIT_NO_PROGRAM); /* the parent died in between */
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    int null_fd = open("/dev/null", O_RDONLY);
    if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(out_fd, STDOUT_FILENO) < 0 ||
        dup2(log_fd, STDERR_FILENO) < 0) {
        _exit(EXIT_NO_PROGRAM);
    }
    execv(argv[0], argv);
    _exit(EXIT_NO_PROGRAM);
}

int child_start(struct child *c, char *const argv[], const char *log, bool piped, struct buf *why)
{
    int ends[2] = {-1, -1}, err = 0;
    pid_t parent = getpid();
    int log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    *c = (struct child){.out_fd = -1};
    if (log_fd < 0 || (piped && pipe2(ends, O_CLOEXEC) != 0)) {
        err = errno;
    } else {
        c->pid = fork();
        if (c->pid == 0) {
            become(argv, log_fd, piped ? ends[1] : log_fd, parent);
        }
        err = c->pid < 0 ? errno : 0;
    }
    if (log_fd >= 0) {
        close(log_fd);
    }
    if (ends[1] >= 0) {
        close(ends[1]);
    }
    if (err != 0) {
        if (ends[0] >= 0) {
            close(ends[0]);
        }
        c->pid = 0;
        buf_printf(why, "cannot start %s: %s", argv[0], strerror(err));
        return err_from_errno(err);
    }
    c->out_fd = ends[0];
    return 0;
}

int child_read_line(struct child *c, struct buf *line, int timeout_ms)
{
    int64_t until_us = clock_mono_us() + (int64_t)timeout_ms * 1000;

    buf_reset(line);
    while (line->len < LINE_MAX_LEN) {
        struct pollfd p = {.fd = c->out_fd, .events = POLLIN};
        int64_t left_us = until_us - clock_mono_us();
        char byte;
        if (left_us <= 0 || (poll(&p, 1, (int)(left_us / 1000) + 1) == 0)) {
            return ERR_TIMEOUT;
        }
        ssize_t got = read(c->out_fd, &byte, 1);
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) {
            continue;
        }
        if (got <= 0) {
            return ERR_CLOSED;
        }
        if (byte == '\n') {
            return 0;
        }
        buf_putc(line, byte);
    }
    return ERR_LIMIT;
}

bool child_ended(struct child *c)
{
    if (c->pid > 0 && waitpid(c->pid, &c->status, WNOHANG) == c->pid) {
        c->pid = 0;
    }
    return c->pid == 0;
}

/* Waits for its end; false when it did not come in time. */
static bool wait_end(struct child *c, int timeout_ms)
{
    int fd = (int)syscall(SYS_pidfd_open, c->pid, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int64_t until_us = clock_mono_us() + (int64_t)timeout_ms * 1000;

    while (!child_ended(c)) {
        int64_t left_us = until_us - clock_mono_us();
        if (left_us <= 0) {
            break;
        }
        poll(&p, fd >= 0 ? 1 : 0, fd >= 0 ? (int)(left_us / 1000) + 1 : 10);
    }
    if (fd >= 0) {
        close(fd);
    }
    return c->pid == 0;
}

void child_stop(struct child *c, int sig, int grace_ms)
{
    if (c->pid > 0 && !child_ended(c)) {
        kill(c->pid, sig);
        if (!wait_end(c, grace_ms)) {
            kill(c->pid, SIGKILL);
            waitpid(c->pid, &c->status, 0);
            c->pid = 0;
        }
    }
    if (c->out_fd >= 0) {
        close(c->out_fd);
        c->out_fd = -1;
    }
}
