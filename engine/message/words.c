/*
 * words.c - text in header fields: folding and encoded words, writing.
 *
 * Lines aim at 78 characters; encoded words have at most 75, and lines with them 76
 * (RFC 2047 2).  The Q form uses only the characters allowed inside a phrase, so one form
 * serves everywhere.
 */
#include "engine/message/words.h"
#include "engine/base/err.h"
#include "engine/base/utf8.h"
#include "engine/message/base64.h"
#include "engine/message/lines.h"

#include <string.h>

enum {
    FOLD_COLUMN = 78,
    CODED_COLUMN = 76,
    CODED_FRAME = 12,     /* =?utf-8?Q??= */
    CODED_ROOM_MIN = 26,  /* the frame and one character of four bytes in Q */
    PLAIN_WORD_MAX = 500, /* a longer word is encoded, which may be cut anywhere */
    PLAIN_LEN_MAX = 900,  /* with the longest field name and blanks still under 998 */
    BLANKS_MAX = 16,
};

static bool is_blank(char c)
{
    return (unsigned char)c <= ' ' || c == 0x7f;
}

void words_begin(struct words *w, struct buf *out, struct slice name)
{
    buf_puts(out, name);
    buf_putc(out, ':');
    *w = (struct words){.out = out, .column = name.len + 1, .blanks = 1, .fresh = true};
}

void words_end(struct words *w)
{
    BUF_LIT(w->out, "\r\n");
}

/* Writes the blanks owed, on a new line when `len` more bytes would pass `column_max`.  Right
 * behind the name a line is only broken where it has to be: "Subject:" alone on a line is
 * legal and looks broken. */
static void before_word(struct words *w, size_t len, size_t column_max)
{
    if (w->blanks == 0) {
        return;
    }
    column_max = w->coded ? CODED_COLUMN : column_max; /* RFC 2047 2: such lines have 76 */
    bool fits = w->column + w->blanks + len <= column_max;
    bool must = w->column + w->blanks + len > LINE_LEN_MAX || column_max == CODED_COLUMN;

    if (!fits && (!w->fresh || must)) {
        BUF_LIT(w->out, "\r\n");
        w->column = 0;
        w->coded = false;
    }
    for (; w->blanks > 0; w->blanks--, w->column++) {
        buf_putc(w->out, ' ');
    }
}

static void put_word(struct words *w, struct slice word)
{
    before_word(w, word.len, FOLD_COLUMN);
    buf_puts(w->out, word);
    w->column += word.len;
    w->fresh = false;
}

static size_t blank_run(struct slice text)
{
    size_t len = 0;

    while (len < text.len && is_blank(text.ptr[len])) {
        len++;
    }
    return len;
}

static size_t word_run(struct slice text)
{
    size_t len = 0;

    while (len < text.len && !is_blank(text.ptr[len])) {
        len++;
    }
    return len;
}

static bool needs_coding(struct slice word)
{
    /* "=?" would be read as an encoded word by the receiver */
    return !utf8_is_ascii(word) || word.len > PLAIN_WORD_MAX ||
           (word.len > 1 && memmem(word.ptr, word.len, "=?", 2) != NULL);
}

/* ---- encoded words ---- */

static bool is_q_plain(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '!' ||
           c == '*' || c == '+' || c == '-' || c == '/';
}

static size_t q_len(struct slice text)
{
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        len += is_q_plain(c) || is_blank((char)c) ? 1 : 3;
    }
    return len;
}

static void put_q(struct buf *out, struct slice text)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (is_q_plain(c)) {
            buf_putc(out, (char)c);
        } else if (is_blank((char)c)) {
            buf_putc(out, '_');
        } else {
            char escaped[3] = {'=', hex[c >> 4], hex[c & 15]};
            buf_put(out, escaped, sizeof(escaped));
        }
    }
}

/* Control characters must not come out at the reader's end either. */
static void put_b(struct buf *out, struct slice text)
{
    char bytes[CODED_COLUMN];

    ASSERT(text.len <= sizeof(bytes));
    for (size_t i = 0; i < text.len; i++) {
        bytes[i] = is_blank(text.ptr[i]) ? ' ' : text.ptr[i];
    }
    b64_put_line(out, slice_of(bytes, text.len));
}

static size_t coded_len(struct slice text, bool q)
{
    return q ? q_len(text) : (text.len + 2) / 3 * 4;
}

/* The longest run of whole characters whose code fits the room; at least one character. */
static struct slice coded_chunk(struct slice text, size_t room, bool q)
{
    size_t len = 0;
    size_t used = 0;

    while (len < text.len) {
        size_t step = utf8_valid_prefix(slice_from(text, len));
        step = step > 0 ? step : 1;
        used += q ? q_len(slice_of(text.ptr + len, step)) : 0;
        size_t total = q ? used : (len + step + 2) / 3 * 4;
        if (total > room && len > 0) {
            break;
        }
        len += step;
    }
    return slice_of(text.ptr, len);
}

static void put_coded(struct words *w, struct slice text)
{
    bool q = q_len(text) <= (text.len + 2) / 3 * 4;

    before_word(w, CODED_ROOM_MIN, CODED_COLUMN);
    while (text.len > 0) {
        size_t room = CODED_COLUMN - CODED_FRAME;
        room = w->column + CODED_ROOM_MIN <= CODED_COLUMN ? room - w->column : 12;
        struct slice chunk = coded_chunk(text, room, q);
        buf_put(w->out, q ? "=?utf-8?Q?" : "=?utf-8?B?", 10);
        if (q) {
            put_q(w->out, chunk);
        } else {
            put_b(w->out, chunk);
        }
        BUF_LIT(w->out, "?=");
        w->column += CODED_FRAME + coded_len(chunk, q);
        text = slice_from(text, chunk.len);
        if (text.len > 0) {
            BUF_LIT(w->out, "\r\n ");
            w->column = 1;
        }
    }
    w->fresh = false;
    w->coded = true;
}

/* ---- text, phrases, plain words ---- */

static bool has_control(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != ' ' && is_blank(text.ptr[i])) {
            return true;
        }
    }
    return false;
}

/* Spaces are kept (within reason); with a line end or the like among them they are one. */
static void owe_blanks(struct words *w, struct slice blanks)
{
    if (!w->fresh) {
        size_t count = has_control(blanks) ? 1 : blanks.len;
        w->blanks = count < BLANKS_MAX ? count : BLANKS_MAX;
    }
}

/* From here on words need coding: how far.  The blanks between two encoded words are not
 * shown by the reader, so they belong into the words. */
static size_t coded_run(struct slice text)
{
    size_t end = 0;

    for (size_t at = 0; at < text.len;) {
        size_t len = word_run(slice_from(text, at));
        if (!needs_coding(slice_of(text.ptr + at, len))) {
            break;
        }
        end = at + len;
        at = end + blank_run(slice_from(text, end));
    }
    return end;
}

static struct slice trim_blanks(struct slice text)
{
    text = slice_from(text, blank_run(text));
    while (text.len > 0 && is_blank(text.ptr[text.len - 1])) {
        text.len--;
    }
    return text;
}

void words_put_text(struct words *w, struct slice text)
{
    text = trim_blanks(text);
    while (text.len > 0) {
        size_t len = coded_run(text);
        if (len > 0) {
            put_coded(w, slice_of(text.ptr, len));
        } else {
            len = word_run(text);
            put_word(w, slice_of(text.ptr, len));
        }
        text = slice_from(text, len);
        size_t blanks = blank_run(text);
        owe_blanks(w, slice_of(text.ptr, blanks));
        text = slice_from(text, blanks);
    }
}

int words_put_plain(struct words *w, struct slice text)
{
    text = trim_blanks(text);
    while (text.len > 0) {
        size_t len = word_run(text);
        if (len > PLAIN_LEN_MAX) {
            return ERR_LIMIT;
        }
        put_word(w, slice_of(text.ptr, len));
        text = slice_from(text, len);
        size_t blanks = blank_run(text);
        owe_blanks(w, slice_of(text.ptr, blanks));
        text = slice_from(text, blanks);
    }
    return 0;
}

static bool is_atom(struct slice text)
{
    static const char others[] = "!#$%&'*+-/=?^_`{|}~ ";

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (c == '\0' || (!alnum && strchr(others, c) == NULL)) {
            return false;
        }
    }
    return true;
}

/* Quoted: kept on one line, so that no blank of it is touched by folding. */
static void put_quoted(struct words *w, struct slice text)
{
    before_word(w, text.len + 2, FOLD_COLUMN);
    size_t start = w->out->len;

    buf_putc(w->out, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"' || text.ptr[i] == '\\') {
            buf_putc(w->out, '\\');
        }
        buf_putc(w->out, text.ptr[i]);
    }
    buf_putc(w->out, '"');
    w->column += w->out->len - start;
    w->fresh = false;
}

void words_put_phrase(struct words *w, struct slice text)
{
    text = trim_blanks(text);
    if (text.len == 0) {
        return;
    }
    if (!utf8_is_ascii(text) || has_control(text) || text.len > PLAIN_WORD_MAX / 2 ||
        (text.len > 1 && memmem(text.ptr, text.len, "=?", 2) != NULL)) {
        put_coded(w, text);
    } else if (is_atom(text) && memmem(text.ptr, text.len, "  ", 2) == NULL) {
        put_word(w, text);
    } else {
        put_quoted(w, text);
    }
}

void words_blank(struct words *w)
{
    owe_blanks(w, SLICE(" "));
}

void words_put_address(struct words *w, struct slice addr, bool angles)
{
    size_t len = addr.len + (angles ? 2 : 0);

    before_word(w, len, FOLD_COLUMN);
    if (angles) {
        buf_putc(w->out, '<');
    }
    buf_puts(w->out, addr);
    if (angles) {
        buf_putc(w->out, '>');
    }
    w->column += len;
    w->fresh = false;
}
