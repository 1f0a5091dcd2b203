/* modules: dns io base */
/*
 * fuzz_dns.c - any bytes as the answer of a name server, and as MX answer of a domain.
 *
 * The first byte picks the type; the question asked is always for a.example.
 */
#include "engine/base/panic.h"
#include "engine/dns/mx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void answer_check(const struct dns_answer *a)
{
    ASSERT(a->count <= DNS_RECORDS_MAX);
    ASSERT((a->status == DNS_FOUND) == (a->count > 0));
    for (size_t i = 0; i < a->count; i++) {
        const struct dns_record *r = &a->record[i];

        for (size_t j = 0; j < r->data.len; j++) {
            ASSERT(a->type != DNS_MX || (r->data.ptr[j] > ' ' && r->data.ptr[j] < 0x7f));
        }
    }
}

static void plan_check(const struct mx_plan *p)
{
    struct mx_candidate c[16];
    struct rng rng;
    size_t count;

    rng_seed(&rng, 1);
    count = mx_plan_order(p, &rng, true, c, 16);
    ASSERT(p->verdict != MX_OK || count > 0);
    ASSERT(count <= p->address_count && p->host_count <= MX_HOSTS_MAX);
    ASSERT(p->site.len > 0 && p->site.len <= MX_SITE_KEY_MAX);
    for (size_t i = 0; i < p->site.len; i++) {
        char ch = p->site.ptr[i];

        ASSERT((ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') || ch == '.' || ch == '-' ||
               ch == '_' || ch == ',');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum dns_type types[] = {DNS_A, DNS_AAAA, DNS_MX, DNS_TXT, DNS_TLSA};
    static const struct mx_options options;
    struct slice packet = slice_of((const char *)data, size);
    struct mx_build *b;
    struct mx_plan *plan;
    struct mx_question q;

    if (size == 0) {
        return 0;
    }
    packet = slice_from(packet, 1);
    b = mx_build_new(SLICE("a.example"), &options);
    while (mx_build_ask(b, &q)) {
        /* The MX answer is about a.example; those about its hosts are made to be, too. */
        enum dns_type type = q.type == DNS_MX ? types[data[0] % 5] : q.type;
        struct dns_answer *a = dns_packet_parse(packet, SLICE("a.example"), type);

        answer_check(a);
        if (q.type == DNS_MX && type != DNS_MX) {
            dns_answer_unref(a);
            a = dns_answer_new(DNS_NODATA, DNS_MX, SLICE("a.example"), SLICE_NONE);
        }
        mx_build_answer(b, q.id, a, 60);
        dns_answer_unref(a);
    }
    plan = mx_build_plan(b, 0);
    plan_check(plan);
    mx_plan_unref(plan);
    mx_build_free(b);
    return 0;
}
