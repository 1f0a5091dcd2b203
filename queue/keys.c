/*
 * keys.c - names of the keys of one partition.
 */
#include "queue/keys.h"
#include "engine/base/err.h"
#include "queue/resp.h"

#include <stdio.h>
#include <string.h>

enum { PREFIX_MAX = 32, PARTITION_MAX = 1023, NAME_MAX_LEN = 64 };

static bool name_valid(struct slice name, size_t len_max)
{
    if (name.len == 0 || name.len > len_max) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              c == '.' || c == '_' || c == '-')) {
            return false;
        }
    }
    return true;
}

int keys_init(struct keys *k, struct slice prefix, unsigned partition)
{
    if (!name_valid(prefix, PREFIX_MAX)) {
        return ERR_INVALID;
    }
    if (partition > PARTITION_MAX) {
        return ERR_RANGE;
    }
    int len = snprintf(k->base, sizeof(k->base), SLICE_FMT ":{%u}:", SLICE_ARG(prefix), partition);
    ASSERT(len > 0 && (size_t)len < sizeof(k->base));
    k->base_len = (size_t)len;
    k->partition = partition;
    return 0;
}

void keys_put(struct buf *out, const struct keys *k, struct slice rest)
{
    buf_put(out, k->base, k->base_len);
    buf_puts(out, rest);
}

void keys_put_arg2(struct buf *out, const struct keys *k, struct slice rest, struct slice more)
{
    buf_putc(out, '$');
    buf_putu(out, k->base_len + rest.len + more.len);
    BUF_LIT(out, "\r\n");
    buf_put(out, k->base, k->base_len);
    buf_puts(out, rest);
    buf_puts(out, more);
    BUF_LIT(out, "\r\n");
}

void keys_put_arg(struct buf *out, const struct keys *k, struct slice rest)
{
    keys_put_arg2(out, k, rest, SLICE_NONE);
}

static bool pool_read(struct list_name *out, struct slice pool)
{
    out->via = JOB_VIA_POOL;
    if (slice_starts(pool, SLICE("source="))) {
        out->via = JOB_VIA_SOURCE;
        pool = slice_from(pool, sizeof("source=") - 1);
    } else if (slice_starts(pool, SLICE("route="))) {
        out->via = JOB_VIA_ROUTE;
        pool = slice_from(pool, sizeof("route=") - 1);
    }
    out->pool = pool;
    return name_valid(pool, NAME_MAX_LEN);
}

static bool site_valid(struct slice site)
{
    if (site.len == 0 || site.len > KEYS_SITE_MAX) {
        return false;
    }
    for (size_t i = 0; i < site.len; i++) {
        if ((uint8_t)site.ptr[i] <= ' ' || site.ptr[i] == '\x7f') {
            return false;
        }
    }
    return true;
}

int list_name_parse(struct list_name *out, struct slice name)
{
    struct slice rest, class, pool;

    memset(out, 0, sizeof(*out));
    out->bin = slice_starts(name, SLICE("bin:"));
    if (name.len > KEYS_LIST_MAX || (!out->bin && !slice_starts(name, SLICE("in:")))) {
        return ERR_INVALID;
    }
    rest = slice_from(name, out->bin ? 4 : 3);
    out->lane = rest;
    if (!slice_next(&rest, ':', &class) || !slice_next(&rest, ':', &pool) ||
        !slice_next(&rest, ':', &out->tenant) || !job_class_parse(class, &out->class) ||
        !pool_read(out, pool) || !name_valid(out->tenant, NAME_MAX_LEN) ||
        out->bin != (rest.ptr != NULL)) {
        return ERR_INVALID;
    }
    if (out->bin) {
        out->lane.len = (size_t)(rest.ptr - 1 - out->lane.ptr);
        out->site = rest; /* all that is left: a site may hold a colon */
        return site_valid(rest) ? 0 : ERR_INVALID;
    }
    return 0;
}

void list_name_put_bin(struct buf *out, struct slice lane, struct slice site)
{
    BUF_LIT(out, "bin:");
    buf_puts(out, lane);
    buf_putc(out, ':');
    buf_puts(out, site);
}
