/*
 * queue_suppress_import.c - `volley queue suppress import`: a CSV file into the list.
 *
 * Rows go in batches; Redis takes a batch as a whole or not at all.  One with a bad row is given
 * again row by row, so that each error has its line.  Giving a row twice changes nothing, so an
 * import that was interrupted is simply started again.
 */
#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/base/json.h"
#include "engine/base/mem.h"
#include "engine/cli/queue_suppress.h"
#include "engine/cli/recipients.h"
#include "engine/cli/rejects.h"
#include "engine/cli/signals.h"
#include "engine/cli/table.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TARGET(member) .target = offsetof(struct suppress_options, member)

enum { ROWS = 500, FIELDS = 5 };

static const char *const description[] = {
    "Adds the rows of a CSV file (RFC 4180, UTF-8). Its first row names the columns: `to` or "
    "`email` is the address; `tenant`, `scope`, `reason`, `since` and `expires` may be there, as "
    "export writes them; others are passed over. Where a column is missing or empty, the options "
    "say what holds.",
    "A bad row is reported as FILE:LINE: what is wrong, and the rest is taken. Importing a row "
    "again changes nothing: an import that was interrupted is started again.",
    NULL};

static const struct args_option options[] = {
    {.name = "tenant",
     .kind = ARGS_TEXT,
     .value = "NAME",
     TARGET(tenant),
     .help = "Whose mail is meant, where the file does not say; * is everybody's. Default: *."},
    {.name = "scope",
     .kind = ARGS_TEXT,
     .value = "SCOPE",
     TARGET(scope),
     .help = "all, bulk or campaign:NAME, likewise. Default: all."},
    {.name = "reason",
     .kind = ARGS_TEXT,
     .value = "TEXT",
     TARGET(reason),
     .help = "Shown in events, likewise."},
    {.name = "expires",
     .kind = ARGS_TEXT,
     .value = "WHEN",
     TARGET(expires),
     .help = "A time, or a duration from now, likewise. Default: never."},
    {.name = "rejects",
     .kind = ARGS_TEXT,
     .value = "FILE",
     TARGET(rejects),
     .help = "Writes all bad rows there as CSV: line, error."},
    {.name = "quiet",
     .letter = 'q',
     .kind = ARGS_FLAG,
     TARGET(quiet),
     .help = "No progress and no summary."},
    DESK_JSON_OPTION,
    DESK_OPTIONS,
    {0}};

static const struct args_pair exit_codes[] = {
    {"0", "all rows were taken"},
    {"1", "some rows were bad (the rest was taken), or something failed"},
    {"2", "bad usage, file or configuration; nothing was taken"},
    {"75", "Redis is away or full, or the import was interrupted; start it again"},
    {0}};

const struct args_command queue_suppress_import_command = {
    .name = "volley queue suppress import",
    .summary = "add the addresses of a CSV file",
    .synopsis = "FILE [--tenant NAME] [OPTION]...",
    .description = description,
    .options = options,
    .operands_min = 1,
    .operands_max = 1,
    .operand = "FILE",
    .exit_codes = exit_codes,
};

/* A row as arguments, in RESP. */
struct row {
    uint64_t line;
    size_t start, len, args;
};

struct import {
    struct desk *desk;
    const char *path;
    struct recipients *file;
    size_t column[FIELDS]; /* where each field is, or SIZE_MAX */
    struct slice shared[QUEUE_SUPPRESS_SHARED_MAX];
    size_t shared_count;
    struct row row[ROWS];
    size_t count;
    struct buf args;
    struct rejects rejects;
    struct progress progress;
    uint64_t taken; /* rows */
    int64_t changed;
};

static const char *const fields[FIELDS] = {"tenant", "scope", "reason", "since", "expires"};

static void show(struct import *m)
{
    uint64_t size = recipients_size(m->file);
    struct progress_state state = {
        .title = "importing",
        .unit = "rows",
        .count = m->taken,
        .share = size > 0 ? (double)recipients_tell(m->file).offset / (double)size : -1};

    progress_update(&m->progress, &state, clock_mono_us());
}

static void put_field(struct row *row, struct buf *out, const char *name, struct slice value)
{
    resp_put_arg(out, slice_cstr(name));
    resp_put_arg(out, value);
    row->args += 2;
}

static void add_row(struct import *m, const struct recipients_row *from)
{
    struct row *row = &m->row[m->count++];

    *row = (struct row){.line = from->line, .start = m->args.len};
    put_field(row, &m->args, "to", from->to);
    for (size_t i = 0; i < FIELDS; i++) {
        struct slice value =
            m->column[i] != SIZE_MAX ? slice_trim(from->field[m->column[i]]) : SLICE_NONE;
        if (value.len > 0) {
            put_field(row, &m->args, fields[i], value);
        }
    }
    row->len = m->args.len - row->start;
}

/* ---- giving ---- */

static void give(struct import *m, size_t first, size_t count)
{
    size_t args = m->shared_count, len = 0;

    for (size_t i = first; i < first + count; i++) {
        args += m->row[i].args;
        len += m->row[i].len;
    }
    struct buf *out = queue_suppress_begin(m->desk, "add", args);
    for (size_t i = 0; i < m->shared_count; i++) {
        resp_put_arg(out, m->shared[i]);
    }
    buf_put(out, m->args.ptr + m->row[first].start, len);
    sync_end(m->desk->redis);
}

/* What Redis said to `count` rows that were given together.  An error that is the fault of a
 * single row is noted with its line. */
static int taken(struct import *m, const struct resp *reply, size_t first, size_t count)
{
    int64_t changed = 0;

    if (resp_is_error(reply, SLICE("VOLLEYBAD")) && count == 1) {
        rejects_add(&m->rejects, m->row[first].line, slice_from(reply->text, sizeof("VOLLEYBAD")));
        return -1;
    }
    if (reply->type == RESP_ERROR) {
        progress_clear(&m->progress);
        return desk_refused(m->desk, reply);
    }
    m->taken += count;
    m->changed += resp_int(reply, &changed) == 0 ? changed : 0;
    return -1;
}

static int give_one_by_one(struct import *m)
{
    const struct resp *reply;
    int code = -1;

    for (size_t i = 0; i < m->count; i++) {
        give(m, i, 1);
    }
    for (size_t i = 0; code < 0 && i < m->count; i++) {
        code = desk_take(m->desk, &reply);
        code = code < 0 ? taken(m, reply, i, 1) : code;
    }
    return code;
}

static int flush(struct import *m)
{
    const struct resp *reply;
    int code = -1;

    if (m->count > 0) {
        give(m, 0, m->count);
        code = desk_take(m->desk, &reply);
        if (code < 0 && m->count > 1 && resp_is_error(reply, SLICE("VOLLEYBAD"))) {
            code = give_one_by_one(m);
        } else if (code < 0) {
            code = taken(m, reply, 0, m->count);
        }
    }
    m->count = 0;
    buf_reset(&m->args);
    show(m);
    return code;
}

static int take_rows(struct import *m)
{
    struct recipients_row row;
    enum recipients_result result = RECIPIENTS_ROW;
    int code = -1;

    while (code < 0 && result != RECIPIENTS_END && !signals_came()) {
        result = recipients_next(m->file, &row);
        if (result == RECIPIENTS_ROW) {
            add_row(m, &row);
        } else if (result == RECIPIENTS_BAD) {
            rejects_add(&m->rejects, row.line, slice_cstr(row.what));
        } else if (result == RECIPIENTS_FAILED) {
            desk_say(m->desk, "%s:%llu: %s", m->path, (unsigned long long)row.line, row.what);
            code = ARGS_EXIT_FAILED;
        }
        if (m->count == ROWS) {
            code = flush(m);
        }
    }
    code = code < 0 ? flush(m) : code;
    if (code < 0 && result != RECIPIENTS_END) {
        progress_clear(&m->progress);
        desk_say(m->desk, "interrupted; start it again");
        code = ARGS_EXIT_TEMPORARY;
    }
    return code;
}

/* ---- all of it ---- */

static int open_file(struct import *m, const struct suppress_options *o)
{
    struct buf why = BUF_EMPTY;
    int err = 0, code = -1;

    m->file = recipients_open(m->path, &err, &why);
    if (m->file == NULL) {
        fprintf(stderr, "%s: %s: " SLICE_FMT "\n", queue_suppress_import_command.name, m->path,
                SLICE_ARG(buf_slice(&why)));
        code = err == ERR_EXISTS ? ARGS_EXIT_TEMPORARY : ARGS_EXIT_USAGE;
    }
    for (size_t i = 0; code < 0 && i < FIELDS; i++) {
        m->column[i] = recipients_find(m->file, slice_cstr(fields[i]));
    }
    m->shared_count = queue_suppress_shared(o, m->shared);
    buf_fini(&why);
    return code;
}

static void put_result(struct import *m, const struct suppress_options *o)
{
    struct buf *out = &m->desk->out;

    if (m->desk->json) {
        json_object_open(out);
        json_put_u64(out, "rows", m->taken);
        json_put_i64(out, "added", m->changed);
        json_put_u64(out, "bad_rows", m->rejects.count);
        json_object_close(out);
        buf_putc(out, '\n');
    } else if (!o->quiet) {
        table_put_count(out, m->taken);
        BUF_LIT(out, " rows taken, ");
        table_put_count(out, (uint64_t)m->changed);
        BUF_LIT(out, " of them new or longer than before; ");
        table_put_count(out, m->rejects.count);
        BUF_LIT(out, " bad rows\n");
    }
}

static int run(struct import *m, const struct suppress_options *o)
{
    int err = rejects_open(&m->rejects, m->path, o->rejects, false, &m->progress);

    if (err != 0) {
        desk_say(m->desk, "%s: cannot be written: %s", o->rejects, err_name(err));
        return ARGS_EXIT_FAILED;
    }
    signals_catch();
    int code = take_rows(m);
    progress_clear(&m->progress);
    put_result(m, o);
    uint64_t bad = m->rejects.count;
    if (rejects_close(&m->rejects) != 0) {
        desk_say(m->desk, "%s: not everything was written", o->rejects);
        code = ARGS_EXIT_FAILED;
    }
    return code < 0 && bad > 0 ? ARGS_EXIT_FAILED : code;
}

int cmd_queue_suppress_import(int argc, char **argv)
{
    struct suppress_options o = {.tenant = NULL};
    struct args_list operands = {NULL, 0};
    struct import *m = mem_zalloc(sizeof(*m));
    struct desk d;
    int code = args_main(&queue_suppress_import_command, argc, argv, &o, &operands);

    if (code < 0) {
        m->path = operands.items[0];
        code = open_file(m, &o);
    }
    if (code < 0) {
        progress_init(&m->progress, STDERR_FILENO, o.quiet, clock_mono_us());
        m->desk = &d;
        code = desk_open(&d, &queue_suppress_import_command, &o.desk);
        code = code < 0 ? run(m, &o) : code;
        code = desk_close(&d, code);
    }
    recipients_close(m->file);
    buf_fini(&m->args);
    mem_free(m);
    args_list_fini(&operands);
    return code;
}
