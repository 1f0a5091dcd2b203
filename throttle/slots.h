/*
 * slots.h - how many at once: connections of a site, connections to one host.
 */
#ifndef VOLLEY_THROTTLE_SLOTS_H
#define VOLLEY_THROTTLE_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

struct slots {
    uint32_t limit; /* 0: unlimited */
    uint32_t used;
};

void slots_init(struct slots *s, uint32_t limit);

/* A lower limit than is used takes nothing away: no new ones until enough were given back. */
void slots_change(struct slots *s, uint32_t limit);

/* One may be taken and `keep` others stay free.  `keep` is how a site holds a connection free
 * of bulk; a limit of 1 cannot keep any, or bulk would never go. */
bool slots_free(const struct slots *s, uint32_t keep);

void slots_take(struct slots *s);    /* asserts that one is free */
void slots_release(struct slots *s); /* asserts that one is used */

#endif
