/*
 * secure.h - TLS between us and Redis, without a socket.
 *
 * A struct secure is what the files named in an address amount to: read once, immutable,
 * shared by all threads.  A struct secure_line is one connection: bytes from the socket go in,
 * plaintext and bytes for the socket come out.  The server's certificate is always verified.
 */
#ifndef VOLLEY_QUEUE_SECURE_H
#define VOLLEY_QUEUE_SECURE_H

#include "engine/base/buf.h"

struct secure_files {
    char *ca;   /* trust anchors; NULL: the system's */
    char *cert; /* our certificate chain, where the server asks for one; NULL: none */
    char *key;
    char *name; /* what the server's certificate must be for; NULL: the host connected to */
};

struct secure;

/* NULL with a sentence appended to *why.  References may be taken and given by any thread. */
struct secure *secure_new(const struct secure_files *files, struct buf *why);
struct secure *secure_ref(struct secure *s);
void secure_unref(struct secure *s); /* NULL is fine */

struct secure_line;

/* Begins a connection to `host`; appends to *out what is to be sent first. */
struct secure_line *secure_line_new(struct secure *s, const char *host, struct buf *out);
void secure_line_free(struct secure_line *l); /* NULL is fine */

/* Both append to *out what is to be sent, when they fail too (it tells the peer why).  feed
 * appends what was decrypted to *plain, write takes plaintext once the line is open.  0 or
 * ERR_TLS. */
int secure_line_feed(struct secure_line *l, struct slice data, struct buf *plain, struct buf *out);
int secure_line_write(struct secure_line *l, struct slice plain, struct buf *out);
bool secure_line_is_open(const struct secure_line *l);

/* Why it failed, in one line for people, as long as it lives. */
const char *secure_line_error(const struct secure_line *l);

#endif
