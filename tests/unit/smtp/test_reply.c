/*
 * test_reply.c - replies are read the same wherever they are cut, and garbage is seen.
 */
#include "engine/base/mem.h"
#include "engine/smtp/reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

/* Renders what a stream of bytes holds: "code|enhanced|text;" for each reply, then BAD or
 * what is left open.  The bytes come in two pieces; each is copied to memory of its exact
 * size, so that a sanitizer sees any reading beyond it. */
static void render_piece(struct smtp_reply_parser *p, struct slice piece, struct buf *out,
                         bool *bad)
{
    char *copy = mem_dup(piece.ptr, piece.len);
    struct slice in = slice_of(copy, piece.len);
    struct smtp_reply reply;
    enum smtp_parse status;

    while (!*bad && (status = smtp_reply_next(p, &in, &reply)) != SMTP_PARSE_MORE) {
        char enhanced[SMTP_ENHANCED_LEN];
        if (status == SMTP_PARSE_BAD) {
            BUF_LIT(out, "BAD");
            *bad = true;
            break;
        }
        smtp_enhanced_format(enhanced, reply.enhanced);
        buf_printf(out, "%u|%s|", reply.code, enhanced);
        smtp_reply_print(&reply, out);
        buf_puts(out, reply.mixed ? SLICE("|mixed;") : SLICE(";"));
    }
    assert_true(*bad || in.len == 0);
    mem_free(copy);
}

static void render(struct slice bytes, size_t cut, struct buf *out)
{
    struct smtp_reply_parser p;
    bool bad = false;

    smtp_reply_init(&p);
    render_piece(&p, slice_of(bytes.ptr, cut), out, &bad);
    render_piece(&p, slice_from(bytes, cut), out, &bad);
    if (!bad && smtp_reply_partial(&p)) {
        BUF_LIT(out, "open");
    }
    smtp_reply_fini(&p);
}

static const struct {
    const char *bytes;
    const char *replies;
} rows[] = {
    {"", ""},
    {"250 ok\r\n", "250||ok;"},
    {"250 ok\n", "250||ok;"},
    {"250\r\n", "250||;"},
    {"250\n", "250||;"},
    {"250 \r\n", "250||;"},
    {"250OK\r\n", "250||OK;"},
    {"250\tok\r\n", "250||ok;"},
    {"250 ok\r\r\n", "250||ok;"},
    {"250-one\r\n250 two\r\n", "250||one two;"},
    {"250-\r\n250-two\r\n250\r\n", "250||two;"},
    {"250-one\r\n250-two\r\n", "open"},
    {"250 o", "open"},
    {"2", "open"},
    {"250 a\r\n354 b\r\n250 c\r\n", "250||a;354||b;250||c;"},
    {"250 2.1.5 ok\r\n", "250|2.1.5|ok;"},
    {"550 5.7.606 no\r\n", "550|5.7.606|no;"},
    {"550-5.1.1 no\r\n550 5.1.1 such user\r\n", "550|5.1.1|no such user;"},
    {"550-no\r\n550 5.1.1 such user\r\n", "550|5.1.1|no such user;"},
    {"550-5.1.1 no\r\n550 5.1.2 such host\r\n", "550|5.1.1|no 5.1.2 such host;"},
    {"550 4.1.1 class differs\r\n", "550||4.1.1 class differs;"},
    {"550 5.1.1\r\n", "550|5.1.1|;"},
    {"550 5.1.1: colon\r\n", "550|5.1.1|: colon;"},
    {"550 5.1.1<a@b>\r\n", "550|5.1.1|<a@b>;"},
    {"550 5.1.1.4 an address\r\n", "550||5.1.1.4 an address;"},
    {"550 5.1234.1 no\r\n", "550||5.1234.1 no;"},
    {"550 5.1 no\r\n", "550||5.1 no;"},
    {"550 55.1.1 no\r\n", "550||55.1.1 no;"},
    {"450-a\r\n250 b\r\n", "250||a b|mixed;"},
    {"250-a\r\n550 5.1.1 b\r\n", "550|5.1.1|a b|mixed;"},
    {"250 \x01\x1b[0m\x7f\r\n", "250||??[0m?;"},
    {"250 gr\xc3\xbc\xc3\x9f\r\n", "250||gr\xc3\xbc\xc3\x9f;"},
    {"250 \xc3\r\n", "250||?;"},
    {"250 \xc2\x85\r\n", "250||?;"},
    {"199 no\r\n", "BAD"},
    {"600 no\r\n", "BAD"},
    {"25 no\r\n", "BAD"},
    {"2500 no\r\n", "BAD"},
    {"\r\n", "BAD"},
    {"250 ok\r\n\r\n", "250||ok;BAD"},
    {" 250 ok\r\n", "BAD"},
    {"HTTP/1.1 400 Bad Request\r\n", "BAD"},
    {"250-one\r\nfoo\r\n", "BAD"},
    {"-250\r\n", "BAD"},
    {"2a0 x\r\n", "BAD"},
};

static void test_every_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice bytes = slice_cstr(rows[i].bytes);
        for (size_t cut = 0; cut <= bytes.len; cut++) {
            struct buf got = BUF_EMPTY;
            render(bytes, cut, &got);
            if (!slice_eq(buf_slice(&got), slice_cstr(rows[i].replies))) {
                fail_msg("row %zu cut at %zu: '%.*s', not '%s'", i, cut, (int)got.len, got.ptr,
                         rows[i].replies);
            }
            buf_fini(&got);
        }
    }
}

static void test_nul_is_text(void **state)
{
    struct buf got = BUF_EMPTY;

    (void)state;
    render(SLICE("250 a\0b\r\n"), 3, &got);
    assert_true(slice_eq(buf_slice(&got), SLICE("250||a?b;")));
    buf_fini(&got);
}

/* A reply of `lines` lines with `len` bytes of text each. */
static struct buf many(size_t lines, size_t len)
{
    struct buf b = BUF_EMPTY;

    for (size_t i = 1; i <= lines; i++) {
        buf_puts(&b, i < lines ? SLICE("250-") : SLICE("250 "));
        for (size_t n = 0; n < len; n++) {
            buf_putc(&b, 'x');
        }
        BUF_LIT(&b, "\r\n");
    }
    return b;
}

static enum smtp_parse parse(const struct buf *bytes, size_t step)
{
    struct smtp_reply_parser p;
    struct smtp_reply reply;
    enum smtp_parse status = SMTP_PARSE_MORE;

    smtp_reply_init(&p);
    for (size_t at = 0; at < bytes->len && status == SMTP_PARSE_MORE; at += step) {
        size_t len = bytes->len - at < step ? bytes->len - at : step;
        struct slice in = slice_of(bytes->ptr + at, len);
        status = smtp_reply_next(&p, &in, &reply);
        assert_true(p.line.cap <= 4096 && p.text.cap <= 8192);
        if (status == SMTP_PARSE_DONE) {
            assert_true(reply.text.len <= SMTP_REPLY_BYTES_MAX);
        }
    }
    smtp_reply_fini(&p);
    return status;
}

static void test_limits(void **state)
{
    static const struct {
        size_t lines, len;
        enum smtp_parse status;
    } limits[] = {
        {1, SMTP_REPLY_LINE_MAX - 4, SMTP_PARSE_DONE},
        {1, SMTP_REPLY_LINE_MAX - 3, SMTP_PARSE_BAD},
        {SMTP_REPLY_LINES_MAX, 10, SMTP_PARSE_DONE},
        {SMTP_REPLY_LINES_MAX + 1, 10, SMTP_PARSE_BAD},
        {40, 1600, SMTP_PARSE_DONE},
        {41, 1600, SMTP_PARSE_BAD},
    };
    static const size_t steps[] = {1, 7, 1000, 1000000};

    (void)state;
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct buf bytes = many(limits[i].lines, limits[i].len);
        for (size_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++) {
            assert_int_equal(parse(&bytes, steps[s]), limits[i].status);
        }
        buf_fini(&bytes);
    }
}

/* A line that never ends is given up before it has eaten memory. */
static void test_endless_line(void **state)
{
    struct smtp_reply_parser p;
    struct smtp_reply reply;
    size_t fed = 0;

    (void)state;
    smtp_reply_init(&p);
    for (;;) {
        struct slice in = SLICE("250 and on and on and on and on ");
        if (smtp_reply_next(&p, &in, &reply) == SMTP_PARSE_BAD) {
            break;
        }
        fed += 32;
        assert_true(fed <= SMTP_REPLY_LINE_MAX + 32);
    }
    struct slice good = SLICE("250 ok\r\n");
    assert_int_equal(smtp_reply_next(&p, &good, &reply), SMTP_PARSE_BAD);
    smtp_reply_fini(&p);
}

static void test_print_is_bounded(void **state)
{
    struct buf text = BUF_EMPTY, out = BUF_EMPTY;
    struct smtp_reply reply = {.code = 250};

    (void)state;
    BUF_LIT(&out, "before:");
    for (int i = 0; i < 400; i++) {
        BUF_LIT(&text, "\xc3\xbc\xe2\x82\xac"); /* two and three bytes */
    }
    reply.text = buf_slice(&text);
    smtp_reply_print(&reply, &out);
    assert_true(out.len <= 7 + SMTP_TEXT_MAX && out.len > 7 + SMTP_TEXT_MAX - 3);
    assert_int_equal((unsigned char)out.ptr[out.len - 1] & 0x80, 0x80);
    buf_fini(&text);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_cut),        cmocka_unit_test(test_nul_is_text),
        cmocka_unit_test(test_limits),           cmocka_unit_test(test_endless_line),
        cmocka_unit_test(test_print_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
