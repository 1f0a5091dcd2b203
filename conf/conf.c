/*
 * conf.c - the configuration, loaded and checked: from file to struct conf, and its life.
 */
#include "conf/private.h"
#include "conf/schema.h"
#include "engine/base/mem.h"
#include "engine/smtp/words.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- places ---- */

static struct slice place_key(const void *const *field)
{
    return slice_of((const char *)field, sizeof(*field));
}

void conf_place_note(struct conf *conf, const void *field, unsigned line, unsigned column)
{
    if (map_find(&conf->own->places, place_key(&field)) != NULL) {
        return;
    }
    struct conf_place *place = conf_store_take(&conf->own->store, 1, sizeof(*place));
    *place = (struct conf_place){.field = field, .line = line, .column = column};
    map_insert(&conf->own->places, &place->node, place_key(&place->field));
}

struct conf_place conf_place_of(const struct conf *conf, const void *field)
{
    struct map_node *node = map_find(&conf->own->places, place_key(&field));

    return node != NULL ? *CONTAINER_OF(node, struct conf_place, node)
                        : (struct conf_place){.field = field};
}

/* ---- life ---- */

static struct conf *conf_new(const char *file)
{
    struct conf_private *own = mem_zalloc(sizeof(*own));
    struct conf *conf = mem_zalloc(sizeof(*conf));

    atomic_init(&own->references, 1);
    conf_store_init(&own->store);
    conf->own = own;
    conf->file = file != NULL ? conf_store_text(&own->store, slice_cstr(file)) : NULL;
    return conf;
}

static void conf_free(struct conf *conf)
{
    struct conf_private *own = conf->own;

    conf_wipe_secrets(conf);
    smtp_words_free(conf->words);
    map_fini(&own->places);
    map_fini(&own->sources);
    map_fini(&own->pools);
    map_fini(&own->routes);
    map_fini(&own->sites);
    for (size_t i = 0; i < CONF_MATCH_KINDS; i++) {
        map_fini(&own->match[i]);
    }
    conf_store_fini(&own->store);
    mem_free(own);
    mem_free(conf);
}

/* What is counted is not part of the value that never changes. */
struct conf *conf_ref(const struct conf *conf)
{
    atomic_fetch_add_explicit(&conf->own->references, 1, memory_order_relaxed);
    return (struct conf *)(uintptr_t)conf;
}

void conf_unref(struct conf *conf)
{
    if (conf != NULL &&
        atomic_fetch_sub_explicit(&conf->own->references, 1, memory_order_acq_rel) == 1) {
        conf_free(conf);
    }
}

/* ---- loading ---- */

/* The whole configuration, or NULL when there are errors. */
static struct conf *build(const char *file, const char *directory, struct slice text,
                          const char *hostname, struct conf_problems *problems)
{
    struct conf *conf = conf_new(file);
    if (directory != NULL) {
        conf->own->directory = conf_store_text(&conf->own->store, slice_cstr(directory));
    }
    const struct conf_node *root = conf_yaml_read(text, &conf->own->store, problems);

    /* No tree after an error in it: what was never read cannot be judged. */
    if (root != NULL || problems->errors == 0) {
        conf_read(conf, root, problems);
    }
    if (problems->errors == 0) {
        conf_finish(conf, hostname, problems);
    }
    if (problems->errors > 0) {
        conf_unref(conf);
        return NULL;
    }
    return conf;
}

struct conf *conf_load_bytes(const char *name, struct slice text, const char *hostname,
                             struct conf_problems *problems)
{
    conf_problems_init(problems, name);
    return build(name, NULL, text, hostname, problems);
}

static bool read_file(const char *path, struct buf *text, struct conf_problems *problems)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t n = 1;

    while (fd >= 0 && n > 0 && text->len <= CONF_FILE_MAX) {
        buf_reserve(text, 65536);
        n = read(fd, text->ptr + text->len, 65536);
        if (n < 0 && errno == EINTR) {
            n = 1;
        } else if (n > 0) {
            text->len += (size_t)n;
        }
    }
    if (fd < 0 || n < 0) {
        conf_problem(problems, 0, 0, "cannot be read: %s", strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
    return problems->errors == 0;
}

/* The full name of the directory that the file is in. */
static void directory_of(struct buf *out, const char *path)
{
    char here[4096];
    const char *slash = strrchr(path, '/');

    if (path[0] != '/' && getcwd(here, sizeof(here)) != NULL) {
        buf_printf(out, "%s/", here);
    }
    if (slash != NULL) {
        buf_put(out, path, (size_t)(slash - path));
    }
    while (out->len > 1 && out->ptr[out->len - 1] == '/') {
        out->len--;
    }
    buf_terminate(out);
}

/* The kernel's name of this machine, which is what a local mail system would say. */
static void machine_name(char *out, size_t cap)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-";

    out[0] = '\0';
    if (gethostname(out, cap - 1) == 0) {
        out[cap - 1] = '\0';
    }
    if (out[0] == '\0' || out[strspn(out, allowed)] != '\0') {
        snprintf(out, cap, "localhost");
    }
}

struct conf *conf_load(const char *path, struct conf_problems *problems)
{
    struct buf text = BUF_EMPTY, directory = BUF_EMPTY;
    struct conf *conf = NULL;
    char hostname[256];

    conf_problems_init(problems, path != NULL ? path : "defaults");
    machine_name(hostname, sizeof(hostname));
    directory_of(&directory, path != NULL ? path : "");
    if (path == NULL || read_file(path, &text, problems)) {
        conf = build(path, directory.ptr, buf_slice(&text), hostname, problems);
    }
    buf_fini(&text);
    buf_fini(&directory);
    if (conf != NULL) {
        conf_load_secrets(conf, problems);
        conf_load_replies(conf, problems);
        if (conf->hostname != NULL && strchr(conf->hostname, '.') == NULL &&
            conf->sink.address.host == NULL) {
            conf_warning(problems, 0, 0,
                         "the host name %s is not a full one, and many servers refuse mail from "
                         "such; write hostname: mta1.example.com",
                         conf->hostname);
        }
    }
    if (problems->errors > 0) {
        conf_unref(conf);
        return NULL;
    }
    return conf;
}

/* ---- asking ---- */

static const void *find(const struct map *map, struct slice name)
{
    struct map_node *node = map_find(map, name);

    return node != NULL ? CONTAINER_OF(node, struct conf_entry, node)->item : NULL;
}

const union conf_address *conf_source_address(const struct conf_source *source, int family)
{
    if (source->address.sa.sa_family == family) {
        return &source->address;
    }
    return source->address6.sa.sa_family == family ? &source->address6 : NULL;
}

int conf_source_family(const struct conf_source *source)
{
    int first = source->address.sa.sa_family, second = source->address6.sa.sa_family;

    if (first == AF_UNSPEC || second == AF_UNSPEC) {
        return first != AF_UNSPEC ? first : second;
    }
    return AF_UNSPEC;
}

const struct conf_source *conf_source_find(const struct conf *conf, struct slice name)
{
    return find(&conf->own->sources, name);
}

const struct conf_pool *conf_pool_find(const struct conf *conf, struct slice name)
{
    return find(&conf->own->pools, name);
}

const struct conf_route *conf_route_find(const struct conf *conf, struct slice name)
{
    return find(&conf->own->routes, name);
}

const struct conf_site *conf_site_find(const struct conf *conf, struct slice name)
{
    return find(&conf->own->sites, name);
}
