/*
 * args_value.h - reading one option's value; shared by the files of args.h, nobody else's.
 */
#ifndef VOLLEY_BASE_ARGS_VALUE_H
#define VOLLEY_BASE_ARGS_VALUE_H

#include "engine/base/args.h"

/* False at the end of a table. */
static inline bool args_option_present(const struct args_option *o)
{
    return o->name != NULL || o->heading != NULL;
}

/* Stores `value` (NULL for a flag) as the option's kind says.  False with a message in `out`. */
bool args_store_value(const struct args_option *o, const char *value, void *target,
                      struct buf *out);

void args_put_version(struct buf *out);

/* The command's own table of exit codes, or the usual one. */
const struct args_pair *args_exit_codes(const struct args_command *command);

/* "-c, --config FILE" or "    --json": with the indent for a missing letter. */
void args_put_option_name(struct buf *out, const struct args_option *o);

#endif
