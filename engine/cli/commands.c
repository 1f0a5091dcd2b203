/*
 * commands.c - the commands of `volley`, and how one is found.
 */
#include "engine/cli/commands.h"
#include "engine/base/suggest.h"

#include <stdio.h>
#include <string.h>

const struct command commands[] = {
    {"run", &run_command, cmd_run},    {"send", &send_command, cmd_send},
    {"demo", &demo_command, cmd_demo}, {"check", &check_command, cmd_check},
    {"help", &help_command, cmd_help}, {NULL, NULL, NULL},
};

static const char *const overview_text[] = {
    "Volley sends letters in bulk: jobs wait in Redis, limits for every destination say how fast "
    "they may go, and many pipelined SMTP connections carry them.",
    "Each command explains itself: volley COMMAND --help.",
    NULL,
};

static const struct args_pair overview_files[] = {
    {"/etc/volley/volley.yaml", "configuration of the service; every key has a default"},
    {NULL, NULL},
};

static const struct args_pair overview_examples[] = {
    {"volley demo", "See it at work, with nothing configured:"},
    {"volley help --config-reference", "All keys of the configuration:"},
    {NULL, NULL},
};

struct args_command command_overview(struct args_pair pairs[COMMANDS_MAX + 1])
{
    size_t count = 0;

    for (const struct command *c = commands; c->word != NULL; c++) {
        ASSERT(count < COMMANDS_MAX);
        pairs[count++] = (struct args_pair){c->word, c->args->summary};
    }
    pairs[count] = (struct args_pair){NULL, NULL};
    return (struct args_command){
        .name = "volley",
        .summary = "high-throughput bulk mail sending engine",
        .synopsis = "COMMAND [OPTION]...",
        .description = overview_text,
        .commands = pairs,
        .files = overview_files,
        .examples = overview_examples,
    };
}

const struct command *command_find(const char *word)
{
    struct suggest near;

    suggest_init(&near, slice_cstr(word));
    for (const struct command *c = commands; c->word != NULL; c++) {
        if (strcmp(c->word, word) == 0) {
            return c;
        }
        suggest_offer(&near, slice_cstr(c->word));
    }
    fprintf(stderr, "volley: unknown command %s", word);
    if (near.best.len > 0) {
        fprintf(stderr, ", did you mean " SLICE_FMT "?", SLICE_ARG(near.best));
    }
    fprintf(stderr, "\nSee 'volley --help'.\n");
    return NULL;
}

int command_main(int argc, char **argv)
{
    struct args_pair pairs[COMMANDS_MAX + 1];
    struct args_command overview = command_overview(pairs);

    if (argc < 2) {
        struct buf help = BUF_EMPTY;
        args_put_help(&help, &overview);
        fwrite(help.ptr, 1, help.len, stderr);
        buf_fini(&help);
        return ARGS_EXIT_USAGE;
    }
    if (argv[1][0] == '-') {
        /* Options come before the command only to ask: --help, --version. */
        int code = args_main(&overview, 2, argv, NULL, NULL);
        return code >= 0 ? code : ARGS_EXIT_USAGE;
    }
    const struct command *command = command_find(argv[1]);
    return command != NULL ? command->run(argc - 1, argv + 1) : ARGS_EXIT_USAGE;
}
