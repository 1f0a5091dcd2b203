/*
 * mx.c - from a domain to its plan, question by question.
 *
 * First the MX records; then, all at once, the addresses of every host they name (or of the
 * domain itself when there are none, RFC 5321 5.1).  A failure of the MX lookup is never
 * taken for "there are none": mail would go to a web server.  Host i asks for its A records
 * with question id 1 + 2i, for AAAA with 2 + 2i; id 0 is the MX question.
 */
#include "engine/dns/mx.h"

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/panic.h"
#include "engine/dns/idna.h"
#include "engine/dns/plan.h"

#include <stdlib.h>
#include <string.h>

enum { TTL_LITERAL_S = 3600, REASON_MAX = 80 };

struct build_host {
    char *name;
    uint16_t preference;
    bool insecure; /* an answer about it was not validated */
    size_t count;
    struct mx_address address[2 * MX_HOST_ADDRESSES_MAX];
};

struct mx_build {
    const struct mx_options *options;
    struct buf domain; /* A-labels, or the text of the literal's address */
    struct buf text;
    struct buf site;
    bool settled; /* the verdict stands, nothing is left to ask */
    bool mx_asked;
    bool mx_answered;
    bool secure;
    bool implicit;
    bool literal;
    bool permanent;
    bool saw_failure; /* a host's addresses could not be looked up */
    bool saw_local;   /* an address was refused */
    enum mx_verdict verdict;
    uint32_t ttl_s;
    size_t cursor; /* the next address question, counted as ids are */
    size_t waiting;
    size_t host_count;
    struct build_host *host;
};

static void settle(struct mx_build *b, enum mx_verdict verdict, bool permanent)
{
    b->settled = true;
    b->verdict = verdict;
    b->permanent = permanent;
}

static struct build_host *host_add(struct mx_build *b, struct slice name, uint16_t preference)
{
    struct build_host *h;

    b->host = mem_realloc(b->host, (b->host_count + 1) * sizeof(*b->host));
    h = &b->host[b->host_count++];
    memset(h, 0, sizeof(*h));
    h->name = slice_dup(name);
    h->preference = preference;
    return h;
}

/* "[192.0.2.1]", "[IPv6:2001:db8::1]" (RFC 5321 4.1.3). */
static void literal_read(struct mx_build *b, struct slice text)
{
    static const struct slice tag = {"IPv6:", 5};
    struct slice inner = slice_of(text.ptr + 1, text.len - 2);
    bool v6 = slice_istarts(inner, tag);
    struct mx_address address;
    struct build_host *h;
    char shown[46];

    b->literal = true;
    b->ttl_s = TTL_LITERAL_S;
    if (v6) {
        inner = slice_from(inner, tag.len);
    }
    if (mx_address_parse(inner, &address) < 0 || (address.bytes_count == 16) != v6) {
        BUF_LIT(&b->text, "the address literal holds no IP address");
        settle(b, MX_BAD_NAME, true);
        return;
    }
    buf_puts(&b->domain, mx_address_text(&address, shown));
    if (b->options->refuse_literals) {
        buf_printf(&b->text, "mail to the address literal [%s] is refused by configuration", shown);
        settle(b, MX_FORBIDDEN, true);
    } else if (mx_address_is_local(&address) && !b->options->allow_loopback) {
        buf_printf(&b->text, "[%s] is an address of this machine itself", shown);
        settle(b, MX_FORBIDDEN, true);
    } else {
        h = host_add(b, slice_cstr(shown), 0);
        h->insecure = true;
        h->address[h->count++] = address;
        settle(b, MX_OK, false);
    }
}

struct mx_build *mx_build_new(struct slice domain, const struct mx_options *options)
{
    struct mx_build *b = mem_zalloc(sizeof(*b));

    b->options = options;
    b->ttl_s = UINT32_MAX;
    if (domain.len > 2 && domain.ptr[0] == '[' && domain.ptr[domain.len - 1] == ']') {
        literal_read(b, domain);
    } else if (idna_to_ascii(domain, &b->domain) < 0) {
        b->ttl_s = TTL_LITERAL_S;
        BUF_LIT(&b->text, "not a valid domain name");
        settle(b, MX_BAD_NAME, true);
    }
    return b;
}

void mx_build_free(struct mx_build *b)
{
    if (b == NULL) {
        return;
    }
    for (size_t i = 0; i < b->host_count; i++) {
        mem_free(b->host[i].name);
    }
    mem_free(b->host);
    buf_fini(&b->domain);
    buf_fini(&b->text);
    buf_fini(&b->site);
    mem_free(b);
}

struct slice mx_build_domain(const struct mx_build *b)
{
    return buf_slice(&b->domain);
}

/* ---- questions ---- */

static bool family_wanted(const struct mx_build *b, enum dns_type type)
{
    return b->options->family == MX_BOTH ||
           (b->options->family == MX_V6_ONLY) == (type == DNS_AAAA);
}

bool mx_build_ask(struct mx_build *b, struct mx_question *q)
{
    if (b->settled) {
        return false;
    }
    if (!b->mx_asked) {
        b->mx_asked = true;
        b->waiting++;
        *q = (struct mx_question){0, DNS_MX, buf_slice(&b->domain)};
        return true;
    }
    while (b->mx_answered && b->cursor < 2 * b->host_count) {
        size_t at = b->cursor++;
        enum dns_type type = at % 2 == 0 ? DNS_A : DNS_AAAA;

        if (family_wanted(b, type)) {
            b->waiting++;
            *q = (struct mx_question){(uint32_t)at + 1, type, slice_cstr(b->host[at / 2].name)};
            return true;
        }
    }
    return false;
}

bool mx_build_done(const struct mx_build *b)
{
    return b->settled || (b->mx_answered && b->waiting == 0 && b->cursor >= 2 * b->host_count);
}

/* ---- the MX answer ---- */

static bool is_self(const struct mx_build *b, struct slice name)
{
    for (size_t i = 0; i < b->options->self_count; i++) {
        if (slice_ieq(b->options->self[i], name)) {
            return true;
        }
    }
    return false;
}

static struct build_host *host_find(struct mx_build *b, struct slice name)
{
    for (size_t i = 0; i < b->host_count; i++) {
        if (slice_eq(slice_cstr(b->host[i].name), name)) {
            return &b->host[i];
        }
    }
    return NULL;
}

static int host_order(const void *a, const void *b)
{
    const struct build_host *x = a, *y = b;

    if (x->preference != y->preference) {
        return x->preference < y->preference ? -1 : 1;
    }
    return strcmp(x->name, y->name);
}

static void hosts_cut(struct mx_build *b, size_t keep)
{
    while (b->host_count > keep) {
        mem_free(b->host[--b->host_count].name);
    }
}

/* The usable targets, best first, each once.  The root (which says "no mail" when it stands
 * alone) and names that no host can have are passed over. */
static void hosts_collect(struct mx_build *b, const struct dns_answer *a)
{
    for (size_t i = 0; i < a->count; i++) {
        const struct dns_record *r = &a->record[i];
        struct build_host *h;

        if (!dns_name_valid(r->data)) {
            continue;
        }
        h = host_find(b, r->data);
        if (h == NULL) {
            host_add(b, r->data, r->preference);
        } else if (r->preference < h->preference) {
            h->preference = r->preference;
        }
    }
    if (b->host_count > 0) {
        qsort(b->host, b->host_count, sizeof(b->host[0]), host_order);
    }
    hosts_cut(b, MX_HOSTS_MAX);
}

static void site_make(struct mx_build *b)
{
    struct slice names[MX_HOSTS_MAX];

    for (size_t i = 0; i < b->host_count; i++) {
        names[i] = slice_cstr(b->host[i].name);
    }
    mx_site_key(&b->site, names, b->host_count);
}

/* RFC 5321 5.1: we are an MX ourselves: that one and all that are not better are dropped, or
 * mail would go round in circles. */
static void self_cut(struct mx_build *b)
{
    for (size_t i = 0; i < b->host_count; i++) {
        if (is_self(b, slice_cstr(b->host[i].name))) {
            while (i > 0 && b->host[i - 1].preference == b->host[i].preference) {
                i--;
            }
            hosts_cut(b, i);
            break;
        }
    }
}

static void hosts_settle(struct mx_build *b)
{
    struct slice domain = buf_slice(&b->domain);

    site_make(b);
    if (b->host_count == 0) {
        buf_printf(&b->text, "no MX record of " SLICE_FMT " names a valid host", SLICE_ARG(domain));
        settle(b, MX_NO_HOST, true);
        return;
    }
    self_cut(b);
    if (b->host_count == 0) {
        buf_printf(&b->text, "mail for " SLICE_FMT " would loop back to this machine, its best MX",
                   SLICE_ARG(domain));
        settle(b, MX_LOOP, true);
    }
}

static bool is_null_mx(const struct dns_answer *a)
{
    return a->count == 1 && a->record[0].data.len == 0;
}

static struct slice reason_of(const struct dns_answer *a)
{
    struct slice reason = a->reason.len > 0 ? a->reason : SLICE("no reason given");

    reason.len = reason.len < REASON_MAX ? reason.len : REASON_MAX;
    return reason;
}

static void mx_answer(struct mx_build *b, const struct dns_answer *a)
{
    struct slice domain = buf_slice(&b->domain);

    b->mx_answered = true;
    b->secure = a->ad;
    switch (a->status) {
    case DNS_TEMPFAIL:
        buf_printf(&b->text, "MX lookup of " SLICE_FMT " failed: " SLICE_FMT, SLICE_ARG(domain),
                   SLICE_ARG(reason_of(a)));
        settle(b, MX_TEMPORARY, false);
        return;
    case DNS_NXDOMAIN:
        buf_printf(&b->text, "the domain " SLICE_FMT " does not exist", SLICE_ARG(domain));
        settle(b, MX_NO_DOMAIN, true);
        return;
    case DNS_NODATA:
        b->implicit = true;
        host_add(b, domain, 0);
        break;
    case DNS_FOUND:
        if (is_null_mx(a)) {
            buf_printf(&b->text, SLICE_FMT " takes no mail (null MX)", SLICE_ARG(domain));
            settle(b, MX_NULL, true);
            return;
        }
        hosts_collect(b, a);
        break;
    }
    hosts_settle(b);
}

/* ---- the addresses ---- */

static void address_answer(struct mx_build *b, struct build_host *h, const struct dns_answer *a)
{
    size_t taken = 0;

    b->saw_failure |= a->status == DNS_TEMPFAIL;
    h->insecure |= !a->ad;
    for (size_t i = 0; i < a->count && taken < MX_HOST_ADDRESSES_MAX; i++) {
        const struct dns_record *r = &a->record[i];
        struct mx_address address = {.bytes_count = r->family_bytes};

        memcpy(address.bytes, r->address, r->family_bytes);
        if (mx_address_is_local(&address) && !b->options->allow_loopback) {
            b->saw_local = true;
            continue;
        }
        ASSERT(h->count < 2 * MX_HOST_ADDRESSES_MAX);
        h->address[h->count++] = address;
        taken++;
    }
}

void mx_build_answer(struct mx_build *b, uint32_t id, const struct dns_answer *a, uint32_t ttl_s)
{
    ASSERT(b->waiting > 0 && id <= 2 * b->host_count);
    b->waiting--;
    b->ttl_s = ttl_s < b->ttl_s ? ttl_s : b->ttl_s;
    if (id == 0) {
        mx_answer(b, a);
    } else {
        address_answer(b, &b->host[(id - 1) / 2], a);
    }
}

/* ---- the plan ---- */

/* A host keeps at most MX_HOST_ADDRESSES_MAX; where both families have many, half each. */
static size_t addresses_choose(const struct build_host *h, size_t room, struct mx_address *out)
{
    size_t have[2] = {0, 0}, left[2], count = 0;

    room = room < MX_HOST_ADDRESSES_MAX ? room : MX_HOST_ADDRESSES_MAX;
    for (size_t i = 0; i < h->count; i++) {
        have[h->address[i].bytes_count == 16]++;
    }
    left[1] = have[1] < room / 2 ? have[1] : room / 2;
    left[0] = have[0] < room - left[1] ? have[0] : room - left[1];
    left[1] = have[1] < room - left[0] ? have[1] : room - left[0];
    /* IPv4 first, whichever answer came first. */
    for (size_t family = 0; family < 2; family++) {
        for (size_t i = 0; i < h->count && left[family] > 0; i++) {
            if ((h->address[i].bytes_count == 16) == family) {
                left[family]--;
                out[count++] = h->address[i];
            }
        }
    }
    return count;
}

static void verdict_without_address(struct mx_build *b)
{
    struct slice domain = buf_slice(&b->domain);
    const char *family = b->options->family == MX_V4_ONLY   ? "IPv4 "
                         : b->options->family == MX_V6_ONLY ? "IPv6 "
                                                            : "";

    if (b->saw_failure) {
        buf_printf(&b->text, "address lookup of the %s of " SLICE_FMT " failed",
                   b->implicit ? "host" : "MX hosts", SLICE_ARG(domain));
        settle(b, MX_TEMPORARY, false);
    } else if (b->saw_local) {
        buf_printf(&b->text, "all MX hosts of " SLICE_FMT " have loopback addresses",
                   SLICE_ARG(domain));
        settle(b, MX_FORBIDDEN, true);
    } else {
        buf_printf(&b->text,
                   b->implicit ? SLICE_FMT " has neither MX nor %saddress records"
                               : "no MX host of " SLICE_FMT " has an %saddress",
                   SLICE_ARG(domain), family);
        settle(b, MX_NO_HOST, !b->options->defer_no_address);
    }
}

struct mx_plan *mx_build_plan(struct mx_build *b, int64_t now_us)
{
    struct mx_host host[MX_HOSTS_MAX];
    struct mx_address address[MX_ADDRESSES_MAX];
    size_t used = 0;

    ASSERT(mx_build_done(b));
    for (size_t i = 0; i < b->host_count; i++) {
        const struct build_host *h = &b->host[i];
        size_t count = addresses_choose(h, MX_ADDRESSES_MAX - used, address + used);

        host[i] = (struct mx_host){
            .name = slice_cstr(h->name),
            .preference = h->preference,
            .address_first = (uint16_t)used,
            .address_count = (uint16_t)count,
            .secure = b->secure && !h->insecure && count > 0,
        };
        used += count;
    }
    if (!b->settled && used == 0) {
        verdict_without_address(b);
    }
    if (b->domain.len == 0) {
        BUF_LIT(&b->site, "invalid");
    } else if (b->site.len == 0) {
        for (size_t i = 0; i < b->domain.len; i++) {
            buf_putc(&b->site, b->domain.ptr[i] == ':' ? '-' : b->domain.ptr[i]);
        }
    }
    return mx_plan_make(&(struct mx_plan_parts){
        .verdict = b->verdict,
        .permanent = b->permanent,
        .implicit = b->implicit,
        .literal = b->literal,
        .secure = b->secure,
        .text = buf_slice(&b->text),
        .domain = buf_slice(&b->domain),
        .site = buf_slice(&b->site),
        .ttl_s = b->ttl_s,
        .now_us = now_us,
        .host = host,
        .host_count = b->host_count,
        .address = address,
        .address_count = used,
    });
}
