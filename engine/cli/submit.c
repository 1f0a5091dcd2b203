/*
 * submit.c - giving a long list of jobs to the queue, each row exactly once.
 */
#include "engine/cli/submit.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "queue/fcall.h"
#include "queue/keys.h"
#include "queue/library.h"
#include "queue/sync.h"

#include <string.h>

enum { TIMEOUT_MS = 30000 };

enum part_state {
    PART_FREE,
    PART_FILLING,
    PART_FLYING, /* its answer is to come */
    PART_AGAIN,  /* was not taken; to be given again */
    PART_TAKEN,
};

struct submit {
    struct submit_options options;
    struct sync *redis;
    uint64_t next;                          /* number of the next part given */
    struct submit_part part[SUBMIT_WINDOW]; /* a ring in the order of their numbers */
    size_t head;
    size_t count;
    size_t flight[SUBMIT_WINDOW]; /* parts in the order their answers come */
    size_t flight_head;
    size_t flight_count;
    bool stalled;
    bool failed;
    bool refused_at_once; /* the very first part was, and with it all others */
    struct buf why;
};

struct submit *submit_new(const struct submit_options *options, uint64_t first)
{
    struct submit *s = mem_zalloc(sizeof(*s));

    ASSERT(options->partitions > 0);
    s->options = *options;
    s->next = first;
    return s;
}

void submit_free_all(struct submit *s)
{
    if (s == NULL) {
        return;
    }
    sync_close(s->redis);
    for (size_t i = 0; i < SUBMIT_WINDOW; i++) {
        buf_fini(&s->part[i].values);
        buf_fini(&s->part[i].text);
    }
    buf_fini(&s->why);
    mem_free(s);
}

static void say(struct submit *s, struct slice text)
{
    buf_reset(&s->why);
    buf_puts(&s->why, text);
    buf_terminate(&s->why);
}

const char *submit_why(const struct submit *s)
{
    return s->why.ptr != NULL ? s->why.ptr : "";
}

/* ---- the connection ---- */

static unsigned partition_of(const struct submit *s, uint64_t number)
{
    return (unsigned)((number - 1) % s->options.partitions);
}

/* The number of a part among those of its partition. */
static uint64_t local_number(const struct submit *s, uint64_t number)
{
    return (number - 1) / s->options.partitions + 1;
}

static void put_meta_key(const struct submit *s, unsigned partition, struct buf *out)
{
    buf_printf(out, SLICE_FMT ":{%u}:meta", SLICE_ARG(s->options.prefix), partition);
}

static int store_letter(struct submit *s, unsigned partition, struct buf *why)
{
    const struct submit_options *o = &s->options;
    struct buf key = BUF_EMPTY;
    const struct resp *reply;

    put_meta_key(s, partition, &key);
    struct slice argv[] = {
        SLICE("FCALL"), SLICE("volley_store"), SLICE("1"), buf_slice(&key), SLICE("id"),
        o->message,     SLICE("eml"),          o->letter,  SLICE("from"),   o->from};
    size_t argc = sizeof(argv) / sizeof(argv[0]) - (o->from.ptr == NULL ? 2 : 0);
    int err = sync_call(s->redis, argv, argc, &reply);
    buf_fini(&key);
    if (err != 0) {
        buf_puts(why, slice_cstr(sync_error(s->redis)));
        return err;
    }
    if (reply->type == RESP_ERROR) {
        buf_printf(why, "the letter was not stored: " SLICE_FMT, SLICE_ARG(reply->text));
        bool refused = resp_is_error(reply, SLICE("VOLLEYBAD")) ||
                       resp_is_error(reply, SLICE("VOLLEYCONFLICT"));
        return refused ? ERR_INVALID : ERR_AGAIN;
    }
    return 0;
}

int submit_open(struct submit *s, struct buf *why)
{
    int err = 0;

    sync_close(s->redis);
    s->redis = sync_open(s->options.url, TIMEOUT_MS, &err, why);
    if (s->redis == NULL) {
        return err;
    }
    err = library_ensure_sync(s->redis, why);
    for (unsigned p = 0; err == 0 && p < s->options.partitions; p++) {
        err = store_letter(s, p, why);
    }
    if (err != 0) {
        sync_close(s->redis);
        s->redis = NULL;
    }
    return err;
}

/* The answers to come are lost: whether those parts were taken, Redis will say. */
static void connection_lost(struct submit *s)
{
    say(s, slice_cstr(sync_error(s->redis)));
    sync_close(s->redis);
    s->redis = NULL;
    s->stalled = true;
    while (s->flight_count > 0) {
        s->part[s->flight[s->flight_head]].state = PART_AGAIN;
        s->part[s->flight[s->flight_head]].wanted = 0;
        s->flight_head = (s->flight_head + 1) % SUBMIT_WINDOW;
        s->flight_count--;
    }
}

/* ---- filling and sending ---- */

struct submit_part *submit_free(struct submit *s)
{
    if (s->count == SUBMIT_WINDOW) {
        return NULL;
    }
    struct submit_part *part = &s->part[(s->head + s->count) % SUBMIT_WINDOW];

    part->state = PART_FILLING;
    part->rows = 0;
    part->bad = 0;
    part->taken = 0;
    part->seen = false;
    part->fault_count = 0;
    part->wanted = 0;
    buf_reset(&part->values);
    buf_reset(&part->text);
    return part;
}

void submit_row(struct submit_part *part, uint64_t line, const struct slice *values, size_t count)
{
    ASSERT(part->rows < SUBMIT_ROWS);
    part->line[part->rows++] = line;
    for (size_t i = 0; i < count; i++) {
        resp_put_arg(&part->values, values[i]);
    }
}

bool submit_part_is_full(const struct submit_part *part)
{
    return part->rows == SUBMIT_ROWS || part->values.len >= SUBMIT_BYTES;
}

static void put_command(const struct submit *s, const struct submit_part *part, struct buf *out)
{
    const struct submit_options *o = &s->options;
    struct buf key = BUF_EMPTY;

    put_meta_key(s, partition_of(s, part->number), &key);
    resp_put_count(out, 7 + 2 * o->shared_count + 2 + o->column_count * (1 + part->rows));
    resp_put_arg(out, SLICE("FCALL"));
    resp_put_arg(out, SLICE("volley_submit_part"));
    resp_put_u64(out, 1);
    resp_put_arg(out, buf_slice(&key));
    resp_put_arg(out, o->sending);
    resp_put_u64(out, local_number(s, part->number));
    resp_put_u64(out, o->shared_count);
    for (size_t i = 0; i < o->shared_count; i++) {
        resp_put_arg(out, o->shared[i].name);
        resp_put_arg(out, o->shared[i].value);
    }
    resp_put_arg(out, SLICE("rows"));
    resp_put_u64(out, o->column_count);
    for (size_t i = 0; i < o->column_count; i++) {
        resp_put_arg(out, o->columns[i]);
    }
    buf_puts(out, buf_slice(&part->values));
    buf_fini(&key);
}

static void fly(struct submit *s, size_t index)
{
    struct submit_part *part = &s->part[index];

    if (s->redis == NULL) {
        part->state = PART_AGAIN;
        part->wanted = 0;
        s->stalled = true;
        return;
    }
    put_command(s, part, sync_begin(s->redis));
    sync_end(s->redis);
    part->state = PART_FLYING;
    s->flight[(s->flight_head + s->flight_count++) % SUBMIT_WINDOW] = index;
    if (sync_flush(s->redis) != 0) {
        connection_lost(s);
    }
}

void submit_give(struct submit *s, struct submit_part *part)
{
    size_t index = (size_t)(part - s->part);

    ASSERT(part->state == PART_FILLING);
    if (part->rows == 0) {
        part->state = PART_FREE;
        return;
    }
    part->number = s->next++;
    s->count++;
    if (s->stalled) { /* order matters: not before those that wait */
        part->state = PART_AGAIN;
        part->wanted = 0;
        return;
    }
    fly(s, index);
}

/* ---- answers ---- */

static void note_results(struct submit_part *part, const struct resp *reply)
{
    for (size_t i = 0; i < reply->count && i < part->rows; i++) {
        struct slice text = reply->items[i].text;
        if (!slice_starts(text, SLICE("VOLLEY"))) {
            part->taken++;
            continue;
        }
        part->fault[part->fault_count++] =
            (struct submit_fault){part->line[i], slice_of(NULL, text.len)};
        buf_puts(&part->text, text);
    }
    size_t at = 0; /* the text has stopped moving */
    for (size_t i = 0; i < part->fault_count; i++) {
        part->fault[i].what.ptr = part->text.ptr + at;
        at += part->fault[i].what.len;
    }
}

/* Redis cannot now, and will be able to. */
static bool is_passing(const struct resp *reply)
{
    return resp_is_error(reply, SLICE("VOLLEYFULL")) || fcall_judge(reply) == FCALL_LATER;
}

/* Redis was emptied or replaced: functions and letter are to be brought again. */
static bool is_forgetful(const struct resp *reply)
{
    static const char no_message[] = "no stored message";

    return slice_starts(reply->text, SLICE("ERR Function not found")) ||
           (resp_is_error(reply, SLICE("VOLLEYBAD")) &&
            memmem(reply->text.ptr, reply->text.len, no_message, sizeof(no_message) - 1) != NULL);
}

static void part_error(struct submit *s, struct submit_part *part, const struct resp *reply)
{
    struct slice number = slice_from(reply->text, sizeof("VOLLEYORDER ") - 1);

    part->state = PART_AGAIN;
    part->wanted = 0;
    if (resp_is_error(reply, SLICE("VOLLEYSEEN"))) {
        part->state = PART_TAKEN;
        part->seen = true;
        part->taken = part->rows;
    } else if (resp_is_error(reply, SLICE("VOLLEYORDER"))) {
        if (slice_u64(number, &part->wanted) != 0) {
            s->failed = true;
        }
    } else if (is_passing(reply) || is_forgetful(reply)) {
        s->stalled = true;
        say(s, reply->text);
    } else {
        s->failed = true;
        s->refused_at_once = part->number == 1 && s->options.partitions == 1 &&
                             resp_is_error(reply, SLICE("VOLLEYBAD"));
        say(s, reply->text);
    }
}

static void take_answer(struct submit *s)
{
    struct submit_part *part = &s->part[s->flight[s->flight_head]];
    const struct resp *reply;

    if (sync_take(s->redis, &reply) != 0) {
        connection_lost(s);
        return;
    }
    s->flight_head = (s->flight_head + 1) % SUBMIT_WINDOW;
    s->flight_count--;
    if (reply->type == RESP_ARRAY) {
        part->state = PART_TAKEN;
        note_results(part, reply);
    } else {
        part_error(s, part, reply);
    }
}

static void fly_again(struct submit *s)
{
    for (size_t i = 0; i < s->count && !s->stalled; i++) {
        size_t index = (s->head + i) % SUBMIT_WINDOW;
        if (s->part[index].state == PART_AGAIN) {
            fly(s, index);
        }
    }
}

enum submit_event submit_wait(struct submit *s)
{
    for (;;) {
        struct submit_part *oldest = &s->part[s->head];
        if (s->count == 0) {
            return SUBMIT_IDLE;
        }
        if (s->failed) {
            return SUBMIT_FAILED;
        }
        if (oldest->state == PART_TAKEN) {
            return SUBMIT_TAKEN;
        }
        if (s->flight_count > 0) {
            take_answer(s);
        } else if (s->stalled) {
            return SUBMIT_STALLED;
        } else if (oldest->wanted > 0 && oldest->wanted < local_number(s, oldest->number)) {
            return SUBMIT_BACK;
        } else {
            fly_again(s); /* they ran ahead of one that had to wait */
        }
    }
}

struct submit_part *submit_oldest(struct submit *s)
{
    ASSERT(s->count > 0);
    return &s->part[s->head];
}

void submit_drop(struct submit *s)
{
    ASSERT(s->count > 0 && s->part[s->head].state == PART_TAKEN);
    s->part[s->head].state = PART_FREE;
    s->head = (s->head + 1) % SUBMIT_WINDOW;
    s->count--;
}

int submit_retry(struct submit *s, struct buf *why)
{
    /* Always from the start: the letter may have gone with a Redis that came back empty. */
    ASSERT(s->flight_count == 0);
    int err = submit_open(s, why);
    if (err == 0) {
        s->stalled = false;
        fly_again(s);
    }
    return err;
}

uint64_t submit_wanted(const struct submit *s)
{
    const struct submit_part *oldest = &s->part[s->head];
    uint64_t partition = (oldest->number - 1) % s->options.partitions;

    return (oldest->wanted - 1) * s->options.partitions + partition + 1;
}

void submit_rewind(struct submit *s, uint64_t first)
{
    ASSERT(s->flight_count == 0);
    s->count = 0;
    s->next = first;
}

bool submit_was_refused(const struct submit *s)
{
    return s->refused_at_once;
}
