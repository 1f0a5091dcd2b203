/*
 * journal_entry.c - what the journal says, as bytes.
 *
 *     head    "VOLLEYJ" version, generation u64, sum u64
 *     entry   length u32 (of what follows the sum), sum u64, kind u8, fields by kind
 *     text    length u16 or u32, bytes
 */
#include "queue/journal_entry.h"

#include "engine/base/err.h"

#include <string.h>

enum { VERSION = 1, ENTRY_HEAD = 12, ENTRY_MAX = 1 << 20 };

static const char magic[] = "VOLLEYJ";

/* ---- the sum ---- */

enum { LANES = 4 };

static uint64_t rotated(uint64_t x)
{
    return (x << 29) | (x >> 35);
}

/* Against torn writes and stale bytes, not against anybody: four lanes of eight bytes, as it
 * is done for every letter. */
static uint64_t sum_of(struct slice s, uint64_t seed)
{
    static const uint64_t prime = 0x9e3779b97f4a7c15;
    uint64_t lane[LANES], word[LANES];
    size_t at = 0;

    for (unsigned i = 0; i < LANES; i++) {
        lane[i] = (seed + s.len + i) * prime + i;
    }
    for (; at + sizeof(word) <= s.len; at += sizeof(word)) {
        memcpy(word, s.ptr + at, sizeof(word));
        for (unsigned i = 0; i < LANES; i++) {
            lane[i] = rotated((lane[i] ^ word[i]) * prime);
        }
    }
    memset(word, 0, sizeof(word));
    if (at < s.len) {
        memcpy(word, s.ptr + at, s.len - at);
    }
    uint64_t sum = seed;
    for (unsigned i = 0; i < LANES; i++) {
        sum = rotated((sum ^ rotated((lane[i] ^ word[i]) * prime)) * prime);
    }
    return sum ^ (sum >> 32);
}

/* ---- writing ---- */

static void put_number(struct buf *out, uint64_t value, size_t bytes)
{
    char text[8];

    for (size_t i = 0; i < bytes; i++) {
        text[i] = (char)(value >> (8 * i));
    }
    buf_put(out, text, bytes);
}

static void put_text(struct buf *out, struct slice s)
{
    size_t len = s.len < UINT16_MAX ? s.len : UINT16_MAX;

    put_number(out, len, 2);
    buf_put(out, s.ptr, len);
}

static void put_long_text(struct buf *out, struct slice s)
{
    put_number(out, s.len, 4);
    buf_puts(out, s);
}

void journal_head_put(struct buf *out, uint64_t generation)
{
    size_t start = out->len;

    buf_put(out, magic, sizeof(magic) - 1);
    buf_putc(out, VERSION);
    put_number(out, generation, 8);
    put_number(out, sum_of(slice_of(out->ptr + start, out->len - start), 0), 8);
}

static void put_fields(struct buf *out, const struct journal_entry *e)
{
    buf_putc(out, (char)e->kind);
    if (e->kind != JOURNAL_FLOOR) {
        put_text(out, e->life);
        put_text(out, e->id);
    }
    switch (e->kind) {
    case JOURNAL_DOT:
        put_number(out, e->attempt, 4);
        put_number(out, (uint64_t)e->wall_us, 8);
        put_text(out, e->to);
        put_text(out, e->site);
        put_text(out, e->mx);
        put_text(out, e->ip);
        put_text(out, e->source);
        break;
    case JOURNAL_UNDO:
        break;
    case JOURNAL_DONE:
    case JOURNAL_DEFER:
        put_number(out, e->serial, 8);
        put_long_text(out, e->event);
        if (e->kind == JOURNAL_DEFER) {
            put_number(out, (uint64_t)e->due_ms, 8);
            put_long_text(out, e->record);
        }
        break;
    case JOURNAL_FLOOR:
        put_number(out, e->serial, 8);
        break;
    }
}

void journal_entry_put(struct buf *out, uint64_t generation, const struct journal_entry *e)
{
    struct buf head;
    size_t start = out->len;

    buf_reserve(out, ENTRY_HEAD + 256 + e->event.len + e->record.len);
    out->len += ENTRY_HEAD;
    put_fields(out, e);
    struct slice fields = slice_of(out->ptr + start + ENTRY_HEAD, out->len - start - ENTRY_HEAD);
    head = (struct buf){out->ptr + start, 0, ENTRY_HEAD};
    put_number(&head, fields.len, 4);
    put_number(&head, sum_of(fields, generation), 8);
}

/* ---- reading ---- */

static bool take_number(struct slice *s, size_t bytes, uint64_t *out)
{
    if (s->len < bytes) {
        return false;
    }
    *out = 0;
    for (size_t i = 0; i < bytes; i++) {
        *out |= (uint64_t)(unsigned char)s->ptr[i] << (8 * i);
    }
    *s = slice_from(*s, bytes);
    return true;
}

static bool take_text(struct slice *s, size_t bytes, struct slice *out)
{
    uint64_t len;

    if (!take_number(s, bytes, &len) || len > s->len) {
        return false;
    }
    *out = slice_of(s->ptr, (size_t)len);
    *s = slice_from(*s, (size_t)len);
    return true;
}

int journal_head_take(struct slice *rest, uint64_t *generation)
{
    struct slice s = *rest;
    uint64_t sum = 0;

    if (s.len < JOURNAL_HEAD_LEN || memcmp(s.ptr, magic, sizeof(magic) - 1) != 0 ||
        s.ptr[sizeof(magic) - 1] != VERSION) {
        return ERR_INVALID;
    }
    s = slice_from(s, sizeof(magic));
    take_number(&s, 8, generation);
    take_number(&s, 8, &sum);
    if (sum != sum_of(slice_of(rest->ptr, JOURNAL_HEAD_LEN - 8), 0)) {
        return ERR_INVALID;
    }
    *rest = s;
    return 0;
}

static bool take_dot(struct slice *s, struct journal_entry *e)
{
    uint64_t attempt, wall;

    if (!take_number(s, 4, &attempt) || !take_number(s, 8, &wall)) {
        return false;
    }
    e->attempt = (uint32_t)attempt;
    e->wall_us = (int64_t)wall;
    return take_text(s, 2, &e->to) && take_text(s, 2, &e->site) && take_text(s, 2, &e->mx) &&
           take_text(s, 2, &e->ip) && take_text(s, 2, &e->source);
}

static bool take_outcome(struct slice *s, struct journal_entry *e)
{
    uint64_t due;

    if (!take_number(s, 8, &e->serial) || !take_text(s, 4, &e->event)) {
        return false;
    }
    if (e->kind == JOURNAL_DONE) {
        return true;
    }
    if (!take_number(s, 8, &due) || !take_text(s, 4, &e->record)) {
        return false;
    }
    e->due_ms = (int64_t)due;
    return true;
}

static bool take_fields(struct slice s, struct journal_entry *e)
{
    uint64_t kind;
    bool whole = take_number(&s, 1, &kind) && kind >= JOURNAL_DOT && kind <= JOURNAL_FLOOR;

    if (!whole) {
        return false;
    }
    *e = (struct journal_entry){.kind = (enum journal_kind)kind};
    if (e->kind == JOURNAL_FLOOR) {
        return take_number(&s, 8, &e->serial) && s.len == 0;
    }
    e->name = s;
    if (!take_text(&s, 2, &e->life) || !take_text(&s, 2, &e->id)) {
        return false;
    }
    e->name.len -= s.len;
    switch (e->kind) {
    case JOURNAL_DOT:
        return take_dot(&s, e) && s.len == 0;
    case JOURNAL_DONE:
    case JOURNAL_DEFER:
        return take_outcome(&s, e) && s.len == 0;
    case JOURNAL_UNDO:
    case JOURNAL_FLOOR:
        break;
    }
    return s.len == 0;
}

bool journal_entry_take(struct slice *rest, uint64_t generation, struct journal_entry *e)
{
    struct slice s = *rest;
    uint64_t len, sum;

    if (!take_number(&s, 4, &len) || !take_number(&s, 8, &sum) || len > s.len || len > ENTRY_MAX) {
        return false;
    }
    struct slice fields = slice_of(s.ptr, (size_t)len);
    if (sum != sum_of(fields, generation) || !take_fields(fields, e)) {
        return false;
    }
    *rest = slice_from(s, (size_t)len);
    return true;
}
