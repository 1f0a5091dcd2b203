/*
 * sink.c - a destination for mail: sockets and threads.
 *
 * The main thread binds each address once for each worker (SO_REUSEPORT lets the kernel spread
 * the connections), starts the workers and waits until all of them listen.  A worker's loop
 * and connections are its own; the main thread tells it to stop by a flag and io_wake().
 */
#include "bench/sink_impl.h"
#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Whole messages of the usual size come in one piece. */
enum { BACKLOG = 4096, STREAMS_MAX = 65536, RECEIVE_SIZE = 16 * 1024 };

/* ---- sockets ---- */

static int complain(struct buf *error, const char *what, const struct address *a)
{
    buf_printf(error, "%s ", what);
    address_put(error, (const struct sockaddr *)&a->to, a->len);
    buf_printf(error, ": %s", strerror(errno));
    return -1;
}

/* A socket file that nobody listens on is left over from a sink that was killed. */
static void remove_stale(const struct address *a)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&a->to;
    struct stat st;

    if (a->to.ss_family != AF_UNIX || lstat(un->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode)) {
        return;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&a->to, a->len) != 0 &&
        errno == ECONNREFUSED) {
        unlink(un->sun_path);
    }
    if (fd >= 0) {
        close(fd);
    }
}

/* Sockets that share a port do not notice a stranger's one on it: asked for with a socket that
 * does not share.  A second sink would otherwise take half of the first one's mail. */
static bool is_taken(const struct address *a)
{
    const int on = 1;
    int fd = socket(a->to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool taken = false;

    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        taken = bind(fd, (const struct sockaddr *)&a->to, a->len) != 0 && errno == EADDRINUSE;
        close(fd);
        errno = EADDRINUSE;
    }
    return taken;
}

/* Binds and listens; *a gets the address that it became. */
static int listen_on(const struct sink_options *o, struct address *a, struct buf *error)
{
    const int on = 1, size = (int)o->receive_buffer;
    int fd = socket(a->to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return complain(error, "cannot make a socket for", a);
    }
    if (a->to.ss_family != AF_UNIX) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (o->threads > 1) {
            setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
        }
    }
    if (size > 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    }
    if (bind(fd, (const struct sockaddr *)&a->to, a->len) != 0 || listen(fd, BACKLOG) != 0) {
        complain(error, "cannot listen on", a);
        close(fd);
        return -1;
    }
    if (a->to.ss_family != AF_UNIX) {
        a->len = sizeof(a->to);
        getsockname(fd, (struct sockaddr *)&a->to, &a->len);
    }
    return fd;
}

/* One address for all threads: TCP gets a socket for each, a unix socket is shared. */
static bool bind_address(struct sink *sink, size_t i, struct buf *error)
{
    struct address *a = &sink->bound[i];

    if (address_parse(slice_cstr(sink->options.listen[i]), a, error) != 0) {
        return false;
    }
    remove_stale(a);
    if (sink->options.threads > 1 && a->to.ss_family != AF_UNIX && is_taken(a)) {
        complain(error, "cannot listen on", a);
        return false;
    }
    for (unsigned t = 0; t < sink->options.threads; t++) {
        bool shared = t > 0 && a->to.ss_family == AF_UNIX;
        sink->thread[t].fd[i] =
            shared ? dup(sink->thread[0].fd[i]) : listen_on(&sink->options, a, error);
        if (sink->thread[t].fd[i] < 0) {
            return false;
        }
    }
    return true;
}

/* ---- a worker ---- */

static void on_accept(struct io_listener *l, int fd, const struct sockaddr *peer)
{
    (void)peer;
    sink_conn_open(CONTAINER_OF(l, struct sink_listener, io)->thread, fd);
}

static void on_listener_close(struct io_listener *l)
{
    CONTAINER_OF(l, struct sink_listener, io)->thread->listening--;
}

static bool start_listening(struct sink_thread *t, int *err)
{
    for (size_t i = 0; i < t->sink->options.listen_count; i++) {
        struct sink_listener *l = &t->listener[i];
        l->thread = t;
        l->io.on_accept = on_accept;
        l->io.on_close = on_listener_close;
        *err = io_listen(t->io, &l->io, t->fd[i]);
        if (*err != 0) {
            return false;
        }
        t->fd[i] = -1;
        t->listening++;
    }
    return true;
}

/* What a thread must make for itself.  False with a text in *error. */
static bool thread_setup(struct sink_thread *t, struct buf *error)
{
    const struct sink_options *o = &t->sink->options;
    struct io_options io_options = {
        .backend = o->io, .streams_max = STREAMS_MAX, .receive_size = RECEIVE_SIZE};
    int err = 0;

    rng_seed(&t->rng, o->seed + t->index);
    magic_init(&t->magic, t->sink->greylist);
    list_init(&t->conns);
    list_init(&t->dirty);
    if (o->server.starttls) {
        t->tls = tls_context_new_server(o->tls_chain_pem, o->tls_key_pem, error);
        if (t->tls == NULL) {
            return false;
        }
    }
    t->io = io_new(&io_options, &err);
    if (t->io == NULL || !start_listening(t, &err)) {
        buf_printf(error, "cannot start the I/O loop: %s", err_name(err));
        return false;
    }
    return true;
}

/* After sink_stop(): first no new connections, when the grace is over no old ones either. */
static void thread_stopping(struct sink_thread *t)
{
    int64_t now_us = clock_mono_us();

    if (!t->closing) {
        t->closing = true;
        t->close_us = now_us + t->sink->grace_us;
        size_t count = t->listening;
        for (size_t i = 0; i < count; i++) {
            io_listener_close(&t->listener[i].io);
        }
    }
    if (now_us >= t->close_us) {
        sink_conn_close_all(t);
        t->close_us = INT64_MAX;
    }
}

static void thread_loop(struct sink_thread *t)
{
    int64_t wait_us = -1;

    while (!t->closing || t->listening > 0 || !list_empty(&t->conns)) {
        io_tick(t->io, wait_us);
        sink_conn_flush(t);
        if (t->lines.len > 0) {
            record_flush(t->sink->options.record, &t->lines);
        }
        if (__atomic_load_n(&t->sink->stop, __ATOMIC_ACQUIRE)) {
            thread_stopping(t);
            wait_us = t->close_us == INT64_MAX ? -1 : t->close_us - clock_mono_us();
            wait_us = wait_us < 0 && t->close_us != INT64_MAX ? 0 : wait_us;
        }
    }
}

static void thread_teardown(struct sink_thread *t)
{
    if (t->io != NULL) {
        io_free(t->io);
        t->io = NULL;
    }
    tls_context_free(t->tls);
    magic_fini(&t->magic);
    buf_fini(&t->lines);
    buf_fini(&t->plain);
    buf_fini(&t->cipher);
}

/* Tells the main thread how it went. */
static bool thread_started(struct sink_thread *t)
{
    struct sink *sink = t->sink;
    struct buf error = BUF_EMPTY;
    bool up = thread_setup(t, &error);

    if (!up) {
        /* Listeners that were taken over before the failure. */
        while (t->listening > 0) {
            thread_stopping(t);
            io_tick(t->io, 0);
        }
        thread_teardown(t);
    }
    pthread_mutex_lock(&sink->lock);
    sink->ready++;
    if (up) {
        sink->io = io_backend(t->io);
    } else if (sink->failed.len == 0) {
        buf_puts(&sink->failed, buf_slice(&error));
    }
    pthread_cond_signal(&sink->changed);
    pthread_mutex_unlock(&sink->lock);
    buf_fini(&error);
    return up;
}

static void *thread_main(void *arg)
{
    struct sink_thread *t = arg;

    if (thread_started(t)) {
        thread_loop(t);
        /* sink_stop() holds the lock until it has woken everybody. */
        pthread_mutex_lock(&t->sink->lock);
        pthread_mutex_unlock(&t->sink->lock);
        thread_teardown(t);
    }
    return NULL;
}

/* ---- start and stop ---- */

static void make_hooks(struct sink *sink)
{
    const struct sink_options *o = &sink->options;
    bool accepted = o->expect > 0 || (o->record != NULL && record_wanted(o->record));

    sink->hooks = (struct server_hooks){
        .verbs = (o->faults != NULL ? o->faults->verbs : 0) | (o->magic ? MAGIC_VERBS : 0),
        .decide = sink_conn_decide,
        .accepted = accepted ? sink_conn_accepted : NULL,
    };
}

static struct sink *sink_new(const struct sink_options *options)
{
    struct sink *sink = mem_zalloc(sizeof(*sink));

    sink->options = *options;
    sink->greylist = ids_new();
    sink->thread = mem_array(options->threads, sizeof(sink->thread[0]));
    for (unsigned i = 0; i < options->threads; i++) {
        sink->thread[i].sink = sink;
        sink->thread[i].index = i;
        for (size_t k = 0; k < SINK_LISTEN_MAX; k++) {
            sink->thread[i].fd[k] = -1;
        }
    }
    pthread_mutex_init(&sink->lock, NULL);
    pthread_cond_init(&sink->changed, NULL);
    make_hooks(sink);
    return sink;
}

static bool start_threads(struct sink *sink, struct buf *error)
{
    for (unsigned i = 0; i < sink->options.threads; i++) {
        int failed = pthread_create(&sink->thread[i].id, NULL, thread_main, &sink->thread[i]);
        if (failed != 0) {
            buf_printf(error, "cannot start a thread: %s", strerror(failed));
            break;
        }
        sink->threads++;
    }
    pthread_mutex_lock(&sink->lock);
    while (sink->ready < sink->threads) {
        pthread_cond_wait(&sink->changed, &sink->lock);
    }
    if (error->len == 0) {
        buf_puts(error, buf_slice(&sink->failed));
    }
    pthread_mutex_unlock(&sink->lock);
    return error->len == 0;
}

struct sink *sink_start(const struct sink_options *options, struct buf *error)
{
    struct sink *sink = sink_new(options);
    bool bound = true;

    ASSERT(options->threads >= 1 && options->threads <= SINK_THREADS_MAX);
    if (options->listen_count > SINK_LISTEN_MAX) {
        buf_printf(error, "at most %d addresses to listen on", SINK_LISTEN_MAX);
        bound = false;
    }
    for (size_t i = 0; bound && i < options->listen_count; i++) {
        bound = bind_address(sink, i, error);
    }
    if (!bound || !start_threads(sink, error)) {
        sink_stop(sink, 0);
        sink_free(sink);
        return NULL;
    }
    return sink;
}

static void remove_socket_file(const struct address *a)
{
    if (a->to.ss_family == AF_UNIX) {
        unlink(((const struct sockaddr_un *)&a->to)->sun_path);
    }
}

void sink_stop(struct sink *sink, int64_t grace_us)
{
    pthread_mutex_lock(&sink->lock);
    sink->grace_us = grace_us;
    __atomic_store_n(&sink->stop, true, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < sink->threads; i++) {
        if (sink->thread[i].io != NULL) {
            io_wake(sink->thread[i].io);
        }
    }
    pthread_mutex_unlock(&sink->lock);
    for (unsigned i = 0; i < sink->threads; i++) {
        pthread_join(sink->thread[i].id, NULL);
    }
    sink->threads = 0;
}

void sink_free(struct sink *sink)
{
    for (unsigned i = 0; i < sink->options.threads; i++) {
        for (size_t k = 0; k < SINK_LISTEN_MAX; k++) {
            if (sink->thread[i].fd[k] >= 0) {
                close(sink->thread[i].fd[k]);
            }
        }
    }
    for (size_t i = 0; i < sink->options.listen_count && i < SINK_LISTEN_MAX; i++) {
        remove_socket_file(&sink->bound[i]);
    }
    ids_free(sink->greylist);
    buf_fini(&sink->failed);
    pthread_mutex_destroy(&sink->lock);
    pthread_cond_destroy(&sink->changed);
    mem_free(sink->thread);
    mem_free(sink);
}

/* ---- questions ---- */

size_t sink_listen_count(const struct sink *sink)
{
    return sink->options.listen_count;
}

void sink_put_address(const struct sink *sink, size_t i, struct buf *out)
{
    address_put(out, (const struct sockaddr *)&sink->bound[i].to, sink->bound[i].len);
}

enum io_backend sink_io(const struct sink *sink)
{
    return sink->io;
}

void sink_sum(const struct sink *sink, struct sink_stats *total)
{
    *total = (struct sink_stats){0};
    for (unsigned i = 0; i < sink->options.threads; i++) {
        sink_stats_merge(total, &sink->thread[i].stats);
    }
}
