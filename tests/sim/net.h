/*
 * net.h - the simulated network: a third backend of engine/io.
 *
 * io.c and stream.c are the engine's own; what is replaced stands below struct backend, and
 * the few calls on descriptors.  A connection (struct link) has a pipe in each direction.
 * Bytes travel in pieces that arrive in order after a delay, cut as the link's manners say; a
 * pipe holds no more than its window until they are read.
 *
 * How links differ (struct manners, drawn from the seed): delay and its jitter, pieces,
 * window, and whether a write is reported at once (as epoll does) or held until its bytes have
 * left (as io_uring does: the iovecs must stay until then, and their bytes are looked at again).
 */
#ifndef VOLLEY_TESTS_SIM_NET_H
#define VOLLEY_TESTS_SIM_NET_H

#include "engine/base/buf.h"
#include "engine/io/backend.h"

struct server;
struct link;
struct rcpt;

struct manners {
    int64_t delay_us;  /* one way */
    int64_t jitter_us; /* up to so much more */
    uint32_t piece;    /* bytes that travel together, at most; 0: no limit */
    uint32_t window;   /* bytes under way and unread */
    bool held;         /* writes are reported when their bytes have left */
};

/* The bytes that one write of the engine brought, for telling when a byte was written. */
struct written {
    uint64_t end;    /* position behind the last byte */
    uint64_t number; /* world.number of the write */
};

struct link {
    uint32_t id;
    unsigned worker;
    struct io_stream *stream; /* NULL when the engine closed it */
    struct server *server;    /* NULL: nobody answers */
    void *host;               /* struct sim_host */
    struct manners manners;
    bool open;       /* both sides know of it */
    bool given_up;   /* connecting was cancelled */
    bool client_fin; /* the engine says nothing more */
    bool server_fin; /* the server says nothing more */
    bool server_gone;
    bool reset;       /* the engine has been told */
    bool resetting;   /* on its way */
    bool blocked;     /* a write waits for room */
    bool room_coming; /* and will be told */

    /* Engine to server. */
    struct buf up;        /* written, not read yet */
    size_t up_arrived;    /* of them: at the server */
    uint64_t up_read;     /* position of up.ptr[0] */
    int64_t up_free_us;   /* the last piece arrives then */
    struct written *made; /* writes, oldest first */
    size_t made_count;
    size_t made_cap;
    uint64_t write_number; /* when the present one began: an end of the session lets it finish */
    struct iovec held_iov[64]; /* the write that is held */
    size_t held_count;
    uint64_t held_hash;

    /* Server to engine. */
    struct buf down;
    size_t down_arrived;
    uint64_t down_said; /* bytes the server ever said */
    uint64_t down_told; /* of them: given to the engine */
    int64_t down_free_us;

    /* The oracle's. */
    char heard[256]; /* the line that the engine is writing, its beginning */
    size_t heard_len;
    struct rcpt **named; /* recipients of RCPT commands */
    size_t named_count;
    size_t named_cap;
    uint64_t garbage_end;  /* position behind the first thing said that was no reply */
    uint64_t garbage_told; /* when the engine had it */
    bool lying;
};

/* The backend: what stands in place of epoll_open(). */
int __wrap_epoll_open(struct io *io);

/* Which worker an io belongs to. */
void net_worker(struct io *io, unsigned worker);
unsigned net_worker_of(const struct io *io);

void net_init(void);
void net_fini(void);

/* All links ever made, in order. */
size_t net_count(void);
struct link *net_link(size_t i);

/* ---- for servers ---- */

/* Bytes that arrived and were not read; net_read() takes `len` of them. */
struct slice net_input(const struct link *l);
void net_read(struct link *l, size_t len);
/* When (world.number) the engine wrote the byte before position `end`. */
uint64_t net_written(const struct link *l, uint64_t end);
void net_say(struct link *l, struct slice text, int64_t in_us);
void net_server_fin(struct link *l, int64_t in_us);
void net_server_reset(struct link *l, int64_t in_us);

#endif
