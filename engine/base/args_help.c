/*
 * args_help.c - command lines, described once: what `--help` prints.
 */
#include "engine/base/args_value.h"

#include <string.h>

/* Where terms start, where their text starts, and where example commands start. */
enum { TERM_INDENT = 2, TERM_COLUMN = 26, COMMAND_INDENT = 4 };

static void put_spaces(struct buf *out, size_t count)
{
    buf_printf(out, "%*s", (int)count, "");
}

/* Columns that a run of UTF-8 takes; nobody here writes wide or combining characters. */
static size_t columns(struct slice s)
{
    size_t count = 0;

    for (size_t i = 0; i < s.len; i++) {
        count += ((unsigned char)s.ptr[i] & 0xc0) != 0x80;
    }
    return count;
}

void args_put_wrapped(struct buf *out, const char *text, size_t column, size_t indent)
{
    struct slice rest = slice_cstr(text), word;
    bool first = true;

    while (slice_next(&rest, ' ', &word)) {
        size_t width = columns(word);
        if (width == 0) {
            continue;
        }
        if (!first && column + 1 + width > ARGS_HELP_WIDTH) {
            buf_putc(out, '\n');
            put_spaces(out, indent);
            column = indent;
        } else if (!first) {
            buf_putc(out, ' ');
            column++;
        }
        buf_puts(out, word);
        column += width;
        first = false;
    }
}

void args_put_version(struct buf *out)
{
    BUF_LIT(out, "volley " VOLLEY_VERSION "\n");
}

const struct args_pair *args_exit_codes(const struct args_command *command)
{
    static const struct args_pair usual[] = {
        {"0", "done"},
        {"1", "failed"},
        {"2", "bad usage or configuration"},
        {"75", "temporary: Redis cannot be reached; try again"},
        {NULL, NULL},
    };

    return command->exit_codes != NULL ? command->exit_codes : usual;
}

void args_put_option_name(struct buf *out, const struct args_option *o)
{
    if (o->letter != '\0') {
        buf_printf(out, "-%c, --%s", o->letter, o->name);
    } else {
        buf_printf(out, "    --%s", o->name);
    }
    if (o->kind != ARGS_FLAG) {
        buf_printf(out, " %s", o->value);
    }
}

/* A term and its text, side by side where the term is short. */
static void put_entry(struct buf *out, struct slice term, const char *text)
{
    size_t column = TERM_INDENT + columns(term);

    put_spaces(out, TERM_INDENT);
    buf_puts(out, term);
    if (column + 2 > TERM_COLUMN) {
        buf_putc(out, '\n');
        column = 0;
    }
    put_spaces(out, TERM_COLUMN - column);
    args_put_wrapped(out, text, TERM_COLUMN, TERM_COLUMN);
    buf_putc(out, '\n');
}

static void put_pairs(struct buf *out, const char *title, const struct args_pair *pairs)
{
    if (pairs == NULL) {
        return;
    }
    buf_printf(out, "\n%s:\n", title);
    for (; pairs->term != NULL; pairs++) {
        put_entry(out, slice_cstr(pairs->term), pairs->text);
    }
}

static void put_options(struct buf *out, const struct args_option *o)
{
    struct buf name = BUF_EMPTY;

    BUF_LIT(out, "\nOptions:\n");
    for (; o != NULL && args_option_present(o); o++) {
        if (o->heading != NULL) {
            buf_printf(out, "\n%s:\n", o->heading);
        } else if (!o->hidden) {
            buf_reset(&name);
            args_put_option_name(&name, o);
            put_entry(out, buf_slice(&name), o->help);
        }
    }
    put_entry(out, SLICE("-h, --help"), "Prints this text.");
    put_entry(out, SLICE("    --version"), "Prints the version.");
    buf_fini(&name);
}

/* How far a command line can be taken without a place to break it: a space outside of quotes
 * that an option follows. */
static size_t unbroken(struct slice line)
{
    char quote = '\0';

    for (size_t i = 0; i + 1 < line.len; i++) {
        char c = line.ptr[i];
        if (quote != '\0') {
            quote = c == quote ? '\0' : quote;
        } else if (c == '"' || c == '\'') {
            quote = c;
        } else if (i > 0 && c == ' ' && line.ptr[i + 1] == '-') {
            return i;
        }
    }
    return line.len;
}

/* A command line, continued with backslashes where it is too long. */
static void put_command_line(struct buf *out, const char *line)
{
    struct slice rest = slice_cstr(line);
    size_t column = COMMAND_INDENT;

    put_spaces(out, COMMAND_INDENT);
    while (rest.len > 0) {
        struct slice part = slice_of(rest.ptr, unbroken(rest));
        /* Two columns are kept for the backslash. */
        if (column > COMMAND_INDENT && column + columns(part) + 2 > ARGS_HELP_WIDTH) {
            BUF_LIT(out, " \\\n");
            column = 2 * COMMAND_INDENT - 1; /* the part brings a space along */
            put_spaces(out, column);
        }
        buf_puts(out, part);
        column += columns(part);
        rest = slice_from(rest, part.len);
    }
    buf_putc(out, '\n');
}

static void put_examples(struct buf *out, const struct args_pair *pairs)
{
    if (pairs == NULL) {
        return;
    }
    BUF_LIT(out, "\nExamples:\n");
    for (; pairs->term != NULL; pairs++) {
        put_spaces(out, TERM_INDENT);
        args_put_wrapped(out, pairs->text, TERM_INDENT, TERM_INDENT);
        buf_putc(out, '\n');
        put_command_line(out, pairs->term);
    }
}

void args_put_help(struct buf *out, const struct args_command *command)
{
    buf_printf(out, "%s - %s\n\n", command->name, command->summary);
    buf_printf(out, "Usage: %s", command->name);
    if (command->synopsis[0] != '\0') {
        size_t indent = 7 + strlen(command->name) + 1;
        buf_putc(out, ' ');
        args_put_wrapped(out, command->synopsis, indent, indent);
    }
    buf_putc(out, '\n');
    for (size_t i = 0; command->description != NULL && command->description[i] != NULL; i++) {
        const char *paragraph = command->description[i];
        buf_putc(out, '\n');
        if (paragraph[0] == ' ') {
            buf_puts(out, slice_cstr(paragraph));
        } else {
            args_put_wrapped(out, paragraph, 0, 0);
        }
        buf_putc(out, '\n');
    }
    put_pairs(out, "Commands", command->commands);
    put_options(out, command->options);
    for (const struct args_section *s = command->sections; s != NULL && s->title != NULL; s++) {
        put_pairs(out, s->title, s->pairs);
    }
    put_pairs(out, "Exit codes", args_exit_codes(command));
    put_pairs(out, "Files", command->files);
    put_pairs(out, "Environment", command->environment);
    put_examples(out, command->examples);
}
