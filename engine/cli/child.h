/*
 * child.h - programs that a command starts and ends again.
 *
 * A child runs in a process group of its own, so that Ctrl-C reaches the command alone and
 * it can end its children in order; and it is told to stop when the command itself dies.
 */
#ifndef VOLLEY_CLI_CHILD_H
#define VOLLEY_CLI_CHILD_H

#include "engine/base/buf.h"

#include <sys/types.h>

struct child {
    pid_t pid;  /* 0: none, or gone */
    int out_fd; /* its standard output, to be read; -1 when not asked for */
    int status; /* as of waitpid(), once it is gone */
};

/* Starts argv[0] (a path) with standard error appended to the file `log`, and its standard
 * output on a pipe (`piped`) or in the log too.  0, or ERR_* with a sentence in *why. */
int child_start(struct child *c, char *const argv[], const char *log, bool piped, struct buf *why);

/* Reads one line of its output, without the newline, into `line` (emptied before).  0;
 * ERR_TIMEOUT; ERR_CLOSED when it ended instead. */
int child_read_line(struct child *c, struct buf *line, int timeout_ms);

/* True once it has ended by itself; status is set. */
bool child_ended(struct child *c);

/* Signals it and waits until it is gone; after grace_ms it is killed.  Harmless when it is
 * gone already. */
void child_stop(struct child *c, int sig, int grace_ms);

#endif
