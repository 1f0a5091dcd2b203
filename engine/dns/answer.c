/*
 * answer.c - answers as counted, immutable values.
 */
#include "engine/dns/answer.h"

#include "engine/base/mem.h"

#include <string.h>

struct dns_answer *dns_answer_ref(struct dns_answer *a)
{
    atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
    return a;
}

void dns_answer_unref(struct dns_answer *a)
{
    if (a != NULL && atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) == 1) {
        mem_free(a);
    }
}

struct dns_answer *dns_answer_alloc(enum dns_status status, enum dns_type type, size_t count,
                                    size_t text_len, char **text)
{
    struct dns_answer *a = mem_zalloc(sizeof(*a) + count * sizeof(a->record[0]) + text_len);

    atomic_init(&a->refs, 1);
    a->status = status;
    a->type = type;
    *text = (char *)&a->record[count];
    return a;
}

struct slice dns_text_put(char **text, struct slice s)
{
    struct slice copy = slice_of(*text, s.len);

    if (s.len > 0) {
        memcpy(*text, s.ptr, s.len);
        *text += s.len;
    }
    return copy;
}

struct dns_answer *dns_answer_new(enum dns_status status, enum dns_type type, struct slice name,
                                  struct slice reason)
{
    char *text;
    struct dns_answer *a = dns_answer_alloc(status, type, 0, name.len + reason.len, &text);

    a->name = dns_text_put(&text, name);
    a->reason = dns_text_put(&text, reason);
    return a;
}

struct dns_answer *dns_answer_copy(const struct dns_answer *a)
{
    size_t text_len = a->name.len + a->reason.len;
    struct dns_answer *copy;
    char *text;

    for (size_t i = 0; i < a->count; i++) {
        text_len += a->record[i].data.len;
    }
    copy = dns_answer_alloc(a->status, a->type, a->count, text_len, &text);
    copy->ttl_s = a->ttl_s;
    copy->ad = a->ad;
    copy->open = a->open;
    copy->aliases = a->aliases;
    copy->stale = a->stale;
    copy->rcode = a->rcode;
    copy->name = dns_text_put(&text, a->name);
    copy->reason = dns_text_put(&text, a->reason);
    copy->count = a->count;
    for (size_t i = 0; i < a->count; i++) {
        copy->record[i] = a->record[i];
        copy->record[i].data = dns_text_put(&text, a->record[i].data);
    }
    return copy;
}
