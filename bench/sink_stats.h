/*
 * sink_stats.h - what the sink counts.
 *
 * Each thread has a struct of its own and is its only writer; the main thread adds them up
 * while they are being written, so the counters are read and written as relaxed atomics (plain
 * loads and stores on the machines we run on).
 */
#ifndef VOLLEY_BENCH_SINK_STATS_H
#define VOLLEY_BENCH_SINK_STATS_H

#include "engine/base/buf.h"

enum sink_stat {
    STAT_CONNECTIONS, /* accepted, refused ones included */
    STAT_CLOSED,
    STAT_REFUSED, /* over --max-connections */
    STAT_TLS,     /* handshakes completed */
    STAT_MESSAGES,
    STAT_RECIPIENTS, /* of the messages accepted */
    STAT_BYTES,      /* content of the messages accepted, as it travelled */
    STAT_CHUNKED,    /* messages that came by BDAT */
    STAT_FAULTS,     /* answers that a rule or a magic recipient changed */

    STAT_REJECTED_CONNECT, /* 4xx and 5xx, by stage; in the order of server_verb */
    STAT_REJECTED_EHLO,
    STAT_REJECTED_STARTTLS,
    STAT_REJECTED_MAIL,
    STAT_REJECTED_RCPT,
    STAT_REJECTED_DATA,
    STAT_REJECTED_MESSAGE,

    STAT_ERR_SYNTAX,     /* arguments that do not parse */
    STAT_ERR_UNKNOWN,    /* no such command */
    STAT_ERR_SEQUENCE,   /* a command at the wrong time */
    STAT_ERR_LINE,       /* a command line that is too long */
    STAT_ERR_BARE_LF,    /* a command line that ends with LF alone */
    STAT_ERR_PIPELINING, /* bytes ahead of an answer that had to be waited for */
    STAT_ERR_SIZE,       /* messages over the size limit */
    STAT_ERR_TLS,        /* handshakes and records that failed */
    STAT_ERR_LOST,       /* connections that ended in mid-transaction, before the body */
    STAT_ERR_LOST_BODY,  /* connections that ended within a body */
    STAT_ERR_TIMEOUT,
    STAT_ERR_SOCKET,

    STAT_BODY_BARE_LF, /* messages with such bytes; see scan.h */
    STAT_BODY_BARE_CR,
    STAT_BODY_SMUGGLE,
    STAT_BODY_LONG_LINE,
    STAT_BODY_NUL,
    STAT_BODY_8BIT, /* octets over 127 where 8BITMIME was not declared */

    STAT_COUNT
};

struct sink_stats {
    uint64_t n[STAT_COUNT];
    uint64_t open_peak;
    int64_t first_us; /* monotonic time of the first and the last message; 0: none */
    int64_t last_us;
    uint64_t held; /* bytes of content kept in sessions of this thread; its own business */
};

static inline uint64_t sink_stats_get(const struct sink_stats *s, enum sink_stat which)
{
    return __atomic_load_n(&s->n[which], __ATOMIC_RELAXED);
}

static inline void sink_stats_add(struct sink_stats *s, enum sink_stat which, uint64_t count)
{
    __atomic_store_n(&s->n[which], sink_stats_get(s, which) + count, __ATOMIC_RELAXED);
}

static inline void sink_stats_inc(struct sink_stats *s, enum sink_stat which)
{
    sink_stats_add(s, which, 1);
}

/* A message was accepted at now_us. */
void sink_stats_message(struct sink_stats *s, uint64_t recipients, uint64_t bytes, int64_t now_us);
void sink_stats_opened(struct sink_stats *s);
void sink_stats_closed(struct sink_stats *s);

/* Adds what `from` holds to `to`, which belongs to the caller alone. */
void sink_stats_merge(struct sink_stats *to, const struct sink_stats *from);

/* Messages a second between the first and the last one; 0 with fewer than two. */
uint64_t sink_stats_rate(const struct sink_stats *s);

/* What the process can say besides. */
struct sink_summary {
    const struct sink_stats *stats;
    bool ids_counted;
    uint64_t ids_distinct;
    uint64_t ids_duplicates; /* values beyond the first of each */
    int64_t cpu_user_us, cpu_sys_us;
    const char *io;
};

void sink_stats_put_text(struct buf *out, const struct sink_summary *summary);
/* Fields of an object that the caller opened and closes. */
void sink_stats_put_json(struct buf *out, const struct sink_summary *summary);

#endif
