/*
 * script.h - running the MX state machine over scripted answers.
 */
#ifndef VOLLEY_TEST_DNS_SCRIPT_H
#define VOLLEY_TEST_DNS_SCRIPT_H

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

static inline struct dns_answer *answer_from(const struct line *l, uint32_t ttl_s)
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
            pk_mx(&packet, l->name, ttl_s, (unsigned)strtoul(text, NULL, 10),
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

static inline struct dns_answer *script_answer(const struct line *script,
                                               const struct mx_question *q)
{
    for (size_t i = 0; script != NULL && i < SCRIPT_MAX && script[i].name != NULL; i++) {
        if (slice_eq(q->name, slice_cstr(script[i].name)) && q->type == script[i].type) {
            return answer_from(&script[i], 300);
        }
    }
    return dns_answer_new(DNS_NODATA, q->type, q->name, SLICE_NONE);
}

/* Answers come last question first, to show that order does not matter. */
static inline struct mx_plan *run(const char *domain, const struct line *script,
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

#endif
