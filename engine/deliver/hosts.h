/*
 * hosts.h - the addresses behind a site, and which one to call next.  Pure.
 *
 * The lowest preference that still has a healthy address is used; among its addresses the
 * one with the fewest connections, so that load spreads and one slow machine does not
 * collect it all.  An address that fails rests alone, with a growing pause: one bad MX of
 * many does not stop the site (smtp-client.md, feedback per host, window per site).
 *
 * Of IPv4 and IPv6 a path may want one alone or first; an address that lost a race against the
 * other family (RFC 8305) comes after it for a while.
 */
#ifndef VOLLEY_DELIVER_HOSTS_H
#define VOLLEY_DELIVER_HOSTS_H

#include "engine/base/slice.h"
#include "conf/conf.h"
#include "throttle/slots.h"

#include <stdbool.h>
#include <sys/socket.h>

enum { HOSTS_MAX = 64, HOST_IP_MAX = 64 };

struct host {
    char *name; /* MX name: SNI, reference identity, events; owned by the set */
    struct sockaddr_storage address;
    socklen_t address_len;
    char ip[HOST_IP_MAX]; /* the address as text */
    uint32_t preference;
    /* Health, kept when the set is renewed. */
    uint32_t failures; /* in a row */
    struct slots connections;
    int64_t down_until_us;
    int64_t slow_until_us;    /* did not connect in time when the other family did */
    int64_t tls_off_until_us; /* STARTTLS failed here: at level `may` not tried until then */
    int64_t no_bdat_until_us; /* offers CHUNKING and does not understand it */
    int64_t helo_until_us;    /* closes the connection on EHLO: HELO it is */
    bool tls_reduced;         /* failed with the full ClientHello: offer the short one */
    bool gone;                /* not in the set any more, but connections to it are still open */
};

struct hosts {
    struct host *host;
    size_t count;
    uint32_t turn; /* breaks ties */
};

void hosts_init(struct hosts *set);
void hosts_fini(struct hosts *set);

/* Adds an address; what is over HOSTS_MAX, or there already, is left out. */
void hosts_add(struct hosts *set, struct slice name, const struct sockaddr *address,
               socklen_t address_len, uint32_t preference);

/* Takes over the hosts of `fresh`, which is empty afterwards; health is carried over where
 * name and address are the same.  One that `fresh` does not name stays, never to be called,
 * until it has no connections: they count again when it comes back.  No pointer to a host survives
 * this: whoever needs one later keeps name and address and asks hosts_find(). */
void hosts_renew(struct hosts *set, struct hosts *fresh);

/* Sets the limit of connections to each address; 0 is none. */
void hosts_limit(struct hosts *set, uint32_t per_host_max);

/* The host with this name and address, or NULL when it is no longer there. */
struct host *hosts_find(struct hosts *set, struct slice name, const struct sockaddr *address,
                        socklen_t address_len);

/* Which hosts a path would like to call. */
struct hosts_want {
    int only;   /* AF_INET, AF_INET6: no others unless there are none of it; AF_UNSPEC: any */
    int prefer; /* of equally preferred ones these first; AF_UNSPEC: in turn */
};

/* Which host to call now, or NULL with the time when one is up again in *up_us (INT64_MAX when
 * each healthy one has all the connections it may have). */
struct host *hosts_pick(struct hosts *set, const struct hosts_want *want, int64_t now_us,
                        int64_t *up_us);

/* The host to call besides `first`, which does not answer: one of the other family and the same
 * preference, its other address if it can be; NULL when there is none. */
struct host *hosts_rival(struct hosts *set, const struct hosts_want *want, const struct host *first,
                         int64_t now_us);

/* Another host than this one, for a second opinion: of the preferred ones, one with another
 * name rather than another address of the same machine; never its other family.  NULL when
 * there is no healthy one.  Connections to it may be at their limit. */
struct host *hosts_other(struct hosts *set, const struct hosts_want *want, struct slice name,
                         const struct sockaddr *address, socklen_t address_len, int64_t now_us);

/* The socket address of an endpoint whose host is an address (asserted); returns its length. */
socklen_t host_endpoint(const struct conf_endpoint *e, struct sockaddr_storage *out);

/* A call failed before MAIL was answered; the host rests.  Returns for how long. */
int64_t host_failed(struct host *h, int64_t now_us);
void host_works(struct host *h);

/* True when every host rests that is wanted (NULL: any); *up_us is when the first one is up. */
bool hosts_all_down(const struct hosts *set, const struct hosts_want *want, int64_t now_us,
                    int64_t *up_us);

#endif
