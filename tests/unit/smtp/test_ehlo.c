/*
 * test_ehlo.c - what a server offers is read leniently, and nothing else is.
 */
#include "engine/smtp/ehlo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum {
    PIPELINING = SMTP_EXT_PIPELINING,
    SIZE = SMTP_EXT_SIZE,
    AUTH = SMTP_EXT_AUTH,
    LIMITS = SMTP_EXT_LIMITS,
    PLAIN = SMTP_AUTH_PLAIN,
    LOGIN = SMTP_AUTH_LOGIN
};

static void test_lines(void **state)
{
    static const struct {
        const char *text;
        struct smtp_ehlo e;
    } rows[] = {
        {"", {0}},
        {"mx.example.com", {0}},
        /* The first line is the name, even when it looks like a keyword. */
        {"PIPELINING", {0}},
        {"mx\nPIPELINING", {.ext = PIPELINING}},
        {"mx\npipelining", {.ext = PIPELINING}},
        {"mx\n  Pipelining  ", {.ext = PIPELINING}},
        {"mx\nPIPELININGS\nXPIPELINING\nPIPE", {0}},
        {"mx\n\n\n", {0}},
        {"mx\nCHUNKING\nBINARYMIME", {.ext = SMTP_EXT_CHUNKING | SMTP_EXT_BINARYMIME}},
        {"mx\n8BITMIME\nSMTPUTF8", {.ext = SMTP_EXT_8BITMIME | SMTP_EXT_SMTPUTF8}},
        {"mx\nENHANCEDSTATUSCODES", {.ext = SMTP_EXT_ENHANCEDSTATUSCODES}},
        {"mx\nSTARTTLS\nREQUIRETLS", {.ext = SMTP_EXT_STARTTLS | SMTP_EXT_REQUIRETLS}},
        {"mx\nDSN", {.ext = SMTP_EXT_DSN}},
        {"mx\nSIZE", {.ext = SIZE}},
        {"mx\nSIZE 0", {.ext = SIZE}},
        {"mx\nSIZE 52428800", {.ext = SIZE, .size_max = 52428800}},
        {"mx\nsize\t1000 extra", {.ext = SIZE, .size_max = 1000}},
        {"mx\nSIZE 10MB", {.ext = SIZE, .malformed = 1}},
        {"mx\nSIZE -1", {.ext = SIZE, .malformed = 1}},
        {"mx\nSIZE 99999999999999999999", {.ext = SIZE, .malformed = 1}},
        {"mx\nAUTH", {.ext = AUTH}},
        {"mx\nAUTH PLAIN LOGIN", {.ext = AUTH, .auth = PLAIN | LOGIN}},
        {"mx\nAUTH=LOGIN PLAIN", {.ext = AUTH, .auth = PLAIN | LOGIN}},
        {"mx\nauth=login", {.ext = AUTH, .auth = LOGIN}},
        {"mx\nAUTH CRAM-MD5 plain GSSAPI", {.ext = AUTH, .auth = PLAIN}},
        {"mx\nAUTH PLAIN-CLIENTTOKEN XLOGIN", {.ext = AUTH}},
        {"mx\nLIMITS RCPTMAX=100 MAILMAX=5 RCPTDOMAINMAX=1",
         {.ext = LIMITS, .rcpt_max = 100, .mail_max = 5, .rcpt_domain_max = 1}},
        {"mx\nLIMITS rcptmax=7 FOO=1", {.ext = LIMITS, .rcpt_max = 7}},
        {"mx\nLIMITS RCPTMAX=0 MAILMAX= RCPTDOMAINMAX=x", {.ext = LIMITS, .malformed = 3}},
        {"mx\nLIMITS RCPTMAX", {.ext = LIMITS, .malformed = 1}},
        {"mx\nLIMITS RCPTMAX=4294967296", {.ext = LIMITS, .malformed = 1}},
        {"mx\nXFOO\nDELIVERBY\nMT-PRIORITY STANAG4406\nHELP", {0}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct smtp_ehlo got, e = rows[i].e;
        smtp_ehlo_parse(&got, slice_cstr(rows[i].text), 0);
        if (got.ext != e.ext || got.auth != e.auth || got.size_max != e.size_max ||
            got.mail_max != e.mail_max || got.rcpt_max != e.rcpt_max ||
            got.rcpt_domain_max != e.rcpt_domain_max || got.malformed != e.malformed) {
            fail_msg("row %zu: ext 0x%x auth 0x%x size %lu malformed %u", i, got.ext, got.auth,
                     (unsigned long)got.size_max, got.malformed);
        }
    }
}

static void test_ignored(void **state)
{
    struct smtp_ehlo got;

    (void)state;
    smtp_ehlo_parse(&got, SLICE("mx\nPIPELINING\nSIZE 10\nAUTH=PLAIN\nLIMITS RCPTMAX=1"),
                    SIZE | AUTH | LIMITS);
    assert_int_equal(got.ext, PIPELINING);
    assert_int_equal(got.size_max, 0);
    assert_int_equal(got.auth, 0);
    assert_int_equal(got.rcpt_max, 0);
}

static void test_name(void **state)
{
    (void)state;
    assert_true(
        slice_eq(smtp_ehlo_name(SLICE("mx.example.com ESMTP Postfix")), SLICE("mx.example.com")));
    assert_true(slice_eq(smtp_ehlo_name(SLICE(" mx \nfoo")), SLICE("mx")));
    assert_int_equal(smtp_ehlo_name(SLICE("")).len, 0);
    assert_int_equal(smtp_ehlo_name(SLICE("\nmx")).len, 0);
}

static void test_names_of_extensions(void **state)
{
    (void)state;
    assert_int_equal(smtp_ext_by_name(SLICE("8bitmime")), SMTP_EXT_8BITMIME);
    assert_int_equal(smtp_ext_by_name(SLICE("nothing")), 0);
    assert_int_equal(smtp_ext_by_name(SLICE_NONE), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_ignored),
        cmocka_unit_test(test_name),
        cmocka_unit_test(test_names_of_extensions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
