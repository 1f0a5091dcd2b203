/*
 * yaml.c - bytes to a tree of nodes, by libyaml.
 *
 * A configuration needs maps, lists and values; what else YAML has is refused, because it
 * makes files that nobody can check by eye or bombs of a few bytes: aliases that multiply,
 * tags, several documents, keys that are no words.  libyaml is fed events one by one and
 * stopped at the first thing too many, so memory is bounded by the limits in private.h.
 */
#include "conf/private.h"
#include "engine/base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum step { STEP_ON, STEP_END, STEP_FAILED };

struct builder {
    struct slice text;
    struct conf_store *store;
    struct conf_problems *problems;
    struct conf_node *root;
    struct conf_node *open[CONF_DEPTH_MAX]; /* the maps and lists we are in */
    size_t depth;
    struct conf_node *key; /* read, and its value is not yet */
    size_t nodes, documents;
};

bool conf_node_empty(const struct conf_node *node)
{
    return node == NULL || (node->kind == CONF_NODE_VALUE && !node->quoted &&
                            (node->text.len == 0 || slice_eq(node->text, SLICE("~")) ||
                             slice_eq(node->text, SLICE("null"))));
}

static unsigned mark_line(const yaml_mark_t *mark)
{
    return (unsigned)mark->line + 1;
}

static unsigned mark_column(const yaml_mark_t *mark)
{
    return (unsigned)mark->column + 1;
}

#define PROBLEM_AT(b, mark, ...) \
    (conf_problem((b)->problems, mark_line(mark), mark_column(mark), __VA_ARGS__), STEP_FAILED)

/* ---- keys given twice ---- */

static int node_order(const void *a, const void *b)
{
    const struct conf_node *x = *(const struct conf_node *const *)a;
    const struct conf_node *y = *(const struct conf_node *const *)b;
    int order = slice_cmp(x->key->text, y->key->text);

    if (order != 0) {
        return order;
    }
    if (x->key->line != y->key->line) {
        return x->key->line < y->key->line ? -1 : 1;
    }
    return (x->key->column > y->key->column) - (x->key->column < y->key->column);
}

/* Sorted neighbours rather than pairs: a map may have a hundred thousand tenants. */
static void check_duplicates(struct builder *b, const struct conf_node *map)
{
    if (map->count < 2) {
        return;
    }
    const struct conf_node **sorted = mem_array(map->count, sizeof(*sorted));
    size_t n = 0;
    for (const struct conf_node *child = map->first; child != NULL; child = child->next) {
        sorted[n++] = child;
    }
    qsort(sorted, n, sizeof(*sorted), node_order);
    for (size_t i = 1; i < n; i++) {
        const struct conf_node *key = sorted[i]->key, *before = sorted[i - 1]->key;
        if (slice_eq(key->text, before->text)) {
            conf_problem(b->problems, key->line, key->column,
                         "\"" SLICE_FMT "\" is given twice, first on line %u; keep one of them",
                         SLICE_ARG(key->text), before->line);
        }
    }
    mem_free(sorted);
}

/* ---- building ---- */

static struct conf_node *node_new(struct builder *b, enum conf_node_kind kind,
                                  const yaml_event_t *event)
{
    struct conf_node *node = conf_store_take(b->store, 1, sizeof(*node));

    node->kind = kind;
    node->line = mark_line(&event->start_mark);
    node->column = mark_column(&event->start_mark);
    return node;
}

/* Puts a node where it belongs: as the document, a list's item, a map's key or its value. */
static enum step place(struct builder *b, struct conf_node *node, const yaml_event_t *event)
{
    struct conf_node *parent = b->depth > 0 ? b->open[b->depth - 1] : NULL;

    if (parent == NULL) {
        b->root = node;
        return STEP_ON;
    }
    if (parent->kind == CONF_NODE_MAP && b->key == NULL) {
        if (node->kind != CONF_NODE_VALUE) {
            return PROBLEM_AT(b, &event->start_mark,
                              "a key must be a word; a list or group cannot be one");
        }
        b->key = node;
        return STEP_ON;
    }
    node->key = b->key;
    b->key = NULL;
    if (parent->last != NULL) {
        parent->last->next = node;
    } else {
        parent->first = node;
    }
    parent->last = node;
    parent->count++;
    return STEP_ON;
}

static enum step open_node(struct builder *b, enum conf_node_kind kind, const yaml_event_t *event)
{
    struct conf_node *node = node_new(b, kind, event);
    enum step step = place(b, node, event);

    if (step == STEP_ON && b->depth == CONF_DEPTH_MAX) {
        return PROBLEM_AT(b, &event->start_mark, "nested deeper than %d levels", CONF_DEPTH_MAX);
    }
    if (step == STEP_ON) {
        b->open[b->depth++] = node;
    }
    return step;
}

static enum step add_value(struct builder *b, const yaml_event_t *event)
{
    struct conf_node *node = node_new(b, CONF_NODE_VALUE, event);
    struct slice text = slice_of((const char *)event->data.scalar.value, event->data.scalar.length);

    node->text = slice_of(conf_store_text(b->store, text), text.len);
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return place(b, node, event);
}

static enum step refuse_extras(struct builder *b, const yaml_event_t *event, const yaml_char_t *tag,
                               const yaml_char_t *anchor)
{
    if (tag != NULL) {
        return PROBLEM_AT(b, &event->start_mark,
                          "tags such as %.40s are not used here; write the value alone", tag);
    }
    if (anchor != NULL) {
        return PROBLEM_AT(
            b, &event->start_mark,
            "anchors such as &%.40s are not used here; write the value itself, or put "
            "it in quotes if it starts with &",
            anchor);
    }
    return STEP_ON;
}

static enum step close_node(struct builder *b)
{
    b->depth--;
    if (b->open[b->depth]->kind == CONF_NODE_MAP) {
        check_duplicates(b, b->open[b->depth]);
    }
    return STEP_ON;
}

static enum step take_start(struct builder *b, const yaml_event_t *event)
{
    enum step step;

    if (event->type == YAML_SCALAR_EVENT) {
        step = refuse_extras(b, event, event->data.scalar.tag, event->data.scalar.anchor);
        return step == STEP_ON ? add_value(b, event) : step;
    }
    if (event->type == YAML_MAPPING_START_EVENT) {
        step = refuse_extras(b, event, event->data.mapping_start.tag,
                             event->data.mapping_start.anchor);
        return step == STEP_ON ? open_node(b, CONF_NODE_MAP, event) : step;
    }
    step =
        refuse_extras(b, event, event->data.sequence_start.tag, event->data.sequence_start.anchor);
    return step == STEP_ON ? open_node(b, CONF_NODE_LIST, event) : step;
}

static enum step take(struct builder *b, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return STEP_ON;
    case YAML_STREAM_END_EVENT:
        return STEP_END;
    case YAML_DOCUMENT_START_EVENT:
        if (b->documents++ > 0) {
            return PROBLEM_AT(b, &event->start_mark,
                              "a second document starts here; a configuration is one, remove ---");
        }
        return STEP_ON;
    case YAML_ALIAS_EVENT:
        return PROBLEM_AT(b, &event->start_mark,
                          "aliases such as *%.40s are not used here; write the value itself, or "
                          "put it in quotes if it starts with *",
                          event->data.alias.anchor);
    case YAML_SCALAR_EVENT:
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        if (b->nodes++ == CONF_NODES_MAX) {
            return PROBLEM_AT(b, &event->start_mark, "more than %d values in one file",
                              CONF_NODES_MAX);
        }
        return take_start(b, event);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return close_node(b);
    }
    return STEP_FAILED;
}

/* ---- what libyaml could not read ---- */

/* libyaml names the rule of the grammar; people made one of a few mistakes. */
static const char *hint_for(struct slice text, const yaml_parser_t *parser)
{
    size_t at = parser->problem_mark.index;
    char c = at < text.len ? text.ptr[at] : '\0';

    if (c == '\t') {
        return "; indent with spaces, not with tabs";
    }
    if (parser->context != NULL && (strstr(parser->context, "scanning an alias") != NULL ||
                                    strstr(parser->context, "scanning an anchor") != NULL)) {
        return "; put a value that starts with * or & in quotes";
    }
    if (c == '@' || c == '`' || c == '%') {
        return "; put the value in quotes";
    }
    if (parser->problem != NULL && strstr(parser->problem, "mapping values") != NULL) {
        return "; put a value that contains \": \" in quotes, and look at the indentation";
    }
    return "; look at the indentation and the brackets before it";
}

/* Bytes that are no characters: libyaml knows only their offset. */
static void bad_bytes(struct builder *b, const yaml_parser_t *parser)
{
    unsigned line = 1, column = 1;

    for (size_t i = 0; i < parser->problem_offset && i < b->text.len; i++) {
        column = b->text.ptr[i] == '\n' ? 1 : column + 1;
        line += b->text.ptr[i] == '\n';
    }
    conf_problem(b->problems, line, column, "%s; the file must be UTF-8 text", parser->problem);
}

static void not_yaml(struct builder *b, const yaml_parser_t *parser)
{
    if (parser->error == YAML_READER_ERROR) {
        bad_bytes(b, parser);
    } else if (parser->error == YAML_SCANNER_ERROR || parser->error == YAML_PARSER_ERROR) {
        conf_problem(b->problems, mark_line(&parser->problem_mark),
                     mark_column(&parser->problem_mark), "not valid YAML: %s%s", parser->problem,
                     hint_for(b->text, parser));
    } else {
        conf_problem(b->problems, 0, 0, "cannot be read: no memory");
    }
}

struct conf_node *conf_yaml_read(struct slice text, struct conf_store *store,
                                 struct conf_problems *problems)
{
    struct builder b = {.text = text, .store = store, .problems = problems};
    yaml_parser_t parser;
    enum step step = STEP_ON;

    if (text.len > CONF_FILE_MAX) {
        conf_problem(problems, 0, 0, "larger than %d MB", CONF_FILE_MAX >> 20);
        return NULL;
    }
    if (yaml_parser_initialize(&parser) == 0) {
        conf_problem(problems, 0, 0, "cannot be read: no memory");
        return NULL;
    }
    const char *bytes = text.ptr != NULL ? text.ptr : "";
    yaml_parser_set_input_string(&parser, (const unsigned char *)bytes, text.len);
    while (step == STEP_ON) {
        yaml_event_t event;
        if (yaml_parser_parse(&parser, &event) == 0) {
            not_yaml(&b, &parser);
            step = STEP_FAILED;
            break;
        }
        step = take(&b, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return step == STEP_END ? b.root : NULL;
}
