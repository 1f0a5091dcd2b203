/*
 * transport.h - questions to servers and answers from them; resolver.c's own.
 *
 * The only file that knows c-ares is transport.c.  Its habits stop there: it calls back from
 * inside its send and from inside its read loop, and must not be cancelled or destroyed
 * from a callback.  Here an answer is put on a list, and the owner takes it from there when
 * c-ares is off the stack.
 */
#ifndef VOLLEY_DNS_TRANSPORT_H
#define VOLLEY_DNS_TRANSPORT_H

#include "engine/dns/packet.h"
#include "engine/io/io.h"

struct dns_transport;

struct dns_transport_options {
    const char *servers; /* NULL: /etc/resolv.conf */
    unsigned timeout_ms;
    unsigned tries;
    bool trust_ad;
    /* Answers can be taken; never from inside dns_transport_send(). */
    void (*on_done)(void *arg);
    void *arg;
};

/* A question on its way; the owner's until sent, and again once taken. */
struct dns_flight {
    struct list link;
    struct dns_transport *transport;
    enum dns_type type;
    uint16_t id;
    struct slice name;         /* the owner's bytes */
    struct dns_answer *answer; /* a reference of whoever takes the flight */
};

/* NULL with a text in *error. */
struct dns_transport *dns_transport_new(struct io *io, const struct dns_transport_options *options,
                                        struct buf *error);
void dns_transport_send(struct dns_transport *t, struct dns_flight *f);
size_t dns_transport_inflight(const struct dns_transport *t); /* sent and not answered */

/* The next that has its answer, or NULL. */
struct dns_flight *dns_transport_take(struct dns_transport *t);

/* Gives up on what is on its way: afterwards every flight can be taken, on_done is not
 * called.  Then the sockets go; on_closed comes in a later tick, and the memory is free. */
void dns_transport_close(struct dns_transport *t, void (*on_closed)(void *arg), void *arg);

#endif
