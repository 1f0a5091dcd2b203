/*
 * compile.c - from the bytes of a letter to its steps: the frame.
 */
#include "engine/message/compile.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/utf8.h"
#include "engine/message/lines.h"

#include <string.h>

size_t compile_line(const struct compiler *c, const char *at)
{
    return lines_count(slice_of(c->source.ptr, (size_t)(at - c->source.ptr))) + 1;
}

static int fault_va(const struct compiler *c, int err, size_t line, const char *fmt, va_list args)
{
    if (c->error != NULL) {
        buf_printf(c->error, "line %zu: ", line);
        buf_vprintf(c->error, fmt, args);
    }
    return err;
}

int compile_fault_line(const struct compiler *c, int err, size_t line, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    err = fault_va(c, err, line, fmt, args);
    va_end(args);
    return err;
}

int compile_fault(const struct compiler *c, int err, const char *at, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    err = fault_va(c, err, compile_line(c, at), fmt, args);
    va_end(args);
    return err;
}

void compile_flush(struct compiler *c)
{
    struct slice fixed = buf_slice(&c->fixed);

    if (fixed.len == 0) {
        return;
    }
    /* Every fixed run begins a line, or with CRLF: see program.h. */
    struct step step = {.kind = STEP_FIXED, .raw = arena_keep(&c->letter->arena, fixed)};
    step.dotted = step.raw;
    if (lines_have_dot(fixed, true)) {
        struct buf dotted = BUF_EMPTY;
        lines_stuff(&dotted, fixed, true);
        step.dotted = arena_keep(&c->letter->arena, buf_slice(&dotted));
        buf_fini(&dotted);
    }
    c->letter->needs_8bit = c->letter->needs_8bit || !utf8_is_ascii(fixed);
    buf_put(&c->steps, &step, sizeof(step));
    buf_reset(&c->fixed);
}

void compile_step(struct compiler *c, struct step step)
{
    compile_flush(c);
    buf_put(&c->steps, &step, sizeof(step));
    c->letter->personal = true;
}

static int check_size(struct slice bytes, size_t max, struct buf *error)
{
    if (bytes.len > max) {
        if (error != NULL) {
            buf_printf(error, "line 1: the letter has %zu bytes; at most %zu are taken", bytes.len,
                       max);
        }
        return ERR_LIMIT;
    }
    return 0;
}

static int check_bytes(struct compiler *c)
{
    size_t nul = slice_find(c->source, '\0');

    if (c->source.len == 0) {
        return compile_fault_line(c, ERR_INVALID, 1, "the letter is empty");
    }
    if (nul < c->source.len) {
        return compile_fault(c, ERR_INVALID, c->source.ptr + nul,
                             "a NUL byte; encode binary content in base64");
    }
    return 0;
}

static void letter_free(struct letter *letter)
{
    arena_fini(&letter->arena);
    mem_free(letter);
}

static struct letter *letter_new(void)
{
    struct letter *letter = mem_zalloc(sizeof(*letter));

    letter->refs = 1;
    arena_init(&letter->arena);
    names_init(&letter->names, &letter->arena);
    return letter;
}

/* Moves the steps into the letter. */
static void letter_finish(struct compiler *c)
{
    struct letter *letter = c->letter;

    letter->step_count = c->steps.len / sizeof(struct step);
    letter->step = arena_take(&letter->arena, c->steps.len);
    memcpy(letter->step, c->steps.ptr, c->steps.len);
    letter->body_fixed = true;
    for (size_t i = letter->head_steps; i < letter->step_count; i++) {
        letter->body_fixed = letter->body_fixed && letter->step[i].kind == STEP_FIXED;
    }
}

int letter_compile(struct slice bytes, const struct letter_options *options, struct letter **out,
                   struct buf *error)
{
    struct compiler c = {.error = error};
    struct buf source = BUF_EMPTY;

    *out = NULL;
    if (options != NULL) {
        c.options = *options;
    }
    int err =
        check_size(bytes, c.options.bytes_max > 0 ? c.options.bytes_max : LETTER_BYTES_MAX, error);
    if (err != 0) {
        return err;
    }
    bool bom = slice_starts(bytes, SLICE("\xef\xbb\xbf"));
    lines_normalise(&source, slice_from(bytes, bom ? 3 : 0));
    c.source = buf_slice(&source);
    c.letter = letter_new();
    c.letter->strict = c.options.strict;
    err = check_bytes(&c);
    if (err == 0) {
        err = compile_letter(&c);
    }
    if (err == 0) {
        letter_finish(&c);
        *out = c.letter;
    } else {
        letter_free(c.letter);
    }
    buf_fini(&source);
    buf_fini(&c.fixed);
    buf_fini(&c.steps);
    return err;
}

/* ---- the letter's own questions ---- */

struct letter *letter_ref(struct letter *letter)
{
    letter->refs++;
    return letter;
}

void letter_unref(struct letter *letter)
{
    if (letter != NULL && --letter->refs == 0) {
        letter_free(letter);
    }
}

bool letter_is_personal(const struct letter *letter)
{
    return letter->personal;
}

bool letter_body_is_fixed(const struct letter *letter)
{
    return letter->body_fixed;
}

bool letter_needs_8bit(const struct letter *letter)
{
    return letter->needs_8bit;
}

struct slice letter_from(const struct letter *letter)
{
    return letter->from;
}

struct slice letter_from_domain(const struct letter *letter)
{
    return letter->from_domain;
}

size_t letter_name_count(const struct letter *letter)
{
    return letter->names.count - SLOT_FIRST;
}

struct slice letter_name(const struct letter *letter, size_t i)
{
    ASSERT(i < letter_name_count(letter));
    return letter->names.name[SLOT_FIRST + i].text;
}

bool letter_name_is_required(const struct letter *letter, size_t i)
{
    ASSERT(i < letter_name_count(letter));
    return letter->names.name[SLOT_FIRST + i].required;
}

size_t letter_memory(const struct letter *letter)
{
    return sizeof(*letter) + letter->arena.bytes;
}
