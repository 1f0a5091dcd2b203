/*
 * queue.c - `volley queue`: looking into the queue, and telling it what to do.
 *
 * The commands work on Redis alone: no engine has to run.
 */
#include "engine/cli/queue.h"

const struct command queue_commands[] = {
    {"stats", &queue_stats_command, cmd_queue_stats, NULL},
    {"list", &queue_list_command, cmd_queue_list, NULL},
    {"show", &queue_show_command, cmd_queue_show, NULL},
    {"pause", &queue_pause_command, cmd_queue_pause, NULL},
    {"resume", &queue_resume_command, cmd_queue_resume, NULL},
    {"cancel", &queue_cancel_command, cmd_queue_cancel, NULL},
    {"retry", &queue_retry_command, cmd_queue_retry, NULL},
    {"suppress", &queue_suppress_command, NULL, queue_suppress_commands},
    {"library", &queue_library_command, cmd_queue_library, NULL},
    {NULL, NULL, NULL, NULL},
};

static const char *const description[] = {
    "Looks into the queue in Redis, and says what is to become of the jobs in it. No engine has to "
    "run: these commands speak to Redis alone.",
    "Counts, and the ages of the oldest, are exact at the moment they were read. No command reads "
    "a big key whole, so they may be used on a queue of any size while it works.",
    "Each command explains itself: volley queue COMMAND --help.",
    NULL,
};

static const struct args_pair examples[] = {
    {"volley queue stats", "What waits, where, since when:"},
    {"volley queue list --domain example.org --limit 5", "Some jobs for a domain:"},
    {"volley queue pause --campaign march", "Stops a campaign until it is resumed:"},
    {NULL, NULL},
};

const struct args_command queue_command = {
    .name = "volley queue",
    .summary = "look into the queue; pause, cancel or retry what is in it",
    .synopsis = "COMMAND [OPTION]...",
    .description = description,
    .examples = examples,
    .see_also = "volley(1), volley-run(1), volley-send(1)",
};
