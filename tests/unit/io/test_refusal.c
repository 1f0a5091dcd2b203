/*
 * test_refusal.c - io_uring refused: epoll takes over, and one line says why and what to do.
 *
 * The reasons are told apart from given facts in a table, and three of them are produced for
 * real in a child process: a seccomp filter (with either errno) and a locked-memory limit.
 */
#include "engine/base/err.h"
#include "engine/io/io.h"
#include "engine/io/refusal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_reasons(void **state)
{
    static const struct {
        struct refusal facts;
        const char *cause, *cure;
    } rows[] = {
        {{EPERM, 2, 0, UINT64_MAX}, "kernel.io_uring_disabled is 2", "sysctl -w"},
        {{EPERM, 2, 2, UINT64_MAX}, "kernel.io_uring_disabled is 2", "sysctl -w"},
        {{EPERM, 1, 0, UINT64_MAX}, "kernel.io_uring_disabled is 1", "kernel.io_uring_group"},
        {{EPERM, 0, 2, UINT64_MAX}, "seccomp", "--security-opt"},
        {{EPERM, -1, 2, UINT64_MAX}, "seccomp", "io_uring_enter"},
        {{EPERM, 0, 0, UINT64_MAX}, "permission denied", "SELinux"},
        {{EACCES, -1, -1, UINT64_MAX}, "permission denied", "AppArmor"},
        {{ENOSYS, -1, 2, UINT64_MAX}, "seccomp", "--security-opt"},
        {{ENOSYS, -1, 0, UINT64_MAX}, "built without it", "newer"},
        {{EINVAL, 0, 0, UINT64_MAX}, "lacks what is needed", "5.19"},
        {{ENOMEM, 0, 0, 65536}, "limited to 64 KB", "LimitMEMLOCK=infinity"},
        {{ENOMEM, 0, 0, 0}, "limited to 0 KB", "ulimit -l"},
        {{ENOMEM, 0, 0, UINT64_MAX}, "out of memory", "fewer workers"},
        {{EMFILE, 0, 0, 65536}, "too many open files", "LimitNOFILE"},
        {{EFAULT, 0, 0, 65536}, "Bad address", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf out = BUF_EMPTY;
        refusal_explain(&out, &rows[i].facts);
        buf_terminate(&out);
        if (strstr(out.ptr, rows[i].cause) == NULL || strstr(out.ptr, rows[i].cure) == NULL) {
            fail_msg("row %zu: %s", i, out.ptr);
        }
        assert_null(strchr(out.ptr, '\n'));
        buf_fini(&out);
    }
}

static void test_look(void **state)
{
    struct rlimit limit;
    struct refusal r = refusal_look(EPERM);

    (void)state;
    assert_int_equal(r.errno_value, EPERM);
    assert_true(r.sysctl >= -1 && r.sysctl <= 2);
    assert_int_equal(r.seccomp, prctl(PR_GET_SECCOMP));
    getrlimit(RLIMIT_MEMLOCK, &limit);
    assert_true(r.memlock == limit.rlim_cur ||
                (limit.rlim_cur == RLIM_INFINITY && r.memlock == UINT64_MAX));
}

/* ---- for real ---- */

enum outcome { TOOK_EPOLL = 10, TOOK_URING, NOTHING, CANNOT_PREPARE };

/* In the child: opens two loops and says what it got. */
static enum outcome open_loops(void)
{
    struct io_options automatic = {.backend = IO_AUTO}, uring = {.backend = IO_URING};
    int err;

    for (int i = 0; i < 2; i++) {
        struct io *io = io_new(&automatic, &err);
        if (io == NULL) {
            return NOTHING;
        }
        bool epoll = io_backend(io) == IO_EPOLL;
        io_free(io);
        if (!epoll) {
            return TOOK_URING;
        }
    }
    return io_new(&uring, &err) == NULL && err < 0 ? TOOK_EPOLL : TOOK_URING;
}

/* Runs open_loops() in a child after `prepare`; what it wrote to standard error is in `log`. */
static enum outcome in_child(bool (*prepare)(void), char *log, size_t cap)
{
    int pipe_fd[2], status;
    size_t len = 0;
    ssize_t n;

    assert_int_equal(pipe(pipe_fd), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(pipe_fd[1], STDERR_FILENO);
        _exit(prepare() ? (int)open_loops() : CANNOT_PREPARE);
    }
    close(pipe_fd[1]);
    while ((n = read(pipe_fd[0], log + len, cap - 1 - len)) > 0) {
        len += (size_t)n;
    }
    log[len] = '\0';
    close(pipe_fd[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return (enum outcome)WEXITSTATUS(status);
}

static bool filter_io_uring(unsigned errno_value)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | errno_value),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static bool filter_with_eperm(void)
{
    return filter_io_uring(EPERM);
}

static bool filter_with_enosys(void)
{
    return filter_io_uring(ENOSYS);
}

static bool limit_memlock(void)
{
    struct rlimit limit = {64 * 1024, 64 * 1024};

    /* Another user: root's CAP_IPC_LOCK lifts the limit, and others' rings count as well. */
    return setrlimit(RLIMIT_MEMLOCK, &limit) == 0 &&
           (geteuid() != 0 ||
            (setresgid(64123, 64123, 64123) == 0 && setresuid(64123, 64123, 64123) == 0));
}

static void expect_refusal(bool (*prepare)(void), const char *cause)
{
    char log[4096];
    enum outcome outcome = in_child(prepare, log, sizeof(log));

    if (outcome == CANNOT_PREPARE) {
        printf("cannot prepare the refusal here: %s\n", cause);
        skip();
    }
    if (outcome != TOOK_EPOLL || strstr(log, cause) == NULL) {
        fail_msg("outcome %d, log: %s", (int)outcome, log);
    }
    const char *line = strchr(log, '\n');
    if (line == NULL || line[1] != '\0') {
        fail_msg("not one line: %s", log);
    }
}

static void test_seccomp(void **state)
{
    (void)state;
    expect_refusal(filter_with_eperm, "seccomp");
    expect_refusal(filter_with_enosys, "seccomp");
}

static bool nothing(void)
{
    return true;
}

static void test_memlock(void **state)
{
    char log[4096];

    (void)state;
    if (in_child(nothing, log, sizeof(log)) != TOOK_URING) {
        printf("io_uring is refused here for another reason: %s\n", log);
        skip();
    }
    expect_refusal(limit_memlock, "limited to 64 KB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_look),
        cmocka_unit_test(test_seccomp),
        cmocka_unit_test(test_memlock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
