/*
 * where.h - where the queue's Redis is, for commands.
 */
#ifndef VOLLEY_CLI_WHERE_H
#define VOLLEY_CLI_WHERE_H

#include "conf/conf.h"
#include "queue/redis.h"

/* Fills in *url: `override` ("redis://...") if not NULL, else what the configuration says; for
 * `embedded` the socket of the engine's private Redis, running or not.  0, or ERR_INVALID with
 * a sentence in *why.  Free with redis_url_fini(). */
int where_redis(const struct conf *conf, const char *override, struct redis_url *url,
                struct buf *why);

#endif
