/*
 * server_private.h - the inside of a model server, shared by server.c and server_content.c.
 */
#ifndef VOLLEY_TESTS_SIM_SERVER_PRIVATE_H
#define VOLLEY_TESTS_SIM_SERVER_PRIVATE_H

#include "tests/sim/oracle.h"
#include "tests/sim/server.h"

enum { SERVER_RCPTS_MAX = 64 };

enum server_in { SERVER_COMMANDS, SERVER_DATA, SERVER_CHUNK };

struct server {
    struct link *link;
    struct sim_host *host;
    enum fault fault;
    unsigned at_command; /* where the fault strikes */
    uint64_t at_byte;
    bool bdat_answers_once;

    enum server_in in;
    bool greeted;
    bool mail;
    bool busy;    /* a reply is being made up */
    bool stalled; /* reads and says nothing any more */
    bool deaf;    /* reads, and does not listen */
    bool over;
    bool going; /* in the loop that reads */
    bool again; /* a reply was said in a step that took nothing more: read on */
    bool eof;
    bool leave_after; /* the reply that is being made up is the last one */
    bool reset_after;
    bool struck; /* the fault has struck */
    int64_t stopped_us;
    unsigned commands;
    unsigned transactions;
    unsigned rcpts_named;
    struct rcpt *rcpts[SERVER_RCPTS_MAX]; /* accepted at RCPT */
    unsigned rcpt_count;

    struct buf content; /* dots taken off */
    size_t scanned;
    bool chunking;
    bool chunk_last;
    bool chunk_refused;
    uint64_t chunk_left;

    char reply[1024];
};

void server_reply(struct server *s, const char *text);
void server_reply_in(struct server *s, int64_t in_us, const char *text); /* 0: as it likes */
void server_last_reply(struct server *s, const char *text);              /* and closes */
void server_leave(struct server *s, bool reset);
void server_resume(struct server *s, int64_t in_us);
void server_lie(struct server *s);
void server_garble(struct server *s);
void server_protest(struct server *s, const char *what); /* unless it brought that on itself */
void server_end_transaction(struct server *s);

/* server_content.c: true when something was taken and more may follow. */
bool server_take_data(struct server *s, struct slice input);
bool server_take_chunk(struct server *s, struct slice input);

/* server_fault.c: true when the fault has answered, or nothing is to be read now. */
bool server_command_fault(struct server *s, struct slice line);
bool server_byte_fault(struct server *s);
bool server_body_due(const struct server *s);
bool server_body_fault(struct server *s);
bool server_end_fault(struct server *s, uint64_t written); /* answers the end of content */
void server_take(struct server *s, uint64_t written);      /* accepts it for everybody */

#endif
