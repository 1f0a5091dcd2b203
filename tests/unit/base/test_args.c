/*
 * test_args.c - one table parses the command line, explains itself and makes the manual page.
 */
#include "engine/base/args.h"
#include "engine/base/mem.h"
#include "engine/base/suggest.h"
#include "engine/base/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

struct options {
    const char *from, *config;
    struct args_list var;
    uint64_t count, size;
    int64_t wait_us, at_us;
    struct rate rate;
    double share;
    int io;
    bool json, verbose, secret;
};

#define AT(member) .target = offsetof(struct options, member)

static const struct args_option options[] = {
    {.name = "config", .letter = 'c', .kind = ARGS_TEXT, .value = "FILE", AT(config), .help = "H."},
    {.name = "from",
     .kind = ARGS_TEXT,
     .value = "ADDRESS",
     .may_be_empty = true,
     AT(from),
     .help = "Envelope sender."},
    {.name = "var", .kind = ARGS_LIST, .value = "KEY=VALUE", AT(var), .help = "A merge value."},
    {.heading = "Numbers"},
    {.name = "count",
     .letter = 'n',
     .kind = ARGS_COUNT,
     .value = "N",
     .min = 1,
     .max = 100,
     AT(count),
     .help = "How many; some words that are long enough to be wrapped in the help text "
             "twice or so."},
    {.name = "size",
     .kind = ARGS_BYTES,
     .value = "SIZE",
     .min = 1024,
     .max = 1 << 20,
     AT(size),
     .help = "H."},
    {.name = "wait",
     .kind = ARGS_DURATION,
     .value = "TIME",
     .min = 1000000,
     .max = 60000000,
     AT(wait_us),
     .help = "H."},
    {.name = "at", .kind = ARGS_TIME, .value = "TIME", AT(at_us), .help = "H."},
    {.name = "rate", .kind = ARGS_RATE, .value = "RATE", AT(rate), .help = "H."},
    {.name = "share", .kind = ARGS_SHARE, .value = "SHARE", AT(share), .help = "H."},
    {.name = "io", .kind = ARGS_CHOICE, .value = "auto|uring|epoll", AT(io), .help = "H."},
    {.name = "json", .letter = 'j', .kind = ARGS_FLAG, AT(json), .help = "H."},
    {.name = "verbose", .letter = 'v', .kind = ARGS_FLAG, AT(verbose), .help = "H."},
    {.name = "secret", .kind = ARGS_FLAG, .hidden = true, AT(secret), .help = "H."},
    {.name = NULL},
};

static const char *const description[] = {
    "The first paragraph is long enough that it must be wrapped at eighty columns, which a test "
    "looks at.",
    "  verbatim  text\n  stays as it is",
    NULL,
};
static const struct args_pair examples[] = {
    {"volley thing -n 3", "Three:"},
    {"volley thing --from somebody@example.com --var 'quoted and long -x value' --count 55 FILE",
     "Long:"},
    {NULL, NULL}};
static const struct args_pair files[] = {{"/etc/thing", "a file"}, {NULL, NULL}};

static const struct args_command command = {
    .name = "volley thing",
    .summary = "do a thing",
    .synopsis = "[OPTION]... FILE...",
    .description = description,
    .options = options,
    .operands_max = 2,
    .operand = "FILE",
    .examples = examples,
    .files = files,
    .see_also = "volley(1)",
};

struct outcome {
    enum args_outcome outcome;
    struct options o;
    struct args_list operands;
    struct buf text;
};

/* Splits at spaces; "''" stands for an empty argument. */
static struct outcome parse_as(const struct args_command *as, const char *line)
{
    static char copy[512];
    char *argv[32] = {copy};
    int argc = 0;
    struct outcome r = {.outcome = ARGS_GO};
    struct slice rest = slice_cstr(line), word;
    size_t at = 0;

    argv[argc++] = "thing";
    while (line[0] != '\0' && slice_next(&rest, ' ', &word)) {
        word = slice_eq(word, SLICE("''")) ? SLICE("") : word;
        memcpy(copy + at, word.ptr, word.len);
        copy[at + word.len] = '\0';
        argv[argc++] = copy + at;
        at += word.len + 1;
    }
    r.outcome = args_parse(as, argc, argv, &r.o, &r.operands, &r.text);
    buf_terminate(&r.text);
    return r;
}

static void outcome_fini(struct outcome *r)
{
    args_list_fini(&r->operands);
    args_list_fini(&r->o.var);
    buf_fini(&r->text);
}

static void test_forms(void **state)
{
    struct outcome r =
        parse_as(&command, "-jv --from=a@b --var x=1 one --var=y=2 -cfile -n 7 -- -two");

    (void)state;
    assert_int_equal(r.outcome, ARGS_GO);
    assert_true(r.o.json && r.o.verbose && !r.o.secret);
    assert_string_equal(r.o.from, "a@b");
    assert_string_equal(r.o.config, "file");
    assert_int_equal(r.o.count, 7);
    assert_int_equal(r.o.var.count, 2);
    assert_string_equal(r.o.var.items[0], "x=1");
    assert_string_equal(r.o.var.items[1], "y=2");
    assert_int_equal(r.operands.count, 2);
    assert_string_equal(r.operands.items[0], "one");
    assert_string_equal(r.operands.items[1], "-two");
    outcome_fini(&r);

    r = parse_as(&command, "--from= -jn5 - --secret");
    assert_int_equal(r.outcome, ARGS_GO);
    assert_string_equal(r.o.from, "");
    assert_int_equal(r.o.count, 5);
    assert_true(r.o.secret);
    assert_string_equal(r.operands.items[0], "-");
    outcome_fini(&r);
}

static void test_values(void **state)
{
    struct outcome r =
        parse_as(&command, "--size 64KB --wait 1m --at 1767225600 --rate 20/m --share "
                           "2.5% --io epoll");

    (void)state;
    assert_int_equal(r.outcome, ARGS_GO);
    assert_int_equal(r.o.size, 65536);
    assert_int_equal(r.o.wait_us, 60000000);
    assert_int_equal(r.o.at_us, INT64_C(1767225600000000));
    assert_int_equal(r.o.rate.count, 20);
    assert_int_equal(r.o.rate.period_us, 60000000);
    assert_true(r.o.share > 0.02499 && r.o.share < 0.02501);
    assert_int_equal(r.o.io, 2);
    outcome_fini(&r);
}

static void test_many_repeats(void **state)
{
    char *argv[200];
    struct options o = {.from = NULL};
    struct buf out = BUF_EMPTY;
    static const char *const words[] = {"a", "b", "c"};

    (void)state;
    argv[0] = "thing";
    for (int i = 1; i < 199; i += 2) {
        argv[i] = "--var";
        argv[i + 1] = (char *)(uintptr_t)words[i % 3];
    }
    assert_int_equal(args_parse(&command, 199, argv, &o, NULL, &out), ARGS_GO);
    assert_int_equal(o.var.count, 99);
    assert_string_equal(o.var.items[98], words[197 % 3]);
    args_list_fini(&o.var);
    buf_fini(&out);
}

static void test_messages(void **state)
{
    static const struct {
        const char *line, *text;
    } rows[] = {
        {"--form a", "unknown option --form, did you mean --from?"},
        {"--confg=a", "unknown option --confg, did you mean --config?"},
        {"--verb", "unknown option --verb, did you mean --verbose?"},
        {"--zzz", "unknown option --zzz"},
        {"--secre", "unknown option --secre"},
        {"--hlep", "unknown option --hlep, did you mean --help?"},
        {"-x", "unknown option -x"},
        {"-jx", "unknown option -x"},
        {"-count 5", "unknown option -count, did you mean --count?"},
        {"-json", "unknown option -json, did you mean --json?"},
        {"--from", "--from needs a value: --from ADDRESS"},
        {"-n", "-n needs a value: --count N"},
        {"--from --json", "--from needs a value, but --json follows; for such a value write "
                          "--from=--json"},
        {"--from --", "--from needs a value, but -- follows"},
        {"--json=1", "--json takes no value; leave out =1"},
        {"--from a --from b", "--from is given twice; once is enough"},
        {"--config ''", "--config is empty; write text"},
        {"--var=", "--var is empty; write --var=KEY=VALUE"},
        {"--count 0", "--count 0 is out of range; it may be 1 to 100"},
        {"--count 101", "--count 101 is out of range; it may be 1 to 100"},
        {"--count 1x", "--count 1x is not understood; write a whole number such as 100"},
        {"--count -1", "--count -1 is not understood"},
        {"--count 99999999999999999999999", "is out of range; it may be 1 to 100"},
        {"--size 1GB", "--size 1GB is out of range; it may be 1KB to 1MB"},
        {"--wait 2m", "--wait 2m is out of range; it may be 1s to 1m"},
        {"--wait 5", "--wait 5 is not understood; write a duration such as 90s"},
        {"--at noon", "--at noon is not understood; write a time such as 2026-"},
        {"--rate 5", "--rate 5 is not understood; write a rate such as 100/s"},
        {"--share 101%", "--share 101% is out of range"},
        {"--share %", "--share % is not understood; write a share such as 5% or 0.05"},
        {"--share 1.2.3", "is not understood"},
        {"--io uirng", "--io uirng is not known, did you mean uring?"},
        {"--io x", "--io x is not known; it may be auto|uring|epoll"},
        {"a b c", "unexpected argument c"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct outcome r = parse_as(&command, rows[i].line);
        if (r.outcome != ARGS_BAD || strstr(r.text.ptr, rows[i].text) == NULL) {
            fail_msg("%s: outcome %d, \"%s\"", rows[i].line, (int)r.outcome, r.text.ptr);
        }
        outcome_fini(&r);
    }
}

static void test_required(void **state)
{
    static const struct args_option needed[] = {
        {.name = "from",
         .kind = ARGS_TEXT,
         .value = "ADDRESS",
         .required = true,
         AT(from),
         .help = "H."},
        {.name = NULL},
    };
    struct args_command strict = command;
    struct outcome r;

    (void)state;
    strict.options = needed;
    strict.operands_min = 1;
    r = parse_as(&strict, "x");
    assert_int_equal(r.outcome, ARGS_BAD);
    assert_string_equal(r.text.ptr, "--from ADDRESS is missing");
    outcome_fini(&r);
    r = parse_as(&strict, "--from a");
    assert_int_equal(r.outcome, ARGS_BAD);
    assert_string_equal(r.text.ptr, "FILE is missing");
    outcome_fini(&r);
    r = parse_as(&strict, "--from a x");
    assert_int_equal(r.outcome, ARGS_GO);
    outcome_fini(&r);
    /* Help is given whatever else is missing. */
    r = parse_as(&strict, "--help");
    assert_int_equal(r.outcome, ARGS_HELP);
    outcome_fini(&r);
}

static void test_help(void **state)
{
    struct outcome r = parse_as(&command, "--count 5 -h"), v = parse_as(&command, "--version");
    struct slice rest = buf_slice(&r.text), line;

    (void)state;
    assert_int_equal(r.outcome, ARGS_HELP);
    while (slice_next(&rest, '\n', &line)) {
        assert_true(line.len <= ARGS_HELP_WIDTH);
        assert_true(line.len == 0 || line.ptr[line.len - 1] != ' ');
    }
    for (const struct args_option *o = options; o->name != NULL || o->heading != NULL; o++) {
        if (o->heading == NULL) {
            assert_int_equal(strstr(r.text.ptr, o->name) != NULL, !o->hidden);
        }
    }
    static const char *const parts[] = {
        "volley thing - do a thing\n",
        "Usage: volley thing [OPTION]... FILE...\n",
        "\n  verbatim  text\n  stays as it is\n",
        "\nNumbers:\n",
        "  -n, --count N           How many; some words",
        "      --from ADDRESS      Envelope sender.\n",
        "  75 ",
        "/etc/thing",
        "  Three:\n    volley thing -n 3\n",
        "  Long:\n"
        "    volley thing --from somebody@example.com --var 'quoted and long -x value' \\\n"
        "        --count 55 FILE\n",
    };
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (strstr(r.text.ptr, parts[i]) == NULL) {
            fail_msg("not in the help: \"%s\"", parts[i]);
        }
    }
    assert_int_equal(v.outcome, ARGS_HELP);
    assert_string_equal(v.text.ptr, "volley " VOLLEY_VERSION "\n");
    outcome_fini(&r);
    outcome_fini(&v);
}

static void test_man(void **state)
{
    struct args_command tricky = command;
    static const char *const paragraphs[] = {".starts with a dot", "'and a quote, \\ and -", NULL};
    struct buf out = BUF_EMPTY;

    (void)state;
    tricky.description = paragraphs;
    args_put_man(&out, &tricky, "2026-08-21");
    buf_terminate(&out);
    static const char *const parts[] = {
        ".TH VOLLEY\\-THING 1 \"2026-08-21\"",
        "volley\\-thing \\- do a thing\n",
        "\n\\&.starts with a dot\n",
        "\n\\&'and a quote, \\e and \\-\n",
        "\\fB\\-n\\fR, \\fB\\-\\-count\\fR \\fIN\\fR\n",
        ".SS Numbers\n",
        ".SH EXIT STATUS\n",
        "volley(1)\n",
    };
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (strstr(out.ptr, parts[i]) == NULL) {
            fail_msg("not in the page: \"%s\"", parts[i]);
        }
    }
    assert_null(strstr(out.ptr, "secret"));
    buf_fini(&out);
}

static void test_suggest(void **state)
{
    static const struct {
        const char *a, *b;
        size_t distance;
    } rows[] = {
        {"", "", 0},
        {"a", "", 1},
        {"rate", "rate", 0},
        {"raet", "rate", 1},
        {"conections", "connections", 1},
        {"Max-Jobs", "max_jobs", 0},
        {"abc", "xyz", 3},
        {"kitten", "sitting", 3},
        {"ca", "abc", 3},
    };
    char longer[SUGGEST_WORD_MAX + 2];
    struct suggest s;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice a = slice_cstr(rows[i].a), b = slice_cstr(rows[i].b);
        assert_int_equal(suggest_distance(a, b), rows[i].distance);
        assert_int_equal(suggest_distance(b, a), rows[i].distance);
    }
    memset(longer, 'a', sizeof(longer));
    assert_true(suggest_distance(slice_of(longer, sizeof(longer)), SLICE("a")) == SIZE_MAX);

    suggest_init(&s, SLICE("rat"));
    suggest_offer(&s, SLICE("retry"));
    assert_int_equal(s.best.len, 0); /* nothing close: no suggestion */
    suggest_offer(&s, SLICE("rate"));
    suggest_offer(&s, SLICE("rats"));
    assert_true(slice_eq(s.best, SLICE("rate"))); /* as close: the first */
    suggest_init(&s, SLICE("x"));
    suggest_offer(&s, SLICE("y"));
    assert_int_equal(s.best.len, 0); /* one letter for another is no likeness */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),        cmocka_unit_test(test_values),
        cmocka_unit_test(test_many_repeats), cmocka_unit_test(test_messages),
        cmocka_unit_test(test_required),     cmocka_unit_test(test_help),
        cmocka_unit_test(test_man),          cmocka_unit_test(test_suggest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
