/*
 * claim.c - one claim: what is wanted, as a call, and what the answer gives.
 */
#include "queue/claim.h"
#include "engine/base/err.h"
#include "engine/base/log.h"
#include "queue/fcall.h"

#include <string.h>

static int wants_valid(const struct queue_want *wants, size_t count)
{
    uint64_t jobs = 0;

    for (size_t i = 0; i < count; i++) {
        struct list_name parsed;
        if (list_name_parse(&parsed, wants[i].list) != 0) {
            return ERR_INVALID;
        }
        jobs += wants[i].jobs;
    }
    return count > 0 && count <= QUEUE_CLAIM_LISTS_MAX && jobs <= QUEUE_CLAIM_JOBS_MAX ? 0
                                                                                       : ERR_LIMIT;
}

int claim_set(struct claim *c, const struct queue_want *wants, size_t count)
{
    size_t at = 0;
    int err = count <= QUEUE_CLAIM_LISTS_MAX ? wants_valid(wants, count) : ERR_LIMIT;

    if (err != 0) {
        return err;
    }
    buf_reset(&c->names);
    for (size_t i = 0; i < count; i++) {
        buf_puts(&c->names, wants[i].list);
    }
    for (size_t i = 0; i < count; i++) {
        c->wants[i] = wants[i];
        c->wants[i].list = slice_of(c->names.ptr + at, wants[i].list.len);
        at += wants[i].list.len;
    }
    c->count = count;
    return 0;
}

void claim_fini(struct claim *c)
{
    buf_fini(&c->names);
}

void claim_put(const struct claim *c, struct buf *out, const struct keys *keys)
{
    enum { FIXED_KEYS = 4, FIXED_ARGS = 3 };

    fcall_begin(out, SLICE("claim"), FIXED_KEYS + c->count, FIXED_ARGS + 2 * c->count);
    keys_put_arg(out, keys, SLICE("nodes"));
    keys_put_arg2(out, keys, SLICE("owned:"), slice_cstr(c->life));
    keys_put_arg(out, keys, SLICE("bins"));
    keys_put_arg(out, keys, SLICE("site"));
    for (size_t i = 0; i < c->count; i++) {
        keys_put_arg(out, keys, c->wants[i].list);
    }
    resp_put_arg(out, slice_cstr(c->life));
    resp_put_u64(out, c->channel);
    resp_put_u64(out, c->number);
    for (size_t i = 0; i < c->count; i++) {
        resp_put_u64(out, c->wants[i].jobs);
        resp_put_u64(out, c->wants[i].bytes);
    }
}

/* Whether the answer has the form count, left, record ... for each want. */
static bool reply_valid(const struct claim *c, const struct resp *reply)
{
    size_t at = 0;

    if (reply->type != RESP_ARRAY) {
        return false;
    }
    for (size_t i = 0; i < c->count; i++) {
        if (reply->count - at < 2 || reply->items[at].type != RESP_INTEGER ||
            reply->items[at + 1].type != RESP_INTEGER || reply->items[at].integer < 0 ||
            reply->items[at + 1].integer < -1 ||
            (uint64_t)reply->items[at].integer > reply->count - at - 2) {
            return false;
        }
        at += 2 + (size_t)reply->items[at].integer;
    }
    return at == reply->count;
}

int claim_read(struct claim *c, struct slice base, const struct resp *reply,
               claim_record_fn *on_record, void *ctx)
{
    size_t at = 0;

    if (!reply_valid(c, reply)) {
        return ERR_PROTO;
    }
    for (size_t i = 0; i < c->count; i++) {
        size_t jobs = (size_t)reply->items[at].integer;
        int64_t left = reply->items[at + 1].integer;
        c->got[i] = (struct queue_got){.list = c->wants[i].list,
                                       .wanted = c->wants[i].jobs,
                                       .jobs = (uint32_t)jobs,
                                       .left = left > 0 ? (uint64_t)left : 0};
        if (left < 0) {
            log_error("queue: key " SLICE_FMT SLICE_FMT " is no list; nothing is claimed from it",
                      SLICE_ARG(base), SLICE_ARG(c->wants[i].list));
        }
        at += 2;
        for (size_t j = 0; j < jobs; j++) {
            on_record(ctx, i, reply->items[at++].text);
        }
    }
    return 0;
}
