/*
 * slot.c - who is meant by a completion, and what is to be delivered later.
 */
#include "engine/io/backend.h"
#include "engine/base/mem.h"
#include "engine/base/panic.h"

#include <string.h>

enum { SLOTS_MIN = 64 };

static void grow(struct io *io)
{
    uint32_t count = io->slot_count > 0 ? io->slot_count * 2 : SLOTS_MIN;

    ASSERT(count > io->slot_count);
    io->slots = mem_realloc(io->slots, count * sizeof(io->slots[0]));
    for (uint32_t at = count; at > io->slot_count; at--) {
        io->slots[at - 1] = (struct slot){.generation = 1, .next_free = io->slot_free};
        io->slot_free = at;
    }
    io->slot_count = count;
}

uint32_t slot_take(struct io *io, enum slot_kind kind, void *owner)
{
    if (io->slot_free == 0) {
        grow(io);
    }
    uint32_t at = io->slot_free - 1;
    struct slot *slot = &io->slots[at];
    ASSERT(slot->kind == SLOT_FREE);
    io->slot_free = slot->next_free;
    slot->owner = owner;
    slot->kind = (uint8_t)kind;
    slot->later = 0;
    return at;
}

void slot_release(struct io *io, uint32_t at)
{
    struct slot *slot = &io->slots[at];

    ASSERT(slot->kind != SLOT_FREE && (slot->later & LATER_QUEUED) == 0);
    slot->generation = (slot->generation + 1) & ((1U << TAG_GENERATION_BITS) - 1);
    slot->owner = NULL;
    slot->kind = SLOT_FREE;
    slot->next_free = io->slot_free;
    io->slot_free = at + 1;
}

void slot_later(struct io *io, uint32_t at, unsigned what)
{
    struct slot *slot = &io->slots[at];

    if ((slot->later & LATER_QUEUED) == 0) {
        if (io->later_count == io->later_cap) {
            io->later_cap = io->later_cap > 0 ? io->later_cap * 2 : SLOTS_MIN;
            io->later = mem_realloc(io->later, io->later_cap * sizeof(io->later[0]));
        }
        io->later[io->later_count++] = at;
    }
    slot->later |= (uint8_t)(what | LATER_QUEUED);
}

/* What these callbacks put off in turn belongs to the next tick: a stream whose writes are
 * all taken at once must not keep the others from being looked at. */
void slot_run_later(struct io *io)
{
    uint32_t count = io->later_count;

    if (count == 0) {
        return;
    }
    if (io->later_now_cap < io->later_cap) {
        io->later_now_cap = io->later_cap;
        io->later_now = mem_realloc(io->later_now, io->later_cap * sizeof(io->later_now[0]));
    }
    memcpy(io->later_now, io->later, count * sizeof(io->later[0]));
    io->later_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct slot *slot = &io->slots[io->later_now[i]];
        unsigned what = slot->later;
        slot->later = 0;
        switch ((enum slot_kind)slot->kind) {
        case SLOT_STREAM:
            stream_later(slot->owner, what);
            break;
        case SLOT_LISTENER:
            listener_later(slot->owner, what);
            break;
        case SLOT_WATCH:
            watch_later(slot->owner, what);
            break;
        case SLOT_FREE:
            PANIC("slot %u was freed with something still to deliver", io->later_now[i]);
        }
    }
}
