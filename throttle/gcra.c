/*
 * gcra.c - exact pacing: so many events in a period, evenly.
 *
 * Why the bound on a second holds.  Let T be the step, S the slack, b the spare events and r(i)
 * the ready time that event i found, after step_back() moved it up to at least t(i) - S - b T,
 * where t(i) is when it went; r(i) <= t(i), and r grows by at least T an event.  If events i..k
 * lie in a window of W, then (k - i) T <= r(k) - r(i) < W + S + b T, so their number is at most
 * ceil((W + S) / T) + b.  That is at most floor(W * rate) + burst when
 * T >= (W + S) / (floor(W * rate) + 1), which is how set_step() chooses T.
 */
#include "throttle/gcra.h"
#include "engine/base/panic.h"

#define WINDOW_US UINT64_C(1000000)

typedef unsigned __int128 u128;

static void set_step(struct gcra *g, const struct rate *rate)
{
    if (rate->count == 0) {
        g->step_num = g->step_den = 0;
        g->spare = g->slack_us = 0;
        return;
    }
    ASSERT(rate->period_us > 0 && rate->burst > 0);
    u128 period = (uint64_t)rate->period_us;
    u128 in_window = (u128)rate->count * WINDOW_US / period + 1;
    u128 free_us = (period * in_window - (u128)rate->count * WINDOW_US) / rate->count;
    g->slack_us = free_us > GCRA_STALL_US ? GCRA_STALL_US : (uint32_t)free_us;
    if (free_us >= GCRA_SLACK_US) {
        g->step_num = (uint64_t)rate->period_us;
        g->step_den = rate->count;
    } else {
        g->slack_us = GCRA_SLACK_US;
        g->step_num = WINDOW_US + GCRA_SLACK_US;
        g->step_den = (uint64_t)in_window;
    }
    g->spare = rate->burst - 1 > UINT32_MAX ? UINT32_MAX : (uint32_t)(rate->burst - 1);
}

/* ready := at - events * step */
static void set_before(struct gcra *g, int64_t at_us, uint64_t events)
{
    g->ready_us = at_us;
    g->ready_frac = 0;
    if (events > 0) {
        u128 back = (u128)events * g->step_num;
        uint64_t rest = (uint64_t)(back % g->step_den);
        g->ready_us -= (int64_t)(back / g->step_den) + (rest > 0);
        g->ready_frac = rest > 0 ? g->step_den - rest : 0;
    }
}

static void advance(struct gcra *g, uint64_t events)
{
    uint64_t step;

    /* The usual case, without a division of 128 bits. */
    if (!__builtin_mul_overflow(events, g->step_num, &step) &&
        !__builtin_add_overflow(step, g->ready_frac, &step)) {
        g->ready_us += (int64_t)(step / g->step_den);
        g->ready_frac = step % g->step_den;
        return;
    }
    u128 wide = (u128)events * g->step_num + g->ready_frac;
    u128 us = wide / g->step_den;
    /* A letter that takes longer than time lasts at this rate: far away is far enough. */
    g->ready_us += us > INT64_MAX / 4 ? INT64_MAX / 4 : (int64_t)us;
    g->ready_frac = (uint64_t)(wide % g->step_den);
}

/* Moves a ready time that is too long ago up to the earliest that still counts. */
static void step_back(struct gcra *g, int64_t now_us)
{
    struct gcra floor = *g;

    /* Most of the time nothing is to be done. */
    if (g->ready_us >= now_us - (g->waiting ? (int64_t)g->slack_us : 0)) {
        return;
    }
    set_before(&floor, now_us, g->spare);
    if (g->waiting && floor.ready_us - g->ready_us <= GCRA_STALL_US) {
        floor.ready_us -= g->slack_us;
    }
    if (g->ready_us < floor.ready_us ||
        (g->ready_us == floor.ready_us && g->ready_frac < floor.ready_frac)) {
        g->ready_us = floor.ready_us;
        g->ready_frac = floor.ready_frac;
    }
}

void gcra_init(struct gcra *g, const struct rate *rate, int64_t now_us)
{
    *g = (struct gcra){.ready_us = now_us};
    set_step(g, rate);
}

void gcra_take(struct gcra *g, int64_t now_us, uint64_t n)
{
    if (gcra_unlimited(g) || n == 0) {
        return;
    }
    ASSERT(gcra_ready_at(g) <= now_us);
    step_back(g, now_us);
    advance(g, n);
    /* Still behind: it is catching up.  Ahead: who has more to send asks, and waits again. */
    g->waiting = g->waiting && g->ready_us < now_us;
}

/* `us` of waiting at the old step, as long at the new one. */
static int64_t rescale(const struct gcra *from, const struct gcra *to, int64_t us)
{
    enum { FRACTION_BITS = 20 };
    u128 events = ((u128)(uint64_t)us * from->step_den << FRACTION_BITS) / from->step_num;
    u128 scaled = (events * to->step_num / to->step_den) >> FRACTION_BITS;

    return scaled > INT64_MAX / 4 ? INT64_MAX / 4 : (int64_t)scaled;
}

void gcra_change(struct gcra *g, const struct rate *rate, int64_t now_us)
{
    struct gcra to = {.ready_us = now_us};

    set_step(&to, rate);
    if (to.step_num == g->step_num && to.step_den == g->step_den && to.spare == g->spare) {
        return;
    }
    if (!gcra_unlimited(g) && !gcra_unlimited(&to)) {
        step_back(g, now_us);
        if (g->ready_us > now_us) {
            /* One more microsecond makes up for what the divisions cut off. */
            to.ready_us = now_us + rescale(g, &to, g->ready_us - now_us) + 1;
        } else {
            u128 earned = (u128)(uint64_t)(now_us - g->ready_us) * g->step_den / g->step_num;
            set_before(&to, now_us, earned < to.spare ? (uint64_t)earned : to.spare);
        }
        to.waiting = g->waiting;
    }
    *g = to;
}
