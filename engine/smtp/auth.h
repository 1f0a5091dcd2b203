/*
 * auth.h - the words of AUTH PLAIN (RFC 4616) and AUTH LOGIN.
 */
#ifndef VOLLEY_SMTP_AUTH_H
#define VOLLEY_SMTP_AUTH_H

#include "engine/base/buf.h"

/* Appends base64 without line ends. */
void smtp_auth_put(struct buf *out, struct slice bytes);

/* Appends PLAIN's response: NUL user NUL password, in base64. */
void smtp_auth_put_plain(struct buf *out, struct slice user, struct slice password);

#endif
