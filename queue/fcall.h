/*
 * fcall.h - writing calls of the engine's functions, and what their errors mean.
 */
#ifndef VOLLEY_QUEUE_FCALL_H
#define VOLLEY_QUEUE_FCALL_H

#include "queue/keys.h"
#include "queue/resp.h"

/* Begins "FCALL volley_1_<name> <keys> ...": the caller appends exactly that many keys and
 * arguments. */
void fcall_begin(struct buf *out, struct slice name, size_t keys, size_t args);

enum fcall_verdict {
    FCALL_OK,
    FCALL_FENCED,     /* VOLLEYFENCED: the life is over */
    FCALL_NO_LIBRARY, /* the function is not there: load the library and ask again */
    FCALL_LATER,      /* Redis cannot now (loading, read-only, moving keys): nothing was done */
    FCALL_FAILED,     /* anything else: ours or the data's fault; nothing was done */
};

enum fcall_verdict fcall_judge(const struct resp *reply);

#endif
