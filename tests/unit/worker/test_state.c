/*
 * test_state.c - the state directory: an id that stays, and one engine at a time.
 */
#include "engine/worker/state.h"

#include "engine/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[] = "/tmp/volley-state-XXXXXX";

static int make_top(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(top));
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static int remove_top(void **state)
{
    (void)state;
    return nftw(top, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void in_top(char out[128], const char *name)
{
    snprintf(out, 128, "%s/%s", top, name);
}

static void put_id(const char *directory, const char *text)
{
    char path[192];
    FILE *f;

    snprintf(path, sizeof(path), "%s/node-id", directory);
    f = fopen(path, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void open_state(struct state *s, const char *directory, const char *hostname)
{
    struct buf why = BUF_EMPTY;

    if (state_open(s, directory, hostname, &why) != 0) {
        buf_terminate(&why);
        fail_msg("%s", why.ptr);
    }
    buf_fini(&why);
}

static void test_the_id_stays(void **state)
{
    char directory[128], first[STATE_ID_MAX + 1];
    struct stat st;
    struct state s;

    (void)state;
    in_top(directory, "a/b/c"); /* made, for us alone */
    open_state(&s, directory, "mta1.example.com");
    assert_int_equal(strncmp(s.id, "mta1.example.com-", 17), 0);
    assert_int_equal(strlen(s.id), 17 + 8);
    assert_string_equal(s.directory, directory);
    memcpy(first, s.id, sizeof(first));
    state_close(&s);
    state_close(&s); /* harmless */
    assert_int_equal(stat(directory, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    open_state(&s, directory, "renamed.example.com");
    assert_string_equal(s.id, first);
    state_close(&s);
}

static void test_one_engine_at_a_time(void **state)
{
    struct state first, second;
    struct buf why = BUF_EMPTY;
    char directory[128];

    (void)state;
    in_top(directory, "busy");
    open_state(&first, directory, "h");
    assert_int_equal(state_open(&second, directory, "h", &why), ERR_EXISTS);
    buf_terminate(&why);
    assert_non_null(strstr(why.ptr, directory));
    assert_non_null(strstr(why.ptr, "queue.state_directory"));
    state_close(&first);
    open_state(&second, directory, "h");
    state_close(&second);
    buf_fini(&why);
}

/* What is no id is replaced: it goes into keys of Redis. */
static void test_odd_ids(void **state)
{
    static const char *const rows[] = {"",
                                       "\n",
                                       "two words",
                                       "k\xc3\xa4se",
                                       "a{b}",
                                       "0123456789012345678901234567890123456789"
                                       "0123456789012345678901234567890123456789"};
    char directory[128];
    struct state s;

    (void)state;
    in_top(directory, "odd");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        open_state(&s, directory, "h");
        state_close(&s);
        put_id(directory, rows[i]);
        open_state(&s, directory, "host with spaces \x01{}");
        assert_int_equal(strncmp(s.id, "hostwithspaces-", 15), 0);
        state_close(&s);
    }
    put_id(directory, " kept-1.x_Y \n");
    open_state(&s, directory, "h");
    assert_string_equal(s.id, "kept-1.x_Y");
    state_close(&s);
}

static void test_long_hostname(void **state)
{
    char directory[128], name[300];
    struct state s;

    (void)state;
    in_top(directory, "long");
    memset(name, 'h', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    open_state(&s, directory, name);
    assert_true(strlen(s.id) <= STATE_ID_MAX);
    state_close(&s);
}

static void test_a_directory_that_cannot_be(void **state)
{
    struct buf why = BUF_EMPTY;
    char directory[128];
    struct state s;
    FILE *f;

    (void)state;
    in_top(directory, "file");
    f = fopen(directory, "we");
    assert_non_null(f);
    fclose(f);
    assert_true(state_open(&s, directory, "h", &why) < 0);
    buf_terminate(&why);
    assert_non_null(strstr(why.ptr, directory));
    assert_null(s.directory);
    in_top(directory, "file/below");
    assert_true(state_open(&s, directory, "h", &why) < 0);
    buf_fini(&why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_id_stays),
        cmocka_unit_test(test_one_engine_at_a_time),
        cmocka_unit_test(test_odd_ids),
        cmocka_unit_test(test_long_hostname),
        cmocka_unit_test(test_a_directory_that_cannot_be),
    };

    return cmocka_run_group_tests_name("worker/state", tests, make_top, remove_top);
}
