/*
 * servers.c - the list of name servers.
 */
#include "engine/dns/servers.h"

#include "engine/base/err.h"
#include "engine/dns/mx.h"

#include <string.h>

/* Takes ":port" off the end of *text where it stands; "[...]" around an address too. */
static int port_take(struct slice *text, uint16_t *port)
{
    size_t end = slice_find(*text, ']'), colon = slice_find(*text, ':');
    struct slice digits = SLICE_NONE;
    uint64_t number = DNS_PORT;

    if (text->len > 0 && text->ptr[0] == '[') {
        if (end == text->len) {
            return ERR_INVALID;
        }
        digits = slice_from(*text, end + 1);
        *text = slice_of(text->ptr + 1, end - 1);
        if (digits.len > 0 && digits.ptr[0] != ':') {
            return ERR_INVALID;
        }
    } else if (colon < text->len &&
               slice_find(slice_from(*text, colon + 1), ':') == text->len - colon - 1) {
        digits = slice_from(*text, colon); /* one colon: not a bare IPv6 address */
        text->len = colon;
    }
    if (digits.len > 0 &&
        (slice_u64(slice_from(digits, 1), &number) < 0 || number == 0 || number > UINT16_MAX)) {
        return ERR_INVALID;
    }
    *port = (uint16_t)number;
    return 0;
}

int dns_servers_parse(struct slice text, struct dns_server out[DNS_SERVERS_MAX], struct buf *error)
{
    struct slice rest = text, entry;
    int count = 0;

    while (slice_next(&rest, ',', &entry)) {
        struct slice address_text = slice_trim(entry);
        struct mx_address address;
        uint16_t port;

        if (port_take(&address_text, &port) < 0 || mx_address_parse(address_text, &address) < 0) {
            buf_printf(error,
                       "name server '" SLICE_FMT "': write addresses with commas between, as in "
                       "127.0.0.1, 192.0.2.53:5353, [::1]:53",
                       SLICE_ARG(slice_trim(entry)));
            return ERR_INVALID;
        }
        if (count == DNS_SERVERS_MAX) {
            buf_printf(error, "name servers: at most %d can be used", DNS_SERVERS_MAX);
            return ERR_INVALID;
        }
        out[count].bytes_count = address.bytes_count;
        memcpy(out[count].bytes, address.bytes, sizeof(address.bytes));
        out[count].port = port;
        count++;
    }
    return count;
}

bool dns_server_is_local(const struct dns_server *server)
{
    static const uint8_t v6[16] = {[15] = 1};

    return server->bytes_count == 4 ? server->bytes[0] == 127
                                    : memcmp(server->bytes, v6, sizeof(v6)) == 0;
}
