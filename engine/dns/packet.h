/*
 * packet.h - DNS messages: our queries, and our reading of answers.
 *
 * Pure.  Answers come from strangers by way of a resolver: every offset is checked, names
 * may point only backwards, and sizes are bounded (RFC 1035 4.1, RFC 9267).
 */
#ifndef VOLLEY_DNS_PACKET_H
#define VOLLEY_DNS_PACKET_H

#include "engine/base/buf.h"

#include <stdatomic.h>

enum dns_type {
    DNS_A = 1,
    DNS_CNAME = 5,
    DNS_SOA = 6,
    DNS_MX = 15,
    DNS_TXT = 16,
    DNS_AAAA = 28,
    DNS_TLSA = 52
};

enum { DNS_NAME_MAX = 253, DNS_RECORDS_MAX = 256, DNS_CNAME_MAX = 16 };

enum dns_status {
    DNS_FOUND,    /* at least one record */
    DNS_NODATA,   /* the name exists, records of this type do not */
    DNS_NXDOMAIN, /* no such name */
    DNS_TEMPFAIL  /* SERVFAIL, REFUSED, no answer, or an answer that cannot be read */
};

struct dns_record {
    uint16_t preference;  /* MX */
    uint8_t tlsa[3];      /* TLSA: usage, selector, matching type */
    uint8_t family_bytes; /* A: 4, AAAA: 16 */
    uint8_t address[16];  /* A, AAAA */
    struct slice data;    /* MX: host, lower case, no final dot, "" for the root;
                             TXT: the strings joined; TLSA: association data */
};

/* Immutable, one allocation, reference-counted; may cross threads. */
struct dns_answer {
    _Atomic unsigned refs;
    enum dns_status status;
    enum dns_type type;
    uint32_t ttl_s; /* smallest on the way (CNAMEs too); negative: RFC 2308 5; else 0 */
    bool ad;        /* the resolver says: validated by DNSSEC */
    bool open;      /* DNS_NODATA only as the CNAMEs lead out of this answer: ask for `name` */
    bool stale;     /* served from the cache past its time, as the servers failed */
    uint8_t rcode;
    uint8_t aliases;     /* CNAMEs on the way, up to DNS_CNAME_MAX */
    struct slice name;   /* where the CNAMEs led; the name asked for when there are none */
    struct slice reason; /* DNS_TEMPFAIL: for people, "SERVFAIL", "no answer from …" */
    size_t count;
    struct dns_record record[];
};

struct dns_answer *dns_answer_ref(struct dns_answer *a);
void dns_answer_unref(struct dns_answer *a); /* NULL is fine */

/* An answer of our own making, without records. */
struct dns_answer *dns_answer_new(enum dns_status status, enum dns_type type, struct slice name,
                                  struct slice reason);

/* A copy that the caller alone holds. */
struct dns_answer *dns_answer_copy(const struct dns_answer *a);

/* "MX", "AAAA"; "?" for types we do not ask for. */
const char *dns_type_name(enum dns_type type);

/* Appends a recursive query for name (presentation form, A-labels) with EDNS (RFC 6891) and
 * the AD bit (RFC 6840 5.7).  0, or ERR_INVALID when it cannot be a DNS name. */
int dns_packet_query(struct buf *out, uint16_t id, struct slice name, enum dns_type type);

/* Reads the answer to that query.  Always gives an answer that the caller unrefs: a packet
 * that breaks the rules gives DNS_TEMPFAIL with the reason. */
struct dns_answer *dns_packet_parse(struct slice packet, struct slice name, enum dns_type type);

/* Letters, digits, hyphen, underscore, dots between; labels of 1..63, 253 in all. */
bool dns_name_valid(struct slice name);

#endif
