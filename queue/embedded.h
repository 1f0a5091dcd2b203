/*
 * embedded.h - `queue.redis: embedded`: a private redis-server.
 *
 * It listens on a unix socket in its directory and keeps an append-only file there (fsync
 * every second).  It is a process of its own session, so that it outlives a crash of the
 * engine; the next engine with the same directory adopts it.  A lock file keeps a second
 * engine out.  For trying things out and small installations: production wants a Redis of
 * its own, and every start says so.
 *
 * The calls block for a moment (start-up of redis-server) and belong before the loops run.
 */
#ifndef VOLLEY_QUEUE_EMBEDDED_H
#define VOLLEY_QUEUE_EMBEDDED_H

#include "engine/base/buf.h"
#include "queue/redis.h"

/* Name of the socket in the directory. */
#define EMBEDDED_SOCKET "redis.sock"

struct embedded;

struct embedded_options {
    const char *dir;     /* made when missing (0700); NULL: embedded_default_dir() */
    const char *program; /* NULL: "redis-server", else "valkey-server", from PATH */
    bool ephemeral;      /* no file, ends with this process (volley demo, tests) */
};

/* $STATE_DIRECTORY, else ~/.local/share/volley; the caller frees it with mem_free(). */
char *embedded_default_dir(void);

/* Starts or adopts it.  NULL with *err and a sentence appended to *why: no redis-server
 * (says what to install), before version 7, directory locked by another engine, no start. */
struct embedded *embedded_start(const struct embedded_options *options, int *err, struct buf *why);

const struct redis_url *embedded_url(const struct embedded *e); /* lives as long as e */
bool embedded_adopted(const struct embedded *e);
int embedded_pid(const struct embedded *e);

/* A clean stop: Redis writes its file and ends.  Frees e. */
void embedded_stop(struct embedded *e);
/* Leaves it running for the next engine.  Frees e. */
void embedded_leave(struct embedded *e);

#endif
