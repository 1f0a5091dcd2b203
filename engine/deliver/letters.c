/*
 * letters.c - stored messages, fetched and compiled once, shared by the jobs that send them.
 */
#include "engine/deliver/letters.h"

#include "engine/base/err.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/deliver/core.h"
#include "engine/deliver/outcome.h"

#include <stdio.h>
#include <string.h>

enum { KEY_MAX = 128, MISSING_KNOWN_MAX = 1000 };

static const int64_t missing_wait_us = INT64_C(60) * 1000000;
/* A letter known to be missing is not asked for again so soon, */
static const int64_t missing_known_us = INT64_C(5) * 1000000;
/* and it is said no more often than this. */
static const int64_t missing_said_us = INT64_C(60) * 1000000;
static const int64_t fetch_again_us = INT64_C(5) * 1000000;

struct letter_entry {
    struct map_node node;
    struct list order_link;
    struct deliver *d;
    struct stored *stored; /* NULL until it was fetched */
    struct list waiting;   /* jobs, with the path they go to in job->path */
    struct timer again;
    size_t bytes;
    bool missing;       /* not there when it was asked for last */
    int64_t missing_ms; /* for how long, then; and when that was, monotonic: */
    int64_t missing_at_us;
    int64_t said_us; /* when it was logged last; 0: never */
    bool fetching;
    bool own_body;
    bool literal;
    char key[KEY_MAX]; /* "m" message id, or "b" job id */
};

static struct stored *stored_new(struct letter *letter, struct slice from)
{
    struct stored *s = mem_alloc(sizeof(*s) + from.len + 1);

    s->refs = 1;
    s->letter = letter;
    memcpy(s->from_text, from.len > 0 ? from.ptr : "", from.len);
    s->from = slice_of(s->from_text, from.len);
    return s;
}

void stored_unref(struct stored *s)
{
    if (s != NULL && --s->refs == 0) {
        letter_unref(s->letter);
        mem_free(s);
    }
}

static struct slice entry_id(const struct letter_entry *e)
{
    return slice_cstr(e->key + 1);
}

static void entry_free(struct letter_entry *e)
{
    struct deliver *d = e->d;

    wheel_disarm(io_wheel(d->o.io), &e->again);
    list_remove(&e->order_link);
    map_remove(&d->letters, &e->node);
    d->letter_bytes -= e->bytes;
    d->missing_letters -= e->missing;
    stored_unref(e->stored);
    mem_free(e);
}

/* Makes room; an entry that is fetched or waited for stays. */
static void letters_trim(struct deliver *d)
{
    LIST_EACH_SAFE (link, &d->letter_order) {
        struct letter_entry *e = CONTAINER_OF(link, struct letter_entry, order_link);
        if (d->letter_bytes <= LETTERS_BYTES_MAX) {
            return;
        }
        if (!e->fetching && list_empty(&e->waiting)) {
            entry_free(e);
        }
    }
}

static void attach(struct letter_entry *e, struct job *j, struct path *p)
{
    e->stored->refs++;
    j->stored = e->stored;
    path_add(e->d, p, j);
}

static int64_t missing_left_ms(const struct letter_entry *e)
{
    int64_t since_ms = e->missing_ms + (deliver_now(e->d) - e->missing_at_us) / 1000;

    return (int64_t)LETTERS_MISSING_MAX_S * 1000 - since_ms;
}

static void missing_say(struct letter_entry *e)
{
    int64_t now_us = deliver_now(e->d), left_ms = missing_left_ms(e);

    if (e->said_us != 0 && now_us - e->said_us < missing_said_us) {
        return;
    }
    e->said_us = now_us;
    if (left_ms > 0 && e->own_body) {
        log_error("the letter of job " SLICE_FMT " is missing in Redis; the job waits %lld minutes "
                  "for it, then it bounces",
                  SLICE_ARG(entry_id(e)), (long long)(left_ms / 60000 + 1));
    } else if (left_ms > 0) {
        log_error("stored message \"" SLICE_FMT "\" is missing in Redis; store it again under this "
                  "id: its jobs wait %lld minutes for it, then they bounce",
                  SLICE_ARG(entry_id(e)), (long long)(left_ms / 60000 + 1));
    } else {
        log_error("message \"" SLICE_FMT
                  "\" is missing in Redis for more than %d minutes; its jobs "
                  "bounce",
                  SLICE_ARG(entry_id(e)), LETTERS_MISSING_MAX_S / 60);
    }
}

/* A stored message may come after its jobs (another client, replication), or was lost and is
 * stored again: they wait a while, and no attempt is counted. */
static void missing(struct letter_entry *e, struct job *j)
{
    if (missing_left_ms(e) > 0) {
        outcome_postpone(e->d, j, missing_wait_us);
        return;
    }
    outcome_bounce(e->d, j, SMTP_STAGE_DATA, SMTP_FAILURE_CONFIG, SLICE("5.3.5"),
                   e->own_body ? SLICE("the letter of this job is missing in Redis")
                               : SLICE("the stored message of this job is missing; store it with "
                                       "volley_store, for longer than its jobs take"));
}

static void each_waiting(struct letter_entry *e, int err, struct slice text)
{
    struct deliver *d = e->d;
    struct list waiting;

    list_init(&waiting);
    list_splice(&waiting, &e->waiting);
    LIST_EACH_SAFE (link, &waiting) {
        struct job *j = CONTAINER_OF(link, struct job, link);
        struct path *p = j->path;
        list_remove(&j->link);
        j->path = NULL;
        p->awaited--;
        if (err == 0) {
            attach(e, j, p);
        } else if (err == ERR_NOTFOUND) {
            missing(e, j);
        } else {
            outcome_bounce(d, j, SMTP_STAGE_DATA, SMTP_FAILURE_CONTENT, SLICE("5.6.0"), text);
        }
    }
}

static void entry_fetch(struct letter_entry *e);

static void entry_compile(struct letter_entry *e, const struct queue_message *m)
{
    /* Letters are made 7-bit here, once, so that any server takes them (RFC 6152); a body
     * that came with its job is its sender's work (signed perhaps) and stays as it is. */
    struct letter_options options = {.literal = e->literal, .seven_bit = !e->literal};
    struct buf why = BUF_EMPTY;
    struct letter *letter;
    int err = letter_compile(m->eml, &options, &letter, &why);

    if (err != 0) {
        if (!e->own_body) { /* write-once: its jobs name it by this id */
            BUF_LIT(&why, "; correct it and store it under another id");
        }
        log_error("message " SLICE_FMT ": " SLICE_FMT, SLICE_ARG(entry_id(e)),
                  SLICE_ARG(buf_slice(&why)));
        each_waiting(e, err, buf_slice(&why));
        buf_fini(&why);
        entry_free(e);
        return;
    }
    buf_fini(&why);
    e->stored = stored_new(letter, m->from);
    e->bytes = letter_memory(letter);
    e->d->letter_bytes += e->bytes;
    each_waiting(e, 0, SLICE_NONE);
    letters_trim(e->d);
}

/* Kept for a while, so that not every job of it asks and complains anew. */
static void entry_missing(struct letter_entry *e, int64_t missing_ms)
{
    struct deliver *d = e->d;

    e->missing = true;
    e->missing_ms = missing_ms;
    e->missing_at_us = deliver_now(d);
    d->missing_letters++;
    missing_say(e);
    each_waiting(e, ERR_NOTFOUND, SLICE_NONE);
    if (d->missing_letters > MISSING_KNOWN_MAX || d->draining) {
        entry_free(e);
    } else {
        wheel_arm(io_wheel(d->o.io), &e->again, deliver_now(d) + missing_said_us);
    }
}

static void on_message(void *ctx, int err, const struct queue_message *m)
{
    struct letter_entry *e = ctx;
    struct deliver *d = e->d;

    e->fetching = false;
    d->missing_letters -= e->missing;
    e->missing = false;
    if (err == 0) {
        entry_compile(e, m);
    } else if (err == ERR_NOTFOUND) {
        entry_missing(e, m != NULL ? m->missing_ms : 0);
    } else if (!d->draining) {
        /* Redis broke meanwhile: asked again when it is back, and by the clock. */
        wheel_arm(io_wheel(d->o.io), &e->again, deliver_now(d) + fetch_again_us);
    }
}

static void entry_fetch(struct letter_entry *e)
{
    if (e->fetching || e->stored != NULL) {
        return;
    }
    wheel_disarm(io_wheel(e->d->o.io), &e->again);
    if (queue_fetch(e->d->queue, entry_id(e), e->own_body, on_message, e) == 0) {
        e->fetching = true;
    } else {
        wheel_arm(io_wheel(e->d->o.io), &e->again, deliver_now(e->d) + fetch_again_us);
    }
}

static void again_fired(struct timer *t, int64_t now_us)
{
    struct letter_entry *e = CONTAINER_OF(t, struct letter_entry, again);

    (void)now_us;
    if (list_empty(&e->waiting) && e->missing) {
        entry_free(e);
    } else {
        entry_fetch(e);
    }
}

/* A body that came with its job, without merge values, is sent as it is: braces in it are
 * its own. */
static bool is_literal(const struct job *j)
{
    struct slice name, value;
    uint32_t at = 0;

    return j->record.own_body && !record_pair_next(&j->record, RECORD_VAR, &at, &name, &value);
}

static struct letter_entry *entry_get(struct deliver *d, const struct job *j)
{
    char key[KEY_MAX];
    struct slice id = j->record.own_body ? j->record.job : j->record.message;
    /* Some recipients of a job may have merge values, and others none. */
    bool literal = is_literal(j);
    char kind = literal ? 'l' : j->record.own_body ? 'b' : 'm';
    int len = snprintf(key, sizeof(key), "%c" SLICE_FMT, kind, SLICE_ARG(id));
    struct map_node *node = map_find(&d->letters, slice_of(key, (size_t)len));

    if (node != NULL) {
        return CONTAINER_OF(node, struct letter_entry, node);
    }
    struct letter_entry *e = mem_zalloc(sizeof(*e));
    e->d = d;
    e->own_body = j->record.own_body;
    e->literal = literal;
    memcpy(e->key, key, (size_t)len);
    list_init(&e->waiting);
    timer_init(&e->again, again_fired);
    map_insert(&d->letters, &e->node, slice_of(e->key, (size_t)len));
    list_append(&d->letter_order, &e->order_link);
    return e;
}

void letters_attach(struct deliver *d, struct job *j, struct path *p)
{
    struct slice id = j->record.own_body ? j->record.job : j->record.message;

    if (id.len == 0 || id.len > KEY_MAX - 2) {
        outcome_bounce(d, j, SMTP_STAGE_DATA, SMTP_FAILURE_CONFIG, SLICE("5.3.5"),
                       SLICE("the job names no message"));
        return;
    }
    struct letter_entry *e = entry_get(d, j);
    list_remove(&e->order_link);
    list_append(&d->letter_order, &e->order_link);
    if (e->stored != NULL) {
        attach(e, j, p);
        return;
    }
    if (e->missing && !e->fetching && deliver_now(d) - e->missing_at_us < missing_known_us) {
        missing(e, j);
        return;
    }
    j->path = p;
    list_append(&e->waiting, &j->link);
    p->awaited++;
    entry_fetch(e);
}

void letters_resume(struct deliver *d)
{
    MAP_EACH (node, &d->letters) {
        struct letter_entry *e = CONTAINER_OF(node, struct letter_entry, node);
        if (!list_empty(&e->waiting)) {
            entry_fetch(e);
        }
    }
}

void letters_return(struct deliver *d)
{
    MAP_EACH (node, &d->letters) {
        struct letter_entry *e = CONTAINER_OF(node, struct letter_entry, node);
        wheel_disarm(io_wheel(d->o.io), &e->again);
        LIST_EACH_SAFE (link, &e->waiting) {
            struct job *j = CONTAINER_OF(link, struct job, link);
            list_remove(&j->link);
            j->path->awaited--;
            j->path = NULL;
            outcome_return(d, j);
        }
    }
}

void letters_free(struct deliver *d)
{
    struct map_node *node;

    while ((node = map_next(&d->letters, NULL)) != NULL) {
        entry_free(CONTAINER_OF(node, struct letter_entry, node));
    }
}
