/*
 * bench_cmds.h - the subcommands of volley-bench.
 */
#ifndef VOLLEY_BENCH_BENCH_CMDS_H
#define VOLLEY_BENCH_BENCH_CMDS_H

#include "engine/base/args.h"

struct bench_cmd {
    const struct args_command *command;
    int (*run)(int argc, char **argv); /* argv[0] is the subcommand; returns the exit code */
};

extern const struct args_command bench_floor_command;
int bench_floor_run(int argc, char **argv);

extern const struct args_command bench_quick_command;
int bench_quick_run(int argc, char **argv);

#endif
