/*
 * args.c - command lines, described once: the parser.
 *
 * Every message names the option as it was typed and says what to write instead.
 */
#include "engine/base/args.h"
#include "engine/base/args_value.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/suggest.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ARGS_OPTIONS_MAX = 96 };

struct parser {
    const struct args_command *command;
    int argc;
    char **argv;
    int at; /* the argument being read */
    char *target;
    struct args_list *operands;
    struct buf *out;
    bool seen[ARGS_OPTIONS_MAX];
};

static enum args_outcome bad(struct parser *p, const char *fmt, ...) PRINTF_LIKE(2, 3);

static enum args_outcome bad(struct parser *p, const char *fmt, ...)
{
    va_list args;

    buf_reset(p->out);
    va_start(args, fmt);
    buf_vprintf(p->out, fmt, args);
    va_end(args);
    return ARGS_BAD;
}

static void list_push(struct args_list *list, const char *item)
{
    /* Doubled at powers of two: no capacity to keep. */
    if ((list->count & (list->count - 1)) == 0) {
        size_t cap = list->count == 0 ? 1 : list->count * 2;
        list->items = mem_realloc(list->items, cap * sizeof(list->items[0]));
    }
    list->items[list->count++] = item;
}

void args_list_fini(struct args_list *list)
{
    mem_free(list->items);
    *list = (struct args_list){NULL, 0};
}

static const struct args_option *find_long(const struct args_command *command, struct slice name)
{
    for (const struct args_option *o = command->options; o != NULL && args_option_present(o); o++) {
        if (o->name != NULL && slice_eq(name, slice_cstr(o->name))) {
            return o;
        }
    }
    return NULL;
}

static const struct args_option *find_letter(const struct args_command *command, char letter)
{
    for (const struct args_option *o = command->options; o != NULL && args_option_present(o); o++) {
        if (o->letter == letter) {
            return o;
        }
    }
    return NULL;
}

static enum args_outcome unknown_long(struct parser *p, struct slice name)
{
    struct suggest s;

    suggest_init(&s, name);
    for (const struct args_option *o = p->command->options; o != NULL && args_option_present(o);
         o++) {
        if (o->name != NULL && !o->hidden) {
            suggest_offer(&s, slice_cstr(o->name));
        }
    }
    suggest_offer(&s, SLICE("help"));
    suggest_offer(&s, SLICE("version"));
    if (s.best.len > 0) {
        return bad(p, "unknown option --" SLICE_FMT ", did you mean --" SLICE_FMT "?",
                   SLICE_ARG(name), SLICE_ARG(s.best));
    }
    return bad(p, "unknown option --" SLICE_FMT, SLICE_ARG(name));
}

/* Stores the value of one option; NULL for a flag. */
static enum args_outcome take(struct parser *p, const struct args_option *o, const char *value)
{
    size_t index = (size_t)(o - p->command->options);

    ASSERT(index < ARGS_OPTIONS_MAX);
    if (p->seen[index] && o->kind != ARGS_LIST && o->kind != ARGS_FLAG) {
        return bad(p, "--%s is given twice; once is enough", o->name);
    }
    p->seen[index] = true;
    if (o->kind == ARGS_LIST) {
        if (value[0] == '\0') {
            return bad(p, "--%s is empty; write --%s=%s", o->name, o->name, o->value);
        }
        list_push((struct args_list *)(void *)(p->target + o->target), value);
        return ARGS_GO;
    }
    buf_reset(p->out);
    return args_store_value(o, value, p->target + o->target, p->out) ? ARGS_GO : ARGS_BAD;
}

/* The value of an option without "=": the next argument.  One that names an option of this
 * command was hardly meant as a value: `--from --to x` is a forgotten value. */
static enum args_outcome take_next(struct parser *p, const struct args_option *o, const char *typed)
{
    if (p->at + 1 >= p->argc) {
        return bad(p, "%s needs a value: --%s %s", typed, o->name, o->value);
    }
    const char *value = p->argv[p->at + 1];
    if (strncmp(value, "--", 2) == 0) {
        struct slice name = slice_cstr(value + 2);
        name.len = slice_find(name, '=');
        if (name.len == 0 || find_long(p->command, name) != NULL) {
            return bad(p, "%s needs a value, but %s follows; for such a value write --%s=%s", typed,
                       value, o->name, value);
        }
    }
    p->at++;
    return take(p, o, value);
}

static enum args_outcome parse_long(struct parser *p, const char *arg)
{
    struct slice name = slice_cstr(arg + 2);
    const char *equals = strchr(arg, '=');

    if (equals != NULL) {
        name.len = (size_t)(equals - (arg + 2));
    }
    if (slice_eq(name, SLICE("help"))) {
        args_put_help(p->out, p->command);
        return ARGS_HELP;
    }
    if (slice_eq(name, SLICE("version"))) {
        args_put_version(p->out);
        return ARGS_HELP;
    }
    const struct args_option *o = find_long(p->command, name);
    if (o == NULL) {
        return unknown_long(p, name);
    }
    if (o->kind == ARGS_FLAG) {
        return equals == NULL ? take(p, o, NULL)
                              : bad(p, "--%s takes no value; leave out %s", o->name, equals);
    }
    return equals != NULL ? take(p, o, equals + 1) : take_next(p, o, arg);
}

/* One argument of short options: flags together, the last one may have its value attached. */
static enum args_outcome parse_short(struct parser *p, const char *arg)
{
    if (arg[2] != '\0' && find_long(p->command, slice_cstr(arg + 1)) != NULL) {
        /* -count is not -c with a value: somebody forgot a dash. */
        return bad(p, "unknown option %s, did you mean -%s?", arg, arg);
    }
    for (const char *c = arg + 1; *c != '\0'; c++) {
        char typed[3] = {'-', *c, '\0'};
        const struct args_option *o = find_letter(p->command, *c);
        enum args_outcome outcome;
        if (o == NULL && *c == 'h') {
            args_put_help(p->out, p->command);
            return ARGS_HELP;
        }
        if (o == NULL) {
            return bad(p, "unknown option -%c", *c);
        }
        if (o->kind != ARGS_FLAG) {
            return c[1] != '\0' ? take(p, o, c + 1) : take_next(p, o, typed);
        }
        outcome = take(p, o, NULL);
        if (outcome != ARGS_GO) {
            return outcome;
        }
    }
    return ARGS_GO;
}

static enum args_outcome operand(struct parser *p, const char *arg)
{
    if (p->operands == NULL || p->operands->count >= p->command->operands_max) {
        return bad(p, "unexpected argument %s", arg);
    }
    list_push(p->operands, arg);
    return ARGS_GO;
}

static enum args_outcome check_required(struct parser *p)
{
    const struct args_command *command = p->command;

    for (size_t i = 0; command->options != NULL && args_option_present(&command->options[i]); i++) {
        const struct args_option *o = &command->options[i];
        if (o->required && !p->seen[i]) {
            return bad(p, "--%s %s is missing", o->name, o->value);
        }
    }
    if (p->operands != NULL && p->operands->count < command->operands_min) {
        return bad(p, "%s is missing", command->operand != NULL ? command->operand : "an argument");
    }
    return ARGS_GO;
}

enum args_outcome args_parse(const struct args_command *command, int argc, char **argv,
                             void *target, struct args_list *operands, struct buf *out)
{
    struct parser p = {.command = command,
                       .argc = argc,
                       .argv = argv,
                       .target = target,
                       .operands = operands,
                       .out = out};
    bool options_end = false;

    for (p.at = 1; p.at < argc; p.at++) {
        const char *arg = argv[p.at];
        enum args_outcome outcome;
        if (!options_end && strcmp(arg, "--") == 0) {
            options_end = true;
            continue;
        }
        /* A lone "-" is an operand or a value: standard input. */
        if (options_end || arg[0] != '-' || arg[1] == '\0') {
            outcome = operand(&p, arg);
        } else if (arg[1] == '-') {
            outcome = parse_long(&p, arg);
        } else {
            outcome = parse_short(&p, arg);
        }
        if (outcome != ARGS_GO) {
            return outcome;
        }
    }
    return check_required(&p);
}

int args_usage_error(const struct args_command *command, const char *fmt, ...)
{
    struct buf text = BUF_EMPTY;
    va_list args;

    va_start(args, fmt);
    buf_vprintf(&text, fmt, args);
    va_end(args);
    fprintf(stderr, "%s: " SLICE_FMT "\nSee '%s --help'.\n", command->name,
            SLICE_ARG(buf_slice(&text)), command->name);
    buf_fini(&text);
    return ARGS_EXIT_USAGE;
}

int args_main(const struct args_command *command, int argc, char **argv, void *target,
              struct args_list *operands)
{
    struct buf out = BUF_EMPTY;
    int code = -1;

    switch (args_parse(command, argc, argv, target, operands, &out)) {
    case ARGS_GO:
        break;
    case ARGS_HELP:
        /* `volley --help >/dev/full` must not look like a success. */
        code = fwrite(out.ptr, 1, out.len, stdout) == out.len && fflush(stdout) == 0
                   ? ARGS_EXIT_OK
                   : ARGS_EXIT_FAILED;
        break;
    case ARGS_BAD:
        code = args_usage_error(command, SLICE_FMT, SLICE_ARG(buf_slice(&out)));
        break;
    }
    buf_fini(&out);
    return code;
}
