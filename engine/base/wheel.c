/*
 * wheel.c - a hierarchical timer wheel.
 *
 * A timer stands on the level of the highest group of WHEEL_SLOT_BITS bits in which its due
 * tick differs from the current one.  So everything on a level is due before everything on
 * the levels above it, no slot index ever wraps, and the next slot to look at is the lowest
 * bit of the lowest level that has any.  When the clock reaches a slot of an upper level its
 * timers move down; each does so at most WHEEL_LEVELS times.  What differs above all levels
 * (2^30 ticks are 12 days) waits in `far` until the clock enters its turn.
 */
#include "engine/base/wheel.h"
#include "engine/base/panic.h"

enum { TURN_BITS = WHEEL_LEVELS * WHEEL_SLOT_BITS, SLOT_MASK = WHEEL_SLOTS - 1 };

/* The first tick that is not before due_us: rounding up is what keeps a timer from firing early. */
static int64_t tick_of_due(int64_t due_us)
{
    return due_us / WHEEL_TICK_US + (due_us % WHEEL_TICK_US > 0);
}

void wheel_init(struct wheel *w, int64_t now_us)
{
    for (int level = 0; level < WHEEL_LEVELS; level++) {
        for (int slot = 0; slot < WHEEL_SLOTS; slot++) {
            list_init(&w->slot[level][slot]);
        }
        w->occupied[level] = 0;
    }
    list_init(&w->due);
    list_init(&w->far);
    w->tick = now_us / WHEEL_TICK_US;
    w->count = 0;
}

void timer_init(struct timer *t, void (*fire)(struct timer *t, int64_t now_us))
{
    list_init(&t->link);
    t->due_us = 0;
    t->fire = fire;
}

bool timer_armed(const struct timer *t)
{
    return !list_empty(&t->link);
}

/* Puts a timer where it belongs as seen from w->tick. */
static void place(struct wheel *w, struct timer *t)
{
    int64_t tick = tick_of_due(t->due_us);

    if (tick <= w->tick) {
        list_append(&w->due, &t->link);
        return;
    }
    uint64_t differs = (uint64_t)tick ^ (uint64_t)w->tick;
    if (differs >> TURN_BITS != 0) {
        list_append(&w->far, &t->link);
        return;
    }
    int level = (63 - __builtin_clzll(differs)) / WHEEL_SLOT_BITS;
    unsigned slot = (unsigned)(tick >> (level * WHEEL_SLOT_BITS)) & SLOT_MASK;
    list_append(&w->slot[level][slot], &t->link);
    w->occupied[level] |= UINT64_C(1) << slot;
}

static void unlink_timer(struct wheel *w, struct timer *t)
{
    const struct list *head = t->link.next;
    bool last = head == t->link.prev; /* then `head` is the head of the list it was in */

    list_remove(&t->link);
    if (last && head >= &w->slot[0][0] && head <= &w->slot[WHEEL_LEVELS - 1][SLOT_MASK]) {
        size_t at = (size_t)(head - &w->slot[0][0]);
        w->occupied[at / WHEEL_SLOTS] &= ~(UINT64_C(1) << (at % WHEEL_SLOTS));
    }
}

void wheel_arm(struct wheel *w, struct timer *t, int64_t due_us)
{
    ASSERT(t->fire != NULL);
    if (timer_armed(t)) {
        unlink_timer(w, t);
    } else {
        w->count++;
    }
    t->due_us = due_us;
    place(w, t);
}

void wheel_disarm(struct wheel *w, struct timer *t)
{
    if (timer_armed(t)) {
        unlink_timer(w, t);
        w->count--;
    }
}

/* The next tick at which something has to move, *list being what moves; INT64_MAX if none.
 * Does not look at w->due. */
static int64_t next_tick(const struct wheel *w, int *level, unsigned *slot)
{
    for (int l = 0; l < WHEEL_LEVELS; l++) {
        if (w->occupied[l] != 0) {
            int shift = l * WHEEL_SLOT_BITS;
            *level = l;
            *slot = (unsigned)__builtin_ctzll(w->occupied[l]);
            int64_t above = (w->tick >> (shift + WHEEL_SLOT_BITS)) << (shift + WHEEL_SLOT_BITS);
            return above | (int64_t)*slot << shift;
        }
    }
    *level = WHEEL_LEVELS;
    *slot = 0;
    return list_empty(&w->far) ? INT64_MAX : ((w->tick >> TURN_BITS) + 1) << TURN_BITS;
}

/* Moves the clock to `tick`, where the given slot starts, and its timers down. */
static void advance(struct wheel *w, int64_t tick, int level, unsigned slot)
{
    struct list moving, *node;

    w->tick = tick;
    list_init(&moving);
    if (level == WHEEL_LEVELS) {
        list_splice(&moving, &w->far);
    } else {
        w->occupied[level] &= ~(UINT64_C(1) << slot);
        list_splice(level == 0 ? &w->due : &moving, &w->slot[level][slot]);
    }
    while ((node = list_first(&moving)) != NULL) {
        list_remove(node);
        place(w, CONTAINER_OF(node, struct timer, link));
    }
}

size_t wheel_run(struct wheel *w, int64_t now_us)
{
    int64_t now_tick = now_us / WHEEL_TICK_US, tick;
    struct list expired, *node;
    size_t fired = 0;
    unsigned slot;
    int level;

    while ((tick = next_tick(w, &level, &slot)) <= now_tick) {
        advance(w, tick, level, slot);
    }
    if (now_tick > w->tick) {
        w->tick = now_tick; /* every timer left is due later: none changes its slot */
    }
    list_init(&expired);
    list_splice(&expired, &w->due);
    while ((node = list_first(&expired)) != NULL) {
        struct timer *t = CONTAINER_OF(node, struct timer, link);
        list_remove(node);
        w->count--;
        fired++;
        t->fire(t, now_us);
    }
    return fired;
}

int64_t wheel_next_us(const struct wheel *w)
{
    unsigned slot;
    int level;

    if (!list_empty(&w->due)) {
        return w->tick * WHEEL_TICK_US;
    }
    int64_t tick = next_tick(w, &level, &slot);
    return tick > INT64_MAX / WHEEL_TICK_US ? INT64_MAX : tick * WHEEL_TICK_US;
}
