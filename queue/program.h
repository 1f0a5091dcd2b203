/*
 * program.h - finding and starting redis-server.
 */
#ifndef VOLLEY_QUEUE_PROGRAM_H
#define VOLLEY_QUEUE_PROGRAM_H

#include "engine/base/buf.h"

/* The path of `wanted`, or (NULL) of redis-server or valkey-server, from PATH; the caller
 * frees it.  NULL with a sentence appended to *why that says what to install. */
char *program_find(const char *wanted, struct buf *why);

/* Asks it with --version.  0, or ERR_INVALID with a sentence when it is before `min`. */
int program_version_check(const char *program, int min, struct buf *why);

enum program_bond {
    PROGRAM_STANDS_ALONE, /* nobody's child, in a session of its own */
    PROGRAM_DIES_WITH_US, /* our child; killed when the thread that started it ends */
};

/* Starts args[0] with standard output and error to log_fd; keep_fd stays open in it.  Its
 * process id (0 when it stands alone), or -1. */
int program_start(char *const *args, int log_fd, int keep_fd, enum program_bond bond);

#endif
