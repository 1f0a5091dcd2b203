/*
 * bench_main.c - volley-bench: the benchmarks.
 */
#include "bench/bench_cmds.h"
#include "engine/base/suggest.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const struct bench_cmd commands[] = {
    {&bench_floor_command, bench_floor_run},
    {&bench_quick_command, bench_quick_run},
};

struct bench_args {
    bool man;
};

static const struct args_option options[] = {
    {.name = "man",
     .target = offsetof(struct bench_args, man),
     .hidden = true,
     .help = "Prints the manual page (roff)."},
    {0},
};

static const char *const description[] = {
    "Measures. Each command has a --help of its own.",
    NULL,
};

static const struct args_pair overview[] = {
    {"floor", "what sending must cost at least"},
    {"quick", "one run of the engine, with the floor to compare"},
    {0},
};

static const struct args_command bench_command = {
    .name = "volley-bench",
    .summary = "the benchmarks",
    .synopsis = "COMMAND [OPTION]...",
    .description = description,
    .options = options,
    .operands_max = 1,
    .operand = "COMMAND",
    .commands = overview,
    .see_also = "volley-sink(1), volley-run(1)",
};

/* "floor" of "volley-bench floor". */
static struct slice short_name(const struct bench_cmd *c)
{
    return slice_cstr(strrchr(c->command->name, ' ') + 1);
}

static int print_man(void)
{
    struct buf out = BUF_EMPTY;

    args_put_man(&out, &bench_command, "");
    bool written = fwrite(out.ptr, 1, out.len, stdout) == out.len && fflush(stdout) == 0;
    buf_fini(&out);
    return written ? ARGS_EXIT_OK : ARGS_EXIT_FAILED;
}

static int without_command(int argc, char **argv)
{
    struct bench_args args = {.man = false};
    struct args_list operands = {NULL, 0};
    int code = args_main(&bench_command, argc, argv, &args, &operands);

    args_list_fini(&operands);
    if (code >= 0) {
        return code;
    }
    return args.man ? print_man() : args_usage_error(&bench_command, "COMMAND is missing");
}

int main(int argc, char **argv)
{
    struct suggest near;

    if (argc < 2 || argv[1][0] == '-') {
        return without_command(argc, argv);
    }
    suggest_init(&near, slice_cstr(argv[1]));
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (slice_eq(slice_cstr(argv[1]), short_name(&commands[i]))) {
            return commands[i].run(argc - 1, argv + 1);
        }
        suggest_offer(&near, short_name(&commands[i]));
    }
    if (near.best.len > 0) {
        return args_usage_error(&bench_command, "unknown command %s, did you mean " SLICE_FMT "?",
                                argv[1], SLICE_ARG(near.best));
    }
    return args_usage_error(&bench_command, "unknown command %s", argv[1]);
}
