/*
 * limiter.c - may it go now, and if not: until when, and because of which line?
 */
#include "throttle/limiter.h"

void limiter_scope_init(struct limiter_scope *s, const struct limits *limits, int64_t now_us)
{
    s->limits = limits;
    gcra_init(&s->rate, &limits->rate, now_us);
    gcra_init(&s->connection_rate, &limits->connection_rate, now_us);
    gcra_init(&s->bytes_rate, &limits->bytes_rate, now_us);
    slots_init(&s->connections, limits->connections);
}

void limiter_scope_change(struct limiter_scope *s, const struct limits *limits, int64_t now_us)
{
    s->limits = limits;
    gcra_change(&s->rate, &limits->rate, now_us);
    gcra_change(&s->connection_rate, &limits->connection_rate, now_us);
    gcra_change(&s->bytes_rate, &limits->bytes_rate, now_us);
    slots_change(&s->connections, limits->connections);
}

/* A limit holds until `until_us`: the verdict names the one that holds longest. */
static void hold(struct limiter_verdict *v, const struct limiter_scope *scope, enum limit_key key,
                 int64_t until_us)
{
    if (v->go || until_us > v->until_us) {
        *v = (struct limiter_verdict){
            .until_us = until_us, .key = key, .scope = scope, .origin = scope->limits->origin[key]};
    }
}

static void ask_rate(struct limiter_verdict *v, const struct limiter_scope *scope,
                     enum limit_key key, const struct gcra *g, int64_t now_us)
{
    int64_t ready_us = gcra_ready_at(g);

    if (ready_us > now_us) {
        hold(v, scope, key, ready_us);
    }
}

struct limiter_verdict limiter_send_ask(struct limiter_scope *const *scopes, size_t count,
                                        int64_t now_us)
{
    struct limiter_verdict v = {.go = true, .until_us = now_us};

    for (size_t i = 0; i < count; i++) {
        ask_rate(&v, scopes[i], LIMIT_RATE, &scopes[i]->rate, now_us);
        ask_rate(&v, scopes[i], LIMIT_BYTES_RATE, &scopes[i]->bytes_rate, now_us);
    }
    return v;
}

struct limiter_verdict limiter_send(struct limiter_scope *const *scopes, size_t count,
                                    uint64_t recipients, uint64_t bytes, int64_t now_us)
{
    struct limiter_verdict v = limiter_send_ask(scopes, count, now_us);

    for (size_t i = 0; i < count; i++) {
        if (v.go) {
            gcra_take(&scopes[i]->rate, now_us, recipients);
            gcra_take(&scopes[i]->bytes_rate, now_us, bytes);
        } else {
            /* The work waits for every one of them: which holds it back may change. */
            gcra_wait(&scopes[i]->rate);
            gcra_wait(&scopes[i]->bytes_rate);
        }
    }
    return v;
}

struct limiter_verdict limiter_connect_ask(struct limiter_scope *const *scopes, size_t count,
                                           const struct slots *host, uint32_t keep, int64_t now_us)
{
    struct limiter_verdict v = {.go = true, .until_us = now_us};

    for (size_t i = 0; i < count; i++) {
        ask_rate(&v, scopes[i], LIMIT_CONNECTION_RATE, &scopes[i]->connection_rate, now_us);
        if (!slots_free(&scopes[i]->connections, keep)) {
            hold(&v, scopes[i], LIMIT_CONNECTIONS, LIMITER_NO_TIME);
        }
    }
    /* Named only when nothing else stands in the way that long: the first scope is the one
     * whose configuration the host's slots were made from. */
    if (host != NULL && !slots_free(host, 0) && v.until_us != LIMITER_NO_TIME) {
        v = (struct limiter_verdict){.until_us = LIMITER_NO_TIME,
                                     .key = LIMIT_CONNECTIONS_PER_HOST};
        v.origin = count > 0 ? scopes[0]->limits->origin[LIMIT_CONNECTIONS_PER_HOST] : NULL;
    }
    return v;
}

struct limiter_verdict limiter_connect(struct limiter_scope *const *scopes, size_t count,
                                       struct slots *host, uint32_t keep, int64_t now_us)
{
    struct limiter_verdict v = limiter_connect_ask(scopes, count, host, keep, now_us);

    for (size_t i = 0; i < count; i++) {
        if (v.go) {
            gcra_take(&scopes[i]->connection_rate, now_us, 1);
            slots_take(&scopes[i]->connections);
        } else {
            gcra_wait(&scopes[i]->connection_rate);
        }
    }
    if (v.go && host != NULL) {
        slots_take(host);
    }
    return v;
}

void limiter_disconnect(struct limiter_scope *const *scopes, size_t count, struct slots *host)
{
    for (size_t i = 0; i < count; i++) {
        slots_release(&scopes[i]->connections);
    }
    if (host != NULL) {
        slots_release(host);
    }
}
