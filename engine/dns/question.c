/*
 * question.c - names, types and queries.
 */
#include "engine/dns/packet.h"

#include "engine/base/err.h"

const char *dns_type_name(enum dns_type type)
{
    switch (type) {
    case DNS_A:
        return "A";
    case DNS_CNAME:
        return "CNAME";
    case DNS_SOA:
        return "SOA";
    case DNS_MX:
        return "MX";
    case DNS_TXT:
        return "TXT";
    case DNS_AAAA:
        return "AAAA";
    case DNS_TLSA:
        return "TLSA";
    }
    return "?";
}

bool dns_name_valid(struct slice name)
{
    size_t label = 0;

    if (name.len == 0 || name.len > DNS_NAME_MAX) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool usual = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '_';

        if (c == '.' ? label == 0 : !usual || label == 63) {
            return false;
        }
        label = c == '.' ? 0 : label + 1;
    }
    return label > 0;
}

static int name_put(struct buf *out, struct slice name)
{
    struct slice label;

    if (name.len > 0 && name.ptr[name.len - 1] == '.') {
        name.len--;
    }
    if (name.len > DNS_NAME_MAX) {
        return ERR_INVALID;
    }
    while (name.len > 0 && slice_next(&name, '.', &label)) {
        if (label.len == 0 || label.len > 63) {
            return ERR_INVALID;
        }
        buf_putc(out, (char)label.len);
        buf_puts(out, label);
    }
    buf_putc(out, 0);
    return 0;
}

int dns_packet_query(struct buf *out, uint16_t id, struct slice name, enum dns_type type)
{
    /* RD and AD set, one question, one additional record. */
    const uint8_t header[12] = {
        (uint8_t)(id >> 8), (uint8_t)id, 0x01, 0x20, 0, 1, 0, 0, 0, 0, 0, 1};
    const uint8_t question[4] = {(uint8_t)(type >> 8), (uint8_t)type, 0, 1};
    /* OPT: root, type 41, 1232 bytes (fits every path without fragments), no flags or options. */
    const uint8_t opt[11] = {0, 0, 41, 1232 >> 8, 1232 & 255, 0, 0, 0, 0, 0, 0};
    size_t start = out->len;

    buf_put(out, header, sizeof(header));
    if (name_put(out, name) < 0) {
        out->len = start;
        return ERR_INVALID;
    }
    buf_put(out, question, sizeof(question));
    buf_put(out, opt, sizeof(opt));
    return 0;
}
