/*
 * spawn.h - programs that a benchmark starts, watches and ends.
 *
 * They die with us.  What they print on standard output can be read by lines; standard error
 * goes to a file.  CPU time is what /proc says, in steps of 10 ms.
 */
#ifndef VOLLEY_BENCH_SPAWN_H
#define VOLLEY_BENCH_SPAWN_H

#include "engine/base/buf.h"

#include <sys/types.h>

struct spawn {
    pid_t pid;         /* 0: none, or gone */
    int out;           /* its standard output; -1: none */
    int status;        /* of waitpid(), when it is gone */
    struct buf unread; /* of its standard output */
};

#define SPAWN_NONE ((struct spawn){.pid = 0, .out = -1})

/* Starts argv[0] (searched in PATH when it has no slash).  `log` gets its standard error; `cpu`
 * pins it to that core, -1 to none.  False with a message in *error. */
bool spawn_start(struct spawn *s, const char *const *argv, const char *log, int cpu,
                 struct buf *error);

/* The next line of its standard output without the newline, into *line (replaced).  False when
 * timeout_us passed or the output ended. */
bool spawn_line(struct spawn *s, struct buf *line, int64_t timeout_us);

bool spawn_running(struct spawn *s);

/* Waits for its end; false when timeout_us passed. */
bool spawn_wait(struct spawn *s, int64_t timeout_us);

/* Ends it by TERM, and by KILL when it does not go in 10 s.  Harmless when it is gone.  What it
 * printed can still be read. */
void spawn_end(struct spawn *s);

/* Ends it and forgets what it printed. */
void spawn_stop(struct spawn *s);

/* User and kernel time it has used, in microseconds; false when it is gone. */
bool spawn_cpu(const struct spawn *s, int64_t *user_us, int64_t *sys_us);

#endif
