/*
 * script.c - a dialogue file, read.
 */
#include "tests/dialogue/script.h"

#include "engine/base/dotstuff.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/units.h"

#include <stdio.h>
#include <string.h>

static void fault(struct script *s, unsigned line, const char *what)
{
    if (s->fault[0] == '\0') {
        snprintf(s->fault, sizeof(s->fault), "%s:%u: %s", s->path, line, what);
    }
}

/* ---- words ---- */

static struct slice word(struct slice *rest)
{
    *rest = slice_trim(*rest);
    size_t len = slice_find(*rest, ' ');
    struct slice w = slice_of(rest->ptr, len);

    *rest = slice_trim(slice_from(*rest, len));
    return w;
}

static void copy_word(char *out, size_t cap, struct slice *rest)
{
    struct slice w = word(rest);

    snprintf(out, cap, SLICE_FMT, SLICE_ARG(w));
}

static int64_t number(struct script *s, unsigned line, struct slice text)
{
    uint64_t value = 0;

    if (slice_u64(text, &value) != 0) {
        fault(s, line, "a number is expected");
    }
    return (int64_t)value;
}

static int64_t duration(struct script *s, unsigned line, struct slice text)
{
    int64_t us = 0;

    if (units_duration(text, &us) != 0) {
        fault(s, line, "a duration such as 30s or 5m is expected");
    }
    return us;
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 0;
}

/* \r \n \t \0 \\ and \xHH. */
static void put_escaped(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c != '\\' || i + 1 == text.len) {
            buf_putc(out, c);
            continue;
        }
        c = text.ptr[++i];
        if (c == 'x' && i + 2 < text.len) {
            buf_putc(out, (char)(hex(text.ptr[i + 1]) << 4 | hex(text.ptr[i + 2])));
            i += 2;
        } else {
            buf_putc(out, c == 'r'   ? '\r'
                          : c == 'n' ? '\n'
                          : c == 't' ? '\t'
                          : c == '0' ? '\0'
                                     : c);
        }
    }
}

/* ---- options ---- */

static bool choose(struct slice value, const char *const *names, size_t count, unsigned *out)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_eq(value, slice_cstr(names[i]))) {
            *out = (unsigned)i;
            return true;
        }
    }
    return false;
}

static bool option_flag(struct smtp_config *c, struct slice name)
{
    struct {
        const char *name;
        bool *flag;
    } flags[] = {
        {"go-ahead", &c->go_ahead},
        {"no-bdat", &c->no_bdat},
        {"helo-only", &c->helo_only},
        {"own-name-ok", &c->own_name_ok},
        {"send-8bit-anyway", &c->send_8bit_anyway},
        {"auth-in-clear", &c->auth_in_clear},
        {"quit-wait", &c->quit_wait},
    };

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (slice_eq(name, slice_cstr(flags[i].name))) {
            *flags[i].flag = true;
            return true;
        }
    }
    return false;
}

static void option_timeout(struct script *s, unsigned line, struct slice rest)
{
    struct slice name = word(&rest);

    for (unsigned v = 0; v < SMTP_VERB_COUNT; v++) {
        if (slice_eq(name, slice_cstr(smtp_verb(v)->name))) {
            s->config.timeout_us[v] = duration(s, line, rest);
            return;
        }
    }
    fault(s, line, "no such verb");
}

static void option(struct script *s, unsigned line, struct slice rest)
{
    static const char *const levels[] = {"none", "may", "encrypt", "verify"};
    static const char *const modes[] = {"auto", "off", "commands", "messages", "chunking"};
    struct smtp_config *c = &s->config;
    struct slice name = word(&rest);
    unsigned choice = 0;

    if (slice_eq(name, SLICE("pipeline")) && choose(rest, modes, 5, &choice)) {
        c->pipeline = (enum smtp_pipeline)choice;
    } else if (slice_eq(name, SLICE("tls")) && choose(rest, levels, 4, &choice)) {
        c->tls = (enum smtp_tls_level)choice;
    } else if (slice_eq(name, SLICE("depth"))) {
        c->depth = (unsigned)number(s, line, rest);
    } else if (slice_eq(name, SLICE("rate-min"))) {
        c->rate_min = (uint64_t)number(s, line, rest);
    } else if (slice_eq(name, SLICE("ehlo"))) {
        buf_puts(&s->strings[0], rest);
        c->ehlo_name = buf_slice(&s->strings[0]);
    } else if (slice_eq(name, SLICE("auth"))) {
        buf_puts(&s->strings[1], word(&rest));
        buf_puts(&s->strings[2], rest);
        c->auth_user = buf_slice(&s->strings[1]);
        c->auth_password = buf_slice(&s->strings[2]);
    } else if (slice_eq(name, SLICE("ignore")) && smtp_ext_by_name(rest) != 0) {
        c->ignore |= smtp_ext_by_name(rest);
    } else if (slice_eq(name, SLICE("timeout"))) {
        option_timeout(s, line, rest);
    } else if (!option_flag(c, name)) {
        fault(s, line, "no such option");
    }
}

/* ---- transactions ---- */

static void set_content(struct script_txn *t)
{
    struct dotstuff d = DOTSTUFF_START;

    buf_reset(&t->dotted);
    dotstuff_put(&d, &t->dotted, buf_slice(&t->raw));
    dotstuff_end(&d, &t->dotted);
}

static void begin_txn(struct script *s, unsigned line, struct slice from)
{
    if (s->txn_count == SCRIPT_TXNS_MAX) {
        fault(s, line, "too many transactions");
        return;
    }
    struct script_txn *t = &s->txns[s->txn_count++];

    put_escaped(&t->from, slice_eq(from, SLICE("<>")) ? SLICE_NONE : from);
    buf_printf(&t->raw, "Subject: letter %zu\r\n\r\nHello.\r\n", s->txn_count);
    set_content(t);
}

static void big_content(struct script_txn *t, int64_t size)
{
    buf_reset(&t->raw);
    while ((int64_t)t->raw.len < size) {
        BUF_LIT(&t->raw, "A line of a long letter, 64 bytes with its end, again and again\r\n");
    }
    t->raw.len = (size_t)size;
}

static void add_rcpt(struct script *s, unsigned line, struct script_txn *t, struct slice rest)
{
    if (t->rcpt_count == SCRIPT_RCPTS_MAX) {
        fault(s, line, "too many recipients");
        return;
    }
    put_escaped(&t->rcpt[t->rcpt_count], word(&rest));
    put_escaped(&t->rcpt_dsn[t->rcpt_count], rest);
    t->rcpt_count++;
}

static void add_rcpts(struct script *s, unsigned line, struct script_txn *t, struct slice rest)
{
    int64_t count = number(s, line, word(&rest));

    for (int64_t i = 1; i <= count; i++) {
        char text[32];
        snprintf(text, sizeof(text), "r%d@y.example", (int)i);
        add_rcpt(s, line, t, slice_cstr(text));
    }
}

static bool txn_line(struct script *s, unsigned line, struct slice name, struct slice rest)
{
    struct script_txn *t = s->txn_count > 0 ? &s->txns[s->txn_count - 1] : NULL;

    if (slice_eq(name, SLICE("mail"))) {
        begin_txn(s, line, rest);
    } else if (t == NULL) {
        return false;
    } else if (slice_eq(name, SLICE("rcpt"))) {
        add_rcpt(s, line, t, rest);
    } else if (slice_eq(name, SLICE("rcpts"))) {
        add_rcpts(s, line, t, rest);
    } else if (slice_eq(name, SLICE("dsn"))) {
        put_escaped(&t->dsn, rest);
    } else if (slice_eq(name, SLICE("content"))) {
        buf_reset(&t->raw);
        put_escaped(&t->raw, rest);
        set_content(t);
    } else if (slice_eq(name, SLICE("content-size"))) {
        big_content(t, number(s, line, rest));
        set_content(t);
    } else if (slice_eq(name, SLICE("8bit"))) {
        t->needs_8bit = true;
    } else if (slice_eq(name, SLICE("utf8"))) {
        t->needs_utf8 = true;
    } else if (slice_eq(name, SLICE("requiretls"))) {
        t->needs_requiretls = true;
    } else if (slice_eq(name, SLICE("no-raw"))) {
        t->no_raw = true;
    } else {
        return false;
    }
    return true;
}

/* ---- steps ---- */

static struct step *add_step(struct script *s, unsigned line, enum step_kind kind)
{
    if (s->step_count == SCRIPT_STEPS_MAX) {
        fault(s, line, "too many steps");
        s->step_count--;
    }
    struct step *step = &s->steps[s->step_count++];

    step->kind = kind;
    step->line = line;
    return step;
}

static void server_line(struct script *s, unsigned line, struct slice text, bool whole)
{
    struct step *last = s->step_count > 0 ? &s->steps[s->step_count - 1] : NULL;

    if (last == NULL || last->kind != STEP_SERVER) {
        last = add_step(s, line, STEP_SERVER);
    }
    put_escaped(&last->bytes, text);
    if (whole) {
        BUF_LIT(&last->bytes, "\r\n");
    }
}

/* A line as it stands, or <dotted N> and <raw N>: a letter's content. */
static void client_line(struct script *s, unsigned line, struct slice text)
{
    struct buf *out = &add_step(s, line, STEP_CLIENT)->bytes;
    bool dotted = slice_starts(text, SLICE("<dotted "));

    if (!dotted && !slice_starts(text, SLICE("<raw "))) {
        put_escaped(out, text);
        BUF_LIT(out, "\r\n");
        return;
    }
    struct slice count = slice_from(text, dotted ? 8 : 5);
    int64_t n = number(s, line, slice_of(count.ptr, count.len > 0 ? count.len - 1 : 0));

    if (n < 1 || (size_t)n > s->txn_count) {
        fault(s, line, "no such transaction");
        return;
    }
    buf_puts(out, buf_slice(dotted ? &s->txns[n - 1].dotted : &s->txns[n - 1].raw));
}

static bool step_line(struct script *s, unsigned line, struct slice name, struct slice rest)
{
    static const struct {
        const char *name;
        enum step_kind kind;
        bool is_duration;
    } steps[] = {
        {"timeout", STEP_TIMEOUT, false},  {"wait", STEP_WAIT, true},
        {"secure", STEP_SECURE, false},    {"quit", STEP_QUIT, false},
        {"hold", STEP_HOLD, false},        {"go", STEP_GO, false},
        {"stall", STEP_STALL, false},      {"sent", STEP_SENT, false},
        {"deadline", STEP_DEADLINE, true}, {"room", STEP_ROOM, false},
        {"C*", STEP_CONTENT, false},
    };

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (slice_eq(name, slice_cstr(steps[i].name))) {
            struct step *step = add_step(s, line, steps[i].kind);
            step->number = steps[i].is_duration ? duration(s, line, rest)
                           : rest.len > 0       ? number(s, line, rest)
                                                : -1;
            return true;
        }
    }
    if (slice_eq(name, SLICE("close"))) {
        add_step(s, line, STEP_CLOSE)->number = slice_eq(rest, SLICE("reset")) ? ERR_IO
                                                : slice_eq(rest, SLICE("tls")) ? ERR_TLS
                                                                               : 0;
        return true;
    }
    return false;
}

/* ---- what is expected ---- */

static void read_expected(struct expected *e, unsigned line, struct slice rest)
{
    size_t quote = slice_find(rest, '"');
    struct slice text = slice_from(rest, quote + 1);
    char code[8];

    rest = slice_of(rest.ptr, quote);
    *e = (struct expected){.line = line};
    copy_word(e->outcome, sizeof(e->outcome), &rest);
    copy_word(e->stage, sizeof(e->stage), &rest);
    copy_word(code, sizeof(code), &rest);
    if (sscanf(code, "%u", &e->code) != 1) {
        e->code = 0;
    }
    copy_word(e->enhanced, sizeof(e->enhanced), &rest);
    copy_word(e->failure, sizeof(e->failure), &rest);
    copy_word(e->host, sizeof(e->host), &rest);
    copy_word(e->site, sizeof(e->site), &rest);
    if (text.len > 0) {
        buf_put(&e->text, text.ptr, text.len - 1);
    }
}

/* "1" or "1.2" or "1.2-7". */
static void result(struct script *s, unsigned line, struct slice rest)
{
    unsigned n = 0, first = 0, last = 0;
    char who[32];

    copy_word(who, sizeof(who), &rest);
    int found = sscanf(who, "%u.%u-%u", &n, &first, &last);

    if (found < 1 || n < 1 || n > s->txn_count) {
        fault(s, line, "no such transaction");
        return;
    }
    struct script_txn *t = &s->txns[n - 1];

    first = found > 1 ? first : 1;
    last = found > 2 ? last : found > 1 ? first : (unsigned)t->rcpt_count;
    if (first < 1 || last < first || last > t->rcpt_count) {
        fault(s, line, "no such recipient");
        return;
    }
    for (unsigned i = first; i <= last; i++) {
        read_expected(&t->expected[i - 1], line, rest);
    }
}

static void learned(struct script *s, unsigned line, struct slice rest)
{
    static const struct {
        const char *name;
        uint32_t bit;
    } names[] = {
        {"ahead-refused", SMTP_LEARNED_AHEAD_REFUSED},
        {"no-bdat", SMTP_LEARNED_NO_BDAT},
        {"helo-only", SMTP_LEARNED_HELO_ONLY},
        {"starttls-refused", SMTP_LEARNED_STARTTLS_REFUSED},
        {"injection", SMTP_LEARNED_INJECTION},
        {"rcpt-limit", SMTP_LEARNED_RCPT_LIMIT},
        {"protocol", SMTP_LEARNED_PROTOCOL},
    };

    while (rest.len > 0) {
        struct slice w = word(&rest);
        uint32_t bit = 0;
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
            bit |= slice_eq(w, slice_cstr(names[i].name)) ? names[i].bit : 0;
        }
        if (bit == 0) {
            fault(s, line, "nothing that is learned");
        }
        s->learned |= bit;
    }
}

static void end(struct script *s, unsigned line, struct slice rest)
{
    char code[8];

    s->end_line = line;
    copy_word(s->end_reason, sizeof(s->end_reason), &rest);
    copy_word(s->end_stage, sizeof(s->end_stage), &rest);
    copy_word(code, sizeof(code), &rest);
    if (code[0] != '\0' && sscanf(code, "%u", &s->end_code) != 1) {
        fault(s, line, "a reply code is expected");
    }
}

/* ---- the file ---- */

static void read_line(struct script *s, unsigned line, struct slice text)
{
    struct slice rest = text;
    struct slice name = word(&rest);

    if (slice_eq(name, SLICE("S:")) || slice_eq(name, SLICE("S-"))) {
        server_line(s, line, rest, name.ptr[1] == ':');
    } else if (slice_eq(name, SLICE("C:"))) {
        client_line(s, line, rest);
    } else if (slice_eq(name, SLICE("item"))) {
        if (s->item_count < SCRIPT_ITEMS_MAX) {
            buf_puts(&s->items[s->item_count++], rest);
        }
    } else if (slice_eq(name, SLICE("option"))) {
        option(s, line, rest);
    } else if (slice_eq(name, SLICE("result"))) {
        result(s, line, rest);
    } else if (slice_eq(name, SLICE("learned"))) {
        learned(s, line, rest);
    } else if (slice_eq(name, SLICE("end"))) {
        end(s, line, rest);
    } else if (slice_eq(name, SLICE("open"))) {
        s->end_line = line;
    } else if (!txn_line(s, line, name, rest) && !step_line(s, line, name, rest)) {
        fault(s, line, "not understood");
    }
}

static bool read_file(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "rb");
    size_t got = 1;

    if (f == NULL) {
        return false;
    }
    while (got > 0) {
        buf_reserve(out, 4096);
        got = fread(out->ptr + out->len, 1, 4096, f);
        out->len += got;
    }
    fclose(f);
    return true;
}

struct script *script_read(const char *path)
{
    struct buf text = BUF_EMPTY;
    struct slice rest, line;
    unsigned number_of = 0;

    if (!read_file(path, &text)) {
        return NULL;
    }
    struct script *s = mem_zalloc(sizeof(*s));

    s->path = path;
    smtp_config_init(&s->config, SLICE("mta.example.com"));
    rest = buf_slice(&text);
    while (slice_next(&rest, '\n', &line)) {
        number_of++;
        if (slice_trim(line).len > 0 && slice_trim(line).ptr[0] != '#') {
            read_line(s, number_of, line);
        }
    }
    if (s->end_line == 0) {
        fault(s, number_of, "the file says neither `end` nor `open`");
    }
    if (s->item_count == 0) {
        fault(s, number_of, "the file names no `item`");
    }
    buf_fini(&text);
    return s;
}

void script_free(struct script *s)
{
    for (size_t i = 0; i < s->step_count; i++) {
        buf_fini(&s->steps[i].bytes);
    }
    for (size_t i = 0; i < s->txn_count; i++) {
        struct script_txn *t = &s->txns[i];
        buf_fini(&t->from);
        buf_fini(&t->dsn);
        buf_fini(&t->dotted);
        buf_fini(&t->raw);
        for (size_t r = 0; r < t->rcpt_count; r++) {
            buf_fini(&t->rcpt[r]);
            buf_fini(&t->rcpt_dsn[r]);
            buf_fini(&t->expected[r].text);
        }
    }
    for (size_t i = 0; i < SCRIPT_ITEMS_MAX; i++) {
        buf_fini(&s->items[i]);
    }
    for (size_t i = 0; i < sizeof(s->strings) / sizeof(s->strings[0]); i++) {
        buf_fini(&s->strings[i]);
    }
    mem_free(s);
}
