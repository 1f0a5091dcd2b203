/*
 * test_letter.c - letters go in, the bytes for the wire come out.
 */
#include "tests/unit/message/rows.h"

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
         .in = FROM "MIME-Version: 1.0\r\nContent-Type: text/plain; CHARSET=us-ascii; format=flo"
                    "wed\r\n\r\n{{a}}",
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
         .in = FROM "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\nth"
                    "e letter of Zo\xeb\r\n",
         .out = MADE("Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: "
                     "quoted-printable\r\n\r\nthe letter of Zo=EB\r\n")},
        {.what = "attachments are not merged",
         .in = FROM "MIME-Version: 1.0\r\nContent-Type: text/csv\r\nContent-Disposition: attachm"
                    "ent; filename=a\r\n\r\n{{a}},b\r\n",
         .out = MADE("Content-Type: text/csv\r\nContent-Disposition: attachment; filename=a\r"
                     "\n\r\n{{a}},b\r\n")},
        {.what = "nor are signed parts",
         .in = FROM "MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n--b"
                    "\r\n\r\n{{a}}\r\n--b--\r\n",
         .out = MADE(
             "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n{{a}}\r\n--b--\r\n")},
        {.what = "multipart",
         .in = FROM
         "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"a b\"\r\n\r\nfore\r\n"
         "--a b\r\n\r\n.one\r\n--a b  \r\nContent-Type: text/html; charset=utf-8\r\n"
         "\r\n<p>{{x}}\r\n--a b--\r\nafter",
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
         .in = FROM "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r"
                    "\n--b\r\n\r\n--b\r\nX: y\r\n\r\n--b--\r\n",
         .out = MADE("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n--b\r\n\r\n--b"
                     "\r\nX: y\r\n\r\n--b--\r\n")},
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),      cmocka_unit_test(test_headers),
        cmocka_unit_test(test_parts),      cmocka_unit_test(test_recoding),
        cmocka_unit_test(test_long_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
