/*
 * plan.h - making plans; between mx.c and plan.c.
 */
#ifndef VOLLEY_DNS_PLAN_H
#define VOLLEY_DNS_PLAN_H

#include "engine/dns/mx.h"

/* What a plan is made of; everything is copied. */
struct mx_plan_parts {
    enum mx_verdict verdict;
    bool permanent;
    bool implicit;
    bool literal;
    bool secure;
    struct slice text;
    struct slice domain;
    struct slice site;
    uint32_t ttl_s;
    int64_t now_us;
    const struct mx_host *host; /* in order of preference, addresses as counted */
    size_t host_count;
    const struct mx_address *address;
    size_t address_count;
};

struct mx_plan *mx_plan_make(const struct mx_plan_parts *parts);

/* Appends the site key for the names, which are sorted in place. */
void mx_site_key(struct buf *out, struct slice *names, size_t count);

#endif
