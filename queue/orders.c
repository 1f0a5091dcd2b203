/*
 * orders.c - orders as an engine knows them.
 */
#include "queue/orders.h"
#include "engine/base/err.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"

#include <string.h>

void orders_init(struct orders *o)
{
    memset(o, 0, sizeof(*o));
}

void orders_fini(struct orders *o)
{
    mem_free(o->items);
    mem_free(o->text);
    orders_init(o);
}

/* ---- reading ---- */

static bool kind_parse(struct slice word, enum order_kind *out)
{
    static const char *const names[] = {
        [ORDER_LIFTED] = "lifted", [ORDER_RETRY] = "retry",   [ORDER_PAUSE] = "pause",
        [ORDER_HOLD] = "hold",     [ORDER_CANCEL] = "cancel",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (slice_eq(word, slice_cstr(names[i]))) {
            *out = (enum order_kind)i;
            return true;
        }
    }
    return false;
}

/* "campaign=spring" */
static bool word_parse(struct order *order, struct slice word)
{
    const struct {
        struct slice name;
        struct slice *value;
    } fields[] = {
        {SLICE("campaign"), &order->campaign}, {SLICE("tenant"), &order->tenant},
        {SLICE("domain"), &order->domain},     {SLICE("site"), &order->site},
        {SLICE("class"), &order->class},       {SLICE("tag"), &order->tag},
    };
    struct slice value = word, name;

    if (slice_eq(word, SLICE("all=yes"))) {
        return true;
    }
    if (!slice_next(&value, '=', &name) || value.len == 0) {
        return false;
    }
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (slice_eq(name, fields[i].name)) {
            *fields[i].value = value;
            return true;
        }
    }
    return false;
}

/* "cancel 1700000000000 1700086400000 campaign=spring tenant=acme" */
static bool order_parse(struct order *order, struct slice id, struct slice text, int64_t now_ms,
                        int64_t now_us)
{
    struct slice word;
    uint64_t created_ms, expires_ms;

    *order = (struct order){.id = id, .until_us = INT64_MAX};
    if (id.len == 0 || id.len > ORDER_ID_MAX || !slice_next(&text, ' ', &word) ||
        !kind_parse(word, &order->kind) || !slice_next(&text, ' ', &word) ||
        slice_u64(word, &created_ms) != 0 || !slice_next(&text, ' ', &word) ||
        slice_u64(word, &expires_ms) != 0 || expires_ms > INT64_MAX / 2000 || text.len == 0) {
        return false;
    }
    if (expires_ms > 0) {
        order->until_us = now_us + ((int64_t)expires_ms - now_ms) * 1000;
    }
    while (slice_next(&text, ' ', &word)) {
        /* One that is not understood must not make the order speak of more than it says. */
        if (!word_parse(order, word)) {
            return false;
        }
    }
    order->whole_lists = order->campaign.len == 0 && order->domain.len == 0 && order->tag.len == 0;
    return true;
}

/* Copies the strings, so that slices stay when the reply goes. */
static struct slice keep(char *text, size_t *at, struct slice s)
{
    char *to = text + *at;

    if (s.len > 0) {
        memcpy(to, s.ptr, s.len);
    }
    *at += s.len;
    return slice_of(to, s.len);
}

static void read_all(struct orders *o, const struct resp *hash, int64_t now_ms, int64_t now_us)
{
    size_t len = 0, at = 0;

    for (size_t i = 0; i < hash->count; i++) {
        len += hash->items[i].text.len;
    }
    o->text = mem_alloc(len + 1);
    o->items = mem_array(ORDERS_MAX, sizeof(*o->items));
    for (size_t i = 0; i + 1 < hash->count && o->count < ORDERS_MAX; i += 2) {
        struct slice id = hash->items[i].text;
        if (slice_find(id, '#') < id.len) {
            continue; /* how many it ended */
        }
        id = keep(o->text, &at, id);
        if (order_parse(&o->items[o->count], id, keep(o->text, &at, hash->items[i + 1].text),
                        now_ms, now_us)) {
            o->count++;
        } else {
            log_warn("queue: order " SLICE_FMT " cannot be understood and is not obeyed",
                     SLICE_ARG(id));
        }
    }
}

int orders_read(struct orders *o, const struct resp *reply, int64_t now_us)
{
    uint32_t change = o->change;

    if (reply->type != RESP_ARRAY || reply->count != 3 || reply->items[0].type != RESP_INTEGER ||
        reply->items[1].type != RESP_INTEGER || reply->items[2].type != RESP_ARRAY) {
        return ERR_PROTO;
    }
    orders_fini(o);
    o->change = change + 1;
    o->version = (uint64_t)reply->items[1].integer;
    read_all(o, &reply->items[2], reply->items[0].integer, now_us);
    return 0;
}

/* ---- asking ---- */

bool order_over(const struct order *order, int64_t now_us)
{
    return order->until_us <= now_us;
}

static bool asked(struct slice wanted, struct slice value)
{
    return wanted.len == 0 || slice_eq(wanted, value);
}

static bool has_tag(const struct job_record *r, struct slice tag)
{
    struct slice rest = r->tags, one;

    if (tag.len == 0) {
        return true;
    }
    while (rest.len > 0 && slice_next(&rest, ',', &one)) {
        if (slice_eq(one, tag)) {
            return true;
        }
    }
    return false;
}

static bool order_speaks_of(const struct order *order, const struct job_record *r,
                            struct slice site)
{
    return asked(order->campaign, r->campaign) && asked(order->tenant, r->tenant) &&
           asked(order->domain, r->domain) && asked(order->site, site) &&
           asked(order->class, slice_cstr(job_class_name((enum job_class)r->class))) &&
           has_tag(r, order->tag);
}

const struct order *orders_match(const struct orders *o, const struct job_record *r,
                                 struct slice site, int64_t now_us)
{
    const struct order *best = NULL;

    for (size_t i = 0; i < o->count; i++) {
        const struct order *order = &o->items[i];
        if (order->kind >= ORDER_PAUSE && (best == NULL || order->kind > best->kind) &&
            !order_over(order, now_us) && order_speaks_of(order, r, site)) {
            best = order;
        }
    }
    return best;
}

const struct order *orders_retry(const struct orders *o, const struct job_record *r,
                                 struct slice site, int64_t now_us)
{
    for (size_t i = 0; i < o->count; i++) {
        const struct order *order = &o->items[i];
        if (order->kind == ORDER_RETRY && !order_over(order, now_us) &&
            order_speaks_of(order, r, site)) {
            return order;
        }
    }
    return NULL;
}

bool orders_pause_list(const struct orders *o, const struct list_name *name, int64_t now_us)
{
    for (size_t i = 0; i < o->count; i++) {
        const struct order *order = &o->items[i];
        if (order->kind == ORDER_PAUSE && order->whole_lists && !order_over(order, now_us) &&
            asked(order->tenant, name->tenant) && asked(order->site, name->site) &&
            asked(order->class, slice_cstr(job_class_name(name->class)))) {
            return true;
        }
    }
    return false;
}
