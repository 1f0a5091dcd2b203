/*
 * where.h - where the queue's Redis is, for commands.
 */
#ifndef VOLLEY_CLI_WHERE_H
#define VOLLEY_CLI_WHERE_H

#include "conf/conf.h"
#include "queue/redis.h"

#include <stdbool.h>

/* Fills in *url: `override` ("redis://...") if not NULL, else what the configuration says; for
 * `embedded` the socket of the engine's private Redis, running or not.  0, or ERR_INVALID with
 * a sentence in *why.  Free with redis_url_fini(). */
int where_redis(const struct conf *conf, const char *override, struct redis_url *url,
                struct buf *why);

/* Whether the engine can use what a configuration says about Redis and the files it names there;
 * false with a problem.  No connection is made. */
bool where_check(const struct conf *conf, struct conf_problems *problems);

#endif
