/*
 * field.c - header fields that are written anew.
 *
 * The fields with placeholders, and those whose bytes cannot stay as they are (8-bit, too
 * long).  Three ways of writing: unstructured text, lists of mailboxes, and tokens, where an
 * encoded word would not be understood.
 */
#include "engine/base/err.h"
#include "engine/base/utf8.h"
#include "engine/message/address.h"
#include "engine/message/program.h"
#include "engine/message/words.h"

#include <string.h>

enum { FIELD_BYTES_MAX = 64 * 1024 };

static bool name_is_one_of(struct slice name, const char *const *list)
{
    for (; *list != NULL; list++) {
        if (slice_ieq(name, slice_cstr(*list))) {
            return true;
        }
    }
    return false;
}

static enum field_kind kind_of(struct slice name)
{
    static const char *const boxes[] = {"From",
                                        "Sender",
                                        "Reply-To",
                                        "To",
                                        "Cc",
                                        "Resent-From",
                                        "Resent-Sender",
                                        "Resent-To",
                                        "Resent-Cc",
                                        "Errors-To",
                                        "Disposition-Notification-To",
                                        NULL};
    static const char *const tokens[] = {"Message-ID",
                                         "In-Reply-To",
                                         "References",
                                         "Resent-Message-ID",
                                         "List-Unsubscribe",
                                         "List-Help",
                                         "List-Subscribe",
                                         "List-Post",
                                         "List-Owner",
                                         "List-Archive",
                                         "Archived-At",
                                         "List-Unsubscribe-Post",
                                         NULL};

    if (name_is_one_of(name, boxes)) {
        return FIELD_BOXES;
    }
    return name_is_one_of(name, tokens) ? FIELD_TOKENS : FIELD_TEXT;
}

/* ---- compiling ---- */

static int faulty(struct template_fault *fault, int err, const char *what)
{
    size_t len = strlen(what);

    len = len < sizeof(fault->what) - 1 ? len : sizeof(fault->what) - 1;
    memcpy(fault->what, what, len);
    fault->what[len] = '\0';
    fault->at = 0;
    return err;
}

/* Decodes encoded words and parses what was meant. */
static int text_compile(struct slice text, const struct template_rules *rules,
                        struct letter *letter, struct template *out, struct template_fault *fault)
{
    struct buf decoded = BUF_EMPTY;
    int err = 0;

    words_decode(&decoded, slice_trim(text));
    if (!utf8_valid(buf_slice(&decoded))) {
        err = faulty(fault, ERR_INVALID, "the field is not UTF-8");
    } else {
        struct slice kept = arena_keep(&letter->arena, buf_slice(&decoded));
        err = template_parse(kept, rules, &letter->names, &letter->arena, out, fault);
    }
    buf_fini(&decoded);
    return err;
}

static int address_compile(struct slice addr, const struct template_rules *rules,
                           struct letter *letter, struct template *out,
                           struct template_fault *fault)
{
    struct address parsed;
    const char *why = NULL;
    struct slice kept = arena_keep(&letter->arena, addr);
    int err = template_parse(kept, rules, &letter->names, &letter->arena, out, fault);

    if (err == 0 && template_is_fixed(out) && address_parse(addr, &parsed, &why) != 0) {
        char text[180];
        struct buf b = BUF_EMPTY;
        buf_printf(&b, "\"" SLICE_FMT "\" is not an address: %s",
                   (int)(addr.len < 60 ? addr.len : 60), addr.ptr != NULL ? addr.ptr : "", why);
        size_t len = b.len < sizeof(text) - 1 ? b.len : sizeof(text) - 1;
        memcpy(text, b.ptr, len);
        text[len] = '\0';
        buf_fini(&b);
        err = faulty(fault, ERR_INVALID, text);
    }
    return err;
}

static int box_compile(struct slice text, const struct template_rules *rules, struct letter *letter,
                       struct mailbox *out, struct template_fault *fault)
{
    struct buf name = BUF_EMPTY;
    struct slice addr = SLICE_NONE;
    const char *why = NULL;
    int err = address_split(text, &name, &addr, &why);

    if (err != 0) {
        err = faulty(fault, err, why);
    }
    if (err == 0) {
        err = text_compile(buf_slice(&name), rules, letter, &out->name, fault);
    }
    if (err == 0) {
        err = address_compile(addr, rules, letter, &out->addr, fault);
    }
    buf_fini(&name);
    return err;
}

static int boxes_compile(struct slice text, const struct template_rules *rules,
                         struct letter *letter, struct field *out, struct template_fault *fault)
{
    struct slice rest = text;
    struct slice item;
    size_t count = 0;

    while (address_next(&rest, &item)) {
        count++;
    }
    out->box = arena_take(&letter->arena, count * sizeof(*out->box));
    while (address_next(&text, &item)) {
        int err = box_compile(item, rules, letter, &out->box[out->box_count++], fault);
        if (err != 0) {
            return err;
        }
    }
    return 0;
}

int field_compile(struct slice name, struct slice text, const struct template_rules *rules,
                  struct letter *letter, struct field *out, struct template_fault *fault)
{
    out->name = arena_keep(&letter->arena, name);
    out->kind = kind_of(name);
    out->is_from = slice_ieq(name, SLICE("From"));
    if (!utf8_valid(text)) {
        return faulty(fault, ERR_INVALID, "the field is not UTF-8; encode it (RFC 2047)");
    }
    if (out->kind == FIELD_BOXES) {
        return boxes_compile(text, rules, letter, out, fault);
    }
    if (out->kind == FIELD_TOKENS) {
        if (!utf8_is_ascii(text)) {
            return faulty(fault, ERR_INVALID, "the field may hold ASCII only");
        }
        struct slice kept = arena_keep(&letter->arena, slice_trim(text));
        return template_parse(kept, rules, &letter->names, &letter->arena, &out->text, fault);
    }
    return text_compile(text, rules, letter, &out->text, fault);
}

bool field_is_fixed(const struct field *field)
{
    for (size_t i = 0; i < field->box_count; i++) {
        if (!template_is_fixed(&field->box[i].name) || !template_is_fixed(&field->box[i].addr)) {
            return false;
        }
    }
    return template_is_fixed(&field->text);
}

/* ---- writing ---- */

/* Keeps what a URI may hold (RFC 3986 2) except what means something in a list of URIs. */
static void put_percent(struct buf *out, struct slice value)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (alnum || (c != '\0' && strchr("-._~:/?#@!$&*+;=%", c) != NULL)) {
            buf_putc(out, (char)c);
        } else {
            char escaped[3] = {'%', hex[c >> 4], hex[c & 15]};
            buf_put(out, escaped, sizeof(escaped));
        }
    }
}

static int evaluate(const struct template *t, const struct values *values, bool percent,
                    struct buf *out, struct buf *error)
{
    for (size_t i = 0; i < t->count; i++) {
        const struct node *node = &t->node[i];
        struct slice value;

        if (node->kind == NODE_TEXT) {
            buf_puts(out, node->text);
        } else if (node->kind == NODE_VALUE) {
            int err = values_get(values, node, &value, error);
            if (err != 0) {
                return err;
            }
            if (percent) {
                put_percent(out, value);
            } else {
                buf_puts(out, value);
            }
        } else if (!values_show(values, node)) {
            i += node->inside;
        }
        if (out->len > FIELD_BYTES_MAX) {
            if (error != NULL) {
                BUF_LIT(error, "a header field becomes longer than 64 KB");
            }
            return ERR_LIMIT;
        }
    }
    return 0;
}

static int address_bad(const struct field *field, struct slice addr, const char *why,
                       struct buf *error)
{
    if (error != NULL) {
        buf_printf(error, SLICE_FMT ": \"" SLICE_FMT "\" is not an address: %s",
                   SLICE_ARG(field->name), (int)(addr.len < 100 ? addr.len : 100),
                   addr.ptr != NULL ? addr.ptr : "", why);
    }
    return ERR_INVALID;
}

/* Writes one mailbox; *written tells whether there was an address. */
static int box_render(const struct field *field, const struct mailbox *box,
                      const struct values *values, struct words *w, struct buf *scratch,
                      bool *written, struct span *domain, struct buf *error)
{
    struct address parsed;
    const char *why = NULL;

    scratch->len = 0;
    int err = evaluate(&box->addr, values, false, scratch, error);
    size_t addr_len = scratch->len;
    if (err == 0) {
        err = evaluate(&box->name, values, false, scratch, error);
    }
    struct slice addr = slice_trim(slice_of(scratch->ptr, addr_len));
    struct slice name = slice_trim(slice_from(buf_slice(scratch), addr_len));
    *written = false;
    if (err != 0 || addr.len == 0) {
        return err;
    }
    if (address_parse(addr, &parsed, &why) != 0) {
        return address_bad(field, addr, why, error);
    }
    if (!w->fresh) {
        buf_putc(w->out, ',');
        w->column++;
    }
    words_blank(w);
    words_put_phrase(w, name);
    words_blank(w);
    words_put_address(w, addr, name.len > 0);
    if (field->is_from && domain->len == 0) {
        size_t behind = name.len > 0 ? 1 : 0;
        *domain = (struct span){w->out->len - behind - parsed.domain.len, parsed.domain.len};
    }
    *written = true;
    return 0;
}

static int boxes_render(const struct field *field, const struct values *values, struct words *w,
                        struct buf *scratch, struct span *domain, struct buf *error)
{
    size_t count = 0;

    for (size_t i = 0; i < field->box_count; i++) {
        bool written = false;
        int err = box_render(field, &field->box[i], values, w, scratch, &written, domain, error);
        if (err != 0) {
            return err;
        }
        count += written ? 1 : 0;
    }
    if (count == 0 && field->is_from) {
        return address_bad(field, SLICE_NONE, "it is empty", error);
    }
    return count > 0 ? 0 : ERR_NOTFOUND;
}

int field_render(const struct field *field, const struct values *values, struct buf *out,
                 struct buf *scratch, struct span *domain, struct buf *error)
{
    struct words w;
    size_t start = out->len;
    int err = 0;

    words_begin(&w, out, field->name);
    if (field->kind == FIELD_BOXES) {
        err = boxes_render(field, values, &w, scratch, domain, error);
        if (err == ERR_NOTFOUND) {
            out->len = start;
            return 0;
        }
    } else {
        scratch->len = 0;
        err = evaluate(&field->text, values, field->kind == FIELD_TOKENS, scratch, error);
    }
    if (err == 0 && field->kind == FIELD_TEXT) {
        words_put_text(&w, buf_slice(scratch));
    } else if (err == 0 && field->kind == FIELD_TOKENS) {
        err = words_put_plain(&w, buf_slice(scratch));
        if (err != 0 && error != NULL) {
            buf_printf(error, SLICE_FMT ": a word of it is too long for a line",
                       SLICE_ARG(field->name));
        }
    }
    words_end(&w);
    return err;
}
