/* modules: tls base */
/*
 * fuzz_tls_feed.c - any bytes where a TLS peer's should be, in pieces.
 *
 * The first byte says how long a piece is, and (its top bit) whether we are the server.
 */
#include "engine/base/panic.h"
#include "engine/tls/tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tls_context *client, *server;

static void contexts_make(void)
{
    if (client == NULL) {
        client = tls_context_new_client(&(struct tls_client_options){.trust = NULL});
        server = tls_context_new_server_selfsigned(SLICE("mx.example"));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tls_stream_options options = {.host = SLICE("mx.example")};
    struct buf out = BUF_EMPTY, plain = BUF_EMPTY;
    struct slice rest = slice_of((const char *)data, size);
    bool as_server = size > 0 && (data[0] & 0x80) != 0;
    size_t piece = size > 0 ? (size_t)(data[0] & 0x7f) + 1 : 1;
    struct tls_stream *t;
    int err = 0;

    contexts_make();
    t = tls_stream_new(as_server ? server : client, &options);
    if (!as_server) {
        ASSERT(tls_stream_start(t, &out) == 0 && out.len > 0);
    }
    rest = slice_from(rest, 1);
    while (err == 0 && rest.len > 0) {
        size_t len = rest.len < piece ? rest.len : piece;

        err = tls_stream_feed(t, slice_of(rest.ptr, len), &plain, &out);
        rest = slice_from(rest, len);
    }
    ASSERT((err != 0) == (tls_stream_state(t) == TLS_FAILED));
    ASSERT((err != 0) == (tls_stream_error(t)[0] != '\0'));
    ASSERT(plain.len == 0); /* nobody can get that far without a key */
    tls_stream_end(t);
    tls_stream_close(t, &out);
    tls_stream_free(t);
    buf_fini(&out);
    buf_fini(&plain);
    return 0;
}
