/*
 * log.c - one line on standard error for each thing that matters.
 */
#include "engine/base/log.h"
#include "engine/base/clock.h"
#include "engine/base/slice.h"
#include "engine/base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOG_LINE_MAX = 2048 };

static _Atomic int log_threshold = LOG_LEVEL_INFO;

static const struct {
    const char *name;
    int priority; /* syslog's number */
} log_levels[] = {
    [LOG_LEVEL_ERROR] = {"error", 3},
    [LOG_LEVEL_WARN] = {"warn", 4},
    [LOG_LEVEL_INFO] = {"info", 6},
    [LOG_LEVEL_DEBUG] = {"debug", 7},
};

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&log_threshold, (int)level, memory_order_relaxed);
}

bool log_level_parse(const char *name, enum log_level *out)
{
    for (size_t i = 0; i < sizeof(log_levels) / sizeof(log_levels[0]); i++) {
        if (strcmp(name, log_levels[i].name) == 0) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

bool log_enabled(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&log_threshold, memory_order_relaxed);
}

/* True when the place may write; *suppressed is what an ended window swallowed. */
static bool log_admit(struct log_site *site, int64_t now_s, uint32_t *suppressed)
{
    int64_t start_s = atomic_load(&site->window_start_s);

    *suppressed = 0;
    if (now_s - start_s >= LOG_WINDOW_S &&
        atomic_compare_exchange_strong(&site->window_start_s, &start_s, now_s)) {
        uint32_t count = atomic_exchange(&site->count, 1);
        *suppressed = count > LOG_BURST ? count - LOG_BURST : 0;
        return true;
    }
    return atomic_fetch_add(&site->count, 1) < LOG_BURST;
}

/* Control characters, the C1 ones of Unicode too, and what is not UTF-8: peers say such things,
 * and terminals obey them. */
static bool log_is_plain(struct slice at, size_t len)
{
    unsigned char first = (unsigned char)at.ptr[0];

    if (len == 1) {
        return first >= 0x20 && first != 0x7f;
    }
    return len > 1 && !(first == 0xc2 && (unsigned char)at.ptr[1] < 0xa0);
}

static size_t log_escape(char *out, size_t cap, const char *text)
{
    struct slice at = slice_cstr(text);
    size_t len = 0;

    while (at.len > 0 && len + 5 < cap) {
        size_t step = utf8_valid_prefix(at);
        if (log_is_plain(at, step)) {
            memcpy(out + len, at.ptr, step);
            len += step;
        } else {
            step = 1;
            len += (size_t)snprintf(out + len, cap - len, "\\x%02x", (unsigned char)at.ptr[0]);
        }
        at = slice_of(at.ptr + step, at.len - step);
    }
    return len;
}

static void log_write(enum log_level level, const char *text)
{
    char line[LOG_LINE_MAX + 64];
    size_t len = 0;

    if (getenv("JOURNAL_STREAM") != NULL) {
        len = (size_t)snprintf(line, sizeof(line), "<%d>", log_levels[level].priority);
    } else {
        char stamp[CLOCK_RFC3339_LEN + 1];
        clock_format(stamp, clock_wall_us());
        len = (size_t)snprintf(line, sizeof(line), "%s %s: ", stamp, log_levels[level].name);
    }
    len += log_escape(line + len, sizeof(line) - len - 1, text);
    line[len++] = '\n';
    /* One write a line: lines of several threads do not mix.  Nobody is left to tell when
     * standard error is gone. */
    ssize_t written = write(STDERR_FILENO, line, len);
    (void)written;
}

void log_at(struct log_site *site, enum log_level level, const char *fmt, ...)
{
    char text[LOG_LINE_MAX];
    uint32_t suppressed;
    va_list args;

    if (!log_admit(site, clock_mono_us() / 1000000 + LOG_WINDOW_S, &suppressed)) {
        return;
    }
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (suppressed > 0 && len >= 0 && (size_t)len + 48 < sizeof(text)) {
        snprintf(text + len, sizeof(text) - (size_t)len, " (%u more like this not shown)",
                 suppressed);
    }
    log_write(level, text);
}
