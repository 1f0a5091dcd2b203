/*
 * checkpoint.c - how far a sending has come, kept in a file beside the list.
 */
#include "engine/cli/checkpoint.h"
#include "engine/base/clock.h"
#include "engine/base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { FILE_MAX = 4096 };

static const char first_line[] = "volley-send 1";

/* ---- the pure part ---- */

static void put_text(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "%s %s\n", name, value);
}

static void put_number(struct buf *out, const char *name, uint64_t value)
{
    buf_printf(out, "%s %llu\n", name, (unsigned long long)value);
}

static void put_time(struct buf *out, const char *name, int64_t wall_us)
{
    char text[CLOCK_RFC3339_LEN + 1];

    clock_format(text, wall_us);
    put_text(out, name, text);
}

void checkpoint_put(struct buf *out, const struct checkpoint *c)
{
    buf_printf(out, "%s\n", first_line);
    put_text(out, "state", c->done ? "done" : "running");
    put_text(out, "sending", c->sending);
    put_text(out, "message", c->message);
    put_text(out, "digest", c->digest);
    put_number(out, "part", c->part);
    put_number(out, "offset", c->offset);
    put_number(out, "line", c->line);
    put_number(out, "taken", c->taken);
    put_number(out, "bad", c->bad);
    put_time(out, "started", c->started_us);
    put_time(out, "updated", c->updated_us);
    BUF_LIT(out, "end .\n");
}

static int read_id(struct slice value, char out[CHECKPOINT_ID_MAX + 1])
{
    if (value.len == 0 || value.len > CHECKPOINT_ID_MAX) {
        return ERR_INVALID;
    }
    memcpy(out, value.ptr, value.len);
    out[value.len] = '\0';
    return 0;
}

static int read_line(struct slice name, struct slice value, struct checkpoint *out)
{
    const struct {
        const char *name;
        uint64_t *target;
    } numbers[] = {{"part", &out->part},
                   {"offset", &out->offset},
                   {"line", &out->line},
                   {"taken", &out->taken},
                   {"bad", &out->bad}};
    const struct {
        const char *name;
        char *target;
    } ids[] = {{"sending", out->sending}, {"message", out->message}, {"digest", out->digest}};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (slice_eq(name, slice_cstr(numbers[i].name))) {
            return slice_u64(value, numbers[i].target);
        }
    }
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        if (slice_eq(name, slice_cstr(ids[i].name))) {
            return read_id(value, ids[i].target);
        }
    }
    if (slice_eq(name, SLICE("state"))) {
        out->done = slice_eq(value, SLICE("done"));
        return out->done || slice_eq(value, SLICE("running")) ? 0 : ERR_INVALID;
    }
    if (slice_eq(name, SLICE("started"))) {
        return clock_parse(value, &out->started_us);
    }
    if (slice_eq(name, SLICE("updated"))) {
        return clock_parse(value, &out->updated_us);
    }
    return slice_eq(name, SLICE("end")) && slice_eq(value, SLICE(".")) ? 0 : ERR_INVALID;
}

int checkpoint_parse(struct slice text, struct checkpoint *out)
{
    struct slice line;
    bool ended = false;

    *out = (struct checkpoint){.done = false};
    if (!slice_next(&text, '\n', &line) || !slice_eq(line, slice_cstr(first_line))) {
        return ERR_INVALID;
    }
    while (slice_next(&text, '\n', &line) && line.len > 0) {
        size_t blank = slice_find(line, ' ');
        struct slice name = slice_of(line.ptr, blank);
        if (read_line(name, slice_from(line, blank + 1), out) != 0) {
            return ERR_INVALID;
        }
        ended = ended || slice_eq(name, SLICE("end"));
    }
    bool whole = ended && out->sending[0] != '\0' && out->message[0] != '\0' &&
                 out->digest[0] != '\0' && out->line > 0;
    return whole ? 0 : ERR_INVALID;
}

/* ---- the file ---- */

int checkpoint_read(const char *path, struct checkpoint *out)
{
    char text[FILE_MAX];
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return errno == ENOENT ? ERR_NOTFOUND : err_from_errno(errno);
    }
    ssize_t n = read(fd, text, sizeof(text));
    int err = n < 0 ? err_from_errno(errno) : 0;
    close(fd);
    return err != 0 ? err : checkpoint_parse(slice_of(text, (size_t)n), out);
}

static int write_file(const char *path, struct slice text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0) {
        return err_from_errno(errno);
    }
    ssize_t n = write(fd, text.ptr, text.len);
    bool ok = n == (ssize_t)text.len && fsync(fd) == 0;
    int err = ok ? 0 : n >= 0 && n < (ssize_t)text.len ? ERR_IO : err_from_errno(errno);
    close(fd);
    return err;
}

/* The rename itself is durable once the directory is. */
static void sync_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    struct buf dir = BUF_EMPTY;

    buf_put(&dir, slash != NULL ? path : ".", slash != NULL ? (size_t)(slash - path) + 1 : 1);
    buf_terminate(&dir);
    int fd = open(dir.ptr, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd); /* some file systems cannot; the rename is still atomic */
        close(fd);
    }
    buf_fini(&dir);
}

int checkpoint_write(const char *path, const struct checkpoint *checkpoint)
{
    struct buf text = BUF_EMPTY;
    struct buf aside = BUF_EMPTY;

    checkpoint_put(&text, checkpoint);
    buf_printf(&aside, "%s.new", path);
    buf_terminate(&aside);
    int err = write_file(aside.ptr, buf_slice(&text));
    if (err == 0 && rename(aside.ptr, path) != 0) {
        err = err_from_errno(errno);
    }
    if (err == 0) {
        sync_directory(path);
    } else {
        (void)unlink(aside.ptr);
    }
    buf_fini(&text);
    buf_fini(&aside);
    return err;
}
