/*
 * run.c - volley run: the engine in the foreground.
 */
#include "engine/cli/commands.h"

#include "conf/conf.h"
#include "engine/base/args.h"
#include "engine/cli/where.h"
#include "engine/worker/engine.h"

#include <stddef.h>
#include <stdio.h>

struct run_options {
    const char *config;
    int log_level;
};

enum { LEVEL_FROM_CONFIG = -1 };

static const char *const description[] = {
    "Runs the engine in the foreground: claims jobs from the queue in Redis, delivers them, and "
    "writes an event for each outcome. Without a configuration file everything has its default: "
    "a private Redis in the state directory, mail goes to the MX of each domain.",
    "SIGTERM or SIGINT ends it: nothing new is started, what is on the wire may finish (at most "
    "shutdown_timeout), the rest goes back to the queue. A second signal cuts that short.",
    "SIGHUP reads the configuration again: limits, sources, routes, retry, timeouts and TLS change "
    "without a restart; io, workers, queue and DNS servers do not. One with mistakes is reported "
    "and changes nothing. It also opens events.file again, for programs that rotate files.",
    NULL};

static const struct args_option options[] = {{.name = "config",
                                              .letter = 'c',
                                              .kind = ARGS_TEXT,
                                              .value = "FILE",
                                              .target = offsetof(struct run_options, config),
                                              .help = "The configuration, YAML. Default: none."},
                                             {.name = "log-level",
                                              .kind = ARGS_CHOICE,
                                              .value = "error|warn|info|debug",
                                              .target = offsetof(struct run_options, log_level),
                                              .help = "Overrides log.level of the configuration."},
                                             {0}};

static const struct args_pair exit_codes[] = {
    {"0", "it was ended and has finished, or returned, everything"},
    {"1", "failed: it cannot start, or could not return everything"},
    {"2", "bad usage or configuration"},
    {0}};

static const struct args_pair examples[] = {
    {"volley run", "Runs with all defaults and a private Redis."},
    {"volley run -c /etc/volley/volley.yaml", "Runs as configured."},
    {0}};

static const struct args_pair environment[] = {
    {"STATE_DIRECTORY", "Where the node's id and the private Redis live, unless "
                        "queue.state_directory says so; systemd sets it. Default: "
                        "~/.local/share/volley."},
    {"JOURNAL_STREAM", "Set by systemd: log lines carry their priority and no time."},
    {0}};

const struct args_command run_command = {
    .name = "volley run",
    .summary = "run the engine in the foreground",
    .synopsis = "[-c FILE] [OPTION]...",
    .description = description,
    .options = options,
    .exit_codes = exit_codes,
    .examples = examples,
    .environment = environment,
    .see_also = "volley-check(1), volley-send(1)",
};

int cmd_run(int argc, char **argv)
{
    struct run_options o = {.log_level = LEVEL_FROM_CONFIG};
    struct conf_problems problems;
    int code = args_main(&run_command, argc, argv, &o, NULL);

    if (code >= 0) {
        return code;
    }
    struct conf *conf = conf_load(o.config, &problems);
    if (conf != NULL) {
        bool writable = conf_check_paths(conf, &problems);
        if (!where_check(conf, &problems) || !writable) {
            conf_unref(conf);
            conf = NULL;
        }
    }
    if (problems.count > 0) { /* with a configuration: warnings */
        struct buf text = BUF_EMPTY;
        conf_problems_put(&text, &problems);
        fprintf(stderr, SLICE_FMT, SLICE_ARG(buf_slice(&text)));
        buf_fini(&text);
    }
    conf_problems_fini(&problems);
    if (conf == NULL) {
        return ARGS_EXIT_USAGE;
    }
    log_set_level(
        (enum log_level)(o.log_level == LEVEL_FROM_CONFIG ? conf->log_level : o.log_level));
    code = engine_run(conf);
    conf_unref(conf);
    return code;
}
