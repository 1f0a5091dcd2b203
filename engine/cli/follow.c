/*
 * follow.c - the outcomes of a sending, from the event stream.
 *
 * Jobs that are followed carry the sending's name as x:sending, which events repeat.  Events
 * are written by engine/base/json.c: no blanks between tokens, and a quote inside a string is
 * always escaped.  So an unescaped "final":true is what it looks like, and searching is as good
 * as parsing.
 */
#include "engine/cli/follow.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "queue/sync.h"

#include <string.h>

enum { TIMEOUT_MS = 15000, STREAM_ID_MAX = 48, READ_COUNT = 200 };

struct stream {
    char key[80];
    char id[STREAM_ID_MAX]; /* the last entry seen */
};

struct follow {
    struct redis_url url;
    struct sync *redis;
    struct stream *stream;
    unsigned count;
    struct buf sending;
    struct follow_counts counts;
};

const char *follow_type_name(enum follow_type type)
{
    static const char *const names[FOLLOW_TYPES] = {"delivered", "bounced",    "expired",
                                                    "cancelled", "suppressed", "ambiguous"};

    ASSERT(type < FOLLOW_TYPES);
    return names[type];
}

/* ---- the pure part ---- */

static bool has(struct slice line, struct slice what)
{
    return line.len >= what.len && memmem(line.ptr, line.len, what.ptr, what.len) != NULL;
}

static struct slice type_of(struct slice line)
{
    static const char mark[] = "\"type\":\"";
    const char *at = line.len > 0 ? memmem(line.ptr, line.len, mark, sizeof(mark) - 1) : NULL;

    if (at == NULL) {
        return SLICE_NONE;
    }
    struct slice rest = slice_from(line, (size_t)(at - line.ptr) + sizeof(mark) - 1);
    return slice_of(rest.ptr, slice_find(rest, '"'));
}

void follow_count(struct follow_counts *counts, struct slice lines, struct slice sending)
{
    struct buf mark = BUF_EMPTY;
    struct slice line;

    buf_printf(&mark, "\"sending\":\"" SLICE_FMT "\"", SLICE_ARG(sending));
    while (slice_next(&lines, '\n', &line)) {
        if (!has(line, buf_slice(&mark)) || has(line, SLICE("\"late\":true"))) {
            continue;
        }
        struct slice type = type_of(line);
        if (!has(line, SLICE("\"final\":true"))) {
            counts->deferred += slice_eq(type, SLICE("deferred")) ? 1 : 0;
            continue;
        }
        counts->finals++;
        for (unsigned t = 0; t < FOLLOW_TYPES; t++) {
            bool same = slice_eq(type, slice_cstr(follow_type_name((enum follow_type)t)));
            counts->final[t] += same ? 1 : 0;
        }
    }
    buf_fini(&mark);
}

/* ---- the stream ---- */

static int connect_again(struct follow *f, struct buf *why)
{
    int err = 0;

    if (f->redis == NULL) {
        f->redis = sync_open(&f->url, TIMEOUT_MS, &err, why);
    }
    return err;
}

static int broken(struct follow *f, int err, struct buf *why)
{
    buf_puts(why, slice_cstr(sync_error(f->redis)));
    sync_close(f->redis);
    f->redis = NULL;
    return err;
}

static void keep_id(struct stream *stream, const struct resp *id)
{
    if (id->text.len > 0 && id->text.len < STREAM_ID_MAX) {
        memcpy(stream->id, id->text.ptr, id->text.len);
        stream->id[id->text.len] = '\0';
    }
}

static int note_end(struct follow *f, struct stream *stream, struct buf *why)
{
    const struct resp *reply;
    const struct slice argv[] = {SLICE("XREVRANGE"), slice_cstr(stream->key), SLICE("+"),
                                 SLICE("-"),         SLICE("COUNT"),          SLICE("1")};
    int err = sync_call(f->redis, argv, sizeof(argv) / sizeof(argv[0]), &reply);

    if (err != 0) {
        return broken(f, err, why);
    }
    memcpy(stream->id, "0-0", sizeof("0-0"));
    if (reply->type == RESP_ARRAY && reply->count > 0 && reply->items[0].count > 0) {
        keep_id(stream, &reply->items[0].items[0]);
    }
    return 0;
}

struct follow *follow_open(const struct redis_url *url, struct slice prefix, unsigned partitions,
                           struct slice sending, int *err, struct buf *why)
{
    struct follow *f = mem_zalloc(sizeof(*f));

    redis_url_copy(&f->url, url);
    buf_puts(&f->sending, sending);
    f->stream = mem_array(partitions, sizeof(*f->stream));
    f->count = partitions;
    *err = connect_again(f, why);
    for (unsigned p = 0; *err == 0 && p < partitions; p++) {
        struct buf key = BUF_EMPTY;
        buf_printf(&key, SLICE_FMT ":{%u}:events", SLICE_ARG(prefix), p);
        size_t len = key.len < sizeof(f->stream[p].key) ? key.len : sizeof(f->stream[p].key) - 1;
        memcpy(f->stream[p].key, key.ptr, len);
        buf_fini(&key);
        *err = note_end(f, &f->stream[p], why);
    }
    if (*err != 0) {
        follow_close(f);
        return NULL;
    }
    return f;
}

void follow_close(struct follow *f)
{
    if (f != NULL) {
        sync_close(f->redis);
        redis_url_fini(&f->url);
        buf_fini(&f->sending);
        mem_free(f->stream);
        mem_free(f);
    }
}

static void put_read(struct follow *f)
{
    struct buf *out = sync_begin(f->redis);

    resp_put_count(out, 6 + 2 * f->count);
    resp_put_arg(out, SLICE("XREAD"));
    resp_put_arg(out, SLICE("COUNT"));
    resp_put_u64(out, READ_COUNT);
    resp_put_arg(out, SLICE("BLOCK"));
    resp_put_u64(out, 1000);
    resp_put_arg(out, SLICE("STREAMS"));
    for (unsigned p = 0; p < f->count; p++) {
        resp_put_arg(out, slice_cstr(f->stream[p].key));
    }
    for (unsigned p = 0; p < f->count; p++) {
        resp_put_arg(out, slice_cstr(f->stream[p].id));
    }
    sync_end(f->redis);
}

static void take_entry(struct follow *f, struct stream *stream, const struct resp *entry)
{
    if (entry->count < 2) {
        return;
    }
    const struct resp *fields = &entry->items[1];

    keep_id(stream, &entry->items[0]);
    for (size_t i = 0; i + 1 < fields->count; i += 2) {
        if (slice_eq(fields->items[i].text, SLICE("events"))) {
            follow_count(&f->counts, fields->items[i + 1].text, buf_slice(&f->sending));
        }
    }
}

static void take_streams(struct follow *f, const struct resp *reply)
{
    for (size_t i = 0; i < reply->count; i++) {
        const struct resp *pair = &reply->items[i];
        for (unsigned p = 0; p < f->count && pair->count == 2; p++) {
            if (slice_eq(pair->items[0].text, slice_cstr(f->stream[p].key))) {
                const struct resp *entries = &pair->items[1];
                for (size_t k = 0; k < entries->count; k++) {
                    take_entry(f, &f->stream[p], &entries->items[k]);
                }
            }
        }
    }
}

int follow_step(struct follow *f, struct buf *why)
{
    const struct resp *reply;
    int err = connect_again(f, why);

    if (err != 0) {
        return err;
    }
    put_read(f);
    err = sync_take(f->redis, &reply);
    if (err != 0) {
        return broken(f, err, why);
    }
    if (reply->type == RESP_ERROR) {
        buf_puts(why, reply->text);
        return ERR_AGAIN;
    }
    if (reply->type == RESP_ARRAY) {
        take_streams(f, reply);
    }
    return 0;
}

const struct follow_counts *follow_counts(const struct follow *f)
{
    return &f->counts;
}
