/*
 * wire.h - a connection that may turn to TLS.
 *
 * Joins engine/io and engine/tls: above it are plaintext bytes, whether or not they travel
 * encrypted.  Life is that of an io_stream (io.h): wire_open, on_open, then reads and
 * writes, on_end, wire_close, on_close.  After wire_close() only on_close comes.
 *
 * At most one wire_write() at a time; its iovecs and their bytes are borrowed until
 * on_written.  A wire that is idle holds no buffers.
 */
#ifndef VOLLEY_DELIVER_WIRE_H
#define VOLLEY_DELIVER_WIRE_H

#include "engine/base/buf.h"
#include "engine/io/io.h"
#include "engine/tls/tls.h"

struct wire;

struct wire_ops {
    void (*on_open)(struct wire *w, int err);
    void (*on_plain)(struct wire *w, struct slice data); /* valid during the call */
    void (*on_secure)(struct wire *w, int err); /* the handshake ended; ERR_TLS: see wire->tls */
    void (*on_written)(struct wire *w, int err);
    void (*on_end)(struct wire *w, int err); /* FIN (0), reset, or broken TLS: nothing more comes */
    void (*on_close)(struct wire *w);
};

struct wire {
    struct io_stream stream;
    const struct wire_ops *ops;
    struct tls_stream *tls; /* NULL in the clear */
    struct buf sending;     /* ciphertext in flight */
    struct buf waiting;     /* ciphertext that follows it */
    struct iovec sending_iov;
    bool securing;       /* the handshake runs */
    bool writing;        /* a wire_write() is not acknowledged yet */
    bool write_included; /* its last byte is in `sending` */
    bool ended;          /* on_end was called */
    bool closing;
};

/* Starts to connect; on_open follows.  An error means no callback will come.  `ops` and
 * the wire itself stay until on_close. */
int wire_open(struct wire *w, struct io *io, const struct wire_ops *ops, const struct sockaddr *to,
              socklen_t to_len, const struct io_connect_options *options);

/* Starts TLS as a client; on_secure follows.  A write that is under way still goes out in the
 * clear, in front of the handshake. */
void wire_secure(struct wire *w, struct tls_context *ctx, const struct tls_stream_options *options);

/* on_written follows; or, when TLS has broken, on_end from inside this call. */
void wire_write(struct wire *w, const struct iovec *iov, size_t count);
bool wire_writing(const struct wire *w);

/* Ends the connection; close_notify goes out first where TLS is up and the line is free. */
void wire_close(struct wire *w);

#endif
