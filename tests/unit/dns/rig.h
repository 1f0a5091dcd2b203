/*
 * rig.h - a loop with a resolver, and waiting for what it does.
 */
#ifndef VOLLEY_TEST_DNS_RIG_H
#define VOLLEY_TEST_DNS_RIG_H

#include "tests/unit/dns/packets.h"

#include "engine/base/clock.h"
#include "engine/dns/resolver.h"

enum { RIG_PATIENCE_US = 20000000 };

struct rig {
    struct io *io;
    struct dns_resolver *resolver;
    bool closed;
};

/* One question whose answer is kept. */
struct asked {
    struct dns_query query;
    struct dns_answer *answer;
    uint32_t ttl_s;
    unsigned calls;
};

static inline void asked_answered(struct dns_query *q, struct dns_answer *answer)
{
    struct asked *a = CONTAINER_OF(q, struct asked, query);

    a->calls++;
    a->ttl_s = q->ttl_s;
    dns_answer_unref(a->answer);
    a->answer = dns_answer_ref(answer);
}

/* False with a printed reason when the backend is not to be had here. */
static inline bool rig_open(struct rig *r, enum io_backend backend,
                            const struct dns_resolver_options *options)
{
    struct buf error = BUF_EMPTY;
    int err = 0;

    memset(r, 0, sizeof(*r));
    r->io = io_new(&(struct io_options){.backend = backend}, &err);
    if (r->io == NULL) {
        print_message("not run: this machine has no io_uring (%s)\n", err_name(err));
        return false;
    }
    r->resolver = dns_resolver_new(r->io, options, &error);
    assert_non_null(r->resolver);
    buf_fini(&error);
    return true;
}

static inline void rig_note_closed(void *arg)
{
    ((struct rig *)arg)->closed = true;
}

static inline void rig_close(struct rig *r)
{
    int64_t end = clock_mono_us() + RIG_PATIENCE_US;

    dns_resolver_close(r->resolver, rig_note_closed, r);
    while (!r->closed) {
        assert_true(clock_mono_us() < end);
        io_tick(r->io, 10000);
    }
    io_free(r->io);
}

/* Ticks until `count` answers came for a (fails after RIG_PATIENCE_US). */
static inline void rig_await(struct rig *r, const struct asked *a, unsigned count)
{
    int64_t end = clock_mono_us() + RIG_PATIENCE_US;

    while (a->calls < count) {
        assert_true(clock_mono_us() < end);
        io_tick(r->io, 10000);
    }
    assert_int_equal(a->calls, count);
}

static inline void rig_ask(struct rig *r, struct asked *a, const char *name, enum dns_type type)
{
    unsigned before = a->calls;

    dns_ask(r->resolver, &a->query, slice_cstr(name), type, asked_answered);
    assert_int_equal(a->calls, before); /* never from inside */
    rig_await(r, a, before + 1);
}

#endif
