/*
 * state.c - the state directory: who this node is, and that it is alone.
 */
#include "engine/worker/state.h"

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/rng.h"
#include "queue/embedded.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HOST_PART_MAX = 40 };

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

static bool is_id(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!is_name_char(text.ptr[i])) {
            return false;
        }
    }
    return text.len > 0 && text.len <= STATE_ID_MAX;
}

/* mkdir -p with mode 0700 for what is new. */
static int make_directory(const char *path)
{
    char *copy = mem_dup(path, strlen(path));
    int err = 0;

    for (char *at = copy + 1; err == 0; at++) {
        if (*at == '/' || *at == '\0') {
            char kept = *at;
            *at = '\0';
            if (mkdir(copy, 0700) != 0 && errno != EEXIST) {
                err = errno;
            }
            *at = kept;
            if (kept == '\0') {
                break;
            }
        }
    }
    mem_free(copy);
    return err;
}

/* The host's name without what does not fit an id, and some randomness: two hosts may bear
 * one name. */
static void make_id(char out[STATE_ID_MAX + 1], const char *hostname)
{
    uint32_t random;
    size_t len = 0;

    for (; *hostname != '\0' && len < HOST_PART_MAX; hostname++) {
        if (is_name_char(*hostname)) {
            out[len++] = *hostname;
        }
    }
    rng_os(&random, sizeof(random));
    snprintf(out + len, STATE_ID_MAX + 1 - len, "-%08x", random);
}

static int read_id(struct state *s, int dir_fd, const char *hostname)
{
    char text[STATE_ID_MAX + 2];
    int fd = openat(dir_fd, "node-id", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, text, sizeof(text)) : -1;

    if (fd >= 0) {
        close(fd);
    }
    struct slice id = slice_trim(slice_of(text, len > 0 ? (size_t)len : 0));
    if (is_id(id)) {
        memcpy(s->id, id.ptr, id.len);
        s->id[id.len] = '\0';
        return 0;
    }
    make_id(s->id, hostname);
    fd = openat(dir_fd, "node-id.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return errno;
    }
    size_t size = strlen(s->id);
    bool written = write(fd, s->id, size) == (ssize_t)size && fsync(fd) == 0;
    int err = errno;
    close(fd);
    if (!written || renameat(dir_fd, "node-id.new", dir_fd, "node-id") != 0) {
        return written ? errno : err;
    }
    return 0;
}

int state_open(struct state *s, const char *configured, const char *hostname, struct buf *why)
{
    *s = (struct state){.lock_fd = -1};
    s->directory =
        configured != NULL ? mem_dup(configured, strlen(configured)) : embedded_default_dir();
    int err = make_directory(s->directory);
    int dir_fd = err == 0 ? open(s->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    if (err == 0 && dir_fd < 0) {
        err = errno;
    }
    if (err == 0) {
        s->lock_fd = openat(dir_fd, "engine.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        err = s->lock_fd < 0 ? errno : 0;
    }
    if (err == 0 && flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        buf_printf(why,
                   "another engine runs with the state directory %s; stop it, or give this one a "
                   "directory of its own (queue.state_directory)",
                   s->directory);
        close(dir_fd);
        state_close(s);
        return ERR_EXISTS;
    }
    if (err == 0) {
        err = read_id(s, dir_fd, hostname);
    }
    if (dir_fd >= 0) {
        close(dir_fd);
    }
    if (err != 0) {
        buf_printf(why,
                   "state directory %s: %s; make it writable, or name another one "
                   "(queue.state_directory)",
                   s->directory, strerror(err));
        state_close(s);
        return err_from_errno(err);
    }
    return 0;
}

void state_close(struct state *s)
{
    if (s->lock_fd >= 0) {
        close(s->lock_fd);
    }
    mem_free(s->directory);
    *s = (struct state){.lock_fd = -1};
}
