/*
 * address.c - socket addresses as people write them.
 */
#include "bench/address.h"
#include "engine/base/err.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

static int bad(struct buf *error, struct slice text)
{
    buf_printf(error,
               "'" SLICE_FMT "' is no address; write 127.0.0.1:2525, [::1]:2525 or unix:PATH",
               SLICE_ARG(text));
    return ERR_INVALID;
}

static int parse_unix(struct slice path, struct address *out, struct buf *error)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&out->to;

    if (path.len == 0 || path.len >= sizeof(un->sun_path)) {
        buf_printf(error, "a socket's path has 1 to %zu bytes", sizeof(un->sun_path) - 1);
        return ERR_INVALID;
    }
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path.ptr, path.len);
    out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + 1);
    return 0;
}

static int parse_inet(struct slice host, uint16_t port, struct address *out)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&out->to;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&out->to;
    char text[INET6_ADDRSTRLEN] = "";

    if (slice_eq(host, SLICE("localhost"))) {
        host = SLICE("127.0.0.1");
    } else if (slice_eq(host, SLICE("*")) || host.len == 0) {
        host = SLICE("0.0.0.0");
    }
    if (host.len >= sizeof(text)) {
        return ERR_INVALID;
    }
    memcpy(text, host.ptr, host.len);
    if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        out->len = sizeof(*in);
        return 0;
    }
    if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        out->len = sizeof(*in6);
        return 0;
    }
    return ERR_INVALID;
}

int address_parse(struct slice text, struct address *out, struct buf *error)
{
    const char *colon = text.len > 0 ? memrchr(text.ptr, ':', text.len) : NULL;
    uint64_t port;

    memset(out, 0, sizeof(*out));
    if (slice_starts(text, SLICE("unix:"))) {
        return parse_unix(slice_from(text, 5), out, error);
    }
    if (slice_starts(text, SLICE("/"))) {
        return parse_unix(text, out, error);
    }
    if (colon == NULL) {
        return bad(error, text);
    }
    struct slice host = slice_of(text.ptr, (size_t)(colon - text.ptr));
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']') {
        host = slice_of(host.ptr + 1, host.len - 2);
    } else if (slice_find(host, ':') < host.len) {
        return bad(error, text); /* IPv6 without brackets: where does the port begin? */
    }
    if (slice_u64(slice_from(text, (size_t)(colon - text.ptr) + 1), &port) != 0 || port > 65535 ||
        parse_inet(host, (uint16_t)port, out) != 0) {
        return bad(error, text);
    }
    return 0;
}

void address_put(struct buf *out, const struct sockaddr *addr, socklen_t len)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)addr;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)addr;
    const struct sockaddr_un *un = (const struct sockaddr_un *)addr;
    char text[INET6_ADDRSTRLEN];

    switch (addr->sa_family) {
    case AF_INET:
        buf_printf(out, "%s:%u", inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text)),
                   ntohs(in->sin_port));
        break;
    case AF_INET6:
        buf_printf(out, "[%s]:%u", inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text)),
                   ntohs(in6->sin6_port));
        break;
    case AF_UNIX:
        len -= (socklen_t)offsetof(struct sockaddr_un, sun_path);
        BUF_LIT(out, "unix:");
        buf_puts(out, slice_of(un->sun_path, strnlen(un->sun_path, len)));
        break;
    default:
        BUF_LIT(out, "?");
        break;
    }
}
