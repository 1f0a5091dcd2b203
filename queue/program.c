/*
 * program.c - finding and starting redis-server.
 */
#include "queue/program.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin"

/* The first executable `name` in PATH; a name with a slash is taken as it stands. */
static char *search_path(const char *name)
{
    const char *path = getenv("PATH");
    struct slice rest = slice_cstr(path != NULL && path[0] != '\0' ? path : PATH_DEFAULT), dir;
    struct buf b = BUF_EMPTY;

    if (strchr(name, '/') != NULL) {
        return access(name, X_OK) == 0 ? mem_dup(name, strlen(name)) : NULL;
    }
    while (slice_next(&rest, ':', &dir)) {
        buf_reset(&b);
        buf_printf(&b, SLICE_FMT "/%s", SLICE_ARG(dir), name);
        buf_terminate(&b);
        if (dir.len > 0 && access(b.ptr, X_OK) == 0) {
            return b.ptr;
        }
    }
    buf_fini(&b);
    return NULL;
}

char *program_find(const char *wanted, struct buf *why)
{
    char *path = search_path(wanted != NULL ? wanted : "redis-server");

    if (path == NULL && wanted == NULL) {
        path = search_path("valkey-server");
    }
    if (path == NULL) {
        buf_printf(why,
                   "%s is not installed; install Debian's package redis-server (apt-get install "
                   "redis-server) or valkey-server, or give queue.redis the address of a Redis",
                   wanted != NULL ? wanted : "redis-server");
    }
    return path;
}

/* What `program --version` prints. */
static bool version_text(const char *program, char *out, size_t out_len)
{
    char *args[] = {(char *)program, (char *)"--version", NULL};
    int fd[2];
    size_t len = 0;
    ssize_t n;

    if (pipe2(fd, O_CLOEXEC) != 0) {
        return false;
    }
    int pid = program_start(args, fd[1], -1, PROGRAM_DIES_WITH_US);
    close(fd[1]);
    while (pid > 0 && len < out_len - 1 &&
           ((n = read(fd[0], out + len, out_len - 1 - len)) > 0 || (n < 0 && errno == EINTR))) {
        len += n > 0 ? (size_t)n : 0;
    }
    close(fd[0]);
    out[len] = '\0';
    if (pid > 0) {
        waitpid(pid, NULL, 0);
    }
    return pid > 0;
}

int program_version_check(const char *program, int min, struct buf *why)
{
    char text[512];
    const char *at = version_text(program, text, sizeof(text)) ? strstr(text, "v=") : NULL;
    long major = at != NULL ? strtol(at + 2, NULL, 10) : 0;

    if (at == NULL) {
        buf_printf(why, "%s --version does not tell its version; is it a redis-server?", program);
        return ERR_INVALID;
    }
    if (major < min) {
        buf_printf(why, "%s is version %ld; Redis %d or newer, or Valkey, is needed", program,
                   major, min);
        return ERR_INVALID;
    }
    return 0;
}

/* In the child: only calls that are safe after fork(). */
static _Noreturn void become(char *const *args, int log_fd, int keep_fd)
{
    sigset_t none;
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    if (null_fd >= 0) {
        dup2(null_fd, STDIN_FILENO);
    }
    dup2(log_fd, STDOUT_FILENO);
    dup2(log_fd, STDERR_FILENO);
    if (keep_fd >= 0) {
        fcntl(keep_fd, F_SETFD, 0);
    }
    execv(args[0], args);
    _exit(127);
}

int program_start(char *const *args, int log_fd, int keep_fd, enum program_bond bond)
{
    pid_t us = getpid(), pid = fork();

    if (pid < 0) {
        return -1;
    }
    if (pid == 0) {
        setsid(); /* Ctrl-C at our terminal is not meant for it */
        if (bond == PROGRAM_DIES_WITH_US) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() != us) {
                _exit(127); /* we died before the line above */
            }
            become(args, log_fd, keep_fd);
        }
        pid_t second = fork();
        if (second == 0) {
            become(args, log_fd, keep_fd);
        }
        _exit(second > 0 ? 0 : 127);
    }
    if (bond == PROGRAM_DIES_WITH_US) {
        return pid;
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}
