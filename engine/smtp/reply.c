/*
 * reply.c - incremental SMTP reply parser.
 */
#include "engine/smtp/reply.h"

#include "engine/base/utf8.h"

#include <stdio.h>

void smtp_reply_init(struct smtp_reply_parser *p)
{
    *p = (struct smtp_reply_parser){0};
}

void smtp_reply_fini(struct smtp_reply_parser *p)
{
    buf_fini(&p->line);
    buf_fini(&p->text);
}

void smtp_reply_reset(struct smtp_reply_parser *p)
{
    smtp_reply_fini(p);
    smtp_reply_init(p);
}

bool smtp_reply_partial(const struct smtp_reply_parser *p)
{
    return p->line.len > 0 || p->lines > 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* ---- enhanced codes ---- */

/* A number of at most digits_max digits at *at; false when there is none. */
static bool take_number(struct slice s, size_t *at, size_t digits_max, uint16_t *out)
{
    size_t from = *at, end = from + digits_max < s.len ? from + digits_max : s.len;
    unsigned value = 0;

    while (*at < end && is_digit(s.ptr[*at])) {
        value = value * 10 + (unsigned)(s.ptr[(*at)++] - '0');
    }
    *out = (uint16_t)value;
    return *at > from;
}

static bool take_dot(struct slice s, size_t *at)
{
    return *at < s.len && s.ptr[(*at)++] == '.';
}

struct smtp_enhanced smtp_enhanced_parse(struct slice text, struct slice *rest)
{
    static const struct smtp_enhanced none = {0};
    struct smtp_enhanced e;
    size_t at = 2;

    *rest = text;
    if (text.len < 5 || text.ptr[1] != '.' ||
        (text.ptr[0] != '2' && text.ptr[0] != '4' && text.ptr[0] != '5') ||
        !take_number(text, &at, 3, &e.subject) || !take_dot(text, &at) ||
        !take_number(text, &at, 4, &e.detail)) {
        return none;
    }
    /* "5.1.1:" and "5.1.1<x@y>" are seen; "4.2.2.1" is an IP address. */
    struct slice s = slice_of(text.ptr + at, text.len - at);

    if (s.len > 0 && (is_digit(s.ptr[0]) || (s.ptr[0] == '.' && s.len > 1 && is_digit(s.ptr[1])))) {
        return none;
    }
    e.class = (uint8_t)(text.ptr[0] - '0');
    *rest = s;
    return e;
}

void smtp_enhanced_format(char out[SMTP_ENHANCED_LEN], struct smtp_enhanced e)
{
    out[0] = '\0';
    if (e.class != 0) {
        snprintf(out, SMTP_ENHANCED_LEN, "%u.%u.%u", e.class % 10u, e.subject % 1000u,
                 e.detail % 10000u);
    }
}

/* RFC 2034 4: a code of another class than the reply's says nothing. */
static struct smtp_enhanced enhanced_of(struct slice text, uint16_t code)
{
    struct slice line, rest;

    while (slice_next(&text, '\n', &line)) {
        struct smtp_enhanced e = smtp_enhanced_parse(line, &rest);
        if (e.class == code / 100) {
            return e;
        }
    }
    return (struct smtp_enhanced){0};
}

/* ---- lines ---- */

static enum smtp_parse bad(struct smtp_reply_parser *p)
{
    p->bad = true;
    return SMTP_PARSE_BAD;
}

/* Keeps the text of a line for later; beyond SMTP_REPLY_KEEP_MAX it is dropped. */
static void keep_text(struct smtp_reply_parser *p, struct slice text)
{
    size_t room = SMTP_REPLY_KEEP_MAX - p->text.len;

    if (p->lines > 1 && room > 0) {
        buf_putc(&p->text, '\n');
        room--;
    }
    buf_put(&p->text, text.ptr, text.len < room ? text.len : room);
}

/* Reads "ddd", "ddd text", "ddd-text" or "dddtext"; false when it is none of them. */
static bool split_line(struct slice line, uint16_t *code, bool *more, struct slice *text)
{
    if (line.len < 3 || line.ptr[0] < '2' || line.ptr[0] > '5' || !is_digit(line.ptr[1]) ||
        !is_digit(line.ptr[2])) {
        return false;
    }
    char mark = line.len > 3 ? line.ptr[3] : ' ';

    if (is_digit(mark)) {
        return false;
    }
    *code = (uint16_t)((line.ptr[0] - '0') * 100 + (line.ptr[1] - '0') * 10 + (line.ptr[2] - '0'));
    *more = mark == '-';
    *text = slice_from(line, mark == '-' || mark == ' ' ? 4 : 3);
    return true;
}

/* One line without its LF.  `lasting`: its bytes live as long as *out must. */
static enum smtp_parse take_line(struct smtp_reply_parser *p, struct slice line, bool lasting,
                                 struct smtp_reply *out)
{
    uint16_t code;
    bool more;
    struct slice text;

    p->bytes += (uint32_t)line.len + 1;
    p->lines++;
    while (line.len > 0 && line.ptr[line.len - 1] == '\r') {
        line.len--;
    }
    if (line.len > SMTP_REPLY_LINE_MAX || p->lines > SMTP_REPLY_LINES_MAX ||
        p->bytes > SMTP_REPLY_BYTES_MAX || !split_line(line, &code, &more, &text)) {
        return bad(p);
    }
    p->mixed = p->mixed || (p->lines > 1 && code != p->code);
    p->code = code;
    if (more || p->lines > 1 || !lasting) {
        keep_text(p, text);
        text = buf_slice(&p->text);
    }
    if (more) {
        return SMTP_PARSE_MORE;
    }
    *out = (struct smtp_reply){
        .code = code, .enhanced = enhanced_of(text, code), .mixed = p->mixed, .text = text};
    p->lines = 0;
    p->bytes = 0;
    p->mixed = false;
    return SMTP_PARSE_DONE;
}

/* A line whose end has not come: kept, but not without end. */
static enum smtp_parse keep_line(struct smtp_reply_parser *p, struct slice *in)
{
    if (p->line.len + in->len > SMTP_REPLY_LINE_MAX + 2) {
        return bad(p);
    }
    buf_puts(&p->line, *in);
    *in = SLICE_NONE;
    return SMTP_PARSE_MORE;
}

enum smtp_parse smtp_reply_next(struct smtp_reply_parser *p, struct slice *in,
                                struct smtp_reply *out)
{
    enum smtp_parse status = p->bad ? SMTP_PARSE_BAD : SMTP_PARSE_MORE;

    if (p->lines == 0) {
        buf_reset(&p->text);
    }
    while (status == SMTP_PARSE_MORE && in->len > 0) {
        size_t at = slice_find(*in, '\n');
        if (at == in->len) {
            return keep_line(p, in);
        }
        struct slice line = slice_of(in->ptr, at);
        bool whole = p->line.len == 0;

        *in = slice_from(*in, at + 1);
        if (!whole) {
            if (p->line.len + line.len > SMTP_REPLY_LINE_MAX + 2) {
                return bad(p);
            }
            buf_puts(&p->line, line);
            line = buf_slice(&p->line);
        }
        status = take_line(p, line, whole, out);
        buf_reset(&p->line);
    }
    return status;
}

/* ---- for people ---- */

/* How many bytes at the front are plain ASCII text. */
static size_t plain_run(struct slice s)
{
    size_t len = 0;

    while (len < s.len && s.ptr[len] >= ' ' && s.ptr[len] <= '~') {
        len++;
    }
    return len;
}

/* Appends one character that is not plain, or what stands for it; false when it is longer
 * than `room`. */
static bool put_character(struct buf *out, struct slice *s, size_t room)
{
    size_t len = utf8_valid_prefix(*s);
    const unsigned char *c = (const unsigned char *)s->ptr;
    /* C0, DEL and the C1 controls (U+0080 to U+009F) steer terminals. */
    bool control = c[0] < 0x20 || c[0] == 0x7f || (len == 2 && c[0] == 0xc2 && c[1] < 0xa0);

    if (len == 0 || control) {
        buf_putc(out, c[0] == '\t' ? ' ' : '?');
        len = len > 0 ? len : 1;
    } else if (len > room) {
        return false;
    } else {
        buf_put(out, s->ptr, len);
    }
    *s = slice_from(*s, len);
    return true;
}

/* Appends at most `room` bytes of s, never a part of a character. */
static void put_printable(struct buf *out, struct slice s, size_t room)
{
    size_t end = out->len + room;

    while (s.len > 0 && out->len < end) {
        size_t len = plain_run(s);

        if (len > 0) {
            len = len < end - out->len ? len : end - out->len;
            buf_put(out, s.ptr, len);
            s = slice_from(s, len);
        } else if (!put_character(out, &s, end - out->len)) {
            return;
        }
    }
}

void smtp_reply_print(const struct smtp_reply *reply, struct buf *out)
{
    size_t start = out->len;
    struct slice text = reply->text, line, rest;

    while (slice_next(&text, '\n', &line)) {
        struct smtp_enhanced e = smtp_enhanced_parse(line, &rest);
        bool same = e.class != 0 && e.class == reply->enhanced.class &&
                    e.subject == reply->enhanced.subject && e.detail == reply->enhanced.detail;

        line = slice_trim(same ? rest : line);
        size_t used = out->len - start;
        if (line.len == 0 || used >= SMTP_TEXT_MAX) {
            continue;
        }
        if (used > 0) {
            buf_putc(out, ' ');
            used++;
        }
        put_printable(out, line, SMTP_TEXT_MAX - used);
    }
}
