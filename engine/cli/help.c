/*
 * help.c - `volley help`: the tables of all commands, as text, manual pages and reference.
 */
#include "conf/conf.h"
#include "engine/cli/commands.h"

#include <stdio.h>

struct help_options {
    bool man, reference;
    const char *date;
};

static const struct args_option options[] = {
    {.name = "man",
     .kind = ARGS_FLAG,
     .target = offsetof(struct help_options, man),
     .help = "Prints the manual page (roff) instead."},
    {.name = "date",
     .kind = ARGS_TEXT,
     .value = "DATE",
     .hidden = true,
     .target = offsetof(struct help_options, date),
     .help = "Date of the manual page, so that builds repeat."},
    {.name = "config-reference",
     .kind = ARGS_FLAG,
     .target = offsetof(struct help_options, reference),
     .help = "Prints all keys of the configuration as a Markdown table."},
    {.name = NULL},
};

static const char *const description[] = {
    "Without a command, an overview; with one, what COMMAND --help prints.",
    NULL,
};

const struct args_command help_command = {
    .name = "volley help",
    .summary = "explain a command, or the configuration",
    .synopsis = "[COMMAND]... [OPTION]...",
    .description = description,
    .options = options,
    .operands_max = 3,
    .operand = "COMMAND",
};

static void put_command(struct buf *out, const struct args_command *args,
                        const struct help_options *o)
{
    if (o->man) {
        args_put_man(out, args, o->date);
    } else {
        args_put_help(out, args);
    }
}

static int help(const struct help_options *o, const struct args_list *operands, struct buf *out)
{
    const struct command *command = &command_root;
    struct args_pair pairs[COMMANDS_MAX + 1];

    if (o->reference) {
        conf_put_reference(out);
        return ARGS_EXIT_OK;
    }
    for (size_t i = 0; i < operands->count; i++) {
        command = command_find(command, operands->items[i]);
        if (command == NULL) {
            return ARGS_EXIT_USAGE;
        }
    }
    struct args_command table = command_table(command, pairs);
    put_command(out, &table, o);
    return ARGS_EXIT_OK;
}

int cmd_help(int argc, char **argv)
{
    struct help_options o = {.date = ""};
    struct args_list operands = {NULL, 0};
    struct buf out = BUF_EMPTY;
    int code = args_main(&help_command, argc, argv, &o, &operands);

    if (code < 0) {
        code = help(&o, &operands, &out);
        if (fwrite(out.ptr, 1, out.len, stdout) != out.len || fflush(stdout) != 0) {
            code = ARGS_EXIT_FAILED;
        }
    }
    buf_fini(&out);
    args_list_fini(&operands);
    return code;
}
