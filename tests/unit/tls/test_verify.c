/*
 * test_verify.c - level verify: what is accepted, what is refused, and the words for it.
 */
#include "tests/unit/tls/pair.h"

#include <stdio.h>
#include <unistd.h>

enum { WHOLE = 1 << 30, DAY_S = 86400 };

struct row {
    const char *label;
    const char *hosts; /* in the certificate */
    int64_t from_s, until_s;
    const char *wanted;
    enum tls_cause cause; /* TLS_CAUSE_NONE: verified */
    const char *text;     /* a part of the error */
};

static const struct row rows[] = {
    {"the name", "mx.example", 0, 0, "mx.example", TLS_CAUSE_NONE, ""},
    {"case and final dot", "MX.example", 0, 0, "mx.EXAMPLE.", TLS_CAUSE_NONE, ""},
    {"one of several", "a.example,mx.example,b.example", 0, 0, "mx.example", TLS_CAUSE_NONE, ""},
    {"wildcard", "*.example.com", 0, 0, "mx.example.com", TLS_CAUSE_NONE, ""},
    {"wildcard covers one label", "*.example.com", 0, 0, "a.b.example.com", TLS_CAUSE_CERT_HOST,
     "host name mismatch: wanted a.b.example.com, certificate has *.example.com"},
    {"no partial wildcard", "m*.example.com", 0, 0, "mx.example.com", TLS_CAUSE_CERT_HOST,
     "host name mismatch"},
    {"another name", "a.example,b.example", 0, 0, "mx.example", TLS_CAUSE_CERT_HOST,
     "host name mismatch: wanted mx.example, certificate has a.example, b.example"},
    {"many other names", "a1,a2,a3,a4,a5,a6,a7", 0, 0, "mx.example", TLS_CAUSE_CERT_HOST,
     "certificate has a1, a2, a3, a4, a5 and 2 more"},
    {"a prefix is not enough", "mx.example", 0, 0, "mx.example.net", TLS_CAUSE_CERT_HOST,
     "host name mismatch"},
    {"an address, certificate for a name", "mx.example", 0, 0, "192.0.2.1", TLS_CAUSE_CERT_HOST,
     "host name mismatch: wanted 192.0.2.1"},
    {"no name given", "mx.example", 0, 0, "", TLS_CAUSE_CERT_OTHER, "cannot be checked"},
    {"expired", "mx.example", -30 * DAY_S, -10 * DAY_S, "mx.example", TLS_CAUSE_CERT_EXPIRED,
     "certificate has expired (20"},
    {"not yet valid", "mx.example", 10 * DAY_S, 30 * DAY_S, "mx.example", TLS_CAUSE_CERT_EXPIRED,
     "certificate is not valid yet (20"},
    {"control characters are not passed on", "evil\x1b[31m\nname", 0, 0, "mx.example",
     TLS_CAUSE_CERT_HOST, "certificate has evil?[31m?name"},
};

static void expect(struct pair *p, const char *label, enum tls_cause cause, const char *text)
{
    struct tls_info info;

    if (tls_stream_cause(p->client) != cause || strstr(tls_stream_error(p->client), text) == NULL) {
        fail_msg("%s: cause %d, '%s'", label, (int)tls_stream_cause(p->client),
                 tls_stream_error(p->client));
    }
    if (cause == TLS_CAUSE_NONE) {
        assert_int_equal(tls_stream_state(p->client), TLS_OPEN);
        tls_stream_info(p->client, &info);
        assert_true(info.verified);
    } else {
        assert_int_equal(tls_stream_state(p->client), TLS_FAILED);
        /* The server is told by an alert and learns nothing else. */
        assert_int_equal(tls_stream_cause(p->server), TLS_CAUSE_ALERT);
        assert_int_equal(p->server_plain.len, 0);
    }
}

static void check_row(const struct row *r, unsigned version)
{
    struct authority a;
    struct tls_context *client, *server;
    struct pair p;

    authority_make(&a, r->hosts, r->from_s, r->until_s);
    client = authority_client(&a, NULL);
    tls_context_set_versions(client, version, version);
    server = authority_server(&a);
    pair_open(&p, client, server, &(struct tls_stream_options){.host = slice_cstr(r->wanted)});
    pair_pump(&p, WHOLE);
    expect(&p, r->label, r->cause, r->text);
    pair_close(&p);
    tls_context_free(client);
    tls_context_free(server);
    authority_drop(&a);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        check_row(&rows[i], 0x0303);
        check_row(&rows[i], 0x0304);
    }
}

static const struct tls_stream_options mx = {.host = {"mx.example", 10}};

static void test_unknown_ca(void **state)
{
    static const struct {
        const char *ca;
        const char *text;
    } cases[] = {{"Other CA", "its CA is unknown (/CN=mx.example)"},
                 {"Test CA", "a name we trust, but another key"}};
    struct authority ours;
    struct tls_context *client, *alone;
    struct pair p;

    (void)state;
    authority_make(&ours, "mx.example", 0, 0);
    client = authority_client(&ours, NULL);
    for (size_t i = 0; i < 2; i++) {
        struct authority theirs;
        struct tls_context *server;

        authority_make_named(&theirs, cases[i].ca, "mx.example", 0, 0);
        server = authority_server(&theirs);
        pair_open(&p, client, server, &mx);
        pair_pump(&p, WHOLE);
        expect(&p, cases[i].ca, TLS_CAUSE_CERT_UNTRUSTED, cases[i].text);
        pair_close(&p);
        tls_context_free(server);
        authority_drop(&theirs);
    }
    alone = tls_context_new_server_selfsigned(SLICE("mx.example"));
    pair_open(&p, client, alone, &mx);
    pair_pump(&p, WHOLE);
    expect(&p, "self-signed", TLS_CAUSE_CERT_UNTRUSTED, "self-signed (/CN=mx.example)");
    pair_close(&p);
    tls_context_free(client);
    tls_context_free(alone);
    authority_drop(&ours);
}

/* The same bad certificates pass where nothing is verified, and are reported as such. */
static void test_accepted_without_verification(void **state)
{
    struct authority a;
    struct tls_context *client =
        tls_context_new_client(&(struct tls_client_options){.trust = NULL});
    struct tls_context *server;
    struct tls_info info;
    struct pair p;

    (void)state;
    authority_make(&a, "other.example", -30 * DAY_S, -10 * DAY_S);
    server = authority_server(&a);
    pair_open(&p, client, server, &mx);
    pair_pump(&p, WHOLE);
    assert_int_equal(tls_stream_state(p.client), TLS_OPEN);
    tls_stream_info(p.client, &info);
    assert_false(info.verified);
    pair_close(&p);
    tls_context_free(client);
    tls_context_free(server);
    authority_drop(&a);
}

static void expect_load_error(const char *path, const char *text)
{
    struct buf error = BUF_EMPTY;

    assert_null(tls_trust_load(path, &error));
    buf_terminate(&error);
    if (strstr(error.ptr, text) == NULL || strstr(error.ptr, path) == NULL) {
        fail_msg("'%s' lacks '%s'", error.ptr, text);
    }
    buf_fini(&error);
}

static void test_trust_files(void **state)
{
    char path[] = "/tmp/volley-ca-XXXXXX";
    int fd = mkstemp(path);
    struct buf error = BUF_EMPTY;
    struct authority a;
    struct tls_trust *trust;

    (void)state;
    assert_true(fd >= 0);
    expect_load_error("/nonexistent/ca.pem", "No such file");
    expect_load_error("/", "cannot be read");
    expect_load_error(path, "holds no certificate");
    assert_int_equal(
        write(fd, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 59), 59);
    expect_load_error(path, "cannot be read: ");
    authority_make(&a, "mx.example", 0, 0);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(pwrite(fd, a.ca.ptr, a.ca.len, 0), (ssize_t)a.ca.len);
    trust = tls_trust_load(path, &error);
    assert_non_null(trust);
    assert_int_equal(error.len, 0);
    tls_trust_unref(tls_trust_ref(trust));
    tls_trust_unref(trust);
    authority_drop(&a);
    close(fd);
    unlink(path);
    buf_fini(&error);
}

static void test_system_trust(void **state)
{
    struct buf error = BUF_EMPTY;
    struct tls_trust *trust;

    (void)state;
    if (access(TLS_CA_FILE_DEFAULT, R_OK) != 0) {
        print_message("not run: %s is not there (package ca-certificates)\n", TLS_CA_FILE_DEFAULT);
        skip();
    }
    trust = tls_trust_load(NULL, &error);
    assert_non_null(trust);
    tls_trust_unref(trust);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_unknown_ca),
        cmocka_unit_test(test_accepted_without_verification),
        cmocka_unit_test(test_trust_files),
        cmocka_unit_test(test_system_trust),
    };

    return cmocka_run_group_tests_name("tls/verify", tests, NULL, NULL);
}
