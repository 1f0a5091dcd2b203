/*
 * oracle.c - what must hold, whatever happens.
 */
#include "tests/sim/oracle.h"

#include "engine/base/mem.h"
#include "tests/sim/scene.h"
#include "tests/sim/world.h"

#include <string.h>

/* So many times, and twice a second, a job may go back to Redis without an attempt. */
enum { BACKS_FREE = 100 };

struct oracle_counts oracle_counts;

void oracle_said(struct rcpt *r, enum word word, bool final, uint32_t attempt)
{
    trace("%s %s: %s%s, attempt %u", r->id, r->to, word_name(word), final ? ", final" : "",
          attempt);
    oracle_counts.words[word]++;
    r->backs += word == WORD_BACK;
    if (r->backs > BACKS_FREE + 2 * (world.now_us - r->submitted_us) / 1000000) {
        world_fail("%s (%s): goes to and fro, %u times", r->id, r->to, r->backs);
    }
    if (r->log_count == r->log_cap) {
        r->log_cap = r->log_cap > 0 ? r->log_cap * 2 : 4;
        r->log = mem_realloc(r->log, r->log_cap * sizeof(r->log[0]));
    }
    r->log[r->log_count++] = (struct said){word, final, attempt, world_number(), world.now_us};
}

void oracle_event(struct rcpt *r, bool final, uint32_t attempt, bool late)
{
    if (late) {
        trace("%s: that was late", r->id);
        r->lates++;
        return;
    }
    if (r->finals > 0) {
        world_fail("%s (%s): an event after its final one", r->id, r->to);
    }
    /* Two who had him at once may both count the same attempt. */
    if (attempt != r->attempts + 1 && !r->lost) {
        world_fail("%s (%s): an event for attempt %u, the last one was %u", r->id, r->to, attempt,
                   r->attempts);
    }
    r->attempts = attempt;
    if (final) {
        r->finals++;
        r->done_us = world.now_us;
    }
}

void oracle_taken(struct rcpt *r, const struct link *l, uint64_t written)
{
    if (r->suppressed) {
        world_fail("%s (%s): sent, and on the suppression list", r->id, r->to);
    }
    oracle_counts.taken++;
    if (r->taken_count == r->taken_cap) {
        r->taken_cap = r->taken_cap > 0 ? r->taken_cap * 2 : 2;
        r->taken = mem_realloc(r->taken, r->taken_cap * sizeof(r->taken[0]));
    }
    r->taken[r->taken_count++] = (struct taken){written, l->id};
    if (r->taken_count > r->notes) {
        world_fail("%s (%s): taken on link %u, and the journal has no note", r->id, r->to, l->id);
    }
}

/* ---- what the engine writes to a link ---- */

static void named(struct link *l, struct rcpt *r)
{
    if (l->named_count == l->named_cap) {
        l->named_cap = l->named_cap > 0 ? l->named_cap * 2 : 8;
        l->named = mem_realloc(l->named, l->named_cap * sizeof(l->named[0]));
    }
    l->named[l->named_count++] = r;
    r->lied = r->lied || l->lying;
}

static void line_heard(struct link *l, struct slice line)
{
    if (slice_starts(line, SLICE("RCPT TO:<"))) {
        struct slice address = slice_from(line, 9);
        struct rcpt *r = people_by_address(slice_of(address.ptr, slice_find(address, '>')));
        if (r != NULL) {
            named(l, r);
        }
    }
    if (slice_starts(line, SLICE("MAIL FROM:<")) && l->garbage_told > 0 &&
        l->write_number > l->garbage_told) {
        world_fail("link %u: MAIL after a reply that was none", l->id);
    }
}

void oracle_heard(struct link *l, struct slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        if (bytes.ptr[i] == '\n') {
            line_heard(l, slice_of(l->heard, l->heard_len));
            l->heard_len = 0;
        } else if (l->heard_len < sizeof(l->heard)) {
            l->heard[l->heard_len++] = bytes.ptr[i];
        }
    }
}

void oracle_lies(struct link *l)
{
    l->lying = true;
    for (size_t i = 0; i < l->named_count; i++) {
        struct rcpt *r = l->named[i];
        oracle_counts.lied += !r->lied;
        r->lied = true;
    }
}

void oracle_garbage(struct link *l, uint64_t down_end)
{
    if (l->garbage_end == 0) {
        l->garbage_end = down_end;
    }
}

/* ---- the judgement ---- */

/* The first word said after this was written. */
static struct said *word_after(struct rcpt *r, uint64_t written)
{
    for (size_t i = 0; i < r->log_count; i++) {
        if (r->log[i].number > written) {
            return &r->log[i];
        }
    }
    return NULL;
}

static void judge_taken(struct rcpt *r)
{
    const struct said *before = NULL;

    for (size_t i = 0; i < r->taken_count; i++) {
        const struct said *s = word_after(r, r->taken[i].written);
        if (s == NULL) {
            world_fail("%s (%s): taken on link %u, and nothing was said of it", r->id, r->to,
                       r->taken[i].link);
        } else if (s->word != WORD_DELIVERED && s->word != WORD_AMBIGUOUS) {
            world_fail("%s (%s): taken on link %u, and reported %s (attempt %u)", r->id, r->to,
                       r->taken[i].link, word_name(s->word), s->attempt);
        } else if (s == before) {
            world_fail("%s (%s): taken twice in one attempt, again on link %u", r->id, r->to,
                       r->taken[i].link);
        }
        before = s;
    }
}

static void judge_words(struct rcpt *r)
{
    for (size_t i = 0; i < r->log_count; i++) {
        bool found = r->log[i].word != WORD_DELIVERED;
        for (size_t k = 0; k < r->taken_count && !found; k++) {
            found = word_after(r, r->taken[k].written) == &r->log[i];
        }
        if (!found) {
            world_fail("%s (%s): reported delivered, and nobody took it", r->id, r->to);
        }
    }
}

/* Delivered, or cut in the middle by a drain that was given no time. */
static bool ends_well(const struct rcpt *r)
{
    enum word word = r->log[r->log_count - 1].word;

    return word == WORD_DELIVERED || (word == WORD_AMBIGUOUS && scene.cut);
}

/* What must have become of him. */
static void judge_end(struct rcpt *r)
{
    if (r->finals != 1) {
        world_fail("%s (%s): %u final events", r->id, r->to, r->finals);
    } else if (r->innocent && r->fate == FATE_GOOD && !r->suppressed && !r->lied && !r->lost &&
               !ends_well(r)) {
        world_fail("%s (%s): nothing was wrong with it, and it was not delivered", r->id, r->to);
    } else if (r->fate == FATE_BAD && !r->lied && !r->lost &&
               r->log[r->log_count - 1].word == WORD_DELIVERED) {
        world_fail("%s (%s): delivered, and the mailbox is not there", r->id, r->to);
    }
}

void oracle_judge(bool all_done)
{
    for (unsigned i = 0; i < people_count && !world.failed; i++) {
        struct rcpt *r = people[i];
        if (!r->lied && !r->lost) {
            judge_taken(r);
            judge_words(r);
        }
        if (all_done) {
            judge_end(r);
        }
    }
}
