/*
 * state.h - the state directory: who this node is, and that it is alone.
 *
 * `node-id` is written at the first start and kept, so that a restarted engine finds the
 * jobs that its former life had claimed.  A lock on the directory keeps a second engine from
 * coming with the same id.
 */
#ifndef VOLLEY_WORKER_STATE_H
#define VOLLEY_WORKER_STATE_H

#include "engine/base/buf.h"

enum { STATE_ID_MAX = 64 };

struct state {
    char *directory;
    char id[STATE_ID_MAX + 1]; /* "mta1-9f3c21aa" */
    int lock_fd;
};

/* Opens (and makes, 0700) the directory: the configured one, else $STATE_DIRECTORY, else
 * ~/.local/share/volley.  0, or ERR_* with a sentence for people appended to *why. */
int state_open(struct state *s, const char *configured, const char *hostname, struct buf *why);
void state_close(struct state *s);

#endif
