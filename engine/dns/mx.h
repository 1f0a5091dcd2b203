/*
 * mx.h - where mail for a domain goes (RFC 5321 5.1, RFC 7505).
 *
 * Pure.  A struct mx_build turns a domain into questions and their answers into a struct
 * mx_plan: hosts by preference with their addresses, or the reason why there are none.
 * engine/dns/finder.h runs it over the resolver and caches the plans.
 */
#ifndef VOLLEY_DNS_MX_H
#define VOLLEY_DNS_MX_H

#include "engine/base/rng.h"
#include "engine/dns/packet.h"

#include <sys/socket.h>

enum { MX_HOSTS_MAX = 50, MX_HOST_ADDRESSES_MAX = 10, MX_ADDRESSES_MAX = 200 };
enum { MX_SITE_KEY_MAX = 128 };

enum mx_family { MX_BOTH, MX_V4_ONLY, MX_V6_ONLY };

struct mx_options {
    enum mx_family family;
    bool allow_loopback;      /* 127/8, 0/8, ::1, :: as targets: tests, local setups */
    bool refuse_literals;     /* user@[192.0.2.1] */
    bool defer_no_address;    /* no MX target resolves: defer instead of failing */
    const struct slice *self; /* our own host names, lower case: an MX among them cuts the
                                 list there, as mail would come back (RFC 5321 5.1) */
    size_t self_count;
};

enum mx_verdict {
    MX_OK,
    MX_NULL,      /* "0 ." : takes no mail; 5.1.10 */
    MX_NO_DOMAIN, /* no such domain; 5.4.4 */
    MX_BAD_NAME,  /* not a domain name, nor an address literal; 5.1.2 */
    MX_NO_HOST,   /* no MX target (or no domain) has an address; 5.4.4 */
    MX_LOOP,      /* we are the best MX ourselves; 5.4.6 */
    MX_FORBIDDEN, /* only loopback or unspecified addresses, or a literal; 5.4.4 */
    MX_TEMPORARY  /* DNS failed; try again later; 4.4.3 */
};

struct mx_address {
    uint8_t bytes_count; /* 4 or 16 */
    uint8_t bytes[16];
};

struct mx_host {
    struct slice name; /* lower case, A-labels; for a literal the text of the address */
    uint16_t preference;
    uint16_t address_first; /* in plan->address[] */
    uint16_t address_count; /* 0: did not resolve; it stays in the list for the site key */
    bool secure;            /* MX and addresses were validated by DNSSEC */
};

/* Immutable, reference-counted, one allocation; may cross threads. */
struct mx_plan {
    _Atomic unsigned refs;
    enum mx_verdict verdict;
    bool permanent; /* of verdicts other than MX_OK: bounce rather than defer */
    bool implicit;  /* no MX records: the domain's own addresses */
    bool literal;
    bool secure;          /* the MX answer was validated by DNSSEC */
    const char *enhanced; /* "5.1.10"; "" when MX_OK */
    struct slice text;    /* for events: "example.com takes no mail (null MX)" */
    struct slice domain;  /* as asked for, A-labels, lower case; "" when it was none */
    struct slice site;    /* the site key: the sorted host names joined by ',', shortened by a
                             digest above MX_SITE_KEY_MAX; the domain when there are none,
                             "invalid" when there is no domain either.
                             Same on all nodes; bytes are [a-z0-9._,-] */
    int64_t expires_us;   /* monotonic */
    uint32_t ttl_s;
    size_t host_count; /* in order of preference, at most MX_HOSTS_MAX */
    size_t address_count;
    struct mx_host *host;
    struct mx_address *address;
};

struct mx_plan *mx_plan_ref(const struct mx_plan *p);
void mx_plan_unref(struct mx_plan *p); /* NULL is fine */

/* Lower-case name of a verdict for logs: "null-mx", "temporary". */
const char *mx_verdict_name(enum mx_verdict v);

/* The order to try for one connection. */
struct mx_candidate {
    const struct mx_host *host;
    const struct mx_address *address;
};

/* Fills out[0..max) from the plan and returns how many: by preference, equal preferences
 * shuffled, a host's addresses with the families in turn; `prefer_v6` says which starts.
 * When there are more than max, the families still share the room (half each, where both
 * have that many). */
size_t mx_plan_order(const struct mx_plan *p, struct rng *rng, bool prefer_v6,
                     struct mx_candidate *out, size_t max);

/* The socket address of a candidate; returns its length. */
socklen_t mx_address_sockaddr(const struct mx_address *a, uint16_t port,
                              struct sockaddr_storage *out);
/* Its text, "192.0.2.1" or "2001:db8::1"; the buffer holds INET6_ADDRSTRLEN bytes. */
struct slice mx_address_text(const struct mx_address *a, char out[46]);
/* "192.0.2.1", "2001:db8::1" or ERR_INVALID. */
int mx_address_parse(struct slice text, struct mx_address *out);
/* 127/8, 0/8, ::1, ::, and the same mapped into IPv6. */
bool mx_address_is_local(const struct mx_address *a);

/* ---- the state machine ---- */

struct mx_build;

struct mx_question {
    uint32_t id; /* to be handed back with the answer */
    enum dns_type type;
    struct slice name; /* valid until the build is freed */
};

/* `domain`: what stands behind the '@': a domain in UTF-8 or ASCII, or an address literal.
 * `options` is borrowed for the life of the build. */
struct mx_build *mx_build_new(struct slice domain, const struct mx_options *options);
void mx_build_free(struct mx_build *b); /* NULL is fine */

/* The domain as DNS knows it: A-labels, lower case; the text of a literal's address. */
struct slice mx_build_domain(const struct mx_build *b);

/* The next question to ask now; false when there is none (until answers come, or ever). */
bool mx_build_ask(struct mx_build *b, struct mx_question *q);

/* The answer to a question; `ttl_s` is how long it may be used from now.  In any order. */
void mx_build_answer(struct mx_build *b, uint32_t id, const struct dns_answer *a, uint32_t ttl_s);

/* All questions were answered. */
bool mx_build_done(const struct mx_build *b);

/* The plan (a reference for the caller); only when done. */
struct mx_plan *mx_build_plan(struct mx_build *b, int64_t now_us);

#endif
