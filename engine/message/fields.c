/*
 * fields.c - the header block: what stays, what goes, what is written anew.
 */
#include "engine/base/err.h"
#include "engine/base/utf8.h"
#include "engine/message/address.h"
#include "engine/message/compile.h"
#include "engine/message/words.h"

#include <string.h>

/* ---- one field ---- */

/* The letter is being compiled: no values. */
static int render_fixed(struct compiler *c, const struct field *field)
{
    struct slice none[LETTER_NAMES_MAX + SLOT_FIRST] = {{NULL, 0}};
    struct values values = {.value = none, .names = &c->letter->names};
    struct buf scratch = BUF_EMPTY;
    struct buf why = BUF_EMPTY;
    struct span domain = {0, 0};
    int err = field_render(field, &values, &c->fixed, &scratch, &domain, &why);

    if (err != 0) {
        err = compile_fault_line(c, err, field->line, SLICE_FMT, SLICE_ARG(buf_slice(&why)));
    }
    buf_fini(&scratch);
    buf_fini(&why);
    return err;
}

static bool is_mime_field(struct slice name)
{
    return slice_istarts(name, SLICE("Content-")) || slice_ieq(name, SLICE("MIME-Version"));
}

static int mime_not_ascii(struct compiler *c, const struct header_field *field)
{
    return compile_fault(c, ERR_INVALID, field->whole.ptr,
                         SLICE_FMT ": the field may hold ASCII only; write a file name beyond it "
                                   "as filename*=utf-8''... (RFC 2231)",
                         SLICE_ARG(field->name));
}

/* Programs read these fields, so no placeholder and no encoded word may stand in them. */
static int mime_field(struct compiler *c, const struct header_field *field, bool tags)
{
    if (tags && template_certain(field->value)) {
        return compile_fault(c, ERR_INVALID, field->whole.ptr,
                             SLICE_FMT ": placeholders cannot stand in this field",
                             SLICE_ARG(field->name));
    }
    if (!utf8_is_ascii(field->value)) {
        return mime_not_ascii(c, field);
    }
    if (field->plain) {
        buf_puts(&c->fixed, field->whole);
        return 0;
    }
    struct buf value = BUF_EMPTY;
    struct words w;

    header_unfold(&value, field->value);
    words_begin(&w, &c->fixed, field->name);
    int err = words_put_plain(&w, buf_slice(&value));
    words_end(&w);
    buf_fini(&value);
    if (err != 0) {
        err = compile_fault(c, err, field->whole.ptr, SLICE_FMT ": a word is too long for a line",
                            SLICE_ARG(field->name));
    }
    return err;
}

/* The address in From decides the domain of a Message-ID, and later who signs. */
static int note_from(struct compiler *c, const struct field *field)
{
    struct address address;
    const char *why = NULL;

    if (field->box_count == 0) {
        return compile_fault_line(c, ERR_INVALID, field->line, "From: it is empty");
    }
    c->letter->own_from = true;
    if (!template_is_fixed(&field->box[0].addr)) {
        return 0;
    }
    struct slice text = field->box[0].addr.node[0].text; /* parsed already, so not empty */
    if (address_parse(text, &address, &why) == 0) {
        c->letter->own_from = false;
        c->letter->from = text;
        c->letter->from_domain = address.domain;
    }
    return 0;
}

static bool field_has_tags(const struct compiler *c, const struct header_field *field)
{
    struct buf decoded = BUF_EMPTY;
    bool tags = false;

    if (!c->options.literal) {
        struct buf value = BUF_EMPTY;
        header_unfold(&value, field->value);
        words_decode(&decoded, buf_slice(&value));
        tags = template_suspected(buf_slice(&decoded));
        buf_fini(&value);
        buf_fini(&decoded);
    }
    return tags;
}

static int written_field(struct compiler *c, const struct header_field *source, bool keep)
{
    const struct template_rules rules = {.literal = c->options.literal};
    struct template_fault fault = {0, ""};
    struct field *field = arena_take(&c->letter->arena, sizeof(*field));
    struct buf value = BUF_EMPTY;

    field->line = compile_line(c, source->whole.ptr);
    header_unfold(&value, source->value);
    int err = field_compile(source->name, buf_slice(&value), &rules, c->letter, field, &fault);
    buf_fini(&value);
    if (err != 0) {
        return compile_fault_line(c, err, field->line, SLICE_FMT ": %s", SLICE_ARG(source->name),
                                  fault.what);
    }
    if (field->is_from && (err = note_from(c, field)) != 0) {
        return err;
    }
    if (!field_is_fixed(field)) {
        compile_step(c, (struct step){.kind = STEP_FIELD, .field = field});
        return 0;
    }
    if (keep) {
        buf_puts(&c->fixed, source->whole);
        return 0;
    }
    return render_fixed(c, field);
}

static int put_field(struct compiler *c, const struct header_field *field, bool top)
{
    bool tags = field_has_tags(c, field);
    bool from = top && slice_ieq(field->name, SLICE("From"));

    if (is_mime_field(field->name)) {
        return mime_field(c, field, tags);
    }
    if (!field->plain || tags || from) {
        return written_field(c, field, field->plain && !tags);
    }
    buf_puts(&c->fixed, field->whole);
    return 0;
}

/* ---- the block ---- */

static bool is_dropped(struct slice name)
{
    /* Bcc is for us (RFC 5322 3.6.3), Return-Path for the last server (RFC 5321 4.4) */
    return slice_ieq(name, SLICE("Bcc")) || slice_ieq(name, SLICE("Resent-Bcc")) ||
           slice_ieq(name, SLICE("Return-Path"));
}

/* RFC 5322 3.6: at most once.  Receivers reject letters with two, and differ on which counts. */
static int check_once(const struct compiler *c, const struct header *header)
{
    static const char *const once[] = {"From",
                                       "Sender",
                                       "Reply-To",
                                       "To",
                                       "Cc",
                                       "Subject",
                                       "Date",
                                       "Message-ID",
                                       "In-Reply-To",
                                       "References",
                                       "MIME-Version",
                                       "Content-Type",
                                       "Content-Transfer-Encoding"};

    for (size_t i = 0; i < sizeof(once) / sizeof(once[0]); i++) {
        const struct header_field *first = header_find(header, slice_cstr(once[i]));
        for (size_t k = 0; first != NULL && k < header->count; k++) {
            const struct header_field *other = &header->field[k];
            if (other != first && slice_ieq(other->name, first->name)) {
                return compile_fault(c, ERR_INVALID, other->whole.ptr,
                                     "a second %s; the letter may have one", once[i]);
            }
        }
    }
    return 0;
}

static bool is_edited(const struct field_edits *edits, struct slice name)
{
    return (edits->encoding != NULL && slice_ieq(name, SLICE("Content-Transfer-Encoding"))) ||
           (edits->utf8_type && slice_ieq(name, SLICE("Content-Type")));
}

static int put_edits(struct compiler *c, const struct content *content,
                     const struct field_edits *edits)
{
    int err = 0;

    if (edits->utf8_type && !utf8_is_ascii(content->type)) {
        return mime_not_ascii(c, content->type_field);
    }
    if (edits->utf8_type) {
        struct buf type = BUF_EMPTY;
        struct words w;
        content_put_utf8_type(&type, content);
        words_begin(&w, &c->fixed, SLICE("Content-Type"));
        err = words_put_plain(&w, buf_slice(&type));
        words_end(&w);
        buf_fini(&type);
    }
    if (edits->encoding != NULL) {
        buf_printf(&c->fixed, "Content-Transfer-Encoding: %s\r\n", edits->encoding);
    }
    return err == 0 ? 0
                    : compile_fault(c, err, content->type_field->whole.ptr,
                                    "Content-Type: a word is too long for a line");
}

/* Fields that a letter must have and this one lacks. */
static void put_missing(struct compiler *c, const struct header *header,
                        const struct field_edits *edits)
{
    bool mime = edits->encoding != NULL || edits->utf8_type;

    for (size_t i = 0; i < header->count; i++) {
        mime = mime || slice_istarts(header->field[i].name, SLICE("Content-"));
    }
    if (mime && header_find(header, SLICE("MIME-Version")) == NULL) {
        BUF_LIT(&c->fixed, "MIME-Version: 1.0\r\n");
    }
    if (header_find(header, SLICE("Date")) == NULL) {
        compile_step(c, (struct step){.kind = STEP_DATE});
    }
    if (header_find(header, SLICE("Message-ID")) == NULL) {
        compile_step(c, (struct step){.kind = STEP_MESSAGE_ID});
    }
}

int compile_fields(struct compiler *c, const struct header *header, const struct content *content,
                   const struct field_edits *edits, bool top)
{
    int err = top ? check_once(c, header) : 0;

    if (err == 0 && top && header_find(header, SLICE("From")) == NULL) {
        err = compile_fault_line(c, ERR_INVALID, 1, "the letter has no From field");
    }
    for (size_t i = 0; err == 0 && i < header->count; i++) {
        const struct header_field *field = &header->field[i];
        if (!(top && is_dropped(field->name)) && !is_edited(edits, field->name)) {
            err = put_field(c, field, top);
        }
    }
    if (err == 0) {
        err = put_edits(c, content, edits);
    }
    if (err == 0 && top) {
        put_missing(c, header, edits);
    }
    return err;
}
