/*
 * template.c - text with {{placeholders}}, parsed.
 */
#include "engine/message/template.h"
#include "engine/base/buf.h"
#include "engine/base/err.h"
#include "engine/base/utf8.h"
#include "engine/message/letter.h"

#include <stdio.h>
#include <string.h>

enum { TAG_LEN_MAX = 1000, NEAR = LETTER_NAME_LEN_MAX + 32 };

/* One tag as written: text[start..end), with `inner` between the braces. */
struct tag {
    size_t start;
    size_t end;
    struct slice inner;
    bool triple;
};

struct parser {
    struct slice text;
    const struct template_rules *rules;
    struct names *names;
    struct arena *arena;
    struct buf nodes;                   /* struct node */
    size_t open[TEMPLATE_DEPTH_MAX];    /* indexes of the sections we are in */
    size_t open_at[TEMPLATE_DEPTH_MAX]; /* where they begin in the text */
    size_t depth;
    struct template_fault *fault;
};

void names_init(struct names *names, struct arena *arena)
{
    names->name = arena_take(arena, (LETTER_NAMES_MAX + SLOT_FIRST) * sizeof(*names->name));
    names->name[SLOT_TO].text = SLICE("to");
    names->name[SLOT_ID].text = SLICE("id");
    names->name[SLOT_CAMPAIGN].text = SLICE("campaign");
    names->count = SLOT_FIRST;
    names->tags = 0;
}

static int fault_at(struct parser *p, int err, size_t at, const char *fmt, ...) PRINTF_LIKE(4, 5);

static int fault_at(struct parser *p, int err, size_t at, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(p->fault->what, sizeof(p->fault->what), fmt, args);
    va_end(args);
    p->fault->at = at;
    return err;
}

/* ---- nodes ---- */

static struct node *node_at(struct parser *p, size_t i)
{
    return (struct node *)(void *)p->nodes.ptr + i;
}

static size_t node_count(const struct parser *p)
{
    return p->nodes.len / sizeof(struct node);
}

static void node_add(struct parser *p, struct node node)
{
    buf_put(&p->nodes, &node, sizeof(node));
}

static void text_add(struct parser *p, size_t from, size_t to)
{
    if (to > from) {
        struct slice text = slice_of(p->text.ptr + from, to - from);
        node_add(p, (struct node){.kind = NODE_TEXT, .text = text});
    }
}

/* ---- names ---- */

static bool name_is_valid(struct slice name)
{
    if (name.len == 0 || name.len > LETTER_NAME_LEN_MAX || !utf8_valid(name)) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        if (c < ' ' || c == 0x7f || strchr("{}|<>\"", c) != NULL) {
            return false;
        }
    }
    return strchr("#^/!&>=", name.ptr[0]) == NULL;
}

static int name_slot(struct parser *p, struct slice name, const struct tag *tag, uint16_t *slot)
{
    if (slice_eq(name, SLICE(".")) && p->depth > 0) {
        *slot = node_at(p, p->open[p->depth - 1])->slot;
        return 0;
    }
    if (!name_is_valid(name) || slice_eq(name, SLICE("."))) {
        return fault_at(p, ERR_INVALID, tag->start,
                        "\"{{" SLICE_FMT "}}\" is not a placeholder; write {{name}}, or \\{{ for "
                        "two plain braces",
                        (int)(tag->inner.len < 60 ? tag->inner.len : 60), tag->inner.ptr);
    }
    for (size_t i = 0; i < p->names->count; i++) {
        if (slice_eq(p->names->name[i].text, name)) {
            *slot = (uint16_t)i;
            return 0;
        }
    }
    if (p->names->count == LETTER_NAMES_MAX + SLOT_FIRST) {
        return fault_at(p, ERR_LIMIT, tag->start, "more than %d different placeholders",
                        LETTER_NAMES_MAX);
    }
    *slot = (uint16_t)p->names->count;
    p->names->name[p->names->count++] = (struct name){.text = arena_keep(p->arena, name)};
    return 0;
}

/* ---- tags ---- */

/* Finds the end of the tag that begins at `start`. */
static int tag_read(struct parser *p, size_t start, struct tag *tag)
{
    struct slice rest = slice_from(p->text, start);
    bool triple = slice_starts(rest, SLICE("{{{"));
    size_t open = triple ? 3 : 2;
    struct slice inside = slice_from(rest, open);
    const char *end =
        inside.len > 0 ? memmem(inside.ptr, inside.len, triple ? "}}}" : "}}", open) : NULL;

    if (end == NULL || (end - inside.ptr > TAG_LEN_MAX && inside.ptr[0] != '!')) {
        return fault_at(p, ERR_INVALID, start,
                        "\"{{\" is never closed; write {{name}}, or \\{{ for two plain braces");
    }
    tag->start = start;
    tag->triple = triple;
    tag->inner = slice_trim(slice_of(inside.ptr, (size_t)(end - inside.ptr)));
    tag->end = start + open + (size_t)(end - inside.ptr) + open;
    return 0;
}

static int value_add(struct parser *p, const struct tag *tag)
{
    struct slice name = slice_of(tag->inner.ptr, slice_find(tag->inner, '|'));
    struct node node = {.kind = NODE_VALUE, .raw = tag->triple};

    if (tag->triple && !p->rules->raw) {
        return fault_at(p, ERR_INVALID, tag->start,
                        "{{{...}}} works in text and HTML only; write {{...}} in a header field");
    }
    node.text = slice_trim(slice_from(tag->inner, name.len + 1));
    int err = name_slot(p, slice_trim(name), tag, &node.slot);
    if (err == 0) {
        bool required = name.len == tag->inner.len;
        p->names->name[node.slot].required = p->names->name[node.slot].required || required;
        node_add(p, node);
    }
    return err;
}

static int section_open(struct parser *p, const struct tag *tag)
{
    struct node node = {.kind = tag->inner.ptr[0] == '#' ? NODE_IF : NODE_UNLESS};

    if (p->depth == TEMPLATE_DEPTH_MAX) {
        return fault_at(p, ERR_LIMIT, tag->start, "sections are nested more than %d deep",
                        TEMPLATE_DEPTH_MAX);
    }
    int err = name_slot(p, slice_trim(slice_from(tag->inner, 1)), tag, &node.slot);
    if (err == 0) {
        p->open_at[p->depth] = tag->start;
        p->open[p->depth++] = node_count(p);
        node_add(p, node);
    }
    return err;
}

static int section_close(struct parser *p, const struct tag *tag)
{
    struct slice name = slice_trim(slice_from(tag->inner, 1));

    if (p->depth == 0) {
        return fault_at(p, ERR_INVALID, tag->start,
                        "{{/" SLICE_FMT "}} closes a section that was not opened here",
                        (int)(name.len < 64 ? name.len : 64), name.ptr != NULL ? name.ptr : "");
    }
    size_t opened = p->open[--p->depth];
    struct node *section = node_at(p, opened);
    struct slice wanted = p->names->name[section->slot].text;

    if (!slice_eq(name, wanted)) {
        return fault_at(p, ERR_INVALID, tag->start,
                        "{{/" SLICE_FMT "}} where {{/" SLICE_FMT "}} should close its section",
                        (int)(name.len < 64 ? name.len : 64), name.ptr != NULL ? name.ptr : "",
                        SLICE_ARG(wanted));
    }
    section->inside = (uint32_t)(node_count(p) - opened - 1);
    return 0;
}

static bool is_silent(const struct tag *tag)
{
    return !tag->triple && tag->inner.len > 0 && strchr("#^/!", tag->inner.ptr[0]) != NULL;
}

static int tag_add(struct parser *p, const struct tag *tag)
{
    if (++p->names->tags > TEMPLATE_TAGS_MAX) {
        return fault_at(p, ERR_LIMIT, tag->start, "more than %d placeholders and section tags",
                        TEMPLATE_TAGS_MAX);
    }
    if (!is_silent(tag)) {
        return value_add(p, tag);
    }
    switch (tag->inner.ptr[0]) {
    case '!':
        return 0;
    case '/':
        return section_close(p, tag);
    default:
        return section_open(p, tag);
    }
}

/* Widens [*start, *end) over the whole line when nothing else but blanks stands on it. */
static void standalone_widen(const struct parser *p, size_t *start, size_t *end)
{
    size_t from = *start;
    size_t to = *end;

    while (from > 0 && (p->text.ptr[from - 1] == ' ' || p->text.ptr[from - 1] == '\t')) {
        from--;
    }
    while (to < p->text.len && (p->text.ptr[to] == ' ' || p->text.ptr[to] == '\t')) {
        to++;
    }
    bool begins = from == 0 || p->text.ptr[from - 1] == '\n';
    bool ends = to == p->text.len || slice_starts(slice_from(p->text, to), SLICE("\r\n"));

    if (begins && ends) {
        *start = from;
        *end = to < p->text.len ? to + 2 : to;
    }
}

static int parse_tags(struct parser *p)
{
    size_t literal = 0; /* where the text not yet in a node begins */
    size_t at = 0;

    while (at < p->text.len) {
        struct slice rest = slice_from(p->text, at);
        const char *found = memmem(rest.ptr, rest.len, "{{", 2);
        struct tag tag = {.triple = false};

        if (found == NULL) {
            break;
        }
        size_t start = at + (size_t)(found - rest.ptr);
        if (start > 0 && found[-1] == '\\' && start - 1 >= literal) {
            text_add(p, literal, start - 1);
            literal = start;
            at = start + 2;
            continue;
        }
        int err = tag_read(p, start, &tag);
        if (err != 0) {
            return err;
        }
        size_t end = tag.end;
        if (is_silent(&tag) && p->rules->standalone) {
            standalone_widen(p, &start, &end);
        }
        text_add(p, literal, start);
        if ((err = tag_add(p, &tag)) != 0) {
            return err;
        }
        literal = at = end;
    }
    text_add(p, literal, p->text.len);
    return 0;
}

int template_parse(struct slice text, const struct template_rules *rules, struct names *names,
                   struct arena *arena, struct template *out, struct template_fault *fault)
{
    struct parser p = {
        .text = text, .rules = rules, .names = names, .arena = arena, .fault = fault};
    int err = 0;

    if (rules->literal || !template_suspected(text)) {
        text_add(&p, 0, text.len);
    } else {
        err = parse_tags(&p);
    }
    if (err == 0 && p.depth > 0) {
        struct slice name = names->name[node_at(&p, p.open[p.depth - 1])->slot].text;
        err = fault_at(&p, ERR_INVALID, p.open_at[p.depth - 1],
                       "the section of " SLICE_FMT " is never closed; write {{/" SLICE_FMT "}}",
                       SLICE_ARG(name), SLICE_ARG(name));
    }
    out->count = node_count(&p);
    out->node = arena_take(arena, p.nodes.len);
    if (p.nodes.len > 0) {
        memcpy(out->node, p.nodes.ptr, p.nodes.len);
    }
    buf_fini(&p.nodes);
    return err;
}

bool template_is_fixed(const struct template *t)
{
    for (size_t i = 0; i < t->count; i++) {
        if (t->node[i].kind != NODE_TEXT) {
            return false;
        }
    }
    return true;
}

bool template_suspected(struct slice text)
{
    return text.len >= 2 && memmem(text.ptr, text.len, "{{", 2) != NULL;
}

bool template_certain(struct slice text)
{
    while (template_suspected(text)) {
        const char *open = memmem(text.ptr, text.len, "{{", 2);
        text = slice_from(text, (size_t)(open - text.ptr) + 2);
        struct slice near = slice_of(text.ptr, text.len < NEAR ? text.len : NEAR);
        size_t end = slice_find(near, '}');
        struct slice inner = slice_trim(slice_of(text.ptr, end));
        if (inner.len > 0 && strchr("#^/", inner.ptr[0]) != NULL) {
            inner = slice_trim(slice_from(inner, 1));
        }
        if (name_is_valid(inner) && slice_starts(slice_from(text, end), SLICE("}}"))) {
            return true;
        }
    }
    return false;
}
