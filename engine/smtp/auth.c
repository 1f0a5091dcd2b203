/*
 * auth.c - the words of AUTH PLAIN (RFC 4616) and AUTH LOGIN.
 */
#include "engine/smtp/auth.h"

#include <string.h>

void smtp_auth_put(struct buf *out, struct slice bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t at = 0; at < bytes.len; at += 3) {
        unsigned char in[3] = {0};
        size_t len = bytes.len - at < 3 ? bytes.len - at : 3;

        memcpy(in, bytes.ptr + at, len);
        buf_putc(out, digits[in[0] >> 2]);
        buf_putc(out, digits[(in[0] & 3) << 4 | in[1] >> 4]);
        buf_putc(out, len > 1 ? digits[(in[1] & 15) << 2 | in[2] >> 6] : '=');
        buf_putc(out, len > 2 ? digits[in[2] & 63] : '=');
    }
}

void smtp_auth_put_plain(struct buf *out, struct slice user, struct slice password)
{
    struct buf plain = BUF_EMPTY;

    buf_reserve(&plain, user.len + password.len + 2);
    buf_putc(&plain, '\0');
    buf_puts(&plain, user);
    buf_putc(&plain, '\0');
    buf_puts(&plain, password);
    smtp_auth_put(out, buf_slice(&plain));
    explicit_bzero(plain.ptr, plain.cap);
    buf_fini(&plain);
}
