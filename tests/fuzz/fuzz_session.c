/* modules: smtp base */
/*
 * fuzz_session.c - a session against any server and any owner.
 *
 * The first two bytes choose the configuration, the others what happens: a reply out of a
 * table, raw bytes, the end of the stream, a deadline, a slow write, ...  Beside the session
 * runs a referee that knows nothing of it: he reads what the client wrote and what the
 * server said, and judges by himself who got which letter.  Then:
 *
 * - a recipient is ACCEPTED if and only if the referee saw a 2xx to the end of his letter,
 *   after a 2xx to his RCPT, in the same transaction of the wire;
 * - he is AMBIGUOUS only if the end was written and not answered, and nothing else if so;
 * - every transaction comes back once, with one outcome for each recipient, before END;
 * - nothing is written after END, and the session is never stuck: as long as it is not over,
 *   something is outstanding, or there is something to write, or it waits for the owner.
 */
#include "engine/base/err.h"
#include "engine/base/panic.h"
#include "engine/smtp/session.h"

#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TXNS = 12, RCPTS = 4, PENDING_MAX = 1024, PIECES = 24 };

/* ---- the referee ---- */

enum spoken { SPOKE_OTHER, SPOKE_MAIL, SPOKE_RCPT, SPOKE_DATA, SPOKE_END, SPOKE_RSET };
enum envelope { NOT_ASKED, ASKED, TAKEN, REFUSED };

struct referee {
    struct {
        enum spoken what;
        int txn, rcpt;
    } pending[PENDING_MAX];
    unsigned head, tail;
    char line[4096]; /* of the client, unfinished */
    size_t line_len;
    size_t octets;    /* of a chunk still to come */
    bool in_data;     /* the client is writing content */
    int mail, letter; /* whose envelope and whose content was last seen */
    enum envelope sender[TXNS], asked[TXNS][RCPTS];
    bool end_written[TXNS]; /* and not answered */
    bool delivered[TXNS][RCPTS];
    char reply[4096]; /* line of the server, unfinished */
    size_t reply_len;
    bool out_of_step;
};

static void spoke(struct referee *r, enum spoken what, int txn, int rcpt)
{
    ASSERT(r->tail - r->head < PENDING_MAX);
    r->pending[r->tail % PENDING_MAX].what = what;
    r->pending[r->tail % PENDING_MAX].txn = txn;
    r->pending[r->tail % PENDING_MAX].rcpt = rcpt;
    r->tail++;
}

static void content_line(struct referee *r, const char *line)
{
    int txn;

    if (sscanf(line, "T%d", &txn) == 1) {
        ASSERT(r->letter < 0 || r->letter == txn);
        r->letter = txn;
    }
}

static void end_of_content(struct referee *r)
{
    if (r->letter >= 0) {
        ASSERT(r->letter == r->mail); /* the content goes with its own envelope */
        r->end_written[r->letter] = true;
    }
    spoke(r, SPOKE_END, r->letter, 0);
    r->letter = -1;
    r->in_data = false;
}

static void client_line(struct referee *r, const char *line)
{
    int txn = 0, rcpt = 0;

    if (r->in_data) {
        if (strcmp(line, ".") == 0) {
            end_of_content(r);
        } else {
            content_line(r, line);
        }
    } else if (sscanf(line, "MAIL FROM:<s%d@", &txn) == 1) {
        r->mail = txn;
        r->sender[txn] = ASKED;
        for (int i = 0; i < RCPTS; i++) {
            if (!r->delivered[txn][i]) {
                r->asked[txn][i] = NOT_ASKED;
            }
        }
        spoke(r, SPOKE_MAIL, txn, 0);
    } else if (sscanf(line, "RCPT TO:<r%d.%d@", &txn, &rcpt) == 2) {
        ASSERT(txn == r->mail && !r->delivered[txn][rcpt]);
        r->asked[txn][rcpt] = ASKED;
        spoke(r, SPOKE_RCPT, txn, rcpt);
    } else if (strcmp(line, "DATA") == 0) {
        spoke(r, SPOKE_DATA, r->mail, 0);
    } else if (sscanf(line, "BDAT %zu LAST", &r->octets) == 1) {
        r->in_data = true;
        ASSERT(r->octets > 0);
    } else {
        spoke(r, strcmp(line, "RSET") == 0 ? SPOKE_RSET : SPOKE_OTHER, 0, 0);
    }
}

static void client_byte(struct referee *r, char c)
{
    ASSERT(r->line_len < sizeof(r->line) - 1);
    r->line[r->line_len++] = c;
    if (r->line_len >= 2 && c == '\n') {
        ASSERT(r->line[r->line_len - 2] == '\r');
        r->line[r->line_len - 2] = '\0';
        r->line_len = 0;
        size_t octets = r->octets;
        client_line(r, r->line);
        if (octets == 0 && r->octets > 0) {
            return; /* that was the BDAT itself */
        }
    }
    if (r->octets > 0 && --r->octets == 0) {
        ASSERT(r->line_len == 0);
        end_of_content(r);
    }
}

/* The server's answer to the end of a letter: for those whose RCPT was taken. */
static void judge(struct referee *r, int txn, bool ok)
{
    if (txn < 0) {
        return;
    }
    for (int i = 0; i < RCPTS; i++) {
        if (ok && r->sender[txn] == TAKEN && r->asked[txn][i] == TAKEN) {
            r->delivered[txn][i] = true;
        }
    }
    r->end_written[txn] = false;
}

static void server_reply(struct referee *r, int code)
{
    bool ok = code / 100 == 2;

    if (r->head == r->tail) {
        r->out_of_step = true;
        return;
    }
    int txn = r->pending[r->head % PENDING_MAX].txn;
    int rcpt = r->pending[r->head % PENDING_MAX].rcpt;

    switch (r->pending[r->head++ % PENDING_MAX].what) {
    case SPOKE_MAIL:
        r->sender[txn] = ok ? TAKEN : REFUSED;
        break;
    case SPOKE_RCPT:
        r->asked[txn][rcpt] = ok ? TAKEN : REFUSED;
        break;
    case SPOKE_DATA:
        r->in_data = code / 100 == 3;
        break;
    case SPOKE_END:
        judge(r, txn, ok);
        break;
    case SPOKE_RSET:
    case SPOKE_OTHER:
        break;
    }
}

static void server_byte(struct referee *r, char c)
{
    if (r->out_of_step || r->reply_len == sizeof(r->reply) - 1) {
        r->out_of_step = true;
        return;
    }
    r->reply[r->reply_len++] = c;
    if (c == '\n') {
        r->reply[r->reply_len] = '\0';
        r->reply_len = 0;
        if (r->reply[3] != '-') {
            server_reply(r,
                         (r->reply[0] - '0') * 100 + (r->reply[1] - '0') * 10 + r->reply[2] - '0');
        }
    }
}

/* ---- the owner ---- */

struct game {
    struct smtp_config config;
    struct smtp_session session;
    struct referee referee;
    struct smtp_txn txns[TXNS];
    struct smtp_rcpt rcpts[TXNS][RCPTS];
    char names[TXNS][RCPTS + 1][24];
    char marks[TXNS][8];
    struct iovec dotted[TXNS][PIECES], raw[TXNS][PIECES];
    int64_t now_us;
    int submitted, done;
    bool back[TXNS];
    bool hold, stall, handshake, ended, quit, moody;
    size_t stalled;
    bool closed_by_reply; /* 421 or a refusal in mid-content: an answer for what was asked */
};

static void set_up_txn(struct game *g, int n)
{
    struct smtp_txn *t = &g->txns[n];
    size_t pieces = n % 3 == 2 ? PIECES - 1 : 1; /* every third needs several flights */
    size_t len = (size_t)snprintf(g->marks[n], sizeof(g->marks[n]), "T%d\r\n", n);

    for (size_t i = 0; i < pieces; i++) {
        g->raw[n][i] = (struct iovec){g->marks[n], len};
        g->dotted[n][i] = (struct iovec){g->marks[n], len};
    }
    g->dotted[n][pieces] = (struct iovec){".\r\n", 3};
    smtp_txn_init(t);
    t->owner = &g->txns[n];
    t->rcpts = g->rcpts[n];
    t->rcpt_count = 1 + (size_t)n % RCPTS;
    t->content = (struct smtp_content){g->dotted[n], pieces + 1, pieces * len + 3,
                                       g->raw[n],    pieces,     pieces * len};
    snprintf(g->names[n][RCPTS], sizeof(g->names[n][RCPTS]), "s%d@x.example", n);
    t->mail_from = slice_cstr(g->names[n][RCPTS]);
    for (int i = 0; i < RCPTS; i++) {
        snprintf(g->names[n][i], sizeof(g->names[n][i]), "r%d.%d@y%d.example", n, i, i);
        g->rcpts[n][i] = (struct smtp_rcpt){.address = slice_cstr(g->names[n][i])};
    }
}

static void check_rcpt(const struct game *g, int n, int i)
{
    const struct smtp_rcpt *rcpt = &g->rcpts[n][i];
    const struct referee *r = &g->referee;
    bool asked = r->asked[n][i] == ASKED || r->asked[n][i] == TAKEN;
    bool written = asked && r->end_written[n] && r->sender[n] != REFUSED;

    ASSERT(rcpt->outcome != SMTP_UNDECIDED);
    ASSERT((rcpt->outcome == SMTP_ACCEPTED) == r->delivered[n][i]);
    ASSERT(rcpt->outcome != SMTP_AMBIGUOUS || written);
    if (written && !g->closed_by_reply && rcpt->cause != SMTP_CAUSE_REPLY) {
        ASSERT(rcpt->outcome == SMTP_AMBIGUOUS);
    }
    ASSERT(smtp_rcpt_text(&g->txns[n], rcpt).len <= SMTP_TEXT_MAX);
}

static void pull_events(struct game *g)
{
    struct smtp_event e;

    while (smtp_session_event(&g->session, &e)) {
        ASSERT(!g->ended);
        switch (e.type) {
        case SMTP_EVENT_STARTTLS:
            g->handshake = true;
            break;
        case SMTP_EVENT_READY:
            break;
        case SMTP_EVENT_TXN_DONE: {
            int n = (int)(e.txn - g->txns);
            ASSERT(!g->back[n] && e.txn->owner == &g->txns[n]);
            ASSERT(!e.lent || g->stalled > 0);
            g->back[n] = true;
            g->done++;
            for (int i = 0; i < (int)e.txn->rcpt_count; i++) {
                check_rcpt(g, n, i);
            }
            break;
        }
        case SMTP_EVENT_END:
            g->ended = true;
            ASSERT(g->done == g->submitted);
            break;
        }
    }
}

static bool write_flight(struct game *g)
{
    struct iovec iov[SMTP_IOV_MIN];
    size_t bytes = 0;

    if (g->stalled > 0) {
        return false;
    }
    size_t count = smtp_session_output(&g->session, iov, SMTP_IOV_MIN, g->now_us);

    ASSERT(count == 0 || !g->ended);
    for (size_t i = 0; i < count; i++) {
        for (size_t b = 0; b < iov[i].iov_len; b++) {
            client_byte(&g->referee, ((const char *)iov[i].iov_base)[b]);
        }
        bytes += iov[i].iov_len;
    }
    if (g->stall) {
        g->stalled = bytes;
    } else {
        smtp_session_sent(&g->session, bytes, g->now_us);
    }
    return count > 0;
}

/* Not over, nothing outstanding, nothing to write: then it must be the owner's turn. */
static void check_not_stuck(const struct game *g)
{
    bool outstanding = g->referee.head != g->referee.tail;
    const struct smtp_session *s = &g->session;

    if (g->ended || g->handshake || g->stalled > 0) {
        return;
    }
    if (outstanding) {
        ASSERT(smtp_session_deadline_us(s) != INT64_MAX);
        return;
    }
    ASSERT(g->done == g->submitted && !g->quit);
    ASSERT(smtp_session_idle(s));
}

static void pump(struct game *g)
{
    bool more = true;

    while (more) {
        pull_events(g);
        more = false;
        while (!g->hold && g->submitted < TXNS && smtp_session_room(&g->session) > 0) {
            smtp_session_submit(&g->session, &g->txns[g->submitted++], g->now_us);
            if (g->moody) { /* what was learned of the site changes under way */
                smtp_session_go_ahead(&g->session, (g->submitted & 2) == 0);
            }
            more = true;
        }
        more = write_flight(g) || more;
    }
    pull_events(g);
    check_not_stuck(g);
}

/* Says it to the session up to each line's end, and then to the referee: where the session
 * ends, he must not listen on. */
static void server_says(struct game *g, const char *bytes, size_t len)
{
    while (len > 0 && !g->ended) {
        const char *lf = memchr(bytes, '\n', len);
        size_t part = lf != NULL ? (size_t)(lf - bytes) + 1 : len;

        smtp_session_feed(&g->session, slice_of(bytes, part), g->now_us);
        enum smtp_end_reason reason = smtp_session_end(&g->session)->reason;
        bool by_reply = reason == SMTP_END_CUT || smtp_session_end(&g->session)->code == 421;
        g->closed_by_reply = g->closed_by_reply || by_reply;
        bool heard = reason == SMTP_END_NONE || reason == SMTP_END_QUIT;
        for (size_t i = 0; heard && !g->handshake && i < part; i++) {
            server_byte(&g->referee, bytes[i]);
        }
        bytes += part;
        len -= part;
        pump(g);
        ASSERT(g->ended || g->handshake || !g->referee.out_of_step);
    }
}

/* A server that is content: the reply that moves things on. */
static void good_reply(struct game *g)
{
    const struct referee *r = &g->referee;
    const char *reply = "250 ok\r\n";

    if (r->head == r->tail) {
        reply = r->tail == 0 ? "220 hello\r\n" : "";
    } else if (r->pending[r->head % PENDING_MAX].what == SPOKE_DATA) {
        reply = "354 go\r\n";
    } else if (r->head == 1) {
        reply = "250-hello\r\n250-PIPELINING\r\n250 CHUNKING\r\n";
    }
    server_says(g, reply, strlen(reply));
}

static const char *const replies[] = {
    "220 hello\r\n",
    "250-hello\r\n250 PIPELINING\r\n",
    "250-hello\r\n250-PIPELINING\r\n250-CHUNKING\r\n250-8BITMIME\r\n250 STARTTLS\r\n",
    "250-hello\r\n250-PIPELINING\r\n250 LIMITS RCPTMAX=2 MAILMAX=3 RCPTDOMAINMAX=2\r\n",
    "250-hello\r\n250-CHUNKING\r\n250 AUTH PLAIN LOGIN\r\n",
    "250-hello\r\n250-PIPELINING\r\n250-AUTH LOGIN\r\n250 CHUNKING\r\n",
    "250 ok\r\n",
    "250 2.0.0 ok\r\n",
    "354 go\r\n",
    "550 5.1.1 no\r\n",
    "450 4.2.0 later\r\n",
    "452 4.5.3 too many\r\n",
    "552 too many\r\n",
    "421 4.3.2 bye\r\n",
    "503 5.5.1 sequence\r\n",
    "500 what\r\n",
    "502 what\r\n",
    "501 5.1.3 address\r\n",
    "554 5.7.1 spam\r\n",
    "554 no\r\n",
    "451 4.3.0 trouble\r\n",
    "235 welcome\r\n",
    "334 \r\n",
    "250-ok\r\n",
    "250 ok\r\n250 ok\r\n250 ok\r\n",
    "250 ok\r\n503 no\r\n503 no\r\n503 no\r\n",
    "250 ok\r\n250 ok\r\n550 no\r\n354 go\r\n",
};

enum { REPLIES = sizeof(replies) / sizeof(replies[0]) };

static void owner_does(struct game *g, unsigned what)
{
    switch (what) {
    case 0:
        smtp_session_eof(&g->session, 0, g->now_us);
        break;
    case 1:
        smtp_session_eof(&g->session, ERR_IO, g->now_us);
        break;
    case 2:
        if (smtp_session_deadline_us(&g->session) != INT64_MAX) {
            g->now_us = smtp_session_deadline_us(&g->session);
            smtp_session_expire(&g->session, g->now_us);
            ASSERT(smtp_session_end(&g->session)->reason != SMTP_END_NONE);
        }
        break;
    case 3:
        smtp_session_quit(&g->session, g->now_us);
        g->quit = true;
        break;
    case 4:
        if (g->handshake && !g->ended) {
            g->handshake = false;
            smtp_session_tls_up(&g->session, g->now_us);
        }
        break;
    case 5:
        g->stall = true;
        break;
    case 6:
        smtp_session_sent(&g->session, g->stalled / 2, g->now_us);
        g->stalled -= g->stalled / 2;
        break;
    case 7:
        smtp_session_sent(&g->session, g->stalled, g->now_us);
        g->stalled = 0;
        g->stall = false;
        break;
    case 8:
        g->hold = !g->hold;
        break;
    case 9:
        g->now_us += 1000000;
        smtp_session_expire(&g->session, g->now_us);
        break;
    case 10:
        smtp_session_trim(&g->session);
        break;
    default:
        break;
    }
    pump(g);
}

static void play(struct game *g, const uint8_t *data, size_t size)
{
    for (size_t at = 0; at < size && !g->ended; at++) {
        uint8_t op = data[at];

        if (op < 0x40) {
            good_reply(g);
        } else if (op < 0xc0) {
            const char *reply = replies[op % REPLIES];
            server_says(g, reply, strlen(reply));
        } else if (op < 0xf0) {
            owner_does(g, op % 12);
        } else {
            size_t len = (size_t)(op - 0xf0) * 2 + 1;
            len = len < size - at - 1 ? len : size - at - 1;
            server_says(g, (const char *)data + at + 1, len);
            at += len;
        }
    }
}

/* Words of the replies above, with everything that words can do. */
static const struct smtp_words *table_of_words(void)
{
    static struct smtp_words *words;
    struct buf why = BUF_EMPTY;
    unsigned line;

    if (words == NULL) {
        words = smtp_words_new();
        ASSERT(smtp_words_add(words,
                              SLICE("any any \"spam\" content later\n"
                                    "any any \"trouble\" policy bounce host=next\n"
                                    "any any \"sequence\" rate defer host=stay retry=1m\n"
                                    "any any \"later\" later\n"
                                    "any any \"in {time}\" retry=said site=hold\n"
                                    "5xx any \"no\" defer\n"),
                              &line, &why) == 0);
    }
    return words;
}

static void set_up(struct game *g, const uint8_t *data)
{
    memset(g, 0, sizeof(*g));
    g->referee.letter = -1;
    g->referee.mail = -1;
    g->now_us = 1;
    smtp_config_init(&g->config, SLICE("mta.example.com"));
    g->config.pipeline = (enum smtp_pipeline)(data[0] % 5);
    g->config.go_ahead = (data[0] & 0x20) != 0;
    g->config.quit_wait = (data[0] & 0x40) != 0;
    g->config.no_bdat = (data[0] & 0x80) != 0;
    g->config.depth = 1 + (data[1] & 7);
    g->config.tls = (enum smtp_tls_level)(data[1] >> 3 & 3);
    if ((data[1] & 0x20) != 0) {
        g->config.auth_user = SLICE("user");
        g->config.auth_password = SLICE("password");
        g->config.auth_in_clear = true;
    }
    g->config.words = (data[1] & 0x40) != 0 ? table_of_words() : NULL;
    g->moody = (data[1] & 0x80) != 0;
    for (int n = 0; n < TXNS; n++) {
        set_up_txn(g, n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct game g;

    if (size < 2) {
        return 0;
    }
    set_up(&g, data);
    smtp_session_init(&g.session, &g.config, g.now_us);
    /* The greeting is expected without a command. */
    spoke(&g.referee, SPOKE_OTHER, 0, 0);
    pump(&g);
    play(&g, data + 2, size - 2);
    smtp_session_eof(&g.session, 0, g.now_us);
    pump(&g);
    ASSERT(g.ended && g.done == g.submitted);
    ASSERT(smtp_session_deadline_us(&g.session) == INT64_MAX);
    smtp_session_fini(&g.session);
    for (int n = 0; n < TXNS; n++) {
        smtp_txn_fini(&g.txns[n]);
    }
    return 0;
}
