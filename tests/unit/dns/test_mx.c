/*
 * test_mx.c - plans from scripted answers: no resolver, no clock.
 */
#include "tests/unit/dns/script.h"

/* "10 mx1: 192.0.2.1 192.0.2.2; 20 mx2: 192.0.2.3" */
static void plan_text(const struct mx_plan *p, struct buf *out)
{
    char text[46];

    for (size_t i = 0; i < p->host_count; i++) {
        const struct mx_host *h = &p->host[i];

        buf_printf(out, "%s%u " SLICE_FMT ":", i > 0 ? "; " : "", h->preference,
                   SLICE_ARG(h->name));
        for (size_t j = 0; j < h->address_count; j++) {
            buf_printf(out, " " SLICE_FMT,
                       SLICE_ARG(mx_address_text(&p->address[h->address_first + j], text)));
        }
    }
}

static const struct slice self_names[] = {{"me.example", 10}};

struct row {
    const char *label;
    const char *domain;
    struct line script[SCRIPT_MAX];
    struct mx_options options;
    enum mx_verdict verdict;
    const char *enhanced;
    const char *plan; /* NULL: not looked at */
    const char *site;
};

static const struct row rows[] = {
    {"two hosts",
     "Example.COM",
     {{"example.com", DNS_MX, "20 b.example 10 a.example"},
      {"a.example", DNS_A, "192.0.2.1 192.0.2.2"},
      {"b.example", DNS_A, "192.0.2.3"},
      {"b.example", DNS_AAAA, "2001:db8::3"}},
     {0},
     MX_OK,
     "",
     "10 a.example: 192.0.2.1 192.0.2.2; 20 b.example: 192.0.2.3 2001:db8::3",
     "a.example,b.example"},
    {"the site key does not know preferences",
     "example.com",
     {{"example.com", DNS_MX, "5 b.example 10 a.example"}, {"b.example", DNS_A, "192.0.2.1"}},
     {0},
     MX_OK,
     "",
     "5 b.example: 192.0.2.1; 10 a.example:",
     "a.example,b.example"},
    {"implicit MX",
     "example.com",
     {{"example.com", DNS_A, "192.0.2.1"}},
     {0},
     MX_OK,
     "",
     "0 example.com: 192.0.2.1",
     "example.com"},
    {"implicit MX, IPv6 alone",
     "example.com",
     {{"example.com", DNS_AAAA, "2001:db8::1"}},
     {0},
     MX_OK,
     "",
     "0 example.com: 2001:db8::1",
     "example.com"},
    {"neither MX nor address",
     "example.com",
     {{NULL, 0, NULL}},
     {0},
     MX_NO_HOST,
     "5.4.4",
     NULL,
     "example.com"},
    {"null MX, and no address is asked for",
     "example.com",
     {{"example.com", DNS_MX, "0 ."}, {"example.com", DNS_A, "192.0.2.1"}},
     {0},
     MX_NULL,
     "5.1.10",
     "",
     "example.com"},
    {"a null MX beside others is passed over",
     "example.com",
     {{"example.com", DNS_MX, "0 . 10 a.example"}, {"a.example", DNS_A, "192.0.2.1"}},
     {0},
     MX_OK,
     "",
     "10 a.example: 192.0.2.1",
     "a.example"},
    {"no such domain",
     "no.example",
     {{"no.example", DNS_MX, "-"}},
     {0},
     MX_NO_DOMAIN,
     "5.4.4",
     "",
     "no.example"},
    {"a failed MX lookup is never taken for no MX",
     "example.com",
     {{"example.com", DNS_MX, "!"}, {"example.com", DNS_A, "192.0.2.1"}},
     {0},
     MX_TEMPORARY,
     "4.4.3",
     "",
     "example.com"},
    {"MX targets without addresses never fall back to the domain",
     "example.com",
     {{"example.com", DNS_MX, "10 a.example"},
      {"a.example", DNS_A, "-"},
      {"example.com", DNS_A, "192.0.2.1"}},
     {0},
     MX_NO_HOST,
     "5.4.4",
     "10 a.example:",
     "a.example"},
    {"the same, deferred when configured",
     "example.com",
     {{"example.com", DNS_MX, "10 a.example"}},
     {.defer_no_address = true},
     MX_NO_HOST,
     "4.4.4",
     "10 a.example:",
     "a.example"},
    {"no target resolves and one failed",
     "example.com",
     {{"example.com", DNS_MX, "10 a.example 20 b.example"}, {"b.example", DNS_AAAA, "!"}},
     {0},
     MX_TEMPORARY,
     "4.4.3",
     NULL,
     "a.example,b.example"},
    {"one failed, another resolves",
     "example.com",
     {{"example.com", DNS_MX, "10 a.example 20 b.example"},
      {"a.example", DNS_A, "!"},
      {"b.example", DNS_A, "192.0.2.2"}},
     {0},
     MX_OK,
     "",
     "10 a.example:; 20 b.example: 192.0.2.2",
     "a.example,b.example"},
    {"we are the backup: everything from us on is cut",
     "example.com",
     {{"example.com", DNS_MX, "10 a.example 20 me.example 20 b.example 30 c.example"},
      {"a.example", DNS_A, "192.0.2.1"},
      {"b.example", DNS_A, "192.0.2.2"},
      {"c.example", DNS_A, "192.0.2.3"}},
     {.self = self_names, .self_count = 1},
     MX_OK,
     "",
     "10 a.example: 192.0.2.1",
     "a.example,b.example,c.example,me.example"},
    {"we are the best MX",
     "example.com",
     {{"example.com", DNS_MX, "10 ME.example 20 b.example"}, {"b.example", DNS_A, "192.0.2.2"}},
     {.self = self_names, .self_count = 1},
     MX_LOOP,
     "5.4.6",
     "",
     "b.example,me.example"},
    {"we are the domain, without MX",
     "me.example",
     {{"me.example", DNS_A, "192.0.2.2"}},
     {.self = self_names, .self_count = 1},
     MX_LOOP,
     "5.4.6",
     "",
     "me.example"},
    {"loopback targets",
     "example.com",
     {{"example.com", DNS_MX, "10 a.example"},
      {"a.example", DNS_A, "127.0.0.1 0.0.0.0 127.9.9.9"},
      {"a.example", DNS_AAAA, "::1 :: ::ffff:127.0.0.1"}},
     {0},
     MX_FORBIDDEN,
     "5.4.4",
     "10 a.example:",
     "a.example"},
    {"loopback targets beside a real one",
     "example.com",
     {{"example.com", DNS_MX, "10 a.example"}, {"a.example", DNS_A, "127.0.0.1 192.0.2.1"}},
     {0},
     MX_OK,
     "",
     "10 a.example: 192.0.2.1",
     "a.example"},
    {"loopback allowed",
     "example.com",
     {{"example.com", DNS_MX, "10 a.example"}, {"a.example", DNS_A, "127.0.0.1"}},
     {.allow_loopback = true},
     MX_OK,
     "",
     "10 a.example: 127.0.0.1",
     "a.example"},
    {"IPv4 only",
     "example.com",
     {{"example.com", DNS_MX, "10 a.example"},
      {"a.example", DNS_A, "192.0.2.1"},
      {"a.example", DNS_AAAA, "2001:db8::1"}},
     {.family = MX_V4_ONLY},
     MX_OK,
     "",
     "10 a.example: 192.0.2.1",
     "a.example"},
    {"IPv6 only, and there is none",
     "example.com",
     {{"example.com", DNS_MX, "10 a.example"}, {"a.example", DNS_A, "192.0.2.1"}},
     {.family = MX_V6_ONLY},
     MX_NO_HOST,
     "5.4.4",
     "10 a.example:",
     "a.example"},
    {"the same host twice counts once, at its best",
     "example.com",
     {{"example.com", DNS_MX, "30 a.example 10 a.example"}, {"a.example", DNS_A, "192.0.2.1"}},
     {0},
     MX_OK,
     "",
     "10 a.example: 192.0.2.1",
     "a.example"},
    {"literal",
     "[192.0.2.7]",
     {{NULL, 0, NULL}},
     {0},
     MX_OK,
     "",
     "0 192.0.2.7: 192.0.2.7",
     "192.0.2.7"},
    {"IPv6 literal",
     "[ipv6:2001:DB8::7]",
     {{NULL, 0, NULL}},
     {0},
     MX_OK,
     "",
     "0 2001:db8::7: 2001:db8::7",
     "2001-db8--7"},
    {"IPv6 without its tag",
     "[2001:db8::7]",
     {{NULL, 0, NULL}},
     {0},
     MX_BAD_NAME,
     "5.1.2",
     "",
     "invalid"},
    {"IPv4 with the tag",
     "[IPv6:192.0.2.1]",
     {{NULL, 0, NULL}},
     {0},
     MX_BAD_NAME,
     "5.1.2",
     "",
     "invalid"},
    {"a literal that is none",
     "[mail.example]",
     {{NULL, 0, NULL}},
     {0},
     MX_BAD_NAME,
     "5.1.2",
     "",
     "invalid"},
    {"an empty literal", "[]", {{NULL, 0, NULL}}, {0}, MX_BAD_NAME, "5.1.2", "", "invalid"},
    {"loopback literal",
     "[127.0.0.1]",
     {{NULL, 0, NULL}},
     {0},
     MX_FORBIDDEN,
     "5.4.4",
     "",
     "127.0.0.1"},
    {"literals refused",
     "[192.0.2.7]",
     {{NULL, 0, NULL}},
     {.refuse_literals = true},
     MX_FORBIDDEN,
     "5.4.4",
     "",
     "192.0.2.7"},
    {"no domain", "", {{NULL, 0, NULL}}, {0}, MX_BAD_NAME, "5.1.2", "", "invalid"},
    {"no domain name", "exa mple", {{NULL, 0, NULL}}, {0}, MX_BAD_NAME, "5.1.2", "", "invalid"},
    {"U-labels",
     "b\xc3\xbc"
     "cher.example",
     {{"xn--bcher-kva.example", DNS_A, "192.0.2.1"}},
     {0},
     MX_OK,
     "",
     "0 xn--bcher-kva.example: 192.0.2.1",
     "xn--bcher-kva.example"},
};

static void check_row(const struct row *r)
{
    struct mx_plan *p = run(r->domain, r->script, &r->options);
    struct buf text = BUF_EMPTY;
    bool ok = p->verdict == r->verdict && strcmp(p->enhanced, r->enhanced) == 0;

    plan_text(p, &text);
    if (!ok || !slice_eq(p->site, slice_cstr(r->site)) ||
        (r->plan != NULL && !slice_eq(buf_slice(&text), slice_cstr(r->plan)))) {
        fail_msg("%s: %s %s, plan '" SLICE_FMT "', site '" SLICE_FMT "'", r->label,
                 mx_verdict_name(p->verdict), p->enhanced, SLICE_ARG(buf_slice(&text)),
                 SLICE_ARG(p->site));
    }
    assert_int_equal(p->permanent, r->enhanced[0] == '5');
    assert_int_equal(p->text.len > 0, r->verdict != MX_OK);
    assert_int_equal(p->expires_us, NOW_US + (int64_t)p->ttl_s * 1000000);
    assert_true(p->ttl_s >= 30 && p->ttl_s <= 3600);
    buf_fini(&text);
    mx_plan_unref(p);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        check_row(&rows[i]);
    }
}

static void test_details(void **state)
{
    struct mx_plan *p;

    (void)state;
    p = run("example.com", (struct line[SCRIPT_MAX]){{"example.com", DNS_MX, "0 ."}}, NULL);
    assert_slice(p->text, "example.com takes no mail (null MX)");
    mx_plan_unref(p);
    p = run("example.com", (struct line[SCRIPT_MAX]){{"example.com", DNS_MX, "!"}}, NULL);
    assert_slice(p->text, "MX lookup of example.com failed: SERVFAIL");
    assert_int_equal(p->ttl_s, 30);
    mx_plan_unref(p);
    p = run("example.com", (struct line[SCRIPT_MAX]){{"example.com", DNS_A, "192.0.2.1"}}, NULL);
    assert_true(p->implicit);
    assert_false(p->literal);
    mx_plan_unref(p);
    p = run("[192.0.2.1]", NULL, NULL);
    assert_true(p->literal);
    assert_false(p->secure);
    mx_plan_unref(p);
}

/* Secure: the MX and every address answer of that host were validated. */
static void test_secure(void **state)
{
    struct mx_plan *p =
        run("example.com",
            (struct line[SCRIPT_MAX]){{"example.com", DNS_MX, "10 a.example 20 b.example"},
                                      {"a.example", DNS_A, "192.0.2.1"},
                                      {"a.example", DNS_AAAA, NULL},
                                      {"b.example", DNS_A, "192.0.2.2"}},
            NULL);

    (void)state;
    assert_true(p->secure);
    assert_true(p->host[0].secure);
    assert_false(p->host[1].secure); /* its AAAA answer was not */
    mx_plan_unref(p);
}

static void test_limits(void **state)
{
    struct buf mx = BUF_EMPTY, v4 = BUF_EMPTY, v6 = BUF_EMPTY;
    struct line script[SCRIPT_MAX] = {{"example.com", DNS_MX, NULL},
                                      {"h100.example", DNS_A, NULL},
                                      {"h100.example", DNS_AAAA, NULL}};
    struct mx_plan *p;

    (void)state;
    for (unsigned i = 0; i < 80; i++) {
        buf_printf(&mx, "%s%u h%u.example", i > 0 ? " " : "", 100 + i, 100 + i);
    }
    for (unsigned i = 1; i <= 15; i++) {
        buf_printf(&v4, "%s192.0.2.%u", i > 1 ? " " : "", i);
        buf_printf(&v6, "%s2001:db8::%u", i > 1 ? " " : "", i);
    }
    buf_terminate(&mx);
    buf_terminate(&v4);
    buf_terminate(&v6);
    script[0].data = mx.ptr;
    script[1].data = v4.ptr;
    script[2].data = v6.ptr;
    p = run("example.com", script, NULL);
    assert_int_equal(p->host_count, MX_HOSTS_MAX);
    assert_int_equal(p->address_count, MX_HOST_ADDRESSES_MAX);
    assert_int_equal(p->address[0].bytes_count, 4);
    assert_int_equal(p->address[4].bytes_count, 4);
    assert_int_equal(p->address[5].bytes_count, 16); /* half each */
    assert_int_equal(p->site.len, strlen("h100.example,") + 32);
    mx_plan_unref(p);

    /* Few of one family leave their room to the other. */
    script[2].data = "2001:db8::1 2001:db8::2";
    p = run("example.com", script, NULL);
    assert_int_equal(p->address_count, MX_HOST_ADDRESSES_MAX);
    assert_int_equal(p->address[7].bytes_count, 4);
    assert_int_equal(p->address[8].bytes_count, 16);
    mx_plan_unref(p);
    buf_fini(&mx);
    buf_fini(&v4);
    buf_fini(&v6);
}

/* The digest is the same in every process and for every order of the records. */
static void test_long_site_key_is_stable(void **state)
{
    static const char *const orders[] = {
        "1 alpha.outbound.protection.mail-security.example 2 bravo.outbound.protection.mail-"
        "security.example 3 charlie.outbound.protection.mail-security.example",
        "1 charlie.outbound.protection.mail-security.example 1 bravo.outbound.protection.mail-"
        "security.example 3 alpha.outbound.protection.mail-security.example"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct mx_plan *p =
            run("example.com", (struct line[SCRIPT_MAX]){{"example.com", DNS_MX, orders[i]}}, NULL);

        assert_slice(p->site, "alpha.outbound.protection.mail-security.example,"
                              "7041f803bdf3dbfa7ecd2098b766c3cb");
        mx_plan_unref(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_details),
        cmocka_unit_test(test_secure),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_long_site_key_is_stable),
    };

    return cmocka_run_group_tests_name("dns/mx", tests, NULL, NULL);
}
