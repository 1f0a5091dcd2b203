/*
 * sending_look.c - looking before sending: --preview and --dry-run.
 */
#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/cli/sending.h"
#include "engine/cli/signals.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

/* One finished letter on standard output, with line ends as people have them. */
static void print_letter(const struct letter_copy *copy)
{
    for (size_t i = 0; i < copy->raw.count; i++) {
        struct slice rest = slice_of(copy->raw.iov[i].iov_base, copy->raw.iov[i].iov_len);
        struct slice part;
        while (slice_next(&rest, '\r', &part)) {
            fwrite(part.ptr, 1, part.len, stdout);
        }
    }
}

int sending_preview(struct mailing *m)
{
    uint64_t wanted = m->options->preview;
    struct progress progress;
    struct rejects rejects;
    struct recipients_row row;
    enum recipients_result result = RECIPIENTS_ROW;
    uint64_t shown = 0;

    progress_init(&progress, STDERR_FILENO, true, 0);
    rejects_open(&rejects, m->options->list, NULL, false, &progress);
    while (shown < wanted && result != RECIPIENTS_END && result != RECIPIENTS_FAILED) {
        result = mailing_next(m, &row, &rejects);
        if (result != RECIPIENTS_ROW) {
            continue;
        }
        if (wanted > 1) {
            printf("%s-------- %s:%" PRIu64 " to " SLICE_FMT "\n", shown > 0 ? "\n" : "",
                   m->options->list, row.line, SLICE_ARG(row.to));
        }
        print_letter(&m->copy);
        shown++;
    }
    bool bad = rejects.count > 0;
    rejects_close(&rejects);
    bool failed = fflush(stdout) != 0;
    return failed || bad || result == RECIPIENTS_FAILED ? ARGS_EXIT_FAILED : ARGS_EXIT_OK;
}

static void show(struct progress *p, const struct mailing *m, uint64_t good, uint64_t bad)
{
    uint64_t size = recipients_size(m->list);
    char note[48];

    snprintf(note, sizeof(note), "%" PRIu64 " bad rows", bad);
    struct progress_state state = {
        .title = "checking",
        .unit = "rows",
        .count = good + bad,
        .share = size > 0 ? (double)recipients_tell(m->list).offset / (double)size : -1,
        .note = bad > 0 ? note : NULL};
    progress_update(p, &state, clock_mono_us());
}

int sending_dry_run(struct mailing *m)
{
    enum { SHOW_ROWS = 1000 };
    const struct send_options *o = m->options;
    struct progress progress;
    struct rejects rejects;
    struct recipients_row row = {.line = 0};
    enum recipients_result result = RECIPIENTS_ROW;
    uint64_t good = 0;

    signals_catch();
    progress_init(&progress, STDERR_FILENO, o->quiet, clock_mono_us());
    int err = rejects_open(&rejects, o->list, o->rejects, false, &progress);
    if (err != 0) {
        fprintf(stderr, "volley send: %s: cannot be written: %s\n", o->rejects, err_name(err));
        return ARGS_EXIT_FAILED;
    }
    while (result != RECIPIENTS_END && result != RECIPIENTS_FAILED && !signals_came()) {
        result = mailing_next(m, &row, &rejects);
        good += result == RECIPIENTS_ROW ? 1 : 0;
        if ((good + rejects.count) % SHOW_ROWS == 0) {
            show(&progress, m, good, rejects.count);
        }
    }
    progress_clear(&progress);
    uint64_t bad = rejects.count;
    err = rejects_close(&rejects);
    if (result == RECIPIENTS_FAILED) {
        fprintf(stderr, "%s:%" PRIu64 ": %s\n", o->list, row.line, row.what);
    }
    struct sending_result figures = {.good = good, .bad = bad, .looked = true};
    sending_report(o, &figures);
    return bad == 0 && err == 0 && result == RECIPIENTS_END ? ARGS_EXIT_OK : ARGS_EXIT_FAILED;
}
