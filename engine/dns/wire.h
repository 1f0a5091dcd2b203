/*
 * wire.h - a cursor over a DNS message; packet.c's own.
 *
 * Every reader returns false when the message ends too early, and leaves it at that.
 */
#ifndef VOLLEY_DNS_WIRE_H
#define VOLLEY_DNS_WIRE_H

#include "engine/base/slice.h"

struct wire {
    size_t end; /* reading stops here: the packet's end, or the end of a record's data */
    size_t at;
    const uint8_t *packet;
};

/* Presentation form, lower case, without final dot.  Bytes that no host name has are written
 * as \DDD (RFC 1035 5.1), so a dot inside a label cannot pass for a separator: 255 bytes on
 * the wire are at most 1020 here. */
enum { WIRE_NAME_MAX = 1020 };

struct wire_name {
    size_t len;
    char text[WIRE_NAME_MAX];
};

struct wire_record {
    struct wire_name owner;
    uint16_t type;
    uint16_t class;
    uint32_t ttl_s;
    size_t data_at;
    size_t data_end;
};

bool wire_skip(struct wire *w, size_t len);
bool wire_u16(struct wire *w, uint16_t *out);
bool wire_u32(struct wire *w, uint32_t *out);
bool wire_name(struct wire *w, struct wire_name *out);     /* follows compression */
bool wire_record(struct wire *w, struct wire_record *out); /* and stands behind its data */

static inline struct slice wire_name_slice(const struct wire_name *n)
{
    return slice_of(n->text, n->len);
}

#endif
