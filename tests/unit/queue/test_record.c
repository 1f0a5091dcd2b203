/*
 * test_record.c - records are read as written, kept through deferrals, and never trusted.
 */
#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "queue/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID "01m854y6pj000000001a52w9y2.1"

static void put_plain(struct buf *b)
{
    record_put_head(b, SLICE(ID), JOB_BULK, false, SLICE("bulk:source=mta-1:acme"),
                    SLICE("\"a@b\"@x.example"), 1767225600123);
    record_put_text(b, RECORD_MESSAGE, SLICE("news42"));
}

static void put_full(struct buf *b)
{
    put_plain(b);
    record_put_text(b, RECORD_FROM, SLICE("bounce@acme.example"));
    record_put_text(b, RECORD_CAMPAIGN, SLICE("spring"));
    record_put_text(b, RECORD_TAGS, SLICE("a,b"));
    record_put_pair(b, RECORD_VAR, SLICE("name"), SLICE("Bob"));
    record_put_pair(b, RECORD_EXTRA, SLICE("order"), SLICE("77"));
    record_put_pair(b, RECORD_VAR, SLICE("empty"), SLICE(""));
    record_put_time(b, RECORD_EXPIRES, 1767312000000);
    record_put_time(b, RECORD_NOT_BEFORE, 1767225700000);
    record_put_number(b, RECORD_MAX_ATTEMPTS, 300);
    record_put_text(b, RECORD_RETRY, SLICE("5m,1h"));
    record_put_text(b, RECORD_WINDOW, SLICE("Mon-Fri 08:00-18:00 Europe/Berlin"));
    record_put_text(b, RECORD_KEY, SLICE("k"));
    record_put_text(b, RECORD_TLS, SLICE("verify"));
    record_put_text(b, RECORD_DSN_NOTIFY, SLICE("never"));
    record_put_text(b, RECORD_DSN_RET, SLICE("hdrs"));
    record_put_text(b, RECORD_DSN_ENVID, SLICE("e1"));
    record_put_text(b, RECORD_UNSUBSCRIBE, SLICE("https://x.example/u"));
    record_put_text(b, RECORD_FEEDBACK_ID, SLICE("f"));
    record_put_text(b, RECORD_VERP, SLICE("on"));
}

#define ASSERT_SLICE(s, text)                                                        \
    do {                                                                             \
        if (!slice_eq((s), slice_cstr(text))) {                                      \
            fail_msg("%s is \"" SLICE_FMT "\", not \"%s\"", #s, SLICE_ARG(s), text); \
        }                                                                            \
    } while (0)

static void test_head(void **state)
{
    struct buf b = BUF_EMPTY;
    struct job_record r;

    (void)state;
    put_plain(&b);
    assert_int_equal(record_decode(&r, buf_slice(&b)), 0);
    ASSERT_SLICE(r.id, ID);
    ASSERT_SLICE(r.job, "01m854y6pj000000001a52w9y2");
    assert_int_equal(r.rcpt, 1);
    ASSERT_SLICE(r.lane, "bulk:source=mta-1:acme");
    assert_int_equal(r.class, JOB_BULK);
    assert_int_equal(r.via, JOB_VIA_SOURCE);
    ASSERT_SLICE(r.pool, "mta-1");
    ASSERT_SLICE(r.tenant, "acme");
    ASSERT_SLICE(r.to, "\"a@b\"@x.example");
    ASSERT_SLICE(r.domain, "x.example");
    assert_int_equal(r.created_ms, 1767225600123);
    assert_false(r.own_body);
    assert_false(r.has_from);
    assert_int_equal(r.expires_ms, 0);
    assert_int_equal(record_outcome_count(&r), 0);
    ASSERT_SLICE(record_peek_id(buf_slice(&b)), ID);
    buf_fini(&b);
}

static void test_every_tag(void **state)
{
    struct buf b = BUF_EMPTY;
    struct job_record r;

    (void)state;
    put_full(&b);
    assert_int_equal(record_decode(&r, buf_slice(&b)), 0);
    assert_true(r.has_from);
    ASSERT_SLICE(r.from, "bounce@acme.example");
    ASSERT_SLICE(r.message, "news42");
    ASSERT_SLICE(r.campaign, "spring");
    ASSERT_SLICE(r.tags, "a,b");
    assert_int_equal(r.expires_ms, 1767312000000);
    assert_int_equal(r.not_before_ms, 1767225700000);
    assert_int_equal(r.max_attempts, 300);
    ASSERT_SLICE(r.retry, "5m,1h");
    ASSERT_SLICE(r.window, "Mon-Fri 08:00-18:00 Europe/Berlin");
    ASSERT_SLICE(r.key, "k");
    ASSERT_SLICE(r.tls, "verify");
    ASSERT_SLICE(r.dsn_notify, "never");
    ASSERT_SLICE(r.dsn_ret, "hdrs");
    ASSERT_SLICE(r.dsn_envid, "e1");
    ASSERT_SLICE(r.unsubscribe, "https://x.example/u");
    ASSERT_SLICE(r.feedback_id, "f");
    ASSERT_SLICE(r.verp, "on");
    buf_fini(&b);
}

static void test_pairs(void **state)
{
    struct buf b = BUF_EMPTY;
    struct job_record r;
    struct slice name, value;
    uint32_t at = 0;

    (void)state;
    put_full(&b);
    assert_int_equal(record_decode(&r, buf_slice(&b)), 0);
    assert_true(record_pair_next(&r, RECORD_VAR, &at, &name, &value));
    ASSERT_SLICE(name, "name");
    ASSERT_SLICE(value, "Bob");
    assert_true(record_pair_next(&r, RECORD_VAR, &at, &name, &value));
    ASSERT_SLICE(name, "empty");
    assert_int_equal(value.len, 0);
    assert_false(record_pair_next(&r, RECORD_VAR, &at, &name, &value));
    at = 0;
    assert_true(record_pair_next(&r, RECORD_EXTRA, &at, &name, &value));
    ASSERT_SLICE(name, "order");
    assert_false(record_pair_next(&r, RECORD_EXTRA, &at, &name, &value));
    buf_fini(&b);
}

static void test_null_sender_differs_from_none(void **state)
{
    struct buf b = BUF_EMPTY;
    struct job_record r;

    (void)state;
    put_plain(&b);
    record_put_text(&b, RECORD_FROM, SLICE_NONE);
    assert_int_equal(record_decode(&r, buf_slice(&b)), 0);
    assert_true(r.has_from);
    assert_int_equal(r.from.len, 0);
    buf_fini(&b);
}

static void test_own_body_excludes_a_message(void **state)
{
    struct buf b = BUF_EMPTY;
    struct job_record r;

    (void)state;
    record_put_head(&b, SLICE(ID), JOB_HIGH, true, SLICE("high:default:default"),
                    SLICE("a@b.example"), 1);
    assert_int_equal(record_decode(&r, buf_slice(&b)), 0);
    assert_true(r.own_body);
    record_put_text(&b, RECORD_MESSAGE, SLICE("m"));
    assert_int_equal(record_decode(&r, buf_slice(&b)), ERR_INVALID);
    buf_fini(&b);
}

/* Ten deferrals: the last RECORD_OUTCOMES_MAX stay, everything else is kept, unknown tags too. */
static void test_history(void **state)
{
    struct buf a = BUF_EMPTY, b = BUF_EMPTY;
    struct job_record r;

    (void)state;
    put_plain(&a);
    buf_put(&a, "\xee\x03\x00xyz", 6);
    size_t plain_len = a.len;
    for (uint32_t i = 1; i <= 10; i++) {
        struct record_outcome o = {.time_ms = 1767225600000 + i,
                                   .code = (uint16_t)(420 + i),
                                   .stage = (uint8_t)i,
                                   .failure = 200,
                                   .enhanced = {7, (uint8_t)i}};
        assert_int_equal(record_decode(&r, buf_slice(&a)), 0);
        buf_reset(&b);
        record_put_deferred(&b, &r, i, &o);
        if (i % 2 == 0) { /* the history need not be the last tag */
            record_put_text(&b, RECORD_VERP, SLICE_NONE);
        }
        buf_reset(&a);
        buf_puts(&a, buf_slice(&b));
    }
    assert_int_equal(record_decode(&r, buf_slice(&a)), 0);
    assert_int_equal(r.attempts, 10);
    assert_int_equal(r.last_attempt_ms, 1767225600010);
    assert_int_equal(record_outcome_count(&r), RECORD_OUTCOMES_MAX);
    for (uint32_t i = 0; i < RECORD_OUTCOMES_MAX; i++) {
        struct record_outcome o = record_outcome_at(&r, i);
        assert_int_equal(o.time_ms, 1767225600000 + 3 + i);
        assert_int_equal(o.code, 423 + i);
        assert_int_equal(o.stage, 3 + i);
        assert_int_equal(o.failure, 200);
        assert_int_equal(o.enhanced[0], 7);
        assert_int_equal(o.enhanced[1], 3 + i);
    }
    ASSERT_SLICE(r.message, "news42");
    assert_memory_equal(a.ptr, b.ptr, plain_len);
    assert_int_equal(a.len, plain_len + 3 + 8 + 12 * RECORD_OUTCOMES_MAX + 5 * 3);
    buf_fini(&a);
    buf_fini(&b);
}

static void test_attempts_saturate(void **state)
{
    struct buf a = BUF_EMPTY, b = BUF_EMPTY;
    struct job_record r;
    struct record_outcome o = {0};

    (void)state;
    put_plain(&a);
    assert_int_equal(record_decode(&r, buf_slice(&a)), 0);
    record_put_deferred(&b, &r, 70000, &o);
    assert_int_equal(record_decode(&r, buf_slice(&b)), 0);
    assert_int_equal(r.attempts, UINT16_MAX);
    buf_fini(&a);
    buf_fini(&b);
}

/* Every cut and every changed byte gives an error or a record, and reads nothing outside: the
 * bytes stand in a block of exactly their size, for the address sanitizer. */
static void test_broken_bytes(void **state)
{
    struct buf b = BUF_EMPTY;
    struct job_record r;
    size_t refused = 0;

    (void)state;
    put_full(&b);
    for (size_t cut = 0; cut < b.len; cut++) {
        char *exact = malloc(cut > 0 ? cut : 1);
        memcpy(exact, b.ptr, cut);
        refused += record_decode(&r, slice_of(exact, cut)) != 0;
        (void)record_peek_id(slice_of(exact, cut));
        free(exact);
    }
    assert_true(refused > b.len / 2);
    for (size_t i = 0; i < b.len; i++) {
        for (unsigned value = 0; value < 256; value += 5) {
            char *exact = malloc(b.len);
            struct slice name, v;
            uint32_t at = 0;
            memcpy(exact, b.ptr, b.len);
            exact[i] = (char)value;
            if (record_decode(&r, slice_of(exact, b.len)) == 0) {
                while (record_pair_next(&r, RECORD_VAR, &at, &name, &v)) {
                    assert_true(v.ptr + v.len <= exact + b.len);
                }
            }
            free(exact);
        }
    }
    buf_fini(&b);
}

static void test_refused_heads(void **state)
{
    static const struct {
        const char *id, *lane, *to;
    } rows[] = {
        {"01m854y6pj000000001a52w9y2", "bulk:a:b", "a@b.c"},   /* no recipient number */
        {"01m854y6pj000000001a52w9y2.0", "bulk:a:b", "a@b.c"}, /* numbers begin with 1 */
        {"01m854y6pj000000001a52w9y2.x", "bulk:a:b", "a@b.c"},
        {"01m854y6pj0000000\n1a52w9y2.1", "bulk:a:b", "a@b.c"},
        {ID, "bulk:a", "a@b.c"},
        {ID, "bulk:a:b:c", "a@b.c"},
        {ID, "bulk::b", "a@b.c"},
        {ID, "bulk:a:", "a@b.c"},
        {ID, "high:a:b", "a@b.c"}, /* the flags say bulk */
        {ID, "bulk:source=:b", "a@b.c"},
        {ID, "bulk:a:b", "nobody"},
        {ID, "bulk:a:b", "@b.c"},
        {ID, "bulk:a:b", "a@"},
        {ID, "bulk:a:b", ""},
    };
    struct job_record r;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf b = BUF_EMPTY;
        record_put_head(&b, slice_cstr(rows[i].id), JOB_BULK, false, slice_cstr(rows[i].lane),
                        slice_cstr(rows[i].to), 1);
        record_put_text(&b, RECORD_MESSAGE, SLICE("m"));
        if (record_decode(&r, buf_slice(&b)) != ERR_INVALID) {
            fail_msg("row %zu was taken", i);
        }
        buf_fini(&b);
    }
    assert_int_equal(record_decode(&r, SLICE("\x02zzzz")), ERR_RANGE);
    assert_int_equal(record_decode(&r, SLICE_NONE), ERR_INVALID);
}

/* The budget is 200 ns; the assertion leaves room for a sanitizer and a busy machine. */
static void test_decoding_is_quick(void **state)
{
    enum { ROUNDS = 20000 };
    struct buf b = BUF_EMPTY;
    struct job_record r;
    int64_t best_us = INT64_MAX;

    (void)state;
    put_full(&b);
    for (int round = 0; round < 5; round++) {
        int64_t start_us = clock_mono_us();
        for (int i = 0; i < ROUNDS; i++) {
            assert_true(record_decode(&r, buf_slice(&b)) == 0);
        }
        int64_t took_us = clock_mono_us() - start_us;
        best_us = took_us < best_us ? took_us : best_us;
    }
    print_message("decode: %ld ns for %zu bytes and 20 tags\n", (long)(best_us * 1000 / ROUNDS),
                  b.len);
    assert_true(best_us * 1000 / ROUNDS < 5000);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_every_tag),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_null_sender_differs_from_none),
        cmocka_unit_test(test_own_body_excludes_a_message),
        cmocka_unit_test(test_history),
        cmocka_unit_test(test_attempts_saturate),
        cmocka_unit_test(test_broken_bytes),
        cmocka_unit_test(test_refused_heads),
        cmocka_unit_test(test_decoding_is_quick),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
