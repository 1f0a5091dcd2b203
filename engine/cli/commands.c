/*
 * commands.c - the commands of `volley`, and how one is found.
 */
#include "engine/cli/commands.h"
#include "engine/base/suggest.h"

#include <stdio.h>
#include <string.h>

static const struct command commands[] = {
    {"run", &run_command, cmd_run, NULL},
    {"send", &send_command, cmd_send, NULL},
    {"queue", &queue_command, NULL, queue_commands},
    {"demo", &demo_command, cmd_demo, NULL},
    {"check", &check_command, cmd_check, NULL},
    {"help", &help_command, cmd_help, NULL},
    {NULL, NULL, NULL, NULL},
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

static const struct args_command volley_command = {
    .name = "volley",
    .summary = "high-throughput bulk mail sending engine",
    .synopsis = "COMMAND [OPTION]...",
    .description = overview_text,
    .files = overview_files,
    .examples = overview_examples,
};

const struct command command_root = {"volley", &volley_command, NULL, commands};

struct args_command command_table(const struct command *command,
                                  struct args_pair pairs[COMMANDS_MAX + 1])
{
    struct args_command table = *command->args;
    size_t count = 0;

    for (const struct command *c = command->sub; c != NULL && c->word != NULL; c++) {
        ASSERT(count < COMMANDS_MAX);
        pairs[count++] = (struct args_pair){c->word, c->args->summary};
    }
    pairs[count] = (struct args_pair){NULL, NULL};
    table.commands = count > 0 ? pairs : NULL;
    return table;
}

const struct command *command_find(const struct command *parent, const char *word)
{
    const char *name = parent->args->name;
    struct suggest near;

    suggest_init(&near, slice_cstr(word));
    for (const struct command *c = parent->sub; c != NULL && c->word != NULL; c++) {
        if (strcmp(c->word, word) == 0) {
            return c;
        }
        suggest_offer(&near, slice_cstr(c->word));
    }
    fprintf(stderr, "%s: unknown command %s", name, word);
    if (near.best.len > 0) {
        fprintf(stderr, ", did you mean " SLICE_FMT "?", SLICE_ARG(near.best));
    }
    fprintf(stderr, "\nSee '%s --help'.\n", name);
    return NULL;
}

/* A command with subcommands: its options only ask (--help, --version). */
static int run_sub(const struct command *command, int argc, char **argv)
{
    struct args_pair pairs[COMMANDS_MAX + 1];
    struct args_command table = command_table(command, pairs);

    if (argc < 2) {
        struct buf help = BUF_EMPTY;
        args_put_help(&help, &table);
        fwrite(help.ptr, 1, help.len, stderr);
        buf_fini(&help);
        return ARGS_EXIT_USAGE;
    }
    if (argv[1][0] == '-') {
        int code = args_main(&table, 2, argv, NULL, NULL);
        return code >= 0 ? code : ARGS_EXIT_USAGE;
    }
    const struct command *sub = command_find(command, argv[1]);
    if (sub == NULL) {
        return ARGS_EXIT_USAGE;
    }
    return sub->sub != NULL ? run_sub(sub, argc - 1, argv + 1) : sub->run(argc - 1, argv + 1);
}

int command_main(int argc, char **argv)
{
    return run_sub(&command_root, argc, argv);
}
