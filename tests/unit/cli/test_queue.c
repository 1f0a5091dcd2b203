/*
 * test_queue.c - what `volley queue` decides without Redis: cursors, filters, ids, texts.
 */
#include "engine/base/err.h"
#include "engine/cli/desk.h"
#include "engine/cli/filter.h"
#include "engine/cli/jobview.h"
#include "engine/cli/sample.h"
#include "engine/cli/trail.h"
#include "engine/cli/walk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void expect(struct buf *b, const char *text)
{
    buf_terminate(b);
    assert_string_equal(b->len > 0 ? b->ptr : "", text);
    buf_fini(b);
}

static void test_ages(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {{-1, "-"},
                {0, "0s"},
                {59999, "59s"},
                {60000, "1m"},
                {3599000, "59m"},
                {3600000, "1h"},
                {3660000, "1h 1m"},
                {86399000, "23h 59m"},
                {86400000, "1d"},
                {90000000, "1d 1h"},
                {INT64_MAX, "106751991167d 7h"}};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct buf b = BUF_EMPTY;
        desk_put_age(&b, rows[i].ms);
        expect(&b, rows[i].text);
    }
}

static void test_bytes_and_times(void **state)
{
    struct buf b = BUF_EMPTY;

    (void)state;
    desk_put_bytes(&b, 1023);
    buf_putc(&b, ' ');
    desk_put_bytes(&b, 1536);
    buf_putc(&b, ' ');
    desk_put_bytes(&b, UINT64_MAX);
    buf_putc(&b, ' ');
    desk_put_time(&b, 1795481276115);
    expect(&b, "1023 B 1.5 KB 16777216.0 TB 2026-11-24 00:47:56 UTC");
}

static void test_times_of_anybody(void **state)
{
    static const struct {
        struct slice text;
        int64_t ms;
    } rows[] = {{{"1795481276115", 13}, 1795481276115},
                {{"1e300", 5}, 253402300799999},
                {{"-5", 2}, 0},
                {{"inf", 3}, 253402300799999},
                {{"-inf", 4}, 0},
                {{"nan", 3}, 0},
                {{NULL, 0}, 0}};
    struct buf b = BUF_EMPTY;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct resp score = {.type = RESP_STRING, .text = rows[i].text};
        assert_int_equal(desk_score_ms(&score), rows[i].ms);
    }
    assert_int_equal(desk_sane_ms(INT64_MIN), 0);
    desk_put_time(&b, INT64_MAX);
    expect(&b, "9999-12-31 23:59:59 UTC");
}

static void test_ids(void **state)
{
    static const char *const wrong[] = {"",
                                        "0",
                                        "01m85gc3k5000000001wfrtxf",
                                        "01m85gc3k5000000001wfrtxfr0",
                                        "01M85GC3K5000000001WFRTXFR",
                                        "01m85gc3k5000000001wfrtxfu",
                                        "01m85gc3k500 000001wfrtxfr"};
    int64_t ms;
    unsigned partition;

    (void)state;
    assert_int_equal(desk_id_parse(SLICE("01m85gc3k5000000001wfrtxfr"), &ms, &partition), 0);
    assert_int_equal(ms, 1795481276005);
    assert_int_equal(partition, 0);
    assert_int_equal(desk_id_parse(SLICE("zzzzzzzzzzzzzzzzzzzzzzzzzz"), &ms, &partition), 0);
    assert_int_equal(ms, INT64_C(1125899906842623));
    assert_int_equal(partition, 1023);
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_int_equal(desk_id_parse(slice_cstr(wrong[i]), &ms, &partition), ERR_INVALID);
    }
    assert_int_equal(desk_id_parse(slice_of("01m85gc3k50000000\0wfrtxfr", 26), &ms, &partition),
                     ERR_INVALID);
}

static void test_cursors(void **state)
{
    static const char *const good[] = {"0.l.1.5.0.", "1023.d.2.0.0.",
                                       "0.o.1.18446744073709551615.7.n1.example:4", "0.h.1.9.0.o7"};
    static const char *const wrong[] = {"",
                                        "0",
                                        "0.l.1.5.0",
                                        "0.l.1.5.",
                                        "0.z.1.5.0.",
                                        "0.ll.1.5.0.",
                                        "1024.l.1.1.1.",
                                        "0.l.x.1.1.",
                                        "0.l.1.1.1.a b",
                                        "-1.l.1.1.1.",
                                        "0.l.1.1.1.\n",
                                        "0.l.1.1.18446744073709551616."};
    struct walk_cursor c;

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        struct buf b = BUF_EMPTY;
        assert_int_equal(walk_cursor_parse(&c, slice_cstr(good[i])), 0);
        walk_cursor_put(&b, &c);
        expect(&b, good[i]);
    }
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_int_equal(walk_cursor_parse(&c, slice_cstr(wrong[i])), ERR_INVALID);
    }
}

static void test_places(void **state)
{
    struct walk_page page = {.at = {.part = WALK_LISTS, .minor = 100}};

    (void)state;
    assert_int_equal(walk_place(&page, 7).minor, 107);
    page.at = (struct walk_cursor){.part = WALK_OWNED, .minor = 5, .skip = 2};
    assert_int_equal(walk_place(&page, 7).minor, 5); /* HSCAN's own number */
    assert_int_equal(walk_place(&page, 7).skip, 9);
}

static void put_record(struct buf *b, const char *campaign, const char *tags, uint16_t attempts)
{
    char history[8] = {(char)attempts, 0};

    record_put_head(b, SLICE("01m85gc3k5000000001wfrtxfr.1"), JOB_BULK, false,
                    SLICE("bulk:source=a:acme"), SLICE("ann@b.example"), 1000000);
    record_put_text(b, RECORD_MESSAGE, SLICE("news"));
    record_put_text(b, RECORD_CAMPAIGN, slice_cstr(campaign));
    record_put_text(b, RECORD_TAGS, slice_cstr(tags));
    if (attempts > 0) {
        record_put_text(b, RECORD_HISTORY, slice_of(history, sizeof(history)));
    }
}

static void test_filters(void **state)
{
    const struct filter any = {.state = FILTER_ANY, .class = FILTER_ANY};
    struct filter f = any;
    struct buf b = BUF_EMPTY;
    struct job_record r;
    struct list_name list;

    (void)state;
    put_record(&b, "march", "a, bc", 0);
    assert_int_equal(record_decode(&r, buf_slice(&b)), 0);
    assert_true(filter_takes_job(&any, &r));
    assert_false(filter_looks_into_jobs(&any));
    f.tag = "bc";
    assert_true(filter_takes_job(&f, &r));
    f.tag = "b";
    assert_false(filter_takes_job(&f, &r));
    f = any;
    f.domain = "B.EXAMPLE";
    assert_true(filter_takes_job(&f, &r) && filter_looks_into_jobs(&f));
    f.campaign = "apri";
    assert_false(filter_takes_job(&f, &r));
    buf_fini(&b);

    assert_int_equal(list_name_parse(&list, SLICE("bin:bulk:source=a:acme:a:b")), 0);
    f = any;
    f.site = "a:b";
    f.pool = "a";
    assert_true(filter_takes_list(&f, &list));
    assert_false(filter_takes_state(&f, JOB_OWNED));
    assert_int_equal(list_name_parse(&list, SLICE("in:bulk:source=a:acme")), 0);
    assert_false(filter_takes_list(&f, &list));
}

static void test_event_fields(void **state)
{
    static const struct slice line = {
        "{\"type\":\"x\",\"text\":\"a \\\"type\\\":\\\"y\\\" \\\\\",\"attempt\":12,\"final\":true}",
        68};
    struct slice text = trail_field(line, "text");

    (void)state;
    assert_true(slice_eq(trail_field(line, "type"), SLICE("x")));
    assert_true(slice_eq(text, SLICE("a \\\"type\\\":\\\"y\\\" \\\\")));
    assert_true(slice_eq(trail_field(line, "attempt"), SLICE("12")));
    assert_true(slice_eq(trail_field(line, "final"), SLICE("true")));
    assert_int_equal(trail_field(line, "none").len, 0);
    assert_int_equal(trail_field(SLICE_NONE, "type").len, 0);
    for (size_t i = 0; i < line.len; i++) { /* cut off anywhere */
        (void)trail_field(slice_of(line.ptr, i), "text");
    }
}

static void test_samples(void **state)
{
    const struct filter any = {.state = FILTER_ANY, .class = FILTER_ANY};
    static const uint16_t attempts[] = {0, 1, 2, 5, 6, 11};
    struct buf b = BUF_EMPTY, out = BUF_EMPTY;
    struct sample s;

    (void)state;
    sample_init(&s);
    sample_put_text(&out, &s); /* nothing at all */
    for (size_t i = 0; i < COUNT(attempts); i++) {
        buf_reset(&b);
        put_record(&b, "c", "t", attempts[i]);
        sample_add(&s, &any, buf_slice(&b), 1000000 + (int64_t)i * 3600 * 1000);
    }
    sample_add(&s, &any, SLICE("\1junk"), 0);
    s.population = 70;
    assert_int_equal(s.taken, 7);
    assert_int_equal(s.unreadable, 1);
    assert_int_equal(s.matched, 6);
    for (size_t i = 0; i < SAMPLE_ATTEMPTS; i++) {
        assert_int_equal(s.attempts[i], 1);
    }
    assert_int_equal(s.ages[0], 1);
    assert_int_equal(s.ages[3], 5);
    buf_reset(&out);
    sample_put_text(&out, &s);
    buf_terminate(&out);
    assert_non_null(strstr(out.ptr, "sampled: 7 of 70 jobs, 6 of them match"));
    assert_non_null(strstr(out.ptr, "b.example"));
    assert_non_null(strstr(out.ptr, "about 60"));
    sample_fini(&s);
    buf_fini(&b);
    buf_fini(&out);
}

static void test_hostile_records_are_shown(void **state)
{
    struct buf b = BUF_EMPTY, out = BUF_EMPTY;
    struct job_place place = {.state = JOB_PARKED, .source = SLICE("bin:no:such:list")};
    struct record_outcome worst = {
        .time_ms = INT64_MAX / 1000, .code = 65535, .stage = 255, .failure = 255};
    struct job_record r;

    (void)state;
    put_record(&b, "\x1b[2J", "\xff", 3);
    assert_int_equal(record_decode(&r, buf_slice(&b)), 0);
    record_put_deferred(&out, &r, 65535, &worst);
    buf_fini(&b);
    b = out;
    out = BUF_EMPTY;
    assert_int_equal(record_decode(&r, buf_slice(&b)), 0);
    jobview_put_text(&out, &r, &place, 0);
    assert_null(memchr(out.ptr, '\x1b', out.len));
    jobview_put_json(&out, &r, &place, true);
    jobview_put_broken_json(&out, SLICE("\xff\xfe"), &place);
    assert_int_equal(job_place_who(&place).len, 0);
    buf_fini(&b);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ages),
        cmocka_unit_test(test_bytes_and_times),
        cmocka_unit_test(test_times_of_anybody),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_cursors),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_filters),
        cmocka_unit_test(test_event_fields),
        cmocka_unit_test(test_samples),
        cmocka_unit_test(test_hostile_records_are_shown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
