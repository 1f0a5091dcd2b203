/*
 * json.c - writing JSON into a buf.
 */
#include "engine/base/json.h"
#include "engine/base/utf8.h"

static void json_separate(struct buf *b)
{
    if (b->len > 0) {
        char last = b->ptr[b->len - 1];
        if (last != '{' && last != '[' && last != ':' && last != '\n') {
            buf_putc(b, ',');
        }
    }
}

void json_object_open(struct buf *b)
{
    json_separate(b);
    buf_putc(b, '{');
}

void json_object_close(struct buf *b)
{
    buf_putc(b, '}');
}

void json_array_open(struct buf *b)
{
    json_separate(b);
    buf_putc(b, '[');
}

void json_array_close(struct buf *b)
{
    buf_putc(b, ']');
}

void json_key(struct buf *b, const char *key)
{
    json_separate(b);
    buf_putc(b, '"');
    buf_puts(b, slice_cstr(key));
    BUF_LIT(b, "\":");
}

void json_key_slice(struct buf *b, struct slice key)
{
    json_str(b, key);
    buf_putc(b, ':');
}

static void json_escape(struct buf *b, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";

    switch (c) {
    case '"':
        BUF_LIT(b, "\\\"");
        return;
    case '\\':
        BUF_LIT(b, "\\\\");
        return;
    case '\n':
        BUF_LIT(b, "\\n");
        return;
    case '\r':
        BUF_LIT(b, "\\r");
        return;
    case '\t':
        BUF_LIT(b, "\\t");
        return;
    default:
        BUF_LIT(b, "\\u00");
        buf_putc(b, hex[c >> 4]);
        buf_putc(b, hex[c & 15]);
    }
}

void json_str(struct buf *b, struct slice s)
{
    size_t from = 0;

    json_separate(b);
    buf_putc(b, '"');
    for (size_t i = 0; i < s.len;) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
            i++;
            continue;
        }
        size_t len = c < 0x80 ? 0 : utf8_valid_prefix(slice_from(s, i));
        if (len > 0) {
            i += len;
            continue;
        }
        buf_put(b, s.ptr + from, i - from);
        if (c < 0x80) {
            json_escape(b, c);
        } else {
            BUF_LIT(b, "\xef\xbf\xbd");
        }
        from = ++i;
    }
    if (from < s.len) {
        buf_put(b, s.ptr + from, s.len - from);
    }
    buf_putc(b, '"');
}

void json_u64(struct buf *b, uint64_t value)
{
    json_separate(b);
    buf_putu(b, value);
}

void json_i64(struct buf *b, int64_t value)
{
    json_separate(b);
    buf_putd(b, value);
}

void json_bool(struct buf *b, bool value)
{
    json_separate(b);
    buf_puts(b, value ? SLICE("true") : SLICE("false"));
}

void json_null(struct buf *b)
{
    json_separate(b);
    BUF_LIT(b, "null");
}

void json_put_str(struct buf *b, const char *key, struct slice s)
{
    json_key(b, key);
    json_str(b, s);
}

void json_put_cstr(struct buf *b, const char *key, const char *s)
{
    json_put_str(b, key, slice_cstr(s));
}

void json_put_u64(struct buf *b, const char *key, uint64_t value)
{
    json_key(b, key);
    json_u64(b, value);
}

void json_put_i64(struct buf *b, const char *key, int64_t value)
{
    json_key(b, key);
    json_i64(b, value);
}

void json_put_bool(struct buf *b, const char *key, bool value)
{
    json_key(b, key);
    json_bool(b, value);
}
