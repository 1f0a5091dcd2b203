/*
 * topology.c - who holds a partition's keys, as Sentinels, a Cluster and errors tell it.
 */
#include "queue/topology.h"
#include "engine/base/err.h"

#include <stdio.h>
#include <string.h>

/* ---- places ---- */

int place_set(struct place *p, struct slice host, uint64_t port)
{
    if (host.len == 0 || host.len >= sizeof(p->host) || port == 0 || port > TOPOLOGY_PORT_MAX) {
        return ERR_INVALID;
    }
    for (size_t i = 0; i < host.len; i++) {
        if ((uint8_t)host.ptr[i] <= ' ' || (uint8_t)host.ptr[i] >= 0x7f) {
            return ERR_INVALID;
        }
    }
    memmove(p->host, host.ptr, host.len);
    p->host[host.len] = '\0';
    p->port = (unsigned)port;
    return 0;
}

bool place_eq(const struct place *a, const struct place *b)
{
    return a->port == b->port && slice_ieq(slice_cstr(a->host), slice_cstr(b->host));
}

void place_put(struct buf *out, const struct place *p)
{
    bool v6 = strchr(p->host, ':') != NULL;

    buf_printf(out, "%s%s%s:%u", v6 ? "[" : "", p->host, v6 ? "]" : "", p->port);
}

/* A host as servers announce it.  None stands for the one that was asked; "?" is a node that
 * should have a name and was given none. */
static int place_read(struct place *p, struct slice host, uint64_t port, const struct place *asked)
{
    if (host.len == 0) {
        host = slice_cstr(asked->host);
    }
    return !slice_eq(host, SLICE("?")) && place_set(p, host, port) == 0 ? 0 : ERR_PROTO;
}

/* ---- slots ---- */

unsigned topology_crc16(struct slice bytes)
{
    unsigned crc = 0;

    for (size_t i = 0; i < bytes.len; i++) {
        crc ^= (unsigned)(uint8_t)bytes.ptr[i] << 8;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1;
        }
        crc &= 0xffff;
    }
    return crc;
}

unsigned topology_slot(struct slice key)
{
    struct slice tag = slice_from(key, slice_find(key, '{') + 1);
    size_t len = slice_find(tag, '}');

    if (len > 0 && len < tag.len) {
        key = slice_of(tag.ptr, len);
    }
    return topology_crc16(key) % TOPOLOGY_SLOTS;
}

unsigned topology_partition_slot(unsigned partition)
{
    char tag[16];
    int len = snprintf(tag, sizeof(tag), "%u", partition);

    return topology_crc16(slice_of(tag, (size_t)len)) % TOPOLOGY_SLOTS;
}

/* ---- replies ---- */

bool topology_is_elsewhere(const struct resp *reply)
{
    return resp_is_error(reply, SLICE("MOVED")) || resp_is_error(reply, SLICE("READONLY"));
}

int topology_read_moved(const struct resp *reply, const struct place *asked, struct place *out)
{
    struct slice rest, word, slot;
    uint64_t port = 0;

    if (!resp_is_error(reply, SLICE("MOVED"))) {
        return ERR_INVALID;
    }
    rest = reply->text;
    if (!slice_next(&rest, ' ', &word) || !slice_next(&rest, ' ', &slot)) {
        return ERR_PROTO;
    }
    size_t colon = rest.len;
    while (colon > 0 && rest.ptr[colon - 1] != ':') { /* IPv6 comes without brackets */
        colon--;
    }
    if (colon == 0 || slice_u64(slice_from(rest, colon), &port) != 0) {
        return ERR_PROTO;
    }
    return place_read(out, slice_of(rest.ptr, colon - 1), port, asked);
}

int topology_read_master(const struct resp *reply, struct place *out)
{
    int64_t port;

    if (reply->type == RESP_NIL) {
        return ERR_NOTFOUND;
    }
    if (reply->type != RESP_ARRAY || reply->count != 2 || resp_int(&reply->items[1], &port) != 0 ||
        port < 0 || place_set(out, reply->items[0].text, (uint64_t)port) != 0) {
        return ERR_PROTO;
    }
    return 0;
}

bool topology_is_master(const struct resp *reply)
{
    return reply->type == RESP_ARRAY && reply->count > 0 &&
           slice_eq(reply->items[0].text, SLICE("master"));
}

/* What CLUSTER SLOTS says of a node: host, port, id, and (Redis 7) pairs of what else there is,
 * in which a node without a name has its address. */
static bool node_read(const struct resp *node, const struct place *asked, struct place *out)
{
    int64_t port;

    if (node->type != RESP_ARRAY || node->count < 2 || resp_int(&node->items[1], &port) != 0 ||
        port <= 0) {
        return false;
    }
    struct slice host = node->items[0].text;
    if (slice_eq(host, SLICE("?")) && node->count >= 4 && node->items[3].type == RESP_ARRAY) {
        const struct resp *more = &node->items[3];
        for (size_t i = 0; i + 1 < more->count; i += 2) {
            if (slice_eq(more->items[i].text, SLICE("ip"))) {
                host = more->items[i + 1].text;
            }
        }
    }
    return place_read(out, host, (uint64_t)port, asked) == 0;
}

/* One entry of CLUSTER SLOTS: first slot, last slot, master, replicas.  False when it is none. */
static bool range_read(const struct resp *entry, int64_t *first, int64_t *last,
                       const struct place *asked, struct place *master)
{
    return entry->type == RESP_ARRAY && entry->count >= 3 &&
           resp_int(&entry->items[0], first) == 0 && resp_int(&entry->items[1], last) == 0 &&
           node_read(&entry->items[2], asked, master);
}

int topology_read_slot(const struct resp *reply, unsigned slot, const struct place *asked,
                       struct place *out)
{
    int64_t first, last;

    if (reply->type != RESP_ARRAY) {
        return ERR_PROTO;
    }
    for (size_t i = 0; i < reply->count; i++) {
        struct place master;
        if (!range_read(&reply->items[i], &first, &last, asked, &master)) {
            return ERR_PROTO;
        }
        if (first <= (int64_t)slot && (int64_t)slot <= last) {
            *out = master;
            return 0;
        }
    }
    return ERR_NOTFOUND;
}

size_t topology_read_masters(const struct resp *reply, const struct place *asked, struct place *out,
                             size_t max)
{
    size_t count = 0;
    int64_t first, last;

    for (size_t i = 0; reply->type == RESP_ARRAY && i < reply->count && count < max; i++) {
        struct place master;
        bool known = !range_read(&reply->items[i], &first, &last, asked, &master);
        for (size_t k = 0; k < count && !known; k++) {
            known = place_eq(&out[k], &master);
        }
        if (!known) {
            out[count++] = master;
        }
    }
    return count;
}
