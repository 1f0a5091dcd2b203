/*
 * qp.c - quoted-printable (RFC 2045 6.7) of text.
 */
#include "engine/message/qp.h"
#include "engine/message/lines.h"

enum { QP_COLUMN_MAX = 75 }; /* and the "=" of a soft break makes 76 */

static const char hex_upper[] = "0123456789ABCDEF";

/* What goes as it is: printable ASCII but "=", and blanks where more of the line follows. */
static const bool plain_byte[256] = {
    ['\t'] = true,
    [' ' ... '<'] = true,
    ['>' ... '~'] = true,
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* How many bytes at the front go as they are into the rest of this line. */
static size_t plain_run(struct slice text, size_t room)
{
    const unsigned char *p = (const unsigned char *)text.ptr;
    size_t end = text.len < room ? text.len : room;
    size_t len = 0;

    while (len < end && plain_byte[p[len]]) {
        len++;
    }
    bool ends_line = len == text.len || p[len] == '\r';
    return len > 0 && ends_line && is_blank(text.ptr[len - 1]) ? len - 1 : len;
}

/* What must not begin a line: a dot, for which DATA would need another, and two hyphens,
 * with which a value could end the part it stands in.  A single hyphen may be followed by
 * another in the next piece. */
static bool is_delicate(struct slice text)
{
    return text.ptr[0] == '.' || (text.ptr[0] == '-' && (text.len == 1 || text.ptr[1] == '-'));
}

static void soft_break(struct qp_flow *flow)
{
    BUF_LIT(flow->out, "=\r\n");
    flow->column = 0;
}

static void put_escaped(struct qp_flow *flow, char c)
{
    unsigned char u = (unsigned char)c;
    char out[3] = {'=', hex_upper[u >> 4], hex_upper[u & 15]};

    if (flow->column + sizeof(out) > QP_COLUMN_MAX) {
        soft_break(flow);
    }
    buf_put(flow->out, out, sizeof(out));
    flow->column += sizeof(out);
}

void qp_finish(struct qp_flow *flow)
{
    if (flow->blank != 0) {
        put_escaped(flow, flow->blank);
        flow->blank = 0;
    }
}

/* A blank with more of its line behind it stays a blank; a soft break hides it as well. */
static void blank_settle(struct qp_flow *flow)
{
    if (flow->column == QP_COLUMN_MAX) {
        soft_break(flow);
    }
    buf_putc(flow->out, flow->blank);
    flow->column++;
    flow->blank = 0;
}

void qp_break(struct qp_flow *flow)
{
    if (flow->blank != 0) {
        blank_settle(flow);
    }
    if (flow->column > 0) {
        soft_break(flow);
    }
}

static bool at_line_end(struct slice text)
{
    return text.len > 1 && text.ptr[0] == '\r' && text.ptr[1] == '\n';
}

/* One byte, or a line end, that does not go as it is; returns how many bytes it took. */
static size_t put_special(struct qp_flow *flow, struct slice text)
{
    if (at_line_end(text)) {
        BUF_LIT(flow->out, "\r\n");
        flow->column = 0;
        return 2;
    }
    if (is_blank(text.ptr[0]) && text.len == 1) {
        flow->blank = text.ptr[0];
    } else {
        put_escaped(flow, text.ptr[0]);
    }
    return 1;
}

void qp_put(struct qp_flow *flow, struct slice text)
{
    if (flow->blank != 0 && text.len > 0) {
        if (text.ptr[0] == '\r') {
            qp_finish(flow);
        } else {
            blank_settle(flow);
        }
    }
    while (text.len > 0) {
        if (flow->column == QP_COLUMN_MAX && !at_line_end(text)) {
            soft_break(flow);
        }
        bool delicate = flow->column == 0 && is_delicate(text);
        size_t run = delicate ? 0 : plain_run(text, QP_COLUMN_MAX - flow->column);
        if (run > 0) {
            buf_put(flow->out, text.ptr, run);
            flow->column += run;
        } else {
            run = put_special(flow, text);
        }
        text = slice_from(text, run);
    }
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void decode_run(struct buf *out, struct slice text)
{
    while (text.len > 0) {
        size_t at = slice_find(text, '=');
        buf_put(out, text.ptr, at);
        text = slice_from(text, at);
        int high = text.len > 2 ? hex_value(text.ptr[1]) : -1;
        int low = text.len > 2 ? hex_value(text.ptr[2]) : -1;
        if (high >= 0 && low >= 0) {
            buf_putc(out, (char)(high << 4 | low));
            text = slice_from(text, 3);
        } else if (text.len > 0) {
            buf_putc(out, '=');
            text = slice_from(text, 1);
        }
    }
}

void qp_decode(struct buf *out, struct slice text)
{
    struct slice line;

    while (lines_next(&text, &line)) {
        struct slice bare = lines_bare(line);
        while (bare.len > 0 && (bare.ptr[bare.len - 1] == ' ' || bare.ptr[bare.len - 1] == '\t')) {
            bare.len--;
        }
        bool soft = bare.len > 0 && bare.ptr[bare.len - 1] == '=';
        decode_run(out, slice_of(bare.ptr, bare.len - (soft ? 1 : 0)));
        if (!soft && line.len > lines_bare(line).len) {
            BUF_LIT(out, "\r\n");
        }
    }
}
