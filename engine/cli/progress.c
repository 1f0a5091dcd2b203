/*
 * progress.c - how far a long command has come, on standard error.
 */
#include "engine/cli/progress.h"
#include "engine/cli/table.h"

#include <sys/ioctl.h>
#include <unistd.h>

enum { WIDTH_DEFAULT = 80, WIDTH_MIN = 20, BAR_MAX = 40, BAR_MIN = 8, RATE_WINDOW_US = 1000000 };

/* ---- the pure part ---- */

void progress_put_duration(struct buf *out, double seconds)
{
    uint64_t s = seconds > 0 ? (uint64_t)(seconds + 0.5) : 0;

    if (s < 100) {
        buf_printf(out, "%u s", (unsigned)s);
    } else if (s < 3600) {
        buf_printf(out, "%u:%02u min", (unsigned)(s / 60), (unsigned)(s % 60));
    } else {
        buf_printf(out, "%u:%02u:%02u h", (unsigned)(s / 3600), (unsigned)(s / 60 % 60),
                   (unsigned)(s % 60));
    }
}

static double share_of(const struct progress_state *state)
{
    double share = state->share;

    if (share < 0 && state->total > 0) {
        share = (double)state->count / (double)state->total;
    }
    return share > 1 ? 1 : share;
}

static void put_head(struct buf *out, const struct progress_state *state)
{
    buf_printf(out, "%s ", state->title);
    table_put_count(out, state->count);
    if (state->total > 0) {
        BUF_LIT(out, " of ");
        table_put_count(out, state->total);
    }
    buf_printf(out, " %s", state->unit);
}

static void put_rate(struct buf *out, const struct progress_figures *figures)
{
    if (figures->rate >= 0.05) {
        BUF_LIT(out, ", ");
        if (figures->rate < 10) {
            buf_printf(out, "%.1f", figures->rate);
        } else {
            table_put_count(out, (uint64_t)(figures->rate + 0.5));
        }
        BUF_LIT(out, "/s");
    }
}

static void put_eta(struct buf *out, const struct progress_figures *figures)
{
    if (figures->eta_s >= 0) {
        BUF_LIT(out, ", ");
        progress_put_duration(out, figures->eta_s);
        BUF_LIT(out, " left");
    }
}

static void put_bar(struct buf *out, double share, size_t cells)
{
    size_t full = (size_t)(share * (double)cells);

    buf_putc(out, '[');
    for (size_t i = 0; i < cells; i++) {
        buf_putc(out, i < full ? '=' : i == full && share > 0 ? '>' : ' ');
    }
    buf_printf(out, "] %3u %% ", (unsigned)(share * 100));
}

void progress_put_line(struct buf *out, const struct progress_state *state,
                       const struct progress_figures *figures, size_t width)
{
    enum { BAR_FRAME = 9 }; /* brackets, percentage, blanks */
    struct buf text = BUF_EMPTY;
    double share = share_of(state);

    put_head(&text, state);
    put_rate(&text, figures);
    put_eta(&text, figures);
    size_t plain = table_width(buf_slice(&text));
    if (state->note != NULL) {
        buf_printf(&text, "; %s", state->note);
    }
    if (share >= 0 && width >= plain + BAR_FRAME + BAR_MIN) {
        size_t room = width - plain - BAR_FRAME;
        size_t want = table_width(buf_slice(&text)) - plain;
        room = room >= want + BAR_MIN ? room - want : BAR_MIN;
        put_bar(out, share, room < BAR_MAX ? room : BAR_MAX);
        width -= (room < BAR_MAX ? room : BAR_MAX) + BAR_FRAME;
    }
    table_put_cut(out, buf_slice(&text), width > 0 ? width : SIZE_MAX);
    buf_fini(&text);
}

/* ---- the terminal ---- */

void progress_init(struct progress *p, int fd, bool quiet, int64_t now_us)
{
    *p = (struct progress){.fd = fd,
                           .terminal = isatty(fd) == 1,
                           .quiet = quiet,
                           .started_us = now_us,
                           .drawn_us = now_us,
                           .rate_us = now_us,
                           .started_count = UINT64_MAX};
}

/* Asked for each time: a window that changed its size needs no signal. */
static size_t width_now(int fd)
{
    struct winsize size;

    if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) {
        return WIDTH_DEFAULT;
    }
    return size.ws_col > WIDTH_MIN ? size.ws_col - 1u : WIDTH_MIN;
}

static void write_all(int fd, struct slice text)
{
    while (text.len > 0) {
        ssize_t n = write(fd, text.ptr, text.len);
        if (n <= 0) {
            return; /* nobody reads it: it is only progress */
        }
        text = slice_from(text, (size_t)n);
    }
}

static struct progress_figures figures_of(struct progress *p, const struct progress_state *state,
                                          int64_t now_us)
{
    struct progress_figures f = {.eta_s = -1};
    double elapsed = (double)(now_us - p->started_us) / 1e6;
    double share = share_of(state);

    if (now_us - p->rate_us >= RATE_WINDOW_US) {
        double now = (double)(state->count - p->rate_count) * 1e6 / (double)(now_us - p->rate_us);
        p->rate = p->rate > 0 ? 0.6 * p->rate + 0.4 * now : now;
        p->rate_us = now_us;
        p->rate_count = state->count;
    }
    f.elapsed_s = elapsed;
    f.rate = p->rate;
    if (f.rate <= 0 && elapsed > 0.2) {
        f.rate = (double)(state->count - p->started_count) / elapsed;
    }
    if (share > p->share_started && share < 1 && elapsed > 1) {
        f.eta_s = elapsed * (1 - share) / (share - p->share_started);
    }
    return f;
}

static void draw(struct progress *p, const struct progress_state *state, int64_t now_us, bool last)
{
    struct progress_figures figures = figures_of(p, state, now_us);
    struct buf line = BUF_EMPTY;

    if (last && figures.elapsed_s > 0) {
        figures.rate = (double)(state->count - p->started_count) / figures.elapsed_s;
        figures.eta_s = -1;
    }
    if (p->terminal) {
        BUF_LIT(&line, "\r");
    }
    progress_put_line(&line, state, &figures, p->terminal ? width_now(p->fd) : 0);
    if (p->terminal) {
        BUF_LIT(&line, "\x1b[K");
    }
    if (!p->terminal || last) {
        buf_putc(&line, '\n');
    }
    write_all(p->fd, buf_slice(&line));
    buf_fini(&line);
    p->shown = p->terminal && !last;
    p->drawn_us = now_us;
}

void progress_update(struct progress *p, const struct progress_state *state, int64_t now_us)
{
    if (p->quiet) {
        return;
    }
    if (p->started_count == UINT64_MAX) {
        p->started_count = state->count;
        p->rate_count = state->count;
        p->share_started = share_of(state) > 0 ? share_of(state) : 0;
    }
    if (now_us - p->drawn_us >= (p->terminal ? PROGRESS_DRAW_US : PROGRESS_LINE_US)) {
        draw(p, state, now_us, false);
    }
}

void progress_clear(struct progress *p)
{
    if (p->shown) {
        write_all(p->fd, SLICE("\r\x1b[K"));
        p->shown = false;
        p->drawn_us = 0; /* drawn again at the next chance */
    }
}

void progress_finish(struct progress *p, const struct progress_state *state, int64_t now_us)
{
    if (!p->quiet && p->terminal) {
        progress_update(p, state, now_us); /* a start that was never seen */
        draw(p, state, now_us, true);
    }
}
