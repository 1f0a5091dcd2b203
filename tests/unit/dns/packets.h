/*
 * packets.h - writing DNS answers by hand.
 */
#ifndef VOLLEY_TEST_DNS_PACKETS_H
#define VOLLEY_TEST_DNS_PACKETS_H

#include "engine/base/err.h"
#include "engine/dns/packet.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { PK_ANSWER = 6, PK_AUTHORITY = 8 }; /* where a section's count stands */

static inline void pk_u16(struct buf *b, unsigned value)
{
    buf_putc(b, (char)(value >> 8));
    buf_putc(b, (char)(value & 255));
}

static inline void pk_u32(struct buf *b, uint32_t value)
{
    pk_u16(b, value >> 16);
    pk_u16(b, value & 65535);
}

static inline void pk_name(struct buf *b, const char *name)
{
    struct slice rest = slice_cstr(name), label;

    while (rest.len > 0 && slice_next(&rest, '.', &label)) {
        buf_putc(b, (char)label.len);
        buf_puts(b, label);
    }
    buf_putc(b, 0);
}

/* Header and question of a response; the question's name stands at offset 12. */
static inline void pk_begin(struct buf *b, unsigned id, unsigned rcode, bool ad, const char *name,
                            unsigned type)
{
    buf_reset(b);
    pk_u16(b, id);
    pk_u16(b, 0x8180 | (ad ? 0x20 : 0) | rcode);
    pk_u16(b, 1);
    pk_u16(b, 0);
    pk_u16(b, 0);
    pk_u16(b, 0);
    pk_name(b, name);
    pk_u16(b, type);
    pk_u16(b, 1);
}

static inline void pk_record(struct buf *b, unsigned section, const char *owner, unsigned type,
                             uint32_t ttl, struct slice data)
{
    b->ptr[section + 1]++;
    pk_name(b, owner);
    pk_u16(b, type);
    pk_u16(b, 1);
    pk_u32(b, ttl);
    pk_u16(b, (unsigned)data.len);
    buf_puts(b, data);
}

static inline void pk_mx(struct buf *b, const char *owner, uint32_t ttl, unsigned preference,
                         const char *host)
{
    struct buf data = BUF_EMPTY;

    pk_u16(&data, preference);
    pk_name(&data, host);
    pk_record(b, PK_ANSWER, owner, DNS_MX, ttl, buf_slice(&data));
    buf_fini(&data);
}

static inline void pk_cname(struct buf *b, const char *owner, uint32_t ttl, const char *target)
{
    struct buf data = BUF_EMPTY;

    pk_name(&data, target);
    pk_record(b, PK_ANSWER, owner, DNS_CNAME, ttl, buf_slice(&data));
    buf_fini(&data);
}

static inline void pk_soa(struct buf *b, const char *owner, uint32_t ttl, uint32_t minimum)
{
    struct buf data = BUF_EMPTY;

    pk_name(&data, "ns.example");
    pk_name(&data, "admin.example");
    for (int i = 0; i < 4; i++) {
        pk_u32(&data, 7);
    }
    pk_u32(&data, minimum);
    pk_record(b, PK_AUTHORITY, owner, DNS_SOA, ttl, buf_slice(&data));
    buf_fini(&data);
}

/* Reads it from memory of its exact size, so that ASan sees a step past the end. */
static inline struct dns_answer *pk_parse(const struct buf *b, const char *name, enum dns_type type)
{
    char *exact = malloc(b->len > 0 ? b->len : 1);
    struct dns_answer *a;

    if (b->len > 0) {
        memcpy(exact, b->ptr, b->len);
    }
    a = dns_packet_parse(slice_of(exact, b->len), slice_cstr(name), type);
    free(exact);
    return a;
}

static inline void assert_slice(struct slice s, const char *expected)
{
    if (!slice_eq(s, slice_cstr(expected))) {
        fail_msg("'" SLICE_FMT "' instead of '%s'", SLICE_ARG(s), expected);
    }
}

#endif
