/*
 * words_decode.c - encoded words (RFC 2047), reading.
 *
 * Needed where a mail program has encoded a header field that holds placeholders: the
 * template is the text that was meant, not the code.
 */
#include "engine/message/base64.h"
#include "engine/message/words.h"

enum charset { CHARSET_UTF8, CHARSET_LATIN1, CHARSET_OTHER };

struct coded_word {
    struct slice whole;
    struct slice payload;
    enum charset charset;
    bool q;
};

static enum charset charset_of(struct slice name)
{
    name = slice_of(name.ptr, slice_find(name, '*')); /* RFC 2231 5: "utf-8*de" */
    if (slice_ieq(name, SLICE("utf-8")) || slice_ieq(name, SLICE("us-ascii"))) {
        return CHARSET_UTF8;
    }
    return slice_ieq(name, SLICE("iso-8859-1")) ? CHARSET_LATIN1 : CHARSET_OTHER;
}

/* Reads "=?charset?Q?payload?=" at the front. */
static bool word_parse(struct slice text, struct coded_word *out)
{
    struct slice rest = slice_from(text, 2);
    struct slice charset, encoding;

    if (!slice_starts(text, SLICE("=?")) || !slice_next(&rest, '?', &charset) ||
        !slice_next(&rest, '?', &encoding) || rest.ptr == NULL || encoding.len != 1) {
        return false;
    }
    size_t len = slice_find(rest, '?');
    char kind = (char)(encoding.ptr[0] | 0x20);

    if (len + 1 >= rest.len || rest.ptr[len + 1] != '=' || (kind != 'q' && kind != 'b')) {
        return false;
    }
    out->payload = slice_of(rest.ptr, len);
    out->whole = slice_of(text.ptr, (size_t)(rest.ptr - text.ptr) + len + 2);
    out->charset = charset_of(charset);
    out->q = kind == 'q';
    return slice_find(out->payload, ' ') == len && out->charset != CHARSET_OTHER;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void decode_q(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        int high = i + 2 < text.len ? hex_value(text.ptr[i + 1]) : -1;
        int low = i + 2 < text.len ? hex_value(text.ptr[i + 2]) : -1;
        if (text.ptr[i] == '=' && high >= 0 && low >= 0) {
            buf_putc(out, (char)(high << 4 | low));
            i += 2;
        } else {
            buf_putc(out, text.ptr[i] == '_' ? ' ' : text.ptr[i]);
        }
    }
}

static void latin1_to_utf8(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c < 0x80) {
            buf_putc(out, (char)c);
        } else {
            buf_putc(out, (char)(0xc0 | c >> 6));
            buf_putc(out, (char)(0x80 | (c & 0x3f)));
        }
    }
}

static void word_decode(struct buf *out, const struct coded_word *word)
{
    struct buf bytes = BUF_EMPTY;

    if (word->q) {
        decode_q(&bytes, word->payload);
    } else {
        b64_decode(&bytes, word->payload);
    }
    if (word->charset == CHARSET_LATIN1) {
        latin1_to_utf8(out, buf_slice(&bytes));
    } else {
        buf_puts(out, buf_slice(&bytes));
    }
    buf_fini(&bytes);
}

void words_decode(struct buf *out, struct slice text)
{
    size_t behind_word = 0; /* length of `out` right behind the last encoded word */
    bool blanks_only = false;

    while (text.len > 0) {
        struct coded_word word;
        if (text.ptr[0] == '=' && word_parse(text, &word)) {
            if (blanks_only) { /* RFC 2047 6.2: blanks between two encoded words go */
                out->len = behind_word;
            }
            word_decode(out, &word);
            text = slice_from(text, word.whole.len);
            behind_word = out->len;
            blanks_only = true;
            continue;
        }
        blanks_only = blanks_only && (text.ptr[0] == ' ' || text.ptr[0] == '\t');
        buf_putc(out, text.ptr[0]);
        text = slice_from(text, 1);
    }
}
