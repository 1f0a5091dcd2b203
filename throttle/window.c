/*
 * window.c - the hours in which mail may leave.
 */
#include "throttle/window.h"

#include "engine/base/err.h"

#include <string.h>

enum { MINUTES_A_DAY = 24 * 60, DAYS = 7, ALL_DAYS = (1 << DAYS) - 1, TEXT_MAX = 200 };

static const int64_t year_s = INT64_C(366) * 86400;

/* ---- reading ---- */

static int day_of(struct slice word)
{
    static const char *const names[DAYS] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

    for (int day = 0; day < DAYS; day++) {
        if (slice_ieq(word, slice_cstr(names[day]))) {
            return day;
        }
    }
    return -1;
}

/* "Mon" or "Fri-Mon" as bits; 0 when it is neither. */
static unsigned days_of(struct slice word)
{
    size_t dash = slice_find(word, '-');
    int from = day_of(slice_of(word.ptr, dash));
    int to = dash < word.len ? day_of(slice_from(word, dash + 1)) : from;
    unsigned days = 0;

    if (from < 0 || to < 0) {
        return 0;
    }
    for (int day = from;; day = (day + 1) % DAYS) {
        days |= 1U << day;
        if (day == to) {
            return days;
        }
    }
}

/* "8:00", "08:00", "24:00" in minutes; -1 when it is none. */
static int minute_of(struct slice word)
{
    uint64_t hour, minute;
    size_t colon = slice_find(word, ':');

    if (colon == 0 || colon > 2 || word.len - colon != 3 ||
        slice_u64(slice_of(word.ptr, colon), &hour) != 0 ||
        slice_u64(slice_from(word, colon + 1), &minute) != 0 || minute > 59 || hour > 24 ||
        (hour == 24 && minute > 0)) {
        return -1;
    }
    return (int)(hour * 60 + minute);
}

static bool hours_of(struct slice word, int *from, int *to)
{
    size_t dash = slice_find(word, '-');

    if (dash == word.len) {
        return false;
    }
    *from = minute_of(slice_of(word.ptr, dash));
    *to = minute_of(slice_from(word, dash + 1));
    return *from >= 0 && *to >= 0 && *from < MINUTES_A_DAY;
}

static void open_hours(struct window *w, unsigned days, int from, int to)
{
    int length = to > from ? to - from : to - from + MINUTES_A_DAY;

    for (int day = 0; day < DAYS; day++) {
        if ((days & 1U << day) == 0) {
            continue;
        }
        for (int i = 0; i < length; i++) {
            int minute = (day * MINUTES_A_DAY + from + i) % WINDOW_MINUTES;
            w->open[minute / 64] |= UINT64_C(1) << (minute % 64);
        }
    }
}

static bool next_word(struct slice *rest, struct slice *word)
{
    size_t from = 0, to;

    while (from < rest->len && (rest->ptr[from] == ' ' || rest->ptr[from] == ',')) {
        from++;
    }
    for (to = from; to < rest->len && rest->ptr[to] != ' ' && rest->ptr[to] != ','; to++) {}
    *word = slice_of(rest->ptr + from, to - from);
    *rest = slice_from(*rest, to);
    return word->len > 0;
}

static int refuse(struct buf *why, struct slice word)
{
    buf_printf(why,
               "\"" SLICE_FMT "\" is no part of a window; write Mon-Fri 08:00-18:00 Europe/Berlin",
               SLICE_ARG(word));
    return ERR_INVALID;
}

int window_parse(struct window *w, struct slice text, struct buf *why)
{
    unsigned days = ALL_DAYS;
    bool new_days = false, hours = false;
    struct slice rest = text, word;
    int from, to;

    memset(w, 0, sizeof(*w));
    if (text.len > TEXT_MAX) {
        buf_printf(why, "a window has at most %d bytes", TEXT_MAX);
        return ERR_INVALID;
    }
    while (next_word(&rest, &word)) {
        unsigned more = days_of(word);
        if (w->zone.len > 0) {
            return refuse(why, word); /* the zone is the last word */
        }
        if (more != 0) {
            days = new_days ? days | more : more;
            new_days = true;
        } else if (hours_of(word, &from, &to)) {
            open_hours(w, days, from, to);
            new_days = false;
            hours = true;
        } else if (hours && zone_name_valid(word)) {
            w->zone = word;
        } else {
            return refuse(why, word);
        }
    }
    if (!hours || new_days) {
        BUF_LIT(why, "a window has hours behind its days, as in Mon-Fri 08:00-18:00 Europe/Berlin");
        return ERR_INVALID;
    }
    return 0;
}

/* ---- asking ---- */

static bool is_open(const struct window *w, int64_t minute)
{
    return (w->open[minute / 64] >> (minute % 64) & 1) != 0;
}

/* The minute of the week at a local time. */
static int64_t week_minute(int64_t local_s)
{
    /* 1970-01-01 was a Thursday: the Monday before was three days earlier. */
    int64_t minute = (local_s / 60 + 3 * MINUTES_A_DAY) % WINDOW_MINUTES;

    return minute < 0 ? minute + WINDOW_MINUTES : minute;
}

/* How many minutes until it opens, from a minute at which it is closed; always fewer than a
 * week, as it has hours. */
static int64_t minutes_closed(const struct window *w, int64_t minute)
{
    int64_t count = 0;

    while (count < WINDOW_MINUTES && !is_open(w, minute)) {
        int64_t step = 1;
        if (minute % 64 == 0 && w->open[minute / 64] == 0 && minute + 64 <= WINDOW_MINUTES) {
            step = 64;
        }
        count += step;
        minute = (minute + step) % WINDOW_MINUTES;
    }
    return count;
}

int64_t window_next(const struct window *w, const struct zone *z, int64_t t_s)
{
    int64_t end_s = t_s + year_s;

    while (t_s < end_s) {
        int64_t until_s = INT64_MAX;
        int64_t offset_s = z != NULL ? zone_offset(z, t_s, &until_s) : 0;
        int64_t local_s = t_s + offset_s;
        int64_t closed = minutes_closed(w, week_minute(local_s));
        if (closed == 0) {
            return t_s;
        }
        int64_t opens_s = local_s / 60 * 60 + closed * 60 - offset_s;
        if (opens_s < until_s) {
            return opens_s;
        }
        t_s = until_s; /* the clocks change before it opens */
    }
    return INT64_MAX;
}
