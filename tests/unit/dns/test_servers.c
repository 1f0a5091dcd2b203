/*
 * test_servers.c - the list of name servers as people write it.
 */
#include "tests/unit/dns/packets.h"

#include "engine/dns/servers.h"

static void test_good(void **state)
{
    static const struct {
        const char *text;
        int count;
        uint16_t last_port;
        uint8_t last_bytes;
        bool last_local;
    } rows[] = {
        {"127.0.0.1", 1, 53, 4, true},
        {"127.0.0.53:5353", 1, 5353, 4, true},
        {" 192.0.2.1 , 192.0.2.2:65535 ", 2, 65535, 4, false},
        {"127.0.0.1,[::1]:54", 2, 54, 16, true},
        {"[2001:db8::1]", 1, 53, 16, false},
        {"2001:db8::1", 1, 53, 16, false},
        {"::1", 1, 53, 16, true},
        {"1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4,1.1.1.5,1.1.1.6,1.1.1.7,1.1.1.8", 8, 53, 4, false},
    };
    struct dns_server servers[DNS_SERVERS_MAX];
    struct buf error = BUF_EMPTY;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int count = dns_servers_parse(slice_cstr(rows[i].text), servers, &error);

        assert_int_equal(count, rows[i].count);
        assert_int_equal(error.len, 0);
        assert_int_equal(servers[count - 1].port, rows[i].last_port);
        assert_int_equal(servers[count - 1].bytes_count, rows[i].last_bytes);
        assert_int_equal(dns_server_is_local(&servers[count - 1]), rows[i].last_local);
    }
    buf_fini(&error);
}

static void test_bad(void **state)
{
    static const char *const rows[] = {
        "",
        ",",
        "127.0.0.1,",
        "localhost",
        "127.0.0.1;127.0.0.2",
        "1.2.3.4.5",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:",
        "127.0.0.1:5x",
        "127.0.0.1:53:53",
        "[::1",
        "[::1]53",
        "[]",
        "::1:",
        "1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4,1.1.1.5,1.1.1.6,1.1.1.7,1.1.1.8,1.1.1.9",
    };
    struct dns_server servers[DNS_SERVERS_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf error = BUF_EMPTY;

        if (dns_servers_parse(slice_cstr(rows[i]), servers, &error) != ERR_INVALID) {
            fail_msg("'%s' was taken", rows[i]);
        }
        assert_non_null(memmem(error.ptr, error.len, "name server", 11));
        buf_fini(&error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad)};

    return cmocka_run_group_tests_name("dns/servers", tests, NULL, NULL);
}
