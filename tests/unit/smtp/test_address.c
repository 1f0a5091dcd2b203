/*
 * test_address.c - which addresses may stand in MAIL and RCPT, and which never.
 */
#include "engine/base/err.h"
#include "engine/smtp/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#define A8  "aaaaaaaa"
#define A64 A8 A8 A8 A8 A8 A8 A8 A8
#define L63 "aaaaaaa" A8 A8 A8 A8 A8 A8 A8

static void test_valid(void **state)
{
    static const struct {
        const char *text;
        const char *local;
        const char *domain; /* lower case */
        enum smtp_domain_kind kind;
        bool quoted, utf8_local, utf8_domain;
    } rows[] = {
        {"a@b", "a", "b", 0, 0, 0, 0},
        {"anna@example.com", "anna", "example.com", 0, 0, 0, 0},
        {"Anna@Example.COM", "Anna", "example.com", 0, 0, 0, 0},
        {"a.b.c@example.com", "a.b.c", "example.com", 0, 0, 0, 0},
        {"a+tag@example.com", "a+tag", "example.com", 0, 0, 0, 0},
        {"!#$%&'*+-/=?^_`{|}~@example.com", "!#$%&'*+-/=?^_`{|}~", "example.com", 0, 0, 0, 0},
        {"0@1.example", "0", "1.example", 0, 0, 0, 0},
        {"a@xn--bcher-kva.example", "a", "xn--bcher-kva.example", 0, 0, 0, 0},
        {"a@a-b.c--d.example", "a", "a-b.c--d.example", 0, 0, 0, 0},
        {"a@my_host.example", "a", "my_host.example", 0, 0, 0, 0},
        {"a@3com.com", "a", "3com.com", 0, 0, 0, 0},
        {A64 "@example.com", A64, "example.com", 0, 0, 0, 0},
        {"a@" L63 ".example", "a", L63 ".example", 0, 0, 0, 0},
        {"\"a b\"@example.com", "\"a b\"", "example.com", 0, 1, 0, 0},
        {"\"\"@example.com", "\"\"", "example.com", 0, 1, 0, 0},
        {"\"a@b\"@example.com", "\"a@b\"", "example.com", 0, 1, 0, 0},
        {"\"a\\\"b\\\\\"@example.com", "\"a\\\"b\\\\\"", "example.com", 0, 1, 0, 0},
        {"\"..\"@example.com", "\"..\"", "example.com", 0, 1, 0, 0},
        {"\"<>\"@example.com", "\"<>\"", "example.com", 0, 1, 0, 0},
        {"a@[192.0.2.1]", "a", "[192.0.2.1]", SMTP_DOMAIN_IPV4, 0, 0, 0},
        {"a@[IPv6:2001:db8::1]", "a", "[ipv6:2001:db8::1]", SMTP_DOMAIN_IPV6, 0, 0, 0},
        {"a@[ipv6:::]", "a", "[ipv6:::]", SMTP_DOMAIN_IPV6, 0, 0, 0},
        {"a@[IPv6:::ffff:192.0.2.1]", "a", "[ipv6:::ffff:192.0.2.1]", SMTP_DOMAIN_IPV6, 0, 0, 0},
        {"gr\xc3\xbc\xc3\x9f@example.com", "gr\xc3\xbc\xc3\x9f", "example.com", 0, 0, 1, 0},
        {"a@b\xc3\xbc"
         "cher.example",
         "a",
         "b\xc3\xbc"
         "cher.example",
         0, 0, 0, 1},
        {"\xe7\x94\xa8\xe6\x88\xb7@\xe4\xbe\x8b.example", "\xe7\x94\xa8\xe6\x88\xb7",
         "\xe4\xbe\x8b.example", 0, 0, 1, 1},
        {"\"\xc3\xbc x\"@example.com", "\"\xc3\xbc x\"", "example.com", 0, 1, 1, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct smtp_address a;
        char domain[SMTP_DOMAIN_MAX + 1];
        const char *why = "";
        if (smtp_address_parse(slice_cstr(rows[i].text), &a, &why) != 0) {
            fail_msg("%s: %s", rows[i].text, why);
        }
        struct slice lower = smtp_address_domain(&a, domain);
        if (!slice_eq(a.local, slice_cstr(rows[i].local)) || a.kind != rows[i].kind ||
            !slice_eq(lower, slice_cstr(rows[i].domain)) || strlen(domain) != lower.len ||
            a.quoted != rows[i].quoted || a.utf8_local != rows[i].utf8_local ||
            a.utf8_domain != rows[i].utf8_domain) {
            fail_msg("%s: read as '%.*s' at '%s'", rows[i].text, (int)a.local.len, a.local.ptr,
                     domain);
        }
    }
}

static void test_invalid(void **state)
{
    static const struct {
        struct slice text;
        int err;
        const char *why; /* a part of the phrase */
    } rows[] = {
        {{"", 0}, ERR_INVALID, "empty"},
        {SLICE("anna"), ERR_INVALID, "no @"},
        {SLICE("@example.com"), ERR_INVALID, "before the @"},
        {SLICE("anna@"), ERR_INVALID, "domain is missing"},
        {SLICE("an na@example.com"), ERR_INVALID, "character before the @"},
        {SLICE("anna@exam ple.com"), ERR_INVALID, "domain has a character"},
        {SLICE(" anna@example.com"), ERR_INVALID, "character before the @"},
        {SLICE("anna@example.com "), ERR_INVALID, "domain has a character"},
        {SLICE("<anna@example.com>"), ERR_INVALID, "character before the @"},
        {SLICE("Anna <anna@example.com>"), ERR_INVALID, "character"},
        {SLICE("a@b@example.com"), ERR_INVALID, "character before the @"},
        {SLICE(".a@example.com"), ERR_INVALID, "dots"},
        {SLICE("a.@example.com"), ERR_INVALID, "dots"},
        {SLICE("a..b@example.com"), ERR_INVALID, "dots"},
        {SLICE("a(b)@example.com"), ERR_INVALID, "character"},
        {SLICE("a,b@example.com"), ERR_INVALID, "character"},
        {SLICE("a\r\n@example.com"), ERR_INVALID, "character"},
        {SLICE("a\r\nRCPT TO:<x@y>@example.com"), ERR_INVALID, "character"},
        {SLICE("a@example.com\r\nDATA"), ERR_INVALID, "character"},
        {SLICE("a\0b@example.com"), ERR_INVALID, "character"},
        {SLICE("a@exa\0mple.com"), ERR_INVALID, "character"},
        {SLICE("a\x7f@example.com"), ERR_INVALID, "character"},
        {SLICE("\"a@example.com"), ERR_INVALID, "not closed"},
        {SLICE("\"@example.com"), ERR_INVALID, "not closed"},
        {SLICE("\"a\"b\"@example.com"), ERR_INVALID, "backslash"},
        {SLICE("\"a\\\"@example.com"), ERR_INVALID, "not allowed"},
        {SLICE("\"a\rb\"@example.com"), ERR_INVALID, "not allowed"},
        {SLICE("\"a\\\nb\"@example.com"), ERR_INVALID, "not allowed"},
        {SLICE("\"a\\\xc3\xbc\"@example.com"), ERR_INVALID, "not allowed"},
        {SLICE("\"a\"x@example.com"), ERR_INVALID, "not closed"},
        {SLICE(A64 "a@example.com"), ERR_LIMIT, "64"},
        {SLICE("a@" L63 "a.example"), ERR_INVALID, "63"},
        {SLICE("a@.example.com"), ERR_INVALID, "dots"},
        {SLICE("a@example.com."), ERR_INVALID, "dot"},
        {SLICE("a@example..com"), ERR_INVALID, "dots"},
        {SLICE("a@-example.com"), ERR_INVALID, "hyphen"},
        {SLICE("a@example-.com"), ERR_INVALID, "hyphen"},
        {SLICE("a@exa!mple.com"), ERR_INVALID, "character"},
        {SLICE("a@192.0.2.1"), ERR_INVALID, "brackets"},
        {SLICE("a@2130706433"), ERR_INVALID, "brackets"},
        {SLICE("a@[192.0.2.1"), ERR_INVALID, "not closed"},
        {SLICE("a@["), ERR_INVALID, "not closed"},
        {SLICE("a@[]"), ERR_INVALID, "literal"},
        {SLICE("a@[192.0.2]"), ERR_INVALID, "literal"},
        {SLICE("a@[192.0.2.256]"), ERR_INVALID, "literal"},
        {SLICE("a@[2001:db8::1]"), ERR_INVALID, "literal"},
        {SLICE("a@[IPv6:]"), ERR_INVALID, "literal"},
        {SLICE("a@[IPv6:1:2:3]"), ERR_INVALID, "literal"},
        {SLICE("a@[IPv6:2001:db8::1%eth0]"), ERR_INVALID, "literal"},
        {SLICE("a@[192.0.2.1\0]"), ERR_INVALID, "literal"},
        {SLICE("a@[tag:anything]"), ERR_INVALID, "literal"},
        {SLICE("\xc3@example.com"), ERR_INVALID, "UTF-8"},
        {SLICE("\xc0\xaf@example.com"), ERR_INVALID, "UTF-8"},
        {SLICE("a\xc2\x85@example.com"), ERR_INVALID, "UTF-8"},
        {SLICE("a\xe2\x80\xa8@example.com"), ERR_INVALID, "UTF-8"},
        {SLICE("a@\xff.example"), ERR_INVALID, "character"},
        {SLICE("a@" A64 ".example"), ERR_INVALID, "63"},
        {SLICE("aaaaaaaaaa@" L63 "." L63 "." L63 "." L63), ERR_LIMIT, "254"},
        {SLICE("a@" L63 "." L63 "." L63 "." L63 ".a"), ERR_LIMIT, "255"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct smtp_address a;
        const char *why = "nothing";
        int err = smtp_address_parse(rows[i].text, &a, &why);
        if (err != rows[i].err || strstr(why, rows[i].why) == NULL) {
            fail_msg("%.*s: %s: %s", (int)rows[i].text.len, rows[i].text.ptr, err_name(err), why);
        }
        assert_int_equal(smtp_address_parse(rows[i].text, &a, NULL), rows[i].err);
    }
}

static void test_literal_bytes(void **state)
{
    static const uint8_t four[] = {192, 0, 2, 1};
    static const uint8_t six[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
    struct smtp_address a;

    (void)state;
    assert_int_equal(smtp_domain_parse(SLICE("[192.0.2.1]"), &a, NULL), 0);
    assert_memory_equal(a.ip, four, 4);
    assert_int_equal(smtp_domain_parse(SLICE("[IPv6:2001:db8::1]"), &a, NULL), 0);
    assert_memory_equal(a.ip, six, 16);
    assert_int_equal(smtp_domain_parse(SLICE("example.com"), &a, NULL), 0);
    assert_int_equal(smtp_domain_parse(SLICE("a@b"), &a, NULL), ERR_INVALID);
}

/* Every single byte in every position of an ordinary address: control characters, spaces and
 * line ends never pass, whatever stands around them. */
static void test_no_control_passes(void **state)
{
    static const char *const shapes[] = {"ab@cd.ef", "\"ab\"@cd.ef", "ab@[192.0.2.1]"};

    (void)state;
    for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++) {
        size_t len = strlen(shapes[s]);
        for (size_t at = 0; at < len; at++) {
            for (int c = 0; c < 256; c++) {
                char text[32];
                struct smtp_address a;
                memcpy(text, shapes[s], len);
                text[at] = (char)c;
                bool passes = smtp_address_parse(slice_of(text, len), &a, NULL) == 0;
                bool control = c < ' ' || c == 0x7f || c >= 0x80; /* alone no UTF-8 */
                if (passes && control) {
                    fail_msg("byte %d passes at %zu of %s", c, at, shapes[s]);
                }
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid),
        cmocka_unit_test(test_invalid),
        cmocka_unit_test(test_literal_bytes),
        cmocka_unit_test(test_no_control_passes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
