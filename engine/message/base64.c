/*
 * base64.c - base64 (RFC 2045 6.8) in lines of at most 76 characters.
 */
#include "engine/message/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void encode_group(char out[4], const unsigned char in[3])
{
    out[0] = alphabet[in[0] >> 2];
    out[1] = alphabet[(in[0] & 3) << 4 | in[1] >> 4];
    out[2] = alphabet[(in[1] & 15) << 2 | in[2] >> 6];
    out[3] = alphabet[in[2] & 63];
}

void b64_break(struct b64_flow *flow)
{
    if (flow->column > 0) {
        BUF_LIT(flow->out, "\r\n");
        flow->column = 0;
    }
}

static void put_group(struct b64_flow *flow, const unsigned char in[3])
{
    if (flow->column + 4 > B64_COLUMN_MAX) {
        b64_break(flow);
    }
    buf_reserve(flow->out, 4);
    encode_group(flow->out->ptr + flow->out->len, in);
    flow->out->len += 4;
    flow->column += 4;
}

void b64_put(struct b64_flow *flow, struct slice bytes)
{
    if (bytes.len == 0) {
        return;
    }
    const unsigned char *in = (const unsigned char *)bytes.ptr;
    const unsigned char *end = in + bytes.len;

    while (flow->carry_len > 0 && in < end) {
        flow->carry[flow->carry_len++] = *in++;
        if (flow->carry_len == 3) {
            put_group(flow, flow->carry);
            flow->carry_len = 0;
        }
    }
    for (; end - in >= 3; in += 3) {
        put_group(flow, in);
    }
    while (in < end) {
        flow->carry[flow->carry_len++] = *in++;
    }
}

void b64_finish(struct b64_flow *flow)
{
    if (flow->carry_len == 0) {
        return;
    }
    size_t missing = 3 - flow->carry_len;

    for (size_t i = flow->carry_len; i < 3; i++) {
        flow->carry[i] = 0;
    }
    put_group(flow, flow->carry);
    for (size_t i = 1; i <= missing; i++) {
        flow->out->ptr[flow->out->len - i] = '=';
    }
    flow->carry_len = 0;
}

void b64_put_line(struct buf *out, struct slice bytes)
{
    const unsigned char *in = (const unsigned char *)bytes.ptr;

    buf_reserve(out, (bytes.len + 2) / 3 * 4);
    for (size_t left = bytes.len; left > 0; left -= left < 3 ? left : 3, in += 3) {
        unsigned char group[3] = {in[0], left > 1 ? in[1] : 0, left > 2 ? in[2] : 0};
        encode_group(out->ptr + out->len, group);
        for (size_t pad = left < 3 ? 3 - left : 0; pad > 0; pad--) {
            out->ptr[out->len + 4 - pad] = '=';
        }
        out->len += 4;
    }
}

static int digit_value(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

void b64_decode(struct buf *out, struct slice text)
{
    uint32_t bits = 0;
    unsigned have = 0;

    buf_reserve(out, text.len / 4 * 3 + 3);
    for (size_t i = 0; i < text.len; i++) {
        int digit = digit_value(text.ptr[i]);
        if (text.ptr[i] == '=') { /* padding ends a run; another may follow */
            bits = 0;
            have = 0;
        }
        if (digit < 0) {
            continue;
        }
        bits = (bits << 6 | (uint32_t)digit) & 0xffffff;
        have += 6;
        if (have >= 8) {
            have -= 8;
            buf_putc(out, (char)(bits >> have & 0xff));
        }
    }
}
