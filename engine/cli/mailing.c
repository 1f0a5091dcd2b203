/*
 * mailing.c - a letter and a list that fit together (for `volley send`).
 *
 * Only the columns that the letter uses become merge values of the jobs: what it does not show
 * would cost memory in Redis for nothing.
 */
#include "engine/cli/mailing.h"
#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/base/map.h"
#include "engine/base/mem.h"
#include "engine/base/suggest.h"
#include "engine/base/units.h"
#include "engine/message/address.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int complain(const char *fmt, ...) PRINTF_LIKE(1, 2);

static int complain(const char *fmt, ...)
{
    va_list args;

    fputs("volley send: ", stderr);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    return ARGS_EXIT_USAGE;
}

/* ---- the letter ---- */

static int read_file(const char *path, size_t max, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = 1;

    if (fd < 0) {
        return err_from_errno(errno);
    }
    while (n > 0 && out->len <= max) {
        buf_reserve(out, 65536);
        n = read(fd, out->ptr + out->len, 65536);
        if (n < 0 && errno == EINTR) {
            n = 1;
            continue;
        }
        out->len += n > 0 ? (size_t)n : 0;
    }
    int err = n < 0 ? err_from_errno(errno) : 0;
    close(fd);
    return err;
}

static int open_letter(struct mailing *m)
{
    const char *path = m->options->letter;
    struct letter_options options = {.strict = m->options->strict};
    struct buf why = BUF_EMPTY;
    int err = read_file(path, LETTER_BYTES_MAX, &m->bytes);

    if (err != 0) {
        return complain("%s: cannot be read: %s", path, err_name(err));
    }
    err = letter_compile(buf_slice(&m->bytes), &options, &m->letter, &why);
    if (err != 0) {
        complain("%s: " SLICE_FMT, path, SLICE_ARG(buf_slice(&why)));
    }
    buf_fini(&why);
    return err == 0 ? -1 : ARGS_EXIT_USAGE;
}

static int check_id(const struct mailing *m)
{
    const char *id = m->options->id;
    const char *allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

    if (id != NULL && (strlen(id) > MAILING_ID_MAX || strspn(id, allowed) != strlen(id))) {
        return complain("--id: \"%s\" is not a name: use 1 to 64 of A-Z a-z 0-9 . _ -", id);
    }
    return -1;
}

static int check_from(const struct mailing *m)
{
    struct address address;
    const char *from = m->options->from;
    const char *why = NULL;

    if (from == NULL && letter_from(m->letter).len == 0) {
        return complain("the letter's From is made by placeholders; give the envelope sender "
                        "with --from");
    }
    if (from != NULL && from[0] != '\0' && strcmp(from, "<>") != 0 &&
        address_parse(slice_cstr(from), &address, &why) != 0) {
        return complain("--from: \"%s\" is not an address: %s", from, why);
    }
    return -1;
}

/* ---- the list ---- */

static int open_list(struct mailing *m)
{
    struct buf why = BUF_EMPTY;
    int err = 0;

    m->list = recipients_open(m->options->list, &err, &why);
    if (m->list == NULL) {
        complain("%s: " SLICE_FMT, m->options->list, SLICE_ARG(buf_slice(&why)));
    }
    buf_fini(&why);
    if (m->list != NULL) {
        return -1;
    }
    return err == ERR_EXISTS ? ARGS_EXIT_TEMPORARY : ARGS_EXIT_USAGE;
}

/* ---- values ---- */

static int read_vars(struct mailing *m)
{
    const struct args_list *vars = &m->options->vars;

    m->common = mem_array(vars->count + 1, sizeof(*m->common));
    for (size_t i = 0; i < vars->count; i++) {
        struct slice text = slice_cstr(vars->items[i]);
        size_t at = slice_find(text, '=');
        if (at == 0 || at == text.len) {
            return complain("--var: \"%s\" is not KEY=VALUE", vars->items[i]);
        }
        m->common[i].name = slice_of(text.ptr, at);
        m->common[i].value = slice_from(text, at + 1);
    }
    return -1;
}

static bool is_var(const struct mailing *m, struct slice name)
{
    for (size_t i = 0; i < m->options->vars.count; i++) {
        if (slice_eq(m->common[i].name, name)) {
            return true;
        }
    }
    return false;
}

/* A placeholder that neither the list nor --var can fill. */
static int missing_name(const struct mailing *m, struct slice name)
{
    struct suggest like;
    struct buf text = BUF_EMPTY;

    suggest_init(&like, name);
    for (size_t i = 0; i < recipients_column_count(m->list); i++) {
        suggest_offer(&like, recipients_column(m->list, i));
    }
    buf_printf(&text, "the letter shows {{" SLICE_FMT "}}, and %s has no such column",
               SLICE_ARG(name), m->options->list);
    if (like.best.len > 0) {
        buf_printf(&text, "; did you mean {{" SLICE_FMT "}}?", SLICE_ARG(like.best));
    } else {
        BUF_LIT(&text, "; it will be empty unless --var gives it");
    }
    complain("%s" SLICE_FMT, m->options->strict ? "" : "warning: ", SLICE_ARG(buf_slice(&text)));
    buf_fini(&text);
    return m->options->strict ? ARGS_EXIT_USAGE : -1;
}

static void add_column(struct mailing *m, struct slice name, size_t source)
{
    char *at = m->names.ptr + m->names.len; /* room was reserved: the names stay in place */

    BUF_LIT(&m->names, "v:");
    buf_puts(&m->names, name);
    m->own[m->column_count - 1].name = slice_of(at + 2, name.len);
    m->column[m->column_count] = slice_of(at, name.len + 2);
    m->source[m->column_count++] = source;
}

/* Joins the letter's names to the list's columns. */
static int join_columns(struct mailing *m)
{
    size_t count = letter_name_count(m->letter);
    int code = -1;

    m->column = mem_array(count + 1, sizeof(*m->column));
    m->source = mem_array(count + 1, sizeof(*m->source));
    m->own = mem_array(count + 1, sizeof(*m->own));
    buf_reserve(&m->names, count * (LETTER_NAME_LEN_MAX + 2) + 1);
    m->column[0] = SLICE("to");
    m->source[0] = recipients_to_column(m->list);
    m->column_count = 1;
    for (size_t i = 0; i < count; i++) {
        struct slice name = letter_name(m->letter, i);
        size_t column = recipients_find(m->list, name);
        if (column != SIZE_MAX) {
            add_column(m, name, column);
        } else if (!is_var(m, name) && letter_name_is_required(m->letter, i)) {
            int missing = missing_name(m, name);
            code = missing >= 0 ? missing : code;
        }
    }
    return code;
}

/* ---- what all jobs share ---- */

struct sharing {
    struct mailing *m;
    size_t max;
};

static void share(struct sharing *s, const char *name, struct slice value)
{
    ASSERT(s->m->shared_count < s->max);
    s->m->shared[s->m->shared_count++] = (struct submit_field){slice_cstr(name), value};
}

static void share_text(struct sharing *s, const char *name, const char *value)
{
    if (value != NULL) {
        share(s, name, slice_cstr(value));
    }
}

/* The text is kept in m->shared_text, which does not move. */
static struct slice made(struct sharing *s, size_t start)
{
    return slice_of(s->m->shared_text.ptr + start, s->m->shared_text.len - start);
}

static void share_duration(struct sharing *s, const char *name, int64_t us)
{
    size_t start = s->m->shared_text.len;

    if (us > 0) {
        units_put_duration(&s->m->shared_text, us);
        share(s, name, made(s, start));
    }
}

static void share_times(struct sharing *s)
{
    const struct send_options *o = s->m->options;
    char at[CLOCK_RFC3339_LEN + 1];

    if (o->at_us > 0) {
        size_t start = s->m->shared_text.len;
        clock_format(at, o->at_us);
        buf_puts(&s->m->shared_text, slice_cstr(at));
        share(s, "not_before", made(s, start));
    }
    share_duration(s, "spread", o->spread_us);
    share_duration(s, "expires", o->expires_us);
    share_text(s, "window", o->window);
}

void mailing_share(struct mailing *m, const char *sending)
{
    static const char *const classes[] = {"high", "normal", "bulk"};
    const struct send_options *o = m->options;
    size_t vars = o->vars.count;
    struct sharing s = {m, 16 + vars};

    mem_free(m->shared);
    m->shared = mem_array(s.max, sizeof(*m->shared));
    m->shared_count = 0;
    buf_reset(&m->shared_text);
    buf_reserve(&m->shared_text, 512 + vars * (LETTER_NAME_LEN_MAX + 3));
    share_text(&s, "message", m->message);
    share_text(&s, "class", classes[o->class]);
    share_text(&s, "campaign", o->campaign);
    share_text(&s, "tenant", o->tenant);
    share_text(&s, "pool", o->pool);
    share_text(&s, "source", o->source);
    share_text(&s, "route", o->route);
    share_times(&s);
    share_text(&s, "x:sending", sending);
    for (size_t i = 0; i < vars; i++) {
        struct slice name = m->common[i].name;
        size_t start = m->shared_text.len;
        if (name.len > LETTER_NAME_LEN_MAX || recipients_find(m->list, name) != SIZE_MAX) {
            continue; /* the row's own value counts */
        }
        buf_printf(&m->shared_text, "v:" SLICE_FMT, SLICE_ARG(name));
        buf_terminate(&m->shared_text);
        share(&s, m->shared_text.ptr + start, m->common[i].value);
        m->shared_text.len++; /* keeps the NUL */
    }
}

/* ---- names and prints ---- */

/* 32 hexadecimal digits that stand for the bytes: for telling things apart, not for secrets. */
static void put_print(struct buf *out, struct slice bytes)
{
    static const uint64_t keys[2][2] = {{0x766f6c6c65792d73, 0x656e642d6c657474},
                                        {0x65722d7072696e74, 0x2d6e756d62657232}};

    for (size_t i = 0; i < 2; i++) {
        buf_printf(out, "%016llx", (unsigned long long)map_siphash(bytes, keys[i]));
    }
}

static void keep_id(char out[MAILING_ID_MAX + 1], const char *prefix, struct slice bytes)
{
    struct buf id = BUF_EMPTY;

    buf_puts(&id, slice_cstr(prefix));
    put_print(&id, bytes);
    ASSERT(id.len <= MAILING_ID_MAX);
    memcpy(out, id.ptr, id.len);
    out[id.len] = '\0';
    buf_fini(&id);
}

/* The message's id comes from its content, so that the same letter is stored once; the
 * digest is of everything that decides what is sent to whom. */
static int name_things(struct mailing *m)
{
    const struct send_options *o = m->options;
    struct buf all = BUF_EMPTY;

    buf_puts(&all, buf_slice(&m->bytes));
    buf_printf(&all, "%c%s", '\0', o->from != NULL ? o->from : "\n");
    if (o->id != NULL) {
        snprintf(m->message, sizeof(m->message), "%s", o->id);
    } else {
        keep_id(m->message, "m", buf_slice(&all));
    }
    mailing_share(m, NULL);
    for (size_t i = 0; i < m->shared_count; i++) {
        buf_printf(&all, "%c" SLICE_FMT "%c" SLICE_FMT, '\0', SLICE_ARG(m->shared[i].name), '\0',
                   SLICE_ARG(m->shared[i].value));
    }
    int err = recipients_put_print(m->list, &all);
    keep_id(m->digest, "", buf_slice(&all));
    buf_fini(&all);
    return err == 0 ? -1 : complain("%s: cannot be read: %s", o->list, err_name(err));
}

/* ---- all of it ---- */

int mailing_open(struct mailing *m, const struct send_options *options)
{
    *m = (struct mailing){.options = options, .now_us = clock_wall_us()};
    letter_copy_init(&m->copy);
    int code = open_letter(m);
    if (code < 0) {
        code = check_from(m);
    }
    if (code < 0) {
        code = check_id(m);
    }
    if (code < 0) {
        code = open_list(m);
    }
    if (code < 0) {
        code = read_vars(m);
    }
    if (code < 0) {
        code = join_columns(m);
    }
    return code < 0 ? name_things(m) : code;
}

void mailing_close(struct mailing *m)
{
    letter_copy_fini(&m->copy);
    letter_unref(m->letter);
    recipients_close(m->list);
    mem_free(m->column);
    mem_free(m->source);
    mem_free(m->own);
    mem_free(m->common);
    mem_free(m->shared);
    buf_fini(&m->bytes);
    buf_fini(&m->names);
    buf_fini(&m->shared_text);
    buf_fini(&m->why);
}

/* Finishes the letter for a row, whose job has no id yet. */
static int finish(struct mailing *m, const struct recipients_row *row)
{
    struct letter_values values = {.to = row->to,
                                   .id = SLICE("00000000000000000000000000.1"),
                                   .campaign = slice_cstr(m->options->campaign),
                                   .date_us = m->now_us,
                                   .own = m->own,
                                   .own_count = m->column_count - 1,
                                   .item = m->common,
                                   .item_count = m->options->vars.count};

    for (size_t i = 1; i < m->column_count; i++) {
        m->own[i - 1].value = row->field[m->source[i]];
    }
    buf_reset(&m->why);
    return letter_render(m->letter, &values, &m->copy, &m->why);
}

enum recipients_result mailing_next(struct mailing *m, struct recipients_row *row,
                                    struct rejects *rejects)
{
    enum recipients_result result = recipients_next(m->list, row);

    if (result == RECIPIENTS_ROW && finish(m, row) != 0) {
        result = RECIPIENTS_BAD;
        buf_terminate(&m->why);
        row->what = m->why.ptr;
    }
    if (result == RECIPIENTS_BAD) {
        rejects_add(rejects, row->line, slice_cstr(row->what));
    }
    return result;
}

void mailing_values(const struct mailing *m, const struct recipients_row *row, struct slice *values)
{
    values[0] = row->to;
    for (size_t i = 1; i < m->column_count; i++) {
        values[i] = row->field[m->source[i]];
    }
}
