/*
 * server.h - a private redis-server for tests, and a loop to wait on.
 *
 * Its files are in a directory of its own under /tmp; it dies with the test.  It keeps an
 * append-only file with an fsync for each write, so that killing it loses nothing.
 */
#ifndef VOLLEY_TEST_QUEUE_SERVER_H
#define VOLLEY_TEST_QUEUE_SERVER_H

#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/io/io.h"
#include "queue/program.h"
#include "queue/sync.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { AWAIT_US = 20 * 1000 * 1000 };

/* Ticks until the condition holds. */
#define AWAIT(io, cond)                                    \
    do {                                                   \
        int64_t await_end_us = clock_mono_us() + AWAIT_US; \
        while (!(cond)) {                                  \
            if (clock_mono_us() > await_end_us) {          \
                fail_msg("waited in vain for: %s", #cond); \
            }                                              \
            io_tick((io), 5 * 1000);                       \
        }                                                  \
    } while (0)

struct server {
    char dir[64];
    char path[80];
    int pid;
    struct redis_url url;
    struct sync *client;
};

static inline void remove_dir(const char *dir)
{
    char *args[] = {(char *)"/bin/rm", (char *)"-rf", (char *)dir, NULL};
    int pid = program_start(args, STDERR_FILENO, -1, PROGRAM_DIES_WITH_US);

    waitpid(pid, NULL, 0);
}

static inline void server_connect(struct server *s)
{
    int64_t end_us = clock_mono_us() + AWAIT_US;
    struct buf why = BUF_EMPTY;
    int err;

    sync_close(s->client);
    s->client = NULL;
    while ((s->client = sync_open(&s->url, 5000, &err, &why)) == NULL) {
        if (clock_mono_us() > end_us || waitpid(s->pid, NULL, WNOHANG) != 0) {
            fail_msg("redis-server does not start: " SLICE_FMT, SLICE_ARG(buf_slice(&why)));
        }
        poll(NULL, 0, 5);
    }
    buf_fini(&why);
}

static inline void server_start(struct server *s)
{
    char log[80];
    struct buf why = BUF_EMPTY;
    char *program = program_find(NULL, &why);

    buf_terminate(&why);
    if (program == NULL) {
        fail_msg("%s", why.ptr);
    }
    char *args[] = {program,          (char *)"--port",
                    (char *)"0",      (char *)"--unixsocket",
                    s->path,          (char *)"--dir",
                    s->dir,           (char *)"--save",
                    (char *)"",       (char *)"--appendonly",
                    (char *)"yes",    (char *)"--appendfsync",
                    (char *)"always", NULL};
    snprintf(log, sizeof(log), "%s/log", s->dir);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    s->pid = program_start(args, fd, -1, PROGRAM_DIES_WITH_US);
    assert_true(s->pid > 0);
    close(fd);
    mem_free(program);
    buf_fini(&why);
    server_connect(s);
}

static inline void server_init(struct server *s)
{
    struct buf why = BUF_EMPTY;

    memset(s, 0, sizeof(*s));
    strncpy(s->dir, "/tmp/volley-queue-XXXXXX", sizeof(s->dir) - 1);
    assert_non_null(mkdtemp(s->dir));
    snprintf(s->path, sizeof(s->path), "%s/s", s->dir);
    assert_int_equal(redis_url_parse(&s->url, slice_cstr(s->path), &why), 0);
    server_start(s);
}

static inline void server_kill(struct server *s)
{
    if (s->pid > 0) {
        kill(s->pid, SIGKILL);
        waitpid(s->pid, NULL, 0);
        s->pid = 0;
    }
}

static inline void server_fini(struct server *s)
{
    sync_close(s->client);
    server_kill(s);
    remove_dir(s->dir);
    redis_url_fini(&s->url);
}

/* One command, its words with spaces between; the reply is valid until the next. */
static inline const struct resp *server_call(struct server *s, const char *command)
{
    struct slice rest = slice_cstr(command), argv[32];
    size_t argc = 0;
    const struct resp *reply;

    while (argc < 32 && slice_next(&rest, ' ', &argv[argc])) {
        argc++;
    }
    if (sync_call(s->client, argv, argc, &reply) != 0) {
        fail_msg("%s: %s", command, sync_error(s->client));
    }
    return reply;
}

static inline int64_t server_int(struct server *s, const char *command)
{
    const struct resp *reply = server_call(s, command);
    int64_t value = 0;

    if (resp_int(reply, &value) != 0 && reply->type != RESP_NIL) {
        fail_msg("%s: answered " SLICE_FMT, command, SLICE_ARG(reply->text));
    }
    return value;
}

/* On the backend of the environment (IO_BACKEND=epoll), io_uring where it works. */
static inline struct io *loop_new(enum io_backend backend)
{
    struct io_options options = {.backend = backend, .streams_max = 64};
    int err;
    struct io *io = io_new(&options, &err);

    if (io == NULL && backend == IO_URING) {
        print_message("io_uring is refused here (%s): skipped\n", err_name(err));
        skip();
    }
    assert_non_null(io);
    return io;
}

#endif
