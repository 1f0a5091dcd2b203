/*
 * transaction.c - jobs on the wire: one mail transaction and its recipients.
 */
#include "engine/deliver/transaction.h"

#include "engine/base/mem.h"
#include "engine/base/panic.h"
#include "engine/base/utf8.h"
#include "engine/deliver/conn.h"
#include "engine/deliver/core.h"
#include "engine/deliver/elsewhere.h"
#include "engine/deliver/letters.h"
#include "engine/deliver/obey.h"
#include "engine/deliver/outcome.h"
#include "engine/deliver/schedule.h"
#include "engine/deliver/suppression.h"
#include "engine/dns/idna.h"
#include "engine/smtp/address.h"

#include <string.h>

/* Transactions that end before MAIL was answered are not attempts; but a letter whose
 * transactions always do (a server that hangs up at its sender) must not go round for ever. */
enum {
    TRIES_MAX = 5,
    TEXT_MAX = 512 /* an address in A-labels, and the words around parameters */
};

static struct transaction *transaction_new(struct deliver *d, size_t rcpts)
{
    struct list *spare = list_first(&d->transactions);
    struct transaction *t;

    if (spare != NULL) {
        t = CONTAINER_OF(spare, struct transaction, link);
        list_remove(&t->link);
    } else {
        t = mem_zalloc(sizeof(*t));
        list_init(&t->link);
        smtp_txn_init(&t->txn);
        letter_copy_init(&t->copy);
    }
    if (t->cap < rcpts) {
        mem_free(t->jobs);
        mem_free(t->rcpts);
        t->jobs = mem_array(rcpts, sizeof(t->jobs[0]));
        t->rcpts = mem_array(rcpts, sizeof(t->rcpts[0]));
        t->cap = rcpts;
    }
    return t;
}

void transaction_release(struct deliver *d, struct transaction *t)
{
    ASSERT(t->count == 0 && list_empty(&t->link));
    letter_copy_reset(&t->copy);
    smtp_txn_reset(&t->txn);
    t->noted = 0;
    buf_reset(&t->text);
    list_prepend(&d->transactions, &t->link);
}

void transaction_free_spare(struct deliver *d)
{
    LIST_EACH_SAFE (link, &d->transactions) {
        struct transaction *t = CONTAINER_OF(link, struct transaction, link);
        list_remove(&t->link);
        letter_copy_fini(&t->copy);
        smtp_txn_fini(&t->txn);
        buf_fini(&t->text);
        buf_fini(&t->values);
        mem_free(t->jobs);
        mem_free(t->rcpts);
        mem_free(t);
    }
}

/* ---- what the commands carry ---- */

/* Appends to t->text, in which room was reserved: earlier slices stay where they are. */
static struct slice text_end(struct transaction *t, size_t from)
{
    return slice_of(t->text.ptr + from, t->text.len - from);
}

static void put_upper(struct buf *b, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        buf_putc(b, c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c);
    }
}

/* xtext, RFC 3461 4. */
static void put_xtext(struct buf *b, struct slice s)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c > 32 && c < 127 && c != '+' && c != '=') {
            buf_putc(b, (char)c);
        } else {
            buf_putc(b, '+');
            buf_putc(b, hex[c >> 4]);
            buf_putc(b, hex[c & 15]);
        }
    }
}

static struct slice mail_parameters(struct transaction *t, const struct job_record *r)
{
    size_t from = t->text.len;

    if (r->dsn_ret.len > 0) {
        BUF_LIT(&t->text, "RET=");
        put_upper(&t->text, r->dsn_ret);
    }
    if (r->dsn_envid.len > 0) {
        if (t->text.len > from) {
            buf_putc(&t->text, ' ');
        }
        BUF_LIT(&t->text, "ENVID=");
        put_xtext(&t->text, r->dsn_envid);
    }
    return text_end(t, from);
}

static struct slice rcpt_parameters(struct transaction *t, const struct job_record *r)
{
    size_t from = t->text.len;

    if (r->dsn_notify.len > 0) {
        BUF_LIT(&t->text, "NOTIFY=");
        put_upper(&t->text, r->dsn_notify);
        BUF_LIT(&t->text, " ORCPT=rfc822;");
        put_xtext(&t->text, r->to);
    }
    return text_end(t, from);
}

/* The address as it goes on the wire: U-labels become A-labels where the local part is ASCII,
 * so that no SMTPUTF8 is needed (RFC 6531 3.2). */
static struct slice wire_address(struct transaction *t, struct slice address)
{
    struct smtp_address parts;
    size_t from = t->text.len;

    if (smtp_address_parse(address, &parts, NULL) != 0 || !parts.utf8_domain || parts.utf8_local) {
        return address;
    }
    buf_puts(&t->text, parts.local);
    buf_putc(&t->text, '@');
    if (idna_to_ascii(parts.domain, &t->text) != 0) {
        t->text.len = from;
        return address;
    }
    return text_end(t, from);
}

static struct slice sender_of(const struct job *j)
{
    return j->record.has_from ? j->record.from : j->stored->from;
}

/* ---- the letter ---- */

static int render(struct transaction *t, struct job *j, struct buf *why)
{
    /* With A-labels, as header fields are ASCII here. */
    struct letter_values values = {.to = wire_address(t, j->record.to),
                                   .id = j->record.id,
                                   .campaign = j->record.campaign,
                                   .date_us = j->record.created_ms * 1000};
    struct letter_value pair;
    uint32_t at = 0;

    buf_reset(&t->values);
    while (record_pair_next(&j->record, RECORD_VAR, &at, &pair.name, &pair.value)) {
        buf_put(&t->values, &pair, sizeof(pair));
    }
    values.own = (const struct letter_value *)(const void *)t->values.ptr;
    values.own_count = t->values.len / sizeof(pair);
    return letter_render(j->stored->letter, &values, &t->copy, why);
}

static void set_content(struct transaction *t, const struct job *j)
{
    t->txn.content = (struct smtp_content){
        .dotted = t->copy.dotted.iov,
        .dotted_count = t->copy.dotted.count,
        .dotted_len = t->copy.dotted.len,
        .raw = t->copy.raw.iov,
        .raw_count = t->copy.raw.count,
        .raw_len = t->copy.raw.len,
    };
    t->txn.needs_8bit = letter_needs_8bit(j->stored->letter);
}

/* ---- lanes ---- */

static struct job *lane_take(struct path *p, enum lane_class class)
{
    struct list *link = list_first(&p->lane[class]);
    struct job *j = CONTAINER_OF(link, struct job, link);

    ASSERT(link != NULL);
    path_drop(p, j);
    return j;
}

static struct job *path_next(struct path *p)
{
    bool work[LANE_CLASSES];

    for (int class = 0; class < LANE_CLASSES; class ++) {
        work[class] = p->waiting[class] > 0;
    }
    int class = lane_pick(&p->turn, work);
    return class >= 0 ? lane_take(p, (enum lane_class) class) : NULL;
}

static void add_job(struct transaction *t, struct job *j)
{
    struct smtp_rcpt *rcpt = &t->rcpts[t->count];

    *rcpt = (struct smtp_rcpt){0};
    rcpt->address = wire_address(t, j->record.to);
    rcpt->dsn = rcpt_parameters(t, &j->record);
    j->sending = true;
    t->jobs[t->count++] = j;
    t->txn.rcpt_count = t->count;
}

/* What the recipient of a job adds to t->text, at most: its address in A-labels, NOTIFY, and
 * ORCPT in xtext. */
static size_t rcpt_text_max(const struct job *j)
{
    return TEXT_MAX + j->record.dsn_notify.len + 3 * j->record.to.len;
}

static size_t rcpts_max(const struct path *p)
{
    return learned_rcpt_max(&p->site->learned, p->limits->recipients_per_transaction,
                            deliver_wall(p->site->d));
}

/* The last look before it is sent: true when the job is gone. */
static bool stops(struct deliver *d, const struct path *p, struct job *j)
{
    return obey_fresh(d, j) ? outcome_expire(d, j) : obey(d, j, slice_cstr(p->site->key));
}

/* NULL: it was unsendable and is gone. */
static struct transaction *make(struct path *p, struct job *j)
{
    struct deliver *d = p->site->d;
    struct buf why = BUF_EMPTY;
    size_t rcpts = letter_is_personal(j->stored->letter) ? 1 : rcpts_max(p);
    struct transaction *t = transaction_new(d, rcpts);

    /* Reserved at once: slices into it must not move while it grows. */
    buf_reserve(&t->text, TEXT_MAX + j->record.dsn_ret.len + 3 * j->record.dsn_envid.len +
                              TEXT_MAX + 4 * rcpt_text_max(j));
    if (render(t, j, &why) != 0) {
        outcome_bounce(d, j, SMTP_STAGE_DATA, SMTP_FAILURE_CONTENT, SLICE("5.6.0"),
                       buf_slice(&why));
        transaction_release(d, t);
        t = NULL;
    } else {
        t->txn.owner = t;
        t->txn.rcpts = t->rcpts;
        t->txn.mail_from = wire_address(t, sender_of(j));
        t->txn.dsn = mail_parameters(t, &j->record);
        set_content(t, j);
        add_job(t, j);
    }
    buf_fini(&why);
    return t;
}

struct transaction *transaction_of(struct path *p, struct job *j)
{
    return stops(p->site->d, p, j) ? NULL : make(p, j);
}

struct transaction *transaction_take(struct path *p)
{
    struct deliver *d = p->site->d;
    struct job *j;

    while ((j = path_next(p)) != NULL) {
        if (stops(d, p, j) || schedule_hold(d, j)) {
            continue;
        }
        if (!suppression_fresh(d, j)) {
            suppression_check(d, j, p);
            continue;
        }
        struct transaction *t = make(p, j);
        if (t != NULL) {
            return t;
        }
    }
    return NULL;
}

/* Two jobs may share a transaction when the server would see the same but the recipient. */
static bool shareable(const struct job *a, const struct job *b)
{
    return a->stored == b->stored && slice_eq(sender_of(a), sender_of(b)) &&
           slice_eq(a->record.dsn_ret, b->record.dsn_ret) &&
           slice_eq(a->record.dsn_envid, b->record.dsn_envid) &&
           slice_eq(a->record.tls, b->record.tls);
}

/* Parameters and A-labels of this job still find room without moving those before them. */
static bool text_fits(const struct transaction *t, const struct job *j)
{
    return (j->record.dsn_notify.len == 0 && utf8_is_ascii(j->record.to)) ||
           t->text.cap - t->text.len >= rcpt_text_max(j);
}

void transaction_fill(struct transaction *t, struct path *p)
{
    struct deliver *d = p->site->d;
    struct job *first = t->jobs[0];
    struct limiter_scope *row[PATH_SCOPES];

    if (letter_is_personal(first->stored->letter)) {
        return;
    }
    path_scopes(p, row);
    while (t->count < t->cap && t->count < rcpts_max(p)) {
        struct list *link = list_first(&p->lane[job_lane(first)]);
        struct job *j = link != NULL ? CONTAINER_OF(link, struct job, link) : NULL;
        if (j == NULL || !shareable(first, j) || !text_fits(t, j) || !suppression_fresh(d, j) ||
            !schedule_open(d, j) || !limiter_send(row, PATH_SCOPES, 1, 0, deliver_now(d)).go) {
            return;
        }
        path_drop(p, j);
        if (!stops(d, p, j)) {
            add_job(t, j);
        }
    }
}

void transaction_undo(struct transaction *t, struct path *p)
{
    while (t->count > 0) {
        struct job *j = t->jobs[--t->count];
        j->sending = false;
        path_put_back(p, j);
    }
    transaction_release(p->site->d, t);
}

/* ---- the journal ---- */

static void note_dot(struct transaction *t, const struct job *j)
{
    const struct conn *c = t->conn;
    struct journal_entry dot = {.attempt = j->record.attempts + 1,
                                .wall_us = deliver_wall(c->d),
                                .to = j->record.to,
                                .site = slice_cstr(c->path->site->key),
                                .mx = slice_cstr(c->host),
                                .ip = slice_cstr(c->ip),
                                .source = slice_cstr(c->path->source->name)};

    queue_note_dot(c->d->queue, &j->hold, &dot);
}

void transaction_note(struct transaction *t)
{
    bool written = smtp_txn_is_written(&t->txn);

    if (written ? t->noted == t->txn.bytes : t->noted == 0) {
        return;
    }
    t->noted = written ? t->txn.bytes : 0;
    for (size_t i = 0; i < t->count; i++) {
        if (written && smtp_rcpt_is_at_stake(&t->txn, &t->rcpts[i])) {
            note_dot(t, t->jobs[i]);
        } else if (!written && t->rcpts[i].outcome == SMTP_UNDECIDED) {
            queue_note_undo(t->conn->d->queue, &t->jobs[i]->hold);
        }
    }
}

void transaction_note_again(struct transaction *t)
{
    for (size_t i = 0; i < t->count; i++) {
        if ((t->noted > 0 && smtp_rcpt_is_at_stake(&t->txn, &t->rcpts[i])) ||
            t->rcpts[i].outcome == SMTP_ACCEPTED) {
            note_dot(t, t->jobs[i]);
        }
    }
}

/* ---- ends ---- */

static void settle_job(struct transaction *t, struct job *j, size_t index)
{
    struct path *p = t->conn->path;
    struct deliver *d = p->site->d;

    j->sending = false;
    if (j->second != NULL && elsewhere_stands(j, t, index)) {
        return;
    }
    if (j->second == NULL && elsewhere_take(j, t, index)) {
        if (t->noted > 0) {
            queue_note_undo(d->queue, &j->hold);
        }
        return;
    }
    if (t->rcpts[index].outcome == SMTP_NOT_TRIED && j->tries < TRIES_MAX) {
        j->tries++;
        if (t->noted > 0) {
            queue_note_undo(d->queue, &j->hold);
        }
        if (d->draining || j->lost) {
            outcome_return(d, j);
        } else {
            path_put_back(p, j);
        }
        return;
    }
    outcome_of(d, j, t, index);
}

void transaction_settle(struct transaction *t)
{
    /* From the last one: those that go back stand in their lane in the old order. */
    while (t->count > 0) {
        size_t index = t->count - 1;
        struct job *j = t->jobs[index];
        settle_job(t, j, index);
        t->count = index;
    }
}
