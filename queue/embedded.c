/*
 * embedded.c - `queue.redis: embedded`: a private redis-server.
 *
 * In the directory: redis.lock (held by the engine while it runs), redis.sock, redis.log, and
 * what Redis itself keeps there.  Redis is started in a session of its own and, unless it is
 * ephemeral, as nobody's child; the write end of a pipe goes with it, so that its death during
 * start-up is noticed at once.
 */
#include "queue/embedded.h"
#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "queue/program.h"
#include "queue/sync.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    CALL_TIMEOUT_MS = 2000,
    START_WAIT_US = 20 * 1000 * 1000, /* to listen; loading its data may take longer */
    STOP_WAIT_US = 30 * 1000 * 1000,
    POLL_US = 5 * 1000,
    VERSION_MIN = 7,
};

struct embedded {
    char *dir;
    struct redis_url url;
    int lock_fd;
    int pid;
    bool child; /* ephemeral: ours to wait for */
    bool adopted;
};

/* ---- the directory ---- */

char *embedded_default_dir(void)
{
    const char *state = getenv("STATE_DIRECTORY"), *home = getenv("HOME");
    struct buf b = BUF_EMPTY;

    if (state != NULL && state[0] == '/') {
        buf_put(&b, state, strcspn(state, ":")); /* systemd.exec(5): may name several */
    } else if (home != NULL && home[0] == '/') {
        buf_printf(&b, "%s/.local/share/volley", home);
    } else {
        BUF_LIT(&b, "/var/lib/volley");
    }
    buf_terminate(&b);
    return b.ptr;
}

static int make_dir(const char *dir, struct buf *why)
{
    char *path = mem_dup(dir, strlen(dir));
    int failed = 0;

    for (char *p = path + 1; failed == 0 && *p != '\0'; p++) {
        if (*p == '/') {
            *p = '\0';
            failed = mkdir(path, 0700) != 0 && errno != EEXIST ? errno : 0;
            *p = '/';
        }
    }
    if (failed == 0 && mkdir(path, 0700) != 0 && errno != EEXIST) {
        failed = errno;
    }
    mem_free(path);
    if (failed != 0) {
        buf_printf(why, "cannot make %s: %s", dir, strerror(failed));
    }
    return err_from_errno(failed);
}

static int lock_take(struct embedded *e, struct buf *why)
{
    struct buf path = BUF_EMPTY;

    buf_printf(&path, "%s/redis.lock", e->dir);
    buf_terminate(&path);
    e->lock_fd = open(path.ptr, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int failed = e->lock_fd < 0 ? errno : 0;
    if (failed == 0 && flock(e->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        failed = errno;
    }
    if (failed == EWOULDBLOCK) {
        buf_printf(why,
                   "the embedded Redis in %s belongs to another engine that is running; give "
                   "this one another state directory, or queue.redis the address of a Redis",
                   e->dir);
        failed = EEXIST;
    } else if (failed != 0) {
        buf_printf(why, "cannot lock %s: %s", path.ptr, strerror(failed));
    }
    buf_fini(&path);
    return err_from_errno(failed);
}

/* ---- talking to it ---- */

/* The number behind `name` in the answer to INFO, or 0. */
static long info_number(const struct resp *info, const char *name)
{
    const char *at = info->type == RESP_STRING ? strstr(info->text.ptr, name) : NULL;

    return at != NULL ? strtol(at + strlen(name), NULL, 10) : 0;
}

/* Connects and asks who it is.  0 with e->pid set; ERR_AGAIN while it loads its data;
 * ERR_INVALID when it is too old; other errors when nobody answers. */
static int greet(struct embedded *e, struct buf *why)
{
    struct slice argv[] = {SLICE("INFO"), SLICE("server")};
    const struct resp *info;
    int err;
    struct sync *s = sync_open(&e->url, CALL_TIMEOUT_MS, &err, why);

    if (s == NULL) {
        return err;
    }
    err = sync_call(s, argv, 2, &info);
    if (err == 0) {
        e->pid = (int)info_number(info, "process_id:");
        if (info_number(info, "redis_version:") < VERSION_MIN) {
            BUF_LIT(why, "the redis-server that runs there is older than version 7; stop it and "
                         "install redis-server 7 or newer, or Valkey");
            err = ERR_INVALID;
        }
    }
    sync_close(s);
    return err;
}

/* ---- starting ---- */

static uint64_t memory_limit(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

    return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size / 2 : 0;
}

enum { ARGS_MAX = 40 };

/* Arguments for redis-server; freed by args_free(). */
static void args_build(char *args[ARGS_MAX], const struct embedded *e, const char *program,
                       bool ephemeral)
{
    const char *fixed[] = {
        program,
        "--port",
        "0",
        "--daemonize",
        "no",
        "--save",
        "",
        "--unixsocketperm",
        "700",
        "--appendonly",
        ephemeral ? "no" : "yes",
        "--appendfsync",
        "everysec",
        "--maxmemory-policy",
        "noeviction",
        "--unixsocket",
        e->url.path,
        "--dir",
        e->dir,
    };
    struct buf b = BUF_EMPTY;
    size_t count = 0;

    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        args[count++] = mem_dup(fixed[i], strlen(fixed[i]));
    }
    args[count++] = mem_dup("--maxmemory", sizeof("--maxmemory") - 1);
    buf_putu(&b, memory_limit());
    args[count++] = slice_dup(buf_slice(&b));
    args[count++] = mem_dup("--logfile", sizeof("--logfile") - 1);
    buf_reset(&b);
    buf_printf(&b, "%s/redis.log", e->dir);
    args[count++] = slice_dup(buf_slice(&b));
    args[count] = NULL;
    buf_fini(&b);
}

static void args_free(char *args[ARGS_MAX])
{
    for (size_t i = 0; args[i] != NULL; i++) {
        mem_free(args[i]);
    }
}

static int log_open(const struct embedded *e)
{
    struct buf path = BUF_EMPTY;

    buf_printf(&path, "%s/redis.log", e->dir);
    buf_terminate(&path);
    int fd = open(path.ptr, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    buf_fini(&path);
    return fd;
}

/* Starts it.  *alive_fd becomes readable (end of file) when it dies. */
static int launch(struct embedded *e, const char *program, bool ephemeral, int *alive_fd,
                  struct buf *why)
{
    char *args[ARGS_MAX];
    int pipe_fd[2], log_fd = log_open(e);

    if (log_fd < 0 || pipe2(pipe_fd, O_CLOEXEC) != 0) {
        int failed = errno;
        buf_printf(why, "cannot start redis-server in %s: %s", e->dir, strerror(failed));
        if (log_fd >= 0) {
            close(log_fd);
        }
        return err_from_errno(failed);
    }
    args_build(args, e, program, ephemeral);
    e->pid = program_start(args, log_fd, pipe_fd[1],
                           ephemeral ? PROGRAM_DIES_WITH_US : PROGRAM_STANDS_ALONE);
    e->child = ephemeral;
    args_free(args);
    close(log_fd);
    close(pipe_fd[1]);
    if (e->pid < 0) {
        BUF_LIT(why, "cannot start redis-server: no process");
        close(pipe_fd[0]);
        return ERR_LIMIT;
    }
    *alive_fd = pipe_fd[0];
    return 0;
}

static bool died(int alive_fd)
{
    struct pollfd p = {alive_fd, POLLIN, 0};

    return poll(&p, 1, POLL_US / 1000) > 0;
}

/* Until it answers.  Loading a large file takes its time, of which one line tells. */
static int await(struct embedded *e, int alive_fd, struct buf *why)
{
    int64_t until_us = clock_mono_us() + START_WAIT_US;
    bool told = false;

    for (;;) {
        buf_reset(why);
        int err = greet(e, why);
        if (err == 0 || err == ERR_INVALID) {
            return err;
        }
        if (died(alive_fd)) {
            buf_reset(why);
            buf_printf(why, "redis-server ended while it started; see %s/redis.log", e->dir);
            return ERR_CLOSED;
        }
        if (err == ERR_AGAIN && !told) {
            told = true;
            log_info("queue: the embedded Redis is loading its data");
        } else if (err != ERR_AGAIN && clock_mono_us() > until_us) {
            return err;
        }
    }
}

static int start_new(struct embedded *e, const struct embedded_options *options, struct buf *why)
{
    char *program = program_find(options->program, why);
    int alive_fd = -1, err = program != NULL ? 0 : ERR_NOTFOUND;

    if (err == 0) {
        err = program_version_check(program, VERSION_MIN, why);
    }
    if (err == 0) {
        unlink(e->url.path); /* left by one that was killed */
        err = launch(e, program, options->ephemeral, &alive_fd, why);
    }
    mem_free(program);
    if (err != 0) {
        return err;
    }
    err = await(e, alive_fd, why);
    close(alive_fd);
    return err;
}

static int open_in(struct embedded *e, const struct embedded_options *options, struct buf *why)
{
    struct buf path = BUF_EMPTY, ignored = BUF_EMPTY;

    int err = make_dir(e->dir, why);
    if (err == 0) {
        err = lock_take(e, why);
    }
    buf_printf(&path, "%s/%s", e->dir, EMBEDDED_SOCKET);
    if (err == 0) {
        err = redis_url_parse(&e->url, buf_slice(&path), why);
    }
    buf_fini(&path);
    if (err != 0) {
        return err;
    }
    err = options->ephemeral ? ERR_NOTFOUND : greet(e, &ignored);
    while (err == ERR_AGAIN) { /* left by an engine that crashed, and still loading */
        poll(NULL, 0, POLL_US / 1000);
        buf_reset(&ignored);
        err = greet(e, &ignored);
    }
    e->adopted = err == 0;
    if (err == ERR_INVALID) {
        buf_puts(why, buf_slice(&ignored));
    } else if (err != 0) {
        err = start_new(e, options, why);
    }
    buf_fini(&ignored);
    return err;
}

static void embedded_free(struct embedded *e)
{
    if (e->lock_fd >= 0) {
        close(e->lock_fd);
    }
    redis_url_fini(&e->url);
    mem_free(e->dir);
    mem_free(e);
}

struct embedded *embedded_start(const struct embedded_options *options, int *err, struct buf *why)
{
    struct embedded *e = mem_zalloc(sizeof(*e));

    e->lock_fd = -1;
    e->dir =
        options->dir != NULL ? mem_dup(options->dir, strlen(options->dir)) : embedded_default_dir();
    *err = open_in(e, options, why);
    if (*err != 0) {
        if (e->child && e->pid > 0) {
            kill(e->pid, SIGKILL);
            waitpid(e->pid, NULL, 0);
        }
        embedded_free(e);
        return NULL;
    }
    if (!options->ephemeral) {
        log_info("queue: %s the embedded Redis in %s (fsync every second); for production give "
                 "queue.redis the address of a Redis of your own",
                 e->adopted ? "adopted" : "started", e->dir);
    }
    return e;
}

const struct redis_url *embedded_url(const struct embedded *e)
{
    return &e->url;
}

bool embedded_adopted(const struct embedded *e)
{
    return e->adopted;
}

int embedded_pid(const struct embedded *e)
{
    return e->pid;
}

/* ---- ending ---- */

static bool gone(const struct embedded *e)
{
    /* As process 1 of a container we inherit it even when it was started to stand alone. */
    pid_t waited = waitpid(e->pid, NULL, WNOHANG);

    return waited == e->pid || (waited < 0 && kill(e->pid, 0) != 0 && errno == ESRCH);
}

static bool gone_within(const struct embedded *e, int64_t wait_us)
{
    int64_t until_us = clock_mono_us() + wait_us;

    while (!gone(e)) {
        if (clock_mono_us() > until_us) {
            return false;
        }
        poll(NULL, 0, POLL_US / 1000);
    }
    return true;
}

void embedded_stop(struct embedded *e)
{
    struct buf why = BUF_EMPTY;
    int err;
    struct sync *s = sync_open(&e->url, CALL_TIMEOUT_MS, &err, &why);

    if (s != NULL) {
        struct slice argv[] = {SLICE("SHUTDOWN")};
        const struct resp *reply;
        err = sync_call(s, argv, 1, &reply); /* ends with the connection, not with a reply */
        if (err == 0) {
            log_warn("queue: the embedded Redis does not stop: %s", reply->text.ptr);
        }
        sync_close(s);
    }
    if (e->pid > 0 && !gone_within(e, STOP_WAIT_US)) {
        kill(e->pid, SIGTERM);
        if (!gone_within(e, STOP_WAIT_US)) {
            log_error("queue: the embedded Redis (process %d) did not stop in a minute", e->pid);
        }
    }
    buf_fini(&why);
    embedded_free(e);
}

void embedded_leave(struct embedded *e)
{
    embedded_free(e);
}
