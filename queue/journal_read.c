/*
 * journal_read.c - what journals left behind by a crash still mean.
 */
#include "queue/journal_read.h"

#include "engine/base/err.h"
#include "engine/base/log.h"
#include "engine/base/map.h"
#include "engine/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WORKERS_MAX = 256, FILE_MAX = 256 * 1024 * 1024 };

struct item {
    struct map_node node; /* key: e.name */
    struct journal_entry e;
};

struct journal_read {
    char *directory; /* NULL: made of bytes */
    struct buf files[WORKERS_MAX][2];
    struct map items;
    struct journal_entry *found;
    size_t count;
    size_t cap;
};

/* ---- what was written ---- */

/* The last word on a job. */
static void entry_add(struct map *items, uint64_t *floor, const struct journal_entry *e)
{
    if (e->kind == JOURNAL_FLOOR) {
        *floor = e->serial > *floor ? e->serial : *floor;
        return;
    }
    struct map_node *node = map_find(items, e->name);
    struct item *item = node != NULL ? CONTAINER_OF(node, struct item, node) : NULL;
    if (item == NULL) {
        item = mem_alloc(sizeof(*item));
        map_insert(items, &item->node, e->name);
    }
    item->e = *e;
}

static void found_add(struct journal_read *r, const struct journal_entry *e)
{
    if (r->count == r->cap) {
        struct journal_entry *more = mem_array(2 * r->cap + 64, sizeof(*more));
        if (r->count > 0) {
            memcpy(more, r->found, r->count * sizeof(*more));
        }
        mem_free(r->found);
        r->found = more;
        r->cap = 2 * r->cap + 64;
    }
    r->found[r->count++] = *e;
}

/* One worker's two files, the older segment first. */
static void worker_read(struct journal_read *r, const struct slice files[2])
{
    struct slice rest[2] = {files[0], files[1]};
    uint64_t generation[2] = {0, 0}, floor = 0;
    struct journal_entry e;
    struct map items;

    map_init(&items);
    for (unsigned i = 0; i < 2; i++) {
        if (journal_head_take(&rest[i], &generation[i]) != 0) {
            rest[i] = SLICE_NONE;
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        unsigned file = generation[0] <= generation[1] ? i : 1 - i;
        while (journal_entry_take(&rest[file], generation[file], &e)) {
            entry_add(&items, &floor, &e);
        }
    }
    for (struct map_node *node = map_next(&items, NULL), *next; node != NULL; node = next) {
        struct item *item = CONTAINER_OF(node, struct item, node);
        next = map_next(&items, node);
        bool told = item->e.kind != JOURNAL_DOT && item->e.serial < floor;
        if (item->e.kind != JOURNAL_UNDO && !told) {
            found_add(r, &item->e);
        }
        map_remove(&items, node);
        mem_free(item);
    }
    map_fini(&items);
}

/* ---- files ---- */

static void file_path(char *out, size_t size, const struct journal_read *r, unsigned worker,
                      unsigned file)
{
    snprintf(out, size, "%s/%u.%c", r->directory, worker, "ab"[file]);
}

/* Reads a file, if it is one. */
static void file_read(struct journal_read *r, unsigned worker, unsigned file)
{
    struct buf *b = &r->files[worker][file];
    char path[4096];
    struct stat st;
    int fd;

    file_path(path, sizeof(path), r, worker, file);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        if (errno != ENOENT) {
            log_error("journal %s: %s; letters in it may be sent again", path, strerror(errno));
        }
        return;
    }
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= FILE_MAX) {
        size_t size = (size_t)st.st_size;
        buf_reserve(b, size + 1);
        while (b->len < size) {
            ssize_t n = read(fd, b->ptr + b->len, size - b->len);
            if (n <= 0) {
                if (n < 0) {
                    log_error("journal %s: %s; letters in it may be sent again", path,
                              strerror(errno));
                }
                break;
            }
            b->len += (size_t)n;
        }
    }
    close(fd);
}

struct journal_read *journal_read(const char *directory)
{
    struct journal_read *r = mem_zalloc(sizeof(*r));

    r->directory = mem_dup(directory, strlen(directory));
    if (mkdir(directory, 0700) != 0 && errno != EEXIST) {
        log_error("journal %s: %s", directory, strerror(errno));
    }
    for (unsigned worker = 0; worker < WORKERS_MAX; worker++) {
        struct slice files[2];
        for (unsigned file = 0; file < 2; file++) {
            file_read(r, worker, file);
            files[file] = buf_slice(&r->files[worker][file]);
        }
        worker_read(r, files);
    }
    return r;
}

struct journal_read *journal_read_bytes(const struct slice *files, size_t count)
{
    struct journal_read *r = mem_zalloc(sizeof(*r));
    struct slice both[2] = {SLICE_NONE, SLICE_NONE};

    for (size_t i = 0; i < count; i++) {
        both[i] = files[i];
    }
    worker_read(r, both);
    return r;
}

void journal_read_remove(struct journal_read *r)
{
    char path[4096];

    for (unsigned worker = 0; worker < WORKERS_MAX; worker++) {
        for (unsigned file = 0; file < 2; file++) {
            file_path(path, sizeof(path), r, worker, file);
            (void)unlink(path);
        }
    }
}

void journal_read_free(struct journal_read *r)
{
    for (unsigned worker = 0; worker < WORKERS_MAX; worker++) {
        buf_fini(&r->files[worker][0]);
        buf_fini(&r->files[worker][1]);
    }
    mem_free(r->found);
    mem_free(r->directory);
    mem_free(r);
}

size_t journal_read_count(const struct journal_read *r)
{
    return r->count;
}

const struct journal_entry *journal_read_at(const struct journal_read *r, size_t i)
{
    return &r->found[i];
}
