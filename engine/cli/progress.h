/*
 * progress.h - how far a long command has come, on standard error.
 *
 * On a terminal one line that is drawn over and over, at most ten times a second, as wide as
 * the terminal is at that moment; elsewhere a plain line every five seconds.  Whoever writes
 * other lines to standard error meanwhile calls progress_clear() first.
 */
#ifndef VOLLEY_CLI_PROGRESS_H
#define VOLLEY_CLI_PROGRESS_H

#include "engine/base/buf.h"

enum { PROGRESS_DRAW_US = 100 * 1000, PROGRESS_LINE_US = 5 * 1000 * 1000 };

/* Where the command stands. */
struct progress_state {
    const char *title; /* "sending" */
    const char *unit;  /* "letters" */
    uint64_t count;    /* so far */
    uint64_t total;    /* 0: not known; then `share` may be */
    double share;      /* 0..1 of the work; negative: not known (taken from count and total) */
    const char *note;  /* such as "3 bad rows", or "waiting for Redis"; NULL: none */
};

struct progress {
    int fd;
    bool terminal;
    bool quiet;
    bool shown; /* a line is on the terminal */
    int64_t started_us;
    int64_t drawn_us;
    uint64_t started_count; /* what a former run had done does not count for the rate */
    uint64_t rate_count;    /* a look back, for the rate of now */
    int64_t rate_us;
    double rate;
    double share_started;
};

/* `fd` is standard error, usually; `quiet` writes nothing at all. */
void progress_init(struct progress *p, int fd, bool quiet, int64_t now_us);

/* Draws when it is time to. */
void progress_update(struct progress *p, const struct progress_state *state, int64_t now_us);

/* Takes the line off the terminal: other output follows. */
void progress_clear(struct progress *p);

/* Draws the last state and leaves it standing (a terminal), or nothing more (elsewhere). */
void progress_finish(struct progress *p, const struct progress_state *state, int64_t now_us);

/* ---- the pure part ---- */

struct progress_figures {
    double rate;  /* a second; 0: not known yet */
    double eta_s; /* negative: not known */
    double elapsed_s;
};

/* Appends the line, at most `width` cells wide: the note and then the bar give way first.  A
 * width of 0 has no end and no bar: a line for a log. */
void progress_put_line(struct buf *out, const struct progress_state *state,
                       const struct progress_figures *figures, size_t width);

/* "42 s", "3:07 min", "1:02:33 h". */
void progress_put_duration(struct buf *out, double seconds);

#endif
