/*
 * session_flight.h - everything one smtp_session_output() gathers.
 *
 * Commands from the session's buffer and content from the owner's memory, in the order in
 * which the peer shall see them.  session_send.c decides what belongs into a flight;
 * session_flight.c knows how large one may be, and how its bytes are laid out.
 */
#ifndef VOLLEY_SMTP_SESSION_FLIGHT_H
#define VOLLEY_SMTP_SESSION_FLIGHT_H

#include "engine/smtp/session_int.h"

struct smtp_flight {
    struct iovec *iov;
    size_t max;
    size_t count;
    size_t bytes; /* in iov[0..count) */
    size_t mark;  /* commands before this offset are in iov already */
    /* Commands may move while the flight grows: their iovecs hold offsets until the end. */
    uint16_t command_iovs[SMTP_DEPTH_MAX + 2];
    size_t command_iov_count;
    int64_t now_us;
};

/* Puts the commands gathered so far before what comes next. */
void smtp_flight_close_commands(struct smtp_session *s, struct smtp_flight *f);

/* Adds as much of a transaction's content as the flight takes. */
void smtp_flight_put_body(struct smtp_flight *f, struct smtp_txn *txn);

/* ---- session_send.c ---- */

/* Adds the next thing that may be said; false when there is none before an answer came. */
bool smtp_session_send_next(struct smtp_session *s, struct smtp_flight *f);

#endif
