/*
 * problem.c - what is wrong with a configuration, and where.
 *
 * All of it in one run, as far as CONF_PROBLEMS_MAX: somebody who mends a file wants the whole
 * list, not one line a try.
 */
#include "conf/private.h"
#include "engine/base/mem.h"

#include <string.h>

void conf_problems_init(struct conf_problems *problems, const char *file)
{
    *problems = (struct conf_problems){.file = slice_dup(slice_cstr(file))};
}

void conf_problems_fini(struct conf_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        mem_free(problems->items[i].text);
    }
    mem_free(problems->file);
    *problems = (struct conf_problems){.file = NULL};
}

static bool later(const struct conf_problem *a, unsigned line, unsigned column)
{
    return a->line != line ? a->line > line : a->column > column;
}

/* In the order of the file, and when there are too many the first ones stay: people mend a file
 * from its top. */
static void add(struct conf_problems *problems, unsigned line, unsigned column, bool warning,
                const char *fmt, va_list args)
{
    struct buf text = BUF_EMPTY;
    size_t at = problems->count;

    problems->errors += !warning;
    while (at > 0 && later(&problems->items[at - 1], line, column)) {
        at--;
    }
    if (problems->count == CONF_PROBLEMS_MAX) {
        problems->more++;
        if (at == problems->count) {
            return;
        }
        mem_free(problems->items[--problems->count].text);
    }
    memmove(&problems->items[at + 1], &problems->items[at],
            (problems->count - at) * sizeof(problems->items[0]));
    problems->count++;
    buf_vprintf(&text, fmt, args);
    buf_terminate(&text);
    problems->items[at] =
        (struct conf_problem){.line = line, .column = column, .warning = warning, .text = text.ptr};
}

void conf_problem(struct conf_problems *problems, unsigned line, unsigned column, const char *fmt,
                  ...)
{
    va_list args;

    va_start(args, fmt);
    add(problems, line, column, false, fmt, args);
    va_end(args);
}

void conf_problem_of(const struct conf *conf, struct conf_problems *problems, const void *field,
                     struct slice text)
{
    struct conf_place at = conf_place_of(conf, field);

    conf_problem(problems, at.line, at.column, SLICE_FMT, SLICE_ARG(text));
}

void conf_warning(struct conf_problems *problems, unsigned line, unsigned column, const char *fmt,
                  ...)
{
    va_list args;

    va_start(args, fmt);
    add(problems, line, column, true, fmt, args);
    va_end(args);
}

void conf_problems_put(struct buf *out, const struct conf_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        const struct conf_problem *p = &problems->items[i];
        buf_puts(out, slice_cstr(problems->file));
        if (p->line > 0) {
            buf_printf(out, ":%u:%u", p->line, p->column);
        }
        buf_printf(out, ": %s%s\n", p->warning ? "warning: " : "", p->text);
    }
    if (problems->more > 0) {
        buf_printf(out, "%s: and %zu more\n", problems->file, problems->more);
    }
}
