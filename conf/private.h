/*
 * private.h - what the files of conf/ share and nobody else sees.
 *
 * A configuration is made in three steps: bytes become a tree of nodes with places (yaml.c), the
 * tree becomes a struct conf by the schema table (read.c, kinds.c), and what no table can say is
 * checked and completed (finish.c, site.c).
 */
#ifndef VOLLEY_CONF_PRIVATE_H
#define VOLLEY_CONF_PRIVATE_H

#include "conf/conf.h"
#include "engine/base/list.h"
#include "engine/base/map.h"

#include <stdatomic.h>

enum { CONF_DEPTH_MAX = 16, CONF_NODES_MAX = 200000, CONF_NAME_MAX = 64 };

/* ---- memory: everything of one configuration, freed at once ---- */

struct conf_store {
    struct list chunks;
};

void conf_store_init(struct conf_store *store);
void conf_store_fini(struct conf_store *store);
void *conf_store_take(struct conf_store *store, size_t count, size_t size); /* zeroed */
const char *conf_store_text(struct conf_store *store, struct slice text);   /* with a NUL */

/* ---- the tree ---- */

enum conf_node_kind { CONF_NODE_VALUE, CONF_NODE_MAP, CONF_NODE_LIST };

struct conf_node {
    enum conf_node_kind kind;
    bool quoted; /* a value in quotes: text even when it is empty or a word such as null */
    unsigned line, column;
    struct slice text;           /* of a value */
    const struct conf_node *key; /* inside a map */
    struct conf_node *first, *last, *next;
    size_t count; /* of children */
};

/* Reads one YAML document; NULL for an empty one and after a problem.  Bounded in size, depth and
 * number of nodes; anchors, aliases, tags, further documents and keys given twice are problems. */
struct conf_node *conf_yaml_read(struct slice text, struct conf_store *store,
                                 struct conf_problems *problems);

/* Nothing was written: "key:" or "key: null". */
bool conf_node_empty(const struct conf_node *node);

/* ---- problems ---- */

void conf_problems_init(struct conf_problems *problems, const char *file);
void conf_problem(struct conf_problems *problems, unsigned line, unsigned column, const char *fmt,
                  ...) PRINTF_LIKE(4, 5);
void conf_warning(struct conf_problems *problems, unsigned line, unsigned column, const char *fmt,
                  ...) PRINTF_LIKE(4, 5);

/* Ways a site's `match` can fit, the strongest first. */
enum conf_match {
    CONF_MATCH_DOMAIN,
    CONF_MATCH_DOMAIN_SUFFIX,
    CONF_MATCH_MX,
    CONF_MATCH_MX_SUFFIX,
    CONF_MATCH_KINDS
};

/* ---- places: where a field of a struct conf was written ---- */

struct conf_place {
    struct map_node node;
    const void *field;
    unsigned line, column;
};

struct conf_private {
    _Atomic uint32_t references;
    struct conf_store store;
    const char *directory; /* relative paths count from here; NULL: they are left alone */
    struct map places;
    struct map sources, pools, routes, sites; /* by name: struct conf_entry */
    struct map match[CONF_MATCH_KINDS];       /* by pattern without "*.": struct conf_entry */
};

struct conf_entry {
    struct map_node node;
    const void *item;
};

void conf_place_note(struct conf *conf, const void *field, unsigned line, unsigned column);
/* {0, 0} for a default. */
struct conf_place conf_place_of(const struct conf *conf, const void *field);

/* ---- the steps after reading ---- */

void conf_finish(struct conf *conf, const char *hostname, struct conf_problems *problems);
/* Merges the limits and builds the index of `match`. */
void conf_finish_limits(struct conf *conf, struct conf_problems *problems);
/* Compiles the table of words: the configuration's own lines, then the shipped ones. */
void conf_load_replies(struct conf *conf, struct conf_problems *problems);
void conf_load_secrets(struct conf *conf, struct conf_problems *problems);
void conf_wipe_secrets(struct conf *conf);
void conf_index(struct conf *conf, struct map *map, const char *name, const void *item);

#endif
