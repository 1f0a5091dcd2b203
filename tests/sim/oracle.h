/*
 * oracle.h - what must hold, whatever happens.
 *
 * Of each recipient: exactly one event an attempt, with attempts counted up by one; exactly one
 * final event; nothing after it.  What a server took was written within an attempt that was
 * reported delivered or ambiguous; what was reported delivered, a server took.  So a letter goes
 * out once more than reported only behind an event `ambiguous`.
 *
 * Acceptances and events meet by number: an acceptance belongs to the first word on its
 * recipient that was said after the engine wrote the last byte of the letter.
 */
#ifndef VOLLEY_TESTS_SIM_ORACLE_H
#define VOLLEY_TESTS_SIM_ORACLE_H

#include "tests/sim/net.h"
#include "tests/sim/people.h"

/* The engine decided: a word on him, with its event (a WORD_BACK has none). */
void oracle_said(struct rcpt *r, enum word word, bool final, uint32_t attempt);

/* The event came to Redis; late: the job was not the engine's any more. */
void oracle_event(struct rcpt *r, bool final, uint32_t attempt, bool late);

/* A server took his letter, whose last byte the engine wrote then. */
void oracle_taken(struct rcpt *r, const struct link *l, uint64_t written);

/* Bytes that the engine wrote to a link: RCPT commands are read off them. */
void oracle_heard(struct link *l, struct slice bytes);
/* The server of this link lies, or has lost count. */
void oracle_lies(struct link *l);
/* It said what is no reply. */
void oracle_garbage(struct link *l, uint64_t down_end);

/* At the end of everything. */
void oracle_judge(bool all_done);

/* For the figures at the end of a run. */
struct oracle_counts {
    uint64_t words[WORD_COUNT];
    uint64_t taken, links, lied;
};
extern struct oracle_counts oracle_counts;

#endif
