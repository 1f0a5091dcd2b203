/*
 * test_site.c - one match wins, and limits merge key by key with their origins.
 */
#include "conf/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static struct conf *load(const char *text)
{
    struct conf_problems problems;
    struct conf *conf = conf_load_bytes("t.yaml", slice_cstr(text), "host.example", &problems);

    if (conf == NULL) {
        fail_msg("%u: %s", problems.items[0].line, problems.items[0].text);
    }
    conf_problems_fini(&problems);
    return conf;
}

static const char sites[] =
    "limits:\n"
    "  exact: {match: {domains: [mail.example.com]}}\n"
    "  below: {match: {domains: [\"*.example.com\"]}}\n"
    "  deeper: {match: {domains: [\"*.eu.example.com\"]}}\n"
    "  google: {match: {domains: [gmail.com], mx: [\"*.google.com\", \"*.googlemail.com\"]}}\n"
    "  alt: {match: {mx: [\"*.alt.google.com\"]}}\n"
    "  host: {match: {mx: [mx1.google.com]}}\n"
    "  long: {match: {mx: [a-very-long-host-name.example.net]}}\n";

static void test_one_match_wins(void **state)
{
    static const struct {
        const char *domain, *mx[3], *site;
    } rows[] = {
        {"mail.example.com", {NULL}, "exact"},
        {"MAIL.Example.COM", {NULL}, "exact"},
        {"mail.example.com.", {NULL}, "exact"},
        {"x.example.com", {NULL}, "below"},
        {"a.b.example.com", {NULL}, "below"},
        {"example.com", {NULL}, NULL}, /* "*." means below */
        {"xexample.com", {NULL}, NULL},
        {"x.eu.example.com", {NULL}, "deeper"}, /* the longer suffix */
        {"eu.example.com", {NULL}, "below"},
        {"gmail.com", {"mx1.google.com"}, "google"}, /* the domain beats the host */
        {"x.example.com", {"mx1.google.com"}, "below"},
        {"other.org", {"mx2.google.com"}, "google"},
        {"other.org", {"MX2.google.com."}, "google"},
        {"other.org", {"mx1.google.com"}, "host"},
        {"other.org", {"mx2.google.com", "mx1.google.com"}, "host"}, /* exact beats suffix */
        {"other.org", {"x.alt.google.com"}, "alt"},
        {"other.org", {"mx.google.com", "x.alt.google.com"}, "alt"}, /* the longest */
        {"other.org", {"mx1.google.com", "a-very-long-host-name.example.net"}, "long"},
        {"other.org", {"mx.other.org", "x.googlemail.com"}, "google"},
        {"other.org", {"google.com"}, NULL},
        {"other.org", {"mx.other.org"}, NULL},
        {"other.org", {NULL}, NULL},
        {"", {NULL}, NULL},
        {"...", {".", ""}, NULL},
    };
    struct conf *conf = load(sites);

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice mx[3];
        struct conf_site_facts facts = {.domain = slice_cstr(rows[i].domain), .mx = mx};
        while (facts.mx_count < 3 && rows[i].mx[facts.mx_count] != NULL) {
            mx[facts.mx_count] = slice_cstr(rows[i].mx[facts.mx_count]);
            facts.mx_count++;
        }
        const struct conf_site *site = conf_site_for(conf, &facts);
        const char *name = site != NULL ? site->name : NULL;
        if ((name == NULL) != (rows[i].site == NULL) ||
            (name != NULL && strcmp(name, rows[i].site) != 0)) {
            fail_msg("row %zu, %s: %s instead of %s", i, rows[i].domain, name, rows[i].site);
        }
    }
    /* Longer than any name can be. */
    char text[1000];
    memset(text, 'a', sizeof(text));
    const struct conf_site_facts facts = {.domain = slice_of(text, sizeof(text))};
    assert_null(conf_site_for(conf, &facts));
    assert_string_equal(conf_site_find(conf, SLICE("google"))->name, "google");
    assert_null(conf_site_find(conf, SLICE("nobody")));
    conf_unref(conf);
}

static void test_merge(void **state)
{
    struct conf *conf = load("sources: {a: , b: }\n"
                             "limits:\n"
                             "  default:\n"
                             "    connections: 7\n"
                             "    total: {connections: 50, rate: 9/s}\n"
                             "  g:\n"
                             "    match: {domains: [gmail.com]}\n"
                             "    rate: 500/s\n"
                             "    connections_per_host: 3\n"
                             "    total: {rate: unlimited}\n"
                             "    sources:\n"
                             "      b: {rate: 10/m burst 2, pipeline: \"off\"}\n"
                             "  h: {match: {domains: [h.com]}, connections: unlimited}\n");
    const struct conf_site *g = conf_site_find(conf, SLICE("g"));
    const struct conf_site *h = conf_site_find(conf, SLICE("h"));
    const struct conf_source *a = conf_source_find(conf, SLICE("a"));
    const struct conf_source *b = conf_source_find(conf, SLICE("b"));
    const struct limits *of_a = conf_limits_for(conf, g, a), *of_b = conf_limits_for(conf, g, b);

    (void)state;
    assert_int_equal(of_a->connections, 7);
    assert_string_equal(of_a->origin[LIMIT_CONNECTIONS], "limits.default.connections, t.yaml:4");
    assert_int_equal(of_a->rate.count, 500);
    assert_string_equal(of_a->origin[LIMIT_RATE], "limits.g.rate, t.yaml:8");
    assert_int_equal(of_a->connections_per_host, 3);
    assert_int_equal(of_a->messages_per_connection, 100);
    assert_string_equal(of_a->origin[LIMIT_MESSAGES_PER_CONNECTION],
                        "limits.default.messages_per_connection, built in");

    assert_int_equal(of_b->rate.count, 10);
    assert_int_equal(of_b->rate.burst, 2);
    assert_string_equal(of_b->origin[LIMIT_RATE], "limits.g.sources.b.rate, t.yaml:12");
    assert_int_equal(of_b->pipeline, LIMIT_PIPELINE_OFF);
    assert_int_equal(of_b->connections_per_host, 3);
    assert_int_equal(of_b->connections, 7);

    const struct limits *total = conf_limits_total(conf, g);
    assert_int_equal(total->connections, 50);
    assert_int_equal(total->rate.count, 0); /* "unlimited" overrides the default's */
    assert_string_equal(total->origin[LIMIT_RATE], "limits.g.total.rate, t.yaml:10");

    assert_int_equal(conf_limits_for(conf, h, a)->connections, 0);
    assert_int_equal(conf_limits_for(conf, NULL, a)->connections, 7);
    assert_int_equal(conf_limits_total(conf, NULL)->rate.count, 9);
    conf_unref(conf);
}

/* A thousand sites with a hundred patterns each load and answer at once. */
static void test_many_sites(void **state)
{
    struct buf text = BUF_EMPTY;

    (void)state;
    BUF_LIT(&text, "limits:\n");
    for (int i = 0; i < 1000; i++) {
        buf_printf(&text, "  s%d: {match: {domains: [", i);
        for (int k = 0; k < 100; k++) {
            buf_printf(&text, "%sd%d.s%d.example", k > 0 ? ", " : "", k, i);
        }
        BUF_LIT(&text, "]}}\n");
    }
    buf_terminate(&text);
    struct conf *conf = load(text.ptr);
    for (int i = 0; i < 1000; i++) {
        char domain[64], name[16];
        snprintf(domain, sizeof(domain), "d%d.s%d.example", i % 100, i);
        snprintf(name, sizeof(name), "s%d", i);
        const struct conf_site_facts facts = {.domain = slice_cstr(domain)};
        assert_string_equal(conf_site_for(conf, &facts)->name, name);
    }
    conf_unref(conf);
    buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_match_wins),
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_many_sites),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
