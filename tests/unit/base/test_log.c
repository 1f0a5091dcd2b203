/*
 * test_log.c - the lines on standard error.
 */
#include "engine/base/clock.h"
#include "engine/base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- standard error goes through a pipe ---- */

static int saved_stderr, pipe_read;

static int capture(void **state)
{
    int fd[2];

    (void)state;
    if (pipe2(fd, O_CLOEXEC) != 0) {
        return -1;
    }
    saved_stderr = dup(STDERR_FILENO);
    dup2(fd[1], STDERR_FILENO);
    close(fd[1]);
    pipe_read = fd[0];
    fcntl(pipe_read, F_SETFL, O_NONBLOCK);
    unsetenv("JOURNAL_STREAM");
    log_set_level(LOG_LEVEL_INFO);
    return 0;
}

static int release(void **state)
{
    (void)state;
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    close(pipe_read);
    unsetenv("JOURNAL_STREAM");
    log_set_level(LOG_LEVEL_INFO);
    return 0;
}

/* What was written since the last call. */
static const char *written(void)
{
    static char text[65536];
    ssize_t n = read(pipe_read, text, sizeof(text) - 1);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

static int count_lines(const char *text)
{
    int count = 0;

    for (; *text != '\0'; text++) {
        count += *text == '\n';
    }
    return count;
}

static void test_levels(void **state)
{
    enum log_level level;

    (void)state;
    log_warn("host %s, code %d", "mx.example.com", 421);
    const char *line = written();
    int64_t us;
    assert_int_equal(clock_parse(slice_of(line, CLOCK_RFC3339_LEN), &us), 0);
    assert_string_equal(line + CLOCK_RFC3339_LEN, " warn: host mx.example.com, code 421\n");
    log_debug("not now");
    assert_string_equal(written(), "");
    log_set_level(LOG_LEVEL_DEBUG);
    log_debug("now");
    assert_non_null(strstr(written(), " debug: now\n"));
    log_set_level(LOG_LEVEL_ERROR);
    log_warn("not now");
    log_info("not now");
    log_error("always");
    assert_non_null(strstr(written(), " error: always\n"));

    assert_true(log_level_parse("info", &level));
    assert_int_equal(level, LOG_LEVEL_INFO);
    assert_true(log_level_parse("error", &level));
    assert_int_equal(level, LOG_LEVEL_ERROR);
    assert_false(log_level_parse("Info", &level));
    assert_false(log_level_parse("", &level));
}

static void test_journal(void **state)
{
    (void)state;
    setenv("JOURNAL_STREAM", "8:1234", 1);
    log_error("a");
    log_warn("b");
    log_info("c");
    assert_string_equal(written(), "<3>a\n<4>b\n<6>c\n");
}

/* No peer writes a line of its own, moves the cursor or breaks the encoding. */
static void test_escapes(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"plain", "plain"},
        {"a\r\nb", "a\\x0d\\x0ab"},
        {"\x1b[2Jx\x07\x7f\t", "\\x1b[2Jx\\x07\\x7f\\x09"},
        {"Gr\xc3\xbc\xc3\x9f"
         "e",
         "Gr\xc3\xbc\xc3\x9f"
         "e"},
        {"\xc2\x9b"
         "31m",
         "\\xc2\\x9b31m"}, /* a C1 control: CSI */
        {"\xc2\xa0", "\xc2\xa0"},
        {"\x9b"
         "31m",
         "\\x9b31m"},
        {"\xe2\x82", "\\xe2\\x82"},
    };

    (void)state;
    setenv("JOURNAL_STREAM", "8:1234", 1);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char expected[128];
        log_warn("said: %s", rows[i].in);
        snprintf(expected, sizeof(expected), "<4>said: %s\n", rows[i].out);
        assert_string_equal(written(), expected);
    }
}

/* However long, one line, cut. */
static void test_long(void **state)
{
    static char text[10000];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    log_warn("%s", text);
    const char *line = written();
    assert_int_equal(count_lines(line), 1);
    assert_true(strlen(line) > 1000 && strlen(line) < 3000);
    memset(text, '\n', sizeof(text) - 1);
    log_warn("%s", text);
    line = written();
    assert_int_equal(count_lines(line), 1);
    assert_true(strlen(line) > 1000 && strlen(line) < 3000);
}

static void say(struct log_site *site, int times)
{
    for (int i = 0; i < times; i++) {
        log_at(site, LOG_LEVEL_WARN, "again");
    }
}

static void test_rate_limit(void **state)
{
    struct log_site site = {0}, other = {0};

    (void)state;
    say(&site, LOG_BURST + 100);
    assert_int_equal(count_lines(written()), LOG_BURST);
    say(&other, 1); /* each place has its own */
    assert_int_equal(count_lines(written()), 1);
    /* The window is over: the count of what was swallowed comes along once. */
    atomic_fetch_sub(&site.window_start_s, LOG_WINDOW_S);
    say(&site, 2);
    const char *text = written();
    assert_int_equal(count_lines(text), 2);
    const char *note = strstr(text, "again (100 more like this not shown)\n");
    assert_non_null(note);
    assert_null(strstr(strchr(note, '\n'), "not shown"));
    /* Under the limit nothing is swallowed and nothing said about it. */
    atomic_fetch_sub(&site.window_start_s, LOG_WINDOW_S);
    say(&site, 1);
    assert_null(strstr(written(), "not shown"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_levels, capture, release),
        cmocka_unit_test_setup_teardown(test_journal, capture, release),
        cmocka_unit_test_setup_teardown(test_escapes, capture, release),
        cmocka_unit_test_setup_teardown(test_long, capture, release),
        cmocka_unit_test_setup_teardown(test_rate_limit, capture, release),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
