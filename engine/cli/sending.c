/*
 * sending.c - putting a mailing into the queue, and going on where it was interrupted.
 *
 * Why nothing is sent twice: the rows of the list make the same parts whenever it is read from
 * a place where a part begins; Redis takes each numbered part of a sending once; and the
 * checkpoint keeps the sending's name, a part's number and the place where it begins.  The
 * checkpoint may be a second old: parts given again are recognised by Redis.  Should Redis have
 * lost parts instead (a crash with an append-only file of the last second), it says which one it
 * wants, and we go back there.
 */
#include "engine/cli/sending.h"
#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/rng.h"
#include "engine/cli/rejects.h"
#include "engine/cli/signals.h"
#include "engine/cli/where.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    CHECKPOINT_US = 250 * 1000,
    PAUSE_MIN_MS = 250,
    PAUSE_MAX_MS = 10 * 1000,
    HISTORY = 8192, /* parts to which we can go back: over a million rows */
};

/* Where a part began: for going back. */
struct history {
    uint64_t number;
    struct recipients_place place;
    uint64_t given, bad;
};

struct sending {
    struct mailing *m;
    const struct conf *conf;
    struct redis_url url;
    struct submit *submit;
    struct follow *follow;
    struct checkpoint checkpoint;
    char *checkpoint_path;
    int64_t checkpoint_us; /* monotonic, of the last write */
    struct progress progress;
    struct rejects rejects;
    struct slice *values;
    struct history *history;
    struct recipients_place place;    /* behind the last part given */
    uint64_t bad;                     /* rows refused so far, of parts not taken yet as well */
    uint64_t given;                   /* rows given in parts up to `place` */
    uint64_t taken_now;               /* by this run */
    char tag[CHECKPOINT_ID_MAX + 24]; /* by which events of this run are known */
    int64_t started_us;
    int64_t ended_us;
    bool at_end;
    bool done_before;
    const char *note;
};

static void complain(struct sending *s, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void complain(struct sending *s, const char *fmt, ...)
{
    va_list args;

    progress_clear(&s->progress);
    fputs("volley send: ", stderr);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}

static void show(struct sending *s)
{
    char note[80] = "";
    uint64_t size = recipients_size(s->m->list);
    struct recipients_place place = s->place;

    if (s->note != NULL) {
        snprintf(note, sizeof(note), "%s", s->note);
    } else if (s->bad > 0) {
        snprintf(note, sizeof(note), "%" PRIu64 " bad rows", s->bad);
    }
    struct progress_state state = {.title = "sending",
                                   .unit = "letters",
                                   .count = s->checkpoint.taken,
                                   .share = size > 0 ? (double)place.offset / (double)size : -1,
                                   .note = note[0] != '\0' ? note : NULL};
    progress_update(&s->progress, &state, clock_mono_us());
}

/* ---- the checkpoint ---- */

static void new_sending(struct sending *s)
{
    struct checkpoint *c = &s->checkpoint;
    struct recipients_place place = recipients_tell(s->m->list);
    uint64_t random[2];

    rng_os(random, sizeof(random));
    *c = (struct checkpoint){.offset = place.offset, .line = place.line};
    snprintf(c->sending, sizeof(c->sending), "s%016" PRIx64 "%016" PRIx64, random[0], random[1]);
    snprintf(c->message, sizeof(c->message), "%s", s->m->message);
    snprintf(c->digest, sizeof(c->digest), "%s", s->m->digest);
    c->started_us = clock_wall_us();
}

static int save_checkpoint(struct sending *s)
{
    s->checkpoint.updated_us = clock_wall_us();
    s->checkpoint_us = clock_mono_us();
    int err = checkpoint_write(s->checkpoint_path, &s->checkpoint);
    if (err != 0) {
        complain(s, "%s: cannot be written: %s; give another place with --checkpoint",
                 s->checkpoint_path, err_name(err));
    }
    return err;
}

/* A list that was sent, or whose sending stands still, decides what to do now.  -1 to go on. */
static int resume(struct sending *s)
{
    const struct send_options *o = s->m->options;
    struct checkpoint *c = &s->checkpoint;
    int err = o->again ? ERR_NOTFOUND : checkpoint_read(s->checkpoint_path, c);
    bool same = err == 0 && strcmp(c->digest, s->m->digest) == 0;

    if (err == 0 && same && c->done) {
        char when[CLOCK_RFC3339_LEN + 1];
        clock_format(when, c->updated_us);
        complain(s, "%s was sent with this letter, complete at %s; --again sends it once more",
                 o->list, when);
        s->done_before = true;
        return ARGS_EXIT_OK;
    }
    if (err == 0 && same) {
        struct recipients_place place = {c->offset, c->line};
        complain(s, "going on at line %" PRIu64 "; %" PRIu64 " letters were submitted before",
                 c->line, c->taken);
        err = recipients_seek(s->m->list, place);
        if (err != 0) {
            complain(s, "%s: cannot be read from there: %s", o->list, err_name(err));
            return ARGS_EXIT_FAILED;
        }
        return -1;
    }
    if (err == 0 && !c->done) {
        complain(s,
                 "%s: a sending of this list was interrupted at line %" PRIu64
                 " and list, letter or options are others now; use the same to go on, or --again "
                 "to begin at the first row (who got the letter before gets it twice)",
                 s->checkpoint_path, c->line);
        return ARGS_EXIT_USAGE;
    }
    if (err != 0 && err != ERR_NOTFOUND) {
        complain(s, "%s: cannot be read as a checkpoint: %s; --again begins at the first row",
                 s->checkpoint_path, err_name(err));
        return ARGS_EXIT_USAGE;
    }
    new_sending(s);
    return -1;
}

/* ---- parts ---- */

static void note_history(struct sending *s, uint64_t number)
{
    s->history[number % HISTORY] = (struct history){number, s->place, s->given, s->bad};
}

/* Fills one part from the list.  0, or ERR_IO. */
static int give_part(struct sending *s, struct submit_part *part)
{
    struct recipients_row row = {.line = 0};
    enum recipients_result result = RECIPIENTS_ROW;
    size_t looked = 0;

    part->start = s->place;
    while (looked < SUBMIT_ROWS && !submit_part_is_full(part) && result != RECIPIENTS_END) {
        result = mailing_next(s->m, &row, &s->rejects);
        looked++;
        s->bad += result == RECIPIENTS_BAD ? 1 : 0;
        if (result == RECIPIENTS_FAILED) {
            complain(s, "%s:%" PRIu64 ": %s", s->m->options->list, row.line, row.what);
            return ERR_IO;
        }
        if (result == RECIPIENTS_ROW) {
            mailing_values(s->m, &row, s->values);
            submit_row(part, row.line, s->values, s->m->column_count);
        }
    }
    s->at_end = result == RECIPIENTS_END;
    s->place = recipients_tell(s->m->list);
    part->place = s->place;
    part->bad = s->bad;
    s->given += part->rows;
    submit_give(s->submit, part);
    if (part->rows > 0) {
        note_history(s, part->number + 1);
    }
    return 0;
}

/* The oldest part is in the queue. */
static int take_part(struct sending *s)
{
    struct submit_part *part = submit_oldest(s->submit);
    struct checkpoint *c = &s->checkpoint;

    for (size_t i = 0; i < part->fault_count; i++) {
        rejects_add(&s->rejects, part->fault[i].line, part->fault[i].what);
    }
    s->bad += part->fault_count;
    c->part = part->number;
    c->offset = part->place.offset;
    c->line = part->place.line;
    c->taken += part->taken;
    c->bad = part->bad + part->fault_count;
    s->taken_now += part->seen ? 0 : part->taken;
    s->note = NULL;
    submit_drop(s->submit);
    if (clock_mono_us() - s->checkpoint_us >= CHECKPOINT_US) {
        return save_checkpoint(s);
    }
    return 0;
}

/* Waits, drawing, until the time is over or a signal came. */
static void pause_ms(struct sending *s, int ms)
{
    for (; ms > 0 && !signals_came(); ms -= 100) {
        poll(NULL, 0, ms < 100 ? ms : 100);
        show(s);
    }
}

/* Redis is away or full: says so once, and tries until it works.  -1 to go on. */
static int wait_for_redis(struct sending *s)
{
    int wait_ms = PAUSE_MIN_MS;
    struct buf why = BUF_EMPTY;
    int err = ERR_AGAIN;

    complain(s, "waiting for Redis: %s", submit_why(s->submit));
    s->note = "waiting for Redis";
    while (err != 0 && err != ERR_INVALID && !signals_came()) {
        pause_ms(s, wait_ms);
        wait_ms = wait_ms * 2 < PAUSE_MAX_MS ? wait_ms * 2 : PAUSE_MAX_MS;
        buf_reset(&why);
        err = signals_came() ? ERR_CANCELED : submit_retry(s->submit, &why);
    }
    if (err == ERR_INVALID) {
        complain(s, SLICE_FMT, SLICE_ARG(buf_slice(&why)));
    }
    buf_fini(&why);
    return err == ERR_INVALID ? ARGS_EXIT_FAILED : -1;
}

/* Redis wants an earlier part again. */
static int go_back(struct sending *s)
{
    uint64_t wanted = submit_wanted(s->submit);
    const struct history *h = &s->history[wanted % HISTORY];

    if (h->number != wanted) {
        complain(s,
                 "Redis has lost what it knew of this sending (it wants part %" PRIu64
                 " of %" PRIu64 "): what was submitted before may be lost with it; --again begins "
                 "at the first row",
                 wanted, s->checkpoint.part + 1);
        return ARGS_EXIT_FAILED;
    }
    complain(s, "Redis lost the last moments; going back to line %" PRIu64, h->place.line);
    s->place = h->place;
    s->bad = h->bad;
    s->given = h->given;
    s->checkpoint.taken = h->given;
    s->at_end = false;
    submit_rewind(s->submit, wanted);
    return recipients_seek(s->m->list, h->place) == 0 ? -1 : ARGS_EXIT_FAILED;
}

/* Gives parts until the window is full or the list is used up. */
static int fill_window(struct sending *s)
{
    struct submit_part *part;

    while (!s->at_end && !signals_came() && (part = submit_free(s->submit)) != NULL) {
        if (give_part(s, part) != 0) {
            return ARGS_EXIT_FAILED;
        }
        show(s);
    }
    return -1;
}

static int submit_all(struct sending *s)
{
    int code = -1;

    while (code < 0) {
        code = fill_window(s);
        if (code >= 0) {
            return code;
        }
        switch (submit_wait(s->submit)) {
        case SUBMIT_IDLE:
            if (s->at_end || signals_came()) {
                return -1;
            }
            break;
        case SUBMIT_TAKEN:
            code = take_part(s) == 0 ? -1 : ARGS_EXIT_FAILED;
            break;
        case SUBMIT_STALLED:
            if (signals_came()) {
                return -1;
            }
            code = wait_for_redis(s);
            break;
        case SUBMIT_BACK:
            code = go_back(s);
            break;
        case SUBMIT_FAILED:
            complain(s, "Redis refused: %s", submit_why(s->submit));
            return ARGS_EXIT_FAILED;
        }
        show(s);
    }
    return code;
}

/* ---- following ---- */

static void follow_all(struct sending *s)
{
    const struct follow_counts *counts = follow_counts(s->follow);
    struct buf why = BUF_EMPTY;
    struct progress progress;
    char note[64];
    bool complained = false;

    progress_init(&progress, STDERR_FILENO, s->m->options->quiet, clock_mono_us());
    while (counts->finals < s->taken_now && !signals_came()) {
        buf_reset(&why);
        if (follow_step(s->follow, &why) != 0) {
            if (!complained) {
                complain(s, "waiting for Redis: " SLICE_FMT, SLICE_ARG(buf_slice(&why)));
            }
            complained = true;
            poll(NULL, 0, PAUSE_MIN_MS);
        }
        snprintf(note, sizeof(note), "%" PRIu64 " deferrals", counts->deferred);
        struct progress_state state = {.title = "following",
                                       .unit = "outcomes",
                                       .count = counts->finals,
                                       .total = s->taken_now,
                                       .share = -1,
                                       .note = counts->deferred > 0 ? note : NULL};
        progress_update(&progress, &state, clock_mono_us());
    }
    progress_clear(&progress);
    buf_fini(&why);
}

/* ---- the whole ---- */

static void open_paths(struct sending *s)
{
    const struct send_options *o = s->m->options;
    struct buf path = BUF_EMPTY;

    if (o->checkpoint != NULL) {
        buf_puts(&path, slice_cstr(o->checkpoint));
    } else {
        buf_printf(&path, "%s.volley-checkpoint", o->list);
    }
    s->checkpoint_path = slice_dup(buf_slice(&path));
    buf_fini(&path);
}

/* Connects for the first time: here a Redis that is away ends the command.  -1 to go on. */
static int open_queue(struct sending *s)
{
    struct mailing *m = s->m;
    struct buf why = BUF_EMPTY;
    int err = 0;

    snprintf(s->tag, sizeof(s->tag), "%s.%" PRIu64, s->checkpoint.sending, s->checkpoint.part);
    mailing_share(m, m->options->follow ? s->tag : NULL);
    struct submit_options options = {.url = &s->url,
                                     .prefix = slice_cstr(s->conf->queue.prefix),
                                     .partitions = s->conf->queue.partitions,
                                     .sending = slice_cstr(s->checkpoint.sending),
                                     .message = slice_cstr(s->checkpoint.message),
                                     .letter = buf_slice(&m->bytes),
                                     .from = slice_cstr(m->options->from),
                                     .shared = m->shared,
                                     .shared_count = m->shared_count,
                                     .columns = m->column,
                                     .column_count = m->column_count};
    s->submit = submit_new(&options, s->checkpoint.part + 1);
    err = submit_open(s->submit, &why);
    if (err == 0 && m->options->follow) {
        s->follow = follow_open(&s->url, options.prefix, options.partitions, slice_cstr(s->tag),
                                &err, &why);
    }
    if (err != 0) {
        bool own = m->options->redis == NULL && strcmp(s->conf->queue.redis, "embedded") == 0;
        complain(
            s, SLICE_FMT "%s", SLICE_ARG(buf_slice(&why)),
            own ? "; it is the engine's own and runs with it: start volley run, or restart it; or "
                  "say where the queue is with --redis URL or -c FILE"
                : "");
    }
    buf_fini(&why);
    return err == 0 ? -1 : err == ERR_INVALID ? ARGS_EXIT_FAILED : ARGS_EXIT_TEMPORARY;
}

/* Redis refused the first part, and so nothing was submitted: what is wrong with the options is
 * put right, and the sending begins anew.  -1 when that is not so. */
static int refused_at_once(struct sending *s)
{
    if (s->checkpoint.part > 0 || !submit_was_refused(s->submit)) {
        return -1;
    }
    (void)unlink(s->checkpoint_path);
    return ARGS_EXIT_USAGE;
}

static int submit_and_follow(struct sending *s)
{
    int code = submit_all(s);
    int refused = code >= 0 ? refused_at_once(s) : -1;

    if (refused >= 0) {
        progress_clear(&s->progress);
        return refused;
    }

    s->ended_us = clock_mono_us();
    s->checkpoint.done = code < 0 && s->at_end && !signals_came();
    if (s->checkpoint.done) {
        s->checkpoint.bad = s->bad;
    }
    if (save_checkpoint(s) != 0 && code < 0) {
        code = ARGS_EXIT_FAILED;
    }
    progress_clear(&s->progress);
    if (code < 0 && !s->checkpoint.done) {
        complain(s, "interrupted at line %" PRIu64 "; the same command goes on from there",
                 s->checkpoint.line);
        return ARGS_EXIT_TEMPORARY;
    }
    if (code < 0 && s->follow != NULL) {
        follow_all(s);
    }
    return code;
}

static int run(struct sending *s)
{
    const struct send_options *o = s->m->options;
    struct buf why = BUF_EMPTY;

    open_paths(s);
    if (where_redis(s->conf, o->redis, &s->url, &why) != 0) {
        complain(s, SLICE_FMT, SLICE_ARG(buf_slice(&why)));
        buf_fini(&why);
        return ARGS_EXIT_USAGE;
    }
    int code = resume(s);
    if (code >= 0) {
        return code;
    }
    s->place = recipients_tell(s->m->list);
    s->bad = s->checkpoint.bad;
    s->given = s->checkpoint.taken;
    note_history(s, s->checkpoint.part + 1);
    int err = rejects_open(&s->rejects, o->list, o->rejects, s->checkpoint.part > 0, &s->progress);
    if (err != 0) {
        complain(s, "%s: cannot be written: %s", o->rejects, err_name(err));
        return ARGS_EXIT_FAILED;
    }
    code = open_queue(s);
    if (code < 0 && save_checkpoint(s) != 0) { /* before the first row goes */
        code = ARGS_EXIT_FAILED;
    }
    return code >= 0 ? code : submit_and_follow(s);
}

int sending_run(struct mailing *m, const struct conf *conf)
{
    struct sending s = {.m = m, .conf = conf, .started_us = clock_mono_us()};

    signals_catch();
    s.ended_us = s.started_us;
    s.values = mem_array(m->column_count, sizeof(*s.values));
    s.history = mem_array(HISTORY, sizeof(*s.history));
    progress_init(&s.progress, STDERR_FILENO, m->options->quiet, s.started_us);
    int code = run(&s);
    if (rejects_close(&s.rejects) != 0) {
        complain(&s, "%s: not everything was written", m->options->rejects);
        code = ARGS_EXIT_FAILED;
    }
    if (code < 0 || s.done_before) {
        struct sending_result result = {.good = s.checkpoint.taken,
                                        .bad = s.checkpoint.bad,
                                        .good_now = s.taken_now,
                                        .checkpoint = &s.checkpoint,
                                        .ms = (s.ended_us - s.started_us) / 1000,
                                        .outcomes =
                                            s.follow != NULL ? follow_counts(s.follow) : NULL};
        sending_report(m->options, &result);
        code = s.checkpoint.bad > 0 ? ARGS_EXIT_FAILED : ARGS_EXIT_OK;
    }
    submit_free_all(s.submit);
    follow_close(s.follow);
    redis_url_fini(&s.url);
    mem_free(s.checkpoint_path);
    mem_free(s.values);
    mem_free(s.history);
    return code;
}
