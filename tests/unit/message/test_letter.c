/*
 * test_letter.c - letters go in, the bytes for the wire come out.
 */
#include "letters.h"

#include "engine/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>

#define FROM "From: a@example.org\r\nDate: d\r\nMessage-ID: <1@example.org>\r\n"

struct pair {
    const char *name, *value;
};

/* Compiles and renders; the result (raw) in *out, or the error text.  Returns the error. */
static int render(const char *text, size_t len, const struct letter_options *options,
                  const struct pair *pairs, struct buf *out)
{
    struct letter_value value[16];
    struct letter_values values = {.to = SLICE("anna@example.com"),
                                   .id = SLICE("01jx.1"),
                                   .campaign = SLICE("spring"),
                                   .date_us = INT64_C(1767225600000000),
                                   .item = value};
    struct letter *letter = NULL;
    struct letter_copy copy;

    for (; pairs != NULL && pairs[values.item_count].name != NULL; values.item_count++) {
        size_t i = values.item_count;
        value[i] = (struct letter_value){slice_cstr(pairs[i].name), slice_cstr(pairs[i].value)};
    }
    out->len = 0;
    int err = letter_compile(slice_of(text, len), options, &letter, out);
    if (err != 0) {
        assert_null(letter);
        return err;
    }
    letter_copy_init(&copy);
    err = letter_render(letter, &values, &copy, out);
    if (err == 0) {
        const char *fault = copy_fault(&copy);
        flatten(out, &copy.raw);
        if (fault != NULL) {
            fail_msg("%s in:\n%.*s", fault, (int)out->len, out->ptr);
        }
    }
    letter_copy_fini(&copy);
    letter_unref(letter);
    return err;
}

struct row {
    const char *what;
    const char *in;
    const char *out;
    struct pair values[4];
};

static void check_rows(const struct row *rows, size_t count)
{
    struct buf out = BUF_EMPTY;

    for (size_t i = 0; i < count; i++) {
        int err = render(rows[i].in, strlen(rows[i].in), NULL, rows[i].values, &out);
        if (err != 0 || !slice_eq(buf_slice(&out), slice_cstr(rows[i].out))) {
            fail_msg("%s: err %d\ngot:\n%.*s\nwanted:\n%s", rows[i].what, err, (int)out.len,
                     out.ptr, rows[i].out);
        }
    }
    buf_fini(&out);
}

#define CHECK(rows) check_rows((rows), sizeof(rows) / sizeof((rows)[0]))

static void test_bytes(void **state)
{
    static const struct row rows[] = {
        {.what = "untouched", .in = FROM "\r\nHello\r\n", .out = FROM "\r\nHello\r\n"},
        {.what = "LF",
         .in = "From: a@example.org\nDate: d\nMessage-ID: <1@example.org>\n\nA\nB\n",
         .out = FROM "\r\nA\r\nB\r\n"},
        {.what = "CR",
         .in = "From: a@example.org\rDate: d\rMessage-ID: <1@example.org>\r\rA\rB",
         .out = FROM "\r\nA\r\nB\r\n"},
        {.what = "smuggling with LF",
         .in = FROM "\r\nA\n.\nMAIL FROM:<x>\r\n",
         .out = FROM "\r\nA\r\n.\r\nMAIL FROM:<x>\r\n"},
        {.what = "smuggling with CR",
         .in = FROM "\r\nA\r.\rMAIL FROM:<x>\r\n",
         .out = FROM "\r\nA\r\n.\r\nMAIL FROM:<x>\r\n"},
        {.what = "smuggling with CR CR LF",
         .in = FROM "\r\nA\r\r\n.\r\r\nB\r\n",
         .out = FROM "\r\nA\r\n\r\n.\r\n\r\nB\r\n"},
        {.what = "smuggling with LF CR",
         .in = FROM "\r\nA\n\r.\n\rB",
         .out = FROM "\r\nA\r\n\r\n.\r\n\r\nB\r\n"},
        {.what = "dots", .in = FROM "\r\n.\r\n..\r\n.a\r\n", .out = FROM "\r\n.\r\n..\r\n.a\r\n"},
        {.what = "no body", .in = FROM, .out = FROM "\r\n"},
        {.what = "no line end", .in = FROM "\r\nA", .out = FROM "\r\nA\r\n"},
        {.what = "byte order mark", .in = "\xef\xbb\xbf" FROM "\r\nA\r\n", .out = FROM "\r\nA\r\n"},
        {.what = "Bcc and Return-Path go",
         .in = "Bcc: x@y.z,\r\n q@r.s\r\n" FROM
               "Return-Path: <b@c.d>\r\nresent-bcc: e@f.g\r\n\r\nA\r\n",
         .out = FROM "\r\nA\r\n"},
        {.what = "folding stays",
         .in = FROM "Subject: a\r\n\tb\r\n c\r\n\r\nA\r\n",
         .out = FROM "Subject: a\r\n\tb\r\n c\r\n\r\nA\r\n"},
        {.what = "a line of blanks in a field",
         .in = FROM "Subject: a\r\n  \r\n b\r\n\r\nA\r\n",
         .out = FROM "Subject: a   b\r\n\r\nA\r\n"},
        {.what = "blank before the colon",
         .in = FROM "Subject : a\r\n\r\nA\r\n",
         .out = FROM "Subject: a\r\n\r\nA\r\n"},
        {.what = "Date and Message-ID",
         .in = "From: <x@Example.ORG>\r\n\r\nA\r\n",
         .out = "From: <x@Example.ORG>\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n"
                "Message-ID: <01jx.1@Example.ORG>\r\n\r\nA\r\n"},
        {.what = "MIME-Version",
         .in = FROM "Content-Type: text/plain\r\n\r\nA\r\n",
         .out = FROM "Content-Type: text/plain\r\nMIME-Version: 1.0\r\n\r\nA\r\n"},
    };

    (void)state;
    CHECK(rows);
}

static void test_headers(void **state)
{
    static const struct row rows[] = {
        {.what = "8-bit subject",
         .in = FROM "Subject: Gr\xc3\xbc\xc3\x9f"
                    "e an alle\r\n\r\n",
         .out = FROM "Subject: =?utf-8?B?R3LDvMOfZQ==?= an alle\r\n\r\n"},
        {.what = "8-bit name",
         .in = "From: J\xc3\xb6rg <a@example.org>\r\nDate: d\r\nMessage-ID: <1@e>\r\n\r\n",
         .out =
             "From: =?utf-8?B?SsO2cmc=?= <a@example.org>\r\nDate: d\r\nMessage-ID: <1@e>\r\n\r\n"},
        {.what = "merged subject",
         .in = FROM "Subject: Hi {{name}}!\r\n\r\n",
         .out = FROM "Subject: Hi Anna!\r\n\r\n",
         .values = {{"name", "Anna"}}},
        {.what = "no injection",
         .in = FROM "Subject: Hi {{name}}!\r\n\r\n",
         .out = FROM "Subject: Hi A Bcc: x@y.z evil!\r\n\r\n",
         .values = {{"name", "A\r\nBcc: x@y.z\r\n\r\nevil"}}},
        {.what = "no injected encoded word",
         .in = FROM "Subject: {{name}}\r\n\r\n",
         .out = FROM "Subject: =?utf-8?B?PT91dGYtOD9RP1g/PQ==?=\r\n\r\n",
         .values = {{"name", "=?utf-8?Q?X?="}}},
        {.what = "merged name, atoms",
         .in = FROM "To: {{name}} <{{to}}>\r\n\r\n",
         .out = FROM "To: Anna Smith <anna@example.com>\r\n\r\n",
         .values = {{"name", "Anna Smith"}}},
        {.what = "merged name, quoted",
         .in = FROM "To: \"{{name}}\" <{{to}}>\r\n\r\n",
         .out = FROM "To: \"Smith, \\\"A\\\\\\\"\" <anna@example.com>\r\n\r\n",
         .values = {{"name", "Smith, \"A\\\""}}},
        {.what = "merged name, coded",
         .in = FROM "To: {{name}} <{{to}}>\r\n\r\n",
         .out = FROM "To: =?utf-8?Q?Zo=C3=AB?= <anna@example.com>\r\n\r\n",
         .values = {{"name", "Zo\xc3\xab"}}},
        {.what = "no name",
         .in = FROM "To: {{name}} <{{to}}>\r\n\r\n",
         .out = FROM "To: anna@example.com\r\n\r\n"},
        {.what = "no injected address",
         .in = FROM "To: {{name}} <{{to}}>\r\n\r\n",
         .out = FROM "To: \"x@y.z, Eve <eve@evil.example>\" <anna@example.com>\r\n\r\n",
         .values = {{"name", "x@y.z, Eve <eve@evil.example>"}}},
        {.what = "an address left out",
         .in = FROM "Cc: {{a}} , B <{{b}}>,c@d.ef\r\n\r\n",
         .out = FROM "Cc: x@y.zz, c@d.ef\r\n\r\n",
         .values = {{"a", "x@y.zz"}}},
        {.what = "a field left out", .in = FROM "Cc: {{a}}, B <{{b}}>\r\n\r\n", .out = FROM "\r\n"},
        {.what = "encoded template",
         .in = FROM "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe,_{{name?=\r\n"
                    " =?utf-8?B?fX0h?=\r\n\r\n",
         .out = FROM "Subject: =?utf-8?B?R3LDvMOfZSw=?= Anna!\r\n\r\n",
         .values = {{"name", "Anna"}}},
        {.what = "encoded name",
         .in = FROM "To: =?iso-8859-1?q?M=FCller=2C?= {{name}} <{{to}}>\r\n\r\n",
         .out = FROM "To: =?utf-8?Q?M=C3=BCller=2C_Anna?= <anna@example.com>\r\n\r\n",
         .values = {{"name", "Anna"}}},
        {.what = "other encoded words stay",
         .in = FROM "Subject: =?koi8-r?B?8NLJ18XU?=\r\n\r\n",
         .out = FROM "Subject: =?koi8-r?B?8NLJ18XU?=\r\n\r\n"},
        {.what = "in a URI",
         .in = FROM "List-Unsubscribe: <https://e.org/u?n={{name}}&i={{id}}>\r\n\r\n",
         .out = FROM "List-Unsubscribe: <https://e.org/u?n=%3E%0D%0A%2C%20%3Cx&i=01jx.1>\r\n\r\n",
         .values = {{"name", ">\r\n, <x"}}},
        {.what = "section in a field",
         .in = FROM "Subject: {{#vip}}Dear VIP, {{/vip}}news\r\n\r\n",
         .out = FROM "Subject: Dear VIP, news\r\n\r\n",
         .values = {{"vip", "1"}}},
        {.what = "made From",
         .in = "From: {{who}} <{{box}}>\r\nDate: d\r\n\r\n",
         .out = "From: Me <me@sub.example>\r\nDate: d\r\nMessage-ID: <01jx.1@sub.example>\r\n\r\n",
         .values = {{"who", "Me"}, {"box", "me@sub.example"}}},
        {.what = "braces in Content-Type are text",
         .in = FROM "Content-Type: text/plain; x=\"{{\"\r\nMIME-Version: 1.0\r\n\r\n",
         .out = FROM "Content-Type: text/plain; x=\"{{\"\r\nMIME-Version: 1.0\r\n\r\n"},
    };

    (void)state;
    CHECK(rows);
}

#define QP                                                                  \
    FROM "Content-Type: text/plain; charset=utf-8\r\nMIME-Version: 1.0\r\n" \
         "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
#define HTML                                                               \
    FROM "Content-Type: text/html; charset=utf-8\r\nMIME-Version: 1.0\r\n" \
         "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
/* our own fields stand last */
#define MADE(rest) FROM "MIME-Version: 1.0\r\n" rest

static void test_parts(void **state)
{
    static const struct row rows[] = {
        {.what = "quoted-printable",
         .in = QP "Hi {{name}},=\r\n you=21\r\n",
         .out = FROM "Content-Type: text/plain; charset=utf-8\r\nMIME-Version: 1.0\r\n"
                     "Content-Transfer-Encoding: quoted-printable\r\n\r\nHi Zo=C3=AB, you!\r\n",
         .values = {{"name", "Zo\xc3\xab"}}},
        {.what = "broken by a soft line end",
         .in = QP "Hi {{na=\r\nme}}.\r\n",
         .out = QP "Hi Bo.\r\n",
         .values = {{"name", "Bo"}}},
        {.what = "value at a line's end",
         .in = QP "{{a}}\r\nx\r\n",
         .out = QP "b=20\r\nx\r\n",
         .values = {{"a", "b "}}},
        {.what = "dot from a value",
         .in = QP "{{a}}\r\n",
         .out = QP "=2E\r\n=2E.\r\n",
         .values = {{"a", ".\n.."}}},
        {.what = "dot behind an empty value", .in = QP "{{a}}.\r\n", .out = QP "=2E\r\n"},
        {.what = "boundary from a value",
         .in = QP "{{a}}-\r\n",
         .out = QP "=2D-\r\n",
         .values = {{"a", "-"}}},
        {.what = "default", .in = QP "{{a|you & I}} {{b | }}.\r\n", .out = QP "you & I .\r\n"},
        {.what = "HTML escapes",
         .in = HTML "<b>{{a}}</b>{{{a}}}\r\n",
         .out = HTML "<b>&lt;i&gt; &amp; &quot;&#39;</b><i> & \"'\r\n",
         .values = {{"a", "<i> & \"'"}}},
        {.what = "text does not",
         .in = QP "{{a}}\r\n",
         .out = QP "<i> &\r\n",
         .values = {{"a", "<i> &"}}},
        {.what = "sections",
         .in = QP "{{#a}}A{{.}}{{#b}}B{{/b}}{{/a}}{{^b}}not B{{/b}}\r\n",
         .out = QP "A1not B\r\n",
         .values = {{"a", "1"}, {"b", "0"}}},
        {.what = "false is not there",
         .in = QP "{{#a}}A{{/a}}{{#b}}B{{/b}}{{#c}}C{{/c}}.\r\n",
         .out = QP "C.\r\n",
         .values = {{"a", "false"}, {"b", ""}, {"c", "no"}}},
        {.what = "standalone tags",
         .in = QP "a\r\n  {{#x}}  \r\nb\r\n{{/x}}\r\n{{! remark }}\r\nc\r\n",
         .out = QP "a\r\nb\r\nc\r\n",
         .values = {{"x", "y"}}},
        {.what = "not standalone",
         .in = QP "a {{#x}}\r\nb{{/x}}\r\nc\r\n",
         .out = QP "a=20\r\nb\r\nc\r\n",
         .values = {{"x", "y"}}},
        {.what = "plain braces",
         .in = QP "\\{{name}} { {x} }} {{a}}\r\n",
         .out = QP "{{name}} { {x} }} 1\r\n",
         .values = {{"a", "1"}}},
        {.what = "only plain braces", .in = QP "\\{{name}}\r\n", .out = QP "{{name}}\r\n"},
        {.what = "base64",
         .in = FROM "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\n"
                    "Content-Transfer-Encoding: base64\r\n\r\nSGkge3tuYW1lfX0sDQp5\r\nb3UhDQo=\r\n",
         .out = FROM "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\n"
                     "Content-Transfer-Encoding: base64\r\n\r\nSGkgWm/DqywNCnlvdSENCg==\r\n",
         .values = {{"name", "Zo\xc3\xab"}}},
        {.what = "plain becomes quoted-printable",
         .in = FROM "\r\nHi {{a}}\r\n",
         .out = FROM
         "Content-Type: text/plain; charset=utf-8\r\n"
         "Content-Transfer-Encoding: quoted-printable\r\nMIME-Version: 1.0\r\n\r\nHi a=3Db\r\n",
         .values = {{"a", "a=b"}}},
        {.what = "us-ascii becomes utf-8",
         .in = FROM
         "MIME-Version: 1.0\r\nContent-Type: text/plain; CHARSET=us-ascii; format=flowed\r\n\r\n{{a}}",
         .out = MADE("Content-Type: text/plain; charset=utf-8; format=flowed\r\n"
                     "Content-Transfer-Encoding: quoted-printable\r\n\r\nx\r\n"),
         .values = {{"a", "x"}}},
        {.what = "values that are not UTF-8",
         .in = QP "{{a}}{{b}}\r\n",
         .out = QP "=EF=BF=BD=EF=BF=BD\r\n",
         .values = {{"a", "\xff"}, {"b", "\xc3"}}},
        {.what = "always there",
         .in = QP "{{to}} {{id}} {{campaign}}\r\n",
         .out = QP "anna@example.com 01jx.1 spring\r\n"},
    };

    (void)state;
    CHECK(rows);
}

static void test_recoding(void **state)
{
    static const struct row rows[] = {
        {.what = "8bit stays",
         .in = FROM "Content-Type: text/plain; charset=utf-8\r\nMIME-Version: 1.0\r\n"
                    "Content-Transfer-Encoding: 8bit\r\n\r\nZo\xc3\xab\r\n",
         .out = FROM "Content-Type: text/plain; charset=utf-8\r\nMIME-Version: 1.0\r\n"
                     "Content-Transfer-Encoding: 8bit\r\n\r\nZo\xc3\xab\r\n"},
        {.what = "8-bit without saying so",
         .in = FROM "\r\nthe letter of Zo\xc3\xab\r\n",
         .out = FROM "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
                     "quoted-printable\r\nMIME-Version: 1.0\r\n\r\nthe letter of Zo=C3=AB\r\n"},
        {.what = "another charset",
         .in = FROM
         "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\nthe letter of Zo\xeb\r\n",
         .out = MADE("Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: "
                     "quoted-printable\r\n\r\nthe letter of Zo=EB\r\n")},
        {.what = "attachments are not merged",
         .in = FROM
         "MIME-Version: 1.0\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename=a\r\n\r\n{{a}},b\r\n",
         .out = MADE(
             "Content-Type: text/csv\r\nContent-Disposition: attachment; filename=a\r\n\r\n{{a}},b\r\n")},
        {.what = "nor are signed parts",
         .in = FROM
         "MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n{{a}}\r\n--b--\r\n",
         .out = MADE(
             "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n{{a}}\r\n--b--\r\n")},
        {.what = "multipart",
         .in = FROM
         "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"a b\"\r\n\r\nfore\r\n"
         "--a b\r\n\r\n.one\r\n--a b  \r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>{{x}}\r\n--a b--\r\nafter",
         .out = MADE(
             "Content-Type: multipart/mixed; boundary=\"a b\"\r\n\r\nfore\r\n"
             "--a b\r\n\r\n.one\r\n--a b  \r\nContent-Type: text/html; charset=utf-8\r\n"
             "Content-Transfer-Encoding: quoted-printable\r\n\r\n<p>&amp;\r\n--a b--\r\nafter\r\n"),
         .values = {{"x", "&"}}},
        {.what = "never closed",
         .in = FROM
         "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n",
         .out = MADE(
             "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n\r\n--b--\r\n")},
        {.what = "empty parts",
         .in = FROM
         "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n--b\r\n\r\n--b\r\nX: y\r\n\r\n--b--\r\n",
         .out = MADE(
             "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n--b\r\n\r\n--b\r\nX: y\r\n\r\n--b--\r\n")},
    };

    (void)state;
    CHECK(rows);
}

static void test_long_lines(void **state)
{
    struct buf in = BUF_EMPTY;
    struct buf out = BUF_EMPTY;

    (void)state;
    buf_puts(&in, slice_cstr(FROM "\r\n"));
    for (int i = 0; i < 3000; i++) {
        buf_putc(&in, 'x');
    }
    assert_int_equal(render(in.ptr, in.len, NULL, NULL, &out), 0); /* looks at the lines itself */
    buf_terminate(&out);
    assert_non_null(strstr(out.ptr, "quoted-printable"));
    in.len = 0;
    buf_puts(&in, slice_cstr(FROM "Subject: "));
    for (int i = 0; i < 3000; i++) {
        buf_putc(&in, i % 100 == 0 ? ' ' : 'x');
    }
    buf_puts(&in, slice_cstr("\r\nX: "));
    for (int i = 0; i < 3000; i++) {
        buf_putc(&in, 'y');
    }
    buf_puts(&in, slice_cstr("\r\n\r\n"));
    assert_int_equal(render(in.ptr, in.len, NULL, NULL, &out), 0);
    buf_fini(&in);
    buf_fini(&out);
}

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
        {FROM "\r\nA\r\nB {{#x}}\r\nC", 0, "line 6: the section of x is never closed; write {{/x}}"},
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
        {FROM
         "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: base64\r\n\r\n--b\r\n",
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
        cmocka_unit_test(test_bytes),      cmocka_unit_test(test_headers),
        cmocka_unit_test(test_parts),      cmocka_unit_test(test_recoding),
        cmocka_unit_test(test_long_lines), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_limits),     cmocka_unit_test(test_options),
        cmocka_unit_test(test_questions),  cmocka_unit_test(test_render_errors),
        cmocka_unit_test(test_copies),     cmocka_unit_test(test_stable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
