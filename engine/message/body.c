/*
 * body.c - the MIME tree: which parts stay as they are, which are encoded anew, and which
 * are personal.
 */
#include "engine/base/err.h"
#include "engine/base/utf8.h"
#include "engine/message/base64.h"
#include "engine/message/compile.h"
#include "engine/message/lines.h"
#include "engine/message/qp.h"

#include <string.h>

enum action { ACTION_KEEP, ACTION_RECODE, ACTION_MERGE };

/* A letter or part, and what is to be done with it. */
struct entity {
    struct slice text; /* header block and body */
    struct header header;
    struct content content;
    struct slice body;
    bool top;
    size_t depth;
    enum action action;
    enum coding coding;
    struct field_edits edits;
    struct slice decoded;   /* for ACTION_RECODE */
    struct text_part *part; /* for ACTION_MERGE */
};

static int entity_compile(struct compiler *c, struct entity *e, struct slice fallback);

/* ---- what to do ---- */

static bool has_high_bit(struct slice text)
{
    return !utf8_is_ascii(text);
}

/* Quoted-printable costs two more bytes for each byte beyond ASCII, base64 a third of all. */
static enum coding coding_for(struct slice text)
{
    size_t high = 0;

    for (size_t i = 0; i < text.len; i++) {
        high += (unsigned char)text.ptr[i] >= 0x80 ? 1 : 0;
    }
    return high > text.len / 6 ? CODING_BASE64 : CODING_QP;
}

static void set_coding(struct entity *e, struct slice decoded)
{
    if (!content_is_text(&e->content) || e->content.encoding == CONTENT_BASE64) {
        e->coding = CODING_BASE64;
    } else {
        e->coding = e->content.encoding == CONTENT_QP ? CODING_QP : coding_for(decoded);
    }
    e->edits.encoding = e->coding == CODING_QP ? "quoted-printable" : "base64";
}

/* The line of the source that a byte of the decoded body came from. */
static size_t decoded_line(const struct compiler *c, const struct entity *e, size_t at)
{
    struct slice rest = e->body;
    struct slice line;
    struct buf decoded = BUF_EMPTY;
    size_t seen = 0;
    size_t number = compile_line(c, e->body.ptr);

    while (lines_next(&rest, &line)) {
        buf_reset(&decoded);
        content_decode(&decoded, e->content.encoding, line);
        seen += decoded.len;
        if (seen > at || rest.len == 0) {
            break;
        }
        number++;
    }
    buf_fini(&decoded);
    return number;
}

static int plan_merge(struct compiler *c, struct entity *e, struct slice decoded)
{
    const struct template_rules rules = {.raw = true, .standalone = true};
    struct template_fault fault = {0, ""};

    if (!content_takes_utf8(&e->content)) {
        return compile_fault(c, ERR_INVALID, e->content.type_field->whole.ptr,
                             "placeholders need the charset utf-8 here, not \"" SLICE_FMT
                             "\"; write the part in UTF-8",
                             SLICE_ARG(e->content.charset));
    }
    if (!utf8_valid(decoded)) {
        return compile_fault(c, ERR_INVALID, e->body.ptr,
                             "a part with placeholders is not UTF-8; write it in UTF-8");
    }
    if (++c->merged > COMPILE_MERGED_MAX) {
        return compile_fault(c, ERR_LIMIT, e->body.ptr, "more than %d parts with placeholders",
                             COMPILE_MERGED_MAX);
    }
    e->part = arena_take(&c->letter->arena, sizeof(*e->part));
    set_coding(e, decoded);
    e->action = ACTION_MERGE;
    e->edits.utf8_type = !slice_ieq(e->content.charset, SLICE("utf-8"));
    e->part->coding = e->coding;
    e->part->html = content_is_html(&e->content);
    e->part->line_end = e->top;
    int err = template_parse(arena_keep(&c->letter->arena, decoded), &rules, &c->letter->names,
                             &c->letter->arena, &e->part->text, &fault);
    if (err != 0) {
        return compile_fault_line(c, err, decoded_line(c, e, fault.at), "%s", fault.what);
    }
    part_compile(e->part, &c->letter->arena);
    return 0;
}

static int plan_recode(struct compiler *c, struct entity *e, struct slice decoded)
{
    if (e->content.encoding == CONTENT_UNKNOWN) {
        return compile_fault(c, ERR_INVALID, e->content.encoding_field->whole.ptr,
                             "a part in an encoding not known here has 8-bit bytes or lines of "
                             "more than 998; encode it in base64");
    }
    if (content_is_text(&e->content) && has_high_bit(decoded) &&
        (e->content.charset.len == 0 || slice_ieq(e->content.charset, SLICE("us-ascii")))) {
        if (!utf8_valid(decoded)) {
            return compile_fault(c, ERR_INVALID, e->body.ptr,
                                 "8-bit text without a charset; name it in Content-Type");
        }
        e->edits.utf8_type = true;
    }
    set_coding(e, decoded);
    e->action = ACTION_RECODE;
    e->decoded = arena_keep(&c->letter->arena, decoded);
    return 0;
}

/* Some line would not pass as it is. */
static bool must_recode(const struct compiler *c, const struct entity *e)
{
    bool high = has_high_bit(e->body);

    if (lines_longest(e->body) > LINE_LEN_MAX || e->content.encoding == CONTENT_BINARY) {
        return true;
    }
    return high && (c->options.seven_bit || e->content.encoding != CONTENT_8BIT);
}

static int plan_leaf(struct compiler *c, struct entity *e)
{
    bool mergeable = content_is_text(&e->content) && !e->content.attachment && !c->options.literal;
    struct buf decoded = BUF_EMPTY;
    int err = 0;

    if (mergeable) {
        struct buf bytes = BUF_EMPTY;
        content_decode(&bytes, e->content.encoding, e->body);
        lines_normalise(&decoded, buf_slice(&bytes));
        buf_fini(&bytes);
        bool wanted = content_takes_utf8(&e->content) ? template_suspected(buf_slice(&decoded))
                                                      : template_certain(buf_slice(&decoded));
        mergeable = wanted && e->content.encoding != CONTENT_UNKNOWN;
    }
    if (mergeable) {
        err = plan_merge(c, e, buf_slice(&decoded));
    } else if (must_recode(c, e)) {
        buf_reset(&decoded);
        content_decode(&decoded, e->content.encoding, e->body);
        err = plan_recode(c, e, buf_slice(&decoded));
    }
    buf_fini(&decoded);
    return err;
}

/* Signed, encrypted, or a letter of its own: it passes as it is, or not at all. */
static int plan_opaque(struct compiler *c, struct entity *e)
{
    if (lines_longest(e->body) > LINE_LEN_MAX) {
        return compile_fault(c, ERR_INVALID, e->body.ptr,
                             "a " SLICE_FMT " part has a line of more than 998 bytes, and its "
                             "bytes must not be changed",
                             SLICE_ARG(e->content.media));
    }
    if (has_high_bit(e->body) && c->options.seven_bit) {
        return compile_fault(c, ERR_INVALID, e->body.ptr,
                             "a " SLICE_FMT " part has 8-bit bytes, and its bytes must not be "
                             "changed",
                             SLICE_ARG(e->content.media));
    }
    return 0;
}

static int plan_multipart(struct compiler *c, struct entity *e)
{
    enum content_encoding encoding = e->content.encoding;

    if (e->content.boundary.len == 0 || e->content.boundary.len > 200) {
        return compile_fault(c, ERR_INVALID, e->content.type_field->whole.ptr,
                             "a multipart without a usable boundary; name it in Content-Type");
    }
    if (encoding == CONTENT_QP || encoding == CONTENT_BASE64) { /* RFC 2045 6.4 */
        return compile_fault(c, ERR_INVALID, e->content.encoding_field->whole.ptr,
                             "a multipart must not be encoded; encode its parts");
    }
    if (encoding == CONTENT_BINARY || (encoding == CONTENT_8BIT && c->options.seven_bit)) {
        e->edits.encoding = c->options.seven_bit ? "7bit" : "8bit";
    }
    return 0;
}

/* ---- writing ---- */

/* Appends to the bytes gathered: for parts whose template turned out fixed. */
static void fixed_share(struct part_sink *sink, struct slice ready)
{
    buf_puts(sink->own, ready);
}

static int put_merged(struct compiler *c, struct entity *e)
{
    if (!template_is_fixed(&e->part->text)) {
        compile_step(c, (struct step){.kind = STEP_TEXT, .part = e->part});
        return 0;
    }
    struct slice none[LETTER_NAMES_MAX + SLOT_FIRST] = {{NULL, 0}};
    struct values values = {.value = none, .names = &c->letter->names};
    struct part_sink sink = {.own = &c->fixed, .share = fixed_share};
    struct buf scratch = BUF_EMPTY;
    int err = part_render(e->part, &values, &sink, &scratch, c->error);

    buf_fini(&scratch);
    return err;
}

static void put_recoded(struct compiler *c, struct entity *e)
{
    size_t column;

    if (e->coding == CODING_QP) {
        struct qp_flow flow = {.out = &c->fixed};
        qp_put(&flow, e->decoded);
        qp_finish(&flow);
        column = flow.column;
    } else {
        struct b64_flow flow = {.out = &c->fixed};
        b64_put(&flow, e->decoded);
        b64_finish(&flow);
        column = flow.column;
    }
    if (e->top && column > 0) {
        BUF_LIT(&c->fixed, "\r\n");
    }
}

static void put_kept(struct compiler *c, const struct entity *e)
{
    buf_puts(&c->fixed, e->body);
    if (e->top && e->body.len > 0 && e->body.ptr[e->body.len - 1] != '\n') {
        BUF_LIT(&c->fixed, "\r\n");
    }
}

/* ---- multiparts ---- */

/* The line is "--boundary" or, with *last set, "--boundary--", blanks behind it allowed. */
static bool is_delimiter(struct slice line, struct slice boundary, bool *last)
{
    struct slice bare = slice_trim(lines_bare(line));

    if (!slice_starts(line, SLICE("--")) || !slice_starts(slice_from(bare, 2), boundary)) {
        return false;
    }
    struct slice behind = slice_from(bare, 2 + boundary.len);
    *last = slice_eq(behind, SLICE("--"));
    return *last || behind.len == 0;
}

/* Finds the next delimiter line in *rest: what stands before it, and the line itself; *rest
 * goes behind it.  False when there is none. */
static bool delimiter_next(struct slice *rest, struct slice boundary, struct slice *before,
                           struct slice *delimiter, bool *last)
{
    struct slice start = *rest;
    struct slice scan = *rest;

    while (lines_next(&scan, delimiter)) {
        if (delimiter->ptr[0] == '-' && is_delimiter(*delimiter, boundary, last)) {
            *before = slice_of(start.ptr, (size_t)(delimiter->ptr - start.ptr));
            *rest = scan;
            return true;
        }
    }
    *before = start;
    return false;
}

/* What stands around the parts is read by nobody; it goes when it would not pass. */
static void put_around(struct compiler *c, struct slice text)
{
    if (!has_high_bit(text) && lines_longest(text) <= LINE_LEN_MAX) {
        buf_puts(&c->fixed, text);
    }
}

/* The CRLF before a delimiter belongs to the delimiter (RFC 2046 5.1.1). */
static int put_part(struct compiler *c, const struct entity *parent, struct slice text)
{
    bool digest = slice_ieq(parent->content.media, SLICE("multipart/digest"));
    struct entity e = {.text = lines_bare(text), .depth = parent->depth + 1};

    int err = entity_compile(c, &e, digest ? SLICE("message/rfc822") : SLICE("text/plain"));
    if (err == 0 && e.text.len < text.len) {
        BUF_LIT(&c->fixed, "\r\n");
    }
    return err;
}

static int put_multipart(struct compiler *c, struct entity *e)
{
    struct slice rest = e->body;
    struct slice before, delimiter;
    bool last = false;

    if (!delimiter_next(&rest, e->content.boundary, &before, &delimiter, &last) || last) {
        return compile_fault(c, ERR_INVALID, e->content.type_field->whole.ptr,
                             "the boundary \"" SLICE_FMT "\" begins no part below",
                             SLICE_ARG(e->content.boundary));
    }
    put_around(c, before);
    while (!last) {
        buf_puts(&c->fixed, delimiter);
        bool found = delimiter_next(&rest, e->content.boundary, &before, &delimiter, &last);
        int err = put_part(c, e, before);
        if (err != 0) {
            return err;
        }
        if (!found) { /* cut off: receivers would guess, so we close it */
            buf_printf(&c->fixed, "\r\n--" SLICE_FMT "--\r\n", SLICE_ARG(e->content.boundary));
            return 0;
        }
    }
    buf_puts(&c->fixed, delimiter);
    put_around(c, rest);
    if (e->top && c->fixed.ptr[c->fixed.len - 1] != '\n') {
        BUF_LIT(&c->fixed, "\r\n");
    }
    return 0;
}

/* ---- entities ---- */

static int entity_read(struct compiler *c, struct entity *e, struct slice fallback)
{
    struct header_fault fault;

    if (e->text.ptr == NULL) { /* nothing behind the last boundary: the place is the end */
        e->text = slice_of(c->source.ptr + c->source.len, 0);
    }
    if (++c->parts > COMPILE_PARTS_MAX || e->depth > COMPILE_DEPTH_MAX) {
        return compile_fault(c, ERR_LIMIT, e->text.ptr,
                             "more than %d parts, or parts nested more than %d deep",
                             COMPILE_PARTS_MAX, COMPILE_DEPTH_MAX);
    }
    int err = header_parse(e->text, &c->letter->arena, &e->header, &e->body, &fault);
    if (err != 0) {
        return compile_fault(c, err, fault.at.ptr, "%s", fault.what);
    }
    if (e->body.ptr == NULL) {
        e->body = slice_of(e->text.ptr + e->text.len, 0);
    }
    content_read(&e->header, fallback, &c->letter->arena, &e->content);
    return 0;
}

static int entity_plan(struct compiler *c, struct entity *e)
{
    if (content_is_opaque(&e->content)) {
        return plan_opaque(c, e);
    }
    return content_is_multipart(&e->content) ? plan_multipart(c, e) : plan_leaf(c, e);
}

static int entity_put_body(struct compiler *c, struct entity *e)
{
    if (e->action == ACTION_MERGE) {
        return put_merged(c, e);
    }
    if (e->action == ACTION_RECODE) {
        put_recoded(c, e);
        return 0;
    }
    if (content_is_multipart(&e->content) && !content_is_opaque(&e->content)) {
        return put_multipart(c, e);
    }
    put_kept(c, e);
    return 0;
}

static int entity_compile(struct compiler *c, struct entity *e, struct slice fallback)
{
    int err = entity_read(c, e, fallback);

    if (err == 0) {
        err = entity_plan(c, e);
    }
    if (err == 0) {
        err = compile_fields(c, &e->header, &e->content, &e->edits, e->top);
    }
    if (err != 0) {
        return err;
    }
    if (e->top || e->header.ended) {
        BUF_LIT(&c->fixed, "\r\n");
    }
    if (e->top) {
        compile_flush(c);
        c->letter->head_steps = c->steps.len / sizeof(struct step);
    }
    return entity_put_body(c, e);
}

int compile_letter(struct compiler *c)
{
    struct entity e = {.text = c->source, .top = true};
    int err = entity_compile(c, &e, SLICE("text/plain"));

    compile_flush(c);
    return err;
}
