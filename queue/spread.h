/*
 * spread.h - the functions on the other masters of a Cluster.
 *
 * Functions are replicated from a master to its replicas, and from nobody to other masters.  A
 * slot that is moved should find them where it goes, or applications are answered "Function not
 * found" until the engine has followed.  What fails here is no fault: whoever needs the library
 * somewhere loads it there.
 */
#ifndef VOLLEY_QUEUE_SPREAD_H
#define VOLLEY_QUEUE_SPREAD_H

#include "queue/redis.h"

struct spread;

/* `on_closed` comes after spread_close(), from the loop: the memory is gone then. */
struct spread *spread_new(struct io *io, void (*on_closed)(void *ctx), void *ctx);

/* Asks `r` (up, of a Cluster) who the masters are, and ensures the libraries on each other one,
 * one after the other.  Does nothing while that is under way.  The end of `r` is waited for like
 * an answer of it. */
void spread_start(struct spread *s, struct redis *r);

void spread_close(struct spread *s);

#endif
