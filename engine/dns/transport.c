/*
 * transport.c - c-ares on our loop.
 *
 * Sockets.  c-ares opens and closes them and says so through its socket-state callback.  It
 * closes a descriptor at once, while a watch needs it until on_close; so each watch has a
 * duplicate of its own.  Without STAYOPEN c-ares closes a socket when nothing is on its way,
 * so the source port changes now and then; the query id is random each time (RFC 5452).
 *
 * Timeouts.  Asking c-ares for its next deadline costs a walk over everything on its way; a
 * timer that looks every 50 ms while there is something costs nothing.
 */
#define CARES_NO_DEPRECATED /* newer ones deprecate what the oldest we support has */

#include "engine/dns/transport.h"

#include "engine/base/err.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/base/rng.h"
#include "engine/dns/servers.h"

#include <ares.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

enum {
    LOOK_US = 50000,
    SOCKET_BUFFER = 512 << 10,
    UDP_QUERIES_MAX = 1000,
    UDP_PAYLOAD = 1232,
    IDS_DRAWN = 64
};

struct dns_transport {
    struct io *io;
    ares_channel channel;
    struct dns_transport_options options;
    struct timer look; /* while something is on its way */
    struct timer soon; /* to call on_done, or to end a close, in a later tick */
    struct list flying;
    struct list done;
    struct list watches;
    size_t inflight;
    size_t watch_count; /* those that wait for their on_close included */
    bool inside;        /* c-ares is on the stack */
    bool closing;
    void (*on_closed)(void *arg);
    void *closed_arg;
    uint64_t ids_used[65536 / 64];
    uint16_t ids[IDS_DRAWN]; /* random, drawn many at a time: a system call costs as a send */
    size_t ids_left;
};

struct transport_watch {
    struct io_watch watch;
    struct list link;
    struct dns_transport *transport;
    ares_socket_t socket; /* c-ares's descriptor; watch.fd is our duplicate of it */
};

/* ---- sockets ---- */

static void transport_read(struct dns_transport *t, ares_socket_t in, ares_socket_t out)
{
    ASSERT(!t->inside);
    t->inside = true;
    ares_process_fd(t->channel, in, out);
    t->inside = false;
    if (!list_empty(&t->done)) {
        t->options.on_done(t->options.arg);
    }
}

static void watch_ready(struct io_watch *w, unsigned events)
{
    struct transport_watch *tw = CONTAINER_OF(w, struct transport_watch, watch);
    bool in = (events & ~(unsigned)POLLOUT) != 0, out = (events & POLLOUT) != 0;

    transport_read(tw->transport, in ? tw->socket : ARES_SOCKET_BAD,
                   out ? tw->socket : ARES_SOCKET_BAD);
}

static void close_settle(struct dns_transport *t)
{
    if (!t->closing || t->watch_count > 0) {
        return;
    }
    wheel_disarm(io_wheel(t->io), &t->soon);
    if (t->on_closed != NULL) {
        t->on_closed(t->closed_arg);
    }
    mem_free(t);
}

static void watch_closed(struct io_watch *w)
{
    struct transport_watch *tw = CONTAINER_OF(w, struct transport_watch, watch);
    struct dns_transport *t = tw->transport;

    close(w->fd);
    mem_free(tw);
    t->watch_count--;
    close_settle(t);
}

static struct transport_watch *watch_find(struct dns_transport *t, ares_socket_t socket)
{
    LIST_EACH (node, &t->watches) {
        struct transport_watch *tw = CONTAINER_OF(node, struct transport_watch, link);

        if (tw->socket == socket) {
            return tw;
        }
    }
    return NULL;
}

static void watch_open(struct dns_transport *t, ares_socket_t socket, unsigned events)
{
    struct transport_watch *tw = mem_zalloc(sizeof(*tw));
    int fd = fcntl(socket, F_DUPFD_CLOEXEC, 0);

    tw->transport = t;
    tw->socket = socket;
    tw->watch.on_ready = watch_ready;
    tw->watch.on_close = watch_closed;
    if (fd < 0 || io_watch_add(t->io, &tw->watch, fd, events) < 0) {
        /* Its questions run into their timeouts and fail as temporary. */
        log_warn("dns: cannot watch a socket to a name server: out of descriptors?");
        if (fd >= 0) {
            close(fd);
        }
        mem_free(tw);
        return;
    }
    list_append(&t->watches, &tw->link);
    t->watch_count++;
}

static void socket_state(void *arg, ares_socket_t socket, int readable, int writable)
{
    struct dns_transport *t = arg;
    struct transport_watch *tw = watch_find(t, socket);
    unsigned events = (readable ? (unsigned)POLLIN : 0) | (writable ? (unsigned)POLLOUT : 0);

    if (tw == NULL) {
        if (events != 0) {
            watch_open(t, socket, events);
        }
    } else if (events != 0) {
        io_watch_change(&tw->watch, events);
    } else {
        list_remove(&tw->link);
        io_watch_remove(&tw->watch);
    }
}

/* ---- answers ---- */

static const char *status_text(int status)
{
    switch (status) {
    case ARES_ETIMEOUT:
        return "the name servers did not answer in time";
    case ARES_ECONNREFUSED:
        return "no name server can be reached, or all refuse or fail";
    case ARES_ESERVFAIL:
        return "SERVFAIL";
    case ARES_EREFUSED:
        return "REFUSED";
    case ARES_ENOTIMP:
        return "NOTIMP";
    case ARES_EFORMERR:
        return "FORMERR";
    default:
        return ares_strerror(status);
    }
}

static void answer_came(void *arg, int status, int timeouts, unsigned char *bytes, int len)
{
    struct dns_flight *f = arg;
    struct dns_transport *t = f->transport;

    (void)timeouts;
    if (bytes != NULL && len > 0) {
        f->answer = dns_packet_parse(slice_of((const char *)bytes, (size_t)len), f->name, f->type);
        f->answer->ad = f->answer->ad && t->options.trust_ad;
    } else {
        f->answer = dns_answer_new(DNS_TEMPFAIL, f->type, f->name, slice_cstr(status_text(status)));
    }
    t->ids_used[f->id / 64] &= ~(UINT64_C(1) << f->id % 64);
    t->inflight--;
    list_remove(&f->link);
    list_append(&t->done, &f->link);
}

struct dns_flight *dns_transport_take(struct dns_transport *t)
{
    struct list *first = list_first(&t->done);

    if (first == NULL) {
        return NULL;
    }
    list_remove(first);
    return CONTAINER_OF(first, struct dns_flight, link);
}

size_t dns_transport_inflight(const struct dns_transport *t)
{
    return t->inflight;
}

/* ---- questions ---- */

/* An id that nobody outside can guess and that no other question on its way has. */
static uint16_t id_take(struct dns_transport *t)
{
    uint16_t id;

    do {
        if (t->ids_left == 0) {
            rng_os(t->ids, sizeof(t->ids));
            t->ids_left = IDS_DRAWN;
        }
        id = t->ids[--t->ids_left];
    } while ((t->ids_used[id / 64] >> id % 64 & 1) != 0);
    t->ids_used[id / 64] |= UINT64_C(1) << id % 64;
    return id;
}

void dns_transport_send(struct dns_transport *t, struct dns_flight *f)
{
    char bytes[512];
    struct buf query = {.ptr = bytes, .cap = sizeof(bytes)};
    struct wheel *wheel = io_wheel(t->io);

    ASSERT(!t->inside && !t->closing && t->inflight < 32768 && f->name.len <= DNS_NAME_MAX);
    f->transport = t;
    f->id = id_take(t);
    f->answer = NULL;
    list_init(&f->link);
    list_append(&t->flying, &f->link);
    t->inflight++;
    t->inside = true;
    if (dns_packet_query(&query, f->id, f->name, f->type) < 0) {
        answer_came(f, ARES_EBADNAME, 0, NULL, 0);
    } else {
        /* May call answer_came() at once. */
        ares_send(t->channel, (const unsigned char *)query.ptr, (int)query.len, answer_came, f);
    }
    t->inside = false;
    if (!list_empty(&t->done)) {
        wheel_arm(wheel, &t->soon, io_now_us(t->io));
    }
    if (!timer_armed(&t->look)) {
        wheel_arm(wheel, &t->look, io_now_us(t->io) + LOOK_US);
    }
}

static void look_fire(struct timer *timer, int64_t now_us)
{
    struct dns_transport *t = CONTAINER_OF(timer, struct dns_transport, look);

    if (t->inflight > 0) {
        /* Before the callbacks: they may close us. */
        wheel_arm(io_wheel(t->io), &t->look, now_us + LOOK_US);
        transport_read(t, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    }
}

static void soon_fire(struct timer *timer, int64_t now_us)
{
    struct dns_transport *t = CONTAINER_OF(timer, struct dns_transport, soon);

    (void)now_us;
    if (t->closing) {
        close_settle(t);
    } else if (!list_empty(&t->done)) {
        t->options.on_done(t->options.arg);
    }
}

/* ---- start and end ---- */

static pthread_once_t library_once = PTHREAD_ONCE_INIT;

static void library_init(void)
{
    ares_library_init(ARES_LIB_INIT_ALL);
}

/* What the configuration or resolv.conf say, in our form; how many. */
static int servers_of(ares_channel channel, struct dns_server *out)
{
    struct ares_addr_port_node *list = NULL;
    int count = 0;

    if (ares_get_servers_ports(channel, &list) != ARES_SUCCESS) {
        return 0;
    }
    for (const struct ares_addr_port_node *n = list; n != NULL && count < DNS_SERVERS_MAX;
         n = n->next) {
        out[count].bytes_count = n->family == AF_INET ? 4 : 16;
        memcpy(out[count].bytes, &n->addr, out[count].bytes_count);
        out[count++].port = (uint16_t)n->udp_port;
    }
    if (list != NULL) {
        ares_free_data(list);
    }
    return count;
}

static int servers_set(ares_channel channel, const struct dns_server *servers, int count)
{
    struct ares_addr_port_node nodes[DNS_SERVERS_MAX];

    memset(nodes, 0, sizeof(nodes));
    for (int i = 0; i < count; i++) {
        nodes[i].family = servers[i].bytes_count == 4 ? AF_INET : AF_INET6;
        memcpy(&nodes[i].addr, servers[i].bytes, servers[i].bytes_count);
        nodes[i].udp_port = nodes[i].tcp_port = servers[i].port;
        nodes[i].next = i + 1 < count ? &nodes[i + 1] : NULL;
    }
    return ares_set_servers_ports(channel, nodes);
}

static int channel_init(struct dns_transport *t, int flags)
{
    struct ares_options o = {
        .flags = flags | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS,
        .timeout = (int)t->options.timeout_ms,
        .tries = (int)t->options.tries,
        .ednspsz = UDP_PAYLOAD,
        .socket_receive_buffer_size = SOCKET_BUFFER,
        .sock_state_cb = socket_state,
        .sock_state_cb_data = t,
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ |
               ARES_OPT_SOCK_RCVBUF | ARES_OPT_SOCK_STATE_CB | ARES_OPT_NOROTATE;

#ifdef ARES_OPT_UDP_MAX_QUERIES
    o.udp_max_queries = UDP_QUERIES_MAX; /* then a new source port */
    mask |= ARES_OPT_UDP_MAX_QUERIES;
#endif
#ifdef ARES_OPT_QUERY_CACHE
    o.qcache_max_ttl = 0; /* the cache is ours */
    mask |= ARES_OPT_QUERY_CACHE;
#endif
    return ares_init_options(&t->channel, &o, mask);
}

/* With several servers c-ares passes a SERVFAIL or REFUSED of one by and asks the next.  With
 * one it would ask the same again and then report that nobody can be reached; told not to
 * look at the code, it gives us the answer and so the reason. */
static int channel_open(struct dns_transport *t, struct dns_server *servers, int *count)
{
    bool given = *count > 0; /* else those of resolv.conf, which c-ares has read */
    int rc = channel_init(t, 0);

    if (rc == ARES_SUCCESS && !given) {
        *count = servers_of(t->channel, servers);
    }
    if (rc == ARES_SUCCESS && *count == 1) {
        ares_destroy(t->channel);
        rc = channel_init(t, ARES_FLAG_NOCHECKRESP);
    }
    if (rc == ARES_SUCCESS && given) {
        rc = servers_set(t->channel, servers, *count);
        if (rc != ARES_SUCCESS) {
            ares_destroy(t->channel);
        }
    }
    return rc;
}

/* RFC 6840 5.7: the AD bit means something only when the way to the resolver is safe. */
static bool servers_are_local(const struct dns_server *servers, int count)
{
    for (int i = 0; i < count; i++) {
        if (!dns_server_is_local(&servers[i])) {
            return false;
        }
    }
    return count > 0;
}

struct dns_transport *dns_transport_new(struct io *io, const struct dns_transport_options *options,
                                        struct buf *error)
{
    struct dns_server servers[DNS_SERVERS_MAX];
    struct dns_transport *t;
    int count = 0, rc;

    if (options->servers != NULL) {
        count = dns_servers_parse(slice_cstr(options->servers), servers, error);
        if (count < 0) {
            return NULL;
        }
    }
    pthread_once(&library_once, library_init);
    t = mem_zalloc(sizeof(*t));
    t->io = io;
    t->options = *options;
    t->options.servers = NULL; /* the caller's bytes */
    timer_init(&t->look, look_fire);
    timer_init(&t->soon, soon_fire);
    list_init(&t->flying);
    list_init(&t->done);
    list_init(&t->watches);
    rc = channel_open(t, servers, &count);
    if (rc != ARES_SUCCESS) {
        buf_printf(error, "the resolver library does not start: %s", ares_strerror(rc));
        mem_free(t);
        return NULL;
    }
    t->options.trust_ad = options->trust_ad || servers_are_local(servers, count);
    return t;
}

void dns_transport_close(struct dns_transport *t, void (*on_closed)(void *arg), void *arg)
{
    ASSERT(!t->inside && !t->closing);
    t->closing = true;
    t->on_closed = on_closed;
    t->closed_arg = arg;
    wheel_disarm(io_wheel(t->io), &t->look);
    ares_destroy(t->channel);
    ASSERT(list_empty(&t->flying) && list_empty(&t->watches));
    wheel_arm(io_wheel(t->io), &t->soon, io_now_us(t->io));
}
