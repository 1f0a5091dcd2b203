/*
 * test_letter_rules.c - what is refused and why, options, and copies of letters.
 */
#include "tests/unit/message/rows.h"

#include "engine/base/mem.h"

static void test_refused(void **state)
{
    static const struct {
        const char *in;
        size_t len; /* 0: strlen */
        const char *says;
    } rows[] = {
        {"", 0, "line 1: the letter is empty"},
        {FROM "\r\na\0b", sizeof(FROM "\r\na\0b") - 1, "line 5: a NUL byte"},
        {"Subject: x\r\n\r\n", 0, "no From"},
        {"Hello\r\n\r\n", 0, "line 1: not a header field"},
        {FROM "no colon here\r\n\r\n", 0, "line 4: not a header field"},
        {FROM ".dot: x\r\n\r\n", 0, "line 4: a header field's name begins with a dot"},
        {FROM "\xc3\xa4: x\r\n\r\n", 0, "line 4: not a header field"},
        {FROM "From: b@c.d\r\n\r\n", 0, "line 4: a second From"},
        {FROM "Subject: a\r\nSubject: b\r\n\r\n", 0, "line 5: a second Subject"},
        {"From: nobody\r\n\r\n", 0, "line 1: From: \"nobody\" is not an address: there is no @"},
        {"From:\r\n\r\n", 0, "line 1: From: it is empty"},
        {FROM "Subject: \xff\r\n\r\n", 0, "line 4: Subject: the field is not UTF-8"},
        {FROM "Message-Id: <\xc3\xa4@b>\r\n\r\n", 0, "a second Message-ID"},
        {FROM "References: <\xc3\xa4@b>\r\n\r\n", 0,
         "line 4: References: the field may hold ASCII"},
        {FROM "Subject: {{a\r\n\r\n", 0, "line 4: Subject: \"{{\" is never closed"},
        {FROM "Subject: {{{a}}}\r\n\r\n", 0, "line 4: Subject: {{{...}}} works in text"},
        {FROM "To: friends: {{a}};\r\n\r\n", 0, "line 4: To: groups"},
        {FROM "To: \"{{a}} <b@c.d>\r\n\r\n", 0, "line 4: To: a quote is left open"},
        {FROM "Content-Type: text/plain; name={{a}}\r\n\r\n", 0,
         "line 4: Content-Type: placeholders"},
        {FROM "\r\nA\r\nB {{#x}}\r\nC", 0,
         "line 6: the section of x is never closed; write {{/x}}"},
        {FROM "\r\nA\r\nB {{/x}}\r\nC", 0, "line 6: {{/x}} closes a section that was not opened"},
        {FROM "\r\n{{#a}}{{/b}}", 0, "line 5: {{/b}} where {{/a}}"},
        {FROM "\r\n\r\n{{a}\r\n", 0, "line 6: \"{{\" is never closed"},
        {FROM "\r\n{{> part}}", 0, "line 5: \"{{> part}}\" is not a placeholder"},
        {FROM "\r\n{{}}", 0, "is not a placeholder"},
        {FROM "\r\n{{.}}", 0, "is not a placeholder"},
        {FROM "Content-Transfer-Encoding: quoted-printable\r\n\r\nA=\r\nB=\r\n{{#x}}\r\n", 0,
         "line 8: the section of x"},
        {FROM "Content-Type: text/plain; charset=iso-8859-1\r\n\r\n{{a}}", 0,
         "line 4: placeholders need"},
        {FROM "\r\nZo\xeb", 0, "line 5: 8-bit text without a charset"},
        {FROM "Content-Type: multipart/mixed\r\n\r\n", 0, "line 4: a multipart without"},
        {FROM "Content-Type: multipart/mixed; boundary=b\r\n\r\nx", 0, "begins no part"},
        {FROM "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: bas"
              "e64\r\n\r\n--b\r\n",
         0, "line 5: a multipart must not be encoded"},
    };
    struct buf out = BUF_EMPTY;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t len = rows[i].len > 0 ? rows[i].len : strlen(rows[i].in);
        int err = render(rows[i].in, len, NULL, NULL, &out);
        buf_terminate(&out);
        if (err != ERR_INVALID || strstr(out.ptr, rows[i].says) == NULL) {
            fail_msg("row %zu: err %d, says \"%s\", wanted \"%s\"", i, err, out.ptr, rows[i].says);
        }
    }
    buf_fini(&out);
}

static void test_limits(void **state)
{
    struct letter_options options = {.bytes_max = 100};
    struct buf in = BUF_EMPTY;
    struct buf out = BUF_EMPTY;

    (void)state;
    buf_puts(&in, slice_cstr(FROM "\r\n"));
    for (int i = 0; i < 100; i++) {
        buf_putc(&in, 'x');
    }
    assert_int_equal(render(in.ptr, in.len, &options, NULL, &out), ERR_LIMIT);
    for (int i = 0; i < 300; i++) {
        buf_printf(&in, "{{n%d}}", i);
    }
    assert_int_equal(render(in.ptr, in.len, NULL, NULL, &out), ERR_LIMIT);
    in.len = 0;
    buf_puts(&in, slice_cstr(FROM "\r\n"));
    for (int i = 0; i < 20; i++) {
        buf_puts(&in, slice_cstr("{{#a}}"));
    }
    assert_int_equal(render(in.ptr, in.len, NULL, NULL, &out), ERR_LIMIT);
    in.len = 0; /* nested deeper than anybody does */
    buf_puts(&in, slice_cstr(FROM));
    for (int i = 0; i < 30; i++) {
        buf_printf(&in, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i);
    }
    assert_int_equal(render(in.ptr, in.len, NULL, NULL, &out), ERR_LIMIT);
    in.len = 0; /* a letter that grows beyond measure for one recipient */
    buf_puts(&in, slice_cstr(FROM "\r\n"));
    for (int i = 0; i < 19000; i++) {
        buf_puts(&in, slice_cstr("{{a}}"));
    }
    char *big = mem_alloc(2001);
    memset(big, 'z', 2000);
    big[2000] = '\0';
    const struct pair values[] = {{"a", big}, {NULL, NULL}};
    assert_int_equal(render(in.ptr, in.len, NULL, values, &out), ERR_LIMIT);
    mem_free(big);
    buf_fini(&in);
    buf_fini(&out);
}

static void test_options(void **state)
{
    static const char text[] = FROM
        "Subject: {{a}} {{b|x}}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n\r\nthe letter of Zo\xc3\xab\r\n";
    struct letter_options strict = {.strict = true};
    struct letter_options literal = {.literal = true};
    struct letter_options seven = {.literal = true, .seven_bit = true};
    const struct pair empty[] = {{"a", ""}, {NULL, NULL}};
    struct buf out = BUF_EMPTY;

    (void)state;
    assert_int_equal(render(text, sizeof(text) - 1, &strict, NULL, &out), ERR_INVALID);
    buf_terminate(&out);
    assert_non_null(strstr(out.ptr, "{{a}} has no value"));
    assert_int_equal(render(text, sizeof(text) - 1, &strict, empty, &out), 0);
    assert_int_equal(render(text, sizeof(text) - 1, &literal, NULL, &out), 0);
    assert_true(slice_eq(buf_slice(&out), slice_of(text, sizeof(text) - 1)));
    assert_int_equal(render(text, sizeof(text) - 1, &seven, NULL, &out), 0);
    buf_terminate(&out);
    assert_non_null(strstr(out.ptr, "quoted-printable\r\n\r\nthe letter of Zo=C3=AB\r\n"));
    buf_fini(&out);
}

static void test_questions(void **state)
{
    static const char fixed[] =
        "From: A <a@Sub.Example>\r\nDate: d\r\nMessage-ID: <1@e>\r\n\r\nHi\r\n";
    static const char personal[] =
        "From: {{f}}\r\nTo: {{n}} <{{to}}>\r\nSubject: {{s|x}}\r\n\r\n{{n}}\r\n"
        "{{#only}}{{/only}}";
    struct letter *letter;

    (void)state;
    assert_int_equal(letter_compile(slice_cstr(fixed), NULL, &letter, NULL), 0);
    assert_false(letter_is_personal(letter));
    assert_true(letter_body_is_fixed(letter));
    assert_false(letter_needs_8bit(letter));
    assert_true(slice_eq(letter_from(letter), SLICE("a@Sub.Example")));
    assert_true(slice_eq(letter_from_domain(letter), SLICE("Sub.Example")));
    assert_int_equal(letter_name_count(letter), 0);
    assert_true(letter_memory(letter) > sizeof(fixed));
    letter_unref(letter);

    assert_int_equal(letter_compile(slice_cstr(personal), NULL, &letter, NULL), 0);
    assert_true(letter_is_personal(letter));
    assert_false(letter_body_is_fixed(letter));
    assert_int_equal(letter_from(letter).len, 0);
    static const struct {
        const char *name;
        bool required;
    } names[] = {{"n", true}, {"only", false}, {"f", true}, {"s", false}};
    assert_int_equal(letter_name_count(letter), 4);
    for (size_t i = 0; i < 4; i++) {
        assert_true(slice_eq(letter_name(letter, i), slice_cstr(names[i].name)));
        assert_int_equal(letter_name_is_required(letter, i), names[i].required);
    }
    letter_unref(letter);
    letter_unref(NULL);
}

static void test_render_errors(void **state)
{
    static const struct {
        const char *in;
        const char *name, *value, *says;
    } rows[] = {
        {FROM "To: <{{a}}>\r\n\r\n", "a", "not one", "To: \"not one\" is not an address"},
        {FROM "To: <{{a}}>\r\n\r\n", "a", "a@b.cd\r\nBcc: x@y.z", "is not an address"},
        {FROM "To: <{{a}}>\r\n\r\n", "a", "a@b.cd>, <e@f.gh", "is not an address"},
        {FROM "To: <{{a}}>\r\n\r\n", "a", "z\xc3\xb6@b.cd", "is not ASCII"},
        {"From: <{{a}}>\r\n\r\n", "a", "", "From: \"\" is not an address"},
    };
    struct buf out = BUF_EMPTY;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct pair values[] = {{rows[i].name, rows[i].value}, {NULL, NULL}};
        int err = render(rows[i].in, strlen(rows[i].in), NULL, values, &out);
        buf_terminate(&out);
        if (err != ERR_INVALID || strstr(out.ptr, rows[i].says) == NULL) {
            fail_msg("row %zu: err %d, says \"%s\"", i, err, out.ptr);
        }
    }
    char uri[2001];
    memset(uri, 'u', 2000);
    uri[2000] = '\0';
    const struct pair values[] = {{"a", uri}, {NULL, NULL}};
    static const char list[] = FROM "List-Unsubscribe: <https://{{a}}>\r\n\r\n";
    assert_int_equal(render(list, sizeof(list) - 1, NULL, values, &out), ERR_LIMIT);
    buf_fini(&out);
}

/* Copies share the letter's bytes, live as long as they need to, and take fields in front. */
static void test_copies(void **state)
{
    static const char text[] =
        "From: a@b.cd\r\nDate: d\r\nMessage-ID: <1@e>\r\nSubject: "
        "a subject that is long enough for the header not to be copied, and "
        "so is the rest of it, which goes on and on and on and on and on and "
        "on and on and on and on and on and on and on and\r\n on and on and on and on "
        "and on and on and on and on and on\r\n\r\n.Hi\r\n";
    struct letter_values values = {.id = SLICE("1")};
    struct letter_copy a, b;
    struct letter *letter;
    struct buf raw = BUF_EMPTY;

    (void)state;
    assert_int_equal(letter_compile(slice_cstr(text), NULL, &letter, NULL), 0);
    letter_copy_init(&a);
    letter_copy_init(&b);
    assert_int_equal(letter_render(letter, &values, &a, NULL), 0);
    assert_int_equal(letter_render(letter, &values, &b, NULL), 0);
    assert_ptr_equal(a.raw.iov[0].iov_base, b.raw.iov[0].iov_base);
    assert_int_equal(a.own.len, 0);
    letter_unref(letter); /* the copies keep it */
    assert_int_equal(letter_render(a.letter, &values, &a, NULL), 0);
    letter_copy_prepend(&a, SLICE("B: 2\r\n"));
    letter_copy_prepend(&a, SLICE("A: 1\r\n"));
    assert_null(copy_fault(&a));
    flatten(&raw, &a.raw);
    assert_memory_equal(raw.ptr, "A: 1\r\nB: 2\r\nFrom: a@b.cd\r\n", 26);
    assert_int_equal(raw.len, sizeof(text) - 1 + 12);
    assert_int_equal(a.raw.head_len, b.raw.head_len + 12);
    assert_true(slice_eq(a.from_domain, SLICE("b.cd")));
    assert_null(copy_fault(&b)); /* not touched by it */
    letter_copy_fini(&b);
    letter_copy_fini(&a);
    buf_fini(&raw);
}

/* The same job gives the same bytes: Date and Message-ID come from what it is given. */
static void test_stable(void **state)
{
    static const char text[] = "From: a@b.cd\r\n\r\nHi\r\n";
    struct letter_values values = {
        .id = SLICE("x<>..\r\n@.7"), .id_domain = SLICE("mta.example"), .date_us = 1};
    struct letter_copy copy;
    struct letter *letter;
    struct buf first = BUF_EMPTY;
    struct buf second = BUF_EMPTY;

    (void)state;
    assert_int_equal(letter_compile(slice_cstr(text), NULL, &letter, NULL), 0);
    letter_copy_init(&copy);
    assert_int_equal(letter_render(letter, &values, &copy, NULL), 0);
    flatten(&first, &copy.raw);
    assert_int_equal(letter_render(letter, &values, &copy, NULL), 0);
    flatten(&second, &copy.raw);
    assert_true(slice_eq(buf_slice(&first), buf_slice(&second)));
    buf_terminate(&first);
    assert_non_null(strstr(first.ptr, "Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n"));
    assert_non_null(strstr(first.ptr, "Message-ID: <x--.----.7@mta.example>\r\n"));
    letter_copy_fini(&copy);
    letter_unref(letter);
    buf_fini(&first);
    buf_fini(&second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),       cmocka_unit_test(test_limits),
        cmocka_unit_test(test_options),       cmocka_unit_test(test_questions),
        cmocka_unit_test(test_render_errors), cmocka_unit_test(test_copies),
        cmocka_unit_test(test_stable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
