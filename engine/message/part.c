/*
 * part.c - body parts with placeholders, in quoted-printable or base64.
 *
 * A value changes where the lines of the encoding break, or how groups of three bytes fall,
 * only for a little while: a soft break starts a fresh line in quoted-printable, and base64
 * has three ways to fall, all encoded beforehand.  So a copy encodes its values and a few
 * dozen bytes behind each, and shares the rest.
 */
#include "engine/base/err.h"
#include "engine/message/base64.h"
#include "engine/message/program.h"
#include "engine/message/qp.h"

#include <string.h>

enum {
    STRETCH_MIN = 100, /* shorter texts are encoded for each copy */
    HEAD_MAX = 160,    /* how far to look for a line end to start sharing at */
    HEAD_CUT_MIN = 30, /* without one, sharing starts at a blank between these */
    HEAD_CUT_MAX = 70,
};

/* ---- compiling ---- */

/* How much of a text behind a value is encoded for each copy: up to its first line end when
 * that is near, else to a blank or the end of an HTML tag. */
static size_t head_len(struct slice text)
{
    struct slice near = slice_of(text.ptr, text.len < HEAD_MAX ? text.len : HEAD_MAX);
    size_t lf = slice_find(near, '\n');

    if (lf < near.len) {
        return lf + 1;
    }
    for (size_t i = HEAD_CUT_MAX; i > HEAD_CUT_MIN && near.len > HEAD_CUT_MAX; i--) {
        if (near.ptr[i - 1] == ' ' || near.ptr[i - 1] == '>') {
            return i;
        }
    }
    return HEAD_CUT_MAX;
}

static void qp_stretch(struct stretch *out, struct slice text, size_t head, struct arena *arena)
{
    struct buf encoded = BUF_EMPTY;
    struct qp_flow flow = {.out = &encoded};

    out->head = head;
    qp_put(&flow, slice_from(text, out->head));
    out->ready[0] = arena_keep(arena, buf_slice(&encoded));
    out->ready_text[0] = text.len - out->head;
    out->column[0] = flow.column;
    out->blank = flow.blank;
    buf_fini(&encoded);
}

static void base64_stretch(struct stretch *out, struct slice text, bool first, struct arena *arena)
{
    for (size_t skip = 0; skip < (first ? 1 : 3); skip++) {
        struct buf encoded = BUF_EMPTY;
        struct b64_flow flow = {.out = &encoded};
        size_t len = (text.len - skip) / 3 * 3;

        b64_put(&flow, slice_of(text.ptr + skip, len));
        out->ready[skip] = arena_keep(arena, buf_slice(&encoded));
        out->ready_text[skip] = len;
        out->column[skip] = flow.column;
        buf_fini(&encoded);
    }
}

void part_compile(struct text_part *part, struct arena *arena)
{
    for (size_t i = 0; i < part->text.count; i++) {
        struct node *node = &part->text.node[i];
        size_t head = part->coding == CODING_QP && i > 0 ? head_len(node->text) : 0;
        if (node->kind != NODE_TEXT || node->text.len < head + STRETCH_MIN) {
            continue;
        }
        struct stretch *stretch = arena_take(arena, sizeof(*stretch));
        if (part->coding == CODING_QP) {
            qp_stretch(stretch, node->text, head, arena);
        } else {
            base64_stretch(stretch, node->text, i == 0, arena);
        }
        node->stretch = stretch;
    }
}

/* ---- rendering ---- */

/* The two encoders behind one face. */
struct encoder {
    enum coding coding;
    struct qp_flow qp;
    struct b64_flow base64;
    struct part_sink *sink;
};

static void encoder_put(struct encoder *e, struct slice text)
{
    if (e->coding == CODING_QP) {
        qp_put(&e->qp, text);
    } else {
        b64_put(&e->base64, text);
    }
}

static void encoder_put_qp(struct encoder *e, const struct node *node)
{
    qp_put(&e->qp, slice_of(node->text.ptr, node->stretch->head));
    qp_break(&e->qp);
    e->sink->share(e->sink, node->stretch->ready[0]);
    e->qp.column = node->stretch->column[0];
    e->qp.blank = node->stretch->blank;
}

static void encoder_put_base64(struct encoder *e, const struct node *node)
{
    const struct stretch *stretch = node->stretch;
    size_t skip = (3 - e->base64.carry_len) % 3;

    b64_put(&e->base64, slice_of(node->text.ptr, skip));
    b64_break(&e->base64);
    e->sink->share(e->sink, stretch->ready[skip]);
    e->base64.column = stretch->column[skip];
    b64_put(&e->base64, slice_from(node->text, skip + stretch->ready_text[skip]));
}

static void encoder_put_text(struct encoder *e, const struct node *node)
{
    if (node->stretch == NULL) {
        encoder_put(e, node->text);
    } else if (e->coding == CODING_QP) {
        encoder_put_qp(e, node);
    } else {
        encoder_put_base64(e, node);
    }
}

static void encoder_finish(struct encoder *e, bool line_end)
{
    if (e->coding == CODING_QP) {
        qp_finish(&e->qp);
    } else {
        b64_finish(&e->base64);
    }
    if (line_end && e->qp.column + e->base64.column > 0) {
        BUF_LIT(e->sink->own, "\r\n");
    }
}

static struct slice html_entity(char c)
{
    switch (c) {
    case '&':
        return SLICE("&amp;");
    case '<':
        return SLICE("&lt;");
    case '>':
        return SLICE("&gt;");
    case '"':
        return SLICE("&quot;");
    case '\'':
        return SLICE("&#39;");
    default:
        return SLICE_NONE;
    }
}

/* The value with HTML's characters escaped; borrows from it or from scratch. */
static struct slice html_escape(struct slice value, struct buf *scratch)
{
    size_t plain = 0;

    while (plain < value.len && html_entity(value.ptr[plain]).len == 0) {
        plain++;
    }
    if (plain == value.len) {
        return value;
    }
    scratch->len = 0;
    buf_put(scratch, value.ptr, plain);
    for (size_t i = plain; i < value.len; i++) {
        struct slice entity = html_entity(value.ptr[i]);
        if (entity.len > 0) {
            buf_puts(scratch, entity);
        } else {
            buf_putc(scratch, value.ptr[i]);
        }
    }
    return buf_slice(scratch);
}

int part_render(const struct text_part *part, const struct values *values, struct part_sink *sink,
                struct buf *scratch, struct buf *error)
{
    struct encoder e = {.coding = part->coding,
                        .qp = {.out = sink->own},
                        .base64 = {.out = sink->own},
                        .sink = sink};

    for (size_t i = 0; i < part->text.count; i++) {
        const struct node *node = &part->text.node[i];
        struct slice value;

        if (node->kind == NODE_TEXT) {
            encoder_put_text(&e, node);
        } else if (node->kind == NODE_VALUE) {
            int err = values_get(values, node, &value, error);
            if (err != 0) {
                return err;
            }
            encoder_put(&e, part->html && !node->raw ? html_escape(value, scratch) : value);
        } else if (!values_show(values, node)) {
            i += node->inside;
        }
        if (sink->own->len > LETTER_OWN_MAX) {
            if (error != NULL) {
                BUF_LIT(error, "the letter becomes too large for one recipient");
            }
            return ERR_LIMIT;
        }
    }
    encoder_finish(&e, part->line_end);
    return 0;
}
