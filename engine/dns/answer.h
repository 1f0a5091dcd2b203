/*
 * answer.h - filling a struct dns_answer; between packet.c and answer.c.
 */
#ifndef VOLLEY_DNS_ANSWER_H
#define VOLLEY_DNS_ANSWER_H

#include "engine/dns/packet.h"

/* An answer with room for `count` records and `text_len` bytes behind them, at *text. */
struct dns_answer *dns_answer_alloc(enum dns_status status, enum dns_type type, size_t count,
                                    size_t text_len, char **text);

/* Copies s to *text, moves *text behind it and returns the copy. */
struct slice dns_text_put(char **text, struct slice s);

#endif
