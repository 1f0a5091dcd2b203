/*
 * read.c - a tree of nodes into a struct conf, by the schema table.
 *
 * Every row of the table is visited, written or not, so a default is read by the same function
 * as a value of the user's.
 */
#include "conf/schema.h"
#include "engine/base/err.h"
#include "engine/base/suggest.h"

#include <string.h>

struct reader {
    struct conf *conf;
    struct conf_problems *problems;
    struct buf path;               /* "limits.google.rate" */
    bool partial;                  /* what is not written stays unset */
    const struct conf_node *group; /* the key of the group being read; NULL for the whole file */
};

static void read_key(struct reader *r, const struct conf_key *key, const struct conf_node *node,
                     char *base);

/* ---- rows ---- */

const struct conf_key *conf_key_find(const struct conf_key *keys, struct slice name, char **base)
{
    const struct conf_key *any = NULL;

    for (; conf_key_present(keys); keys++) {
        if (keys->kind == CONF_INCLUDE) {
            char *inner = *base + keys->offset;
            const struct conf_key *found = conf_key_find(keys->keys, name, &inner);
            if (found != NULL) {
                *base = inner;
                return found;
            }
        } else if (strcmp(keys->name, "*") == 0) {
            any = keys;
        } else if (slice_eq(name, slice_cstr(keys->name))) {
            return keys;
        }
    }
    return any;
}

static void offer_names(struct suggest *s, const struct conf_key *keys)
{
    for (; conf_key_present(keys); keys++) {
        if (keys->kind == CONF_INCLUDE) {
            offer_names(s, keys->keys);
        } else if (!keys->later && strcmp(keys->name, "*") != 0) {
            suggest_offer(s, slice_cstr(keys->name));
        }
    }
}

static size_t path_push(struct reader *r, struct slice name)
{
    size_t before = r->path.len;

    if (before > 0) {
        buf_putc(&r->path, '.');
    }
    buf_puts(&r->path, name);
    return before;
}

#define PATH(r) SLICE_ARG(buf_slice(&(r)->path))

/* ---- values ---- */

static void value_problem(struct reader *r, const struct conf_key *key,
                          const struct conf_node *node, int err, const char *hint)
{
    const struct conf_kind_info *kind = &conf_kinds[key->kind];
    struct buf expected = BUF_EMPTY;
    /* Long values are cut: the place is given. */
    int shown = node->text.len > 60 ? 60 : (int)node->text.len;

    if (hint != NULL) {
        conf_problem(r->problems, node->line, node->column, SLICE_FMT " %s", PATH(r), hint);
        return;
    }
    conf_put_expected(&expected, key);
    if (err != ERR_RANGE && key->kind != CONF_WORD && kind->example != NULL) {
        buf_printf(&expected, ", such as %s", kind->example);
    }
    conf_problem(r->problems, node->line, node->column,
                 SLICE_FMT " is \"%.*s\"%s it must be " SLICE_FMT, PATH(r), shown,
                 node->text.len > 0 ? node->text.ptr : "",
                 err == ERR_AGAIN ? ", which is not in this version yet;" : ";",
                 SLICE_ARG(buf_slice(&expected)));
    buf_fini(&expected);
}

static const char *limit_origin(struct reader *r, const struct conf_node *node)
{
    struct buf text = BUF_EMPTY;

    if (node->line > 0) {
        buf_printf(&text, SLICE_FMT ", %s:%u", PATH(r), r->problems->file, node->line);
    } else {
        buf_printf(&text, SLICE_FMT ", built in", PATH(r));
    }
    const char *kept = conf_store_text(&r->conf->own->store, buf_slice(&text));
    buf_fini(&text);
    return kept;
}

/* A file is named as seen from the configuration, wherever the program is started. */
static void resolve_path(struct reader *r, const char **path)
{
    const char *directory = r->conf->own->directory;
    struct buf text = BUF_EMPTY;

    if (directory != NULL && (*path)[0] != '/') {
        buf_printf(&text, "%s/%s", directory, *path);
        *path = conf_store_text(&r->conf->own->store, buf_slice(&text));
        buf_fini(&text);
    }
}

static void read_value(struct reader *r, const struct conf_key *key, const struct conf_node *node,
                       char *base)
{
    const char *hint = NULL;
    char *field = base + key->offset;

    if (node->kind != CONF_NODE_VALUE) {
        conf_problem(r->problems, node->line, node->column,
                     SLICE_FMT " must be a single value, not a %s", PATH(r),
                     node->kind == CONF_NODE_LIST ? "list" : "group of keys");
        return;
    }
    if (conf_node_empty(node)) {
        conf_problem(r->problems, node->line, node->column,
                     SLICE_FMT " has no value; write one, or remove the key", PATH(r));
        return;
    }
    int err = conf_kinds[key->kind].read(&r->conf->own->store, key, node->text, field, &hint);
    if (err != 0) {
        value_problem(r, key, node, err, hint);
        return;
    }
    if (key->kind == CONF_PATH) {
        resolve_path(r, (const char **)(void *)field);
    }
    if (node->line > 0) {
        conf_place_note(r->conf, field, node->line, node->column);
    }
    if (key->limit > 0) {
        struct limits *limits = (struct limits *)(void *)base;
        limits->origin[key->limit - 1] = limit_origin(r, node);
    }
}

/* The default of a list is written as words. */
static struct conf_node *fallback_list(struct reader *r, const char *text)
{
    struct conf_store *store = &r->conf->own->store;
    struct conf_node *list = conf_store_take(store, 1, sizeof(*list));
    struct slice rest = slice_cstr(text), word;

    list->kind = CONF_NODE_LIST;
    while (slice_next(&rest, ' ', &word)) {
        struct conf_node *item = conf_store_take(store, 1, sizeof(*item));
        item->text = word;
        *(list->last != NULL ? &list->last->next : &list->first) = item;
        list->last = item;
        list->count++;
    }
    return list;
}

static void read_list(struct reader *r, const struct conf_key *key, const struct conf_node *node,
                      char *base)
{
    struct conf_items *array = (struct conf_items *)(void *)(base + key->offset);
    size_t i = 0;

    if (node->kind != CONF_NODE_LIST) {
        conf_problem(r->problems, node->line, node->column,
                     SLICE_FMT " must be a list; write it in brackets: [" SLICE_FMT "%s]", PATH(r),
                     SLICE_ARG(node->kind == CONF_NODE_VALUE ? node->text : SLICE("a, b")),
                     node->kind == CONF_NODE_VALUE ? ", …" : "");
        return;
    }
    array->items = conf_store_take(&r->conf->own->store, node->count, key->size);
    array->count = node->count;
    if (node->line > 0) {
        conf_place_note(r->conf, array, node->line, node->column);
    }
    for (const struct conf_node *item = node->first; item != NULL; item = item->next) {
        read_value(r, key->keys, item, array->items + i++ * key->size);
    }
}

/* ---- groups ---- */

static const struct conf_node *child_of(const struct conf_node *node, const char *name)
{
    const struct conf_node *child = node != NULL ? node->first : NULL;

    while (child != NULL && !slice_eq(child->key->text, slice_cstr(name))) {
        child = child->next;
    }
    return child;
}

static void unknown_key(struct reader *r, const struct conf_key *keys, const struct conf_node *key)
{
    struct suggest s;
    struct slice in = buf_slice(&r->path);

    suggest_init(&s, key->text);
    offer_names(&s, keys);
    conf_problem(r->problems, key->line, key->column,
                 "unknown key \"%.*s\"%s" SLICE_FMT "%s" SLICE_FMT "%s",
                 key->text.len > 60 ? 60 : (int)key->text.len, key->text.ptr,
                 in.len > 0 ? " in " : "", SLICE_ARG(in), s.best.len > 0 ? "; did you mean \"" : "",
                 SLICE_ARG(s.best), s.best.len > 0 ? "\"?" : "");
}

/* The items of a "*" row: every child that no other row takes. */
static void read_items(struct reader *r, const struct conf_key *keys, const struct conf_key *any,
                       const struct conf_node *node, char *base)
{
    struct conf_items *array = (struct conf_items *)(void *)(base + any->offset);
    struct conf_key item = *any;

    for (int pass = 0; pass < 2; pass++) {
        size_t n = 0;
        for (const struct conf_node *child = node->first; child != NULL; child = child->next) {
            char *unused = base;
            if (conf_key_find(keys, child->key->text, &unused) != any) {
                continue;
            }
            if (pass == 1) {
                char *at = array->items + n * any->size;
                const char *hint = NULL;
                size_t path = path_push(r, child->key->text);
                const struct conf_key name = {.name = "", .kind = CONF_NAME};
                if (conf_kinds[CONF_NAME].read(&r->conf->own->store, &name, child->key->text, at,
                                               &hint) != 0) {
                    value_problem(r, &name, child->key, ERR_INVALID, NULL);
                }
                conf_place_note(r->conf, at, child->key->line, child->key->column);
                item.offset = any->item_offset;
                read_key(r, &item, child, at);
                r->path.len = path;
            }
            n++;
        }
        if (pass == 0) {
            array->items = conf_store_take(&r->conf->own->store, n, any->size);
            array->count = n;
        }
    }
}

static void read_rows(struct reader *r, const struct conf_key *keys, const struct conf_node *node,
                      char *base)
{
    for (const struct conf_key *key = keys; conf_key_present(key); key++) {
        if (key->kind == CONF_INCLUDE) {
            bool partial = r->partial;
            r->partial = partial || key->partial;
            read_rows(r, key->keys, node, base + key->offset);
            r->partial = partial;
        } else if (strcmp(key->name, "*") == 0) {
            if (node != NULL) {
                read_items(r, keys, key, node, base);
            }
        } else {
            size_t path = path_push(r, slice_cstr(key->name));
            read_key(r, key, child_of(node, key->name), base);
            r->path.len = path;
        }
    }
}

static void read_group(struct reader *r, const struct conf_key *key, const struct conf_node *node,
                       char *base)
{
    const struct conf_node *outer = r->group;
    struct conf_node shorthand = {.kind = CONF_NODE_MAP};
    struct conf_node value, name;

    r->group = node != NULL ? node->key : outer;
    if (conf_node_empty(node)) {
        node = NULL; /* a group whose keys are all commented out */
    } else if (node->kind == CONF_NODE_VALUE && key->shorthand != NULL) {
        value = *node;
        name = (struct conf_node){.text = slice_cstr(key->shorthand)};
        value.key = &name;
        value.next = NULL;
        shorthand.first = &value;
        shorthand.count = 1;
        node = &shorthand;
    } else if (node->kind != CONF_NODE_MAP) {
        conf_problem(r->problems, node->line, node->column,
                     SLICE_FMT " must be a group of keys, not a %s", PATH(r),
                     node->kind == CONF_NODE_LIST ? "list" : "single value");
        r->group = outer;
        return;
    }
    read_rows(r, key->keys, node, base + key->offset);
    r->group = outer;
    for (const struct conf_node *child = node != NULL ? node->first : NULL; child != NULL;
         child = child->next) {
        char *unused = base;
        if (conf_key_find(key->keys, child->key->text, &unused) == NULL) {
            unknown_key(r, key->keys, child->key);
        }
    }
}

/* ---- one row ---- */

static void read_missing(struct reader *r, const struct conf_key *key, char *base)
{
    if (key->required && !r->partial) {
        conf_problem(r->problems, r->group->line, r->group->column, SLICE_FMT " is missing",
                     PATH(r));
    } else if (key->fallback != NULL && !r->partial) {
        const struct conf_node value = {.kind = CONF_NODE_VALUE, .text = slice_cstr(key->fallback)};
        if (key->kind == CONF_LIST) {
            read_list(r, key, fallback_list(r, key->fallback), base);
        } else {
            read_value(r, key, &value, base);
        }
    }
}

static void read_key(struct reader *r, const struct conf_key *key, const struct conf_node *node,
                     char *base)
{
    if (key->later) {
        if (node != NULL) {
            conf_problem(r->problems, node->key->line, node->key->column,
                         SLICE_FMT " is not in this version yet; leave it out", PATH(r));
        }
    } else if (key->kind == CONF_GROUP) {
        read_group(r, key, node, base);
    } else if (node == NULL) {
        read_missing(r, key, base);
    } else if (key->kind == CONF_LIST) {
        read_list(r, key, node, base);
    } else {
        read_value(r, key, node, base);
    }
}

void conf_read(struct conf *conf, const struct conf_node *root, struct conf_problems *problems)
{
    struct reader r = {.conf = conf, .problems = problems};
    const struct conf_key whole = {.name = "", .kind = CONF_GROUP, .keys = conf_schema};

    if (root != NULL && root->kind != CONF_NODE_MAP && !conf_node_empty(root)) {
        conf_problem(problems, root->line, root->column,
                     "a configuration is keys with values, such as \"hostname: mta1.example.com\"");
        return;
    }
    read_group(&r, &whole, root, (char *)conf);
    buf_fini(&r.path);
}
