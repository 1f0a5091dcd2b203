/*
 * noting_queue.h - the queue as delivery calls it, which only notes what it is told.
 *
 * Defines the functions of queue/queue.h and queue/suppress.h that engine/deliver uses, in place
 * of the real ones, for the one test program that includes it.  There is one letter, nothing is
 * claimed, and nobody is suppressed.
 */
#ifndef VOLLEY_TEST_DELIVER_NOTING_QUEUE_H
#define VOLLEY_TEST_DELIVER_NOTING_QUEUE_H

#include "engine/base/err.h"
#include "queue/queue.h"
#include "queue/suppress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { NOTING_FETCHES = 64 };

struct queue {
    const struct queue_ops *ops;
    void *ctx;
    struct {
        queue_message_fn *done;
        void *ctx;
    } fetch[NOTING_FETCHES];
    size_t fetches;
    unsigned done, deferred, parked, returned;
    struct buf events; /* of jobs, a line each */
    struct buf sites;  /* `site` events */
    bool doubt;        /* of the lease */
    bool closing;
};

struct suppress {
    const struct suppress_ops *ops;
    void *ctx;
    bool closing;
};

static struct suppress noting_suppress;
static struct queue *noting_queue; /* what queue_new() returns */

struct queue *queue_new(const struct queue_options *options, struct buf *why)
{
    (void)why;
    *noting_queue = (struct queue){.ops = options->ops, .ctx = options->ctx};
    return noting_queue;
}

void queue_close(struct queue *q, int64_t drain_us)
{
    (void)drain_us;
    q->closing = true;
}

bool queue_may_start(const struct queue *q)
{
    (void)q;
    return true;
}

bool queue_may_send(const struct queue *q)
{
    return !q->doubt;
}

int queue_claim(struct queue *q, const struct queue_want *wants, size_t count)
{
    (void)q, (void)wants, (void)count;
    return ERR_AGAIN;
}

void queue_discover(struct queue *q)
{
    (void)q;
}

void queue_bell(struct queue *q, struct slice list)
{
    (void)q, (void)list;
}

bool queue_hold_add(struct queue *q, struct queue_hold *hold, struct slice id)
{
    (void)q, (void)hold, (void)id;
    return true;
}

bool queue_hold_take(struct queue *q, struct queue_hold *hold)
{
    (void)q, (void)hold;
    return true;
}

void queue_hold_drop(struct queue *q, struct queue_hold *hold)
{
    (void)q, (void)hold;
}

static inline void noting_event(struct buf *b, struct slice event)
{
    buf_puts(b, event);
    buf_putc(b, '\n');
    buf_terminate(b);
}

void queue_done(struct queue *q, const struct job_record *r, struct slice event)
{
    (void)r;
    q->done++;
    noting_event(&q->events, event);
}

void queue_defer(struct queue *q, const struct job_record *r, struct slice record, int64_t due_ms,
                 struct slice event)
{
    (void)r, (void)record, (void)due_ms;
    q->deferred++;
    noting_event(&q->events, event);
}

void queue_park(struct queue *q, struct slice id, struct slice lane, struct slice domain,
                struct slice site)
{
    (void)id, (void)lane, (void)domain, (void)site;
    q->parked++;
}

void queue_return(struct queue *q, struct slice id, struct slice lane, struct slice site)
{
    (void)id, (void)lane, (void)site;
    q->returned++;
}

void queue_event(struct queue *q, struct slice event)
{
    noting_event(&q->sites, event);
}

size_t queue_backlog(const struct queue *q)
{
    (void)q;
    return 0;
}

int queue_fetch(struct queue *q, struct slice id, bool own_body, queue_message_fn *done, void *ctx)
{
    (void)id, (void)own_body;
    assert_true(q->fetches < NOTING_FETCHES);
    q->fetch[q->fetches].done = done;
    q->fetch[q->fetches++].ctx = ctx;
    return 0;
}

int queue_recall(struct queue *q, struct slice site, queue_recall_fn *done, void *ctx)
{
    (void)q, (void)site, (void)done, (void)ctx;
    return ERR_AGAIN;
}

void queue_remember(struct queue *q, struct slice site, int64_t until_ms)
{
    (void)q, (void)site, (void)until_ms;
}

void queue_note_dot(struct queue *q, const struct queue_hold *hold, struct journal_entry *dot)
{
    (void)q, (void)hold, (void)dot;
}

void queue_note_undo(struct queue *q, const struct queue_hold *hold)
{
    (void)q, (void)hold;
}

void queue_note_flush(struct queue *q)
{
    (void)q;
}

/* ---- orders: none ---- */

const struct orders *queue_orders(const struct queue *q)
{
    static const struct orders none;

    (void)q;
    return &none;
}

void queue_order_ended(struct queue *q, struct slice order)
{
    (void)q, (void)order;
}

void queue_set_aside(struct queue *q, struct slice id, struct slice order)
{
    (void)q, (void)id, (void)order;
}

/* ---- the clock: that of the machine ---- */

bool node_owns(const struct node *n, int64_t now_us)
{
    (void)n;
    (void)now_us;
    return true;
}

bool node_clock(const struct node *n, int64_t *offset_us, int64_t *expiry_offset_us)
{
    (void)n;
    (void)offset_us;
    (void)expiry_offset_us;
    return false;
}

/* ---- suppression: nobody ---- */

struct suppress *suppress_new(const struct suppress_options *options)
{
    noting_suppress.ops = options->ops;
    noting_suppress.ctx = options->ctx;
    noting_suppress.closing = false;
    return &noting_suppress;
}

void suppress_close(struct suppress *s)
{
    s->closing = true;
}

bool suppress_fresh(const struct suppress *s, const struct suppress_mark *mark, int64_t now_us)
{
    (void)s, (void)mark, (void)now_us;
    return true;
}

int suppress_ask(struct suppress *s, struct slice tenant, const struct slice *addresses,
                 size_t count, struct suppress_mark *mark, suppress_reply_fn *done, void *ctx)
{
    (void)s, (void)tenant, (void)addresses, (void)count, (void)mark, (void)done, (void)ctx;
    return ERR_AGAIN;
}

void suppress_add(struct suppress *s, struct slice tenant, struct slice address,
                  struct slice reason, uint64_t expires_s)
{
    (void)s, (void)tenant, (void)address, (void)reason, (void)expires_s;
}

/* ---- the test's side ---- */

/* Brings the letters that were asked for, and the end. */
static inline void noting_queue_tick(struct queue *q)
{
    struct queue_message letter = {
        .eml = SLICE("From: a@b.test\r\nSubject: x\r\nMessage-ID: <1@b.test>\r\n"
                     "Date: Fri, 21 Aug 2026 10:00:00 +0000\r\n\r\nHello.\r\n"),
        .from = SLICE("a@b.test")};

    while (q->fetches > 0) {
        q->fetches--;
        q->fetch[q->fetches].done(q->fetch[q->fetches].ctx, 0, &letter);
    }
    if (q->closing) {
        q->closing = false;
        q->ops->on_closed(q->ctx);
    }
    if (noting_suppress.closing) {
        noting_suppress.closing = false;
        noting_suppress.ops->on_closed(noting_suppress.ctx);
    }
}

#endif
