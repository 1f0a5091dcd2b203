/*
 * record.c - one queued recipient, as bytes in Redis and as fields here.
 */
#include "queue/record.h"
#include "engine/base/err.h"

#include <string.h>

enum {
    FLAG_CLASS = 3,
    FLAG_OWN_BODY = 4,
    FLAG_ASKED_HIGH = 8,
    TIME_LEN = 6,
    TAG_HEAD_LEN = 3,
    OUTCOME_LEN = 12,
    HISTORY_HEAD_LEN = 2 + TIME_LEN, /* attempts, time of the last */
    PAIR_NAME_MAX = 255,
};

static uint16_t read_u16(const char *p)
{
    const uint8_t *u = (const uint8_t *)p;

    return (uint16_t)(u[0] | u[1] << 8);
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "times are copied as they stand");

static int64_t read_u48(const char *p)
{
    int64_t value = 0;

    memcpy(&value, p, TIME_LEN);
    return value;
}

static void put_u16(struct buf *out, uint16_t value)
{
    buf_putc(out, (char)(value & 0xff));
    buf_putc(out, (char)(value >> 8));
}

static void put_u48(struct buf *out, int64_t value)
{
    buf_put(out, &value, TIME_LEN);
}

/* Takes the text behind a length byte at *at. */
static bool take_short(struct slice bytes, size_t *at, struct slice *out)
{
    if (*at >= bytes.len) {
        return false;
    }
    size_t len = (uint8_t)bytes.ptr[*at];
    if (len > bytes.len - *at - 1) {
        return false;
    }
    *out = slice_of(bytes.ptr + *at + 1, len);
    *at += 1 + len;
    return true;
}

static bool id_read(struct job_record *r)
{
    uint64_t n;

    if (r->id.len < RECORD_JOB_LEN + 2 || r->id.len > RECORD_ID_LEN_MAX ||
        r->id.ptr[RECORD_JOB_LEN] != '.') {
        return false;
    }
    for (size_t i = 0; i < RECORD_JOB_LEN; i++) {
        char c = r->id.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z'))) {
            return false;
        }
    }
    if (slice_u64(slice_from(r->id, RECORD_JOB_LEN + 1), &n) != 0 || n < 1 || n > 9999) {
        return false;
    }
    r->job = slice_of(r->id.ptr, RECORD_JOB_LEN);
    r->rcpt = (uint32_t)n;
    return true;
}

/* "class:pool:tenant"; the class is in the flags too. */
static bool lane_read(struct job_record *r)
{
    struct slice rest = r->lane, word;

    if (!slice_next(&rest, ':', &word) || !slice_next(&rest, ':', &r->pool) ||
        !slice_next(&rest, ':', &r->tenant) || rest.ptr != NULL) {
        return false;
    }
    r->via = JOB_VIA_POOL;
    if (slice_starts(r->pool, SLICE("source="))) {
        r->via = JOB_VIA_SOURCE;
        r->pool = slice_from(r->pool, sizeof("source=") - 1);
    } else if (slice_starts(r->pool, SLICE("route="))) {
        r->via = JOB_VIA_ROUTE;
        r->pool = slice_from(r->pool, sizeof("route=") - 1);
    }
    return r->pool.len > 0 && r->tenant.len > 0 &&
           slice_eq(word, slice_cstr(job_class_name((enum job_class)r->class)));
}

/* The domain follows the last '@': a quoted local part may hold one too. */
static bool recipient_read(struct job_record *r)
{
    size_t at = r->to.len;

    while (at > 0 && r->to.ptr[at - 1] != '@') {
        at--;
    }
    r->domain = slice_from(r->to, at);
    return at > 1 && r->domain.len > 0;
}

static bool head_read(struct job_record *r)
{
    size_t at = 2;

    if (r->bytes.len < 2 || r->bytes.len > RECORD_LEN_MAX) {
        return false;
    }
    uint8_t flags = (uint8_t)r->bytes.ptr[1];
    r->class = flags & FLAG_CLASS;
    r->own_body = (flags & FLAG_OWN_BODY) != 0;
    r->asked_high = (flags & FLAG_ASKED_HIGH) != 0;
    if (r->class >= JOB_CLASSES || !take_short(r->bytes, &at, &r->id) ||
        !take_short(r->bytes, &at, &r->lane) || !take_short(r->bytes, &at, &r->to) ||
        r->bytes.len - at < TIME_LEN) {
        return false;
    }
    r->created_ms = read_u48(r->bytes.ptr + at);
    r->tag_start = (uint32_t)(at + TIME_LEN);
    return id_read(r) && lane_read(r) && recipient_read(r);
}

static bool history_read(struct job_record *r, struct slice value)
{
    if (value.len < HISTORY_HEAD_LEN || (value.len - HISTORY_HEAD_LEN) % OUTCOME_LEN != 0) {
        return false;
    }
    r->attempts = read_u16(value.ptr);
    r->last_attempt_ms = read_u48(value.ptr + 2);
    r->outcomes = slice_from(value, HISTORY_HEAD_LEN);
    return r->outcomes.len <= (size_t)RECORD_OUTCOMES_MAX * OUTCOME_LEN;
}

static bool time_read(int64_t *out, struct slice value)
{
    if (value.len != TIME_LEN) {
        return false;
    }
    *out = read_u48(value.ptr);
    return true;
}

static bool pair_valid(struct slice value)
{
    return value.len > 0 && (uint8_t)value.ptr[0] < value.len;
}

static bool text_read(struct slice *out, struct slice value)
{
    *out = value;
    return true;
}

static bool tag_read(struct job_record *r, uint8_t tag, struct slice value)
{
    switch (tag) {
    case RECORD_FROM:
        r->has_from = true;
        return text_read(&r->from, value);
    case RECORD_MESSAGE:
        return text_read(&r->message, value);
    case RECORD_CAMPAIGN:
        return text_read(&r->campaign, value);
    case RECORD_TAGS:
        return text_read(&r->tags, value);
    case RECORD_VAR:
    case RECORD_EXTRA:
        return pair_valid(value);
    case RECORD_EXPIRES:
        return time_read(&r->expires_ms, value);
    case RECORD_NOT_BEFORE:
        return time_read(&r->not_before_ms, value);
    case RECORD_MAX_ATTEMPTS:
        r->max_attempts = value.len == 2 ? read_u16(value.ptr) : 0;
        return value.len == 2;
    case RECORD_RETRY:
        return text_read(&r->retry, value);
    case RECORD_WINDOW:
        return text_read(&r->window, value);
    case RECORD_KEY:
        return text_read(&r->key, value);
    case RECORD_TLS:
        return text_read(&r->tls, value);
    case RECORD_DSN_NOTIFY:
        return text_read(&r->dsn_notify, value);
    case RECORD_DSN_RET:
        return text_read(&r->dsn_ret, value);
    case RECORD_DSN_ENVID:
        return text_read(&r->dsn_envid, value);
    case RECORD_UNSUBSCRIBE:
        return text_read(&r->unsubscribe, value);
    case RECORD_FEEDBACK_ID:
        return text_read(&r->feedback_id, value);
    case RECORD_VERP:
        return text_read(&r->verp, value);
    case RECORD_HISTORY:
        return history_read(r, value);
    default:
        return true; /* written by a newer library; carried along */
    }
}

/* Takes the tag at *at; false at the end or when it does not fit. */
static bool tag_next(struct slice bytes, size_t *at, uint8_t *tag, struct slice *value)
{
    if (bytes.len - *at < TAG_HEAD_LEN) {
        return false;
    }
    size_t len = read_u16(bytes.ptr + *at + 1);
    if (len > bytes.len - *at - TAG_HEAD_LEN) {
        return false;
    }
    *tag = (uint8_t)bytes.ptr[*at];
    *value = slice_of(bytes.ptr + *at + TAG_HEAD_LEN, len);
    *at += TAG_HEAD_LEN + len;
    return true;
}

int record_decode(struct job_record *r, struct slice bytes)
{
    uint8_t tag;
    struct slice value;

    memset(r, 0, sizeof(*r));
    r->bytes = bytes;
    if (bytes.len > 0 && (uint8_t)bytes.ptr[0] != RECORD_FORMAT) {
        return ERR_RANGE;
    }
    if (!head_read(r)) {
        return ERR_INVALID;
    }
    size_t at = r->tag_start;
    while (tag_next(bytes, &at, &tag, &value)) {
        if (!tag_read(r, tag, value)) {
            return ERR_INVALID;
        }
    }
    return at == bytes.len && r->own_body == (r->message.len == 0) ? 0 : ERR_INVALID;
}

struct slice record_peek_id(struct slice bytes)
{
    size_t at = 2;
    struct slice id = SLICE_NONE;

    return bytes.len > 2 && take_short(bytes, &at, &id) && at < bytes.len ? id : SLICE_NONE;
}

bool record_pair_next(const struct job_record *r, enum record_tag want, uint32_t *at,
                      struct slice *name, struct slice *value)
{
    size_t pos = *at == 0 ? r->tag_start : *at;
    uint8_t tag;
    struct slice text;

    while (tag_next(r->bytes, &pos, &tag, &text)) {
        if (tag == want) {
            size_t name_len = (uint8_t)text.ptr[0];
            *name = slice_of(text.ptr + 1, name_len);
            *value = slice_from(text, 1 + name_len);
            *at = (uint32_t)pos;
            return true;
        }
    }
    return false;
}

/* ---- history ---- */

size_t record_outcome_count(const struct job_record *r)
{
    return r->outcomes.len / OUTCOME_LEN;
}

struct record_outcome record_outcome_at(const struct job_record *r, size_t i)
{
    ASSERT(i < record_outcome_count(r));
    const char *p = r->outcomes.ptr + i * OUTCOME_LEN;

    return (struct record_outcome){
        .time_ms = read_u48(p),
        .code = read_u16(p + 6),
        .stage = (uint8_t)p[8],
        .failure = (uint8_t)p[9],
        .enhanced = {(uint8_t)p[10], (uint8_t)p[11]},
    };
}

static void put_outcome(struct buf *out, const struct record_outcome *o)
{
    put_u48(out, o->time_ms);
    put_u16(out, o->code);
    buf_putc(out, (char)o->stage);
    buf_putc(out, (char)o->failure);
    buf_put(out, o->enhanced, sizeof(o->enhanced));
}

/* The head and every tag but the history. */
static void put_without_history(struct buf *out, const struct job_record *r)
{
    size_t at = r->tag_start, from = 0, here = at;
    uint8_t tag;
    struct slice value;

    while (tag_next(r->bytes, &at, &tag, &value)) {
        if (tag == RECORD_HISTORY) {
            buf_put(out, r->bytes.ptr + from, here - from);
            from = at;
        }
        here = at;
    }
    buf_put(out, r->bytes.ptr + from, r->bytes.len - from);
}

void record_put_deferred(struct buf *out, const struct job_record *r, uint32_t attempts,
                         const struct record_outcome *outcome)
{
    size_t count = record_outcome_count(r);
    struct slice kept = r->outcomes;

    if (count == RECORD_OUTCOMES_MAX) {
        kept = slice_from(kept, OUTCOME_LEN);
    }
    put_without_history(out, r);
    buf_putc(out, RECORD_HISTORY);
    put_u16(out, (uint16_t)(HISTORY_HEAD_LEN + kept.len + OUTCOME_LEN));
    put_u16(out, (uint16_t)(attempts < UINT16_MAX ? attempts : UINT16_MAX));
    put_u48(out, outcome->time_ms);
    buf_puts(out, kept);
    put_outcome(out, outcome);
}

/* ---- writing ---- */

static void put_short(struct buf *out, struct slice text)
{
    ASSERT(text.len <= UINT8_MAX);
    buf_putc(out, (char)text.len);
    buf_puts(out, text);
}

void record_put_head(struct buf *out, struct slice id, enum job_class class, bool own_body,
                     struct slice lane, struct slice to, int64_t created_ms)
{
    buf_putc(out, RECORD_FORMAT);
    buf_putc(out, (char)((unsigned)class | (own_body ? FLAG_OWN_BODY : 0)));
    put_short(out, id);
    put_short(out, lane);
    put_short(out, to);
    put_u48(out, created_ms);
}

void record_put_text(struct buf *out, enum record_tag tag, struct slice value)
{
    ASSERT(value.len <= UINT16_MAX);
    buf_putc(out, (char)tag);
    put_u16(out, (uint16_t)value.len);
    buf_puts(out, value);
}

void record_put_time(struct buf *out, enum record_tag tag, int64_t ms)
{
    buf_putc(out, (char)tag);
    put_u16(out, TIME_LEN);
    put_u48(out, ms);
}

void record_put_number(struct buf *out, enum record_tag tag, uint16_t value)
{
    buf_putc(out, (char)tag);
    put_u16(out, sizeof(value));
    put_u16(out, value);
}

void record_put_pair(struct buf *out, enum record_tag tag, struct slice name, struct slice value)
{
    ASSERT(name.len <= PAIR_NAME_MAX && 1 + name.len + value.len <= UINT16_MAX);
    buf_putc(out, (char)tag);
    put_u16(out, (uint16_t)(1 + name.len + value.len));
    put_short(out, name);
    buf_puts(out, value);
}

/* ---- classes ---- */

static const char *const class_names[JOB_CLASSES] = {"high", "normal", "bulk"};

const char *job_class_name(enum job_class class)
{
    ASSERT((unsigned)class < JOB_CLASSES);
    return class_names[class];
}

bool job_class_parse(struct slice name, enum job_class *out)
{
    for (unsigned i = 0; i < JOB_CLASSES; i++) {
        if (slice_eq(name, slice_cstr(class_names[i]))) {
            *out = (enum job_class)i;
            return true;
        }
    }
    return false;
}
