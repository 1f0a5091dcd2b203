/*
 * node.h - this process as one of the engines on a queue.
 *
 * A node holds a life: "<node>:<epoch>", entered in `nodes` by registration and kept there
 * by a lease (15 s unless configured) that is renewed all the time, counted on Redis' clock.
 * Everything claimed is owned under the life.  When the lease runs out another engine may return
 * the jobs; the old life is fenced from then on: it cannot claim, and its outcomes are written as
 * late.
 *
 * One struct node serves one process and one partition.  It runs on one loop (that of the
 * first worker) with connections of its own: one for the lease, for taking over what dead
 * nodes left, and for promotion of due jobs; one that blocks on the doorbells.  Workers of
 * any thread ask node_life() and node_may_start().
 */
#ifndef VOLLEY_QUEUE_NODE_H
#define VOLLEY_QUEUE_NODE_H

#include "engine/io/io.h"
#include "queue/keys.h"
#include "queue/redis.h"

enum {
    NODE_LEASE_US = 15 * 1000 * 1000, /* renewed after a third of it; unrenewed for two: start */
    NODE_DOUBT_US = 10 * 1000 * 1000, /* no new transaction */
    NODE_LIFE_MAX = 96,
};

struct node;
struct strays;
struct replay;

struct node_ops {
    /* Registered (again, after a break too): claims may start. */
    void (*on_up)(void *ctx);
    /* Redis is away; `why` is for people.  Called once for each change. */
    void (*on_down)(void *ctx, const char *why);
    /* It cannot work at all: Redis too old, another holder of the id, a newer format.  The
     * process should end with this message. */
    void (*on_fatal)(void *ctx, const char *why);
    /* A list of this name became non-empty.  Empty name: look for yourself (poll). */
    void (*on_bell)(void *ctx, struct slice list);
    void (*on_closed)(void *ctx); /* after node_close(): the memory is gone */
};

struct node_options {
    struct io *io;
    const struct redis_url *url;
    struct slice prefix; /* "volley" */
    unsigned partition;
    struct slice id; /* [A-Za-z0-9._-]{1,64}, kept in the state directory by the caller */
    /* Says where the id lives (machine and directory), 1..200 printable characters.  The
     * caller holds a lock there: a former life with the same holder is dead for certain and
     * is taken over at once; with another holder it is refused while its lease lasts. */
    struct slice holder;
    /* What this node can send with: "pool=a", "source=b", "route=c".  Submission refuses
     * names that no node has announced. */
    const struct slice *names;
    size_t name_count;
    int64_t expires_ms;        /* configuration's `expires`; 0 takes 2 days */
    uint64_t max_memory;       /* bytes; 0: 90 % of Redis' maxmemory */
    uint64_t max_jobs;         /* 0: no limit */
    uint64_t events_max_bytes; /* of the stream `events`, approximately; 0: 1 GB */
    unsigned high_share;       /* percent of a tenant's recipients; 0: 100 */
    bool single_node;          /* no other engine: never in doubt */
    int64_t lease_us;          /* 1 s to 60 s; 0: NODE_LEASE_US */
    /* What a crashed life left behind, to be told before the first registration; NULL: nothing.
     * Borrowed; outlives the node. */
    struct replay *replay;
    const struct node_ops *ops;
    void *ctx;
};

/* NULL with a sentence in *why when the options are wrong. */
struct node *node_new(const struct node_options *options, struct buf *why);

/* Ends the life: everything owned by it goes back to its intakes (workers have closed their
 * queues by then), then the connections close.  on_closed follows, after 5 s at the latest. */
void node_close(struct node *n);

/* ---- from any thread ---- */

/* Writes the life ("<node>:<epoch>") and a NUL; 0 before the first registration.  The
 * number returned changes whenever the life changes. */
uint64_t node_life(const struct node *n, char out[NODE_LIFE_MAX]);
uint64_t node_epoch(const struct node *n); /* that number alone */
/* False while the lease is in doubt.  `now_us` is monotonic (io_now_us). */
bool node_may_start(const struct node *n, int64_t now_us);
/* False when the lease may be over: what was claimed may be somebody else's by now. */
bool node_owns(const struct node *n, int64_t now_us);
/* What to add to the monotonic time for Redis' clock, and for that by which jobs end (clock.h).
 * False before Redis has told its time, which is before the first registration. */
bool node_clock(const struct node *n, int64_t *offset_us, int64_t *expiry_offset_us);

/* Outcomes that Redis did not take are left to the journal: what the life owns does not go back at
 * its end, but waits for the next start, which replays them first (or for the lease to end). */
void node_leave_owned(struct node *n);

/* What the queues of all workers are asked after a break (stray.h). */
struct strays *node_strays(struct node *n);

#endif
