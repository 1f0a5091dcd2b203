/*
 * txn.c - a transaction by itself: checks, results, rounds.
 */
#include "engine/smtp/session_int.h"

#include "engine/base/panic.h"

#include <string.h>

void smtp_txn_init(struct smtp_txn *txn)
{
    *txn = (struct smtp_txn){0};
}

void smtp_txn_reset(struct smtp_txn *txn)
{
    struct buf text = txn->text;

    buf_reset(&text);
    *txn = (struct smtp_txn){.text = text};
}

void smtp_txn_fini(struct smtp_txn *txn)
{
    buf_fini(&txn->text);
}

struct slice smtp_rcpt_text(const struct smtp_txn *txn, const struct smtp_rcpt *rcpt)
{
    return rcpt->text_len > 0 ? slice_of(txn->text.ptr + rcpt->text_at, rcpt->text_len)
                              : SLICE_NONE;
}

bool smtp_txn_is_written(const struct smtp_txn *txn)
{
    return (txn->flags & SMTP_TXN_WRITTEN) != 0;
}

bool smtp_rcpt_is_at_stake(const struct smtp_txn *txn, const struct smtp_rcpt *rcpt)
{
    return smtp_txn_is_written(txn) && rcpt->outcome == SMTP_UNDECIDED &&
           (rcpt->at == SMTP_AT_SENT || rcpt->at == SMTP_AT_TAKEN);
}

/* ---- texts ---- */

/* Recipients of one transaction mostly get the same answer: the text just written from
 * `start` on is dropped again when it repeats what stands right before it. */
static struct smtp_text text_kept(struct smtp_txn *txn, size_t start)
{
    struct buf *b = &txn->text;
    size_t len = b->len - start;

    if (len > 0 && start >= len && memcmp(b->ptr + start - len, b->ptr + start, len) == 0) {
        b->len = start;
        start -= len;
    }
    return (struct smtp_text){(uint32_t)start, (uint16_t)len};
}

struct smtp_text smtp_txn_keep(struct smtp_txn *txn, struct slice text)
{
    size_t start = txn->text.len;

    if (start + SMTP_TEXT_MAX > SMTP_TEXTS_MAX) {
        return (struct smtp_text){0};
    }
    ASSERT(text.len <= SMTP_TEXT_MAX);
    buf_puts(&txn->text, text);
    return text_kept(txn, start);
}

struct smtp_text smtp_txn_keep_reply(struct smtp_txn *txn, const struct smtp_reply *reply)
{
    size_t start = txn->text.len;

    if (start + SMTP_TEXT_MAX > SMTP_TEXTS_MAX) {
        return (struct smtp_text){0};
    }
    smtp_reply_print(reply, &txn->text);
    return text_kept(txn, start);
}

/* ---- results ---- */

static struct smtp_verdict verdict_of(const struct smtp_txn *txn, const struct smtp_fact *fact,
                                      struct smtp_text text)
{
    struct slice words = text.len > 0 ? slice_of(txn->text.ptr + text.at, text.len) : SLICE_NONE;

    return smtp_words_verdict(txn->words, fact, words);
}

struct smtp_fact smtp_fact_of(enum smtp_stage stage, const struct smtp_reply *reply,
                              unsigned position)
{
    struct smtp_fact fact = {.cause = SMTP_CAUSE_REPLY,
                             .stage = stage,
                             .code = reply->code,
                             .enhanced = reply->enhanced,
                             .position = position};
    unsigned class = reply->code / 100;

    if (fact.enhanced.class == 0) {
        fact.enhanced = class == 3 ? (struct smtp_enhanced){5, 5, 0}
                                   : (struct smtp_enhanced){(uint8_t) class, 0, 0};
    }
    return fact;
}

static void set_result(struct smtp_rcpt *rcpt, const struct smtp_fact *fact,
                       const struct smtp_verdict *v, struct smtp_text text)
{
    rcpt->failure = (uint8_t)v->failure;
    rcpt->stage = (uint8_t)fact->stage;
    rcpt->cause = (uint8_t)fact->cause;
    rcpt->host = (uint8_t)v->host;
    rcpt->site = (uint8_t)v->site;
    rcpt->code = fact->code;
    rcpt->retry_s = (uint32_t)(v->retry_us / 1000000);
    rcpt->enhanced = fact->enhanced;
    rcpt->text_at = text.at;
    rcpt->text_len = text.len;
}

static void decide(struct smtp_txn *txn, struct smtp_rcpt *rcpt, const struct smtp_fact *fact,
                   const struct smtp_verdict *v, struct smtp_text text)
{
    ASSERT(rcpt->outcome == SMTP_UNDECIDED);
    set_result(rcpt, fact, v, text);
    if (v->later) {
        rcpt->at = SMTP_AT_LATER;
    } else {
        rcpt->outcome = (uint8_t)v->outcome;
        txn->decided++;
    }
}

struct smtp_verdict smtp_rcpt_decide(struct smtp_txn *txn, struct smtp_rcpt *rcpt,
                                     const struct smtp_fact *fact, struct smtp_text text)
{
    struct smtp_verdict v = verdict_of(txn, fact, text);

    decide(txn, rcpt, fact, &v, text);
    return v;
}

struct smtp_verdict smtp_txn_decide(struct smtp_txn *txn, unsigned at, const struct smtp_fact *fact,
                                    struct smtp_text text)
{
    struct smtp_verdict v = verdict_of(txn, fact, text);

    for (size_t i = 0; i < txn->rcpt_count; i++) {
        struct smtp_rcpt *rcpt = &txn->rcpts[i];
        if (rcpt->outcome == SMTP_UNDECIDED && (at == SMTP_AT_ANY || rcpt->at == at)) {
            decide(txn, rcpt, fact, &v, text);
        }
    }
    return v;
}

void smtp_txn_give_back(struct smtp_txn *txn)
{
    struct smtp_fact fact = {.cause = SMTP_CAUSE_LOCAL, .stage = SMTP_STAGE_MAIL};

    smtp_txn_decide(txn, SMTP_AT_ANY, &fact, (struct smtp_text){0});
}

/* ---- rounds ---- */

size_t smtp_txn_next_rcpt(const struct smtp_txn *txn, size_t from)
{
    while (from < txn->rcpt_count &&
           (txn->rcpts[from].outcome != SMTP_UNDECIDED || txn->rcpts[from].at != SMTP_AT_START)) {
        from++;
    }
    return from;
}

void smtp_txn_rewind(struct smtp_txn *txn)
{
    ASSERT(txn->waiting == 0);
    for (size_t i = 0; i < txn->rcpt_count; i++) {
        if (txn->rcpts[i].outcome == SMTP_UNDECIDED) {
            txn->rcpts[i].at = SMTP_AT_START;
        }
    }
    bool again = (txn->flags & SMTP_TXN_AGAIN) != 0;

    txn->flags &= SMTP_TXN_SUSPECT | SMTP_TXN_TRIED | SMTP_TXN_UTF8 | SMTP_TXN_AGAIN2;
    txn->flags |= again ? SMTP_TXN_AGAIN2 : 0;
    txn->step = SMTP_STEP_MAIL;
    txn->next_rcpt = 0;
    txn->sent_rcpts = 0;
    txn->taken = 0;
    txn->decided_before = txn->decided;
}

/* ---- what can not be sent ---- */

/* Nothing that could end a command line or hide in a log; addresses were parsed before, so
 * this is the second lock on the door.  Eight bytes at a time, as it is done for each one:
 * the high bit of a byte in `below` is set where it is under 0x20, in `del` where it is 0x7f
 * (a byte over 0x7f may set them for its neighbours' sake, and then is looked at singly). */
static bool is_safe_byte(unsigned char c)
{
    return c >= 0x20 && c != 0x7f;
}

static bool is_safe(struct slice s, size_t len_max, bool *wide)
{
    static const uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
    size_t at = 0;
    uint64_t word, seen = 0;

    if (s.len > len_max) {
        return false;
    }
    for (; at + sizeof(word) <= s.len; at += sizeof(word)) {
        memcpy(&word, s.ptr + at, sizeof(word));
        seen |= word;
        uint64_t below = word - ones * 0x20, del = (word ^ ones * 0x7f) - ones;
        if (((below | del | word) & tops) != 0) {
            break;
        }
    }
    for (; at < s.len; at++) {
        if (!is_safe_byte((unsigned char)s.ptr[at])) {
            return false;
        }
        seen |= (unsigned char)s.ptr[at];
    }
    *wide = *wide || (seen & tops) != 0;
    return true;
}

static void refuse(struct smtp_txn *txn, struct smtp_rcpt *rcpt, uint16_t code, uint16_t subject,
                   uint16_t detail, const char *text)
{
    struct smtp_fact fact = {.cause = SMTP_CAUSE_LOCAL,
                             .stage = rcpt != NULL ? SMTP_STAGE_RCPT : SMTP_STAGE_MAIL,
                             .code = code,
                             .enhanced = {(uint8_t)(code / 100), subject, detail}};
    struct smtp_text kept = smtp_txn_keep(txn, slice_cstr(text));

    if (rcpt == NULL) {
        smtp_txn_decide(txn, SMTP_AT_ANY, &fact, kept);
    } else if (rcpt->outcome == SMTP_UNDECIDED) {
        smtp_rcpt_decide(txn, rcpt, &fact, kept);
    }
}

enum { PATH_MAX_LEN = 320, DSN_MAX_LEN = 600 };

static void check_rcpt(const struct smtp_session *s, struct smtp_txn *txn, struct smtp_rcpt *rcpt)
{
    bool wide = false, wide_dsn = false;

    if (rcpt->address.len == 0 || !is_safe(rcpt->address, PATH_MAX_LEN, &wide)) {
        refuse(txn, rcpt, 553, 1, 3, "the address can not be sent");
    } else if (!is_safe(rcpt->dsn, DSN_MAX_LEN, &wide_dsn) || wide_dsn) {
        refuse(txn, rcpt, 501, 5, 4, "the DSN parameters can not be sent");
    } else if (wide && (s->ehlo.ext & SMTP_EXT_SMTPUTF8) == 0) {
        refuse(txn, rcpt, 553, 6, 7, "the address needs SMTPUTF8, which the server does not offer");
    } else if (wide) {
        txn->flags |= SMTP_TXN_UTF8;
    }
}

void smtp_txn_check(const struct smtp_session *s, struct smtp_txn *txn)
{
    uint32_t ext = s->ehlo.ext;
    bool wide = txn->needs_utf8, wide_dsn = false;

    if (!is_safe(txn->mail_from, PATH_MAX_LEN, &wide)) {
        refuse(txn, NULL, 553, 1, 7, "the sender's address can not be sent");
    } else if (!is_safe(txn->dsn, DSN_MAX_LEN, &wide_dsn) || wide_dsn) {
        refuse(txn, NULL, 501, 5, 4, "the DSN parameters can not be sent");
    } else if (s->ehlo.size_max > 0 && txn->content.dotted_len > s->ehlo.size_max) {
        /* RFC 1870 6.1; the dotted length leaves room for what stuffing adds. */
        refuse(txn, NULL, 552, 3, 4, "the message is larger than the server's SIZE limit");
    } else if (wide && (ext & SMTP_EXT_SMTPUTF8) == 0) {
        refuse(txn, NULL, 553, 6, 7, "the message needs SMTPUTF8, which the server does not offer");
    } else if (txn->needs_8bit && (ext & (SMTP_EXT_8BITMIME | SMTP_EXT_SMTPUTF8)) == 0 &&
               !s->config->send_8bit_anyway) {
        refuse(txn, NULL, 554, 6, 3, "the message needs 8BITMIME, which the server does not offer");
    } else if (txn->needs_requiretls && ((ext & SMTP_EXT_REQUIRETLS) == 0 || !s->tls_up)) {
        refuse(txn, NULL, 550, 7, 30, "the message needs REQUIRETLS, which is not to be had here");
    } else {
        txn->flags |= wide ? SMTP_TXN_UTF8 : 0;
        for (size_t i = 0; i < txn->rcpt_count; i++) {
            check_rcpt(s, txn, &txn->rcpts[i]);
        }
    }
}
