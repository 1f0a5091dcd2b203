/*
 * engine.c - the process: workers, node, state, signals.
 *
 * The main thread starts everything, then waits for signals; it takes no part in delivery.
 * Start: state directory and lock, embedded Redis, worker 0 with the node, the others.  The
 * end runs the other way round.
 */
#include "engine/worker/engine.h"

#include "engine/base/err.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/deliver/job.h"
#include "engine/tls/libcheck.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { REPORT_EVERY_S = 60 };

/* ---- from workers ---- */

void engine_fail(struct engine *e, int exit_code, const char *why)
{
    log_error("%s", why);
    pthread_mutex_lock(&e->lock);
    e->failed = true;
    e->exit_code = exit_code;
    pthread_mutex_unlock(&e->lock);
    pthread_kill(e->main_thread, SIGUSR1);
}

void engine_worker_closed(struct engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->running--;
    pthread_mutex_unlock(&e->lock);
    pthread_kill(e->main_thread, SIGUSR1);
}

void engine_hand_over(void *worker, unsigned to, struct mailbox_node *parcel)
{
    struct worker *from = worker;
    struct worker *w = &from->engine->workers[to];

    if (mailbox_push(&w->jobs, parcel) && w->io != NULL) { /* NULL: it did not start */
        io_wake(w->io);
    }
}

/* ---- start ---- */

static int open_redis(struct engine *e, struct buf *why)
{
    int err;

    if (strcmp(e->conf->queue.redis, "embedded") != 0) {
        err = redis_url_parse(&e->url, slice_cstr(e->conf->queue.redis), why);
        if (err == 0) {
            err = redis_url_open(&e->url, e->conf->queue.password, e->conf->queue.sentinel_password,
                                 why);
        }
        return err;
    }
    struct embedded_options options = {.dir = e->state.directory};
    e->embedded = embedded_start(&options, &err, why);
    if (e->embedded == NULL) {
        return err;
    }
    redis_url_copy(&e->url, embedded_url(e->embedded));
    return 0;
}

static int open_events_file(const char *file)
{
    return open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
}

static int open_events(struct engine *e, struct buf *why)
{
    const char *file = e->conf->events.file;

    e->events_fd = -1;
    if (file == NULL) {
        return 0;
    }
    e->events_fd = open_events_file(file);
    if (e->events_fd < 0) {
        int err = errno;
        buf_printf(why, "events.file %s: %s", file, strerror(err));
        return err_from_errno(err);
    }
    return 0;
}

static const struct replay_ops replay_ops = {.on_unanswered = recover_unanswered};

/* What a crash left behind is told when Redis is there (node.h). */
static void open_journal(struct engine *e)
{
    struct buf path = BUF_EMPTY;

    buf_printf(&path, "%s/journal", e->state.directory);
    buf_terminate(&path);
    e->journal = path.ptr;
    e->recover = (struct recover){
        .conf = e->conf, .node_id = slice_cstr(e->state.id), .events_fd = e->events_fd};
    rng_seed_os(&e->recover.rng);
    e->replay = replay_load(e->journal, &replay_ops, &e->recover);
}

/* Ten thousand connections want as many descriptors. */
static void raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 4096) {
        log_warn("only %llu open files are allowed: that bounds the connections; raise it "
                 "(LimitNOFILE= in the service file, or ulimit -n)",
                 (unsigned long long)limit.rlim_cur);
    }
}

static unsigned count_workers(const struct conf *conf)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned count = conf->workers > 0 ? conf->workers : cores > 0 ? (unsigned)cores : 1;

    return count < ENGINE_WORKERS_MAX ? count : ENGINE_WORKERS_MAX;
}

static bool wait_ready(struct engine *e, unsigned count)
{
    pthread_mutex_lock(&e->lock);
    while (e->ready < count) {
        pthread_cond_wait(&e->changed, &e->lock);
    }
    bool failed = e->failed;
    pthread_mutex_unlock(&e->lock);
    return !failed;
}

static void let_go(struct engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->go = true;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
}

static int start_workers(struct engine *e)
{
    int err = 0;

    e->worker_count = count_workers(e->conf);
    e->workers = mem_array(e->worker_count, sizeof(e->workers[0]));
    for (unsigned i = 0; i < e->worker_count; i++) {
        struct worker *w = &e->workers[i];
        w->engine = e;
        w->index = i;
        mailbox_init(&w->jobs);
        mailbox_init(&w->bells);
    }
    for (unsigned i = 0; err == 0 && i < e->worker_count; i++) {
        pthread_mutex_lock(&e->lock);
        e->running++;
        pthread_mutex_unlock(&e->lock);
        err = pthread_create(&e->workers[i].thread, NULL, worker_main, &e->workers[i]);
        if (err != 0) {
            log_error("cannot start worker %u: %s", i, strerror(err));
            pthread_mutex_lock(&e->lock);
            e->running--;
            pthread_mutex_unlock(&e->lock);
            err = ERR_LIMIT;
        } else {
            e->started = i + 1;
            err = wait_ready(e, i + 1) ? 0 : ERR_IO;
        }
    }
    let_go(e);
    return err;
}

/* ---- running ---- */

struct totals {
    uint64_t delivered, deferred, bounced, expired, suppressed, jobs, connections;
};

static void report(struct engine *e, struct totals *last)
{
    struct totals t = {0};

    for (unsigned i = 0; i < e->worker_count; i++) {
        /* Delivery of a worker ends only after the main thread said so. */
        const struct deliver_stats *s = deliver_stats(e->workers[i].deliver);
        t.delivered += atomic_load(&s->delivered);
        t.deferred += atomic_load(&s->deferred);
        t.bounced += atomic_load(&s->bounced);
        t.expired += atomic_load(&s->expired);
        t.suppressed += atomic_load(&s->suppressed);
        t.jobs += atomic_load(&s->jobs);
        t.connections += atomic_load(&s->connections);
    }
    if (t.delivered + t.deferred + t.bounced + t.expired + t.suppressed !=
        last->delivered + last->deferred + last->bounced + last->expired + last->suppressed) {
        log_info("last %d s: %llu delivered, %llu deferred, %llu bounced, %llu expired, "
                 "%llu suppressed; %llu jobs in hand, %llu connections",
                 REPORT_EVERY_S, (unsigned long long)(t.delivered - last->delivered),
                 (unsigned long long)(t.deferred - last->deferred),
                 (unsigned long long)(t.bounced - last->bounced),
                 (unsigned long long)(t.expired - last->expired),
                 (unsigned long long)(t.suppressed - last->suppressed), (unsigned long long)t.jobs,
                 (unsigned long long)t.connections);
    }
    *last = t;
}

static void stop_workers(struct engine *e)
{
    for (unsigned i = 0; i < e->started; i++) {
        worker_stop(&e->workers[i]);
    }
}

static bool is_over(struct engine *e, bool *failed)
{
    pthread_mutex_lock(&e->lock);
    bool over = e->running == 0;
    *failed = e->failed;
    pthread_mutex_unlock(&e->lock);
    return over;
}

/* Where there was a sink there may be no resolver, and a rehearsal must not turn into real
 * mail under way. */
static bool same_sink(const struct conf_sink *a, const struct conf_sink *b)
{
    return (a->address.host == NULL) == (b->address.host == NULL) && a->dns == b->dns;
}

/* Programs that rotate files move the old one away and then send a HUP.  The new one comes under
 * the descriptor that the workers write to, so that no line is lost. */
static void reopen_events(struct engine *e)
{
    const char *file = e->conf->events.file;

    if (e->events_fd < 0) {
        return;
    }
    int fd = open_events_file(file);
    if (fd < 0 || dup3(fd, e->events_fd, O_CLOEXEC) < 0) {
        log_error("events.file %s cannot be opened again: %s; events go on into the file that was "
                  "open",
                  file, strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
}

/* A configuration with errors changes nothing. */
static void reload(struct engine *e)
{
    struct conf_problems problems;
    struct conf *conf = conf_load(e->conf->file, &problems);

    if (conf == NULL) {
        struct buf text = BUF_EMPTY;
        conf_problems_put(&text, &problems);
        log_error("reload: the configuration has errors and is not taken over: " SLICE_FMT,
                  SLICE_ARG(slice_trim(buf_slice(&text))));
        buf_fini(&text);
    } else if (!same_sink(&e->conf->sink, &conf->sink)) {
        log_error("reload: `sink` cannot change while the engine runs, and nothing is taken "
                  "over; restart it for that");
        conf_unref(conf);
    } else {
        for (unsigned i = 0; i < e->started; i++) {
            worker_configure(&e->workers[i], conf);
        }
        conf_unref(e->reloaded);
        e->reloaded = conf;
        log_info("reload: %s is in force",
                 conf->file != NULL ? conf->file : "no file, all defaults");
    }
    conf_problems_fini(&problems);
}

/* Until every worker's delivery is over. */
static void wait_signals(struct engine *e, const sigset_t *set, bool stopping)
{
    struct totals totals = {0};
    struct timespec every = {.tv_sec = REPORT_EVERY_S};
    bool failed;

    while (!is_over(e, &failed)) {
        if (failed && !stopping) {
            stopping = true;
            stop_workers(e);
        }
        int sig = sigtimedwait(set, NULL, &every);
        if (sig < 0 && errno == EAGAIN && !stopping) {
            report(e, &totals);
        } else if (sig == SIGTERM || sig == SIGINT) {
            log_info(stopping ? "stopping at once"
                              : "stopping: finishing what is on the wire, returning the rest");
            stopping = true;
            stop_workers(e);
        } else if (sig == SIGHUP) {
            reopen_events(e);
            reload(e);
        }
    }
}

/* ---- end ---- */

static void free_parcels(struct worker *w)
{
    struct mailbox_node *at = mailbox_take(&w->jobs);

    while (at != NULL) {
        struct job *j = CONTAINER_OF(at, struct job, parcel);
        at = at->next;
        job_free(j);
    }
    at = mailbox_take(&w->bells);
    while (at != NULL) {
        struct mailbox_node *next = at->next;
        mem_free(at);
        at = next;
    }
}

static void end_workers(struct engine *e)
{
    for (unsigned i = 0; i < e->started; i++) {
        pthread_join(e->workers[i].thread, NULL);
    }
    for (unsigned i = 0; i < e->started; i++) {
        free_parcels(&e->workers[i]);
        conf_unref(atomic_exchange(&e->workers[i].next_conf, NULL));
        if (e->workers[i].io != NULL) {
            io_free(e->workers[i].io);
        }
    }
    mem_free(e->workers);
}

static void engine_close(struct engine *e)
{
    if (e->embedded != NULL) {
        embedded_stop(e->embedded);
    }
    if (e->events_fd >= 0) {
        close(e->events_fd);
    }
    replay_free(e->replay);
    mem_free(e->journal);
    conf_unref(e->reloaded);
    redis_url_fini(&e->url);
    tls_trust_unref(e->trust);
    state_close(&e->state);
    pthread_mutex_destroy(&e->lock);
    pthread_cond_destroy(&e->changed);
}

static int engine_open(struct engine *e, const struct conf *conf, struct buf *why)
{
    struct buf no_trust = BUF_EMPTY;

    *e = (struct engine){.conf = conf, .events_fd = -1, .main_thread = pthread_self()};
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->changed, NULL);
    e->state.lock_fd = -1;
    raise_descriptors();
    int err = tls_libcrypto_check(why);
    if (err == 0) {
        err = state_open(&e->state, conf->queue.state_directory, conf->hostname, why);
    }
    if (err == 0) {
        err = open_redis(e, why);
    }
    if (err == 0) {
        err = open_events(e, why);
    }
    if (err == 0) {
        open_journal(e);
    }
    e->trust = tls_trust_load(NULL, &no_trust); /* only level verify needs it */
    buf_fini(&no_trust);
    return err;
}

int engine_run(const struct conf *conf)
{
    struct buf why = BUF_EMPTY;
    struct engine e;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (engine_open(&e, conf, &why) != 0) {
        buf_terminate(&why);
        log_error("%s", why.ptr);
        buf_fini(&why);
        engine_close(&e);
        return 1;
    }
    bool started = start_workers(&e) == 0;
    if (started) {
        struct buf url = BUF_EMPTY;
        redis_url_put(&url, &e.url);
        log_info("volley %s: node %s, %u workers on %s, Redis at " SLICE_FMT, VOLLEY_VERSION,
                 e.state.id, e.worker_count,
                 io_backend(e.workers[0].io) == IO_URING ? "io_uring" : "epoll",
                 SLICE_ARG(buf_slice(&url)));
        buf_fini(&url);
    } else {
        stop_workers(&e);
    }
    wait_signals(&e, &set, !started);
    end_workers(&e);
    int code = e.failed || !started ? (e.exit_code != 0 ? e.exit_code : 1) : 0;
    engine_close(&e);
    log_info("stopped");
    return code;
}
