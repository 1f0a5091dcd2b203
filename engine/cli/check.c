/*
 * check.c - `volley check`: is this configuration right, and what does it mean?
 *
 * Says what volley run would say, without starting anything.
 */
#include "conf/conf.h"
#include "engine/base/json.h"
#include "engine/cli/commands.h"
#include "engine/cli/where.h"

#include <stdio.h>

struct check_options {
    const char *file;
    bool print, json;
};

static const struct args_option options[] = {
    {.name = "config",
     .letter = 'c',
     .kind = ARGS_TEXT,
     .value = "FILE",
     .target = offsetof(struct check_options, file),
     .help = "The configuration to check; without it the defaults are."},
    {.name = "print",
     .kind = ARGS_FLAG,
     .target = offsetof(struct check_options, print),
     .help = "Prints every effective value and where it came from, as a configuration that can be "
             "loaded again.  Secrets are never printed."},
    {.name = "json",
     .kind = ARGS_FLAG,
     .target = offsetof(struct check_options, json),
     .help = "Prints the result as JSON: {\"ok\", \"file\", \"problems\": [{\"line\", \"column\", "
             "\"level\", \"text\"}], and with --print \"values\": [{\"key\", \"value\", "
             "\"origin\"}]}."},
    {.name = NULL},
};

static const char *const description[] = {
    "Reads a configuration as volley run would, checks every key, reads the files with secrets "
    "and certificates that it names, and looks whether there is a place for the files it writes.  "
    "Nothing is started and no connection is made.",
    "Problems go to standard error, up to twenty in one run, as FILE:LINE:COLUMN: what is wrong "
    "and what to write instead.  Lines that start with \"warning:\" behind the place do not keep "
    "the engine from running.",
    NULL,
};

static const struct args_pair exit_codes[] = {
    {"0", "the configuration is right (there may be warnings)"},
    {"1", "the result could not be written"},
    {"2", "bad usage, or the configuration has errors"},
    {NULL, NULL},
};

static const struct args_pair examples[] = {
    {"volley check -c /etc/volley/volley.yaml", "Before a restart or reload:"},
    {"volley check -c volley.yaml --print", "What holds for Google, and which line says so:"},
    {NULL, NULL},
};

static const struct args_pair files[] = {
    {"/etc/volley/volley.yaml", "where the service's configuration is"},
    {NULL, NULL},
};

const struct args_command check_command = {
    .name = "volley check",
    .summary = "validate a configuration and show what it means",
    .synopsis = "[-c FILE] [--print] [--json]",
    .description = description,
    .options = options,
    .exit_codes = exit_codes,
    .examples = examples,
    .files = files,
    .see_also = "volley(1), volley-run(1)",
};

static void put_json(struct buf *out, const struct check_options *o, const struct conf *conf,
                     const struct conf_problems *problems)
{
    json_object_open(out);
    json_put_bool(out, "ok", conf != NULL);
    if (o->file != NULL) {
        json_put_cstr(out, "file", o->file);
    }
    json_key(out, "problems");
    json_array_open(out);
    for (size_t i = 0; i < problems->count; i++) {
        const struct conf_problem *p = &problems->items[i];
        json_object_open(out);
        if (p->line > 0) {
            json_put_u64(out, "line", p->line);
            json_put_u64(out, "column", p->column);
        }
        json_put_cstr(out, "level", p->warning ? "warning" : "error");
        json_put_cstr(out, "text", p->text);
        json_object_close(out);
    }
    json_array_close(out);
    json_put_u64(out, "more", problems->more);
    if (o->print && conf != NULL) {
        json_key(out, "values");
        conf_print_json(conf, out);
    }
    json_object_close(out);
    buf_putc(out, '\n');
}

static void put_text(struct buf *out, const struct check_options *o, const struct conf *conf)
{
    if (conf == NULL) {
        return;
    }
    if (o->print) {
        conf_print_yaml(conf, out);
    } else {
        buf_printf(out, "%s: ok\n", o->file != NULL ? o->file : "defaults");
    }
}

int cmd_check(int argc, char **argv)
{
    struct check_options o = {.file = NULL};
    struct conf_problems problems;
    struct buf out = BUF_EMPTY, wrong = BUF_EMPTY;
    int code = args_main(&check_command, argc, argv, &o, NULL);

    if (code >= 0) {
        return code;
    }
    struct conf *conf = conf_load(o.file, &problems);
    if (conf != NULL) {
        bool writable = conf_check_paths(conf, &problems);
        if (!where_check(conf, &problems) || !writable) {
            conf_unref(conf);
            conf = NULL;
        }
    }
    if (o.json) {
        put_json(&out, &o, conf, &problems);
    } else {
        conf_problems_put(&wrong, &problems);
        put_text(&out, &o, conf);
    }
    code = conf != NULL ? ARGS_EXIT_OK : ARGS_EXIT_USAGE;
    fwrite(wrong.ptr, 1, wrong.len, stderr);
    if (fwrite(out.ptr, 1, out.len, stdout) != out.len || fflush(stdout) != 0) {
        fprintf(stderr, "volley check: the result could not be written\n");
        code = ARGS_EXIT_FAILED;
    }
    conf_unref(conf);
    conf_problems_fini(&problems);
    buf_fini(&out);
    buf_fini(&wrong);
    return code;
}
