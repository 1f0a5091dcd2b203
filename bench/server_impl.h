/*
 * server_impl.h - shared by the files of server.h, nobody else's.
 */
#ifndef VOLLEY_BENCH_SERVER_IMPL_H
#define VOLLEY_BENCH_SERVER_IMPL_H

#include "bench/server.h"

/* ---- server.c: answers ---- */

/* Appends an answer, "250 2.0.0 Ok" without CRLF (lines parted by '\n'), and counts it when it
 * refuses something.  Returns its class: 2 to 5. */
int server_say(struct server *s, enum server_verb verb, struct slice reply);

/* The same for an answer that the hooks may change.  Returns the class of what was said, 0 when
 * no proper answer was given; only then, or with 4 and 5, the command had no effect. */
int server_answer(struct server *s, enum server_verb verb, struct slice to, struct slice usual,
                  int64_t now_us);

/* Asks without saying anything.  True when *verdict was filled in. */
bool server_ask(struct server *s, enum server_verb verb, struct slice to, int64_t now_us,
                struct server_verdict *verdict);
int server_apply(struct server *s, enum server_verb verb, const struct server_verdict *v,
                 struct slice usual);

/* An answer to something that a proper client does not do. */
void server_complain(struct server *s, enum sink_stat error, struct slice reply);

void server_mark(struct server *s, enum server_mark_kind kind, int64_t value);
void server_reset_transaction(struct server *s);

/* ---- server_command.c ---- */

void server_command(struct server *s, struct slice line, int64_t now_us);

/* ---- server_path.c: the arguments of MAIL and RCPT ---- */

/* Reads `FROM:<path>` (`keyword` is "FROM:") and leaves *args at the parameters.  Returns an
 * answer that says what is wrong, or an empty slice. */
struct slice server_path(struct slice *args, struct slice keyword, struct slice *path);

/* Takes the next ` KEY=VALUE` or ` KEY` off *args. */
bool server_param(struct slice *args, struct slice *key, struct slice *value);

/* ---- server_body.c ---- */

void server_body_begin(struct server *s, int64_t now_us);
size_t server_body_data(struct server *s, struct slice in, int64_t now_us);
size_t server_body_chunk(struct server *s, struct slice in, int64_t now_us);
void server_chunk_done(struct server *s, int64_t now_us);

#endif
