/*
 * journal.c - what is on the wire and what was said to it, in files that survive the engine.
 */
#include "queue/journal.h"

#include "engine/base/err.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PENDING_KEEP = 1 << 20 };

struct journal {
    char *path[2];
    int fd[2];
    size_t segment;
    void (*on_switch)(void *ctx);
    void *ctx;
    unsigned current;    /* the file being written */
    uint64_t generation; /* of its segment; 0: none was begun */
    size_t written;      /* bytes of it */
    uint64_t next[2];    /* outcomes in a file have smaller numbers than this */
    uint64_t floor;      /* as noted last */
    struct buf pending;
    int64_t again_us; /* no file before this; 0: all is well */
    bool told;        /* of a trouble that lasts */
};

struct journal *journal_new(const struct journal_options *options)
{
    struct journal *j = mem_zalloc(sizeof(*j));

    for (unsigned i = 0; i < 2; i++) {
        size_t size = strlen(options->directory) + 16;
        j->path[i] = mem_alloc(size);
        snprintf(j->path[i], size, "%s/%u.%c", options->directory, options->worker, "ab"[i]);
        j->fd[i] = -1;
    }
    j->segment = options->segment > 0 ? options->segment : JOURNAL_SEGMENT;
    j->on_switch = options->on_switch;
    j->ctx = options->ctx;
    j->generation = 1; /* of the first segment, which begins with the first write */
    return j;
}

static void close_files(struct journal *j)
{
    for (unsigned i = 0; i < 2; i++) {
        if (j->fd[i] >= 0) {
            close(j->fd[i]);
        }
        j->fd[i] = -1;
    }
}

void journal_free(struct journal *j, bool over)
{
    if (j == NULL) {
        return;
    }
    over = over && j->fd[0] >= 0; /* else the files are not ours: still to be replayed */
    close_files(j);
    for (unsigned i = 0; i < 2; i++) {
        if (over) {
            (void)unlink(j->path[i]);
        }
        mem_free(j->path[i]);
    }
    buf_fini(&j->pending);
    mem_free(j);
}

void journal_put(struct journal *j, const struct journal_entry *e)
{
    if (j->again_us == 0) {
        journal_entry_put(&j->pending, j->generation, e);
    }
}

/* ---- trouble ---- */

/* What stands in the files would be taken for the truth after a crash: away with it. */
static void give_up(struct journal *j, const char *path, int err, int64_t now_us)
{
    if (!j->told) {
        log_error("journal %s: %s; delivery goes on without it: should this engine crash now, "
                  "letters that were on the wire are sent again. Make room or give "
                  "queue.state_directory another disk; it is tried again every minute",
                  path, strerror(err));
        j->told = true;
    }
    for (unsigned i = 0; i < 2; i++) {
        if (j->fd[i] >= 0 && ftruncate(j->fd[i], 0) != 0) {
            (void)unlink(j->path[i]);
        }
    }
    close_files(j);
    j->again_us = now_us + JOURNAL_AGAIN_US;
    j->written = 0;
    buf_reset(&j->pending);
}

/* 0 or errno. */
static int open_files(struct journal *j, unsigned *which)
{
    for (unsigned i = 0; i < 2; i++) {
        j->fd[i] = open(j->path[i], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (j->fd[i] < 0) {
            *which = i;
            return errno;
        }
    }
    return 0;
}

static int write_all(int fd, struct slice rest, size_t at)
{
    while (rest.len > 0) {
        ssize_t n = pwrite(fd, rest.ptr, rest.len, (off_t)at);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? errno : ENOSPC;
        }
        rest = slice_from(rest, (size_t)n);
        at += (size_t)n;
    }
    return 0;
}

/* ---- segments ---- */

/* The entries gathered so far bear the former generation: they are put once more. */
static void begin_segment(struct journal *j, unsigned file, uint64_t next)
{
    struct buf old = j->pending;
    struct slice rest = buf_slice(&old);
    struct journal_entry e;
    uint64_t generation = j->generation;

    j->next[j->current] = next;
    j->current = file;
    j->generation++;
    j->written = 0;
    j->pending = BUF_EMPTY;
    journal_head_put(&j->pending, j->generation);
    while (journal_entry_take(&rest, generation, &e)) {
        journal_entry_put(&j->pending, j->generation, &e);
    }
    buf_fini(&old);
    if (j->on_switch != NULL) {
        j->on_switch(j->ctx);
    }
}

/* Room in the segment, or another one. */
static void make_room(struct journal *j, uint64_t floor, uint64_t next)
{
    size_t size = j->written + j->pending.len;
    unsigned other = 1 - j->current;

    if (j->written > 0 &&
        (size <= j->segment || (floor < j->next[other] && size <= JOURNAL_SEGMENT_MAX))) {
        return;
    }
    if (j->written > 0 && floor < j->next[other]) {
        log_warn("journal %s: Redis has not taken outcomes for so long that older ones have to "
                 "leave the journal; should this engine crash now, their letters are sent again",
                 j->path[other]);
    }
    begin_segment(j, other, next);
}

static void note_floor(struct journal *j, uint64_t floor)
{
    struct journal_entry e = {.kind = JOURNAL_FLOOR, .serial = floor};

    if (floor != j->floor && j->generation > 0) {
        j->floor = floor;
        journal_put(j, &e);
    }
}

void journal_flush(struct journal *j, uint64_t floor, uint64_t next, int64_t now_us)
{
    unsigned which = 0;
    int err = 0;

    if (j->again_us != 0 && now_us < j->again_us) {
        return;
    }
    bool again = j->again_us != 0;
    j->again_us = 0;
    note_floor(j, floor);
    if (j->pending.len == 0 && !again) {
        return;
    }
    if (j->fd[0] < 0) {
        err = open_files(j, &which);
    }
    if (err == 0) {
        make_room(j, floor, next);
        which = j->current;
        err = write_all(j->fd[which], buf_slice(&j->pending), j->written);
    }
    if (err != 0) {
        give_up(j, j->path[which], err, now_us);
        return;
    }
    if (j->told) {
        j->told = false;
        log_info("journal %s: it is written again", j->path[which]);
    }
    j->written += j->pending.len;
    if (j->pending.cap > PENDING_KEEP) {
        buf_fini(&j->pending);
    }
    buf_reset(&j->pending);
}
