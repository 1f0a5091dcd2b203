/*
 * secret.c - passwords from their files.
 *
 * A configuration names the file and never holds the secret, so it can be shown, mailed and
 * kept under version control.
 */
#include "conf/private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECRET_MAX = 4096 };

/* Bytes read into `out`, or -1 with errno set. */
static ssize_t read_whole(int fd, char *out, size_t cap)
{
    size_t len = 0;

    while (len < cap) {
        ssize_t n = read(fd, out + len, cap - len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -1;
        }
        if (n == 0) {
            break;
        }
        len += (size_t)n;
    }
    return (ssize_t)len;
}

/* The one line of the file, or NULL with the reason in *why. */
static const char *one_line(struct conf_store *store, char *text, size_t len, const char **why)
{
    if (len > 0 && text[len - 1] == '\n') {
        len--;
    }
    if (len > 0 && text[len - 1] == '\r') {
        len--;
    }
    if (len == 0) {
        *why = "is empty";
        return NULL;
    }
    if (len >= SECRET_MAX) {
        *why = "is too long for a password";
        return NULL;
    }
    if (memchr(text, '\n', len) != NULL || memchr(text, '\0', len) != NULL) {
        *why = "must hold the password alone, on one line";
        return NULL;
    }
    return conf_store_text(store, slice_of(text, len));
}

static const char *read_secret(struct conf *conf, const char *const *file_field,
                               struct conf_problems *problems)
{
    struct conf_place at = conf_place_of(conf, file_field);
    const char *path = *file_field, *why = NULL, *secret = NULL;
    char text[SECRET_MAX + 1];
    struct stat st;
    ssize_t len = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd >= 0 && fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)) {
        why = "is not a regular file";
    } else if (fd >= 0) {
        len = read_whole(fd, text, sizeof(text));
    }
    if (fd < 0 || (len < 0 && why == NULL)) {
        why = strerror(errno);
    } else if (why == NULL) {
        secret = one_line(&conf->own->store, text, (size_t)len, &why);
    }
    explicit_bzero(text, sizeof(text));
    if (fd >= 0) {
        close(fd);
    }
    if (secret == NULL) {
        conf_problem(problems, at.line, at.column, "password file %s: %s", path, why);
    } else if ((st.st_mode & (S_IRWXO | S_IWGRP)) != 0) {
        conf_warning(problems, at.line, at.column,
                     "password file %s can be read or changed by others; chmod 640 it", path);
    }
    return secret;
}

void conf_load_secrets(struct conf *conf, struct conf_problems *problems)
{
    if (conf->queue.password_file != NULL) {
        conf->queue.password = read_secret(conf, &conf->queue.password_file, problems);
    }
    if (conf->queue.sentinel_password_file != NULL) {
        conf->queue.sentinel_password =
            read_secret(conf, &conf->queue.sentinel_password_file, problems);
    }
    for (size_t i = 0; i < conf->routes.count; i++) {
        struct conf_route *route = &conf->routes.items[i];
        if (route->auth.password_file != NULL) {
            route->auth.password = read_secret(conf, &route->auth.password_file, problems);
        }
    }
}

static void wipe(const char *secret)
{
    if (secret != NULL) {
        explicit_bzero((char *)(uintptr_t)secret, strlen(secret));
    }
}

void conf_wipe_secrets(struct conf *conf)
{
    wipe(conf->queue.password);
    wipe(conf->queue.sentinel_password);
    for (size_t i = 0; i < conf->routes.count; i++) {
        wipe(conf->routes.items[i].auth.password);
    }
}
