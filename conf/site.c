/*
 * site.c - which site a destination belongs to, and what holds there.
 *
 * The patterns of all sites lie in four tables, one for each way to match, so a lookup costs a
 * few hashes whatever the number of sites.  Walking a name label by label from the left meets
 * the longest suffix first, and no name can match two patterns of one table and one length: a
 * tie can only be the same pattern written twice, and that is found here, at load.
 */
#include "conf/private.h"
#include "engine/base/suggest.h"

#include <string.h>

/* ---- at load ---- */

static const char *const match_words[CONF_MATCH_KINDS] = {
    [CONF_MATCH_DOMAIN] = "domain",
    [CONF_MATCH_DOMAIN_SUFFIX] = "domain",
    [CONF_MATCH_MX] = "mail host",
    [CONF_MATCH_MX_SUFFIX] = "mail host",
};

static void add_pattern(struct conf *conf, const struct conf_site *site, const char **pattern,
                        enum conf_match exact, struct conf_problems *problems)
{
    struct slice name = slice_cstr(*pattern);
    bool suffix = slice_starts(name, SLICE("*."));
    enum conf_match kind = exact + suffix;
    struct map *map = &conf->own->match[kind];
    struct conf_place at = conf_place_of(conf, pattern);

    name = suffix ? slice_from(name, 2) : name;
    struct map_node *there = map_find(map, name);
    if (there != NULL) {
        const struct conf_site *other = CONTAINER_OF(there, struct conf_entry, node)->item;
        conf_problem(problems, at.line, at.column,
                     "the %s %s belongs to limits.%s already; remove it from one of the two",
                     match_words[kind], *pattern, other->name);
        return;
    }
    struct conf_entry *entry = conf_store_take(&conf->own->store, 1, sizeof(*entry));
    entry->item = site;
    map_insert(map, &entry->node, name);
}

static void check_sources(struct conf *conf, struct conf_site *site, struct conf_problems *problems)
{
    for (size_t i = 0; i < site->sources.count; i++) {
        struct conf_site_source *s = &site->sources.items[i];
        struct conf_place at = conf_place_of(conf, s);
        if (conf_source_find(conf, slice_cstr(s->name)) == NULL) {
            conf_problem(problems, at.line, at.column,
                         "limits.%s.sources.%s is not the name of a source; sources are defined "
                         "under sources:",
                         site->name, s->name);
        }
    }
}

/* A site that fits nothing may be a word of ours with a slip in it. */
static void no_match(struct conf *conf, const struct conf_site *site,
                     struct conf_problems *problems)
{
    struct conf_place at = conf_place_of(conf, site);
    struct suggest s;

    suggest_init(&s, slice_cstr(site->name));
    suggest_offer(&s, SLICE("default"));
    if (s.best.len > 0) {
        conf_problem(problems, at.line, at.column,
                     "limits.%s is a site without match; did you mean limits." SLICE_FMT "?",
                     site->name, SLICE_ARG(s.best));
        return;
    }
    conf_problem(problems, at.line, at.column,
                 "limits.%s does not say which mail it is about; write match: {domains: "
                 "[example.com]} or match: {mx: [\"*.example.com\"]}",
                 site->name);
}

void conf_finish_limits(struct conf *conf, struct conf_problems *problems)
{
    for (size_t i = 0; i < conf->limits.sites.count; i++) {
        struct conf_site *site = &conf->limits.sites.items[i];
        struct limits merged = conf->limits.base, total = conf->limits.total;
        if (site->mx.count + site->domains.count == 0) {
            no_match(conf, site, problems);
        }
        for (size_t k = 0; k < site->domains.count; k++) {
            add_pattern(conf, site, &site->domains.items[k], CONF_MATCH_DOMAIN, problems);
        }
        for (size_t k = 0; k < site->mx.count; k++) {
            add_pattern(conf, site, &site->mx.items[k], CONF_MATCH_MX, problems);
        }
        limits_merge(&merged, &site->limits);
        site->limits = merged;
        limits_merge(&total, &site->total);
        site->total = total;
        check_sources(conf, site, problems);
        for (size_t k = 0; k < site->sources.count; k++) {
            merged = site->limits;
            limits_merge(&merged, &site->sources.items[k].limits);
            site->sources.items[k].limits = merged;
        }
        conf_index(conf, &conf->own->sites, site->name, site);
    }
}

/* ---- asking ---- */

enum { NAME_MAX_LEN = 253 };

/* A name as the tables hold it: lower case, no trailing dot; empty when it is no name. */
static struct slice fold_name(char out[NAME_MAX_LEN], struct slice name)
{
    if (name.len > 0 && name.ptr[name.len - 1] == '.') {
        name.len--;
    }
    if (name.len > NAME_MAX_LEN) {
        return SLICE_NONE;
    }
    slice_lower(out, name);
    return slice_of(out, name.len);
}

static const struct conf_site *find_exact(const struct conf *conf, enum conf_match kind,
                                          struct slice name)
{
    struct map_node *node = map_find(&conf->own->match[kind], name);

    return node != NULL ? CONTAINER_OF(node, struct conf_entry, node)->item : NULL;
}

/* The longest suffix; its length goes to *len. */
static const struct conf_site *find_suffix(const struct conf *conf, enum conf_match kind,
                                           struct slice name, size_t *len)
{
    size_t dot;

    while ((dot = slice_find(name, '.')) < name.len) {
        name = slice_from(name, dot + 1);
        const struct conf_site *site = find_exact(conf, kind, name);
        if (site != NULL) {
            *len = name.len;
            return site;
        }
    }
    return NULL;
}

static const struct conf_site *find_by_mx(const struct conf *conf,
                                          const struct conf_site_facts *facts)
{
    const struct conf_site *best = NULL;
    size_t best_len = 0;
    bool best_exact = false;
    char folded[NAME_MAX_LEN];

    for (size_t i = 0; i < facts->mx_count; i++) {
        struct slice name = fold_name(folded, facts->mx[i]);
        size_t len = name.len;
        const struct conf_site *site = find_exact(conf, CONF_MATCH_MX, name);
        bool exact = site != NULL;
        if (!exact && !best_exact) {
            site = find_suffix(conf, CONF_MATCH_MX_SUFFIX, name, &len);
        }
        /* Of the same length the earlier host stays: it is the more preferred one. */
        if (site != NULL && ((exact && !best_exact) || len > best_len)) {
            best = site;
            best_len = len;
            best_exact = exact;
        }
    }
    return best;
}

const struct conf_site *conf_site_for(const struct conf *conf, const struct conf_site_facts *facts)
{
    char folded[NAME_MAX_LEN];
    struct slice domain = fold_name(folded, facts->domain);
    const struct conf_site *site = find_exact(conf, CONF_MATCH_DOMAIN, domain);
    size_t len;

    if (site == NULL) {
        site = find_suffix(conf, CONF_MATCH_DOMAIN_SUFFIX, domain, &len);
    }
    return site != NULL ? site : find_by_mx(conf, facts);
}

const struct limits *conf_limits_for(const struct conf *conf, const struct conf_site *site,
                                     const struct conf_source *source)
{
    if (site == NULL) {
        return &conf->limits.base;
    }
    for (size_t i = 0; source != NULL && i < site->sources.count; i++) {
        if (strcmp(site->sources.items[i].name, source->name) == 0) {
            return &site->sources.items[i].limits;
        }
    }
    return &site->limits;
}

const struct limits *conf_limits_total(const struct conf *conf, const struct conf_site *site)
{
    return site != NULL ? &site->total : &conf->limits.total;
}
