/*
 * bench_main.c - volley-bench: the benchmarks.
 */
#include "bench/bench_cmds.h"
#include "engine/base/suggest.h"

#include <string.h>

static const struct bench_cmd commands[] = {
    {&bench_floor_command, bench_floor_run},
    {&bench_quick_command, bench_quick_run},
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

int main(int argc, char **argv)
{
    struct suggest near;
    struct args_list operands = {NULL, 0};

    if (argc < 2 || argv[1][0] == '-') {
        int code = args_main(&bench_command, argc, argv, NULL, &operands);
        args_list_fini(&operands);
        return code >= 0 ? code : args_usage_error(&bench_command, "COMMAND is missing");
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
