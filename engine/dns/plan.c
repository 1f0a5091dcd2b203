/*
 * plan.c - plans, their order of trial, their site key.
 */
#include "engine/dns/plan.h"

#include "engine/base/err.h"
#include "engine/base/map.h"
#include "engine/base/mem.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    const char *permanent; /* enhanced status codes, RFC 3463 and RFC 7505 4.2 */
    const char *temporary;
} verdicts[] = {
    [MX_OK] = {"ok", "", ""},
    [MX_NULL] = {"null-mx", "5.1.10", "4.1.10"},
    [MX_NO_DOMAIN] = {"no-domain", "5.4.4", "4.4.4"},
    [MX_BAD_NAME] = {"bad-name", "5.1.2", "4.1.2"},
    [MX_NO_HOST] = {"no-host", "5.4.4", "4.4.4"},
    [MX_LOOP] = {"loop", "5.4.6", "4.4.6"},
    [MX_FORBIDDEN] = {"forbidden", "5.4.4", "4.4.4"},
    [MX_TEMPORARY] = {"temporary", "5.4.3", "4.4.3"},
};

const char *mx_verdict_name(enum mx_verdict v)
{
    return verdicts[v].name;
}

static struct slice text_put(char **text, struct slice s)
{
    struct slice copy = slice_of(*text, s.len);

    if (s.len > 0) {
        memcpy(*text, s.ptr, s.len);
        *text += s.len;
    }
    return copy;
}

struct mx_plan *mx_plan_make(const struct mx_plan_parts *parts)
{
    size_t hosts_len = parts->host_count * sizeof(struct mx_host);
    size_t addresses_len = parts->address_count * sizeof(struct mx_address);
    size_t text_len = parts->text.len + parts->domain.len + parts->site.len;
    struct mx_plan *p;
    char *text;

    for (size_t i = 0; i < parts->host_count; i++) {
        text_len += parts->host[i].name.len;
    }
    p = mem_zalloc(sizeof(*p) + hosts_len + addresses_len + text_len);
    atomic_init(&p->refs, 1);
    p->verdict = parts->verdict;
    p->permanent = parts->permanent;
    p->implicit = parts->implicit;
    p->literal = parts->literal;
    p->secure = parts->secure;
    p->enhanced =
        parts->permanent ? verdicts[p->verdict].permanent : verdicts[p->verdict].temporary;
    p->ttl_s = parts->ttl_s;
    p->expires_us = parts->now_us + (int64_t)parts->ttl_s * 1000000;
    p->host_count = parts->host_count;
    p->address_count = parts->address_count;
    p->host = (struct mx_host *)(p + 1);
    p->address = (struct mx_address *)((char *)p->host + hosts_len);
    text = (char *)p->address + addresses_len;
    p->text = text_put(&text, parts->text);
    p->domain = text_put(&text, parts->domain);
    p->site = text_put(&text, parts->site);
    for (size_t i = 0; i < p->host_count; i++) {
        p->host[i] = parts->host[i];
        p->host[i].name = text_put(&text, parts->host[i].name);
    }
    if (addresses_len > 0) {
        memcpy(p->address, parts->address, addresses_len);
    }
    return p;
}

struct mx_plan *mx_plan_ref(const struct mx_plan *p)
{
    struct mx_plan *mutable = (struct mx_plan *)p; /* only the count is ever changed */

    atomic_fetch_add_explicit(&mutable->refs, 1, memory_order_relaxed);
    return mutable;
}

void mx_plan_unref(struct mx_plan *p)
{
    if (p != NULL && atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1) {
        mem_free(p);
    }
}

/* ---- the order of trial ---- */

enum { V4, V6, FAMILIES };

static int family_of(const struct mx_address *a)
{
    return a->bytes_count == 16 ? V6 : V4;
}

static void shuffle(struct rng *rng, uint16_t *item, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = rng_below(rng, i);
        uint16_t swap = item[i - 1];

        item[i - 1] = item[j];
        item[j] = swap;
    }
}

/* Host indexes by preference, equal ones shuffled. */
static void hosts_order(const struct mx_plan *p, struct rng *rng, uint16_t *order)
{
    size_t first = 0;

    for (size_t i = 0; i < p->host_count; i++) {
        order[i] = (uint16_t)i;
    }
    for (size_t i = 1; i <= p->host_count; i++) {
        if (i == p->host_count || p->host[i].preference != p->host[first].preference) {
            shuffle(rng, order + first, i - first);
            first = i;
        }
    }
}

/* The addresses of one host: shuffled, then the families in turn. */
static size_t host_candidates(const struct mx_plan *p, const struct mx_host *h, struct rng *rng,
                              bool prefer_v6, struct mx_candidate *out)
{
    uint16_t index[FAMILIES][MX_HOST_ADDRESSES_MAX];
    size_t have[FAMILIES] = {0, 0}, used[FAMILIES] = {0, 0}, count = 0;
    int family = prefer_v6 ? V6 : V4;

    for (size_t i = 0; i < h->address_count; i++) {
        uint16_t at = (uint16_t)(h->address_first + i);
        int f = family_of(&p->address[at]);

        index[f][have[f]++] = at;
    }
    shuffle(rng, index[V4], have[V4]);
    shuffle(rng, index[V6], have[V6]);
    while (count < h->address_count) {
        if (used[family] < have[family]) {
            out[count++] = (struct mx_candidate){h, &p->address[index[family][used[family]++]]};
        }
        family = family == V4 ? V6 : V4;
    }
    return count;
}

/* How many of `room` places each family gets: half, or what the other does not need. */
static void room_share(size_t room, const size_t have[FAMILIES], size_t share[FAMILIES])
{
    size_t half_v6 = room / 2;

    share[V6] = have[V6] < half_v6 ? have[V6] : half_v6;
    share[V4] = have[V4] < room - share[V6] ? have[V4] : room - share[V6];
    share[V6] = have[V6] < room - share[V4] ? have[V6] : room - share[V4];
}

size_t mx_plan_order(const struct mx_plan *p, struct rng *rng, bool prefer_v6,
                     struct mx_candidate *out, size_t max)
{
    struct mx_candidate all[MX_ADDRESSES_MAX];
    uint16_t order[MX_HOSTS_MAX];
    size_t have[FAMILIES] = {0, 0}, share[FAMILIES];
    size_t total = 0, count = 0;

    hosts_order(p, rng, order);
    for (size_t i = 0; i < p->host_count; i++) {
        total += host_candidates(p, &p->host[order[i]], rng, prefer_v6, all + total);
    }
    for (size_t i = 0; i < total; i++) {
        have[family_of(all[i].address)]++;
    }
    room_share(max, have, share);
    for (size_t i = 0; i < total; i++) {
        int family = family_of(all[i].address);

        if (share[family] > 0) {
            share[family]--;
            out[count++] = all[i];
        }
    }
    return count;
}

/* ---- addresses ---- */

socklen_t mx_address_sockaddr(const struct mx_address *a, uint16_t port,
                              struct sockaddr_storage *out)
{
    memset(out, 0, sizeof(*out));
    if (a->bytes_count == 4) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)out;

        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        memcpy(&v4->sin_addr, a->bytes, 4);
        return sizeof(*v4);
    }
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    memcpy(&v6->sin6_addr, a->bytes, 16);
    return sizeof(*v6);
}

struct slice mx_address_text(const struct mx_address *a, char out[46])
{
    inet_ntop(a->bytes_count == 16 ? AF_INET6 : AF_INET, a->bytes, out, 46);
    return slice_cstr(out);
}

int mx_address_parse(struct slice text, struct mx_address *out)
{
    char copy[INET6_ADDRSTRLEN];

    memset(out, 0, sizeof(*out));
    if (text.len == 0 || text.len >= sizeof(copy) || slice_find(text, '\0') < text.len) {
        return ERR_INVALID;
    }
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (inet_pton(AF_INET, copy, out->bytes) == 1) {
        out->bytes_count = 4;
        return 0;
    }
    if (inet_pton(AF_INET6, copy, out->bytes) == 1) {
        out->bytes_count = 16;
        return 0;
    }
    return ERR_INVALID;
}

bool mx_address_is_local(const struct mx_address *a)
{
    static const uint8_t zeros[15], mapped[12] = {[10] = 0xff, [11] = 0xff};
    const uint8_t *v4 = a->bytes;

    if (a->bytes_count == 16) {
        if (memcmp(a->bytes, zeros, 15) == 0) {
            return a->bytes[15] <= 1; /* :: and ::1 */
        }
        if (memcmp(a->bytes, mapped, 12) != 0) {
            return false;
        }
        v4 = a->bytes + 12;
    }
    return v4[0] == 127 || v4[0] == 0;
}

/* ---- the site key ---- */

static int name_order(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

/* 128 bits as hex, under keys that all nodes share: the key of a site must be the same on
 * each.  Nothing depends on it being hard to guess. */
static void digest_put(struct buf *out, struct slice text)
{
    static const uint64_t keys[2][2] = {{0x766f6c6c65792e31, 1}, {0x766f6c6c65792e32, 2}};

    buf_printf(out, "%016llx%016llx", (unsigned long long)map_siphash(text, keys[0]),
               (unsigned long long)map_siphash(text, keys[1]));
}

void mx_site_key(struct buf *out, struct slice *names, size_t count)
{
    struct buf joined = BUF_EMPTY;
    enum { DIGEST_LEN = 32 };

    qsort(names, count, sizeof(names[0]), name_order);
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            buf_putc(&joined, ',');
        }
        buf_puts(&joined, names[i]);
    }
    if (joined.len <= MX_SITE_KEY_MAX) {
        buf_puts(out, buf_slice(&joined));
    } else {
        size_t head = names[0].len;

        head = head < MX_SITE_KEY_MAX - DIGEST_LEN - 1 ? head : MX_SITE_KEY_MAX - DIGEST_LEN - 1;
        buf_put(out, names[0].ptr, head);
        buf_putc(out, ',');
        digest_put(out, buf_slice(&joined));
    }
    buf_fini(&joined);
}
