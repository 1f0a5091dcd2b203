/*
 * wire.c - a cursor over a DNS message.
 */
#include "engine/dns/wire.h"

#include <stdio.h>
#include <string.h>

enum { NAME_WIRE_MAX = 255 };

bool wire_skip(struct wire *w, size_t len)
{
    if (w->end - w->at < len) {
        return false;
    }
    w->at += len;
    return true;
}

bool wire_u16(struct wire *w, uint16_t *out)
{
    const uint8_t *p = w->packet + w->at;

    if (!wire_skip(w, 2)) {
        return false;
    }
    *out = (uint16_t)(p[0] << 8 | p[1]);
    return true;
}

bool wire_u32(struct wire *w, uint32_t *out)
{
    uint16_t high, low;

    if (!wire_u16(w, &high) || !wire_u16(w, &low)) {
        return false;
    }
    *out = (uint32_t)high << 16 | low;
    return true;
}

/* One label in presentation form behind what is in *out. */
static void label_put(struct wire_name *out, const uint8_t *label, size_t len)
{
    if (out->len > 0) {
        out->text[out->len++] = '.';
    }
    for (size_t i = 0; i < len; i++) {
        uint8_t c = label[i];

        if (c >= 'A' && c <= 'Z') {
            c = (uint8_t)(c + ('a' - 'A'));
        }
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_') {
            out->text[out->len++] = (char)c;
        } else {
            char escaped[5];

            snprintf(escaped, sizeof(escaped), "\\%03u", c);
            memcpy(out->text + out->len, escaped, 4);
            out->len += 4;
        }
    }
}

/* Follows pointers backwards only: each must lead to before the place where the name, or the
 * part of it that was reached by the pointer before, began.  So a circle is impossible. */
bool wire_name(struct wire *w, struct wire_name *out)
{
    size_t at = w->at, end = w->end, limit = w->at, wire_len = 1;
    bool jumped = false;

    out->len = 0;
    for (;;) {
        uint8_t len;

        if (at >= end) {
            return false;
        }
        len = w->packet[at++];
        if (len == 0) {
            break;
        }
        if ((len & 0xc0) == 0xc0) {
            size_t target;

            if (at >= end) {
                return false;
            }
            target = (size_t)(len & 0x3f) << 8 | w->packet[at++];
            if (!jumped) {
                w->at = at;
                jumped = true;
            }
            if (target >= limit) {
                return false;
            }
            at = target;
            end = limit;
            limit = target;
            continue;
        }
        wire_len += (size_t)len + 1;
        if (len > 63 || end - at < len || wire_len > NAME_WIRE_MAX) {
            return false;
        }
        label_put(out, w->packet + at, len);
        at += len;
    }
    if (!jumped) {
        w->at = at;
    }
    return true;
}

bool wire_record(struct wire *w, struct wire_record *out)
{
    uint16_t len;

    if (!wire_name(w, &out->owner) || !wire_u16(w, &out->type) || !wire_u16(w, &out->class) ||
        !wire_u32(w, &out->ttl_s) || !wire_u16(w, &len)) {
        return false;
    }
    out->data_at = w->at;
    if (!wire_skip(w, len)) {
        return false;
    }
    out->data_end = w->at;
    return true;
}
