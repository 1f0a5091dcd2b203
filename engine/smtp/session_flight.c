/*
 * session_flight.c - everything one smtp_session_output() gathers.
 */
#include "engine/smtp/session_flight.h"

#include "engine/base/panic.h"

#include <string.h>

enum {
    COMMANDS_MAX = 4096, /* unanswered bytes of commands: Postfix's bound */
    COMMANDS_MIN = 256   /* what an ordinary envelope needs, taken at once */
};

void smtp_flight_close_commands(struct smtp_session *s, struct smtp_flight *f)
{
    size_t len = s->commands.len - f->mark;

    if (len > 0) {
        ASSERT(f->count < f->max && f->command_iov_count < SMTP_DEPTH_MAX + 2);
        f->command_iovs[f->command_iov_count++] = (uint16_t)f->count;
        f->iov[f->count++] = (struct iovec){.iov_base = NULL, .iov_len = len};
        f->bytes += len;
        f->mark = s->commands.len;
    }
}

static void flight_point_commands(struct smtp_session *s, struct smtp_flight *f)
{
    size_t at = 0;

    for (size_t i = 0; i < f->command_iov_count; i++) {
        struct iovec *v = &f->iov[f->command_iovs[i]];
        v->iov_base = s->commands.ptr + at;
        at += v->iov_len;
    }
}

/* Room for one more run of commands and a first piece of content. */
static bool flight_open(const struct smtp_session *s, const struct smtp_flight *f)
{
    return f->count + 2 < f->max && f->command_iov_count < SMTP_DEPTH_MAX + 1 &&
           s->commands.len < COMMANDS_MAX && f->bytes < SMTP_FLIGHT_MAX;
}

void smtp_flight_put_body(struct smtp_flight *f, struct smtp_txn *txn)
{
    const struct iovec *v = txn->sent_bdat ? txn->content.raw : txn->content.dotted;
    size_t count = txn->sent_bdat ? txn->content.raw_count : txn->content.dotted_count;

    while (txn->body_left > 0 && f->count < f->max && f->bytes < SMTP_FLIGHT_MAX) {
        ASSERT(txn->body_iov < count); /* or the lengths do not agree */
        size_t len = v[txn->body_iov].iov_len - txn->body_off;
        size_t room = SMTP_FLIGHT_MAX - f->bytes;
        size_t take = len < room ? len : room;

        ASSERT(take <= txn->body_left);
        if (take > 0) {
            f->iov[f->count++] =
                (struct iovec){(char *)v[txn->body_iov].iov_base + txn->body_off, take};
            f->bytes += take;
            txn->bytes += take;
            txn->body_left -= take;
            txn->body_off += take;
        }
        if (txn->body_off == v[txn->body_iov].iov_len) {
            txn->body_iov++;
            txn->body_off = 0;
        }
    }
}

/* A peer that takes bytes, but too slowly, is as dead as one that takes none. */
static int64_t write_allowance_us(const struct smtp_config *config, size_t bytes)
{
    int64_t by_rate =
        config->rate_min > 0 ? (int64_t)((uint64_t)bytes * 1000000 / config->rate_min) : 0;

    return by_rate > config->block_us ? by_rate : config->block_us;
}

size_t smtp_session_output(struct smtp_session *s, struct iovec *iov, size_t max, int64_t now_us)
{
    struct smtp_flight f = {.iov = iov, .max = max, .now_us = now_us};

    ASSERT(max >= SMTP_IOV_MIN);
    if (s->writing > 0) {
        return 0;
    }
    buf_reset(&s->commands);
    buf_reserve(&s->commands, COMMANDS_MIN);
    s->flight++;
    while (flight_open(s, &f) && smtp_session_send_next(s, &f)) {}
    smtp_flight_close_commands(s, &f);
    flight_point_commands(s, &f);
    s->writing = f.bytes;
    s->write_by_us = now_us + write_allowance_us(s->config, f.bytes);
    return f.count;
}

void smtp_session_sent(struct smtp_session *s, size_t bytes, int64_t now_us)
{
    ASSERT(bytes <= s->writing);
    s->writing -= bytes;
    if (s->writing > 0 || bytes == 0) {
        return;
    }
    if (s->phase == SMTP_PHASE_HELLO && s->commands.len > 0) {
        explicit_bzero(s->commands.ptr, s->commands.len); /* may be a password */
    }
    buf_reset(&s->commands);
    s->since_us = now_us;
    smtp_session_check_quit(s);
}
