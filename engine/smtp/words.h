/*
 * words.h - what the words of a refusal say beyond its codes.
 *
 * Codes are few and servers use them as they like: greylisting comes as 450, 451 and 4.7.1, a
 * block of our address as 550 to RCPT.  A table of lines says what to make of the words; the
 * shipped one is conf/replies.table, and a configuration may add one of its own before it:
 *
 *     CODES STAGES "WORDS" MEANING...
 *     4xx   rcpt   "greylist"               policy host=stay retry=5m
 *     4xx   any    "try again in {time}"    retry=said
 *     5xx   any    "*spamhaus"              reputation defer site=slow
 *
 * CODES are three digits, x for any, commas between, or `any`; STAGES names of stages, or
 * `any`.  WORDS are found anywhere in the text, capitals or not; `*` stands for anything,
 * {time} for "300 seconds", "5m", "00:05:00"; addresses in the text are passed over.  A meaning is
 * a failure class (policy, reputation, rate, ...), `defer`, `bounce`, `later` (too many recipients:
 * in a transaction of its own), `retry=` a duration or `said`, `host=stay|next`,
 * `site=ok|slow|hold`.
 *
 * For each question (failure, outcome, when, host, site) the first line counts that answers
 * it.  Reading takes time in proportion to text times table and no memory.
 */
#ifndef VOLLEY_SMTP_WORDS_H
#define VOLLEY_SMTP_WORDS_H

#include "engine/base/buf.h"
#include "engine/smtp/verdict.h"

enum { SMTP_WORDS_RULES_MAX = 2000, SMTP_WORDS_LINE_MAX = 400 };

/* What the words add to a retry time that was said, and what they may ask for at most. */
#define SMTP_WORDS_SLACK_US ((int64_t)10 * 1000000)
#define SMTP_WORDS_RETRY_US ((int64_t)86400 * 1000000)

struct smtp_words;

struct smtp_words *smtp_words_new(void);
void smtp_words_free(struct smtp_words *w); /* NULL is fine */

/* Adds the lines of a table behind those that are there.  0, or ERR_INVALID with the line
 * (from 1) and a sentence about it appended to *why; lines before it were added. */
int smtp_words_add(struct smtp_words *w, struct slice table, unsigned *line, struct buf *why);

size_t smtp_words_count(const struct smtp_words *w);

/* The verdict of codes (smtp_verdict_of) with what the words change in it.  Words never touch
 * what was accepted or is ambiguous, nor what the connection needs.  `words` may be NULL. */
struct smtp_verdict smtp_words_verdict(const struct smtp_words *w, const struct smtp_fact *fact,
                                       struct slice text);

#endif
