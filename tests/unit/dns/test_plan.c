/*
 * test_plan.c - the order in which the hosts of a plan are tried.
 */
#include "tests/unit/dns/script.h"

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
        cmocka_unit_test(test_order_by_preference),
        cmocka_unit_test(test_order_families),
        cmocka_unit_test(test_order_shares_room),
        cmocka_unit_test(test_order_of_nothing),
        cmocka_unit_test(test_sockaddr),
    };

    return cmocka_run_group_tests_name("dns/plan", tests, NULL, NULL);
}
