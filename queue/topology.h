/*
 * topology.h - who holds a partition's keys, as Sentinels, a Cluster and errors tell it.
 *
 * Pure: replies in, places and decisions out.  Every reply is hostile: what does not look as
 * documented is refused with ERR_PROTO, and no address is taken that could not be one.
 *
 * All keys of a partition carry its hash tag, so one slot (0..16383) holds them all and one
 * master serves them; a connection is made for a partition and goes where its slot is.
 */
#ifndef VOLLEY_QUEUE_TOPOLOGY_H
#define VOLLEY_QUEUE_TOPOLOGY_H

#include "queue/resp.h"

enum { PLACE_HOST_MAX = 256, TOPOLOGY_SLOTS = 16384, TOPOLOGY_PORT_MAX = 65535 };

/* Where to connect to: a name or an IP address, without brackets. */
struct place {
    char host[PLACE_HOST_MAX];
    unsigned port;
};

/* 0, or ERR_INVALID: no host of 1..255 printable characters, or no port. */
int place_set(struct place *p, struct slice host, uint64_t port);
bool place_eq(const struct place *a, const struct place *b);
void place_put(struct buf *out, const struct place *p); /* "host:port", "[::1]:port" */

/* CRC16 (XMODEM) of the bytes, by which Redis Cluster spreads keys. */
unsigned topology_crc16(struct slice bytes);
/* The slot of a key: of what stands between its first { and the next }, when there is any. */
unsigned topology_slot(struct slice key);
/* That of every key of a partition. */
unsigned topology_partition_slot(unsigned partition);

/* "MOVED 3999 127.0.0.1:6381".  `asked` is who answered it: his host is meant when none is
 * named.  0, ERR_INVALID (another reply), ERR_PROTO. */
int topology_read_moved(const struct resp *reply, const struct place *asked, struct place *out);

/* The answer to SENTINEL GET-MASTER-ADDR-BY-NAME.  0, ERR_NOTFOUND (knows no such name), or
 * ERR_PROTO. */
int topology_read_master(const struct resp *reply, struct place *out);

/* Whether an answer to ROLE is that of a master. */
bool topology_is_master(const struct resp *reply);

/* The master of a slot by CLUSTER SLOTS.  0, ERR_NOTFOUND (nobody serves it now), ERR_PROTO. */
int topology_read_slot(const struct resp *reply, unsigned slot, const struct place *asked,
                       struct place *out);

/* All masters by CLUSTER SLOTS, each once, at most `max`; how many. */
size_t topology_read_masters(const struct resp *reply, const struct place *asked, struct place *out,
                             size_t max);

/* Whether an error says that this connection leads to the wrong server: it is to be made
 * anew, to the master there is then. */
bool topology_is_elsewhere(const struct resp *reply);

#endif
