/*
 * render.c - finishing a letter for one recipient.
 *
 * Runs the letter's steps and gathers pieces: shared bytes of the letter, and runs of the
 * copy's own buffer.  That buffer may move while it grows, so a run is noted by offset, and
 * the iovecs are made when all is known.  Small shared pieces are copied into the run they
 * stand next to: a hundred bytes cost less to copy than an iovec costs to send.
 */
#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/base/panic.h"
#include "engine/base/utf8.h"
#include "engine/message/program.h"

#include <string.h>

enum {
    COPY_MAX = 256,    /* up to here a shared piece is copied */
    PIECES_SOFT = 100, /* with so many pieces, everything that can be is copied */
};

struct piece {
    struct slice raw; /* NULL pointer: a run of the copy's own bytes */
    struct slice dotted;
    size_t own_at;
    size_t own_len;
};

struct render {
    struct part_sink sink; /* first: part_render() hands it back */
    struct letter_copy *copy;
    const struct letter *letter;
    const struct letter_values *given;
    struct values values;
    size_t run_at; /* where the open run of own bytes begins */
    struct span domain;
};

/* ---- pieces ---- */

static size_t piece_count(const struct render *r)
{
    return r->copy->pieces.len / sizeof(struct piece);
}

static void piece_add(struct render *r, struct piece piece)
{
    buf_put(&r->copy->pieces, &piece, sizeof(piece));
}

static void run_close(struct render *r)
{
    size_t len = r->copy->own.len - r->run_at;

    if (len > 0) {
        piece_add(r, (struct piece){.own_at = r->run_at, .own_len = len});
    }
    r->run_at = r->copy->own.len;
}

static void share_forms(struct render *r, struct slice raw, struct slice dotted)
{
    if (raw.ptr == dotted.ptr && (raw.len <= COPY_MAX || piece_count(r) >= PIECES_SOFT)) {
        buf_puts(&r->copy->own, raw);
        return;
    }
    run_close(r);
    piece_add(r, (struct piece){.raw = raw, .dotted = dotted});
}

static void share_ready(struct part_sink *sink, struct slice ready)
{
    share_forms((struct render *)(void *)sink, ready, ready);
}

/* ---- values ---- */

static struct slice given_find(const struct letter_value *list, size_t count, struct slice name)
{
    for (size_t i = count; i > 0; i--) { /* of two with one name the later counts */
        if (slice_eq(list[i - 1].name, name)) {
            struct slice value = list[i - 1].value;
            return value.ptr != NULL ? value : SLICE("");
        }
    }
    return SLICE_NONE;
}

/* Bytes that go into any place as they are: UTF-8 without control characters. */
static bool is_clean(struct slice value)
{
    bool high = false;

    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        high = high || c >= 0x80;
        if (c < ' ') {
            return false;
        }
    }
    return !high || utf8_valid(value);
}

/* Appends the value with CRLF line ends, and U+FFFD for NUL and for what is not UTF-8. */
static void put_clean(struct buf *out, struct slice value)
{
    while (value.len > 0) {
        size_t len = utf8_valid_prefix(value);
        char c = value.ptr[0];
        if (len == 0 || c == '\0') {
            BUF_LIT(out, "\xef\xbf\xbd");
            len = 1;
        } else if (c == '\r' || c == '\n') {
            BUF_LIT(out, "\r\n");
            len = slice_starts(value, SLICE("\r\n")) ? 2 : 1;
        } else {
            buf_put(out, value.ptr, len);
        }
        value = slice_from(value, len);
    }
}

static void values_clean(struct render *r, struct slice *slot, size_t count)
{
    struct buf *clean = &r->copy->clean;
    size_t dirty = 0;

    for (size_t i = 0; i < count; i++) {
        dirty += is_clean(slot[i]) ? 0 : slot[i].len;
    }
    if (dirty == 0) {
        return;
    }
    clean->len = 0;
    buf_reserve(clean, dirty * 3); /* the most that cleaning adds: it will not move */
    for (size_t i = 0; i < count; i++) {
        if (!is_clean(slot[i])) {
            size_t at = clean->len;
            put_clean(clean, slot[i]);
            slot[i] = slice_of(clean->ptr + at, clean->len - at);
        }
    }
}

static void values_fill(struct render *r, struct slice *slot)
{
    const struct letter_values *given = r->given;
    const struct names *names = &r->letter->names;

    slot[SLOT_TO] = given->to;
    slot[SLOT_ID] = given->id;
    slot[SLOT_CAMPAIGN] = given->campaign;
    for (size_t i = SLOT_FIRST; i < names->count; i++) {
        slot[i] = given_find(given->own, given->own_count, names->name[i].text);
        if (slot[i].ptr == NULL) {
            slot[i] = given_find(given->item, given->item_count, names->name[i].text);
        }
    }
    values_clean(r, slot, names->count);
    r->values = (struct values){.value = slot, .names = names, .strict = r->letter->strict};
}

/* ---- steps ---- */

/* Jobs that came together have the same second, so the last date is kept. */
static void put_date(struct render *r)
{
    struct letter_copy *copy = r->copy;
    int64_t second = r->given->date_us / 1000000;

    if (copy->date_len == 0 || copy->date_second != second) {
        copy->date_len = clock_format_rfc5322(copy->date, second * 1000000);
        copy->date_second = second;
    }
    BUF_LIT(&copy->own, "Date: ");
    buf_put(&copy->own, copy->date, copy->date_len);
    BUF_LIT(&copy->own, "\r\n");
}

static bool is_id_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
}

/* One side of a Message-ID (RFC 5322 3.6.4: dot-atom-text); what does not fit becomes "-". */
static void put_id(struct buf *out, struct slice text)
{
    enum { SIDE_MAX = 255 };
    char last = '.';

    text.len = text.len < SIDE_MAX ? text.len : SIDE_MAX;
    for (size_t i = 0; i < text.len; i++) {
        char c = is_id_char(text.ptr[i]) ? text.ptr[i] : '-';
        bool bad_dot = c == '.' && (last == '.' || i + 1 == text.len);
        last = bad_dot ? '-' : c;
        buf_putc(out, last);
    }
    if (text.len == 0) {
        buf_putc(out, '-');
    }
}

static struct slice copy_domain(const struct render *r)
{
    if (!r->letter->own_from) {
        return r->letter->from_domain;
    }
    return slice_of(slice_from(buf_slice(&r->copy->own), r->domain.at).ptr, r->domain.len);
}

static void put_message_id(struct render *r)
{
    struct buf *own = &r->copy->own;
    struct slice domain = r->given->id_domain;

    BUF_LIT(own, "Message-ID: <");
    put_id(own, r->given->id);
    buf_putc(own, '@');
    buf_reserve(own, 1024); /* so that a domain that stands in the buffer stays where it is */
    put_id(own, domain.len > 0 ? domain : copy_domain(r));
    BUF_LIT(own, ">\r\n");
}

static int step_run(struct render *r, const struct step *step, struct buf *error)
{
    struct letter_copy *copy = r->copy;

    switch (step->kind) {
    case STEP_FIXED:
        share_forms(r, step->raw, step->dotted);
        return 0;
    case STEP_FIELD:
        return field_render(step->field, &r->values, &copy->own, &copy->scratch, &r->domain, error);
    case STEP_DATE:
        put_date(r);
        return 0;
    case STEP_MESSAGE_ID:
        put_message_id(r);
        return 0;
    case STEP_TEXT:
        return part_render(step->part, &r->values, &r->sink, &copy->scratch, error);
    }
    PANIC("step %d", (int)step->kind);
}

/* ---- the copy ---- */

static void form_add(struct letter_form *form, const char *ptr, size_t len, bool head)
{
    form->iov[form->count++] = (struct iovec){(void *)(uintptr_t)ptr, len};
    form->len += len;
    form->head_count += head ? 1 : 0;
    form->head_len += head ? len : 0;
}

static void forms_build(struct render *r, size_t head_pieces)
{
    struct letter_copy *copy = r->copy;
    const struct piece *piece = (const struct piece *)(void *)copy->pieces.ptr;
    size_t count = piece_count(r);
    size_t room = LETTER_PREPEND_MAX + count + 1;

    copy->iovs.len = 0;
    buf_reserve(&copy->iovs, 2 * room * sizeof(struct iovec));
    struct iovec *iov = (struct iovec *)(void *)copy->iovs.ptr;
    copy->raw = (struct letter_form){.iov = iov + LETTER_PREPEND_MAX};
    copy->dotted = (struct letter_form){.iov = iov + room + LETTER_PREPEND_MAX};
    copy->prepend_left = LETTER_PREPEND_MAX;
    for (size_t i = 0; i < count; i++) {
        struct slice raw = piece[i].raw;
        struct slice dotted = piece[i].dotted;
        if (raw.ptr == NULL) {
            raw = dotted = slice_of(copy->own.ptr + piece[i].own_at, piece[i].own_len);
        }
        form_add(&copy->raw, raw.ptr, raw.len, i < head_pieces);
        form_add(&copy->dotted, dotted.ptr, dotted.len, i < head_pieces);
    }
    form_add(&copy->dotted, ".\r\n", 3, false); /* the letter ends with CRLF */
    ASSERT(copy->dotted.count <= LETTER_IOV_MAX - LETTER_PREPEND_MAX);
}

int letter_render(struct letter *letter, const struct letter_values *values,
                  struct letter_copy *copy, struct buf *error)
{
    struct slice slot[LETTER_NAMES_MAX + SLOT_FIRST];
    struct render r = {
        .sink = {&copy->own, share_ready}, .copy = copy, .letter = letter, .given = values};
    size_t head_pieces = 0;

    letter_ref(letter); /* first: the copy may hold the last reference to this very letter */
    letter_copy_reset(copy);
    copy->letter = letter;
    if (letter->personal) {
        values_fill(&r, slot);
    }
    for (size_t i = 0; i < letter->step_count; i++) {
        if (i == letter->head_steps) {
            run_close(&r);
            head_pieces = piece_count(&r);
        }
        int err = step_run(&r, &letter->step[i], error);
        if (err != 0) {
            letter_copy_reset(copy);
            return err;
        }
    }
    run_close(&r);
    head_pieces = letter->step_count > letter->head_steps ? head_pieces : piece_count(&r);
    forms_build(&r, head_pieces);
    copy->from_domain = copy_domain(&r);
    return 0;
}

void letter_copy_init(struct letter_copy *copy)
{
    memset(copy, 0, sizeof(*copy));
}

void letter_copy_reset(struct letter_copy *copy)
{
    letter_unref(copy->letter);
    copy->letter = NULL;
    copy->raw = (struct letter_form){.count = 0};
    copy->dotted = (struct letter_form){.count = 0};
    copy->from_domain = SLICE_NONE;
    copy->own.len = 0;
    copy->pieces.len = 0;
}

void letter_copy_fini(struct letter_copy *copy)
{
    letter_copy_reset(copy);
    buf_fini(&copy->own);
    buf_fini(&copy->scratch);
    buf_fini(&copy->clean);
    buf_fini(&copy->pieces);
    buf_fini(&copy->iovs);
}

static void form_prepend(struct letter_form *form, struct slice fields)
{
    form->iov--;
    form->iov[0] = (struct iovec){(void *)(uintptr_t)fields.ptr, fields.len};
    form->count++;
    form->head_count++;
    form->len += fields.len;
    form->head_len += fields.len;
}

void letter_copy_prepend(struct letter_copy *copy, struct slice fields)
{
    ASSERT(copy->letter != NULL && copy->prepend_left > 0);
    copy->prepend_left--;
    form_prepend(&copy->raw, fields);
    form_prepend(&copy->dotted, fields);
}
