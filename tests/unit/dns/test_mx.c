/*
 * test_mx.c - plans from scripted answers: no resolver, no clock.
 */
#include "tests/unit/dns/packets.h"

#include "engine/dns/mx.h"

#include <arpa/inet.h>
#include <stdio.h>

enum { SCRIPT_MAX = 12, NOW_US = 1000000 };

/* "10 mx1 20 mx2", "192.0.2.1 192.0.2.2"; or what stands for no records. */
struct line {
    const char *name;
    enum dns_type type;
    const char *data; /* NULL: NODATA; "!": SERVFAIL; "-": NXDOMAIN */
};

static struct dns_answer *answer_from(const struct line *l, uint32_t ttl_s)
{
    struct buf packet = BUF_EMPTY;
    struct slice rest = slice_cstr(l->data), word, host;
    struct dns_answer *a;
    bool failed = slice_eq(rest, SLICE("!")), none = slice_eq(rest, SLICE("-"));

    pk_begin(&packet, 1, failed ? 2 : none ? 3 : 0, true, l->name, l->type);
    while (l->data != NULL && !failed && !none && slice_next(&rest, ' ', &word)) {
        char text[64];
        char address[16];

        snprintf(text, sizeof(text), SLICE_FMT, SLICE_ARG(word));
        if (l->type == DNS_MX) {
            assert_true(slice_next(&rest, ' ', &host));
            char host_text[300];

            snprintf(host_text, sizeof(host_text), SLICE_FMT, SLICE_ARG(host));
            pk_mx(&packet, l->name, ttl_s, (unsigned)atol(text),
                  strcmp(host_text, ".") == 0 ? "" : host_text);
        } else {
            assert_int_equal(inet_pton(l->type == DNS_A ? AF_INET : AF_INET6, text, address), 1);
            pk_record(&packet, PK_ANSWER, l->name, l->type, ttl_s,
                      slice_of(address, l->type == DNS_A ? 4 : 16));
        }
    }
    a = pk_parse(&packet, l->name, l->type);
    buf_fini(&packet);
    return a;
}

static struct dns_answer *script_answer(const struct line *script, const struct mx_question *q)
{
    for (size_t i = 0; script != NULL && i < SCRIPT_MAX && script[i].name != NULL; i++) {
        if (slice_eq(q->name, slice_cstr(script[i].name)) && q->type == script[i].type) {
            return answer_from(&script[i], 300);
        }
    }
    return dns_answer_new(DNS_NODATA, q->type, q->name, SLICE_NONE);
}

/* Answers come last question first, to show that order does not matter. */
static struct mx_plan *run(const char *domain, const struct line *script,
                           const struct mx_options *options)
{
    static const struct mx_options usual;
    struct mx_build *b = mx_build_new(slice_cstr(domain), options != NULL ? options : &usual);
    struct mx_question q[128];
    struct mx_plan *plan;
    size_t count;

    do {
        count = 0;
        while (mx_build_ask(b, &q[count])) {
            assert_true(++count < 128);
        }
        for (size_t i = count; i-- > 0;) {
            struct dns_answer *a = script_answer(script, &q[i]);

            assert_false(mx_build_done(b));
            mx_build_answer(b, q[i].id, a, a->status == DNS_TEMPFAIL ? 30 : 300);
            dns_answer_unref(a);
        }
    } while (count > 0);
    assert_true(mx_build_done(b));
    plan = mx_build_plan(b, NOW_US);
    mx_build_free(b);
    return plan;
}

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
     "5.1.2",
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
     MX_NO_DOMAIN,
     "5.1.2",
     "",
     "invalid"},
    {"IPv4 with the tag",
     "[IPv6:192.0.2.1]",
     {{NULL, 0, NULL}},
     {0},
     MX_NO_DOMAIN,
     "5.1.2",
     "",
     "invalid"},
    {"a literal that is none",
     "[mail.example]",
     {{NULL, 0, NULL}},
     {0},
     MX_NO_DOMAIN,
     "5.1.2",
     "",
     "invalid"},
    {"an empty literal", "[]", {{NULL, 0, NULL}}, {0}, MX_NO_DOMAIN, "5.1.2", "", "invalid"},
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
    {"no domain", "", {{NULL, 0, NULL}}, {0}, MX_NO_DOMAIN, "5.1.2", "", "invalid"},
    {"no domain name", "exa mple", {{NULL, 0, NULL}}, {0}, MX_NO_DOMAIN, "5.1.2", "", "invalid"},
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

/* ---- the order of trial ---- */

static void test_order_by_preference(void **state)
{
    struct mx_plan *p = run(
        "example.com",
        (struct line[SCRIPT_MAX]){{"example.com", DNS_MX, "10 a.example 10 b.example 20 c.example"},
                                  {"a.example", DNS_A, "192.0.2.1"},
                                  {"b.example", DNS_A, "192.0.2.2"},
                                  {"c.example", DNS_A, "192.0.2.3"}},
        NULL);
    struct mx_candidate c[8];
    size_t first_a = 0;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 3);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(mx_plan_order(p, &rng, false, c, 8), 3);
        assert_int_equal(c[2].host->preference, 20);
        assert_ptr_not_equal(c[0].host, c[1].host);
        first_a += slice_eq(c[0].host->name, SLICE("a.example"));
    }
    assert_in_range(first_a, 430, 570); /* equal ones share the load */
    mx_plan_unref(p);
}

static void test_order_families(void **state)
{
    struct mx_plan *p =
        run("example.com",
            (struct line[SCRIPT_MAX]){
                {"example.com", DNS_A, "192.0.2.1 192.0.2.2"},
                {"example.com", DNS_AAAA, "2001:db8::1 2001:db8::2 2001:db8::3 2001:db8::4"}},
            NULL);
    static const struct {
        bool prefer_v6;
        size_t max;
        const char *order;
    } cases[] = {
        {false, 8, "464666"}, {true, 8, "646466"}, {false, 4, "4646"}, {false, 3, "464"},
        {true, 3, "644"},     {false, 1, "4"},     {true, 2, "64"},    {false, 0, ""},
    };
    struct mx_candidate c[8];
    struct rng rng;

    (void)state;
    rng_seed(&rng, 3);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t count = mx_plan_order(p, &rng, cases[i].prefer_v6, c, cases[i].max);
        char order[9] = "";

        for (size_t j = 0; j < count; j++) {
            order[j] = c[j].address->bytes_count == 4 ? '4' : '6';
        }
        assert_string_equal(order, cases[i].order);
    }
    mx_plan_unref(p);
}

/* A first host with nothing but IPv6 does not use up the places of the others' IPv4. */
static void test_order_shares_room(void **state)
{
    struct mx_plan *p =
        run("example.com",
            (struct line[SCRIPT_MAX]){
                {"example.com", DNS_MX, "10 a.example 20 b.example"},
                {"a.example", DNS_AAAA, "2001:db8::1 2001:db8::2 2001:db8::3 2001:db8::4"},
                {"b.example", DNS_A, "192.0.2.1 192.0.2.2"}},
            NULL);
    struct mx_candidate c[4];
    struct rng rng;

    (void)state;
    rng_seed(&rng, 3);
    assert_int_equal(mx_plan_order(p, &rng, true, c, 4), 4);
    assert_int_equal(c[1].address->bytes_count, 16);
    assert_int_equal(c[2].address->bytes_count, 4);
    assert_int_equal(c[3].address->bytes_count, 4);
    mx_plan_unref(p);
}

static void test_order_of_nothing(void **state)
{
    struct mx_plan *p =
        run("no.example", (struct line[SCRIPT_MAX]){{"no.example", DNS_MX, "-"}}, NULL);
    struct mx_candidate c[4];
    struct rng rng;

    (void)state;
    rng_seed(&rng, 3);
    assert_int_equal(mx_plan_order(p, &rng, true, c, 4), 0);
    mx_plan_unref(p);
}

static void test_sockaddr(void **state)
{
    struct sockaddr_storage storage;
    struct mx_address a;

    (void)state;
    assert_int_equal(mx_address_parse(SLICE("192.0.2.1"), &a), 0);
    assert_int_equal(mx_address_sockaddr(&a, 25, &storage), sizeof(struct sockaddr_in));
    assert_int_equal(((struct sockaddr_in *)&storage)->sin_port, htons(25));
    assert_int_equal(mx_address_parse(SLICE("2001:db8::1"), &a), 0);
    assert_int_equal(mx_address_sockaddr(&a, 25, &storage), sizeof(struct sockaddr_in6));
    assert_int_equal(mx_address_parse(SLICE("192.0.2"), &a), ERR_INVALID);
    assert_int_equal(mx_address_parse(SLICE(""), &a), ERR_INVALID);
    assert_int_equal(mx_address_parse(SLICE("192.0.2.1\0"), &a), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_details),
        cmocka_unit_test(test_secure),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_long_site_key_is_stable),
        cmocka_unit_test(test_order_by_preference),
        cmocka_unit_test(test_order_families),
        cmocka_unit_test(test_order_shares_room),
        cmocka_unit_test(test_order_of_nothing),
        cmocka_unit_test(test_sockaddr),
    };

    return cmocka_run_group_tests_name("dns/mx", tests, NULL, NULL);
}
