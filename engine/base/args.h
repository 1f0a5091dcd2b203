/*
 * args.h - command lines, described once.
 *
 * A struct args_command is one constant table.  The parser, `--help` and the man page all
 * read it, so none of them can say something that the others do not.
 *
 *     struct send_options { const char *from; struct args_list var; bool follow; };
 *
 *     static const struct args_option options[] = {
 *         {.name = "from", .kind = ARGS_TEXT, .value = "ADDRESS", .required = true,
 *          .target = offsetof(struct send_options, from), .help = "Envelope sender."},
 *         {.name = "var", .kind = ARGS_LIST, .value = "KEY=VALUE",
 *          .target = offsetof(struct send_options, var), .help = "A merge value for all rows."},
 *         {.name = "follow", .letter = 'f', .kind = ARGS_FLAG,
 *          .target = offsetof(struct send_options, follow), .help = "Waits for the outcomes."},
 *         {0}};
 *
 *     static const struct args_command command = {.name = "volley send", ...};
 *
 *     struct send_options o = {.from = NULL};             (the defaults)
 *     int code = args_main(&command, argc, argv, &o, NULL);
 *     if (code >= 0) { return code; }
 *
 * Accepted forms: `--from A`, `--from=A`, `-c FILE`, `-cFILE`, flags together as in `-jv`,
 * options after operands, and `--` before operands that start with a dash.  Options are not
 * abbreviated: a script must not change its meaning when an option is added.  `-h`, `--help`
 * and `--version` belong to every command and are not in the tables.
 */
#ifndef VOLLEY_BASE_ARGS_H
#define VOLLEY_BASE_ARGS_H

#include "engine/base/buf.h"
#include "engine/base/slice.h"

enum { ARGS_EXIT_OK = 0, ARGS_EXIT_FAILED = 1, ARGS_EXIT_USAGE = 2, ARGS_EXIT_TEMPORARY = 75 };

/* What an option's value is, and the type its target must have. */
enum args_kind {
    ARGS_FLAG,     /* bool; takes no value */
    ARGS_TEXT,     /* const char *; not empty unless `may_be_empty` */
    ARGS_LIST,     /* struct args_list; may be repeated */
    ARGS_COUNT,    /* uint64_t within min..max */
    ARGS_DURATION, /* int64_t microseconds within min..max; "90s", "15m" */
    ARGS_BYTES,    /* uint64_t within min..max; "64KB" */
    ARGS_RATE,     /* struct rate; "100/s", "20/m burst 5" */
    ARGS_TIME,     /* int64_t wall clock microseconds; RFC 3339 or unix seconds */
    ARGS_SHARE,    /* double 0..1; "5%" or "0.05" */
    ARGS_CHOICE    /* int: which of the words in `value` ("auto|uring|epoll"), from 0 */
};

struct args_list {
    const char **items; /* the strings are argv's; free the array with args_list_fini() */
    size_t count;
};

/* A table of options ends with a zeroed entry.  An entry with only a `heading` starts a
 * group in the help. */
struct args_option {
    const char *heading; /* such as "Faults"; then nothing else is set */
    const char *name;    /* long name without the dashes */
    char letter;         /* short name, or 0 */
    enum args_kind kind;
    bool required;
    bool may_be_empty; /* ARGS_TEXT: `--from=` means an empty string (the null sender) */
    bool hidden;       /* parsed, but in neither help nor man page */
    const char *value; /* what the value is called, "FILE"; for ARGS_CHOICE the words */
    size_t target;     /* offsetof() in the caller's structure of options */
    uint64_t min, max; /* where a range applies; max 0: none beyond the type's */
    const char *help;  /* one or more sentences; defaults are named here */
};

/* Tables of pairs end with a zeroed entry. */
struct args_pair {
    const char *term;
    const char *text;
};

/* Further tables of pairs, such as the words of a small language.  Ends with a zeroed entry. */
struct args_section {
    const char *title; /* "Magic recipients" */
    const struct args_pair *pairs;
};

struct args_command {
    const char *name;     /* as typed: "volley send" */
    const char *summary;  /* one line without a full stop */
    const char *synopsis; /* what follows the name: "--from ADDRESS --to FILE [OPTION]..." */
    /* Paragraphs, ended by NULL.  One that starts with a space is printed as it stands. */
    const char *const *description;
    const struct args_option *options;
    size_t operands_min, operands_max;   /* max 0: takes none; SIZE_MAX: any number */
    const char *operand;                 /* what one is called in messages: "FILE" */
    const struct args_pair *commands;    /* subcommands, for the overview; or NULL */
    const struct args_section *sections; /* between options and exit codes; or NULL */
    const struct args_pair *exit_codes;  /* NULL: the usual four */
    const struct args_pair *examples;    /* term: the command line, text: what it does */
    const struct args_pair *files;
    const struct args_pair *environment;
    const char *see_also; /* "volley-run(1), volley-check(1)" */
};

enum args_outcome {
    ARGS_GO,   /* parsed; go on */
    ARGS_HELP, /* help or version was asked for: `out` holds it */
    ARGS_BAD   /* `out` holds the message, a line or two, without the program's name */
};

/* Parses argv[1..argc) into the structure at `target`, which holds the defaults.  `operands`
 * gets what is not an option; NULL when the command takes none.  Lists (and `operands`) must
 * be empty before; the caller frees them with args_list_fini() whatever the outcome. */
enum args_outcome args_parse(const struct args_command *command, int argc, char **argv,
                             void *target, struct args_list *operands, struct buf *out);

/* As args_parse(), for a program: writes help to standard output, errors to standard error.
 * -1 to go on, or the exit code. */
int args_main(const struct args_command *command, int argc, char **argv, void *target,
              struct args_list *operands);

void args_list_fini(struct args_list *list);

/* "volley send: TEXT" and a pointer to --help on standard error; returns ARGS_EXIT_USAGE.  For
 * rules between options that a table cannot say. */
int args_usage_error(const struct args_command *command, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* ---- the two ways to read a table: args_help.c, args_man.c ---- */

enum { ARGS_HELP_WIDTH = 80 };

void args_put_help(struct buf *out, const struct args_command *command);

/* A manual page of section 1 in man(7) roff.  `date` as "2026-08-21", for reproducible pages. */
void args_put_man(struct buf *out, const struct args_command *command, const char *date);

/* Appends `text` wrapped at ARGS_HELP_WIDTH.  The first line is taken to start at column
 * `column`; the others are indented by `indent`.  No newline at the end. */
void args_put_wrapped(struct buf *out, const char *text, size_t column, size_t indent);

#endif
