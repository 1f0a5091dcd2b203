/*
 * schema_rows.h - what the rows of schema.c and its parts are written with.
 */
#ifndef VOLLEY_CONF_SCHEMA_ROWS_H
#define VOLLEY_CONF_SCHEMA_ROWS_H

#include "conf/schema.h"

#define S   UINT64_C(1000000)
#define H   (3600 * S)
#define DAY (24 * H)
#define MB  (UINT64_C(1) << 20)
#define TB  (UINT64_C(1) << 40)

#define IN(type, member) .offset = offsetof(type, member)
#define ARRAY(type, member) \
    .offset = offsetof(type, member), .size = sizeof(*((type *)0)->member.items)

extern const struct conf_key conf_queue_keys[]; /* schema_queue.c */

#endif
