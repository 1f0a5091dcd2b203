/*
 * commands.h - the commands of `volley`, one row each.
 *
 * A command is a table for the command line (engine/base/args.h) and a function, or further
 * commands.  To add one: write engine/cli/<name>.c with both, and a row in commands.c.
 */
#ifndef VOLLEY_CLI_COMMANDS_H
#define VOLLEY_CLI_COMMANDS_H

#include "engine/base/args.h"

/* argv[0] is the command's own word.  Returns the exit code: ARGS_EXIT_*. */
typedef int command_fn(int argc, char **argv);

struct command {
    const char *word;
    const struct args_command *args;
    command_fn *run;           /* NULL: it has subcommands */
    const struct command *sub; /* ended by a row without a word, in the order of the overview */
};

extern const struct command command_root; /* `volley` itself */
extern const struct command queue_commands[];

extern const struct args_command run_command, demo_command, check_command, help_command,
    send_command, queue_command;

int cmd_run(int argc, char **argv);
int cmd_demo(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_help(int argc, char **argv);
int cmd_send(int argc, char **argv);

/* All of `volley`: finds the command and runs it. */
int command_main(int argc, char **argv);

/* The table of a command, with its subcommands in `pairs`, for help and manual page. */
enum { COMMANDS_MAX = 24 };
struct args_command command_table(const struct command *command,
                                  struct args_pair pairs[COMMANDS_MAX + 1]);

/* The row for a word below `parent`, or NULL with a message on standard error that suggests
 * another. */
const struct command *command_find(const struct command *parent, const char *word);

#endif
