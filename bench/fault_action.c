/*
 * fault_action.c - scripted faults: reading rules, what stands behind the colon.
 */
#include "bench/fault_impl.h"
#include "engine/base/units.h"

#include <string.h>

const struct args_pair fault_help_actions[] = {
    {"reply CODE TEXT", "Answers this; \\n starts a further line, \\; is a semicolon."},
    {"answer", "The usual answer; needed only before close, reset and stall."},
    {"close, reset", "Ends the connection with FIN or RST; alone without any answer."},
    {"stall", "Keeps the connection, but neither reads nor writes any more."},
    {"stall D, delay D", "The answer comes later by D; stall does not read meanwhile."},
    {"ahead CODE TEXT", "An answer nobody asked for, before the usual one."},
    {"garbage", "A line that is no answer, in its place."},
    {"raw TEXT", "These bytes in its place; \\r \\n \\\\ \\; \\xHH."},
    {"dribble [D]", "The answer goes byte by byte, D apart (1ms)."},
    {"glue [D]", "The answer waits for the next one, at most D (50ms)."},
    {"slow-read RATE", "From now on this connection is read at RATE: 10KB/s."},
    {0},
};

static int hex_value(char c)
{
    const char *digits = "0123456789abcdef";
    const char *at = memchr(digits, c | 0x20, 16);

    return at != NULL && c != '\0' ? (int)(at - digits) : -1;
}

/* Appends `text` with its escapes undone. */
static bool put_unescaped(struct buf *out, struct slice text, struct buf *error)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i], next = i + 1 < text.len ? text.ptr[i + 1] : '\0';
        if (c != '\\') {
            buf_putc(out, c);
            continue;
        }
        i++;
        if (next == 'n' || next == 'r') {
            buf_putc(out, next == 'n' ? '\n' : '\r');
        } else if (next == ';' || next == '\\') {
            buf_putc(out, next);
        } else if (next == 'x' && i + 2 < text.len && hex_value(text.ptr[i + 1]) >= 0 &&
                   hex_value(text.ptr[i + 2]) >= 0) {
            buf_putc(out, (char)(hex_value(text.ptr[i + 1]) * 16 + hex_value(text.ptr[i + 2])));
            i += 2;
        } else {
            return fault_say(error, "'\\%c' is unknown; there are \\n \\r \\; \\\\ and \\xHH",
                             next != '\0' ? next : ' ');
        }
    }
    return true;
}

/* "451 4.7.1 text": a code and a text. */
static bool read_reply(struct slice text, struct buf *out, struct slice *reply, struct buf *error)
{
    bool good = text.len >= 3 && text.ptr[0] >= '2' && text.ptr[0] <= '5';

    for (size_t i = 1; i < 3 && good; i++) {
        good = text.ptr[i] >= '0' && text.ptr[i] <= '9';
    }
    if (!good || (text.len > 3 && text.ptr[3] != ' ')) {
        return fault_say(error,
                         "an answer is a code and a text, as in '451 4.7.1 Try later', not "
                         "'" SLICE_FMT "'",
                         SLICE_ARG(text));
    }
    buf_reset(out);
    if (!put_unescaped(out, text, error)) {
        return false;
    }
    if (out->len == 3) {
        buf_putc(out, ' ');
    }
    if (memchr(out->ptr, '\r', out->len) != NULL) {
        return fault_say(error, "an answer holds \\r; write \\n between lines, or use raw");
    }
    *reply = buf_slice(out);
    return true;
}

static bool read_wait(struct slice text, int64_t usual_us, int64_t *us, struct buf *error)
{
    if (text.len == 0 && usual_us >= 0) {
        *us = usual_us;
        return true;
    }
    return units_duration(text, us) == 0
               ? true
               : fault_say(error, "a duration such as 50ms or 2s is needed, not '" SLICE_FMT "'",
                           SLICE_ARG(text));
}

static bool read_stall(struct fault_rule *rule, struct slice text, struct buf *error)
{
    if (text.len == 0) {
        rule->verdict.then = SERVER_THEN_STALL;
        return true;
    }
    rule->answers = true;
    if (!read_wait(text, -1, &rule->verdict.delay_us, error)) {
        return false;
    }
    rule->verdict.pause_us = rule->verdict.delay_us;
    return true;
}

static bool read_raw(struct fault_rule *rule, struct slice text, struct buf *error)
{
    static const struct slice garbage = {"\x15\x03\xff garbage instead of an answer\r\n", 34};

    buf_reset(&rule->raw);
    if (text.len == 0) {
        buf_puts(&rule->raw, garbage);
    } else if (!put_unescaped(&rule->raw, text, error)) {
        return false;
    }
    rule->verdict.raw = buf_slice(&rule->raw);
    rule->verdict.mute = rule->verdict.reply.len == 0;
    rule->answers = true;
    return true;
}

static bool read_rate_limit(struct slice text, uint64_t *rate, struct buf *error)
{
    struct slice size = text;

    size.len -= slice_iends(text, SLICE("/s")) ? 2 : 0;
    if (size.len < text.len && units_bytes(size, rate) == 0 && *rate > 0) {
        return true;
    }
    return fault_say(error, "slow-read needs a rate such as 10KB/s, not '" SLICE_FMT "'",
                     SLICE_ARG(text));
}

static bool read_end(struct fault_rule *rule, enum server_then then, struct slice text,
                     struct buf *error)
{
    rule->verdict.then = then;
    return text.len == 0
               ? true
               : fault_say(error, "'" SLICE_FMT "' is one word too many", SLICE_ARG(text));
}

static bool read_action(struct fault_rule *rule, struct slice action, struct buf *error)
{
    struct server_verdict *v = &rule->verdict;
    struct slice word = slice_of(action.ptr, slice_find(action, ' '));
    struct slice text = slice_trim(slice_from(action, word.len));

    if (slice_ieq(word, SLICE("reply"))) {
        rule->answers = true;
        v->mute = false;
        return read_reply(text, &rule->text, &v->reply, error);
    }
    if (slice_ieq(word, SLICE("ahead"))) {
        rule->answers = true;
        return read_reply(text, &rule->ahead, &v->ahead, error);
    }
    if (slice_ieq(word, SLICE("answer"))) {
        rule->answers = true;
        return true;
    }
    if (slice_ieq(word, SLICE("close"))) {
        return read_end(rule, SERVER_THEN_CLOSE, text, error);
    }
    if (slice_ieq(word, SLICE("reset"))) {
        return read_end(rule, SERVER_THEN_RESET, text, error);
    }
    if (slice_ieq(word, SLICE("stall"))) {
        return read_stall(rule, text, error);
    }
    if (slice_ieq(word, SLICE("delay"))) {
        rule->answers = true;
        return read_wait(text, -1, &v->delay_us, error);
    }
    if (slice_ieq(word, SLICE("raw")) || slice_ieq(word, SLICE("garbage"))) {
        return read_raw(rule, text, error);
    }
    if (slice_ieq(word, SLICE("dribble"))) {
        v->dribble = rule->answers = true;
        return read_wait(text, 1000, &v->dribble_us, error);
    }
    if (slice_ieq(word, SLICE("glue"))) {
        rule->answers = true;
        return read_wait(text, 50000, &v->hold_us, error);
    }
    if (slice_ieq(word, SLICE("slow-read"))) {
        rule->answers = true;
        return read_rate_limit(text, &v->read_rate, error);
    }
    return fault_unknown(error, "action", word, fault_help_actions);
}

/* Takes what stands before the next ";" without a backslash before it. */
static bool next_action(struct slice *rest, struct slice *action)
{
    size_t i = 0;

    if (rest->ptr == NULL) {
        return false;
    }
    while (i < rest->len && rest->ptr[i] != ';') {
        i += rest->ptr[i] == '\\' && i + 1 < rest->len ? 2 : 1;
    }
    *action = slice_trim(slice_of(rest->ptr, i));
    *rest = i < rest->len ? slice_of(rest->ptr + i + 1, rest->len - i - 1) : SLICE_NONE;
    return true;
}

bool fault_read_actions(struct fault_rule *rule, struct slice actions, struct buf *error)
{
    struct slice action;
    bool any = false;

    while (next_action(&actions, &action)) {
        if (action.len == 0) {
            continue;
        }
        any = true;
        if (!read_action(rule, action, error)) {
            return false;
        }
    }
    if (!any) {
        return fault_say(error, "there is no action behind the ':'; write one such as "
                                "'reply 451 4.3.0 Try later' or 'close'");
    }
    rule->verdict.mute |= !rule->answers;
    return true;
}
