/*
 * units.c - durations, sizes and rates as people write them.
 */
#include "engine/base/units.h"
#include "engine/base/err.h"

#include <string.h>

#define US_PER_S  INT64_C(1000000)
#define US_MAX    (INT64_C(3650) * 86400 * US_PER_S)
#define COUNT_MAX UINT64_C(1000000000)

static const struct {
    struct slice name;
    int64_t us;
} duration_units[] = {
    {{"w", 1}, 7 * 86400 * US_PER_S},
    {{"d", 1}, 86400 * US_PER_S},
    {{"h", 1}, 3600 * US_PER_S},
    {{"m", 1}, 60 * US_PER_S},
    {{"s", 1}, US_PER_S},
    {{"ms", 2}, 1000},
    {{"us", 2}, 1},
};

static const struct {
    char name; /* upper case */
    uint64_t bytes;
} byte_units[] = {
    {'T', UINT64_C(1) << 40}, {'G', UINT64_C(1) << 30}, {'M', UINT64_C(1) << 20}, {'K', 1024}};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Takes the run at the front for which `digits` holds or does not hold. */
static struct slice take_run(struct slice *at, bool digits)
{
    size_t len = 0;

    while (len < at->len && is_digit(at->ptr[len]) == digits) {
        len++;
    }
    struct slice run = slice_of(at->ptr, len);
    *at = slice_of(at->ptr + len, at->len - len);
    return run;
}

static int unit_us(struct slice name, int64_t *us)
{
    for (size_t i = 0; i < sizeof(duration_units) / sizeof(duration_units[0]); i++) {
        if (slice_eq(name, duration_units[i].name)) {
            *us = duration_units[i].us;
            return 0;
        }
    }
    return ERR_INVALID;
}

int units_duration(struct slice text, int64_t *us)
{
    int64_t total = 0;

    text = slice_trim(text);
    if (slice_eq(text, SLICE("0"))) {
        *us = 0;
        return 0;
    }
    if (text.len == 0) {
        return ERR_INVALID;
    }
    while (text.len > 0) {
        uint64_t count;
        int64_t scale;
        int err = slice_u64(take_run(&text, true), &count);
        if (err == 0) {
            err = unit_us(take_run(&text, false), &scale);
        }
        if (err != 0) {
            return err;
        }
        if (count > (uint64_t)(US_MAX / scale)) {
            return ERR_RANGE;
        }
        total += (int64_t)count * scale;
        if (total > US_MAX) {
            return ERR_RANGE;
        }
    }
    *us = total;
    return 0;
}

int units_bytes(struct slice text, uint64_t *bytes)
{
    struct slice at = slice_trim(text);
    uint64_t count, scale = 1;
    int err = slice_u64(take_run(&at, true), &count);

    if (err != 0) {
        return err;
    }
    at = slice_trim(at);
    if (at.len > 0) {
        for (size_t i = 0; i < sizeof(byte_units) / sizeof(byte_units[0]); i++) {
            if ((at.ptr[0] & ~0x20) == byte_units[i].name) {
                scale = byte_units[i].bytes;
                at = slice_of(at.ptr + 1, at.len - 1);
                break;
            }
        }
        if (at.len > 1 || (at.len == 1 && at.ptr[0] != 'B' && at.ptr[0] != 'b')) {
            return ERR_INVALID;
        }
    }
    return __builtin_mul_overflow(count, scale, bytes) ? ERR_RANGE : 0;
}

int units_rate(struct slice text, struct rate *out)
{
    struct slice at = slice_trim(text), unit;
    struct rate rate = {.burst = 1};

    if (slice_eq(at, SLICE("unlimited"))) {
        *out = rate;
        return 0;
    }
    int err = slice_u64(take_run(&at, true), &rate.count);
    if (err != 0) {
        return err;
    }
    if (at.len < 2 || at.ptr[0] != '/') {
        return ERR_INVALID;
    }
    at = slice_of(at.ptr + 1, at.len - 1);
    unit = slice_of(at.ptr, slice_find(at, ' '));
    err = unit_us(unit, &rate.period_us);
    if (err != 0) {
        return err;
    }
    at = slice_trim(slice_from(at, unit.len));
    if (at.len > 0) {
        if (!slice_starts(at, SLICE("burst "))) {
            return ERR_INVALID;
        }
        err = slice_u64(slice_trim(slice_from(at, 6)), &rate.burst);
        if (err != 0) {
            return err;
        }
    }
    if (rate.count == 0 || rate.count > COUNT_MAX || rate.burst == 0 || rate.burst > COUNT_MAX) {
        return ERR_RANGE;
    }
    *out = rate;
    return 0;
}

void units_put_duration(struct buf *b, int64_t us)
{
    if (us == 0) {
        buf_putc(b, '0');
        return;
    }
    for (size_t i = 0; i < sizeof(duration_units) / sizeof(duration_units[0]); i++) {
        /* 30d, not 4w2d: weeks are for whole ones. */
        if (us >= duration_units[i].us && (i > 0 || us % duration_units[i].us == 0)) {
            buf_putd(b, us / duration_units[i].us);
            buf_puts(b, duration_units[i].name);
            us %= duration_units[i].us;
        }
    }
}

void units_put_bytes(struct buf *b, uint64_t bytes)
{
    for (size_t i = 0; bytes > 0 && i < sizeof(byte_units) / sizeof(byte_units[0]); i++) {
        if (bytes % byte_units[i].bytes == 0) {
            buf_putu(b, bytes / byte_units[i].bytes);
            buf_putc(b, byte_units[i].name);
            buf_putc(b, 'B');
            return;
        }
    }
    buf_putu(b, bytes);
}

void units_put_rate(struct buf *b, const struct rate *rate)
{
    if (rate->count == 0) {
        BUF_LIT(b, "unlimited");
        return;
    }
    buf_putu(b, rate->count);
    buf_putc(b, '/');
    for (size_t i = 0; i < sizeof(duration_units) / sizeof(duration_units[0]); i++) {
        if (rate->period_us == duration_units[i].us) {
            buf_puts(b, duration_units[i].name);
        }
    }
    if (rate->burst != 1) {
        BUF_LIT(b, " burst ");
        buf_putu(b, rate->burst);
    }
}
