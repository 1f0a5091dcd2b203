/*
 * magic.h - recipients that make the sink refuse, wait or hang up, for those who try by hand.
 *
 * The local part decides, alone or before "-", "+": full@example.org, full-17@example.org.
 * magic_help[] lists them, for --help.
 */
#ifndef VOLLEY_BENCH_MAGIC_H
#define VOLLEY_BENCH_MAGIC_H

#include "bench/ids.h"
#include "bench/server.h"
#include "engine/base/args.h"

struct magic {
    struct ids *greylist; /* (sender, recipient) that came before; shared by threads */
    struct buf text;      /* of a verdict, until the next one */
};

void magic_init(struct magic *m, struct ids *greylist);
void magic_fini(struct magic *m);

enum { MAGIC_VERBS = 1 << SERVER_RCPT | 1 << SERVER_DOT };

/* Decides as server_hooks.decide(). */
bool magic_decide(struct magic *m, const struct server *s, enum server_verb verb, struct slice to,
                  struct server_verdict *verdict);

extern const struct args_pair magic_help[];

#endif
