/*
 * test_packet.c - answers of all kinds, honest and hostile.
 */
#include "tests/unit/dns/packets.h"

#include "engine/base/rng.h"

static struct buf packet;

static int setup(void **state)
{
    (void)state;
    buf_reset(&packet);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_fini(&packet);
    return 0;
}

static void assert_tempfail(struct dns_answer *a, const char *part)
{
    assert_int_equal(a->status, DNS_TEMPFAIL);
    assert_int_equal(a->count, 0);
    if (memmem(a->reason.ptr, a->reason.len, part, strlen(part)) == NULL) {
        fail_msg("'" SLICE_FMT "' lacks '%s'", SLICE_ARG(a->reason), part);
    }
    dns_answer_unref(a);
}

static void test_query(void **state)
{
    static const char expected[] = "\x12\x34\x01\x20\0\1\0\0\0\0\0\1"
                                   "\2mx\7example\0\0\x0f\0\1"
                                   "\0\0\x29\x04\xd0\0\0\0\0\0";

    (void)state;
    buf_reset(&packet);
    assert_int_equal(dns_packet_query(&packet, 0x1234, SLICE("mx.example."), DNS_MX), 0);
    assert_int_equal(packet.len, sizeof(expected));
    assert_memory_equal(packet.ptr, expected, sizeof(expected));
}

static void test_query_refuses(void **state)
{
    char label64[65], name254[255];
    const struct {
        struct slice name;
    } rows[] = {{SLICE("a..b")}, {SLICE(".a")}, {{label64, 64}}, {{name254, 254}}};

    (void)state;
    buf_reset(&packet);
    memset(label64, 'x', sizeof(label64));
    memset(name254, 'x', sizeof(name254));
    for (size_t i = 50; i < 254; i += 50) {
        name254[i] = '.';
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(dns_packet_query(&packet, 1, rows[i].name, DNS_A), ERR_INVALID);
        assert_int_equal(packet.len, 0);
    }
}

static void test_mx(void **state)
{
    struct dns_answer *a;

    (void)state;
    pk_begin(&packet, 1, 0, true, "Example.COM", DNS_MX);
    pk_mx(&packet, "example.com", 300, 10, "MX1.Example.com");
    pk_mx(&packet, "example.com", 200, 20, "mx2.example.com");
    a = pk_parse(&packet, "example.com", DNS_MX);
    assert_int_equal(a->status, DNS_FOUND);
    assert_int_equal(a->count, 2);
    assert_int_equal(a->ttl_s, 200);
    assert_true(a->ad);
    assert_int_equal(a->record[0].preference, 10);
    assert_slice(a->record[0].data, "mx1.example.com");
    assert_int_equal(a->record[1].preference, 20);
    assert_slice(a->record[1].data, "mx2.example.com");
    assert_slice(a->name, "example.com");
    dns_answer_unref(a);
}

static void test_addresses(void **state)
{
    static const char v6[16] = "\x20\x01\x0d\xb8";
    struct dns_answer *a;

    (void)state;
    pk_begin(&packet, 1, 0, false, "h.example", DNS_A);
    pk_record(&packet, PK_ANSWER, "h.example", DNS_A, 60, SLICE("\xc0\0\2\1"));
    pk_record(&packet, PK_ANSWER, "other.example", DNS_A, 1, SLICE("\xc0\0\2\2"));
    a = pk_parse(&packet, "h.example", DNS_A);
    assert_int_equal(a->count, 1);
    assert_int_equal(a->record[0].family_bytes, 4);
    assert_memory_equal(a->record[0].address, "\xc0\0\2\1", 4);
    assert_int_equal(a->ttl_s, 60);
    assert_false(a->ad);
    dns_answer_unref(a);

    pk_begin(&packet, 1, 0, false, "h.example", DNS_AAAA);
    pk_record(&packet, PK_ANSWER, "h.example", DNS_AAAA, 60, slice_of(v6, 16));
    a = pk_parse(&packet, "h.example", DNS_AAAA);
    assert_int_equal(a->count, 1);
    assert_int_equal(a->record[0].family_bytes, 16);
    assert_memory_equal(a->record[0].address, v6, 16);
    dns_answer_unref(a);
}

static void test_txt_and_tlsa(void **state)
{
    struct dns_answer *a;

    (void)state;
    pk_begin(&packet, 1, 0, false, "_mta-sts.example", DNS_TXT);
    pk_record(&packet, PK_ANSWER, "_mta-sts.example", DNS_TXT, 60, SLICE("\7v=STSv1\0\6; id=1"));
    a = pk_parse(&packet, "_mta-sts.example", DNS_TXT);
    assert_int_equal(a->count, 1);
    assert_slice(a->record[0].data, "v=STSv1; id=1");
    dns_answer_unref(a);

    pk_begin(&packet, 1, 0, true, "_25._tcp.mx.example", DNS_TLSA);
    pk_record(&packet, PK_ANSWER, "_25._tcp.mx.example", DNS_TLSA, 60, SLICE("\3\1\1digest"));
    a = pk_parse(&packet, "_25._tcp.mx.example", DNS_TLSA);
    assert_int_equal(a->count, 1);
    assert_memory_equal(a->record[0].tlsa, "\3\1\1", 3);
    assert_slice(a->record[0].data, "digest");
    dns_answer_unref(a);
}

static void test_cname_chain(void **state)
{
    struct dns_answer *a;

    (void)state;
    /* Out of order, and with the smallest TTL on the way. */
    pk_begin(&packet, 1, 0, false, "a.example", DNS_A);
    pk_record(&packet, PK_ANSWER, "c.example", DNS_A, 500, SLICE("\xc0\0\2\1"));
    pk_cname(&packet, "b.example", 30, "C.example");
    pk_cname(&packet, "a.example", 400, "b.example");
    a = pk_parse(&packet, "a.example", DNS_A);
    assert_int_equal(a->status, DNS_FOUND);
    assert_slice(a->name, "c.example");
    assert_int_equal(a->ttl_s, 30);
    dns_answer_unref(a);

    pk_begin(&packet, 1, 0, false, "a.example", DNS_A);
    pk_cname(&packet, "a.example", 400, "b.example");
    pk_cname(&packet, "b.example", 400, "a.example");
    assert_tempfail(pk_parse(&packet, "a.example", DNS_A), "circle");

    /* A chain that ends nowhere. */
    pk_begin(&packet, 1, 3, false, "a.example", DNS_A);
    pk_cname(&packet, "a.example", 400, "b.example");
    pk_soa(&packet, "example", 900, 100);
    a = pk_parse(&packet, "a.example", DNS_A);
    assert_int_equal(a->status, DNS_NXDOMAIN);
    assert_slice(a->name, "b.example");
    assert_int_equal(a->ttl_s, 100);
    dns_answer_unref(a);
}

static struct dns_answer *chain_of(unsigned links)
{
    char from[32], to[32];

    pk_begin(&packet, 1, 0, false, "n0.example", DNS_A);
    for (unsigned i = 0; i < links; i++) {
        snprintf(from, sizeof(from), "n%u.example", i);
        snprintf(to, sizeof(to), "n%u.example", i + 1);
        pk_cname(&packet, from, 60, to);
    }
    snprintf(from, sizeof(from), "n%u.example", links);
    pk_record(&packet, PK_ANSWER, from, DNS_A, 60, SLICE("\xc0\0\2\1"));
    return pk_parse(&packet, "n0.example", DNS_A);
}

static void test_cname_limit(void **state)
{
    struct dns_answer *a = chain_of(16);

    (void)state;
    assert_int_equal(a->status, DNS_FOUND);
    dns_answer_unref(a);
    assert_tempfail(chain_of(17), "circle or are more than 16");
}

static void test_negative(void **state)
{
    struct dns_answer *a;

    (void)state;
    pk_begin(&packet, 1, 3, true, "no.example", DNS_MX);
    pk_soa(&packet, "example", 3600, 300);
    a = pk_parse(&packet, "no.example", DNS_MX);
    assert_int_equal(a->status, DNS_NXDOMAIN);
    assert_int_equal(a->ttl_s, 300);
    assert_true(a->ad);
    dns_answer_unref(a);

    pk_begin(&packet, 1, 0, false, "yes.example", DNS_MX);
    pk_soa(&packet, "example", 50, 300);
    a = pk_parse(&packet, "yes.example", DNS_MX);
    assert_int_equal(a->status, DNS_NODATA);
    assert_int_equal(a->ttl_s, 50);
    dns_answer_unref(a);

    pk_begin(&packet, 1, 0, false, "yes.example", DNS_MX);
    a = pk_parse(&packet, "yes.example", DNS_MX);
    assert_int_equal(a->status, DNS_NODATA);
    assert_int_equal(a->ttl_s, 0);
    dns_answer_unref(a);
}

static void test_rcodes(void **state)
{
    static const struct {
        unsigned rcode;
        const char *text;
    } rows[] = {{1, "FORMERR"}, {2, "SERVFAIL"}, {4, "NOTIMP"}, {5, "REFUSED"}, {11, "unusual"}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        pk_begin(&packet, 1, rows[i].rcode, false, "a.example", DNS_A);
        assert_tempfail(pk_parse(&packet, "a.example", DNS_A), rows[i].text);
    }
}

static void test_null_mx(void **state)
{
    struct dns_answer *a;

    (void)state;
    pk_begin(&packet, 1, 0, false, "example.com", DNS_MX);
    pk_mx(&packet, "example.com", 300, 0, "");
    a = pk_parse(&packet, "example.com", DNS_MX);
    assert_int_equal(a->count, 1);
    assert_int_equal(a->record[0].data.len, 0);
    dns_answer_unref(a);
}

/* A label may hold any byte; a dot inside one must not look like a separator. */
static void test_odd_labels(void **state)
{
    struct dns_answer *a;

    (void)state;
    pk_begin(&packet, 1, 0, false, "example.com", DNS_MX);
    packet.ptr[7]++;
    buf_put(&packet, "\xc0\x0c\0\x0f\0\1\0\0\0\x0a\0\x0e\0\1\5a.b\0\\\4EVIL\0", 26);
    a = pk_parse(&packet, "example.com", DNS_MX);
    assert_int_equal(a->count, 1);
    assert_slice(a->record[0].data, "a\\046b\\000\\092.evil");
    assert_false(dns_name_valid(a->record[0].data));
    dns_answer_unref(a);
}

static void test_other_question(void **state)
{
    (void)state;
    pk_begin(&packet, 1, 0, false, "a.example", DNS_A);
    assert_tempfail(pk_parse(&packet, "b.example", DNS_A), "another question");
    assert_tempfail(pk_parse(&packet, "a.example", DNS_AAAA), "another question");
    packet.ptr[2] = 0x01; /* a query, not a response */
    assert_tempfail(pk_parse(&packet, "a.example", DNS_A), "not a response");
    packet.len = 7;
    assert_tempfail(pk_parse(&packet, "a.example", DNS_A), "shorter than a header");
}

static void test_truncated_flag(void **state)
{
    (void)state;
    pk_begin(&packet, 1, 0, false, "a.example", DNS_A);
    packet.ptr[2] |= 0x02;
    assert_tempfail(pk_parse(&packet, "a.example", DNS_A), "truncated");
}

/* Compression: pointers to themselves, forwards, in circles, into the header, off the end. */
static void test_pointers(void **state)
{
    static const struct {
        struct slice owner;
        bool good;
    } rows[] = {
        {SLICE("\xc0\x0c"), true},          /* the question's name */
        {SLICE("\1a\xc0\x0e"), true},       /* "a" and the rest of it */
        {SLICE("\xc0\x1b"), false},         /* itself */
        {SLICE("\1x\xc0\x1b"), false},      /* itself, one label further each time */
        {SLICE("\xc0\x1d\xc0\x1b"), false}, /* two that point at each other */
        {SLICE("\xff\xff"), false},         /* off the end */
        {SLICE("\xc0"), false},             /* cut in the middle */
        {SLICE("\x40\x61\0"), false},       /* a label type that is none */
        {SLICE("\x3f"
               "too short"),
         false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dns_answer *a;

        pk_begin(&packet, 1, 0, false, "a.example", DNS_A);
        assert_int_equal(packet.len, 27);
        packet.ptr[7] = 1;
        buf_puts(&packet, rows[i].owner);
        if (rows[i].owner.len > 1) {
            buf_put(&packet, "\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1", 14);
        }
        a = pk_parse(&packet, "a.example", DNS_A);
        if (a->status != (rows[i].good ? DNS_FOUND : DNS_TEMPFAIL)) {
            fail_msg("row %zu: status %d", i, (int)a->status);
        }
        dns_answer_unref(a);
    }
}

static void test_bad_data(void **state)
{
    static const struct {
        enum dns_type type;
        struct slice data;
    } rows[] = {
        {DNS_A, SLICE("\1\2\3")},        {DNS_A, SLICE("\1\2\3\4\5")},
        {DNS_AAAA, SLICE("\1\2\3\4")},   {DNS_MX, SLICE("\0")},
        {DNS_MX, SLICE("\0\1")},         {DNS_MX, SLICE("\0\1\3abc")},
        {DNS_MX, SLICE("\0\1\3abc\0x")}, {DNS_TXT, SLICE("\5abc")},
        {DNS_TLSA, SLICE("\3\1\1")},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        pk_begin(&packet, 1, 0, false, "a.example", rows[i].type);
        pk_record(&packet, PK_ANSWER, "a.example", rows[i].type, 60, rows[i].data);
        assert_tempfail(pk_parse(&packet, "a.example", rows[i].type), "malformed");
    }
}

/* Every shorter piece of a good answer is refused or says less; none is read past its end. */
static void test_every_prefix(void **state)
{
    size_t full;

    (void)state;
    pk_begin(&packet, 1, 0, false, "a.example", DNS_MX);
    pk_cname(&packet, "a.example", 60, "b.example");
    pk_mx(&packet, "b.example", 60, 10, "mx.b.example");
    pk_mx(&packet, "b.example", 60, 20, "mx2.b.example");
    full = packet.len;
    for (size_t len = 0; len < full; len++) {
        packet.len = len;
        assert_tempfail(pk_parse(&packet, "a.example", DNS_MX), "unreadable answer");
    }
}

static void test_random_damage(void **state)
{
    struct rng rng;

    (void)state;
    rng_seed(&rng, 11);
    for (int round = 0; round < 20000; round++) {
        pk_begin(&packet, 1, 0, false, "a.example", DNS_MX);
        pk_cname(&packet, "a.example", 60, "b.example");
        pk_mx(&packet, "b.example", 60, 10, "mx.b.example");
        pk_soa(&packet, "example", 60, 60);
        for (uint64_t n = rng_below(&rng, 6) + 1; n > 0; n--) {
            packet.ptr[rng_below(&rng, packet.len)] = (char)rng_next(&rng);
        }
        dns_answer_unref(pk_parse(&packet, "a.example", DNS_MX));
    }
}

/* More records than we keep: the first DNS_RECORDS_MAX, and no more memory than that. */
static void test_many_records(void **state)
{
    struct dns_answer *a;

    (void)state;
    pk_begin(&packet, 1, 0, false, "a.example", DNS_A);
    for (unsigned i = 0; i < 600; i++) {
        char address[4] = {10, 0, (char)(i >> 8), (char)i};

        pk_record(&packet, PK_ANSWER, "a.example", DNS_A, 60, slice_of(address, 4));
    }
    packet.ptr[PK_ANSWER] = 600 >> 8;
    packet.ptr[PK_ANSWER + 1] = (char)(600 & 255);
    a = pk_parse(&packet, "a.example", DNS_A);
    assert_int_equal(a->count, DNS_RECORDS_MAX);
    dns_answer_unref(a);
}

static void test_copy(void **state)
{
    struct dns_answer *a, *copy;

    (void)state;
    pk_begin(&packet, 1, 0, true, "example.com", DNS_MX);
    pk_mx(&packet, "example.com", 300, 10, "mx1.example.com");
    a = pk_parse(&packet, "example.com", DNS_MX);
    copy = dns_answer_copy(a);
    dns_answer_unref(a);
    assert_int_equal(copy->count, 1);
    assert_int_equal(copy->ttl_s, 300);
    assert_true(copy->ad);
    assert_slice(copy->record[0].data, "mx1.example.com");
    assert_slice(copy->name, "example.com");
    dns_answer_unref(copy);
}

static void test_name_valid(void **state)
{
    char longest[255];
    const struct {
        struct slice name;
        bool valid;
    } rows[] = {
        {SLICE("example.com"), true}, {SLICE("a"), true},         {SLICE("_25._tcp.x"), true},
        {SLICE("1.2.3.4"), true},     {SLICE(""), false},         {SLICE("."), false},
        {SLICE("a."), false},         {SLICE("a..b"), false},     {SLICE("a b"), false},
        {SLICE("a\0b"), false},       {SLICE("\xc3\xa4"), false}, {{longest, 253}, true},
        {{longest, 254}, false},
    };

    (void)state;
    memset(longest, 'x', sizeof(longest));
    for (size_t i = 60; i < 253; i += 61) {
        longest[i] = '.';
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (dns_name_valid(rows[i].name) != rows[i].valid) {
            fail_msg("row %zu", i);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_query),
        cmocka_unit_test(test_query_refuses),
        cmocka_unit_test(test_mx),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_txt_and_tlsa),
        cmocka_unit_test(test_cname_chain),
        cmocka_unit_test(test_cname_limit),
        cmocka_unit_test(test_negative),
        cmocka_unit_test(test_rcodes),
        cmocka_unit_test(test_null_mx),
        cmocka_unit_test(test_odd_labels),
        cmocka_unit_test(test_other_question),
        cmocka_unit_test(test_truncated_flag),
        cmocka_unit_test(test_pointers),
        cmocka_unit_test(test_bad_data),
        cmocka_unit_test(test_every_prefix),
        cmocka_unit_test(test_random_damage),
        cmocka_unit_test(test_many_records),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_name_valid),
    };

    return cmocka_run_group_tests_name("dns/packet", tests, setup, teardown);
}
