/*
 * zone.c - a time zone, from a TZif file.
 */
#include "throttle/zone.h"

#include "engine/base/err.h"
#include "engine/base/mem.h"

#include <string.h>

enum {
    HEAD_LEN = 44,
    CHANGES_MAX = 4000,
    OFFSET_MAX_S = 26 * 3600,
    RULE_YEARS_TO = 2100,
    DAY_S = 86400,
};

/* ---- bytes ---- */

struct reader {
    const unsigned char *at;
    size_t left;
    bool bad;
};

static const unsigned char *take(struct reader *r, size_t len)
{
    const unsigned char *at = r->at;

    if (len > r->left) {
        r->bad = true;
        return NULL;
    }
    r->at += len;
    r->left -= len;
    return at;
}

static uint32_t be32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t be64(const unsigned char *p)
{
    return (int64_t)((uint64_t)be32(p) << 32 | be32(p + 4));
}

struct head {
    unsigned version;
    uint32_t isutcnt, isstdcnt, leapcnt, timecnt, typecnt, charcnt;
};

static bool read_head(struct reader *r, struct head *h)
{
    const unsigned char *p = take(r, HEAD_LEN);

    if (p == NULL || memcmp(p, "TZif", 4) != 0) {
        r->bad = true;
        return false;
    }
    h->version = p[4];
    h->isutcnt = be32(p + 20);
    h->isstdcnt = be32(p + 24);
    h->leapcnt = be32(p + 28);
    h->timecnt = be32(p + 32);
    h->typecnt = be32(p + 36);
    h->charcnt = be32(p + 40);
    if (h->timecnt > CHANGES_MAX || h->typecnt == 0 || h->typecnt > 256 || h->charcnt > 4096 ||
        h->leapcnt > CHANGES_MAX || h->isutcnt > 256 || h->isstdcnt > 256) {
        r->bad = true;
    }
    return !r->bad;
}

/* ---- changes ---- */

static void add_change(struct zone *z, int64_t at_s, int32_t offset_s)
{
    struct zone_change *last = z->count > 0 ? &z->change[z->count - 1] : NULL;

    if (last != NULL && at_s == last->at_s) {
        last->offset_s = offset_s; /* one rule ends where the next begins */
        return;
    }
    if (last != NULL && at_s < last->at_s) {
        return; /* they come in order; what does not is not believed */
    }
    z->change[z->count++] = (struct zone_change){at_s, offset_s};
}

static bool read_changes(struct reader *r, const struct head *h, struct zone *z)
{
    const unsigned char *times = take(r, 8 * (size_t)h->timecnt);
    const unsigned char *types = take(r, h->timecnt);
    const unsigned char *infos = take(r, 6 * (size_t)h->typecnt);

    take(r, h->charcnt);
    take(r, 12 * (size_t)h->leapcnt);
    take(r, h->isstdcnt);
    take(r, h->isutcnt);
    if (r->bad) {
        return false;
    }
    for (uint32_t i = 0; i < h->typecnt; i++) {
        int32_t offset_s = (int32_t)be32(infos + 6 * (size_t)i);
        if (offset_s < -OFFSET_MAX_S || offset_s > OFFSET_MAX_S) {
            return false;
        }
    }
    z->first_offset_s = (int32_t)be32(infos);
    for (uint32_t i = 0; i < h->timecnt; i++) {
        if (types[i] >= h->typecnt) {
            return false;
        }
        add_change(z, be64(times + 8 * (size_t)i), (int32_t)be32(infos + 6 * (size_t)types[i]));
    }
    return true;
}

/* ---- the rule: POSIX TZ, as in "CET-1CEST,M3.5.0,M10.5.0/3" ---- */

struct day_rule {
    char kind; /* 'M' month.week.weekday, 'J' day 1..365 without leap days, '0' day 0..365 */
    int64_t month, week, day;
    int64_t time_s; /* of the local clock */
};

struct rule {
    int64_t standard_s, summer_s; /* east */
    bool has_summer;
    struct day_rule start, end;
};

static bool next_is(struct slice *s, char c)
{
    if (s->len == 0 || s->ptr[0] != c) {
        return false;
    }
    *s = slice_from(*s, 1);
    return true;
}

static bool read_number(struct slice *s, int64_t *out)
{
    size_t n = 0;

    for (*out = 0; n < s->len && n < 5 && s->ptr[n] >= '0' && s->ptr[n] <= '9'; n++) {
        *out = *out * 10 + (s->ptr[n] - '0');
    }
    *s = slice_from(*s, n);
    return n > 0;
}

/* "[+-]hh[:mm[:ss]]" in seconds. */
static bool read_time(struct slice *s, int64_t *out_s)
{
    bool negative = next_is(s, '-');
    int64_t part;

    if (!negative) {
        (void)next_is(s, '+');
    }
    if (!read_number(s, &part) || part > 167) {
        return false;
    }
    *out_s = part * 3600;
    for (int64_t unit = 60; unit >= 1 && next_is(s, ':'); unit /= 60) {
        if (!read_number(s, &part) || part > 59) {
            return false;
        }
        *out_s += part * unit;
    }
    *out_s = negative ? -*out_s : *out_s;
    return true;
}

static bool read_zone_word(struct slice *s)
{
    size_t n = 0;

    if (next_is(s, '<')) {
        n = slice_find(*s, '>');
        if (n == s->len) {
            return false;
        }
        *s = slice_from(*s, n + 1);
        return n > 0;
    }
    while (n < s->len &&
           ((s->ptr[n] >= 'A' && s->ptr[n] <= 'Z') || (s->ptr[n] >= 'a' && s->ptr[n] <= 'z'))) {
        n++;
    }
    *s = slice_from(*s, n);
    return n >= 3;
}

static bool read_day_rule(struct slice *s, struct day_rule *r)
{
    bool ok;

    r->kind = '0';
    r->time_s = 2 * 3600;
    if (!next_is(s, ',')) {
        return false;
    }
    if (next_is(s, 'M')) {
        r->kind = 'M';
        ok = read_number(s, &r->month) && next_is(s, '.') && read_number(s, &r->week) &&
             next_is(s, '.') && read_number(s, &r->day) && r->month >= 1 && r->month <= 12 &&
             r->week >= 1 && r->week <= 5 && r->day <= 6;
    } else if (next_is(s, 'J')) {
        r->kind = 'J';
        ok = read_number(s, &r->day) && r->day >= 1 && r->day <= 365;
    } else {
        ok = read_number(s, &r->day) && r->day <= 365;
    }
    return ok && (!next_is(s, '/') || read_time(s, &r->time_s));
}

static bool read_rule(struct slice s, struct rule *r)
{
    int64_t west_s;

    memset(r, 0, sizeof(*r));
    if (!read_zone_word(&s) || !read_time(&s, &west_s)) {
        return false;
    }
    r->standard_s = -west_s;
    if (s.len == 0) {
        return r->standard_s >= -OFFSET_MAX_S && r->standard_s <= OFFSET_MAX_S;
    }
    r->has_summer = true;
    r->summer_s = r->standard_s + 3600;
    if (!read_zone_word(&s)) {
        return false;
    }
    if (s.len > 0 && s.ptr[0] != ',') {
        if (!read_time(&s, &west_s)) {
            return false;
        }
        r->summer_s = -west_s;
    }
    return read_day_rule(&s, &r->start) && read_day_rule(&s, &r->end) && s.len == 0 &&
           r->standard_s >= -OFFSET_MAX_S && r->standard_s <= OFFSET_MAX_S &&
           r->summer_s >= -OFFSET_MAX_S && r->summer_s <= OFFSET_MAX_S;
}

static bool leap_year(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days from 1970-01-01 to the first of January. */
static int64_t days_to_year(int64_t year)
{
    int64_t before = year - 1;

    return 365 * (year - 1970) + before / 4 - before / 100 + before / 400 - 477;
}

/* Days from 1970-01-01 to the day that the rule means in a year. */
static int64_t rule_day(const struct day_rule *r, int64_t year)
{
    static const int to_month[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
    int64_t january = days_to_year(year);

    if (r->kind == '0') {
        return january + r->day;
    }
    if (r->kind == 'J') {
        return january + r->day - 1 + (r->day > 59 && leap_year(year));
    }
    int64_t first = january + to_month[r->month - 1] + (r->month > 2 && leap_year(year));
    int64_t next = january + to_month[r->month] + (r->month >= 2 && leap_year(year));
    int64_t weekday = (first + 4) % 7; /* 1970-01-01 was a Thursday */
    int64_t day = first + (r->day - weekday + 7) % 7 + 7 * (r->week - 1);
    return day < next ? day : day - 7;
}

/* Writes the rule out behind the last change. */
static void follow_rule(struct zone *z, const struct rule *r)
{
    int64_t last_s = z->count > 0 ? z->change[z->count - 1].at_s : INT64_MIN;

    if (!r->has_summer) {
        if (z->count == 0) {
            z->first_offset_s = (int32_t)r->standard_s;
        }
        return;
    }
    for (int64_t year = 1970; year <= RULE_YEARS_TO; year++) {
        int64_t start = rule_day(&r->start, year) * DAY_S + r->start.time_s - r->standard_s;
        int64_t end = rule_day(&r->end, year) * DAY_S + r->end.time_s - r->summer_s;
        int64_t first = start < end ? start : end, second = start < end ? end : start;
        if (first > last_s) {
            add_change(z, first, (int32_t)(first == start ? r->summer_s : r->standard_s));
        }
        if (second > last_s) {
            add_change(z, second, (int32_t)(second == start ? r->summer_s : r->standard_s));
        }
    }
}

/* ---- the whole file ---- */

/* What holds after the last change, on a line of its own; nothing there: it stays. */
static bool read_footer(const struct reader *r, struct zone *z)
{
    struct slice rest = slice_of((const char *)r->at, r->left);
    struct rule rule;

    if (!next_is(&rest, '\n') || slice_find(rest, '\n') == rest.len) {
        return false;
    }
    rest.len = slice_find(rest, '\n');
    if (rest.len == 0) {
        return true;
    }
    if (!read_rule(rest, &rule)) {
        return false;
    }
    follow_rule(z, &rule);
    return true;
}

int zone_parse(struct zone *z, struct slice bytes)
{
    struct reader r = {(const unsigned char *)bytes.ptr, bytes.len, false};
    struct head h;

    memset(z, 0, sizeof(*z));
    if (bytes.len > ZONE_BYTES_MAX || !read_head(&r, &h) || h.version < '2') {
        return ERR_INVALID;
    }
    /* The first part has times of 32 bits; the second says all of it with 64. */
    take(&r, 5 * (size_t)h.timecnt + 6 * (size_t)h.typecnt + h.charcnt + 8 * (size_t)h.leapcnt +
                 h.isstdcnt + h.isutcnt);
    if (r.bad || !read_head(&r, &h)) {
        return ERR_INVALID;
    }
    z->change = mem_array(h.timecnt + 2 * (RULE_YEARS_TO - 1970 + 1), sizeof(*z->change));
    if (read_changes(&r, &h, z) && read_footer(&r, z)) {
        return 0;
    }
    zone_fini(z);
    return ERR_INVALID;
}

void zone_fini(struct zone *z)
{
    mem_free(z->change);
    memset(z, 0, sizeof(*z));
}

int32_t zone_offset(const struct zone *z, int64_t t_s, int64_t *until_s)
{
    size_t low = 0, high = z->count;

    while (low < high) { /* the first change behind t_s */
        size_t middle = low + (high - low) / 2;
        if (z->change[middle].at_s <= t_s) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *until_s = low < z->count ? z->change[low].at_s : INT64_MAX;
    return low > 0 ? z->change[low - 1].offset_s : z->first_offset_s;
}

bool zone_name_valid(struct slice name)
{
    if (name.len == 0 || name.len > ZONE_NAME_MAX) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool other = (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '+' || c == '/';
        if (!letter && (i == 0 || !other)) {
            return false; /* no dots: no way out of the directory */
        }
    }
    return true;
}
