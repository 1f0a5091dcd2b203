/*
 * paths.c - places that the engine will write to.
 *
 * Looked at for the engine and `volley check` alone: other commands read a configuration as
 * users who need not see them, and on machines that need not have them.
 */
#include "conf/private.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* The directory that `path` stands in, into `out`. */
static void put_directory(struct buf *out, const char *path)
{
    const char *slash = strrchr(path, '/');

    if (slash == NULL) {
        buf_putc(out, '.');
    } else {
        buf_put(out, path, slash > path ? (size_t)(slash - path) : 1);
    }
    buf_terminate(out);
}

bool conf_check_paths(const struct conf *conf, struct conf_problems *problems)
{
    const char *path = conf->events.file;
    struct buf directory = BUF_EMPTY;
    const char *why = NULL, *what = path;
    struct stat st;

    if (path == NULL) {
        return true;
    }
    put_directory(&directory, path);
    if (stat(path, &st) == 0) {
        why = S_ISDIR(st.st_mode) ? "is a directory" : NULL;
    } else if (stat(directory.ptr, &st) != 0) {
        what = directory.ptr;
        why = strerror(errno);
    } else if (!S_ISDIR(st.st_mode)) {
        what = directory.ptr;
        why = "is not a directory";
    }
    if (why != NULL) {
        struct conf_place at = conf_place_of(conf, &conf->events.file);
        conf_problem(problems, at.line, at.column, "events.file cannot be written: %s: %s", what,
                     why);
    }
    buf_fini(&directory);
    return why == NULL;
}
