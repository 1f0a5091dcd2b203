/*
 * tls.h - TLS without I/O, over BoringSSL.
 *
 * Bytes from the peer go in, bytes for the peer and plaintext come out, both appended to
 * bufs of the caller; no descriptor, no copy kept.  An idle open stream holds no buffers.
 *
 *     client: tls_stream_new -> tls_stream_start -> { tls_stream_feed }* until TLS_OPEN
 *     server: tls_stream_new -> { tls_stream_feed }* until TLS_OPEN
 *     then  { tls_stream_feed | tls_stream_write }* , tls_stream_close, tls_stream_free
 *
 * What a call appended to `out` is to be sent even when the call failed: it is the alert
 * that tells the peer why.  After STARTTLS the caller drops whatever plaintext he had
 * buffered before the first feed (CVE-2011-0411).
 *
 * A context, its streams and its session store belong to one thread; a struct tls_trust is
 * shared by all.  Times are wall-clock only inside the library (certificate validity).
 */
#ifndef VOLLEY_TLS_TLS_H
#define VOLLEY_TLS_TLS_H

#include "engine/base/buf.h"

#include <sys/uio.h>

#define TLS_CA_FILE_DEFAULT "/etc/ssl/certs/ca-certificates.crt"

/* ---- trust anchors: loaded once a process, for contexts that verify ---- */

struct tls_trust;

/* The certificates of a PEM file (NULL: TLS_CA_FILE_DEFAULT).  NULL with a text in *error
 * (a buf of the caller) when it cannot be read or holds none. */
struct tls_trust *tls_trust_load(const char *pem_file, struct buf *error);
struct tls_trust *tls_trust_parse(struct slice pem, struct buf *error);
struct tls_trust *tls_trust_ref(struct tls_trust *trust);
void tls_trust_unref(struct tls_trust *trust); /* NULL is fine */

/* ---- sessions for resumption: one store a thread, shared by its contexts ---- */

struct tls_sessions;

/* At most `keys_max` keys (0 takes 4096), the least recently used goes first; each keeps up
 * to TLS_TICKETS_MAX sessions.  TLS 1.3 tickets are used once, TLS 1.2 sessions until they
 * expire.  Must outlive the streams that use it. */
enum { TLS_TICKETS_MAX = 3 };
struct tls_sessions *tls_sessions_new(size_t keys_max);
void tls_sessions_free(struct tls_sessions *store);
size_t tls_sessions_count(const struct tls_sessions *store); /* sessions held */

/* ---- contexts: one a policy ---- */

struct tls_context;

struct tls_client_options {
    struct tls_trust *trust;       /* set: PKIX chain and host name are verified (level verify);
                                      NULL: any certificate is accepted (levels may and encrypt) */
    struct tls_sessions *sessions; /* borrowed; NULL: no resumption */
    bool allow_tls10;              /* TLS 1.0 and 1.1 too; else 1.2 is the least */
};

struct tls_context *tls_context_new_client(const struct tls_client_options *options);

/* A client's own certificate, for servers that ask for one: PEM chain and key.  0, or
 * ERR_INVALID with a text in *error. */
int tls_context_set_certificate(struct tls_context *ctx, struct slice chain_pem,
                                struct slice key_pem, struct buf *error);

/* A server (the sink, tests) with a PEM chain and key.  NULL with a text in *error. */
struct tls_context *tls_context_new_server(struct slice chain_pem, struct slice key_pem,
                                           struct buf *error);

/* The same with a fresh self-signed P-256 certificate for `host`. */
struct tls_context *tls_context_new_server_selfsigned(struct slice host);

/* For tests and odd peers: versions as in 0x0303 (1.2), 0x0304 (1.3); 0 leaves one as it is. */
void tls_context_set_versions(struct tls_context *ctx, unsigned min, unsigned max);

void tls_context_free(struct tls_context *ctx); /* after the last stream; NULL is fine */

/* ---- streams ---- */

struct tls_stream;

enum tls_state {
    TLS_HANDSHAKE,
    TLS_OPEN,
    TLS_PEER_CLOSED, /* close_notify came; nothing more will be read, writing still works */
    TLS_FAILED       /* see tls_stream_error(); only free it */
};

/* Why it failed, in the classes that policy and reports need (RFC 8460 4.3). */
enum tls_cause {
    TLS_CAUSE_NONE,
    TLS_CAUSE_PROTOCOL,       /* not TLS, no common version or cipher, a bad record */
    TLS_CAUSE_ALERT,          /* the peer sent a fatal alert */
    TLS_CAUSE_TRUNCATED,      /* the connection ended without close_notify */
    TLS_CAUSE_CERT_EXPIRED,   /* or not yet valid */
    TLS_CAUSE_CERT_HOST,      /* certificate is for other names */
    TLS_CAUSE_CERT_UNTRUSTED, /* self-signed, or its CA is unknown */
    TLS_CAUSE_CERT_OTHER
};

struct tls_stream_options {
    /* Client: the peer's host name (A-labels) for SNI and the reference id, or the text of
     * an IP address (no SNI then).  May be empty when the context does not verify. */
    struct slice host;
    /* Client: sessions are kept and looked up under this key; it names everything that may
     * not be mixed (site, host, port, source, policy).  Host and context are added by us.
     * Empty: no resumption. */
    struct slice session_key;
    /* Client: offer X25519, P-256, P-384 only: a small ClientHello for peers and boxes that
     * drop a large one.  For the retry after a handshake that timed out or was reset. */
    bool reduced_groups;
};

struct tls_stream *tls_stream_new(struct tls_context *ctx,
                                  const struct tls_stream_options *options);
void tls_stream_free(struct tls_stream *t); /* NULL is fine */

/* Client: appends the ClientHello to *out.  0 or ERR_TLS. */
int tls_stream_start(struct tls_stream *t, struct buf *out);

/* Takes in all of `data`: goes on with the handshake, appends plaintext to *plain and what
 * must be sent to *out.  0, or ERR_TLS (plaintext decrypted before the fault stands in
 * *plain).  Look at tls_stream_state() afterwards.  *plain grows by at most one record (16 KB)
 * more than `data` has. */
int tls_stream_feed(struct tls_stream *t, struct slice data, struct buf *plain, struct buf *out);

/* Encrypts iov[0..count) and appends it to *out, in records as large as possible.  The state
 * must be TLS_OPEN or TLS_PEER_CLOSED (asserted).  0 or ERR_TLS. */
int tls_stream_write(struct tls_stream *t, const struct iovec *iov, size_t count, struct buf *out);

/* Appends close_notify, once; harmless in any state. */
void tls_stream_close(struct tls_stream *t, struct buf *out);

/* The connection ended (FIN or reset).  0 when close_notify had come, else ERR_TLS: state
 * TLS_FAILED, cause TLS_CAUSE_TRUNCATED. */
int tls_stream_end(struct tls_stream *t);

enum tls_state tls_stream_state(const struct tls_stream *t);
enum tls_cause tls_stream_cause(const struct tls_stream *t);

/* One line for people, such as "certificate has expired (2024-03-01)"; "" unless failed.
 * Lives as long as the stream; printable, though parts of it come from the peer. */
const char *tls_stream_error(const struct tls_stream *t);

/* For events; the strings are static.  Valid from TLS_OPEN on. */
struct tls_info {
    const char *version; /* "TLSv1.3" */
    const char *cipher;  /* "TLS_AES_128_GCM_SHA256" */
    const char *group;   /* "X25519", or "" */
    bool verified;       /* chain and name were verified, now or when the session was made */
    bool resumed;
};

void tls_stream_info(const struct tls_stream *t, struct tls_info *info);

#endif
