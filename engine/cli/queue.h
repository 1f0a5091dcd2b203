/*
 * queue.h - the commands of `volley queue`, one row each (queue.c).
 */
#ifndef VOLLEY_CLI_QUEUE_H
#define VOLLEY_CLI_QUEUE_H

#include "engine/cli/commands.h"

extern const struct args_command queue_stats_command, queue_list_command, queue_show_command,
    queue_library_command, queue_pause_command, queue_resume_command, queue_cancel_command,
    queue_retry_command, queue_suppress_command;
extern const struct command queue_suppress_commands[];

int cmd_queue_stats(int argc, char **argv);
int cmd_queue_list(int argc, char **argv);
int cmd_queue_show(int argc, char **argv);
int cmd_queue_library(int argc, char **argv);
int cmd_queue_pause(int argc, char **argv);
int cmd_queue_resume(int argc, char **argv);
int cmd_queue_cancel(int argc, char **argv);
int cmd_queue_retry(int argc, char **argv);

#endif
