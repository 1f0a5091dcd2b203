/*
 * local.h - trouble of our own with opening connections.
 *
 * Descriptors run out, a source's address is not on this machine, its ports are used up: no
 * remote host is to blame, and none rests for it.  What rests is the source (or all of them,
 * when it is the process that cannot), for a second at first and a minute at most, and one
 * line of the log says what to do about it.
 */
#ifndef VOLLEY_DELIVER_LOCAL_H
#define VOLLEY_DELIVER_LOCAL_H

#include "conf/conf.h"
#include "engine/deliver/deliver.h"

/* Whether an error of opening a connection is our own trouble. */
bool local_is_error(int err);

/* A connection from this source could not be opened for such an error, or one could. */
void local_failed(struct deliver *d, const struct conf_source *source, int err);
void local_works(struct deliver *d, const struct conf_source *source);

/* Until when no connection is to be opened from this source; INT64_MIN: it may be now. */
int64_t local_until_us(const struct deliver *d, const struct conf_source *source);

void local_free(struct deliver *d);

#endif
