/*
 * suppression.c - no mail for those who are on the suppression list.
 */
#include "engine/deliver/suppression.h"

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/utf8.h"
#include "engine/deliver/core.h"
#include "engine/deliver/outcome.h"
#include "engine/dns/idna.h"
#include "queue/suppress_match.h"

#include <string.h>

enum {
    BATCH = 100,      /* jobs in a question */
    LOOK_AHEAD = 400, /* jobs looked at for others of the same tenant */
    REASON_MAX = 300, /* bytes; as much as the list takes */
    AGAIN_US = 250 * 1000,
};

_Static_assert(2 * (int)BATCH <= (int)SUPPRESS_ASK_MAX, "two forms of each address");

/* Jobs of one tenant that were asked for together. */
struct check {
    struct list link; /* in deliver->checks */
    struct deliver *d;
    struct list jobs;         /* in their order; empty when they were returned meanwhile */
    size_t count;             /* addresses */
    uint8_t owner[2 * BATCH]; /* of an address: the number of its job */
    char *hit[BATCH];         /* of a job: "scope TAB reason", or NULL */
};

/* ---- to and fro ---- */

bool suppression_fresh(const struct deliver *d, const struct job *j)
{
    return suppress_fresh(d->suppress, &j->checked, deliver_now(d));
}

void suppression_check(struct deliver *d, struct job *j, struct path *p)
{
    j->check_path = p;
    p->awaited++;
    list_append(&d->unchecked, &j->link);
}

static struct path *leave(struct job *j)
{
    struct path *p = j->check_path;

    list_remove(&j->link);
    j->check_path = NULL;
    p->awaited--;
    return p;
}

static void go_on(struct deliver *d, struct job *j)
{
    struct path *p = leave(j);

    if (j->stored == NULL) {
        letters_attach(d, j, p);
    } else if (!outcome_expire(d, j)) {
        path_put_back(p, j);
    }
}

/* ---- asking ---- */

/* Appends the address with the other form of its domain (A-labels, U-labels), as people write
 * both; nothing for nearly all addresses, whose domains have one form. */
static void put_other_form(struct slice address, struct buf *text)
{
    size_t from = text->len, at = address.len;

    if (utf8_is_ascii(address) && memmem(address.ptr, address.len, "xn--", 4) == NULL) {
        return;
    }
    while (at > 0 && address.ptr[at - 1] != '@') {
        at--;
    }
    struct slice domain = slice_from(address, at);
    buf_put(text, address.ptr, at);
    int err = utf8_is_ascii(domain) ? idna_to_unicode(domain, text) : idna_to_ascii(domain, text);
    if (err != 0) {
        text->len = from;
    }
    slice_lower(text->ptr + from, slice_of(text->ptr + from, text->len - from));
}

/* The addresses of a check: `lens` of them, in `text`. */
static void put_addresses(struct check *c, struct buf *text, size_t lens[2 * BATCH])
{
    uint8_t number = 0;

    LIST_EACH (link, &c->jobs) {
        struct job *j = CONTAINER_OF(link, struct job, link);
        struct slice to = j->record.to;
        size_t from = text->len;
        j->check_number = number;
        buf_reserve(text, to.len);
        slice_lower(text->ptr + from, to);
        text->len += to.len;
        lens[c->count] = to.len;
        c->owner[c->count++] = number;
        from = text->len;
        put_other_form(to, text);
        if (text->len > from) {
            lens[c->count] = text->len - from;
            c->owner[c->count++] = number;
        }
        number++;
    }
}

static void check_free(struct check *c)
{
    for (size_t i = 0; i < BATCH; i++) {
        mem_free(c->hit[i]);
    }
    list_remove(&c->link);
    mem_free(c);
}

static void check_end(struct check *c)
{
    struct list again;
    struct list *link;

    list_init(&again);
    LIST_EACH_SAFE (each, &c->jobs) {
        struct job *j = CONTAINER_OF(each, struct job, link);
        if (c->hit[j->check_number] != NULL) {
            struct slice reason = slice_cstr(c->hit[j->check_number]), scope;
            leave(j);
            (void)slice_next(&reason, '\t', &scope);
            outcome_suppress(c->d, j, scope, reason);
        } else if (j->stored == NULL) {
            go_on(c->d, j);
        } else {
            list_remove(each);
            list_append(&again, each);
        }
    }
    /* From the last one: they go back in front of their lanes, and stand there as before. */
    while ((link = list_last(&again)) != NULL) {
        go_on(c->d, CONTAINER_OF(link, struct job, link));
    }
    check_free(c);
}

/* Not answered: they are asked for again when that can be done. */
static void check_fail(struct check *c)
{
    struct list *link;

    while ((link = list_last(&c->jobs)) != NULL) {
        struct job *j = CONTAINER_OF(link, struct job, link);
        j->checked = (struct suppress_mark){0};
        list_remove(link);
        list_prepend(&c->d->unchecked, link);
    }
    c->d->unchecked_not_before_us = deliver_now(c->d) + AGAIN_US;
    check_free(c);
}

static char *hit_dup(const struct suppress_hit *hit)
{
    struct buf text = BUF_EMPTY;

    buf_puts(&text, hit->scope);
    buf_putc(&text, '\t');
    buf_puts(&text, hit->reason);
    char *copy = slice_dup(buf_slice(&text));
    buf_fini(&text);
    return copy;
}

static void look(struct check *c, const struct resp *reply)
{
    struct deliver *d = c->d;
    int64_t now_s = deliver_queue_wall(d) / 1000000;
    size_t at = 0;

    LIST_EACH (link, &c->jobs) {
        const struct job *j = CONTAINER_OF(link, struct job, link);
        for (; at < c->count && c->owner[at] == j->check_number; at++) {
            struct suppress_hit hit;
            if (reply->items[at].type == RESP_STRING && c->hit[j->check_number] == NULL &&
                suppress_match(reply->items[at].text, j->record.class == JOB_BULK,
                               j->record.campaign, now_s, &hit)) {
                c->hit[j->check_number] = hit_dup(&hit);
            }
        }
    }
}

static void on_reply(void *ctx, int err, const struct resp *reply, bool last)
{
    struct check *c = ctx;

    if (err != 0) {
        check_fail(c);
        return;
    }
    look(c, reply);
    if (last) {
        check_end(c);
    }
}

/* Takes the first job that waits, and those behind it of the same tenant. */
static void gather(struct deliver *d, struct check *c)
{
    struct slice tenant = SLICE_NONE;
    size_t jobs = 0, looked = 0;

    LIST_EACH_SAFE (link, &d->unchecked) {
        struct job *j = CONTAINER_OF(link, struct job, link);
        if (jobs == BATCH || ++looked > LOOK_AHEAD) {
            break;
        }
        if (jobs == 0) {
            tenant = j->record.tenant;
        }
        if (slice_eq(j->record.tenant, tenant)) {
            list_remove(link);
            list_append(&c->jobs, link);
            jobs++;
        }
    }
}

static bool ask_once(struct deliver *d)
{
    struct check *c = mem_zalloc(sizeof(*c));
    struct slice addresses[2 * BATCH];
    struct buf text = BUF_EMPTY;
    struct suppress_mark mark;
    size_t lens[2 * BATCH];

    c->d = d;
    list_init(&c->jobs);
    list_append(&d->checks, &c->link);
    gather(d, c);
    put_addresses(c, &text, lens);
    for (size_t i = 0, from = 0; i < c->count; from += lens[i++]) {
        addresses[i] = slice_of(text.ptr + from, lens[i]);
    }
    struct slice tenant = CONTAINER_OF(list_first(&c->jobs), struct job, link)->record.tenant;
    int err = suppress_ask(d->suppress, tenant, addresses, c->count, &mark, on_reply, c);
    buf_fini(&text);
    if (err != 0) {
        check_fail(c);
        return false;
    }
    LIST_EACH (link, &c->jobs) {
        CONTAINER_OF(link, struct job, link)->checked = mark;
    }
    return true;
}

void suppression_flush(struct deliver *d)
{
    /* The list may have become empty, or known to be. */
    while (!list_empty(&d->unchecked)) {
        struct list *first = list_first(&d->unchecked);
        if (!suppression_fresh(d, CONTAINER_OF(first, struct job, link))) {
            break;
        }
        go_on(d, CONTAINER_OF(first, struct job, link));
    }
    while (!list_empty(&d->unchecked) && deliver_now(d) >= d->unchecked_not_before_us &&
           ask_once(d)) {}
}

/* ---- learning ---- */

void suppression_learn(struct deliver *d, const struct job *j, int code, struct slice enhanced,
                       struct slice text)
{
    struct buf reason = BUF_EMPTY;

    if (!d->conf->suppress.bad_mailbox) {
        return;
    }
    buf_printf(&reason, "bad-mailbox %d " SLICE_FMT "%s", code, SLICE_ARG(enhanced),
               enhanced.len > 0 ? " " : "");
    for (size_t i = 0; i < text.len && reason.len < REASON_MAX; i++) {
        char c = text.ptr[i];
        buf_putc(&reason, c >= ' ' && c <= '~' ? c : '?');
    }
    suppress_add(d->suppress, j->record.tenant, j->record.to, buf_slice(&reason),
                 (uint64_t)d->conf->suppress.expires / 1000000);
    buf_fini(&reason);
}

/* ---- life ---- */

static void on_ready(void *ctx)
{
    struct deliver *d = ctx;

    d->unchecked_not_before_us = 0;
}

static void on_closed(void *ctx)
{
    struct deliver *d = ctx;

    d->suppress = NULL;
    deliver_part_closed(d);
}

void suppression_open(struct deliver *d)
{
    static const struct suppress_ops ops = {.on_ready = on_ready, .on_closed = on_closed};
    struct suppress_options options = {.io = d->o.io,
                                       .url = d->o.url,
                                       .prefix = slice_cstr(d->conf->queue.prefix),
                                       .ops = &ops,
                                       .ctx = d};

    d->suppress = suppress_new(&options);
    d->open_parts++;
}

static void return_all(struct deliver *d, struct list *jobs)
{
    LIST_EACH_SAFE (link, jobs) {
        struct job *j = CONTAINER_OF(link, struct job, link);
        leave(j);
        outcome_return(d, j);
    }
}

void suppression_return(struct deliver *d)
{
    LIST_EACH (link, &d->checks) {
        return_all(d, &CONTAINER_OF(link, struct check, link)->jobs);
    }
    return_all(d, &d->unchecked);
}
