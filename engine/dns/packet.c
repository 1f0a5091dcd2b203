/*
 * packet.c - reading answers.
 *
 * It takes two walks over the answer section.  The first follows CNAMEs from the name
 * that was asked for to where they end and counts; the second copies the records that stand
 * at that name into one allocation.  A server that puts CNAMEs out of order is read too:
 * each step of the chain searches the whole section, at most DNS_CNAME_MAX times.
 */
#include "engine/dns/packet.h"

#include "engine/dns/answer.h"
#include "engine/dns/wire.h"

#include <string.h>

enum { SECTION_RECORDS_MAX = 1024 };

/* What the header and the walks found out. */
struct reading {
    struct wire w;
    const char *fault; /* set: the packet breaks the rules */
    size_t answers;    /* ANCOUNT */
    size_t authority;  /* NSCOUNT */
    size_t answers_at; /* offset of the answer section */
    size_t authority_at;
    enum dns_type type;
    struct wire_name owner; /* where the CNAMEs led so far */
    uint32_t ttl_s;
    size_t count;    /* records of the type at that name */
    size_t text_len; /* bytes their variable parts need */
    uint8_t aliases; /* CNAMEs that led to `owner` */
    bool proven;     /* a SOA says that there is nothing */
};

static const char *rcode_name(uint8_t rcode)
{
    static const char *const names[] = {"NOERROR",  "FORMERR", "SERVFAIL",
                                        "NXDOMAIN", "NOTIMP",  "REFUSED"};

    return rcode < sizeof(names) / sizeof(names[0]) ? names[rcode] : "an unusual error";
}

/* The header and the question, which must be the one we asked. */
static bool question_read(struct reading *r, struct slice name)
{
    struct wire_name asked;
    uint16_t flags, questions, answers, authority, type, class;

    if (!wire_skip(&r->w, 2) || !wire_u16(&r->w, &flags) || !wire_u16(&r->w, &questions) ||
        !wire_u16(&r->w, &answers) || !wire_u16(&r->w, &authority) || !wire_skip(&r->w, 2)) {
        r->fault = "it is shorter than a header";
        return false;
    }
    r->answers = answers;
    r->authority = authority;
    if ((flags & 0x8000) == 0 || questions != 1 || !wire_name(&r->w, &asked) ||
        !wire_u16(&r->w, &type) || !wire_u16(&r->w, &class)) {
        r->fault = "it is not a response to one question";
        return false;
    }
    if (name.len > 0 && name.ptr[name.len - 1] == '.') {
        name.len--;
    }
    if (!slice_ieq(wire_name_slice(&asked), name) || type != (uint16_t)r->type || class != 1) {
        r->fault = "it answers another question";
        return false;
    }
    r->owner = asked;
    r->answers_at = r->w.at;
    return true;
}

static void ttl_lower(struct reading *r, uint32_t ttl_s)
{
    /* RFC 2181 8: the top bit counts as zero seconds. */
    ttl_s = ttl_s > INT32_MAX ? 0 : ttl_s;
    if (ttl_s < r->ttl_s) {
        r->ttl_s = ttl_s;
    }
}

/* How many bytes of text a record needs; false when its data breaks the rules of its type. */
static bool record_measure(struct reading *r, const struct wire_record *rec, size_t *need)
{
    struct wire data = {rec->data_end, rec->data_at, r->w.packet};
    struct wire_name host;

    *need = 0;
    switch (r->type) {
    case DNS_A:
        return rec->data_end - rec->data_at == 4;
    case DNS_AAAA:
        return rec->data_end - rec->data_at == 16;
    case DNS_MX:
        if (!wire_skip(&data, 2) || !wire_name(&data, &host) || data.at != rec->data_end) {
            return false;
        }
        *need = host.len;
        return true;
    case DNS_TXT:
    case DNS_TLSA:
        *need = rec->data_end - rec->data_at;
        return r->type == DNS_TXT || *need > 3;
    case DNS_CNAME:
    case DNS_SOA:
        break;
    }
    return false;
}

/* TXT is a run of strings with a length byte each; they are joined (RFC 7208 3.3). */
static bool txt_fill(struct slice data, char **text, struct slice *out)
{
    char *start = *text;

    while (data.len > 0) {
        size_t len = (uint8_t)data.ptr[0];

        if (len + 1 > data.len) {
            return false;
        }
        dns_text_put(text, slice_of(data.ptr + 1, len));
        data = slice_from(data, len + 1);
    }
    *out = slice_of(start, (size_t)(*text - start));
    return true;
}

static bool record_fill(struct reading *r, const struct wire_record *rec, struct dns_record *out,
                        char **text)
{
    struct wire data = {rec->data_end, rec->data_at, r->w.packet};
    size_t len = rec->data_end - rec->data_at;
    const char *bytes = (const char *)r->w.packet + rec->data_at;
    struct wire_name host;

    switch (r->type) {
    case DNS_A:
    case DNS_AAAA:
        out->family_bytes = (uint8_t)len;
        memcpy(out->address, bytes, len);
        return true;
    case DNS_MX:
        if (!wire_u16(&data, &out->preference) || !wire_name(&data, &host)) {
            return false;
        }
        out->data = dns_text_put(text, wire_name_slice(&host));
        return true;
    case DNS_TXT:
        return txt_fill(slice_of(bytes, len), text, &out->data);
    case DNS_TLSA:
        memcpy(out->tlsa, bytes, 3);
        out->data = dns_text_put(text, slice_of(bytes + 3, len - 3));
        return true;
    case DNS_CNAME:
    case DNS_SOA:
        break;
    }
    return false;
}

/* Counts the records of our type at r->owner.  A CNAME there, when there are none, comes
 * back in *alias. */
static bool answers_look(struct reading *r, struct wire_name *alias, bool *aliased)
{
    struct wire_record rec;

    r->w.at = r->answers_at;
    r->count = 0;
    r->text_len = 0;
    *aliased = false;
    for (size_t i = 0; i < r->answers; i++) {
        size_t need;

        if (!wire_record(&r->w, &rec)) {
            return false;
        }
        if (rec.class != 1 || !slice_eq(wire_name_slice(&rec.owner), wire_name_slice(&r->owner))) {
            continue;
        }
        if (rec.type == (uint16_t)r->type) {
            if (!record_measure(r, &rec, &need)) {
                return false;
            }
            ttl_lower(r, rec.ttl_s);
            if (r->count < DNS_RECORDS_MAX) {
                r->count++;
                r->text_len += need;
            }
        } else if (rec.type == DNS_CNAME && !*aliased) {
            struct wire data = {rec.data_end, rec.data_at, r->w.packet};

            if (!wire_name(&data, alias)) {
                return false;
            }
            ttl_lower(r, rec.ttl_s);
            *aliased = true;
        }
    }
    r->authority_at = r->w.at;
    return true;
}

/* Goes along the CNAMEs until a name has records or no CNAME.  A loop runs into the limit. */
static bool chain_follow(struct reading *r)
{
    struct wire_name alias;
    bool aliased;

    for (size_t step = 0; step <= DNS_CNAME_MAX; step++) {
        if (!answers_look(r, &alias, &aliased)) {
            r->fault = "a record in it is malformed";
            return false;
        }
        if (r->count > 0 || !aliased) {
            return true;
        }
        r->owner = alias;
        r->aliases++;
    }
    r->fault = "its CNAMEs run in a circle or are more than 16";
    return false;
}

/* RFC 2308 5: how long "there is none" holds: the smaller of the SOA's TTL and its last field. */
static uint32_t negative_ttl(struct reading *r)
{
    struct wire_record rec;
    struct wire_name skipped;
    uint32_t minimum;

    r->w.at = r->authority_at;
    for (size_t i = 0; i < r->authority && wire_record(&r->w, &rec); i++) {
        struct wire data = {rec.data_end, rec.data_at, r->w.packet};

        if (rec.type == DNS_SOA && rec.class == 1 && wire_name(&data, &skipped) &&
            wire_name(&data, &skipped) && wire_skip(&data, 16) && wire_u32(&data, &minimum)) {
            ttl_lower(r, rec.ttl_s);
            ttl_lower(r, minimum);
            r->proven = true;
            return r->ttl_s;
        }
    }
    return 0;
}

static struct dns_answer *answer_make(struct reading *r, enum dns_status status)
{
    struct slice owner = wire_name_slice(&r->owner);
    size_t count = status == DNS_FOUND ? r->count : 0;
    size_t text_len = status == DNS_FOUND ? r->text_len : 0;
    char *text;
    struct dns_answer *a = dns_answer_alloc(status, r->type, count, text_len + owner.len, &text);
    struct wire_record rec;

    a->name = dns_text_put(&text, owner);
    r->w.at = r->answers_at;
    for (size_t i = 0; i < r->answers && a->count < count; i++) {
        if (!wire_record(&r->w, &rec)) {
            break;
        }
        if (rec.class != 1 || rec.type != (uint16_t)r->type ||
            !slice_eq(wire_name_slice(&rec.owner), owner)) {
            continue;
        }
        if (!record_fill(r, &rec, &a->record[a->count], &text)) {
            r->fault = "a record in it is malformed";
            dns_answer_unref(a);
            return NULL;
        }
        a->count++;
    }
    a->ttl_s = status == DNS_FOUND ? r->ttl_s : negative_ttl(r);
    return a;
}

static struct dns_answer *fault_answer(enum dns_type type, struct slice name, const char *fault)
{
    struct buf reason = BUF_EMPTY;
    struct dns_answer *a;

    buf_printf(&reason, "unreadable answer: %s", fault);
    a = dns_answer_new(DNS_TEMPFAIL, type, name, buf_slice(&reason));
    buf_fini(&reason);
    return a;
}

struct dns_answer *dns_packet_parse(struct slice packet, struct slice name, enum dns_type type)
{
    struct reading r = {
        .w = {.end = packet.len, .packet = (const uint8_t *)packet.ptr},
        .type = type,
        .ttl_s = UINT32_MAX,
    };
    struct dns_answer *a;
    uint8_t rcode = packet.len > 3 ? (uint8_t)packet.ptr[3] & 15 : 0;

    if (!question_read(&r, name)) {
        return fault_answer(type, name, r.fault);
    }
    if (rcode != 0 && rcode != 3) {
        a = dns_answer_new(DNS_TEMPFAIL, type, name, slice_cstr(rcode_name(rcode)));
        a->rcode = rcode;
        return a;
    }
    if (r.answers > SECTION_RECORDS_MAX || (packet.ptr[2] & 0x02) != 0) {
        return fault_answer(type, name, "it is truncated or has too many records");
    }
    if (!chain_follow(&r)) {
        return fault_answer(type, name, r.fault);
    }
    /* NXDOMAIN speaks about the end of the chain (RFC 6604 3); records prove it wrong. */
    a = answer_make(&r, r.count > 0 ? DNS_FOUND : rcode == 3 ? DNS_NXDOMAIN : DNS_NODATA);
    if (a == NULL) {
        return fault_answer(type, name, r.fault);
    }
    a->rcode = rcode;
    a->aliases = r.aliases;
    a->ad = ((uint8_t)packet.ptr[3] & 0x20) != 0;
    if (a->status == DNS_NODATA && r.aliases > 0 && !r.proven) {
        a->open = true;
        a->ttl_s = r.ttl_s;
    }
    return a;
}
