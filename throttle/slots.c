/*
 * slots.c - how many at once: connections of a site, connections to one host.
 */
#include "throttle/slots.h"
#include "engine/base/panic.h"

void slots_init(struct slots *s, uint32_t limit)
{
    *s = (struct slots){.limit = limit};
}

void slots_change(struct slots *s, uint32_t limit)
{
    s->limit = limit;
}

bool slots_free(const struct slots *s, uint32_t keep)
{
    if (s->limit == 0) {
        return true;
    }
    if (keep >= s->limit) {
        keep = s->limit - 1;
    }
    return s->used < s->limit - keep;
}

void slots_take(struct slots *s)
{
    ASSERT(slots_free(s, 0));
    s->used++;
}

void slots_release(struct slots *s)
{
    ASSERT(s->used > 0);
    s->used--;
}
