/*
 * zone.h - a time zone: by how much its clocks differ from UTC, and when that changes.
 *
 * Read from the bytes of a TZif file (RFC 9636, what /usr/share/zoneinfo holds), which may be
 * anything: every count is checked.  What the rule at its end says is written out up to the
 * year 2100; from then on the offset stays.  Pure.
 */
#ifndef VOLLEY_THROTTLE_ZONE_H
#define VOLLEY_THROTTLE_ZONE_H

#include "engine/base/slice.h"

enum { ZONE_BYTES_MAX = 64 * 1024, ZONE_NAME_MAX = 64 };

struct zone_change {
    int64_t at_s;     /* unix: from here on */
    int32_t offset_s; /* east of UTC */
};

struct zone {
    int32_t first_offset_s; /* before the first change */
    struct zone_change *change;
    size_t count;
};

/* 0, or ERR_INVALID: no TZif file of version 2 or later. */
int zone_parse(struct zone *z, struct slice bytes);
void zone_fini(struct zone *z);

/* Seconds east of UTC at t_s; *until_s is when that ends (INT64_MAX: never). */
int32_t zone_offset(const struct zone *z, int64_t t_s, int64_t *until_s);

/* Whether it looks like a name of a zone, and names no file elsewhere. */
bool zone_name_valid(struct slice name);

#endif
