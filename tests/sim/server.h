/*
 * server.h - a model SMTP server at the other end of a link.
 *
 * A state machine of its own, with nothing of the engine's in it: lines in, replies out, content
 * to the final dot or by BDAT.  It holds what it gets against what may be said at that point,
 * and content against what was submitted; it tells the oracle what it took (oracle.h).  What
 * goes wrong with this connection, and where, was drawn when it was made (hosts.h).
 *
 * Lying: some faults make a server say what is not so, or lose count of its replies (an early
 * 250, a reply too many or too few).  What a client believes then is no fault of its own, so
 * the recipients on such a link are held against nothing (struct rcpt, lied).
 */
#ifndef VOLLEY_TESTS_SIM_SERVER_H
#define VOLLEY_TESTS_SIM_SERVER_H

#include "tests/sim/hosts.h"

struct server;

struct server *server_new(struct link *l, struct sim_host *h, enum fault fault);
void server_free(struct server *s); /* NULL is fine */

void server_greet(struct server *s); /* the connection stands */
void server_input(struct server *s); /* bytes arrived */
void server_eof(struct server *s);   /* the client says nothing more */

#endif
