/*
 * desk_text.c - figures and ids of the queue as people read them.  Pure.
 */
#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/cli/desk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIME_MAX_MS INT64_C(253402300799999) /* the end of the year 9999 */

int64_t desk_sane_ms(int64_t ms)
{
    return ms < 0 ? 0 : ms > TIME_MAX_MS ? TIME_MAX_MS : ms;
}

int64_t desk_score_ms(const struct resp *score)
{
    double value = score->text.len > 0 ? strtod(score->text.ptr, NULL) : 0;

    if (!(value > 0)) { /* not a number either */
        return 0;
    }
    return value < (double)TIME_MAX_MS ? (int64_t)value : TIME_MAX_MS;
}

void desk_put_age(struct buf *out, int64_t ms)
{
    static const struct {
        int64_t seconds;
        const char *name;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "m"}, {1, "s"}};
    int64_t seconds = ms / 1000;
    size_t i = 0;

    if (ms < 0) {
        buf_putc(out, '-');
        return;
    }
    while (i < 3 && seconds < units[i].seconds) {
        i++;
    }
    buf_printf(out, "%lld%s", (long long)(seconds / units[i].seconds), units[i].name);
    int64_t rest = i < 2 ? seconds % units[i].seconds / units[i + 1].seconds : 0;
    if (rest > 0) { /* two units are enough, and seconds behind minutes are noise */
        buf_printf(out, " %lld%s", (long long)rest, units[i + 1].name);
    }
}

void desk_put_bytes(struct buf *out, uint64_t bytes)
{
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
    double value = (double)bytes;
    size_t i = 0;

    while (i < 4 && value >= 1024) {
        value /= 1024;
        i++;
    }
    buf_printf(out, i > 0 ? "%.1f %s" : "%.0f %s", value, units[i]);
}

void desk_put_time(struct buf *out, int64_t unix_ms)
{
    char text[CLOCK_RFC3339_LEN + 1];

    clock_format(text, desk_sane_ms(unix_ms) * 1000);
    buf_printf(out, "%.10s %.8s UTC", text, text + 11);
}

/* Crockford's base 32 in lower case, as queue/partition.lua writes it. */
static int digit(char c)
{
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;

    return at != NULL ? (int)(at - digits) : -1;
}

int desk_id_parse(struct slice job, int64_t *time_ms, unsigned *partition)
{
    int64_t value = 0;

    if (job.len != RECORD_JOB_LEN) {
        return ERR_INVALID;
    }
    for (size_t i = 0; i < job.len; i++) {
        if (digit(job.ptr[i]) < 0) {
            return ERR_INVALID;
        }
    }
    for (size_t i = 0; i < 10; i++) {
        value = value * 32 + digit(job.ptr[i]);
    }
    *time_ms = value;
    *partition = (unsigned)(digit(job.ptr[10]) * 32 + digit(job.ptr[11]));
    return 0;
}
