/*
 * send.c - `volley send`: a letter to everybody on a list.
 */
#include "engine/cli/commands.h"
#include "engine/cli/sending.h"

#include <stddef.h>
#include <stdio.h>

static const char *const description[] = {
    "Stores the letter in the queue and submits one job for each row of the list. The list is a "
    "CSV file (RFC 4180) in UTF-8 whose first row names the columns; the column `to` or `email` "
    "is the recipient, the others are merge values. The letter is a complete RFC 5322 message, "
    "as mail programs save it.",
    "{{name}} in the letter's header and text shows the column `name`, escaped for where it "
    "stands; {{name|there}} has a default; {{{name}}} is not escaped; {{#name}}...{{/name}} is "
    "shown only when there is a value, {{^name}}...{{/name}} only when there is none; {{to}}, "
    "{{id}} and {{campaign}} are always there. \\{{ is two plain braces.",
    "Every row is checked, and the letter finished for it, before it is submitted. A bad row is "
    "reported as LIST:LINE: what is wrong, and the rest goes out.",
    "An interrupted sending goes on where it stood when the same command is given again, and "
    "nobody gets the letter twice: how far it came is kept in LIST.volley-checkpoint. While "
    "Redis is full or away it waits.",
    NULL};

#define TARGET(member) .target = offsetof(struct send_options, member)

static const struct args_option options[] = {
    {.name = "to",
     .kind = ARGS_TEXT,
     .value = "LIST",
     .required = true,
     TARGET(list),
     .help = "The list, a CSV file."},
    {.name = "message",
     .kind = ARGS_TEXT,
     .value = "LETTER",
     .required = true,
     TARGET(letter),
     .help = "The letter, a file such as letter.eml."},
    {.name = "from",
     .kind = ARGS_TEXT,
     .value = "ADDRESS",
     .may_be_empty = true,
     TARGET(from),
     .help = "The envelope sender, which gets the bounces; empty for none. Default: the address "
             "in the letter's From."},
    {.name = "config",
     .letter = 'c',
     .kind = ARGS_TEXT,
     .value = "FILE",
     TARGET(config),
     .help = "The configuration, which says where the queue is. Default: none."},
    {.name = "redis",
     .kind = ARGS_TEXT,
     .value = "URL",
     TARGET(redis),
     .help = "The queue's Redis, such as redis://127.0.0.1:6379/0 or unix:/run/redis.sock, in "
             "place of the configuration's."},

    {.heading = "Jobs"},
    {.name = "class",
     .kind = ARGS_CHOICE,
     .value = "high|normal|bulk",
     TARGET(class),
     .help = "What goes first where jobs compete. Default: normal."},
    {.name = "campaign",
     .kind = ARGS_TEXT,
     .value = "NAME",
     TARGET(campaign),
     .help = "Groups the jobs for limits, orders and events; {{campaign}} shows it."},
    {.name = "tenant",
     .kind = ARGS_TEXT,
     .value = "NAME",
     TARGET(tenant),
     .help = "On whose behalf it is sent."},
    {.name = "pool",
     .kind = ARGS_TEXT,
     .value = "NAME",
     TARGET(pool),
     .help = "The pool of sources to send from. Default: default."},
    {.name = "source",
     .kind = ARGS_TEXT,
     .value = "NAME",
     TARGET(source),
     .help = "A single source, in place of a pool."},
    {.name = "route",
     .kind = ARGS_TEXT,
     .value = "NAME",
     TARGET(route),
     .help = "A configured route, in place of a pool."},
    {.name = "at",
     .kind = ARGS_TIME,
     .value = "TIME",
     TARGET(at_us),
     .help = "Not before this time: 2026-01-31T08:00:00+01:00, or unix seconds."},
    {.name = "spread",
     .kind = ARGS_DURATION,
     .value = "DURATION",
     TARGET(spread_us),
     .help = "Spreads the jobs evenly over so long, as in 4h."},
    {.name = "window",
     .kind = ARGS_TEXT,
     .value = "WINDOW",
     TARGET(window),
     .help = "Only at these times, as in \"Mon-Fri 08:00-18:00 Europe/Berlin\"."},
    {.name = "expires",
     .kind = ARGS_DURATION,
     .value = "DURATION",
     TARGET(expires_us),
     .help = "Given up when not delivered after so long. Default: the configuration's."},
    {.name = "var",
     .kind = ARGS_LIST,
     .value = "KEY=VALUE",
     TARGET(vars),
     .help = "A merge value for all rows; a column of that name goes before. May be repeated."},
    {.name = "id",
     .kind = ARGS_TEXT,
     .value = "NAME",
     TARGET(id),
     .help = "The name to store the letter under. Default: made from its content."},

    {.heading = "Looking first"},
    {.name = "preview",
     .kind = ARGS_COUNT,
     .value = "N",
     .max = 100000,
     TARGET(preview),
     .help = "Prints the first N finished letters and submits nothing."},
    {.name = "dry-run",
     .kind = ARGS_FLAG,
     TARGET(dry_run),
     .help = "Checks letter and all rows and submits nothing."},
    {.name = "strict",
     .kind = ARGS_FLAG,
     TARGET(strict),
     .help = "A placeholder without column and default is an error, not a warning."},

    {.heading = "Running"},
    {.name = "follow",
     .letter = 'f',
     .kind = ARGS_FLAG,
     TARGET(follow),
     .help = "Afterwards waits for the outcomes, until all are final."},
    {.name = "rejects",
     .kind = ARGS_TEXT,
     .value = "FILE",
     TARGET(rejects),
     .help = "Writes all bad rows there as CSV: line, error."},
    {.name = "checkpoint",
     .kind = ARGS_TEXT,
     .value = "FILE",
     TARGET(checkpoint),
     .help = "Where to keep how far it came. Default: LIST.volley-checkpoint."},
    {.name = "again",
     .kind = ARGS_FLAG,
     TARGET(again),
     .help = "Begins at the first row although the list was sent, or its sending was "
             "interrupted. Who got the letter before gets it once more."},
    {.name = "json",
     .kind = ARGS_FLAG,
     TARGET(json),
     .help = "Prints the result as JSON: done, submitted, submitted_now, bad_rows, message, "
             "sending, ms, and with --follow outcomes."},
    {.name = "quiet",
     .letter = 'q',
     .kind = ARGS_FLAG,
     TARGET(quiet),
     .help = "No progress and no summary."},
    {0}};

static const struct args_pair exit_codes[] = {
    {"0", "all rows were submitted"},
    {"1", "some rows were bad (the rest was submitted), or something failed"},
    {"2", "bad usage, letter, list or configuration; nothing was submitted"},
    {"75", "Redis is away, or the sending was interrupted; the same command goes on"},
    {0}};

static const struct args_pair examples[] = {
    {"volley send --to list.csv --message letter.eml --preview 1",
     "Shows the letter as the first recipient gets it:"},
    {"volley send --from news@example.com --to list.csv --message letter.eml --campaign march",
     "Sends it:"},
    {0}};

static const struct args_pair files[] = {
    {"LIST.volley-checkpoint", "how far the sending of LIST came; stays when it is complete, so "
                               "that the same command again sends nothing twice"},
    {0}};

const struct args_command send_command = {
    .name = "volley send",
    .summary = "send a letter to everybody on a list",
    .synopsis = "--to LIST --message LETTER [--from ADDRESS] [OPTION]...",
    .description = description,
    .options = options,
    .exit_codes = exit_codes,
    .examples = examples,
    .files = files,
    .see_also = "volley(1), volley-run(1)",
};

static struct conf *load_conf(const char *path)
{
    struct conf_problems problems;
    struct conf *conf = conf_load(path, &problems);
    struct buf text = BUF_EMPTY;

    if (conf == NULL) { /* warnings are for who runs the engine */
        conf_problems_put(&text, &problems);
        fprintf(stderr, SLICE_FMT, SLICE_ARG(buf_slice(&text)));
    }
    buf_fini(&text);
    conf_problems_fini(&problems);
    return conf;
}

static int send_mailing(const struct send_options *o)
{
    struct mailing m;
    int code = mailing_open(&m, o);

    if (code < 0 && o->preview > 0) {
        code = sending_preview(&m);
    } else if (code < 0 && o->dry_run) {
        code = sending_dry_run(&m);
    } else if (code < 0) {
        struct conf *conf = load_conf(o->config);
        code = conf != NULL ? sending_run(&m, conf) : ARGS_EXIT_USAGE;
        conf_unref(conf);
    }
    mailing_close(&m);
    return code;
}

int cmd_send(int argc, char **argv)
{
    struct send_options o = {.class = SEND_CLASS_NORMAL};
    int code = args_main(&send_command, argc, argv, &o, NULL);

    if (code < 0 && (o.pool != NULL) + (o.source != NULL) + (o.route != NULL) > 1) {
        code = args_usage_error(&send_command, "give one of --pool, --source, --route");
    }
    if (code < 0) {
        code = send_mailing(&o);
    }
    args_list_fini(&o.vars);
    return code;
}
