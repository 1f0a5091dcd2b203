/*
 * core.h - the state of one worker's delivery, shared by the files of this directory.
 *
 * Each concept has its own header with its own invariants; here is only what ties them
 * together.  Nothing outside engine/deliver includes this.
 */
#ifndef VOLLEY_DELIVER_CORE_H
#define VOLLEY_DELIVER_CORE_H

#include "engine/base/rng.h"
#include "engine/deliver/deliver.h"
#include "engine/deliver/job.h"
#include "engine/deliver/site.h"
#include "engine/dns/finder.h"
#include "queue/queue.h"

enum {
    DELIVER_JOBS_MAX = 8192,          /* claimed jobs on their way to a connection, at most */
    DELIVER_JOBS_MIN = 512,           /* and how many are asked for before a rate is known */
    DELIVER_MEMORY_MAX = 32768,       /* claimed jobs in memory, those that wait included */
    DELIVER_BLOCKED_MAX = 6144,       /* of which so many wait for a limit of their site */
    DELIVER_JOB_BYTES_MAX = 64 << 20, /* records of all; more is claimed below this */
    DELIVER_CONNECTIONS_MAX = 10000,  /* open at once; the longest idle ones make room */
    DELIVER_OUTCOMES_MAX = 20000,     /* unacknowledged outcomes that stop the claiming */
};

struct deliver {
    struct deliver_options o;
    const struct conf *conf;
    struct deliver_stats stats;
    struct queue *queue;
    struct dns_resolver *resolver; /* NULL when no name has to be looked up */
    struct mx_finder *finder;
    struct rng rng;
    struct slice *self; /* our own host names, for the MX loop check */
    size_t self_count;
    /* Wall time minus monotonic time, read once a tick: of this machine, for events; of Redis,
     * for jobs; and that by which jobs end (queue/clock.h). */
    int64_t wall_offset_us, queue_offset_us, expiry_offset_us;

    /* intake.c */
    struct map lists; /* known non-empty intakes and bins of sites at home here */
    struct list list_order;
    uint32_t claiming;           /* jobs asked for and not here yet */
    int64_t claim_not_before_us; /* after a claim that failed */
    uint64_t claims_made, claims_ended;
    uint64_t cull;                          /* the claim under way from a doomed list; 0: none */
    int64_t cull_not_before_us;             /* the next one */
    struct timer cull_timer;                /* wakes the tick for that */
    struct list doomed;                     /* lists of which nearly all is ended at once */
    uint32_t obeyed[QUEUE_CLAIM_LISTS_MAX]; /* such jobs of each list in the answer being read */
    bool up;
    bool doubt; /* our jobs may be another's: nothing new is sent (pump.c) */

    /* destination.c */
    struct map domains;
    struct list domain_order; /* least recently used first */

    /* letters.c */
    struct map letters;
    struct list letter_order; /* least recently used first */
    size_t letter_bytes;
    size_t missing_letters; /* entries kept of letters that are not there */

    /* schedule.c */
    struct map windows, zones;
    int64_t zones_until_us; /* then they are read again */
    int64_t zones_complain_us;

    /* suppression.c */
    struct suppress *suppress;
    struct list unchecked; /* jobs to be asked for */
    struct list checks;    /* questions under way */
    int64_t unchecked_not_before_us;

    /* site.c, pump.c */
    struct map sites;
    struct list runnable;   /* paths to pump at the end of the tick */
    struct list idle_paths; /* by the time they became idle */

    /* conn.c */
    struct list unflushed;     /* connections with something to write */
    struct list outgoing;      /* what they write is gathered, and not on its way yet */
    struct list idle_conns;    /* ready ones without work, the longest idle first */
    struct list conns;         /* all */
    struct list transactions;  /* spare ones */
    struct map shelves;        /* idle connections by what they are good for, see reuse.h */
    size_t conn_count;         /* never above conns_max */
    size_t conns_max;          /* DELIVER_CONNECTIONS_MAX, but for tests */
    uint32_t evicting;         /* connections that were told to go for the sake of others */
    struct list roomless;      /* paths that wait for the place of one */
    struct map local_troubles; /* local.c */
    struct tls_context *tls_any;
    struct tls_context *tls_verifying; /* NULL without trust anchors */
    struct tls_sessions *tls_sessions;

    uint32_t jobs;          /* in memory */
    size_t job_bytes;       /* their records */
    uint32_t resolving;     /* of these, those that wait for a name; bounded by destination.c */
    uint32_t blocked;       /* those in lanes that a limit or a resting host holds up */
    uint32_t sending;       /* those inside transactions */
    uint32_t waiting_paths; /* paths with jobs in their lanes */
    uint64_t rate_last;     /* transactions a second, over all paths */
    uint64_t rate_count;
    int64_t rate_from_us;

    struct timer reap_timer;
    struct timer drain_timer;
    bool draining;
    bool closing;
    int open_parts;         /* what on_closed waits for */
    struct buf scratch;     /* an event being written */
    struct buf record;      /* a record being written */
    struct buf event_lines; /* for the file, written once a tick */
};

static inline int64_t deliver_now(const struct deliver *d)
{
    return io_now_us(d->o.io);
}

static inline int64_t deliver_wall(const struct deliver *d)
{
    return io_now_us(d->o.io) + d->wall_offset_us;
}

/* By Redis' clock. */
static inline int64_t deliver_queue_wall(const struct deliver *d)
{
    return io_now_us(d->o.io) + d->queue_offset_us;
}

static inline int64_t deliver_expiry_wall(const struct deliver *d)
{
    return io_now_us(d->o.io) + d->expiry_offset_us;
}

#define DELIVER_COUNT(d, counter, n) \
    atomic_fetch_add_explicit(&(d)->stats.counter, (uint64_t)(n), memory_order_relaxed)

/* A job came into the worker's memory; it left. */
static inline void deliver_job_in(struct deliver *d, const struct job *j)
{
    d->jobs++;
    d->job_bytes += j->record.bytes.len;
    DELIVER_COUNT(d, jobs, 1);
}

static inline void deliver_job_out(struct deliver *d, const struct job *j)
{
    d->jobs--;
    d->job_bytes -= j->record.bytes.len;
    atomic_fetch_sub_explicit(&d->stats.jobs, 1, memory_order_relaxed);
}

/* ---- the way of a job: each of these takes it over ---- */

void destination_route(struct deliver *d, struct job *j); /* finds site and source */
void letters_attach(struct deliver *d, struct job *j, struct path *p);
void path_add(struct deliver *d, struct path *p, struct job *j);

/* ---- small change ---- */

void deliver_count(struct deliver *d);       /* a transaction ended */
void deliver_part_closed(struct deliver *d); /* something on_closed waits for is gone */

#endif
