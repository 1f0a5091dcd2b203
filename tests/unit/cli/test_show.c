/*
 * test_show.c - what commands show and keep: tables, progress lines, checkpoints, outcomes.
 */
#include "engine/base/err.h"
#include "engine/cli/checkpoint.h"
#include "engine/cli/follow.h"
#include "engine/cli/progress.h"
#include "engine/cli/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void test_widths(void **state)
{
    static const struct {
        const char *text;
        size_t width;
        const char *cut; /* at 4 */
    } rows[] = {
        {"", 0, ""},
        {"abcd", 4, "abcd"},
        {"abcde", 5, "abc…"},
        {"Zo\xc3\xab!", 4, "Zo\xc3\xab!"},
        {"e\xcc\x81"
         "cole",
         5,
         "e\xcc\x81"
         "co…"},
        {"\xe7\x94\xb0\xe4\xb8\xad\xe7\x94\xb0", 6, "\xe7\x94\xb0…"},
        {"a\n\x1b[31m", 7, "a  …"},
        {"\xff\xfe", 2, "??"},
        {"\xc2\x9b", 1, " "},
    };
    struct buf out = BUF_EMPTY;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(table_width(slice_cstr(rows[i].text)), rows[i].width);
        out.len = 0;
        table_put_cut(&out, slice_cstr(rows[i].text), 4);
        if (!slice_eq(buf_slice(&out), slice_cstr(rows[i].cut))) {
            fail_msg("%s: %.*s", rows[i].text, (int)out.len, out.ptr);
        }
    }
    buf_fini(&out);
}

static void test_table(void **state)
{
    struct table t;
    struct buf out = BUF_EMPTY;

    (void)state;
    table_init(&t, "lrl");
    table_cell(&t, SLICE("site"));
    table_cell(&t, SLICE("sent"));
    table_cell(&t, SLICE("note"));
    table_rule(&t);
    table_cell(&t, SLICE("Z\xc3\xbcrich"));
    table_cellf(&t, "%d", 7);
    table_cell(&t, SLICE("a\nb"));
    table_cell(&t, SLICE("x"));
    table_cell(&t, SLICE("12345"));
    table_put(&out, &t, 2);
    buf_terminate(&out);
    assert_string_equal(out.ptr, "  site     sent  note\n"
                                 "  ───────────────────\n"
                                 "  Z\xc3\xbcrich      7  a b\n"
                                 "  x       12345\n");
    out.len = 0;
    table_put_count(&out, 0);
    buf_putc(&out, '/');
    table_put_count(&out, 999);
    buf_putc(&out, '/');
    table_put_count(&out, 1234567);
    buf_terminate(&out);
    assert_string_equal(out.ptr, "0/999/1 234 567");
    table_fini(&t);
    buf_fini(&out);
}

static void test_progress_line(void **state)
{
    struct progress_state s = {.title = "sending",
                               .unit = "letters",
                               .count = 1500,
                               .total = 20000,
                               .share = -1,
                               .note = "3 bad rows"};
    struct progress_figures f = {.rate = 15210.4, .eta_s = 83, .elapsed_s = 1};
    struct buf out = BUF_EMPTY;

    (void)state;
    for (size_t width = 5; width < 200; width++) {
        out.len = 0;
        progress_put_line(&out, &s, &f, width);
        assert_true(table_width(buf_slice(&out)) <= width);
    }
    out.len = 0;
    progress_put_line(&out, &s, &f, 100);
    buf_terminate(&out);
    assert_string_equal(
        out.ptr, "[==>                        ]   7 % sending 1 500 of 20 000 letters, 15 210/s, "
                 "83 s left; 3 bad rows");
    out.len = 0;
    progress_put_line(&out, &s, &f, 60); /* no room for the bar, nor for all of the note */
    buf_terminate(&out);
    assert_string_equal(out.ptr, "sending 1 500 of 20 000 letters, 15 210/s, 83 s left; 3 bad…");
    out.len = 0;
    progress_put_line(&out, &s, &f, 0); /* for a log */
    buf_terminate(&out);
    assert_string_equal(out.ptr,
                        "sending 1 500 of 20 000 letters, 15 210/s, 83 s left; 3 bad rows");
    s.total = 0;
    s.note = NULL;
    f = (struct progress_figures){.rate = 0.5, .eta_s = -1};
    out.len = 0;
    progress_put_line(&out, &s, &f, 100);
    buf_terminate(&out);
    assert_string_equal(out.ptr, "sending 1 500 letters, 0.5/s");
    buf_fini(&out);
}

static void test_durations(void **state)
{
    static const struct {
        double seconds;
        const char *text;
    } rows[] = {{-1, "0 s"}, {0.4, "0 s"}, {99, "99 s"}, {187, "3:07 min"}, {3753, "1:02:33 h"}};
    struct buf out = BUF_EMPTY;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        out.len = 0;
        progress_put_duration(&out, rows[i].seconds);
        buf_terminate(&out);
        assert_string_equal(out.ptr, rows[i].text);
    }
    buf_fini(&out);
}

static void test_checkpoint(void **state)
{
    struct checkpoint c = {.sending = "s1",
                           .message = "m1",
                           .digest = "d1",
                           .part = 7,
                           .offset = 12345,
                           .line = 1401,
                           .taken = 1399,
                           .bad = 1,
                           .started_us = 1767225600000000,
                           .updated_us = 1767225601000000};
    struct checkpoint back;
    struct buf text = BUF_EMPTY;

    (void)state;
    checkpoint_put(&text, &c);
    assert_int_equal(checkpoint_parse(buf_slice(&text), &back), 0);
    assert_memory_equal(&c, &back, sizeof(c));
    for (size_t len = 0; len < text.len - 1; len++) { /* cut off anywhere: refused */
        assert_int_equal(checkpoint_parse(slice_of(text.ptr, len), &back), ERR_INVALID);
    }
    assert_int_equal(checkpoint_parse(SLICE("volley-send 2\nend .\n"), &back), ERR_INVALID);
    assert_int_equal(checkpoint_parse(SLICE("volley-send 1\nwhat 1\nend .\n"), &back), ERR_INVALID);
    buf_fini(&text);
}

static void test_checkpoint_file(void **state)
{
    struct checkpoint c = {.done = true, .sending = "s", .message = "m", .digest = "d", .line = 1};
    struct checkpoint back;
    char dir[] = "/tmp/volley-test-XXXXXX";
    char path[64], aside[64];

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/list.csv.volley-checkpoint", dir);
    snprintf(aside, sizeof(aside), "%s/list.csv.volley-checkpoint.new", dir);
    assert_int_equal(checkpoint_read(path, &back), ERR_NOTFOUND);
    assert_int_equal(checkpoint_write(path, &c), 0);
    assert_int_equal(checkpoint_read(path, &back), 0);
    assert_true(back.done);
    c.done = false;
    assert_int_equal(checkpoint_write(path, &c), 0);
    assert_int_equal(checkpoint_read(path, &back), 0);
    assert_false(back.done);
    assert_int_equal(access(aside, F_OK), -1);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
    assert_int_not_equal(checkpoint_write(path, &c), 0); /* the directory is gone */
}

static void test_follow(void **state)
{
    static const char lines[] =
        "{\"v\":1,\"type\":\"delivered\",\"final\":true,\"x\":{\"sending\":\"s1.0\"}}\n"
        "{\"v\":1,\"type\":\"bounced\",\"final\":true,\"x\":{\"sending\":\"s1.0\"},\""
        "text\":\"\\\"final\\\":x\"}\n"
        "{\"v\":1,\"type\":\"deferred\",\"final\":false,\"x\":{\"sending\":\"s1.0\"},"
        "\"text\":\"\\\"final\\\":true\"}\n"
        "{\"v\":1,\"type\":\"delivered\",\"final\":true,\"x\":{\"sending\":\"s1.04\"}}\n"
        "{\"v\":1,\"type\":\"delivered\",\"final\":true,\"late\":true,\"x\":{\"sendin"
        "g\":\"s1.0\"}}\n"
        "{\"v\":1,\"type\":\"site\"}\n"
        "not json\n";
    struct follow_counts counts = {.finals = 0};

    (void)state;
    follow_count(&counts, slice_cstr(lines), SLICE("s1.0"));
    assert_int_equal(counts.finals, 2);
    assert_int_equal(counts.final[FOLLOW_DELIVERED], 1);
    assert_int_equal(counts.final[FOLLOW_BOUNCED], 1);
    assert_int_equal(counts.deferred, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_widths),        cmocka_unit_test(test_table),
        cmocka_unit_test(test_progress_line), cmocka_unit_test(test_durations),
        cmocka_unit_test(test_checkpoint),    cmocka_unit_test(test_checkpoint_file),
        cmocka_unit_test(test_follow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
