/*
 * keys.h - names of the keys of one partition.
 *
 * Every key is "<prefix>:{<partition>}:<rest>".  A list is named by its rest: an intake is
 * "in:<class>:<pool>:<tenant>", a bin "bin:<class>:<pool>:<tenant>:<site>"; the first four
 * words of a bin are those of its intake.  <pool> is a pool's name, "source=<name>" or
 * "route=<name>".
 */
#ifndef VOLLEY_QUEUE_KEYS_H
#define VOLLEY_QUEUE_KEYS_H

#include "engine/base/buf.h"
#include "engine/base/slice.h"
#include "queue/record.h"

enum { KEYS_BASE_MAX = 80, KEYS_SITE_MAX = 255, KEYS_LIST_MAX = 512 };

struct keys {
    char base[KEYS_BASE_MAX]; /* "volley:{0}:" */
    size_t base_len;
    unsigned partition;
};

/* 0, or ERR_INVALID (prefix is not [A-Za-z0-9._-]{1,32}) or ERR_RANGE (partition over 1023). */
int keys_init(struct keys *k, struct slice prefix, unsigned partition);

/* Appends a RESP argument: the key that ends in `rest` (twice two pieces, to spare a copy). */
void keys_put_arg(struct buf *out, const struct keys *k, struct slice rest);
void keys_put_arg2(struct buf *out, const struct keys *k, struct slice rest, struct slice more);
/* Appends the bare key. */
void keys_put(struct buf *out, const struct keys *k, struct slice rest);

/* What a list's name says.  Slices point into the name. */
struct list_name {
    enum job_class class;
    enum job_via via;
    struct slice lane; /* "class:pool:tenant" */
    struct slice pool; /* the bare name: without "source=" or "route=" */
    struct slice tenant;
    struct slice site; /* empty for an intake */
    bool bin;
};

/* 0, or ERR_INVALID: not the name of a list. */
int list_name_parse(struct list_name *out, struct slice name);

/* Appends "bin:<lane>:<site>". */
void list_name_put_bin(struct buf *out, struct slice lane, struct slice site);

#endif
