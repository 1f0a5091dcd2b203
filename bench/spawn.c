/*
 * spawn.c - programs that a benchmark starts, watches and ends.
 */
#include "bench/spawn.h"
#include "engine/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STOP_US = 10 * 1000 * 1000, STEP_US = 2000 };

/* In the new process: never returns. */
static _Noreturn void become(const char *const *argv, const char *log, int out, int cpu)
{
    int err = open(log, O_WRONLY | O_CREAT | O_APPEND, 0666);
    sigset_t none;
    cpu_set_t cpus;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (cpu >= 0) {
        CPU_ZERO(&cpus);
        CPU_SET((size_t)cpu, &cpus);
        sched_setaffinity(0, sizeof(cpus), &cpus);
    }
    dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(err >= 0 ? err : out, STDERR_FILENO);
    execvp(argv[0], (char *const *)argv);
    dprintf(STDERR_FILENO, "cannot run %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

bool spawn_start(struct spawn *s, const char *const *argv, const char *log, int cpu,
                 struct buf *error)
{
    int ends[2];

    *s = SPAWN_NONE;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        buf_printf(error, "cannot make a pipe: %s", strerror(errno));
        return false;
    }
    s->pid = fork();
    if (s->pid == 0) {
        become(argv, log, ends[1], cpu);
    }
    close(ends[1]);
    s->out = ends[0];
    if (s->pid < 0) {
        buf_printf(error, "cannot fork: %s", strerror(errno));
        s->pid = 0;
        spawn_stop(s);
        return false;
    }
    return true;
}

static bool read_more(struct spawn *s, int64_t until_us)
{
    struct pollfd fd = {.fd = s->out, .events = POLLIN};
    int64_t left_us = until_us - clock_mono_us();

    if (left_us < 0 || poll(&fd, 1, (int)(left_us / 1000) + 1) <= 0) {
        return false;
    }
    buf_reserve(&s->unread, 65536);
    ssize_t got = read(s->out, s->unread.ptr + s->unread.len, 65536);
    s->unread.len += got > 0 ? (size_t)got : 0;
    return got > 0;
}

bool spawn_line(struct spawn *s, struct buf *line, int64_t timeout_us)
{
    int64_t until_us = clock_mono_us() + timeout_us;

    for (;;) {
        struct slice all = buf_slice(&s->unread);
        size_t len = slice_find(all, '\n');
        if (len < all.len) {
            buf_reset(line);
            buf_put(line, all.ptr, len);
            buf_consume(&s->unread, len + 1);
            return true;
        }
        if (s->out < 0 || !read_more(s, until_us)) {
            return false;
        }
    }
}

bool spawn_running(struct spawn *s)
{
    if (s->pid > 0 && waitpid(s->pid, &s->status, WNOHANG) == s->pid) {
        s->pid = 0;
    }
    return s->pid > 0;
}

bool spawn_wait(struct spawn *s, int64_t timeout_us)
{
    int64_t until_us = clock_mono_us() + timeout_us;

    while (spawn_running(s)) {
        if (clock_mono_us() > until_us) {
            return false;
        }
        usleep(STEP_US);
    }
    return true;
}

void spawn_end(struct spawn *s)
{
    if (spawn_running(s)) {
        kill(s->pid, SIGTERM);
        if (!spawn_wait(s, STOP_US)) {
            kill(s->pid, SIGKILL);
            spawn_wait(s, STOP_US);
        }
    }
}

void spawn_stop(struct spawn *s)
{
    spawn_end(s);
    if (s->out >= 0) {
        close(s->out);
        s->out = -1;
    }
    buf_fini(&s->unread);
}

/* /proc/PID/stat: the name may hold anything, so the fields are counted behind its ")"; there
 * the 12th and 13th are utime and stime (proc(5) counts them as 14 and 15). */
bool spawn_cpu(const struct spawn *s, int64_t *user_us, int64_t *sys_us)
{
    char path[64], text[1024];
    int64_t tick_us = 1000000 / sysconf(_SC_CLK_TCK);

    snprintf(path, sizeof(path), "/proc/%ld/stat", (long)s->pid);
    int fd = s->pid > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t len = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (fd >= 0) {
        close(fd);
    }
    text[len > 0 ? len : 0] = '\0';
    char *at = strrchr(text, ')');
    for (int field = 0; at != NULL && field < 12; field++) {
        at = strchr(at + 1, ' ');
    }
    if (at == NULL) {
        return false;
    }
    *user_us = strtoll(at, &at, 10) * tick_us;
    *sys_us = strtoll(at, NULL, 10) * tick_us;
    return true;
}
