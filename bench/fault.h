/*
 * fault.h - scripted faults: rules that change what the server answers.
 *
 *     WHEN[,WHEN]... [CONDITION]... : ACTION [; ACTION]...
 *
 *     rcpt to=*@full.example: reply 452 4.2.2 Mailbox full
 *     mail p=5%: reply 421 4.7.0 Slow down; close
 *     dot nth=3: reset
 *     body at=5000: close
 *
 * The first rule that applies wins.  Rules are shared by all sessions and threads: what they
 * count (nth, first, ...) is counted over all of them, unless the rule says per=connection.
 * fault_help[] describes every word, for --help.
 */
#ifndef VOLLEY_BENCH_FAULT_H
#define VOLLEY_BENCH_FAULT_H

#include "bench/server.h"
#include "engine/base/args.h"
#include "engine/base/rng.h"

struct fault_rule {
    uint32_t verbs;        /* bits of server_verb */
    struct slice from, to; /* patterns; empty: any */
    uint64_t nth, first, after, every;
    uint64_t message;    /* the n-th of its connection; 0: any */
    uint64_t connection; /* the n-th accepted; 0: any */
    double share;        /* probability */
    bool tls_only, plain_only;
    bool by_connection; /* counted for each connection alone */
    uint32_t slot;      /* of its count there */
    uint64_t seen;      /* atomic: how often everything but the count and the share held */
    struct server_verdict verdict; /* its slices point into `text` and `raw` */
    bool answers; /* the verdict says what to answer; else close, reset and stall are mute */
    struct buf text, ahead, raw;
};

struct fault_rules {
    struct fault_rule **rule;
    size_t count;
    uint32_t verbs; /* of all rules */
    uint32_t slots; /* counters that each connection needs */
};

void fault_rules_init(struct fault_rules *rules);
void fault_rules_fini(struct fault_rules *rules);

/* Adds one rule.  0, or ERR_INVALID with a message in *error that names what is wrong and what
 * to write instead. */
int fault_rules_add(struct fault_rules *rules, struct slice text, struct buf *error);

/* Adds the rules in the text of a file: one on a line, "#" starts a comment line.  The message
 * starts with "NAME:LINE: ". */
int fault_rules_add_text(struct fault_rules *rules, const char *name, struct slice text,
                         struct buf *error);

/* Decides as server_hooks.decide().  `counts` are rules->slots counters of the connection. */
bool fault_decide(struct fault_rules *rules, struct rng *rng, uint32_t *counts,
                  const struct server *s, enum server_verb verb, struct slice to,
                  struct server_verdict *verdict);

/* Glob with * and ?, ASCII case ignored.  A pattern without "@" is matched against the domain
 * alone. */
bool fault_address_match(struct slice pattern, struct slice address);

/* Rows for --help. */
extern const struct args_pair fault_help_when[], fault_help_conditions[], fault_help_actions[];

#endif
