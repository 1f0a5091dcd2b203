/*
 * fault_impl.h - shared by the files of fault.h, nobody else's.
 */
#ifndef VOLLEY_BENCH_FAULT_IMPL_H
#define VOLLEY_BENCH_FAULT_IMPL_H

#include "bench/fault.h"

/* Appends a message.  Always false, so that a reader can `return fault_say(...)`. */
bool fault_say(struct buf *error, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* "unknown condition 'nht', did you mean 'nth'?"; `rows` hold the words there are. */
bool fault_unknown(struct buf *error, const char *what, struct slice word,
                   const struct args_pair *rows);

bool fault_read_actions(struct fault_rule *rule, struct slice actions, struct buf *error);

#endif
