/*
 * fault.c - scripted faults: which rule applies.
 */
#include "bench/fault.h"
#include "engine/base/mem.h"

#include <string.h>

void fault_rules_init(struct fault_rules *rules)
{
    *rules = (struct fault_rules){0};
}

void fault_rules_fini(struct fault_rules *rules)
{
    for (size_t i = 0; i < rules->count; i++) {
        struct fault_rule *rule = rules->rule[i];
        buf_fini(&rule->text);
        buf_fini(&rule->ahead);
        buf_fini(&rule->raw);
        mem_free((void *)rule->from.ptr);
        mem_free((void *)rule->to.ptr);
        mem_free(rule);
    }
    mem_free(rules->rule);
    *rules = (struct fault_rules){0};
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

/* The usual two-finger match: on a mismatch the last star takes one more byte. */
static bool glob(struct slice pattern, struct slice text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, star_t = 0;

    while (t < text.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            star = p++;
            star_t = t;
        } else if (p < pattern.len &&
                   (pattern.ptr[p] == '?' || lower(pattern.ptr[p]) == lower(text.ptr[t]))) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++star_t;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*') {
        p++;
    }
    return p == pattern.len;
}

bool fault_address_match(struct slice pattern, struct slice address)
{
    if (slice_find(pattern, '@') == pattern.len) {
        const char *at = address.len > 0 ? memrchr(address.ptr, '@', address.len) : NULL;
        address = at != NULL ? slice_from(address, (size_t)(at - address.ptr) + 1) : SLICE_NONE;
    }
    return glob(pattern, address);
}

/* At RCPT the recipient in question; later any of the transaction. */
static bool recipient_matches(const struct fault_rule *rule, const struct server *s,
                              enum server_verb verb, struct slice to)
{
    size_t at = 0;

    if (verb == SERVER_RCPT) {
        return fault_address_match(rule->to, to);
    }
    while (server_rcpt_next(s, &at, &to)) {
        if (fault_address_match(rule->to, to)) {
            return true;
        }
    }
    return false;
}

static bool conditions_hold(const struct fault_rule *rule, const struct server *s,
                            enum server_verb verb, struct slice to)
{
    /* At the answer to a message its number has been counted already. */
    bool counted = verb == SERVER_DOT || (verb == SERVER_BDAT && s->last);

    return (rule->verbs & 1u << verb) != 0 &&
           (rule->connection == 0 || rule->connection == s->connection) &&
           (rule->message == 0 || rule->message == s->messages + !counted) &&
           !(rule->tls_only && !s->tls) && !(rule->plain_only && s->tls) &&
           (rule->from.len == 0 || fault_address_match(rule->from, server_sender(s))) &&
           (rule->to.len == 0 || recipient_matches(rule, s, verb, to));
}

static bool count_holds(struct fault_rule *rule, uint32_t *counts)
{
    uint64_t n = rule->by_connection ? ++counts[rule->slot]
                                     : __atomic_add_fetch(&rule->seen, 1, __ATOMIC_RELAXED);

    return (rule->nth == 0 || n == rule->nth) && (rule->first == 0 || n <= rule->first) &&
           n > rule->after && (rule->every == 0 || n % rule->every == 0);
}

static bool chance_holds(const struct fault_rule *rule, struct rng *rng)
{
    return rule->share >= 1 || (double)(rng_next(rng) >> 11) * 0x1p-53 < rule->share;
}

/* Every rule counts what it fits, also when another one wins: "nth=2" means the second time,
 * whatever happened the first. */
bool fault_decide(struct fault_rules *rules, struct rng *rng, uint32_t *counts,
                  const struct server *s, enum server_verb verb, struct slice to,
                  struct server_verdict *verdict)
{
    bool decided = false;

    for (size_t i = 0; i < rules->count; i++) {
        struct fault_rule *rule = rules->rule[i];
        if (conditions_hold(rule, s, verb, to) && count_holds(rule, counts) && !decided &&
            chance_holds(rule, rng)) {
            *verdict = rule->verdict;
            decided = true;
        }
    }
    return decided;
}
