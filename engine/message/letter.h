/*
 * letter.h - a letter, compiled once and finished for each recipient.
 *
 * letter_compile() reads an RFC 5322/MIME letter and turns it into an immutable program:
 * long runs of fixed bytes, and the few places that differ by recipient.  letter_render()
 * makes only those places anew and answers iovecs over the shared bytes and a small buffer
 * of its own, in both forms that SMTP knows: raw (BDAT) and dotted (DATA, RFC 5321 4.5.2,
 * with the final dot).  A letter that is the same for everybody is never copied at all.
 *
 * What comes out is correct whatever went in: CRLF only, no NUL, lines of at most 998 bytes
 * (RFC 5322 2.1.1), header fields in ASCII, no Bcc, and a Date and a Message-ID that depend
 * on nothing but the arguments, so a retry sends the same bytes.
 *
 * Merge language (Mustache's look, with what a letter needs and no more):
 *
 *     {{name}}              the value, escaped for where it stands: HTML in text/html, encoded
 *                           words in header fields; CR and LF never get into a header field
 *     {{name|there}}        "there" when the value is missing or empty
 *     {{{name}}}            unescaped; text and HTML parts only
 *     {{#name}}...{{/name}} only when the value is there: not missing, empty, "0" or "false"
 *     {{^name}}...{{/name}} only when it is not
 *     {{.}}                 the value of the innermost section
 *     {{! remark }}         nothing
 *     \{{                   two plain braces
 *
 * A section tag or remark alone on its line takes the line with it.  {{to}}, {{id}} and
 * {{campaign}} are always there.  Merging happens in header fields and in text parts that are
 * not attachments, inside quoted-printable, base64 and encoded words as well; never in
 * multipart/signed, multipart/encrypted and message parts, whose bytes are not ours to change.
 *
 * Why no Mustache library: the text is produced inside encoded parts and folded header
 * fields, where a value changes the line breaks (quoted-printable) or the alignment (base64)
 * of what follows; a library gives one flat text, which would have to be encoded again for
 * every recipient.
 *
 * Threads: letters, their counts and copies belong to one thread.  Pure: no clock, no I/O.
 */
#ifndef VOLLEY_MESSAGE_LETTER_H
#define VOLLEY_MESSAGE_LETTER_H

#include "engine/base/buf.h"
#include "engine/base/slice.h"

#include <sys/uio.h>

struct letter;

enum {
    LETTER_BYTES_MAX = 25 * 1024 * 1024, /* a stored message (design.md §4) */
    LETTER_OWN_MAX = 16 * 1024 * 1024,   /* what is made anew for one recipient */
    LETTER_NAMES_MAX = 256,              /* different placeholder names in one letter */
    LETTER_NAME_LEN_MAX = 64,
    LETTER_IOV_MAX = 256, /* iovecs of one form of one copy */
    LETTER_PREPEND_MAX = 4,
};

struct letter_options {
    bool literal;     /* "{{" is plain text: nothing is merged */
    bool strict;      /* a missing value without a default fails the rendering */
    bool seven_bit;   /* re-encode 8-bit parts: for a server without 8BITMIME (RFC 6152) */
    size_t bytes_max; /* 0 takes LETTER_BYTES_MAX */
};

/* Compiles the letter; `bytes` may go away afterwards, `options` may be NULL.  0 and a letter
 * with one reference in *out; or ERR_INVALID (not a letter that can be sent), ERR_LIMIT (too
 * large), with "line 12: what is wrong, and what to write instead" appended to *error. */
int letter_compile(struct slice bytes, const struct letter_options *options, struct letter **out,
                   struct buf *error);

struct letter *letter_ref(struct letter *letter);
void letter_unref(struct letter *letter); /* NULL is fine */

/* The letter differs by recipient (Date and Message-ID made by us count). */
bool letter_is_personal(const struct letter *letter);

/* The body is the same for all recipients: a body hash may be kept. */
bool letter_body_is_fixed(const struct letter *letter);

/* Some bytes have the high bit set: MAIL needs BODY=8BITMIME, or compile with seven_bit. */
bool letter_needs_8bit(const struct letter *letter);

/* The address in From and its domain as written; empty when placeholders make it (then
 * letter_copy.from_domain has it).  They live as long as the letter. */
struct slice letter_from(const struct letter *letter);
struct slice letter_from_domain(const struct letter *letter);

/* The placeholder names, each once, without to, id and campaign. */
size_t letter_name_count(const struct letter *letter);
struct slice letter_name(const struct letter *letter, size_t i);
bool letter_name_is_required(const struct letter *letter, size_t i); /* used without a default */

/* Bytes of memory that the compiled letter holds, for whoever bounds a cache of them. */
size_t letter_memory(const struct letter *letter);

/* ---- one recipient ---- */

struct letter_value {
    struct slice name;
    struct slice value; /* UTF-8; what is not becomes U+FFFD */
};

struct letter_values {
    struct slice to;        /* the recipient's address, {{to}} */
    struct slice id;        /* {{id}}; also the left side of a Message-ID made by us */
    struct slice campaign;  /* {{campaign}}; may be empty */
    struct slice id_domain; /* right side of the Message-ID; empty takes the domain of From */
    int64_t date_us;        /* wall time for a Date made by us: when the job was first seen */
    const struct letter_value *own; /* of this recipient: looked at first */
    size_t own_count;
    const struct letter_value *item; /* of the whole job */
    size_t item_count;
};

/* One of the two forms.  The header block is iov[0..head_count), head_len bytes, and ends with
 * the empty line; the rest is the body. */
struct letter_form {
    struct iovec *iov;
    size_t count;
    size_t len; /* all bytes */
    size_t head_count;
    size_t head_len;
};

/* A finished letter.  Embedded in its owner: init once, render any number of times (the
 * buffers are kept), fini once.  Holds a reference to its letter from letter_render() until
 * the next render, reset or fini; the iovecs live as long, and not longer than the values
 * of letter_copy_prepend(). */
struct letter_copy {
    struct letter *letter;
    struct letter_form raw;    /* for BDAT; len is what SIZE= says */
    struct letter_form dotted; /* for DATA: dot-stuffed, ends with CRLF "." CRLF */
    struct slice from_domain;  /* domain of the From address of this copy */
    struct buf own;            /* private from here on: bytes made for this recipient */
    struct buf scratch;
    struct buf clean;
    struct buf pieces;
    struct buf iovs;
    size_t prepend_left;
    int64_t date_second;
    size_t date_len;
    char date[40];
};

void letter_copy_init(struct letter_copy *copy);
void letter_copy_fini(struct letter_copy *copy);
void letter_copy_reset(struct letter_copy *copy); /* gives up the letter, keeps the buffers */

/* Finishes the letter for one recipient.  0; or ERR_INVALID (a value does not fit where it
 * stands: an address with a space, a word of 2000 bytes in a header field; or a strict letter
 * misses a value), ERR_LIMIT (more than LETTER_OWN_MAX), with a sentence appended to *error
 * (may be NULL).  After an error the copy is reset.  The values may go away afterwards. */
int letter_render(struct letter *letter, const struct letter_values *values,
                  struct letter_copy *copy, struct buf *error);

/* Puts header fields of the engine's own (a signature, a trace field) in front of both forms:
 * complete lines with CRLF, not beginning with a dot, kept by the caller as long as the copy.
 * At most LETTER_PREPEND_MAX times for one rendering; what comes later stands first. */
void letter_copy_prepend(struct letter_copy *copy, struct slice fields);

#endif
