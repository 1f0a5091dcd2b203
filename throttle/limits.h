/*
 * limits.h - what one scope may do at most.
 *
 * A scope is (site, source), a site over all its sources, a tenant, a campaign, or everything.
 * A struct limits holds one scope's stated limits as configured and merged; it is plain data,
 * made by conf/, read by the limiter, and never changes while anybody uses it.  Each value
 * carries where it was written, so "why is it waiting" can name the line to change.
 */
#ifndef VOLLEY_THROTTLE_LIMITS_H
#define VOLLEY_THROTTLE_LIMITS_H

#include "engine/base/units.h"

enum limit_key {
    LIMIT_CONNECTIONS,
    LIMIT_CONNECTIONS_PER_HOST,
    LIMIT_RATE,
    LIMIT_CONNECTION_RATE,
    LIMIT_BYTES_RATE,
    LIMIT_MESSAGES_PER_CONNECTION,
    LIMIT_CONNECTION_AGE,
    LIMIT_RECIPIENTS_PER_TRANSACTION,
    LIMIT_PIPELINE,
    LIMIT_PIPELINE_DEPTH,
    LIMIT_KEYS
};

/* How far commands run ahead of their replies. */
enum limit_pipeline {
    LIMIT_PIPELINE_AUTO,     /* the engine's choice */
    LIMIT_PIPELINE_OFF,      /* one command, one reply */
    LIMIT_PIPELINE_COMMANDS, /* within one transaction, RFC 2920 */
    LIMIT_PIPELINE_MESSAGES, /* the next envelope behind the body */
    LIMIT_PIPELINE_CHUNKING  /* RFC 3030, several transactions in flight */
};

struct limits {
    uint32_t connections;                /* 0: unlimited, as for the next one */
    uint32_t connections_per_host;       /* to one address of the site */
    struct rate rate;                    /* recipients; count 0: unlimited, as for all rates */
    struct rate connection_rate;         /* connections opened */
    struct rate bytes_rate;              /* bytes of letters */
    uint32_t messages_per_connection;    /* 0: unlimited */
    int64_t connection_age;              /* microseconds; 0: unlimited */
    uint32_t recipients_per_transaction; /* at least 1 */
    int pipeline;                        /* enum limit_pipeline */
    uint32_t pipeline_depth;             /* transactions in flight when chunking; at least 1 */
    /* Where each value was written, such as "limits.google.rate, volley.yaml:12"; borrowed.
     * NULL: not stated in this scope (and then the value is 0). */
    const char *origin[LIMIT_KEYS];
};

/* The key as it is written in the configuration, "connections_per_host". */
const char *limits_key_name(enum limit_key key);

/* Replaces in *base each value that *over states, together with its origin. */
void limits_merge(struct limits *base, const struct limits *over);

#endif
