/*
 * demo.c - volley demo: everything at work on this machine, nothing left behind.
 *
 * A directory under $TMPDIR holds it all: configuration, list, private Redis, logs.  The
 * programs are the real ones, started as a user would start them: volley-sink, volley run
 * (with an embedded Redis), volley send.  Whatever happens, Ctrl-C included, they are ended in
 * the order in which they depend on each other, and the directory is removed.
 */
#include "engine/cli/child.h"
#include "engine/cli/commands.h"
#include "engine/cli/demo_data.h"
#include "engine/cli/demo_events.h"
#include "engine/cli/progress.h"
#include "engine/cli/table.h"

#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/base/json.h"
#include "engine/base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_LEN = 512, START_MS = 20000, STOP_MS = 15000, SINK_STOP_MS = 5000, POLL_MS = 50 };

struct demo_options {
    uint64_t messages;
    uint64_t domains;
    bool json;
    bool keep;
};

struct demo {
    struct demo_options o;
    char programs[PATH_LEN - 32]; /* where volley and volley-sink are */
    char dir[PATH_LEN - 64];
    char log[PATH_LEN];
    struct child sink, engine, sender;
    struct buf sink_address;
    struct buf sink_report;
    struct demo_events events;
    struct buf why;
    uint64_t submitted; /* as volley send said; 0: not yet */
    int64_t started_us;
    int64_t ended_us;
};

static volatile sig_atomic_t interrupted;

static const char *const description[] = {
    "Shows Volley at work on this machine: starts a private Redis and a mail sink on loopback, "
    "sends a personalised letter to a list of made-up recipients, and reports how it went. It "
    "needs no configuration, sends nothing to the outside, and leaves nothing behind.",
    NULL};

static const struct args_option options[] = {
    {.name = "messages",
     .letter = 'n',
     .kind = ARGS_COUNT,
     .value = "N",
     .min = 1,
     .max = 10000000,
     .target = offsetof(struct demo_options, messages),
     .help = "Recipients (20000)."},
    {.name = "domains",
     .kind = ARGS_COUNT,
     .value = "N",
     .min = 1,
     .max = 100000,
     .target = offsetof(struct demo_options, domains),
     .help = "Domains they are in (500)."},
    {.name = "keep",
     .kind = ARGS_FLAG,
     .target = offsetof(struct demo_options, keep),
     .help = "Keeps the directory with configuration, logs and events."},
    {.name = "json",
     .kind = ARGS_FLAG,
     .target = offsetof(struct demo_options, json),
     .help = "Prints the report as one JSON object."},
    {0}};

const struct args_command demo_command = {
    .name = "volley demo",
    .summary = "see it at work, with nothing configured",
    .synopsis = "[OPTION]...",
    .description = description,
    .options = options,
    .see_also = "volley-send(1), volley-run(1)",
};

static void on_signal(int sig)
{
    (void)sig;
    interrupted = 1;
}

static void path_in(const struct demo *d, char out[PATH_LEN], const char *name)
{
    snprintf(out, PATH_LEN, "%s/%s", d->dir, name);
}

/* ---- preparing ---- */

static int find_programs(struct demo *d)
{
    ssize_t len = readlink("/proc/self/exe", d->programs, sizeof(d->programs) - 1);
    char sink[PATH_LEN];

    d->programs[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(d->programs, '/');
    if (slash == NULL) {
        BUF_LIT(&d->why, "cannot find out where this program is");
        return ERR_NOTFOUND;
    }
    *slash = '\0';
    snprintf(sink, sizeof(sink), "%s/volley-sink", d->programs);
    if (access(sink, X_OK) != 0) {
        buf_printf(&d->why, "%s is missing; build it with make", sink);
        return ERR_NOTFOUND;
    }
    return 0;
}

static int write_file(struct demo *d, const char *name, struct slice content)
{
    char path[PATH_LEN];

    path_in(d, path, name);
    FILE *f = fopen(path, "w");
    bool failed = f == NULL || fwrite(content.ptr, 1, content.len, f) != content.len;
    if ((f != NULL && fclose(f) != 0) || failed) {
        buf_printf(&d->why, "cannot write %s: %s", path, strerror(errno));
        return ERR_IO;
    }
    return 0;
}

static int make_directory(struct demo *d)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(d->dir, sizeof(d->dir), "%s/volley-demo-XXXXXX", tmp != NULL ? tmp : "/tmp");
    if (mkdtemp(d->dir) == NULL) {
        buf_printf(&d->why, "cannot make a directory %s: %s", d->dir, strerror(errno));
        d->dir[0] = '\0';
        return ERR_IO;
    }
    path_in(d, d->log, "log");
    return 0;
}

static int write_inputs(struct demo *d)
{
    struct buf conf = BUF_EMPTY;
    char list[PATH_LEN];

    buf_printf(&conf,
               "hostname: mta.kontor.example\n"
               "queue: {redis: embedded, state_directory: %s/state}\n"
               "sink: " SLICE_FMT "\n"
               "events: {file: %s/events.jsonl}\n"
               "log: {level: info}\n",
               d->dir, SLICE_ARG(buf_slice(&d->sink_address)), d->dir);
    int err = write_file(d, "volley.yaml", buf_slice(&conf));
    buf_fini(&conf);
    if (err == 0) {
        err = write_file(d, "letter.eml", demo_letter());
    }
    path_in(d, list, "list.csv");
    if (err == 0 && demo_write_list(list, d->o.messages, d->o.domains) != 0) {
        buf_printf(&d->why, "cannot write %s", list);
        err = ERR_IO;
    }
    return err;
}

/* ---- the programs ---- */

static int start_sink(struct demo *d)
{
    char program[PATH_LEN];
    char *argv[] = {program, "--listen",    "127.0.0.1:0", "--keep-last",
                    "1",     "--count-ids", "rcpt",        NULL};
    struct buf line = BUF_EMPTY;

    snprintf(program, sizeof(program), "%s/volley-sink", d->programs);
    int err = child_start(&d->sink, argv, d->log, true, &d->why);
    if (err == 0) {
        err = child_read_line(&d->sink, &line, START_MS);
        if (err != 0 || !slice_starts(buf_slice(&line), SLICE("listening "))) {
            buf_printf(&d->why, "volley-sink did not start");
            err = ERR_IO;
        } else {
            buf_puts(&d->sink_address, slice_from(buf_slice(&line), 10));
        }
    }
    buf_fini(&line);
    return err;
}

/* The engine is up when it has opened its events file: Redis runs by then. */
static int start_engine(struct demo *d)
{
    char program[PATH_LEN], conf[PATH_LEN], events[PATH_LEN];
    char *argv[] = {program, "run", "-c", conf, NULL};
    int64_t until_us = clock_mono_us() + (int64_t)START_MS * 1000;

    snprintf(program, sizeof(program), "%s/volley", d->programs);
    path_in(d, conf, "volley.yaml");
    path_in(d, events, "events.jsonl");
    int err = child_start(&d->engine, argv, d->log, false, &d->why);
    if (err != 0) {
        return err;
    }
    while (demo_events_open(&d->events, events) != 0) {
        if (child_ended(&d->engine) || clock_mono_us() > until_us || interrupted) {
            buf_printf(&d->why, "the engine did not start");
            return ERR_IO;
        }
        poll(NULL, 0, POLL_MS);
    }
    return 0;
}

static int start_sender(struct demo *d)
{
    char program[PATH_LEN], conf[PATH_LEN], list[PATH_LEN], letter[PATH_LEN];
    char *argv[] = {program,  "send", "-c",        conf,   "--from",     "post@kontor.example",
                    "--to",   list,   "--message", letter, "--campaign", "spring",
                    "--json", NULL};

    snprintf(program, sizeof(program), "%s/volley", d->programs);
    path_in(d, conf, "volley.yaml");
    path_in(d, list, "list.csv");
    path_in(d, letter, "letter.eml");
    d->started_us = clock_mono_us();
    return child_start(&d->sender, argv, d->log, true, &d->why);
}

/* Takes the count of jobs out of what `volley send --json` said at its end. */
static int sender_ended(struct demo *d)
{
    struct buf line = BUF_EMPTY;
    const char *field = "\"submitted\":";
    int err = ERR_IO;

    while (child_read_line(&d->sender, &line, START_MS) == 0) {
        buf_terminate(&line);
        const char *at = strstr(line.ptr, field);
        if (at != NULL) {
            d->submitted = strtoull(at + strlen(field), NULL, 10);
            err = 0;
        }
    }
    buf_fini(&line);
    if (err != 0 || d->sender.status != 0) {
        BUF_LIT(&d->why, "volley send failed");
        return ERR_IO;
    }
    return 0;
}

/* ---- running ---- */

static void show(struct demo *d, struct progress *p)
{
    struct progress_state state = {.title = "delivering",
                                   .unit = "letters",
                                   .count = d->events.delivered,
                                   .total = d->o.messages,
                                   .share = -1,
                                   .note = d->submitted == 0 ? "submitting" : NULL};

    progress_update(p, &state, clock_mono_us());
}

static int run(struct demo *d)
{
    struct progress p;
    int err = 0;

    progress_init(&p, STDERR_FILENO, d->o.json, clock_mono_us());
    while (err == 0 && !interrupted) {
        demo_events_read(&d->events);
        d->ended_us = clock_mono_us();
        show(d, &p);
        if (d->submitted > 0 && d->events.delivered + d->events.failed >= d->submitted) {
            break;
        }
        if (child_ended(&d->engine) || child_ended(&d->sink)) {
            BUF_LIT(&d->why, "a program ended before its time");
            err = ERR_IO;
        } else if (d->submitted == 0 && child_ended(&d->sender)) {
            err = sender_ended(d);
        } else {
            poll(NULL, 0, POLL_MS);
        }
    }
    progress_clear(&p);
    return err;
}

/* ---- the report ---- */

/* The number behind a line's label in the sink's statistics. */
static uint64_t sink_figure(const struct demo *d, const char *label)
{
    const char *at = d->sink_report.len > 0 ? strstr(d->sink_report.ptr, label) : NULL;

    return at != NULL ? strtoull(at + strlen(label), NULL, 10) : 0;
}

static struct slice sink_letter(const struct demo *d)
{
    const char *at = d->sink_report.len > 0 ? strstr(d->sink_report.ptr, "---- from") : NULL;

    return at != NULL ? slice_cstr(at) : SLICE_NONE;
}

static void print_json(struct demo *d, double seconds)
{
    struct buf out = BUF_EMPTY;

    json_object_open(&out);
    json_put_u64(&out, "submitted", d->submitted);
    json_put_u64(&out, "delivered", d->events.delivered);
    json_put_u64(&out, "failed", d->events.failed);
    json_put_u64(&out, "deferred", d->events.deferred);
    json_put_u64(&out, "arrived", sink_figure(d, "distinct ids"));
    json_put_u64(&out, "duplicates", sink_figure(d, "duplicates"));
    json_put_u64(&out, "elapsed_ms", (uint64_t)(seconds * 1000));
    json_put_u64(&out, "per_second", (uint64_t)((double)d->events.delivered / seconds));
    json_put_i64(&out, "p50_us", demo_events_percentile(&d->events, 0.50));
    json_put_i64(&out, "p99_us", demo_events_percentile(&d->events, 0.99));
    json_put_str(&out, "letter", sink_letter(d));
    json_object_close(&out);
    buf_putc(&out, '\n');
    fwrite(out.ptr, 1, out.len, stdout);
    buf_fini(&out);
}

static void row(struct table *t, const char *label, uint64_t value)
{
    struct buf number = BUF_EMPTY;

    table_put_count(&number, value);
    table_cell(t, slice_cstr(label));
    table_cell(t, buf_slice(&number));
    buf_fini(&number);
}

static void print_table(struct demo *d, double seconds)
{
    struct buf out = BUF_EMPTY;
    struct table t;

    buf_printf(&out, "One of the letters, as it arrived:\n\n" SLICE_FMT "\n",
               SLICE_ARG(sink_letter(d)));
    table_init(&t, "lr");
    row(&t, "submitted", d->submitted);
    row(&t, "delivered (250)", d->events.delivered);
    row(&t, "bounced or expired", d->events.failed);
    row(&t, "arrived at the sink, distinct recipients", sink_figure(d, "distinct ids"));
    row(&t, "arrived more than once", sink_figure(d, "duplicates"));
    table_rule(&t);
    table_cell(&t, SLICE("seconds, submission included"));
    table_cellf(&t, "%.2f", seconds);
    row(&t, "letters a second", (uint64_t)((double)d->events.delivered / seconds));
    table_cell(&t, SLICE("from submission to 250, median"));
    table_cellf(&t, "%.1f ms", (double)demo_events_percentile(&d->events, 0.50) / 1000);
    table_cell(&t, SLICE("from submission to 250, 99 of 100 within"));
    table_cellf(&t, "%.1f ms", (double)demo_events_percentile(&d->events, 0.99) / 1000);
    table_put(&out, &t, 2);
    table_fini(&t);
    fwrite(out.ptr, 1, out.len, stdout);
    buf_fini(&out);
}

/* ---- the end ---- */

static void read_sink_report(struct demo *d)
{
    struct buf line = BUF_EMPTY;

    while (child_read_line(&d->sink, &line, SINK_STOP_MS) == 0) {
        buf_puts(&d->sink_report, buf_slice(&line));
        buf_putc(&d->sink_report, '\n');
    }
    buf_terminate(&d->sink_report);
    buf_fini(&line);
}

static void stop_programs(struct demo *d)
{
    child_stop(&d->sender, SIGTERM, STOP_MS);
    child_stop(&d->engine, SIGTERM, STOP_MS);
    if (d->sink.pid > 0) {
        kill(d->sink.pid, SIGTERM);
        read_sink_report(d);
    }
    child_stop(&d->sink, SIGTERM, SINK_STOP_MS);
}

static void remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char *name;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            asprintf(&name, "%s/%s", path, entry->d_name) < 0) {
            continue;
        }
        struct stat st;
        if (lstat(name, &st) == 0 && S_ISDIR(st.st_mode)) {
            remove_tree(name);
        } else {
            unlink(name);
        }
        free(name);
    }
    if (dir != NULL) {
        closedir(dir);
    }
    rmdir(path);
}

/* The last lines of the log: what the programs had to say about a failure. */
static void print_log_tail(const struct demo *d)
{
    FILE *f = fopen(d->log, "r");
    char line[1024];

    if (f == NULL) {
        return;
    }
    if (fseek(f, -4096, SEEK_END) != 0) {
        rewind(f);
    }
    while (fgets(line, sizeof(line), f) != NULL) {
        fprintf(stderr, "  %s", line);
    }
    fclose(f);
}

static int demo(struct demo *d)
{
    int err = find_programs(d);

    if (err == 0) {
        err = make_directory(d);
    }
    if (err == 0) {
        err = start_sink(d);
    }
    if (err == 0) {
        err = write_inputs(d);
    }
    if (err == 0) {
        err = start_engine(d);
    }
    if (err == 0) {
        err = start_sender(d);
    }
    if (err == 0) {
        err = run(d);
    }
    stop_programs(d);
    if (err == 0 && !interrupted) {
        double seconds = (double)(d->ended_us - d->started_us) / 1e6;
        (d->o.json ? print_json : print_table)(d, seconds > 0 ? seconds : 1e-6);
    } else if (interrupted) {
        fprintf(stderr, "volley demo: interrupted; everything is stopped\n");
    } else {
        buf_terminate(&d->why);
        fprintf(stderr, "volley demo: %s\n", d->why.ptr);
        print_log_tail(d);
    }
    bool whole = d->submitted == d->o.messages && d->events.delivered == d->submitted;
    return err == 0 && !interrupted && whole ? 0 : 1;
}

int cmd_demo(int argc, char **argv)
{
    struct demo d = {.o = {.messages = 20000, .domains = 500}};
    struct sigaction action = {.sa_handler = on_signal};
    int code = args_main(&demo_command, argc, argv, &d.o, NULL);

    if (code >= 0) {
        return code;
    }
    d.events.fd = -1;
    d.sink.out_fd = d.engine.out_fd = d.sender.out_fd = -1;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    code = demo(&d);
    demo_events_close(&d.events);
    buf_fini(&d.sink_address);
    buf_fini(&d.sink_report);
    buf_fini(&d.why);
    if (d.o.keep && d.dir[0] != '\0') {
        fprintf(stderr, "kept: %s\n", d.dir);
    } else if (d.dir[0] != '\0') {
        remove_tree(d.dir);
    }
    return code;
}
