/*
 * servers.h - the list of name servers, as people write it.
 */
#ifndef VOLLEY_DNS_SERVERS_H
#define VOLLEY_DNS_SERVERS_H

#include "engine/base/buf.h"

enum { DNS_SERVERS_MAX = 8, DNS_PORT = 53 };

struct dns_server {
    uint8_t bytes_count; /* 4 or 16 */
    uint8_t bytes[16];
    uint16_t port;
};

/* "127.0.0.1, 192.0.2.53:5353, [::1]:53, 2001:db8::1".  How many, or ERR_INVALID with a text
 * appended to *error that names the entry and shows how to write it. */
int dns_servers_parse(struct slice text, struct dns_server out[DNS_SERVERS_MAX], struct buf *error);

/* 127/8 or ::1. */
bool dns_server_is_local(const struct dns_server *server);

#endif
