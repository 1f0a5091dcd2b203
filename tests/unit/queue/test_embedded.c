/*
 * test_embedded.c - a private redis-server is started, kept to one engine, adopted after a
 * crash and stopped.
 */
#include "engine/base/log.h"
#include "queue/embedded.h"
#include "queue/library.h"
#include "tests/unit/queue/server.h"

#include <errno.h>
#include <sys/stat.h>

static char dir[64];
static char sub[80];

static int setup(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_ERROR);
    strncpy(dir, "/tmp/volley-embedded-XXXXXX", sizeof(dir) - 1);
    assert_non_null(mkdtemp(dir));
    snprintf(sub, sizeof(sub), "%s/a/b", dir);
    return 0;
}

/* What a failed test left running goes with its directory. */
static int teardown(void **state)
{
    struct slice argv[] = {SLICE("SHUTDOWN"), SLICE("NOSAVE")};
    struct buf path = BUF_EMPTY;
    struct redis_url url;
    const struct resp *reply;
    int err;

    (void)state;
    buf_printf(&path, "%s/" EMBEDDED_SOCKET, sub);
    assert_int_equal(redis_url_parse(&url, buf_slice(&path), &path), 0);
    struct sync *s = sync_open(&url, 1000, &err, &path);
    if (s != NULL) {
        (void)sync_call(s, argv, 2, &reply);
        sync_close(s);
    }
    redis_url_fini(&url);
    buf_fini(&path);
    remove_dir(dir);
    return 0;
}

static struct embedded *start(bool ephemeral)
{
    struct embedded_options options = {.dir = sub, .ephemeral = ephemeral};
    struct buf why = BUF_EMPTY;
    int err;
    struct embedded *e = embedded_start(&options, &err, &why);

    if (e == NULL) {
        fail_msg("%s: " SLICE_FMT, err_name(err), SLICE_ARG(buf_slice(&why)));
    }
    assert_int_equal(err, 0);
    buf_fini(&why);
    return e;
}

/* One command of the form "SET k v"; the integer or the text of its answer. */
static void call(const struct embedded *e, const char *command, char *text, size_t text_len)
{
    struct slice rest = slice_cstr(command), argv[8];
    struct buf why = BUF_EMPTY;
    const struct resp *reply;
    size_t argc = 0;
    int err;
    struct sync *s = sync_open(embedded_url(e), 5000, &err, &why);

    assert_non_null(s);
    while (slice_next(&rest, ' ', &argv[argc])) {
        argc++;
    }
    assert_int_equal(sync_call(s, argv, argc, &reply), 0);
    snprintf(text, text_len, SLICE_FMT, SLICE_ARG(reply->text));
    sync_close(s);
    buf_fini(&why);
}

static bool runs(int pid)
{
    return kill(pid, 0) == 0;
}

static void wait_gone(int pid)
{
    int64_t end_us = clock_mono_us() + AWAIT_US;

    while (runs(pid)) {
        assert_true(clock_mono_us() < end_us);
        poll(NULL, 0, 5);
    }
}

static void test_data_survives_a_clean_stop(void **state)
{
    char text[64];
    struct stat st;

    (void)state;
    struct embedded *e = start(false);
    int pid = embedded_pid(e);
    assert_false(embedded_adopted(e));
    assert_int_equal(stat(sub, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    call(e, "SET kept 7", text, sizeof(text));
    assert_string_equal(text, "OK");
    embedded_stop(e);
    assert_false(runs(pid));

    e = start(false);
    call(e, "GET kept", text, sizeof(text));
    assert_string_equal(text, "7");
    call(e, "CONFIG GET appendfsync", text, sizeof(text));
    embedded_stop(e);
}

static void test_adopted_after_a_crash(void **state)
{
    char text[64];

    (void)state;
    struct embedded *e = start(false);
    int pid = embedded_pid(e);
    call(e, "SET x 1", text, sizeof(text));
    embedded_leave(e); /* as a crash does: the lock is free, Redis goes on */
    assert_true(runs(pid));
    e = start(false);
    assert_true(embedded_adopted(e));
    assert_int_equal(embedded_pid(e), pid);
    call(e, "GET x", text, sizeof(text));
    assert_string_equal(text, "1");
    embedded_stop(e);
    wait_gone(pid);
}

/* Killed with its socket left behind: a new one is started. */
static void test_killed_server(void **state)
{
    char text[64];

    (void)state;
    struct embedded *e = start(false);
    int pid = embedded_pid(e);
    call(e, "SET y 2", text, sizeof(text));
    poll(NULL, 0, 1200); /* the fsync of a second; nothing to be awaited says so */
    embedded_leave(e);
    kill(pid, SIGKILL);
    wait_gone(pid);
    e = start(false);
    assert_false(embedded_adopted(e));
    call(e, "GET y", text, sizeof(text));
    assert_string_equal(text, "2");
    embedded_stop(e);
}

static void test_one_engine_for_a_directory(void **state)
{
    struct embedded_options options = {.dir = sub};
    struct buf why = BUF_EMPTY;
    int err;

    (void)state;
    struct embedded *e = start(false);
    assert_null(embedded_start(&options, &err, &why));
    assert_int_equal(err, ERR_EXISTS);
    buf_terminate(&why);
    assert_non_null(strstr(why.ptr, "belongs to another engine"));
    assert_non_null(strstr(why.ptr, sub));
    embedded_stop(e);
    buf_fini(&why);
}

static void test_ephemeral(void **state)
{
    char text[64];

    (void)state;
    struct embedded *e = start(true);
    int pid = embedded_pid(e);
    call(e, "SET z 3", text, sizeof(text));
    embedded_stop(e);
    assert_false(runs(pid));
    e = start(true);
    call(e, "GET z", text, sizeof(text));
    assert_string_equal(text, "");
    embedded_stop(e);
}

static void expect_failure(const char *program, int want, const char *text)
{
    struct embedded_options options = {.dir = sub, .program = program};
    struct buf why = BUF_EMPTY;
    int err;

    assert_null(embedded_start(&options, &err, &why));
    assert_int_equal(err, want);
    buf_terminate(&why);
    if (strstr(why.ptr, text) == NULL) {
        fail_msg("%s does not speak of %s", why.ptr, text);
    }
    buf_fini(&why);
}

/* A script that plays a redis-server. */
static const char *script(const char *text)
{
    static char path[80];

    snprintf(path, sizeof(path), "%s/fake", dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    return path;
}

static void test_failures(void **state)
{
    struct embedded_options options = {.dir = "/proc/volley"};
    struct buf why = BUF_EMPTY;
    int err;

    (void)state;
    expect_failure("no-such-redis-server", ERR_NOTFOUND, "apt-get install redis-server");
    expect_failure(script("#!/bin/sh\necho 'Redis server v=6.0.16 sha=0'\n"), ERR_INVALID,
                   "is version 6; Redis 7 or newer");
    expect_failure(script("#!/bin/sh\necho hello\n"), ERR_INVALID, "does not tell its version");
    expect_failure(script("#!/bin/sh\n[ \"$1\" = --version ] && echo 'Redis server v=7.0.0'\n"
                          "exit 1\n"),
                   ERR_CLOSED, "redis.log");
    assert_null(embedded_start(&options, &err, &why));
    buf_terminate(&why);
    assert_non_null(strstr(why.ptr, "cannot make /proc/volley"));
    buf_fini(&why);
}

static void test_default_directory(void **state)
{
    (void)state;
    setenv("STATE_DIRECTORY", "/var/lib/volley:/other", 1);
    char *path = embedded_default_dir();
    assert_string_equal(path, "/var/lib/volley");
    mem_free(path);
    unsetenv("STATE_DIRECTORY");
    setenv("HOME", "/h/joe", 1);
    path = embedded_default_dir();
    assert_string_equal(path, "/h/joe/.local/share/volley");
    mem_free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_data_survives_a_clean_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_adopted_after_a_crash, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed_server, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_engine_for_a_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ephemeral, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
        cmocka_unit_test_setup_teardown(test_default_directory, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
