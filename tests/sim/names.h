/*
 * names.h - the name servers of the simulated world.
 *
 * In place of engine/dns/transport.c: cache, resolver and MX plans above it are the engine's
 * own.  A domain "d<n>.test" has a zone drawn from the seed: mail hosts with preferences, or
 * what else a domain can have; it may change on the way, and its servers may fail for a time.
 */
#ifndef VOLLEY_TESTS_SIM_NAMES_H
#define VOLLEY_TESTS_SIM_NAMES_H

#include <stdbool.h>
#include <stdint.h>

enum { NAMES_ZONES_MAX = 24, NAMES_MX_MAX = 4 };

enum zone_kind { ZONE_MX, ZONE_NULL_MX, ZONE_NXDOMAIN, ZONE_KINDS };

struct zone {
    enum zone_kind kind;
    unsigned mx_count;
    unsigned host[NAMES_MX_MAX]; /* index in hosts.h */
    unsigned preference[NAMES_MX_MAX];
    uint32_t ttl_s;
    int64_t fails_from_us; /* SERVFAIL */
    int64_t fails_until_us;
    bool never_answers; /* while it fails: no answer at all */
    bool changed;       /* it had other hosts before, which a cache may still know */
};

void names_make(unsigned zones, unsigned hosts);
unsigned names_count(void);
struct zone *names_zone(unsigned i);
void names_change(void); /* one zone gets other hosts */
void names_heal(void);
void names_fini(void);

/* Every host of the zone is innocent, and it has some. */
bool names_innocent(unsigned zone);

#endif
