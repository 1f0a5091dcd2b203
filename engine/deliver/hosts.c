/*
 * hosts.c - the addresses behind a site, and which one to call next.
 */
#include "engine/deliver/hosts.h"

#include "engine/base/mem.h"
#include "engine/base/panic.h"
#include "engine/deliver/retry.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

void hosts_init(struct hosts *set)
{
    *set = (struct hosts){NULL, 0, 0};
}

void hosts_fini(struct hosts *set)
{
    for (size_t i = 0; i < set->count; i++) {
        mem_free(set->host[i].name);
    }
    mem_free(set->host);
    hosts_init(set);
}

static void address_text(const struct sockaddr *address, char out[HOST_IP_MAX])
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
        inet_ntop(AF_INET, &in->sin_addr, out, HOST_IP_MAX);
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)address;
        inet_ntop(AF_INET6, &in6->sin6_addr, out, HOST_IP_MAX);
    } else {
        snprintf(out, HOST_IP_MAX, "unix");
    }
}

struct host *hosts_find(struct hosts *set, struct slice name, const struct sockaddr *address,
                        socklen_t address_len)
{
    for (size_t i = 0; i < set->count; i++) {
        struct host *h = &set->host[i];
        if (h->address_len == address_len && memcmp(&h->address, address, address_len) == 0 &&
            slice_eq(slice_cstr(h->name), name)) {
            return h;
        }
    }
    return NULL;
}

void hosts_add(struct hosts *set, struct slice name, const struct sockaddr *address,
               socklen_t address_len, uint32_t preference)
{
    ASSERT(address_len <= sizeof(struct sockaddr_storage));
    if (set->count >= HOSTS_MAX || hosts_find(set, name, address, address_len) != NULL) {
        return;
    }
    set->host = mem_realloc(set->host, (set->count + 1) * sizeof(set->host[0]));
    struct host *h = &set->host[set->count++];
    *h = (struct host){
        .name = slice_dup(name), .address_len = address_len, .preference = preference};
    memcpy(&h->address, address, address_len);
    address_text(address, h->ip);
}

/* Keeps a host that is not called any more for the sake of its open connections. */
static void keep_gone(struct hosts *fresh, struct host *from)
{
    fresh->host = mem_realloc(fresh->host, (fresh->count + 1) * sizeof(fresh->host[0]));
    fresh->host[fresh->count] = *from;
    fresh->host[fresh->count++].gone = true;
    from->name = NULL; /* moved */
}

void hosts_renew(struct hosts *set, struct hosts *fresh)
{
    for (size_t i = 0; i < fresh->count; i++) {
        struct host *to = &fresh->host[i];
        const struct host *from = hosts_find(
            set, slice_cstr(to->name), (const struct sockaddr *)&to->address, to->address_len);
        if (from != NULL) {
            char *name = to->name;
            uint32_t preference = to->preference;
            *to = *from;
            to->name = name;
            to->preference = preference;
            to->gone = false;
        }
    }
    for (size_t i = 0; i < set->count; i++) {
        struct host *from = &set->host[i];
        if (from->connections.used > 0 &&
            hosts_find(fresh, slice_cstr(from->name), (const struct sockaddr *)&from->address,
                       from->address_len) == NULL) {
            keep_gone(fresh, from);
        }
    }
    fresh->turn = set->turn;
    hosts_fini(set);
    *set = *fresh;
    hosts_init(fresh);
}

void hosts_limit(struct hosts *set, uint32_t per_host_max)
{
    for (size_t i = 0; i < set->count; i++) {
        slots_change(&set->host[i].connections, per_host_max);
    }
}

static int family_of(const struct host *h)
{
    return h->address.ss_family;
}

/* The family to keep to: what is wanted alone, unless the set has none of it. */
static int family_only(const struct hosts *set, const struct hosts_want *want)
{
    if (want == NULL || want->only == AF_UNSPEC) {
        return AF_UNSPEC;
    }
    for (size_t i = 0; i < set->count; i++) {
        if (!set->host[i].gone && family_of(&set->host[i]) == want->only) {
            return want->only;
        }
    }
    return AF_UNSPEC;
}

static bool is_wanted(const struct host *h, int only)
{
    return !h->gone && (only == AF_UNSPEC || family_of(h) == only);
}

/* Whether `a` is to be called rather than `b`, both of them healthy. */
static bool better(const struct host *a, const struct host *b, int prefer, int64_t now_us)
{
    bool a_slow = a->slow_until_us > now_us, b_slow = b->slow_until_us > now_us;
    bool a_first = family_of(a) == prefer, b_first = family_of(b) == prefer;

    if (a->preference != b->preference) {
        return a->preference < b->preference;
    }
    if (a_slow != b_slow) {
        return b_slow;
    }
    if (a_first != b_first) {
        return a_first;
    }
    return a->connections.used < b->connections.used;
}

struct host *hosts_pick(struct hosts *set, const struct hosts_want *want, int64_t now_us,
                        int64_t *up_us)
{
    struct host *best = NULL;
    size_t start = set->count > 0 ? set->turn++ % set->count : 0;
    int only = family_only(set, want);

    *up_us = INT64_MAX;
    for (size_t i = 0; i < set->count; i++) {
        struct host *h = &set->host[(start + i) % set->count];
        if (!is_wanted(h, only)) {
            continue;
        }
        if (h->down_until_us > now_us) {
            *up_us = h->down_until_us < *up_us ? h->down_until_us : *up_us;
        } else if (slots_free(&h->connections, 0)) {
            best = best == NULL || better(h, best, want->prefer, now_us) ? h : best;
        }
    }
    return best;
}

struct host *hosts_rival(struct hosts *set, const struct hosts_want *want, const struct host *first,
                         int64_t now_us)
{
    struct host *best = NULL;
    int only = family_only(set, want);

    for (size_t i = 0; i < set->count; i++) {
        struct host *h = &set->host[i];
        bool inet = family_of(h) == AF_INET || family_of(h) == AF_INET6;
        if (is_wanted(h, only) && inet && family_of(h) != family_of(first) &&
            h->preference == first->preference && h->down_until_us <= now_us &&
            h->slow_until_us <= now_us && slots_free(&h->connections, 0) &&
            (best == NULL || strcmp(h->name, first->name) == 0)) {
            best = h;
        }
    }
    return best;
}

/* Asked before those that are another address under the same name. */
static bool better_other(const struct host *a, const struct host *b, struct slice name)
{
    bool a_new = !slice_eq(slice_cstr(a->name), name), b_new = !slice_eq(slice_cstr(b->name), name);

    if (a_new != b_new) {
        return a_new;
    }
    return a->preference != b->preference ? a->preference < b->preference
                                          : a->connections.used < b->connections.used;
}

struct host *hosts_other(struct hosts *set, const struct hosts_want *want, struct slice name,
                         const struct sockaddr *address, socklen_t address_len, int64_t now_us)
{
    struct host *best = NULL;
    int only = family_only(set, want);

    for (size_t i = 0; i < set->count; i++) {
        struct host *h = &set->host[i];
        bool same = h->address_len == address_len && memcmp(&h->address, address, address_len) == 0;
        bool machine = slice_eq(slice_cstr(h->name), name) && family_of(h) != address->sa_family;
        if (is_wanted(h, only) && !same && !machine && h->down_until_us <= now_us &&
            (best == NULL || better_other(h, best, name))) {
            best = h;
        }
    }
    return best;
}

socklen_t host_endpoint(const struct conf_endpoint *e, struct sockaddr_storage *out)
{
    struct sockaddr_in *in4 = (struct sockaddr_in *)(void *)out;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)out;

    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, e->host, &in4->sin_addr) == 1) {
        in4->sin_family = AF_INET;
        in4->sin_port = htons(e->port);
        return sizeof(*in4);
    }
    ASSERT(inet_pton(AF_INET6, e->host, &in6->sin6_addr) == 1);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(e->port);
    return sizeof(*in6);
}

int64_t host_failed(struct host *h, int64_t now_us)
{
    /* Several connections that break together are one failure, not many. */
    if (h->down_until_us <= now_us) {
        h->failures++;
        h->down_until_us = now_us + retry_site_backoff_us(h->failures);
    }
    return h->down_until_us - now_us;
}

void host_works(struct host *h)
{
    h->failures = 0;
    h->down_until_us = 0;
}

bool hosts_all_down(const struct hosts *set, const struct hosts_want *want, int64_t now_us,
                    int64_t *up_us)
{
    int only = family_only(set, want);
    bool any = false;

    *up_us = INT64_MAX;
    for (size_t i = 0; i < set->count; i++) {
        if (!is_wanted(&set->host[i], only)) {
            continue;
        }
        if (set->host[i].down_until_us <= now_us) {
            return false;
        }
        any = true;
        *up_us = set->host[i].down_until_us < *up_us ? set->host[i].down_until_us : *up_us;
    }
    return any;
}
