/*
 * log.h - one line on standard error for each thing that matters.
 *
 * Levels follow syslog.  Under systemd (JOURNAL_STREAM is set) a line starts with its
 * priority, "<4>", and carries no time, as sd-daemon(3) asks; elsewhere it starts with the
 * time and the level.  Each place in the code may write LOG_BURST lines in LOG_WINDOW_S
 * seconds; what is over that is counted, and the count is written when the window ends.
 * Control characters from peers are escaped.  Never log a secret: no AUTH exchange, key,
 * password or letter body passes through here.
 */
#ifndef VOLLEY_BASE_LOG_H
#define VOLLEY_BASE_LOG_H

#include "engine/base/panic.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

enum { LOG_BURST = 20, LOG_WINDOW_S = 10 };

/* One per calling place, made by the macros; shared by threads. */
struct log_site {
    _Atomic int64_t window_start_s;
    _Atomic uint32_t count;
};

void log_set_level(enum log_level level);
/* "error", "warn", "info", "debug"; false when it is none of them. */
bool log_level_parse(const char *name, enum log_level *out);
bool log_enabled(enum log_level level);
void log_at(struct log_site *site, enum log_level level, const char *fmt, ...) PRINTF_LIKE(3, 4);

#define LOG_AT(level, ...)                                \
    do {                                                  \
        if (log_enabled(level)) {                         \
            static struct log_site log_site_here;         \
            log_at(&log_site_here, (level), __VA_ARGS__); \
        }                                                 \
    } while (0)

#define log_error(...) LOG_AT(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  LOG_AT(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  LOG_AT(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) LOG_AT(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
