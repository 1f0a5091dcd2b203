/*
 * limits.c - what one scope may do at most.
 */
#include "throttle/limits.h"

#include <string.h>

#define FIELD(key, member) \
    [key] = {#member, offsetof(struct limits, member), sizeof(((struct limits *)0)->member)}

static const struct {
    const char *name;
    size_t offset, size;
} limit_fields[LIMIT_KEYS] = {
    FIELD(LIMIT_CONNECTIONS, connections),
    FIELD(LIMIT_CONNECTIONS_PER_HOST, connections_per_host),
    FIELD(LIMIT_RATE, rate),
    FIELD(LIMIT_CONNECTION_RATE, connection_rate),
    FIELD(LIMIT_BYTES_RATE, bytes_rate),
    FIELD(LIMIT_MESSAGES_PER_CONNECTION, messages_per_connection),
    FIELD(LIMIT_CONNECTION_AGE, connection_age),
    FIELD(LIMIT_RECIPIENTS_PER_TRANSACTION, recipients_per_transaction),
    FIELD(LIMIT_PIPELINE, pipeline),
    FIELD(LIMIT_PIPELINE_DEPTH, pipeline_depth),
};

const char *limits_key_name(enum limit_key key)
{
    return limit_fields[key].name;
}

void limits_merge(struct limits *base, const struct limits *over)
{
    for (size_t key = 0; key < LIMIT_KEYS; key++) {
        if (over->origin[key] != NULL) {
            memcpy((char *)base + limit_fields[key].offset,
                   (const char *)over + limit_fields[key].offset, limit_fields[key].size);
            base->origin[key] = over->origin[key];
        }
    }
}
