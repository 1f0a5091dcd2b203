/*
 * fault.c - why TLS failed, in words.
 *
 * BoringSSL names its reasons in capitals for programmers.  What operators meet often gets
 * a sentence here; the rest is printed in lower case as it is.
 */
#include "engine/tls/private.h"

#include "engine/base/err.h"
#include "engine/base/mem.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

static const struct {
    int reason;
    const char *text;
} known_reasons[] = {
    {SSL_R_WRONG_VERSION_NUMBER, "the peer does not speak TLS (its bytes are no TLS record)"},
    {SSL_R_HTTP_REQUEST, "the peer does not speak TLS (it speaks HTTP)"},
    {SSL_R_HTTPS_PROXY_REQUEST, "the peer does not speak TLS (it is a proxy)"},
    {SSL_R_UNSUPPORTED_PROTOCOL, "no TLS version in common with the peer"},
    {SSL_R_NO_SHARED_CIPHER, "no cipher in common with the peer"},
    {SSL_R_NO_SHARED_GROUP, "no key exchange group in common with the peer"},
    {SSL_R_WRONG_CURVE, "the peer chose a key exchange group that was not offered"},
    {SSL_R_BAD_DH_P_LENGTH, "the peer's key exchange parameters are too weak"},
    {SSL_R_NO_RENEGOTIATION, "the peer asked to renegotiate, which is refused"},
    {SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC,
     "a record from the peer was damaged on the way (bad record MAC)"},
    {SSL_R_ENCRYPTED_LENGTH_TOO_LONG, "a record from the peer is longer than TLS allows"},
    {SSL_R_EXCESSIVE_MESSAGE_SIZE, "a handshake message from the peer is too large"},
    {SSL_R_UNEXPECTED_MESSAGE, "the peer sent a handshake message out of order"},
    {SSL_R_UNEXPECTED_RECORD, "the peer sent a record of the wrong kind"},
    {SSL_R_APPLICATION_DATA_INSTEAD_OF_HANDSHAKE, "the peer sent a record of the wrong kind"},
    {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION,
     "the peer sent an alert: it supports none of our TLS versions"},
    {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE,
     "the peer sent an alert: handshake failure (as a rule no cipher in common)"},
};

static void text_from_reason(int reason, char *out, size_t out_size)
{
    for (size_t i = 0; i < sizeof(known_reasons) / sizeof(known_reasons[0]); i++) {
        if (known_reasons[i].reason == reason) {
            snprintf(out, out_size, "%s", known_reasons[i].text);
            return;
        }
    }
    if (reason > SSL_AD_REASON_OFFSET && reason <= SSL_AD_REASON_OFFSET + 255) {
        snprintf(out, out_size, "the peer sent an alert: %s",
                 SSL_alert_desc_string_long(reason - SSL_AD_REASON_OFFSET));
    }
}

/* Empties the queue.  The oldest entry is nearest to the cause, but where the SSL layer has
 * an opinion ("bad record MAC") it beats that of a cipher ("bad decrypt"). */
static uint32_t error_pick(void)
{
    uint32_t packed, picked = 0;

    while ((packed = ERR_get_error()) != 0) {
        if (picked == 0 ||
            (ERR_GET_LIB(packed) == ERR_LIB_SSL && ERR_GET_LIB(picked) != ERR_LIB_SSL)) {
            picked = packed;
        }
    }
    return picked;
}

static void text_from_error(uint32_t packed, char *out, size_t out_size)
{
    const char *reason = packed != 0 ? ERR_reason_error_string(packed) : NULL;

    out[0] = '\0';
    if (packed != 0 && ERR_GET_LIB(packed) == ERR_LIB_SSL) {
        text_from_reason(ERR_GET_REASON(packed), out, out_size);
    }
    if (packed == 0 || out[0] != '\0') {
        return;
    }
    snprintf(out, out_size, "%s", reason != NULL ? reason : "unknown error");
    for (char *c = out; *c != '\0'; c++) {
        *c = *c == '_' ? ' ' : (char)tolower((unsigned char)*c);
    }
}

void tls_error_text(char *out, size_t out_size)
{
    text_from_error(error_pick(), out, out_size);
}

int tls_fail(struct tls_stream *t, enum tls_cause cause, const char *fmt, ...)
{
    char text[TLS_ERROR_MAX];
    va_list args;

    if (t->state == TLS_FAILED) {
        return ERR_TLS;
    }
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    for (char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e) {
            *c = '?';
        }
    }
    t->state = TLS_FAILED;
    t->cause = cause;
    t->error = mem_dup(text, slice_cstr(text).len);
    return ERR_TLS;
}

int tls_fail_ssl(struct tls_stream *t)
{
    uint32_t packed = error_pick();
    bool alert =
        ERR_GET_LIB(packed) == ERR_LIB_SSL && ERR_GET_REASON(packed) > SSL_AD_REASON_OFFSET;
    char text[TLS_ERROR_MAX];

    text_from_error(packed, text, sizeof(text));
    return tls_fail(t, alert ? TLS_CAUSE_ALERT : TLS_CAUSE_PROTOCOL, "%s",
                    text[0] != '\0' ? text : "TLS failed without a reason");
}
