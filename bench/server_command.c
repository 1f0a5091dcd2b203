/*
 * server_command.c - one receiving SMTP session: the commands.
 *
 * One table says what each verb is and whether it must be the last of a group (RFC 2920 3.1);
 * each handler checks the order of things and the arguments, and gives a usual answer, which
 * the hooks may change.  A command takes effect only when it was answered positively.
 */
#include "bench/server_impl.h"
#include "engine/base/utf8.h"

#include <string.h>

struct command {
    uint32_t word; /* the first four letters in lower case */
    const char *rest;
    enum server_verb verb;
    bool last; /* nothing may be sent before its answer was read */
    void (*run)(struct server *s, struct slice args, int64_t now_us);
};

#define WORD(a, b, c, d) \
    ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

static void put_keyword(struct buf *b, const char *keyword)
{
    buf_putc(b, '\n');
    buf_puts(b, slice_cstr(keyword));
}

/* The lines of the answer to EHLO, parted by '\n'. */
static void put_features(const struct server *s, struct buf *b)
{
    const struct server_options *o = s->options;
    const struct {
        bool on;
        const char *keyword;
    } rows[] = {
        {o->pipelining, "PIPELINING"},
        {o->eightbitmime, "8BITMIME"},
        {o->smtputf8, "SMTPUTF8"},
        {o->chunking, "CHUNKING"},
        {o->starttls && !s->tls, "STARTTLS"},
        {o->enhanced, "ENHANCEDSTATUSCODES"},
        {o->dsn, "DSN"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].on) {
            put_keyword(b, rows[i].keyword);
        }
    }
    if (o->size) {
        put_keyword(b, "SIZE ");
        buf_putu(b, o->size_max > 0 ? o->size_max : SERVER_SIZE_MAX);
    }
    for (const char *const *k = o->keywords; k != NULL && *k != NULL; k++) {
        put_keyword(b, *k);
    }
}

static void greet(struct server *s, struct slice name, bool extended, int64_t now_us)
{
    enum server_verb verb = extended ? SERVER_EHLO : SERVER_HELO;
    struct server_verdict v = {0};
    struct buf answer = BUF_EMPTY;

    if (name.len == 0) {
        server_complain(s, STAT_ERR_SYNTAX, SLICE("501 5.5.4 Say your host name behind EHLO"));
        return;
    }
    BUF_LIT(&answer, "250 ");
    buf_puts(&answer, s->options->hostname);
    if (extended) {
        put_features(s, &answer);
    }
    if (!server_ask(s, verb, SLICE_NONE, now_us, &v)) {
        v = (struct server_verdict){0};
    }
    if (v.reply.len == 0 && !v.mute) {
        v.reply = buf_slice(&answer);
    }
    if (server_apply(s, verb, &v, SLICE_NONE) == 2) {
        server_reset_transaction(s);
        s->greeted = true;
        s->extended = extended;
    }
    buf_fini(&answer);
}

static void run_ehlo(struct server *s, struct slice args, int64_t now_us)
{
    greet(s, slice_trim(args), true, now_us);
}

static void run_helo(struct server *s, struct slice args, int64_t now_us)
{
    greet(s, slice_trim(args), false, now_us);
}

static void run_starttls(struct server *s, struct slice args, int64_t now_us)
{
    (void)args;
    if (!s->options->starttls || s->tls) {
        server_complain(s, STAT_ERR_SEQUENCE, SLICE("502 5.5.1 STARTTLS is not offered"));
        return;
    }
    if (s->options->refuse_starttls) {
        server_say(s, SERVER_STARTTLS, SLICE("454 4.7.0 TLS is not available"));
        return;
    }
    if (server_answer(s, SERVER_STARTTLS, SLICE_NONE, SLICE("220 2.0.0 Go ahead with TLS"),
                      now_us) == 2 &&
        s->state != SERVER_OVER) {
        server_mark(s, SERVER_MARK_TLS, 0);
    }
}

/* ---- MAIL ---- */

/* Judges one parameter of MAIL; an empty slice means it is fine. */
static struct slice mail_param(struct server *s, struct slice key, struct slice value)
{
    const struct server_options *o = s->options;
    uint64_t size, size_max = o->size_max > 0 ? o->size_max : SERVER_SIZE_MAX;

    if (slice_ieq(key, SLICE("SIZE")) && o->size && s->extended) {
        if (slice_u64(value, &size) != 0) {
            return SLICE("501 5.5.4 SIZE needs a number");
        }
        return size > size_max ? SLICE("552 5.3.4 The message is too large") : SLICE_NONE;
    }
    if (slice_ieq(key, SLICE("BODY")) && o->eightbitmime && s->extended) {
        s->body8 = slice_ieq(value, SLICE("8BITMIME"));
        return s->body8 || slice_ieq(value, SLICE("7BIT"))
                   ? SLICE_NONE
                   : SLICE("501 5.5.4 BODY is 7BIT or 8BITMIME");
    }
    if (slice_ieq(key, SLICE("SMTPUTF8")) && o->smtputf8 && s->extended) {
        s->utf8 = true;
        return SLICE_NONE;
    }
    if ((slice_ieq(key, SLICE("RET")) || slice_ieq(key, SLICE("ENVID"))) && o->dsn && s->extended) {
        return SLICE_NONE;
    }
    return SLICE("555 5.5.4 A parameter that was not offered");
}

/* RFC 6531 3.3: an address beyond ASCII needs the keyword. */
static struct slice check_address(const struct server *s, struct slice path, bool may_be_bare)
{
    size_t at = slice_find(path, '@');

    if (!utf8_is_ascii(path) && !s->utf8) {
        return SLICE("553 5.6.7 The address needs SMTPUTF8");
    }
    if (!utf8_valid(path)) {
        return SLICE("553 5.1.7 The address is not UTF-8");
    }
    if (may_be_bare && (path.len == 0 || at == path.len)) {
        return SLICE_NONE;
    }
    return at == 0 || at + 1 >= path.len ? SLICE("553 5.1.3 The address is not local@domain")
                                         : SLICE_NONE;
}

static struct slice mail_params(struct server *s, struct slice args)
{
    struct slice key, value;

    while (server_param(&args, &key, &value)) {
        struct slice wrong = mail_param(s, key, value);
        if (wrong.len > 0) {
            return wrong;
        }
    }
    return SLICE_NONE;
}

/* True when the connection has had its messages, and that was said or acted upon. */
static bool mail_over_limit(struct server *s)
{
    if (s->options->messages_max == 0 || s->messages < s->options->messages_max) {
        return false;
    }
    server_say(s, SERVER_MAIL, SLICE("421 4.7.0 Too many messages on this connection"));
    server_mark(s, SERVER_MARK_CLOSE, 0);
    s->state = SERVER_OVER;
    return true;
}

/* An answer to a command that only makes sense behind another one.  It is an error of the
 * client unless that other one was refused: it may have been in the same flight. */
static void out_of_sequence(struct server *s, struct slice reply)
{
    if (s->mail_refused || s->recipients_refused > 0 || s->spoiled) {
        server_say(s, SERVER_OTHER, reply);
    } else {
        server_complain(s, STAT_ERR_SEQUENCE, reply);
    }
}

static bool mail_in_sequence(struct server *s)
{
    if (!s->greeted) {
        server_complain(s, STAT_ERR_SEQUENCE, SLICE("503 5.5.1 Say EHLO first"));
        return false;
    }
    if (s->mail) {
        out_of_sequence(s, SLICE("503 5.5.1 There is a transaction already"));
        return false;
    }
    if (s->after_dot && s->options->refuse_ahead) {
        server_complain(s, STAT_ERR_PIPELINING,
                        SLICE("503 5.5.1 Pipelined behind the end of a message"));
        return false;
    }
    return true;
}

static void run_mail(struct server *s, struct slice args, int64_t now_us)
{
    struct slice path, wrong;

    if (!mail_in_sequence(s) || mail_over_limit(s)) {
        return;
    }
    server_reset_transaction(s);
    wrong = server_path(&args, SLICE("FROM:"), &path);
    if (wrong.len == 0) {
        wrong = mail_params(s, args);
    }
    if (wrong.len == 0) {
        wrong = check_address(s, path, true);
    }
    if (wrong.len > 0) {
        server_reset_transaction(s);
        s->mail_refused = true;
        sink_stats_inc(s->stats, STAT_REJECTED_MAIL);
        if (slice_starts(wrong, SLICE("552"))) {
            sink_stats_inc(s->stats, STAT_ERR_SIZE);
            server_say(s, SERVER_OTHER, wrong);
        } else {
            server_complain(s, STAT_ERR_SYNTAX, wrong);
        }
        return;
    }
    /* The hooks look at the sender there. */
    buf_puts(&s->envelope, path);
    s->from_len = (uint32_t)path.len;
    if (server_answer(s, SERVER_MAIL, SLICE_NONE, SLICE("250 2.1.0 Sender ok"), now_us) == 2) {
        s->mail = true;
    } else {
        server_reset_transaction(s);
        s->mail_refused = true;
    }
}

/* ---- RCPT ---- */

static struct slice rcpt_params(struct server *s, struct slice args)
{
    struct slice key, value;

    while (server_param(&args, &key, &value)) {
        bool dsn = slice_ieq(key, SLICE("NOTIFY")) || slice_ieq(key, SLICE("ORCPT"));
        if (!dsn || !s->options->dsn || !s->extended) {
            return SLICE("555 5.5.4 A parameter that was not offered");
        }
    }
    return SLICE_NONE;
}

static void add_recipient(struct server *s, struct slice path)
{
    uint16_t len = (uint16_t)path.len;

    buf_put(&s->envelope, &len, sizeof(len));
    buf_puts(&s->envelope, path);
    s->recipients++;
}

static void run_rcpt(struct server *s, struct slice args, int64_t now_us)
{
    uint64_t most =
        s->options->recipients_max > 0 ? s->options->recipients_max : SERVER_RECIPIENTS_MAX;
    struct slice path, wrong;

    if (!s->mail || s->chunked) {
        out_of_sequence(s, SLICE("503 5.5.1 MAIL comes first"));
        return;
    }
    wrong = server_path(&args, SLICE("TO:"), &path);
    if (wrong.len == 0) {
        wrong = rcpt_params(s, args);
    }
    if (wrong.len == 0) {
        wrong = check_address(s, path, slice_ieq(path, SLICE("postmaster")));
    }
    if (wrong.len > 0) {
        sink_stats_inc(s->stats, STAT_REJECTED_RCPT);
        s->recipients_refused++;
        server_complain(s, STAT_ERR_SYNTAX, wrong);
        return;
    }
    if (s->recipients >= most) {
        /* RFC 5321 4.5.3.1.10 */
        server_say(s, SERVER_RCPT, SLICE("452 4.5.3 Too many recipients"));
        s->recipients_refused++;
        return;
    }
    if (server_answer(s, SERVER_RCPT, path, SLICE("250 2.1.5 Recipient ok"), now_us) == 2) {
        add_recipient(s, path);
    } else {
        s->recipients_refused++;
    }
}

/* ---- DATA and BDAT ---- */

/* What is wrong with sending content now, or an empty slice. */
static struct slice content_in_sequence(const struct server *s)
{
    if (!s->mail) {
        return SLICE("503 5.5.1 MAIL comes first");
    }
    if (s->recipients == 0) {
        return s->recipients_refused > 0 ? SLICE("554 5.5.1 No valid recipients")
                                         : SLICE("503 5.5.1 RCPT comes first");
    }
    return SLICE_NONE;
}

static void run_data(struct server *s, struct slice args, int64_t now_us)
{
    struct slice wrong = s->chunked ? SLICE("503 5.5.1 BDAT has begun") : content_in_sequence(s);

    if (wrong.len == 0 && args.len > 0) {
        wrong = SLICE("501 5.5.4 DATA takes no argument");
    }
    if (wrong.len > 0) {
        out_of_sequence(s, wrong);
    } else if (server_answer(s, SERVER_DATA, SLICE_NONE, SLICE("354 End with <CR><LF>.<CR><LF>"),
                             now_us) == 3 &&
               s->state != SERVER_OVER) {
        s->state = SERVER_IN_DATA;
        server_body_begin(s, now_us);
    }
}

/* `BDAT size [LAST]` (RFC 3030 2): the octets follow whatever the answer will be. */
static void run_bdat(struct server *s, struct slice args, int64_t now_us)
{
    struct slice size = SLICE_NONE, wrong = SLICE_NONE;

    slice_next(&args, ' ', &size);
    args = slice_trim(args);
    if (!s->options->chunking || slice_u64(size, &s->chunk_left) != 0 ||
        (args.len > 0 && !slice_ieq(args, SLICE("LAST")))) {
        server_complain(s, s->options->chunking ? STAT_ERR_SYNTAX : STAT_ERR_UNKNOWN,
                        s->options->chunking ? SLICE("501 5.5.4 Syntax: BDAT size [LAST]")
                                             : SLICE("502 5.5.1 BDAT is not offered"));
        return;
    }
    s->last = args.len > 0;
    wrong = content_in_sequence(s);
    s->swallow = wrong.len > 0 || s->spoiled;
    if (!s->swallow && !s->chunked) {
        s->chunked = true;
        server_body_begin(s, now_us);
    }
    s->state = SERVER_IN_BDAT;
    if (s->chunk_left == 0) {
        server_chunk_done(s, now_us);
    }
}

/* ---- the others ---- */

static void run_rset(struct server *s, struct slice args, int64_t now_us)
{
    (void)args;
    if (server_answer(s, SERVER_RSET, SLICE_NONE, SLICE("250 2.0.0 Ok"), now_us) == 2) {
        server_reset_transaction(s);
    }
}

static void run_noop(struct server *s, struct slice args, int64_t now_us)
{
    (void)args;
    server_answer(s, SERVER_NOOP, SLICE_NONE, SLICE("250 2.0.0 Ok"), now_us);
}

static void run_vrfy(struct server *s, struct slice args, int64_t now_us)
{
    (void)args;
    server_answer(s, SERVER_VRFY, SLICE_NONE, SLICE("252 2.0.0 Send some mail, we will see"),
                  now_us);
}

static void run_quit(struct server *s, struct slice args, int64_t now_us)
{
    (void)args;
    server_answer(s, SERVER_QUIT, SLICE_NONE, SLICE("221 2.0.0 Bye"), now_us);
    if (s->state != SERVER_OVER) {
        server_mark(s, SERVER_MARK_CLOSE, 0);
        s->state = SERVER_OVER;
    }
}

static const struct command commands[] = {
    {WORD('m', 'a', 'i', 'l'), "", SERVER_MAIL, false, run_mail},
    {WORD('r', 'c', 'p', 't'), "", SERVER_RCPT, false, run_rcpt},
    {WORD('d', 'a', 't', 'a'), "", SERVER_DATA, true, run_data},
    {WORD('b', 'd', 'a', 't'), "", SERVER_BDAT, false, run_bdat},
    {WORD('r', 's', 'e', 't'), "", SERVER_RSET, false, run_rset},
    {WORD('e', 'h', 'l', 'o'), "", SERVER_EHLO, true, run_ehlo},
    {WORD('h', 'e', 'l', 'o'), "", SERVER_HELO, true, run_helo},
    {WORD('n', 'o', 'o', 'p'), "", SERVER_NOOP, true, run_noop},
    {WORD('v', 'r', 'f', 'y'), "", SERVER_VRFY, true, run_vrfy},
    {WORD('q', 'u', 'i', 't'), "", SERVER_QUIT, true, run_quit},
    {WORD('s', 't', 'a', 'r'), "ttls", SERVER_STARTTLS, true, run_starttls},
};

static const struct command *find_command(struct slice verb)
{
    uint32_t word;

    if (verb.len < 4) {
        return NULL;
    }
    memcpy(&word, verb.ptr, sizeof(word));
    word |= WORD(0x20, 0x20, 0x20, 0x20);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (commands[i].word == word) {
            return slice_ieq(slice_from(verb, 4), slice_cstr(commands[i].rest)) ? &commands[i]
                                                                                : NULL;
        }
    }
    return NULL;
}

void server_command(struct server *s, struct slice line, int64_t now_us)
{
    size_t len = slice_find(line, ' ');
    const struct command *c = find_command(slice_of(line.ptr, len));

    if (c == NULL) {
        server_complain(s, STAT_ERR_UNKNOWN, SLICE("500 5.5.2 Unknown command"));
        s->unsent = !s->options->pipelining;
        return;
    }
    if (s->refused && c->verb != SERVER_QUIT) {
        server_complain(s, STAT_ERR_SEQUENCE, SLICE("503 5.5.1 Nothing but QUIT is taken"));
    } else {
        c->run(s, slice_trim(slice_from(line, len)), now_us);
    }
    /* All answers are to be waited for where pipelining is not offered, but octets of a chunk
     * stand right behind their command. */
    s->unsent = s->state != SERVER_IN_BDAT && (c->last || !s->options->pipelining || !s->extended);
}
