/*
 * learned.c - what a site has shown about itself, and what may be tried with it.
 */
#include "engine/deliver/learned.h"

static bool trusted(const struct learned *l)
{
    return l->ahead >= LEARNED_CLEAN;
}

static uint8_t one_more(uint8_t count)
{
    return count < LEARNED_CLEAN ? (uint8_t)(count + 1) : count;
}

/* The next trial has to be earned again. */
static void ahead_off(struct learned *l, int64_t until_us)
{
    l->ahead_off_us = until_us;
    l->clean = 0;
    l->ahead = 0;
}

void learned_transaction(struct learned *l, enum learned_end end, bool ahead, int64_t now_us)
{
    switch (end) {
    case LEARNED_ACCEPTED:
        l->clean = one_more(l->clean);
        l->ahead = ahead ? one_more(l->ahead) : l->ahead;
        return;
    case LEARNED_REFUSED:
        return; /* of one recipient, one letter: in step all the same */
    case LEARNED_BROKE:
        if (ahead && !trusted(l) && l->ahead_off_us <= now_us) {
            ahead_off(l, now_us + LEARNED_BROKEN_US);
        } else if (!trusted(l)) {
            l->clean = 0;
        }
        return;
    }
}

bool learned_refused(struct learned *l, int64_t now_us)
{
    bool news = l->ahead_off_us < now_us + LEARNED_REFUSED_US - LEARNED_BROKEN_US;

    if (news) {
        ahead_off(l, now_us + LEARNED_REFUSED_US);
        l->memory = LEARNED_KNOWN;
    }
    return news;
}

bool learned_asks(struct learned *l)
{
    if (l->memory != LEARNED_UNASKED || l->clean < LEARNED_CLEAN) {
        return false;
    }
    l->memory = LEARNED_ASKED;
    return true;
}

void learned_told(struct learned *l, int64_t ahead_off_us)
{
    if (l->memory == LEARNED_KNOWN) {
        return; /* found out meanwhile */
    }
    if (ahead_off_us < 0) {
        l->memory = LEARNED_UNASKED;
        l->clean = 0;
        return;
    }
    l->memory = LEARNED_KNOWN;
    if (ahead_off_us > l->ahead_off_us) {
        l->ahead_off_us = ahead_off_us;
    }
}

bool learned_may_go_ahead(const struct learned *l, int64_t now_us)
{
    return l->memory == LEARNED_KNOWN && l->clean >= LEARNED_CLEAN && l->ahead_off_us <= now_us;
}

void learned_rcpt_limit(struct learned *l, uint32_t max, int64_t now_us)
{
    if (max > 0) {
        l->rcpt_max = max;
        l->rcpt_until_us = now_us + LEARNED_RCPT_US;
    }
}

uint32_t learned_rcpt_max(const struct learned *l, uint32_t wanted, int64_t now_us)
{
    return l->rcpt_max > 0 && l->rcpt_max < wanted && now_us < l->rcpt_until_us ? l->rcpt_max
                                                                                : wanted;
}
