/*
 * reuse.h - idle connections, open to every path that would call the same host the same way.
 *
 * A connection belongs to the path it was opened for, with its limits; but when that path has
 * nothing to send, another site's path whose next connection would be the very same may have
 * it: many domains share MX hosts without sharing the whole set.  "The same" is spelt out
 * field by field in the key, so that a connection is never used under another TLS level,
 * identity, source address or login than was asked for (RFC 5321 has no way to tell a
 * connection whose mail it carries).
 */
#ifndef VOLLEY_DELIVER_REUSE_H
#define VOLLEY_DELIVER_REUSE_H

#include "engine/deliver/hosts.h"

struct conn;
struct deliver;
struct path;

enum { REUSE_KEY_MAX = 640 };

/* Offers an idle connection, or takes the offer back; both harmless when done already. */
void reuse_offer(struct conn *c);
void reuse_withdraw(struct conn *c);

/* Whether another path has an idle connection that this one could use for the host. */
bool reuse_offered(struct path *p, const struct host *h);

/* Moves that connection to the path, whose slots for it are taken already (limiter_connect). */
void reuse_take(struct path *p, struct host *h);

#endif
