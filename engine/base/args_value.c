/*
 * args_value.c - reading one option's value.
 */
#include "engine/base/args_value.h"
#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/base/suggest.h"
#include "engine/base/units.h"

#include <string.h>

/* What a value of this kind looks like, for the message. */
static const char *const kind_example[] = {
    [ARGS_FLAG] = "",
    [ARGS_TEXT] = "text",
    [ARGS_LIST] = "text",
    [ARGS_COUNT] = "a whole number such as 100",
    [ARGS_DURATION] = "a duration such as 90s, 15m, 4h or 5d",
    [ARGS_BYTES] = "a size such as 64KB, 25MB or 1GB",
    [ARGS_RATE] = "a rate such as 100/s, 5000/h or unlimited",
    [ARGS_TIME] = "a time such as 2026-08-21T18:00:00+02:00, or unix seconds",
    [ARGS_SHARE] = "a share such as 5% or 0.05",
    [ARGS_CHOICE] = "one of the words",
};

static void put_limit(struct buf *out, enum args_kind kind, uint64_t value)
{
    if (kind == ARGS_DURATION) {
        units_put_duration(out, (int64_t)value);
    } else if (kind == ARGS_BYTES) {
        units_put_bytes(out, value);
    } else {
        buf_putu(out, value);
    }
}

static bool refuse(const struct args_option *o, const char *value, int err, struct buf *out)
{
    uint64_t max = o->max;

    buf_printf(out, "--%s ", o->name);
    if (value[0] == '\0') {
        buf_printf(out, "is empty; write %s", kind_example[o->kind]);
    } else if (err == ERR_RANGE && max > 0) {
        buf_printf(out, "%s is out of range; it may be ", value);
        put_limit(out, o->kind, o->min);
        BUF_LIT(out, " to ");
        put_limit(out, o->kind, max);
    } else if (err == ERR_RANGE) {
        buf_printf(out, "%s is out of range", value);
    } else {
        buf_printf(out, "%s is not understood; write %s", value, kind_example[o->kind]);
    }
    return false;
}

static int within(const struct args_option *o, uint64_t value)
{
    return o->max > 0 && (value < o->min || value > o->max) ? ERR_RANGE : 0;
}

/* "5%", "0.05", "12.5%": digits, one point, perhaps a percent sign; at most 1. */
static int share_parse(struct slice text, double *out)
{
    double value = 0, scale = 1;
    bool percent = text.len > 0 && text.ptr[text.len - 1] == '%', point = false, digits = false;

    text.len -= percent;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '.' && !point) {
            point = true;
        } else if (c >= '0' && c <= '9' && i < 20) {
            value = value * 10 + (c - '0');
            scale *= point ? 10 : 1;
            digits = true;
        } else {
            return ERR_INVALID;
        }
    }
    if (!digits) {
        return ERR_INVALID;
    }
    *out = value / scale / (percent ? 100 : 1);
    return *out > 1 ? ERR_RANGE : 0;
}

static bool choice_store(const struct args_option *o, const char *value, int *target,
                         struct buf *out)
{
    struct slice rest = slice_cstr(o->value), word;
    struct suggest near;

    suggest_init(&near, slice_cstr(value));
    for (int i = 0; slice_next(&rest, '|', &word); i++) {
        if (slice_eq(word, slice_cstr(value))) {
            *target = i;
            return true;
        }
        suggest_offer(&near, word);
    }
    buf_printf(out, "--%s %s is not known", o->name, value);
    if (near.best.len > 0) {
        buf_printf(out, ", did you mean " SLICE_FMT "?", SLICE_ARG(near.best));
    } else {
        buf_printf(out, "; it may be %s", o->value);
    }
    return false;
}

static int number_store(const struct args_option *o, struct slice text, void *target)
{
    uint64_t value = 0;
    int64_t us = 0;
    int err;

    if (o->kind == ARGS_DURATION) {
        err = units_duration(text, &us);
        value = (uint64_t)us;
    } else {
        err = o->kind == ARGS_BYTES ? units_bytes(text, &value) : slice_u64(text, &value);
    }
    err = err == 0 ? within(o, value) : err;
    if (err == 0 && o->kind == ARGS_DURATION) {
        *(int64_t *)target = us;
    } else if (err == 0) {
        *(uint64_t *)target = value;
    }
    return err;
}

bool args_store_value(const struct args_option *o, const char *value, void *target, struct buf *out)
{
    int err = 0;

    switch (o->kind) {
    case ARGS_FLAG:
        *(bool *)target = true;
        return true;
    case ARGS_TEXT:
        if (value[0] == '\0' && !o->may_be_empty) {
            return refuse(o, value, ERR_INVALID, out);
        }
        *(const char **)target = value;
        return true;
    case ARGS_CHOICE:
        return choice_store(o, value, target, out);
    case ARGS_COUNT:
    case ARGS_DURATION:
    case ARGS_BYTES:
        err = number_store(o, slice_cstr(value), target);
        break;
    case ARGS_RATE:
        err = units_rate(slice_cstr(value), target);
        break;
    case ARGS_TIME:
        err = clock_parse(slice_cstr(value), target);
        break;
    case ARGS_SHARE:
        err = share_parse(slice_cstr(value), target);
        break;
    case ARGS_LIST:
        PANIC("a list is stored by the parser");
    }
    return err == 0 || refuse(o, value, err, out);
}
