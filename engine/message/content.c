/*
 * content.c - what a part says about its bytes (RFC 2045).
 */
#include "engine/message/content.h"
#include "engine/message/base64.h"
#include "engine/message/qp.h"

#include <string.h>

/* The length of a parameter up to its ";", quotes respected. */
static size_t param_len(struct slice text)
{
    bool quoted = false;

    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\\' && quoted) {
            i++;
        } else if (text.ptr[i] == '"') {
            quoted = !quoted;
        } else if (text.ptr[i] == ';' && !quoted) {
            return i;
        }
    }
    return text.len;
}

static struct slice param_value(struct slice param)
{
    struct slice value = slice_trim(slice_from(param, slice_find(param, '=') + 1));

    if (value.len > 1 && value.ptr[0] == '"') {
        value = slice_from(value, 1);
        return slice_of(value.ptr, slice_find(value, '"'));
    }
    for (size_t i = 0; i < value.len; i++) {
        if (strchr(" \t(", value.ptr[i]) != NULL) { /* a comment may follow */
            return slice_of(value.ptr, i);
        }
    }
    return value;
}

static void type_read(struct slice type, struct content *out)
{
    size_t len = param_len(type);
    struct slice media = slice_trim(slice_of(type.ptr, len));

    out->type = type;
    out->media = media.len > 0 ? media : out->media;
    while (len < type.len) {
        struct slice rest = slice_from(type, len + 1);
        struct slice param = slice_trim(slice_of(rest.ptr, param_len(rest)));
        struct slice name = slice_trim(slice_of(param.ptr, slice_find(param, '=')));
        if (slice_ieq(name, SLICE("charset"))) {
            out->charset_param = param;
            out->charset = param_value(param);
        } else if (slice_ieq(name, SLICE("boundary"))) {
            out->boundary = param_value(param);
        }
        len += 1 + param_len(rest);
    }
}

static enum content_encoding encoding_of(struct slice value)
{
    static const struct {
        const char *name;
        enum content_encoding encoding;
    } rows[] = {
        {"7bit", CONTENT_7BIT},           {"8bit", CONTENT_8BIT},     {"binary", CONTENT_BINARY},
        {"quoted-printable", CONTENT_QP}, {"base64", CONTENT_BASE64},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (slice_ieq(value, slice_cstr(rows[i].name))) {
            return rows[i].encoding;
        }
    }
    return CONTENT_UNKNOWN;
}

static struct slice unfolded(const struct header_field *field, struct arena *arena)
{
    struct buf value = BUF_EMPTY;

    header_unfold(&value, field->value);
    struct slice text = slice_trim(buf_slice(&value));
    while (text.len > 0 && strchr("; \t", text.ptr[text.len - 1]) != NULL) {
        text.len--; /* a parameter may be put behind it */
    }
    struct slice kept = arena_keep(arena, text);
    buf_fini(&value);
    return kept;
}

void content_read(const struct header *header, struct slice fallback, struct arena *arena,
                  struct content *out)
{
    const struct header_field *disposition = header_find(header, SLICE("Content-Disposition"));

    *out = (struct content){.media = fallback};
    out->type_field = header_find(header, SLICE("Content-Type"));
    out->encoding_field = header_find(header, SLICE("Content-Transfer-Encoding"));
    if (out->type_field != NULL) {
        type_read(unfolded(out->type_field, arena), out);
    }
    if (out->encoding_field != NULL) {
        out->encoding = encoding_of(unfolded(out->encoding_field, arena));
    }
    if (disposition != NULL) {
        out->attachment = slice_istarts(unfolded(disposition, arena), SLICE("attachment"));
    }
}

bool content_is_text(const struct content *content)
{
    return slice_istarts(content->media, SLICE("text/"));
}

bool content_is_html(const struct content *content)
{
    return content_is_text(content) && slice_iends(content->media, SLICE("html"));
}

bool content_is_multipart(const struct content *content)
{
    return slice_istarts(content->media, SLICE("multipart/"));
}

bool content_is_opaque(const struct content *content)
{
    return slice_ieq(content->media, SLICE("multipart/signed")) ||
           slice_ieq(content->media, SLICE("multipart/encrypted")) ||
           slice_istarts(content->media, SLICE("message/"));
}

bool content_takes_utf8(const struct content *content)
{
    return content->charset.len == 0 || slice_ieq(content->charset, SLICE("utf-8")) ||
           slice_ieq(content->charset, SLICE("utf8")) ||
           slice_ieq(content->charset, SLICE("us-ascii")) ||
           slice_ieq(content->charset, SLICE("ascii"));
}

void content_decode(struct buf *out, enum content_encoding encoding, struct slice body)
{
    if (encoding == CONTENT_QP) {
        qp_decode(out, body);
    } else if (encoding == CONTENT_BASE64) {
        b64_decode(out, body);
    } else {
        buf_puts(out, body);
    }
}

void content_put_utf8_type(struct buf *out, const struct content *content)
{
    struct slice type = content->type;

    if (type.len == 0) {
        buf_puts(out, content->media);
    } else if (content->charset_param.ptr != NULL) {
        size_t at = (size_t)(content->charset_param.ptr - type.ptr);
        buf_put(out, type.ptr, at);
        BUF_LIT(out, "charset=utf-8");
        buf_puts(out, slice_from(type, at + content->charset_param.len));
        return;
    } else {
        buf_puts(out, type);
    }
    BUF_LIT(out, "; charset=utf-8");
}
