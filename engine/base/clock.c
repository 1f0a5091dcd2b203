/*
 * clock.c - reading the clocks, and writing times down.
 *
 * The calendar is computed here (proleptic Gregorian, days from 1970-01-01) rather than by
 * gmtime(): no time zone files, no shared buffers, and the same on every thread.
 */
#include "engine/base/clock.h"
#include "engine/base/err.h"

#include <stdio.h>
#include <time.h>

enum { US_PER_S = 1000000, S_PER_DAY = 86400 };

#define S_YEAR_10000 INT64_C(253402300800) /* 10000-01-01T00:00:00Z */

struct civil {
    int64_t year;
    unsigned month; /* 1..12 */
    unsigned day;   /* 1..31 */
};

static int64_t clock_read_us(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * US_PER_S + ts.tv_nsec / 1000;
}

int64_t clock_mono_us(void)
{
    return clock_read_us(CLOCK_MONOTONIC);
}

int64_t clock_wall_us(void)
{
    return clock_read_us(CLOCK_REALTIME);
}

/* Days since 1970-01-01; a year counted from March puts the leap day last. */
static int64_t days_from_civil(struct civil c)
{
    int64_t y = c.month <= 2 ? c.year - 1 : c.year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t month_from_march = (c.month + 9) % 12;
    int64_t day_of_year = (153 * month_from_march + 2) / 5 + c.day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * 146097 + day_of_era - 719468;
}

static struct civil civil_from_days(int64_t days)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    struct civil c = {.day = (unsigned)(doy - (153 * mp + 2) / 5 + 1),
                      .month = (unsigned)(mp < 10 ? mp + 3 : mp - 9)};

    c.year = yoe + era * 400 + (c.month <= 2 ? 1 : 0);
    return c;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0 ? 1 : 0);
}

/* Two decimal digits of a number under 100. */
static void put2(char *out, unsigned value)
{
    out[0] = (char)('0' + value / 10 % 10);
    out[1] = (char)('0' + value % 10);
}

void clock_format(char out[CLOCK_RFC3339_LEN + 1], int64_t wall_us)
{
    int64_t s = floor_div(wall_us, US_PER_S);
    unsigned ms = (unsigned)((wall_us - s * US_PER_S) / 1000);
    int64_t days = floor_div(s, S_PER_DAY);
    unsigned sod = (unsigned)(s - days * S_PER_DAY);
    struct civil c = civil_from_days(days);

    put2(out, (unsigned)(c.year / 100));
    put2(out + 2, (unsigned)(c.year % 100));
    out[4] = '-';
    put2(out + 5, c.month);
    out[7] = '-';
    put2(out + 8, c.day);
    out[10] = 'T';
    put2(out + 11, sod / 3600);
    out[13] = ':';
    put2(out + 14, sod / 60 % 60);
    out[16] = ':';
    put2(out + 17, sod % 60);
    out[19] = '.';
    out[20] = (char)('0' + ms / 100);
    put2(out + 21, ms % 100);
    out[23] = 'Z';
    out[24] = '\0';
}

size_t clock_format_rfc5322(char out[40], int64_t wall_us)
{
    static const char weekdays[] = "ThuFriSatSunMonTueWed"; /* 1970-01-01 was a Thursday */
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int64_t s = floor_div(wall_us, US_PER_S);
    int64_t days = floor_div(s, S_PER_DAY);
    unsigned sod = (unsigned)(s - days * S_PER_DAY);
    unsigned weekday = (unsigned)(days - floor_div(days, 7) * 7);
    struct civil c = civil_from_days(days);

    return (size_t)snprintf(
        out, 40, "%.3s, %u %.3s %04d %02u:%02u:%02u +0000", weekdays + (size_t)weekday * 3, c.day,
        months + (size_t)(c.month - 1) * 3, (int)c.year, sod / 3600, sod / 60 % 60, sod % 60);
}

/* Reads exactly `digits` digits at *at. */
static int take_number(struct slice *at, unsigned digits, unsigned *out)
{
    unsigned value = 0;

    if (at->len < digits) {
        return ERR_INVALID;
    }
    for (unsigned i = 0; i < digits; i++) {
        if (at->ptr[i] < '0' || at->ptr[i] > '9') {
            return ERR_INVALID;
        }
        value = value * 10 + (unsigned)(at->ptr[i] - '0');
    }
    *at = slice_of(at->ptr + digits, at->len - digits);
    *out = value;
    return 0;
}

static int take_char(struct slice *at, char c)
{
    if (at->len == 0 || (at->ptr[0] | 0x20) != (c | 0x20)) {
        return ERR_INVALID;
    }
    *at = slice_of(at->ptr + 1, at->len - 1);
    return 0;
}

/* ".123456789" into microseconds; further digits are read and dropped. */
static int take_fraction(struct slice *at, int64_t *us)
{
    int64_t scale = US_PER_S / 10;
    size_t digits = 0;

    *us = 0;
    if (at->len == 0 || at->ptr[0] != '.') {
        return 0;
    }
    for (*at = slice_of(at->ptr + 1, at->len - 1);
         at->len > 0 && at->ptr[0] >= '0' && at->ptr[0] <= '9';
         *at = slice_of(at->ptr + 1, at->len - 1)) {
        *us += (at->ptr[0] - '0') * scale;
        scale /= 10;
        digits++;
    }
    return digits > 0 ? 0 : ERR_INVALID;
}

static int take_offset(struct slice *at, int64_t *offset_s)
{
    unsigned hours, minutes;

    *offset_s = 0;
    if (take_char(at, 'Z') == 0) {
        return 0;
    }
    if (at->len == 0 || (at->ptr[0] != '+' && at->ptr[0] != '-')) {
        return ERR_INVALID;
    }
    int64_t sign = at->ptr[0] == '-' ? -1 : 1;
    *at = slice_of(at->ptr + 1, at->len - 1);
    if (take_number(at, 2, &hours) != 0 || take_char(at, ':') != 0 ||
        take_number(at, 2, &minutes) != 0) {
        return ERR_INVALID;
    }
    if (hours > 23 || minutes > 59) {
        return ERR_RANGE;
    }
    *offset_s = sign * (int64_t)(hours * 3600 + minutes * 60);
    return 0;
}

static unsigned days_in_month(unsigned year, unsigned month)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return days[month - 1] + (leap && month == 2 ? 1U : 0U);
}

static int parse_rfc3339(struct slice at, int64_t *wall_us)
{
    unsigned year, month, day, hour, minute, second;
    int64_t fraction_us, offset_s;

    if (take_number(&at, 4, &year) != 0 || take_char(&at, '-') != 0 ||
        take_number(&at, 2, &month) != 0 || take_char(&at, '-') != 0 ||
        take_number(&at, 2, &day) != 0 || (take_char(&at, 'T') != 0 && take_char(&at, ' ') != 0) ||
        take_number(&at, 2, &hour) != 0 || take_char(&at, ':') != 0 ||
        take_number(&at, 2, &minute) != 0 || take_char(&at, ':') != 0 ||
        take_number(&at, 2, &second) != 0 || take_fraction(&at, &fraction_us) != 0) {
        return ERR_INVALID;
    }
    int err = take_offset(&at, &offset_s);
    if (err != 0 || at.len != 0) {
        return err != 0 ? err : ERR_INVALID;
    }
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) ||
        hour > 23 || minute > 59 || second > 60) {
        return ERR_RANGE;
    }
    int64_t days = days_from_civil((struct civil){year, month, day});
    int64_t s = days * S_PER_DAY + (int64_t)(hour * 3600 + minute * 60 + second) - offset_s;
    if (s < 0 || s >= S_YEAR_10000) {
        return ERR_RANGE; /* by its offset */
    }
    *wall_us = s * US_PER_S + fraction_us;
    return 0;
}

int clock_parse(struct slice text, int64_t *wall_us)
{
    struct slice whole = slice_of(text.ptr, slice_find(text, '.'));
    struct slice fraction = slice_from(text, whole.len);
    int64_t us = 0;
    uint64_t s;

    if (slice_find(text, '-') != text.len) {
        return parse_rfc3339(text, wall_us);
    }
    int err = slice_u64(whole, &s);
    if (err == 0) {
        err = take_fraction(&fraction, &us);
    }
    if (err != 0 || fraction.len != 0) {
        return err != 0 ? err : ERR_INVALID;
    }
    if (s >= (uint64_t)S_YEAR_10000) {
        return ERR_RANGE;
    }
    *wall_us = (int64_t)s * US_PER_S + us;
    return 0;
}
