/*
 * conn.h - one connection: a wire, a session, and the transactions inside.
 *
 * Counted by its path from conn_open() to the end of its session; freed when the kernel holds
 * nothing of it any more.  It is in path->ready exactly while its session has room, and in
 * deliver->idle_conns exactly while it is ready with nothing inside.
 *
 * Racing (RFC 8305).  A host that does not connect within CONN_RACE_US is called by its other
 * family too.  The two are rivals: one connection in all the figures of path and site, each with a
 * slot of its own host.  The first that stands goes on alone.
 */
#ifndef VOLLEY_DELIVER_CONN_H
#define VOLLEY_DELIVER_CONN_H

#include "engine/deliver/site.h"
#include "engine/deliver/wire.h"
#include "engine/smtp/session.h"

struct transaction;

enum { CONN_IOV_MAX = 32, CONN_RACE_US = 250 * 1000 };

struct conn {
    struct wire wire;
    struct smtp_session session;
    const struct conf *conf;       /* a reference: owns what `config` points to */
    const struct conf *route_conf; /* a reference: owns the route's credentials; may be NULL */
    struct smtp_config config;
    struct path *path;      /* NULL when its session is over */
    struct conn *rival;     /* connects as well; NULL when it does not race */
    struct list link;       /* in deliver->conns */
    struct list ready_link; /* in path->ready */
    struct list idle_link;  /* in deliver->idle_conns */
    struct list flush_link; /* in deliver->unflushed */
    struct list shelf_link; /* offered to other paths, see reuse.h */
    struct reuse_shelf *shelf;
    struct list sending; /* transactions inside the session */
    struct list lent;    /* settled ones that a write may still read */
    struct timer timer;
    struct deliver *d;
    /* Where it goes: what hosts_find() needs. */
    struct sockaddr_storage address;
    socklen_t address_len;
    char *host;
    char ip[HOST_IP_MAX];
    char tls_version[16];
    char tls_cipher[48];
    bool tls_verified;
    int64_t opened_us;
    int64_t idle_until_us; /* INT64_MAX while busy */
    int64_t connect_us;    /* how long the steps took; -1: did not happen */
    int64_t tls_us;
    int64_t secure_from_us;
    size_t writing; /* bytes of the write in flight */
    size_t iov_count;
    uint32_t messages;
    bool started;            /* the connection stands, the session runs */
    bool ready;              /* READY was seen */
    bool over;               /* END was seen */
    bool evicted;            /* goes to make room */
    bool second;             /* to a second host, for path->elsewhere alone */
    bool told_ahead_refused; /* to the site, see lessons.h */
    struct iovec iov[CONN_IOV_MAX];
};

/* Opens a connection from a path to a host; its slots are taken already (limiter_connect).
 * The outcome shows by path_wake().  `second`: for path->elsewhere alone. */
void conn_open(struct path *p, struct host *h, bool second);

/* Gives a ready connection its next transaction. */
void conn_submit(struct conn *c, struct transaction *t);

/* Takes back what its session has not begun, when orders speak of any of it: the jobs are in front
 * of their lanes again. */
void conn_withdraw(struct conn *c);

/* Writing takes two steps, as the journal has to know of a letter before its last byte leaves:
 * gathers what the session wants written (the connection moves to deliver->outgoing if it is
 * something), then hands it to the wire. */
void conn_gather(struct conn *c);
void conn_write(struct conn *c);

/* Notes all that is on the wire in a journal that begins anew. */
void conn_note_all(struct deliver *d);

/* Gives an idle connection to another path, whose slots for it are taken already. */
void conn_move(struct conn *c, struct path *p);

/* Says good-bye when what is inside is done. */
void conn_quit(struct conn *c);

/* Ends it now; what is inside is not answered any more. */
void conn_abort(struct conn *c);

/* Makes room for another connection by ending the one that has been idle longest; false when
 * none is. */
bool conn_evict(struct deliver *d);

#endif
