/*
 * sample.h - how jobs are distributed, estimated from some of them.
 */
#ifndef VOLLEY_CLI_SAMPLE_H
#define VOLLEY_CLI_SAMPLE_H

#include "engine/base/map.h"
#include "engine/cli/desk.h"
#include "engine/cli/filter.h"

/* Takes about `wanted` jobs here and there, and shows ages, attempts and domains of those that
 * the filter takes.  -1, or the exit code. */
int sample_show(struct desk *d, const struct filter *filter, uint64_t wanted);

/* ---- the pure part ---- */

enum { SAMPLE_AGES = 7, SAMPLE_ATTEMPTS = 6, SAMPLE_DOMAINS_MAX = 100000 };

struct sample_domain {
    struct map_node node;
    char *name;
    uint64_t count;
};

struct sample {
    uint64_t population; /* jobs in the places that were sampled */
    uint64_t taken;      /* of them looked at, */
    uint64_t matched;    /* that the filter takes, */
    uint64_t unreadable;
    uint64_t ages[SAMPLE_AGES];
    uint64_t attempts[SAMPLE_ATTEMPTS];
    struct map domains;
};

void sample_init(struct sample *s);
void sample_fini(struct sample *s);
void sample_add(struct sample *s, const struct filter *filter, struct slice record, int64_t now_ms);
void sample_put_text(struct buf *out, const struct sample *s);
void sample_put_json(struct buf *out, const struct sample *s);

#endif
