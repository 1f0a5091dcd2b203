/*
 * address.h - mail addresses: one of SMTP's, and lists of them in header fields.
 */
#ifndef VOLLEY_MESSAGE_ADDRESS_H
#define VOLLEY_MESSAGE_ADDRESS_H

#include "engine/base/buf.h"

struct address {
    struct slice local;
    struct slice domain; /* or an address literal, with its brackets */
};

/* Reads an RFC 5321 Mailbox that fills the text, such as "anna@example.com"; the slices
 * borrow from it.  0, or ERR_INVALID with a phrase in *why ("there is no @ in it"). */
int address_parse(struct slice text, struct address *out, const char **why);

/* Takes the next mailbox off a list as header fields have it: split at commas outside quotes,
 * angles, comments and {{tags}}.  False at the end. */
bool address_next(struct slice *rest, struct slice *mailbox);

/* Splits "Anna <anna@example.com>" into the display name, appended to *name without quotes
 * and comments, and the address.  ERR_INVALID when a quote or an angle is left open, or for
 * a group ("friends: a@example.com;"), with *why. */
int address_split(struct slice mailbox, struct buf *name, struct slice *addr, const char **why);

/* Appends a display name as a header field can carry it, on one line when it is short:
 * atoms, a quoted string, or encoded words. */
void address_put_name(struct buf *out, struct slice name);

#endif
